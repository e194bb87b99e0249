//! What an upstream answer means: whose matter it is, until when, and whether another key may be asked.

use serde::{Deserialize, Serialize};

use crate::moment::Moment;

/// Whose matter an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Matter {
    /// Nobody's: it was served.
    Served,
    /// The request's own: any key would be answered so.
    Request,
    /// The request names state that another account owns.
    State,
    /// The key's: it is unknown, revoked or not allowed here.
    Key,
    /// The key's, perhaps: a refusal without a reason. Firewalls and moderation answer so too.
    Suspicion,
    /// The account's money: no credit is left.
    Credit,
    /// The account's limit that is counted in seconds and minutes.
    AccountRate,
    /// The account's limit that is counted in hours and more.
    AccountQuota,
    /// The account's limit for this model, counted in seconds and minutes.
    ModelRate,
    /// The account's limit for this model, counted in hours and more.
    ModelQuota,
    /// Too many requests of the account run at once.
    Concurrency,
    /// The account breaks a rule of fair use; asking more makes it worse.
    FairUse,
    /// The key lacks this model or this feature.
    Entitlement,
    /// The provider has no capacity for this model, whoever asks.
    Overload,
    /// The provider failed.
    Server,
    /// There is no answer: connecting failed, or the connection broke before one.
    Network,
}

/// What became of one attempt. `wire` reads it from bytes, `policy` acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whose matter it is.
    pub matter: Matter,
    /// When the provider said that it is over, if it said so.
    pub until: Option<Moment>,
    /// Whether the provider forbade to send this request again (`x-should-retry: false`).
    pub final_answer: bool,
    /// The rule that decided, as the documentation names it.
    pub rule: &'static str,
}

/// How often another key may be asked after a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// Not at all: this answer is the answer.
    No,
    /// Each remaining account once: a refusal did nothing, so asking costs nothing.
    EachOnce,
    /// One other account: most likely it is answered the same.
    One,
    /// A few tries in all: the failure may be everywhere, or may have had an effect.
    Few,
}

impl Matter {
    /// Those that a rule of the configuration may name.
    pub const NAMEABLE: [Self; 12] = [
        Self::Request,
        Self::Key,
        Self::Credit,
        Self::AccountRate,
        Self::AccountQuota,
        Self::ModelRate,
        Self::ModelQuota,
        Self::Concurrency,
        Self::FairUse,
        Self::Entitlement,
        Self::Overload,
        Self::Server,
    ];

    /// The one that was remembered by its [`Matter::word`].
    pub fn remembered(word: &str) -> Option<Self> {
        let others = [Self::Served, Self::State, Self::Suspicion, Self::Network];
        let all = Self::NAMEABLE.into_iter().chain(others);
        all.into_iter().find(|matter| matter.word() == word)
    }

    /// Its name in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Request => "request",
            Self::State => "state",
            Self::Key => "key",
            Self::Suspicion => "suspicion",
            Self::Credit => "credit",
            Self::AccountRate => "account_rate",
            Self::AccountQuota => "account_quota",
            Self::ModelRate => "model_rate",
            Self::ModelQuota => "model_quota",
            Self::Concurrency => "concurrency",
            Self::FairUse => "fair_use",
            Self::Entitlement => "entitlement",
            Self::Overload => "overload",
            Self::Server => "server",
            Self::Network => "network",
        }
    }

    /// The one that a rule of the configuration means by `word`, in any case.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::NAMEABLE
            .into_iter()
            .find(|matter| matter.word().eq_ignore_ascii_case(word))
    }

    /// Its name in the log, in `why` and in the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Request => "the request's own fault",
            Self::State => "state of another account",
            Self::Key => "key refused",
            Self::Suspicion => "refused without a reason",
            Self::Credit => "no credit",
            Self::AccountRate => "account's rate limit",
            Self::AccountQuota => "account's quota",
            Self::ModelRate => "rate limit of the model",
            Self::ModelQuota => "quota of the model",
            Self::Concurrency => "too many at once",
            Self::FairUse => "fair use",
            Self::Entitlement => "not allowed for this key",
            Self::Overload => "provider overloaded",
            Self::Server => "provider failed",
            Self::Network => "unreachable",
        }
    }
}

impl Verdict {
    /// Served, by its status.
    pub const SERVED: Self = Self::new(Matter::Served, "status");

    /// With nothing said about time.
    pub const fn new(matter: Matter, rule: &'static str) -> Self {
        Self {
            matter,
            until: None,
            final_answer: false,
            rule,
        }
    }

    /// How often another key may be asked after this verdict.
    pub const fn elsewhere(self) -> Elsewhere {
        match self.matter {
            // Another try deepens a breach of fair use.
            Matter::Served | Matter::Request | Matter::State | Matter::FairUse => Elsewhere::No,
            Matter::Key
            | Matter::Suspicion
            | Matter::Credit
            | Matter::AccountRate
            | Matter::AccountQuota
            | Matter::ModelRate
            | Matter::ModelQuota
            | Matter::Concurrency
            | Matter::Entitlement => Elsewhere::EachOnce,
            Matter::Overload => Elsewhere::One,
            Matter::Server | Matter::Network => Elsewhere::Few,
        }
    }

    /// Whether the upstream certainly did nothing with the request, so that even one with side
    /// effects may be sent again. A broken connection or a 5xx proves nothing.
    pub const fn did_nothing(self) -> bool {
        matches!(self.elsewhere(), Elsewhere::EachOnce)
    }

    /// Whether the account's own limit was met, which ends by itself.
    pub const fn is_throttle(self) -> bool {
        matches!(
            self.matter,
            Matter::AccountRate
                | Matter::AccountQuota
                | Matter::ModelRate
                | Matter::ModelQuota
                | Matter::Concurrency
        )
    }

    /// Whether it counts as an error of the key in `status`.
    pub const fn is_error(self) -> bool {
        !matches!(
            self.matter,
            Matter::Served | Matter::Request | Matter::State
        )
    }
}
