//! A rule about errors, as data: which ones it is about, and what they mean.

use std::time::Duration;

use super::Provider;
use crate::verdict::Matter;

/// Which errors a rule is about, and what they mean. All conditions must hold.
#[derive(Clone, Copy, Debug)]
pub struct ErrorRule {
    /// Its name in the log and the documentation: the code, or a word for the text.
    pub name: &'static str,
    /// Statuses, or a single digit for all that begin with it; none for any.
    pub status: &'static [u16],
    /// Codes, types and reasons, in lower case; one of them must be there, where a `*` stands for
    /// any beginning or end. None for any.
    pub codes: &'static [&'static str],
    /// Phrases of the message, in lower case; one of them must be there. None for any.
    pub phrases: &'static [&'static str],
    /// Further conditions.
    pub when: &'static [When],
    /// What it means.
    pub matter: Matter,
    /// When it is over, if the answer does not say.
    pub over: Over,
    /// Where this is known from.
    pub source: &'static str,
}

/// A rule of the person's own, from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct OwnErrorRule {
    /// Whose answers it is about; `None` for everybody's.
    pub provider: Option<&'static Provider>,
    /// Which of them, and what they mean.
    pub rule: ErrorRule,
}

/// A further condition of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The answer has this header.
    Header(&'static str),
    /// The answer has this header with this value, in lower case.
    HeaderIs(&'static str, &'static str),
    /// No header of the answer begins so.
    NoHeaderLike(&'static str),
    /// The message has one of these phrases, too.
    Also(&'static [&'static str]),
    /// The request alone is larger than the limit: `Limit 8000, Requested 10098`.
    NeverFits,
    /// The limit that it names is zero: `limit: 0`.
    LimitIsZero,
    /// It is not a page that something on the way sent.
    NotAPage,
}

/// When a limit is over that names no time. A moment of the calendar holds even if the answer
/// names an earlier time: what is counted by the day is sent with a wait of seconds by some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Unknown: back off.
    Unknown,
    /// After this long.
    After(Duration),
    /// At the next midnight in the zone so many hours east of UTC.
    Midnight(i8),
    /// At the next midnight of the American west coast.
    PacificMidnight,
    /// At the next multiple of `period` since the epoch, shifted by `offset`; the same for
    /// everybody, as some subscriptions' windows are. Only a guess: an answer's own time wins.
    Every {
        /// How long the window is.
        period: Duration,
        /// When the first one began, after the epoch.
        offset: Duration,
    },
}

impl ErrorRule {
    /// The rule at `index` of the configuration's `error_rules`. Codes and phrases may be in any
    /// case.
    ///
    /// What it is made of is leaked, so that it is the same type as the built-in rules: a
    /// configuration is loaded once per start or by a person's hand, and that is a few hundred bytes.
    pub fn own(
        index: usize,
        status: Vec<u16>,
        codes: Vec<String>,
        phrases: Vec<String>,
        matter: Matter,
        wait: Option<Duration>,
    ) -> Self {
        let name = format!("error_rules[{index}]").leak();
        Self {
            status: status.leak(),
            codes: lower_case(codes),
            phrases: lower_case(phrases),
            over: wait.map_or(Over::Unknown, Over::After),
            ..Self::new(name, matter, "configuration")
        }
    }

    /// About every error, until it is narrowed down.
    pub(crate) const fn new(name: &'static str, matter: Matter, source: &'static str) -> Self {
        Self {
            name,
            status: &[],
            codes: &[],
            phrases: &[],
            when: &[],
            matter,
            over: Over::Unknown,
            source,
        }
    }

    /// Only these statuses.
    pub(crate) const fn on(mut self, status: &'static [u16]) -> Self {
        self.status = status;
        self
    }

    /// Only these codes.
    pub(crate) const fn codes(mut self, codes: &'static [&'static str]) -> Self {
        self.codes = codes;
        self
    }

    /// Only these phrases.
    pub(crate) const fn says(mut self, phrases: &'static [&'static str]) -> Self {
        self.phrases = phrases;
        self
    }

    /// Only under these conditions.
    pub(crate) const fn when(mut self, when: &'static [When]) -> Self {
        self.when = when;
        self
    }

    /// When it is over.
    pub(crate) const fn over(mut self, over: Over) -> Self {
        self.over = over;
        self
    }
}

fn lower_case(texts: Vec<String>) -> &'static [&'static str] {
    let texts = texts.into_iter().map(|text| &*text.to_lowercase().leak());
    texts.collect::<Vec<_>>().leak()
}
