//! Log lines read back: what one says about its request, for whoever plays the traffic again.

use std::time::Duration;

use api_key_lb_core::fact::RequestId;

use super::json::Said;

/// How a line ends that tells of an answer the provider broke off.
const CUT: &str = " cut off by the provider";
/// The words for how a key relates to a session, behind the keys.
const AFFINITIES: [&str; 4] = [" home", " new", " borrowed", " moved"];
/// Seconds of an hour and of a minute.
const HOUR_S: u64 = 3600;
const MINUTE_S: u64 = 60;

/// What the line of a request says. Everything in it is as precise as the line: times of day to
/// the second, counts to two or three digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The time of day at which it ended, in UTC.
    pub ended: Duration,
    /// The path that was asked for.
    pub path: String,
    /// The status its client got; `None` if it left before.
    pub status: Option<u16>,
    /// Whether the answer was the proxy's own.
    pub own_answer: bool,
    /// The first digits of its session's id.
    pub session: Option<u32>,
    /// The labels of the keys that were tried, and what they answered.
    pub attempts: Vec<(String, Option<u16>)>,
    /// Whether more than one attempt was made.
    pub retried: bool,
    /// From beginning to end.
    pub took: Duration,
    /// How long it waited for an account.
    pub waited: Duration,
    /// Until the first byte of the answer.
    pub first_byte: Duration,
    /// Tokens of the prompt, and how many of a hundred came from the cache.
    pub tokens: Option<(u64, u8)>,
    /// Bytes of its body, where the provider counted no tokens.
    pub bytes: Option<u64>,
    /// Whether its answer came to its end.
    pub complete: bool,
    /// Whether the provider broke off.
    pub cut: bool,
    /// What it is called; lines of older versions do not say it.
    pub id: Option<RequestId>,
}

impl Entry {
    /// What `line` says, if it is the line of a request.
    pub fn parse(line: &str) -> Option<Self> {
        let line = line.trim_end();
        if line.starts_with('{') {
            return Self::of_json(line);
        }
        let (line, id) = id(line).map_or((line, None), |(line, it)| (line, Some(it)));
        let cut = line.ends_with(CUT);
        let (line, complete) = match ending(line) {
            Some(line) => (line, false),
            None => (line, true),
        };
        // Labels and reasons are anybody's words, so what comes after them is read from the end.
        let (line, bytes) = bytes(line).map_or((line, None), |(line, it)| (line, Some(it)));
        let (line, tokens) = tokens(line).map_or((line, None), |(line, it)| (line, Some(it)));
        let (line, first_byte) = span(line, " first byte").unwrap_or((line, Duration::ZERO));
        let (line, waited) = span(line, " waited").unwrap_or((line, Duration::ZERO));
        let (line, took) = span(line, "")?;
        let mut words = line.splitn(4, ' ');
        let ended = time_of_day(words.next()?)?;
        let method = words.next()?;
        if !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let path = words.next()?.to_owned();
        let said = words.next().unwrap_or("");
        let (status, said) = status(said);
        let (attempts, of_session) = split_at_session(said);
        let own_answer = said.starts_with("(own answer: ");
        let attempts = attempts.split('[').next().unwrap_or("");
        let retried = attempts.contains(", ");
        let attempts = match own_answer {
            true => attempts
                .split_once(')')
                .map_or("", |(_, attempts)| attempts),
            false => attempts,
        };
        Some(Self {
            ended,
            path,
            status,
            own_answer,
            session: of_session.and_then(session),
            attempts: tried(attempts, status),
            retried,
            took,
            waited,
            first_byte,
            tokens,
            bytes,
            complete,
            cut,
            id,
        })
    }

    /// Whether something went wrong: it was tried again, failed, was cut or answered by us.
    pub fn is_problem(&self) -> bool {
        self.retried
            || self.own_answer
            || self.cut
            || self.status.is_some_and(|status| status >= 400)
    }

