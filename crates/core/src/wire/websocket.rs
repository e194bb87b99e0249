//! WebSocket (RFC 6455): the handshake, and what passes over a connection, read in passing.
//!
//! Bytes are never changed. What is read says which account to use next time, and what this one has
//! left; whatever cannot be read passes all the same.

mod frames;
mod handshake;
mod kind;
mod messages;
mod talk;
#[cfg(test)]
mod tests;

pub use handshake::{
    Coding, Offer, is_accepted, is_handshake, offered_tokens, prepare, prepare_answer, same_terms,
};
pub use talk::{ClientTalk, Created, Said, ServerTalk};
