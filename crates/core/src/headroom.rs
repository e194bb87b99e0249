//! What a provider says is left of a limit.

use serde::{Deserialize, Serialize};

use crate::moment::Moment;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Axis {
    /// Requests.
    Requests,
    /// Tokens of prompt and answer.
    Tokens,
    /// Tokens of the prompt.
    InputTokens,
    /// Tokens of the answer.
    OutputTokens,
    /// A share of a subscription's window, in thousandths.
    Window,
}

/// One limit as an answer's headers state it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// What it counts.
    pub axis: Axis,
    /// Whether it is counted for the whole account, whatever the model.
    pub whole_account: bool,
    /// How much there is in all, if it was said.
    pub limit: Option<u64>,
    /// How much is left. Zero only if the next request would be refused: a provider that says to
    /// be over a limit but serves has one thousandth left.
    pub remaining: u64,
    /// When there is something again if nothing is left; when it is full otherwise.
    pub reset: Option<Moment>,
}

impl Bucket {
    /// All of an [`Axis::Window`].
    pub const WHOLE_WINDOW: u64 = 1000;
}