    fn of_json(line: &str) -> Option<Self> {
        let said: Said = serde_json::from_str(line).ok()?;
        if said.event != "request" {
            return None;
        }
        let ended = u64::try_from(said.time.parse::<jiff::Timestamp>().ok()?.as_millisecond())
            .ok()?
            % super::DAY_MS;
        let session = said
            .session
            .and_then(|id| u32::from_str_radix(id.get(..8)?, 16).ok());
        let served = said
            .status
            .is_some_and(|status| (200..300).contains(&status));
        let usage = said.usage.filter(|usage| usage.prompt > 0);
        let tokens = usage.map(|usage| {
            let percent =
                u128::from(usage.cached.min(usage.prompt)) * 100 / u128::from(usage.prompt);
            (usage.prompt, u8::try_from(percent).unwrap_or(100))
        });
        let sized = tokens.is_none() && session.is_some() && served;
        Some(Self {
            ended: Duration::from_millis(ended),
            path: said.path,
            status: said.status,
            own_answer: said.ending == "own",
            session,
            retried: said.attempts.len() > 1,
            attempts: said
                .attempts
                .into_iter()
                .map(|it| (it.key, it.status))
                .collect(),
            took: Duration::from_millis(said.took_ms),
            waited: Duration::from_millis(said.waited_ms),
            first_byte: Duration::from_millis(said.first_byte_ms.unwrap_or(0)),
            tokens,
            bytes: Some(said.request_bytes)
                .filter(|bytes| sized && *bytes >= super::WORTH_SAYING_BYTES),
            complete: matches!(said.ending.as_str(), "own" | "complete"),
            cut: said.ending == "cut",
            id: said.id.parse().ok(),
        })
    }
}

/// `key-1 429, key-2 no answer, key-3 200 home`: the keys and their answers; `status` is that of a
/// single one, which stands before it.
fn tried(said: &str, status: Option<u16>) -> Vec<(String, Option<u16>)> {
    // With nothing tried the word stands alone.
    let said = format!(" {}", said.trim());
    let without_affinity = AFFINITIES.iter().find_map(|word| said.strip_suffix(word));
    let said = without_affinity.unwrap_or(&said).trim();
    if said.is_empty() {
        return Vec::new();
    }
    let attempts: Vec<&str> = said.split(", ").collect();
    let single = attempts.len() == 1;
    let attempt = |text: &str| {
        if let Some(label) = text.strip_suffix(" no answer") {
            return (label.to_owned(), None);
        }
        match text.rsplit_once(' ') {
            Some((label, answer)) if answer.len() == 3 && digits(answer).is_some() => {
                (label.to_owned(), answer.parse().ok())
            }
            _ => (text.to_owned(), status.filter(|_| single)),
        }
    };
    attempts.into_iter().map(attempt).collect()
}

/// `… id 0a1b2c3d4e5f`
fn id(line: &str) -> Option<(&str, RequestId)> {
    let (line, id) = line.rsplit_once(" id ")?;
    Some((line, id.parse().ok()?))
}

/// The line without the words for an early end, if it has them.
fn ending(line: &str) -> Option<&str> {
    let left = line.strip_suffix(" client left");
    left.or_else(|| line.strip_suffix(CUT))
}

/// `… 48k bytes`
fn bytes(line: &str) -> Option<(&str, u64)> {
    let (line, bytes) = line.strip_suffix(" bytes")?.rsplit_once(' ')?;
    Some((line, number(bytes)?))
}

/// `… 102k tokens 91% cached`
fn tokens(line: &str) -> Option<(&str, (u64, u8))> {
    let (line, percent) = line.strip_suffix("% cached")?.rsplit_once(' ')?;
    let (line, tokens) = line.strip_suffix(" tokens")?.rsplit_once(' ')?;
    let percent = percent.parse().ok().filter(|percent| *percent <= 100)?;
    Some((line, (number(tokens)?, percent)))
}

/// `…{name} 0.41s`
fn span<'l>(line: &'l str, name: &str) -> Option<(&'l str, Duration)> {
    let (line, seconds) = line.strip_suffix('s')?.rsplit_once(' ')?;
    let line = line.strip_suffix(name)?;
    let (whole, hundredths) = seconds.split_once('.')?;
    if hundredths.len() != 2 {
        return None;
    }
    let hundredths = digits(whole)?
        .checked_mul(100)?
        .checked_add(digits(hundredths)?)?;
    Some((line, Duration::from_millis(hundredths.checked_mul(10)?)))
}

/// `200 key-2 home …`: the status and what follows it; none, if the client left before.
fn status(said: &str) -> (Option<u16>, &str) {
    let (word, rest) = said.split_once(' ').unwrap_or((said, ""));
    match digits(word).filter(|_| word.len() == 3) {
        Some(status) => (u16::try_from(status).ok(), rest),
        None => (None, said),
    }
}

