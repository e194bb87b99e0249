//! What happens in a run, and who watches it.

use api_key_lb_core::fact::{Affinity, Usage};
use api_key_lb_core::verdict::Matter;

use crate::provider::Answer;
use crate::router::Router;
use crate::world::World;

/// How a request ended, as its client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was answered.
    Served,
    /// There was no key that could serve it.
    Refused,
    /// An error of the provider was passed on.
    Failed(Matter),
    /// The client waited as long as it waits.
    TimedOut,
    /// The client lost interest.
    Left,
}

/// What became of one request.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// When it came first; `None` if it never did.
    pub came: Option<u64>,
    /// How it ended; `None` if it never did.
    pub ending: Option<Ending>,
    /// The key that served it.
    pub key: Option<usize>,
    /// How that key relates to its session.
    pub affinity: Option<Affinity>,
    /// Attempts made.
    pub attempts: u32,
    /// Attempts that a limit of the provider refused.
    pub throttles: u32,
    /// Refusals for want of a key or because of a limit that its client got to see.
    pub throttles_seen: u32,
    /// How long it was held.
    pub held_ms: u64,
    /// From when it came until the attempt that was served was sent.
    pub wait_ms: u64,
    /// From when it came until its client had the first byte.
    pub first_byte_ms: u64,
    /// Tokens as they were.
    pub used: Usage,
}

/// Something that happened, for whoever watches.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// A request came, or came again.
    Came,
    /// It was sent with a key.
    Sent {
        /// Which one.
        key: usize,
        /// How it relates to the session.
        affinity: Affinity,
    },
    /// It is held.
    Held {
        /// Until then at the longest.
        until: u64,
    },
    /// No key is left.
    Refused,
    /// An attempt was answered.
    Answered {
        /// With which key.
        key: usize,
        /// How.
        answer: &'a Answer,
        /// Whether another attempt follows.
        again: bool,
    },
    /// An attempt is over.
    Ended {
        /// With which key.
        key: usize,
    },
    /// The request is over.
    Over(Ending),
}

/// Watches a run.
pub trait Observer {
    /// Something happened; an error ends the run.
    ///
    /// # Errors
    /// What must not be.
    fn step(
        &mut self,
        world: &World,
        router: &mut dyn Router,
        row: usize,
        step: &Step<'_>,
        now: u64,
    ) -> Result<(), String>;

    /// Everything is over.
    ///
    /// # Errors
    /// What must not be.
    fn finished(
        &mut self,
        _world: &World,
        _router: &mut dyn Router,
        _outcomes: &[Outcome],
        _now: u64,
    ) -> Result<(), String> {
        Ok(())
    }
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn step(
        &mut self,
        _world: &World,
        _router: &mut dyn Router,
        _row: usize,
        _step: &Step<'_>,
        _now: u64,
    ) -> Result<(), String> {
        Ok(())
    }
}

/// Something that must not be, and how to see it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}, step {step}, {at_ms} ms, request {row}: {what}")]
pub struct Violation {
    /// The world's seed.
    pub seed: u64,
    /// How many things had happened.
    pub step: u64,
    /// When.
    pub at_ms: u64,
    /// With which request.
    pub row: usize,
    /// What.
    pub what: String,
}
