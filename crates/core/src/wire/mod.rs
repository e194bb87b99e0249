//! What bytes mean: request bodies, headers, paths, answers. Pure; knows nothing of accounts.

pub mod answer;
pub mod body;
pub mod credential;
pub mod dialect;
pub mod guard;
pub mod headers;
pub mod identity;
pub mod json;
pub mod provider;
pub mod reply;
pub mod usage;
