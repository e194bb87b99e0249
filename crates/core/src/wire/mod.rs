//! What bytes mean: request bodies, headers, paths, answers. Pure; knows nothing of accounts.

pub mod answer;
pub mod body;
mod canonical;
pub mod capture;
pub mod chain;
pub mod credential;
pub mod decoding;
pub mod dialect;
mod digest;
pub mod guard;
pub mod headers;
pub mod identity;
pub mod json;
mod mark;
pub mod provider;
mod quote;
pub mod reply;
#[cfg(test)]
mod sample;
pub mod usage;
