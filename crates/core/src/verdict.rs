//! What an upstream answer means: whose matter it is, and whether another key may be asked.

use crate::moment::Moment;

/// What became of one attempt. `wire` reads it from bytes, `policy` acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The upstream served it (1xx to 3xx).
    Served,
    /// The request itself is at fault: the answer goes to the client and touches nothing.
    ClientFault,
    /// This key was refused (401, 403). Held against it only if another key could serve the
    /// same request: a moderated prompt answers 403 with every key.
    KeyRefused,
    /// The account has no credit (402). Held against it as [`Verdict::KeyRefused`] is.
    CreditExhausted,
    /// The account must not be used until the given moment, if the provider named one (429).
    Throttled {
        /// The provider's own time.
        until: Option<Moment>,
    },
    /// The provider failed (5xx).
    ServerFault,
    /// No answer: connecting failed, or the connection broke before the response head.
    Unreachable,
}

/// How often another key may be asked after a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// Not at all: this answer is the answer.
    No,
    /// Each remaining key once: a refusal did nothing, so asking costs nothing.
    EachOnce,
    /// A few tries in all: the failure may be everywhere, or may have had an effect.
    Few,
}

impl Verdict {
    /// How often another key may be asked after this verdict.
    pub const fn elsewhere(self) -> Elsewhere {
        match self {
            Self::Served | Self::ClientFault => Elsewhere::No,
            Self::KeyRefused | Self::CreditExhausted | Self::Throttled { .. } => {
                Elsewhere::EachOnce
            }
            Self::ServerFault | Self::Unreachable => Elsewhere::Few,
        }
    }

    /// Whether the upstream certainly did nothing with the request, so that even one with side
    /// effects may be sent again. A broken connection or a 5xx proves nothing.
    pub const fn did_nothing(self) -> bool {
        matches!(
            self,
            Self::KeyRefused | Self::CreditExhausted | Self::Throttled { .. }
        )
    }

    /// Whether it counts as an error of the key in `status`.
    pub const fn is_error(self) -> bool {
        !matches!(self, Self::Served | Self::ClientFault)
    }
}
