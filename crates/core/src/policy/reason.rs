//! Why a key was chosen, or why a request waits: kept as numbers, said in words only when asked.

use std::fmt;
use std::time::Duration;

use crate::headroom::Axis;
use crate::moment::Moment;
use crate::plan::Pool;
use crate::verdict::Matter;

/// What keeps an account from taking a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// It refused, and cools.
    Cooling {
        /// Until when.
        until: Moment,
        /// What for.
        why: Option<Matter>,
    },
    /// It said that nothing is left of a limit.
    Empty {
        /// Until when.
        until: Moment,
        /// Of which.
        axis: Axis,
    },
    /// It said that less is left of its tokens than the request has.
    Short {
        /// Until when.
        until: Moment,
    },
    /// It runs as many requests as it takes at once, or those that waited before will.
    Full {
        /// How many that is.
        at_once: u32,
    },
    /// It has just come back, and first shows that it serves again.
    Recovering,
    /// It has just failed this very request.
    Failed {
        /// By what.
        why: Matter,
    },
    /// The provider has no capacity for the model, whoever asks.
    Overloaded {
        /// Until when nobody asks.
        until: Moment,
    },
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// It is the session's home.
    Home,
    /// A new session, and this account has the least to do.
    LeastLoaded,
    /// A new session, and all have as little to do: its own order decides.
    Idle,
    /// A new session whose beginning is warm there.
    Prefix,
    /// Its home cannot serve right now.
    HomeBlocked,
    /// Its home will not serve for so long that its cache is lost.
    HomeParked,
    /// Its home's keys are refused, or gone from the configuration.
    HomeGone,
    /// Its home's keys were taken out of use by a person.
    HomeDisabled,
    /// Its home has forgotten it, and this account has not, or has more room.
    HomeCold,
    /// There is no session: the accounts take turns.
    Turn,
    /// It names something that only this account has.
    Owner,
}

/// Why a key was chosen, or is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Why.
    pub because: Because,
    /// A key of the session's home, as an index into [`Pool::keys`], where it is not the one chosen.
    pub home: Option<usize>,
    /// What keeps that home, or what is waited for, from serving.
    pub blocked: Option<Blocked>,
    /// Tokens of the prompt that are likely to come from the cache of the one chosen …
    pub warm: u32,
    /// … of so many in all, as far as they can be estimated; 0 if they cannot.
    pub of: u32,
}

impl Reason {
    /// For a request of which nothing more is known.
    pub const fn new(because: Because) -> Self {
        Self {
            because,
            home: None,
            blocked: None,
            warm: 0,
            of: 0,
        }
    }

    /// Whether there is more to say than the word for the affinity.
    pub const fn is_worth_saying(&self) -> bool {
        !matches!(self.because, Because::Home | Because::Idle | Because::Turn)
            || self.blocked.is_some()
    }

    /// In words, for the key at `key` of `pool`, which is used now.
    pub fn words<'r>(&'r self, pool: &'r Pool, key: usize, now: Moment) -> Words<'r> {
        Words {
            reason: self,
            pool,
            key,
            waits: false,
            now,
        }
    }

    /// In words, for the key at `key` of `pool`, which is waited for.
    pub fn waiting<'r>(&'r self, pool: &'r Pool, key: usize, now: Moment) -> Words<'r> {
        Words {
            waits: true,
            ..self.words(pool, key, now)
        }
    }
}