/// What stands before and behind the word `session`; without an affinity it comes first.
fn split_at_session(said: &str) -> (&str, Option<&str>) {
    let first = said.strip_prefix("session ").map(|behind| ("", behind));
    let split = first.or_else(|| said.split_once(" session "));
    split.map_or((said, None), |(before, behind)| (before, Some(behind)))
}

/// `1a2b3c4d …`
fn session(behind: &str) -> Option<u32> {
    let id = behind.split(' ').next()?;
    let is_id = id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| u32::from_str_radix(id, 16).ok()).flatten()
}

/// `12:00:01`
fn time_of_day(word: &str) -> Option<Duration> {
    let mut parts = word.split(':');
    let mut part = |below: u64| {
        let part = parts.next().filter(|part| part.len() == 2);
        part.and_then(digits).filter(|part| *part < below)
    };
    let (hour, minute, second) = (part(24)?, part(60)?, part(60)?);
    parts.next().is_none().then_some(())?;
    Some(Duration::from_secs(
        hour * HOUR_S + minute * MINUTE_S + second,
    ))
}

/// `812`, `9.4k`, `102k`, `1.3M`, as [`super::count`] writes them.
fn number(text: &str) -> Option<u64> {
    let (text, unit) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 1_000),
        b'M' => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    let (whole, tenth) = match text.split_once('.') {
        Some((whole, tenth)) if tenth.len() == 1 && unit > 1 => (whole, digits(tenth)?),
        Some(_) => return None,
        None => (text, 0),
    };
    let tenths = digits(whole)?.checked_mul(10)?.checked_add(tenth)?;
    Some(tenths.checked_mul(unit)? / 10)
}

fn digits(text: &str) -> Option<u64> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_everything_is_read() {
        let line = "12:00:01 POST /v1/chat/completions 200 key-1 429, key 2 200 borrowed session \
                    1a2b3c4d (header x-session-id, sub-agent apart) [key 2: 91 % of 102k tokens 4% cached] \
                    1.24s waited 0.50s first byte 0.91s 9.4k tokens 91% cached client left id 0000000000a0";
        assert_eq!(
            Entry::parse(line).unwrap(),
            Entry {
                ended: Duration::from_secs(43_201),
                path: "/v1/chat/completions".into(),
                status: Some(200),
                own_answer: false,
                session: Some(0x1a2b_3c4d),
                attempts: vec![("key-1".into(), Some(429)), ("key 2".into(), Some(200))],
                retried: true,
                took: Duration::from_millis(1240),
                waited: Duration::from_millis(500),
                first_byte: Duration::from_millis(910),
                tokens: Some((9400, 91)),
                bytes: None,
                complete: false,
                cut: false,
                id: "0000000000a0".parse().ok(),
            }
        );
    }

    #[test]
    fn own_answers_and_requests_without_an_id_are_read() {
        let own = Entry::parse("00:00:00 POST / 429 (own answer: throttled) 0.00s").unwrap();
        assert!(own.own_answer);
        assert_eq!(
            (own.status, own.session, own.retried),
            (Some(429), None, false)
        );
        let left = Entry::parse("00:00:00 GET / 1.24s client left").unwrap();
        assert_eq!((left.status, left.complete), (None, false));
        let bytes =
            Entry::parse("23:59:59 POST /v1/messages 200 a home session 00000001 3.00s 48k bytes");
        let bytes = bytes.unwrap();
        assert_eq!((bytes.bytes, bytes.session), (Some(48_000), Some(1)));
    }

    #[test]
    fn other_lines_are_nothing() {
        for line in [
            "",
            "\r",
            "12 requests are missing here: there were more than could be written down",
            "api-key-lb 2.0.0 listens on http://127.0.0.1:4577",
            "warning: nothing was said for 1.24s",
            "12:00:61 POST / 200 key 1.24s",
            "12:00:00:00 POST / 200 key 1.24s",
            "12:00:00 post / 200 key 1.24s",
            "12:00:00 POST / 200 key 1.2s",
            "12:00:00 1.24s",
        ] {
            assert_eq!(Entry::parse(line), None, "{line}");
        }
    }
}
