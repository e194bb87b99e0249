//! The deciding half of api-key-lb: what bytes mean and which account serves a request.
//!
//! Nothing here reads a clock, a socket, a disk or an environment; time and counters are
//! arguments, so the proxy, the property tests and a simulator can step the very same code.
//!
//! - [`plan`]: what the person configured, validated and immutable.
//! - [`ladder`]: where a session id may stand, and in which order it is looked for.
//! - [`conversation`]: what a request shows of its conversation.
//! - [`fact`]: what was observed about one request.
//! - [`object`]: what a provider keeps for one account.
//! - [`provider`]: what is known of each provider.
//! - [`wire`]: what bytes mean (bodies, headers, paths, answers). Knows nothing of accounts.
//! - [`policy`]: which account serves. Knows nothing of bytes.
//!
//! `wire` and `policy` do not import each other.

pub mod conversation;
pub mod fact;
pub mod headroom;
pub mod ladder;
pub mod moment;
pub mod object;
pub mod plan;
pub mod policy;
pub mod provider;
pub mod secret;
pub mod target;
pub mod verdict;
pub mod wire;

pub use moment::Moment;
pub use plan::{AccountId, Key, KeyId, Plan, Pool};
pub use secret::Secret;
pub use verdict::Verdict;
