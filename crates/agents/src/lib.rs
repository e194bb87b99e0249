//! Finds the configuration files of coding agents, points them at the proxy, and takes that back exactly.
//!
//! - [`text`]: JSON with comments, TOML, YAML and `.env` files, changed without touching anything else.
//! - [`agent`]: what an agent is to `setup`: its files, and what must change in them.
//! - [`agents`]: one file for each agent.
//! - [`aim`]: which URLs lead to a pool's provider, and what they become.
//!
//! Nothing here asks the environment or reads a file by itself: a [`agent::Machine`] and the texts of the
//! files are given, so that every case can be tested. Reading and writing them is `api-key-lb setup`'s.

pub mod agent;
pub mod agents;
pub mod aim;
pub mod text;
