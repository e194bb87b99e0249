//! Which lines of a log somebody wants to see.

use std::str::FromStr;

use super::entry::Entry;
use super::json;

/// Digits of a session that lines show.
const SHOWN_DIGITS: usize = 8;
/// How lines for people begin that are about something to look at.
const WARNINGS: [&str; 2] = ["warning: ", "error: "];

/// What lines are about, if not about everything: all of it has to fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The first digits of its session's id.
    pub session: Option<String>,
    /// The label of a key that was tried.
    pub key: Option<String>,
    /// What its client got, or what a key answered.
    pub status: Vec<Statuses>,
    /// Whether something went wrong.
    pub problems: bool,
}

/// One status, or all of a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statuses {
    first: u16,
    last: u16,
}

impl FromStr for Statuses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim().to_ascii_lowercase();
        let (digits, more) = match text.strip_suffix("xx") {
            Some(digit) if digit.len() == 1 => (format!("{digit}00"), 99),
            _ => (text, 0),
        };
        let first = digits
            .parse()
            .ok()
            .filter(|first| (100..600).contains(first));
        first
            .map(|first| Self {
                first,
                last: first + more,
            })
            .ok_or_else(|| "write a status such as 429, or a class such as 4xx".to_owned())
    }
}

impl Filter {
    /// Whether every line is wanted.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `line` is wanted, in whichever format it is.
    pub fn wants(&self, line: &str) -> bool {
        if self.is_open() {
            return true;
        }
        match Entry::parse(line) {
            Some(entry) => self.wants_entry(&entry),
            // What is said besides is about no request.
            None => {
                self.session.is_none()
                    && self.key.is_none()
                    && self.status.is_empty()
                    && is_warning(line)
            }
        }
    }

    fn wants_entry(&self, entry: &Entry) -> bool {
        let of_session = self.session.as_ref().is_none_or(|wanted| {
            let wanted = wanted.trim().to_ascii_lowercase();
            let wanted = wanted.get(..SHOWN_DIGITS).unwrap_or(&wanted);
            let shown = entry.session.map(|session| format!("{session:08x}"));
            shown.is_some_and(|shown| shown.starts_with(wanted))
        });
        let of_key = self
            .key
            .as_ref()
            .is_none_or(|wanted| entry.attempts.iter().any(|(label, _)| label == wanted));
        let statuses = entry.attempts.iter().filter_map(|(_, status)| *status);
        let mut statuses = statuses.chain(entry.status);
        let of_status = self.status.is_empty()
            || statuses.any(|status| {
                let mut wanted = self.status.iter();
                wanted.any(|wanted| (wanted.first..=wanted.last).contains(&status))
            });
        of_session && of_key && of_status && (!self.problems || entry.is_problem())
    }
}

fn is_warning(line: &str) -> bool {
    let for_people = || WARNINGS.iter().any(|word| line.starts_with(word));
    json::is_warning(line) || for_people()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "12:00:01 POST /v1/chat/completions 200 key-2 home session 1a2b3c4d (header x) 1.24s id 0000000000a0";
    const RETRIED: &str = "12:00:01 POST /v1/chat/completions 200 my key 429, key-3 no answer, key-2 200 borrowed session 99999999 (x) 1.24s";
    const OWN: &str = "12:00:01 POST / 403 (own answer: origin) 1.24s";
    const LEFT: &str =
        "12:00:01 POST /v1/messages key-4 no answer home session 1a2b3c4d (x) 1.24s client left";
    const CUT: &str =
        "12:00:01 POST /v1/messages 200 key-4 1.24s cut off by the provider id 0000000000a0";
    const NO_SESSION: &str = "12:00:01 GET /v1/models 200 key-2 0.10s";
    const SAID: &str = "api-key-lb listens on http://127.0.0.1:4577";
    const WARNED: &str = "warning: the disk is full";
    const ALL: [&str; 8] = [GOOD, RETRIED, OWN, LEFT, CUT, NO_SESSION, SAID, WARNED];

    fn wanted(filter: &Filter) -> Vec<&'static str> {
        ALL.into_iter().filter(|line| filter.wants(line)).collect()
    }

    #[test]
    fn lines_are_found_by_session_key_status_and_trouble() {
        assert_eq!(wanted(&Filter::default()), ALL);
        let session = |text: &str| Filter {
            session: Some(text.into()),
            ..Filter::default()
        };
        assert_eq!(wanted(&session("1a2b3c4d")), [GOOD, LEFT]);
        assert_eq!(wanted(&session("1A2B")), [GOOD, LEFT]);
        assert_eq!(
            wanted(&session("1a2b3c4d000000000000000000000000")),
            [GOOD, LEFT]
        );
        let key = |text: &str| Filter {
            key: Some(text.into()),
            ..Filter::default()
        };
        assert_eq!(wanted(&key("key-2")), [GOOD, RETRIED, NO_SESSION]);
        assert_eq!(wanted(&key("my key")), [RETRIED]);
        assert_eq!(wanted(&key("key-3")), [RETRIED]);
        assert_eq!(wanted(&key("key-4")), [LEFT, CUT]);
        assert!(wanted(&key("key")).is_empty());
        let status = |texts: &[&str]| Filter {
            status: texts.iter().map(|text| text.parse().unwrap()).collect(),
            ..Filter::default()
        };
        assert_eq!(wanted(&status(&["4xx"])), [RETRIED, OWN]);
        assert_eq!(wanted(&status(&["429", "403"])), [RETRIED, OWN]);
        let problems = Filter {
            problems: true,
            ..Filter::default()
        };
        assert_eq!(wanted(&problems), [RETRIED, OWN, CUT, WARNED]);
        let json = |level| json::json_message(Default::default(), level, "words", None);
        assert!(problems.wants(&json("error")) && !problems.wants(&json("info")));
        let both = Filter {
            problems: true,
            ..key("key-2")
        };
        assert_eq!(wanted(&both), [RETRIED]);
    }

    #[test]
    fn a_status_is_a_number_or_a_class() {
        for wrong in ["", "xx", "4", "4x", "44xx", "9xx", "600", "-1xx"] {
            assert!(wrong.parse::<Statuses>().is_err(), "{wrong}");
        }
        assert!("5XX".parse::<Statuses>().is_ok());
    }
}
