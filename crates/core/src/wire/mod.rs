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
mod events;
pub mod extra_chunk;
pub mod guard;
pub mod headers;
pub mod identity;
pub mod include_usage;
pub mod json;
pub mod judge;
pub mod limits;
pub mod lists;
mod mark;
mod media;
pub mod opening;
pub mod owner;
pub mod patience;
pub mod probe;
mod quote;
pub mod references;
pub mod reply;
pub mod reset;
#[cfg(test)]
mod sample;
pub mod signals;
pub mod upload;
pub mod usage;
pub mod websocket;
