//! Who decides which key serves a request: the real policy, or something to compare it with.

mod baseline;
mod old;
mod policy;

use api_key_lb_core::fact::{Affinity, Usage};
use api_key_lb_core::policy::Snapshot;
use api_key_lb_core::target::TargetError;

use crate::provider::Answer;
use crate::request::Request;
use crate::world::World;

pub use baseline::{Baseline, Rule};
pub use old::OldPackage;
pub use policy::PolicyRouter;

/// A request as routers see it; rows number the requests of a world.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Which one.
    pub row: usize,
    /// What it asks.
    pub request: &'a Request,
}

/// What a router decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send it with this key.
    Send {
        /// Its position.
        key: usize,
        /// How it relates to the session.
        affinity: Affinity,
    },
    /// Ask again then, or when anything has changed.
    Hold {
        /// When.
        until: u64,
    },
    /// Nothing can serve it.
    Refuse {
        /// When something might again.
        soonest: Option<u64>,
    },
}

/// Decides, and hears of everything that happens.
pub trait Router {
    /// A request comes.
    fn came(&mut self, call: Call<'_>, now: u64);
    /// Who serves it? If a key does, the attempt has begun.
    fn choose(&mut self, call: Call<'_>, now: u64) -> Decision;
    /// An attempt was answered; whether another one should be made.
    fn answered(
        &mut self,
        call: Call<'_>,
        key: usize,
        answer: &Answer,
        may_resend: bool,
        now: u64,
    ) -> bool;
    /// An attempt is over, with what its answer said about tokens if it came to its end.
    fn ended(&mut self, call: Call<'_>, key: usize, usage: Option<Usage>, now: u64);
    /// The request is over.
    fn gone(&mut self, call: Call<'_>, now: u64);
    /// What it would show of itself.
    fn snapshot(&mut self, _now: u64) -> Option<Snapshot> {
        None
    }
    /// Why it decided last as it did.
    fn reason(&self) -> String {
        String::new()
    }
}

/// The routers that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// The real policy.
    Policy,
    /// Keys take turns.
    RoundRobin,
    /// The session's hash decides.
    SessionHash,
    /// The least loaded key.
    LeastLoaded,
    /// The npm package `api-key-lb` 1.0.x.
    OldPackage,
}

impl Contender {
    /// All of them, the real policy first.
    pub const ALL: [Self; 5] = [
        Self::Policy,
        Self::RoundRobin,
        Self::SessionHash,
        Self::LeastLoaded,
        Self::OldPackage,
    ];

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::RoundRobin => "round-robin",
            Self::SessionHash => "hash",
            Self::LeastLoaded => "least-loaded",
            Self::OldPackage => "old",
        }
    }

    /// The one that is called so.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|contender| contender.name() == name)
    }

    /// A router for the keys of `world`.
    ///
    /// # Errors
    /// Never: see [`World::plan`].
    pub fn router(self, world: &World) -> Result<Box<dyn Router>, TargetError> {
        let by = |rule| Box::new(Baseline::new(rule, &world.keys));
        Ok(match self {
            Self::Policy => Box::new(PolicyRouter::new(world)?),
            Self::RoundRobin => by(Rule::RoundRobin),
            Self::SessionHash => by(Rule::SessionHash),
            Self::LeastLoaded => by(Rule::LeastLoaded),
            Self::OldPackage => Box::new(OldPackage::new(world.keys.len())),
        })
    }
}
