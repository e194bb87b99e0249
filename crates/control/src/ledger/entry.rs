//! Log lines read back: what one says about its request, for whoever plays the traffic again.

use std::time::Duration;

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
}

impl Entry {
    /// What `line` says, if it is the line of a request.
    pub fn parse(line: &str) -> Option<Self> {
        let (line, complete) = match ending(line.trim_end()) {
            Some(line) => (line, false),
            None => (line.trim_end(), true),
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
        let attempts = attempts.split('[').next().unwrap_or("");
        Some(Self {
            ended,
            path,
            status,
            own_answer: said.starts_with("(own answer: "),
            session: of_session.and_then(session),
            retried: attempts.contains(", "),
            took,
            waited,
            first_byte,
            tokens,
            bytes,
            complete,
        })
    }
}

/// The line without the words for an early end, if it has them.
fn ending(line: &str) -> Option<&str> {
    let left = line.strip_suffix(" client left");
    left.or_else(|| line.strip_suffix(" cut off by the provider"))
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
                    1.24s waited 0.50s first byte 0.91s 9.4k tokens 91% cached client left";
        assert_eq!(
            Entry::parse(line).unwrap(),
            Entry {
                ended: Duration::from_secs(43_201),
                path: "/v1/chat/completions".into(),
                status: Some(200),
                own_answer: false,
                session: Some(0x1a2b_3c4d),
                retried: true,
                took: Duration::from_millis(1240),
                waited: Duration::from_millis(500),
                first_byte: Duration::from_millis(910),
                tokens: Some((9400, 91)),
                bytes: None,
                complete: false,
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
