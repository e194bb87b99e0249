//! Simulated accounts and recorded traffic, stepped through the real policy of api-key-lb.
//!
//! Everything follows from a seed, and time is simulated: the same world runs the same way on
//! every machine, half an hour of traffic in a second.
//!
//! - [`trace`]: recorded requests; [`workload`]: generated ones; [`request`]: what one is.
//! - [`provider`]: accounts with limits, prompt caches and troubles.
//! - [`world`]: a provider, keys for it, settings and requests; [`random`]: small worlds from seeds.
//! - [`identity`]: what the proxy would have read of a request.
//! - [`router`]: the real policy, and others to compare it with.
//! - [`driver`]: steps a world through a router.
//! - [`outcome`]: what happens in a run, for whoever watches.
//! - [`invariants`]: what must be true after every step.
//! - [`report`]: what a run came to.

pub mod driver;
pub mod identity;
pub mod invariants;
pub mod outcome;
pub mod provider;
pub mod random;
pub mod report;
pub mod request;
pub mod rng;
pub mod router;
pub mod time;
pub mod trace;
pub mod workload;
pub mod world;