/// A reason, to be written: one line of visible ASCII.
#[derive(Debug)]
pub struct Words<'r> {
    reason: &'r Reason,
    pool: &'r Pool,
    key: usize,
    waits: bool,
    now: Moment,
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = |at: usize| self.pool.keys.get(at).map_or("?", |key| &key.label);
        let (reason, chosen) = (self.reason, label(self.key));
        if self.waits {
            write!(f, "waiting for {chosen}")?;
            if let Some(blocked) = reason.blocked {
                write!(f, ", which {}", State(blocked, self.now))?;
            }
            return self.warmth(f);
        }
        let home = reason.home.map_or("the home", label);
        match reason.because {
            Because::Home => write!(f, "home")?,
            Because::LeastLoaded => write!(f, "{chosen} has the least to do")?,
            Because::Idle => write!(f, "nothing decides between the accounts: {chosen} is first")?,
            Because::Prefix => write!(f, "begins like a conversation on {chosen}")?,
            Because::Turn => write!(f, "no session: {chosen} has its turn")?,
            Because::HomeBlocked => {
                write!(f, "home {home} ")?;
                match reason.blocked {
                    Some(blocked) => write!(f, "{}", State(blocked, self.now))?,
                    None => write!(f, "cannot serve")?,
                }
                write!(f, "; borrowed {chosen}")?;
            }
            Because::HomeParked => {
                write!(f, "home {home} ")?;
                match reason.blocked {
                    Some(blocked) => write!(f, "{}", State(blocked, self.now))?,
                    None => write!(f, "cannot serve")?,
                }
                write!(f, ", longer than its cache lasts; moved to {chosen}")?;
            }
            Because::HomeGone => match reason.home {
                Some(_) => write!(f, "home {home} is refused; moved to {chosen}")?,
                None => write!(f, "its home is gone; moved to {chosen}")?,
            },
            Because::HomeDisabled => write!(f, "home {home} is disabled; moved to {chosen}")?,
            Because::Owner => write!(f, "{chosen} has what the request names")?,
            Because::HomeCold => write!(f, "home {home} has forgotten it; moved to {chosen}")?,
        }
        self.warmth(f)
    }
}

impl Words<'_> {
    fn warmth(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (warm, of) = (self.reason.warm, self.reason.of);
        if of == 0 || (warm == 0 && !self.waits && self.reason.because != Because::HomeBlocked) {
            return Ok(());
        }
        let percent = (u64::from(warm) * 100 + u64::from(of) / 2) / u64::from(of);
        write!(f, ": {percent} % of {} tokens warm there", Tokens(of))
    }
}

/// What an account is in.
struct State(Blocked, Moment);

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = |until: Moment| Span(until.since(self.1));
        match self.0 {
            Blocked::Cooling { until, why } => {
                let why = why.map_or("throttled", Matter::as_str);
                write!(f, "cools for {} ({why})", left(until))
            }
            Blocked::Empty { until, axis } => {
                let what = match axis {
                    Axis::Requests => "requests",
                    Axis::Tokens => "tokens",
                    Axis::InputTokens => "input tokens",
                    Axis::OutputTokens => "output tokens",
                    Axis::Window => "% of its window",
                };
                write!(f, "has 0 {what} left for {}", left(until))
            }
            Blocked::Short { until } => {
                write!(f, "has too few tokens left for {}", left(until))
            }
            Blocked::Full { at_once } => write!(f, "runs {at_once} at once already"),
            Blocked::Failed { why } => write!(f, "has just failed ({})", why.as_str()),
            Blocked::Recovering => write!(f, "is being tried again"),
            Blocked::Overloaded { until } => {
                write!(
                    f,
                    "has no capacity for this model, asked again in {}",
                    left(until)
                )
            }
        }
    }
}

/// A span as people say it.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match self.0.as_secs() {
            _ if millis < 1_000 => write!(f, "{millis} ms"),
            seconds @ 0..=119 => write!(f, "{seconds} s"),
            seconds @ 120..=7_199 => write!(f, "{} min", seconds / 60),
            seconds @ 7_200..=172_799 => write!(f, "{} h", seconds / 3600),
            seconds => write!(f, "{} d", seconds / 86_400),
        }
    }
}

/// A number of tokens as people say it.
struct Tokens(u32);

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            tokens @ 0..=9_999 => write!(f, "{tokens}"),
            tokens => write!(f, "{}k", tokens / 1000),
        }
    }
}
