//! What there is to say about the keys of a file.

use api_key_lb_core::Secret;

use super::tree::literal;

/// Why a file cannot be read or edited. Never quotes it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// It is no JSON.
    #[error("line {line}, column {column}: {what}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong and what to do.
        what: String,
    },
    /// Something in it is not what it should be.
    #[error("{0}; correct it by hand first")]
    Shape(&'static str),
    /// There is no such pool.
    #[error("there is no pool called `{0}`")]
    NoPool(String),
    /// What came out is not what was meant.
    #[error("the file is written in a way that this cannot edit safely; make the change by hand")]
    Unsafe,
}

/// A key as it stands in the file.
#[derive(Clone, Debug)]
pub struct FileKey {
    /// The name of its pool; empty for the default one.
    pub pool: String,
    /// Its place in the pool's list, from 0.
    pub index: usize,
    /// What it is called: as the file says, else by its place.
    pub label: String,
    /// Whether the file says so.
    pub is_labelled: bool,
    /// The key, or where it is.
    pub written: Secret,
    /// Its share of the sessions; `None` if none is given, or no number.
    pub weight: Option<u32>,
    /// The name of its account.
    pub account: Option<String>,
    /// Whether it must not serve.
    pub disabled: bool,
}

/// A key to be added.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The key, or where it is.
    pub written: Secret,
    /// What it shall be called.
    pub label: Option<String>,
    /// Its share of the sessions.
    pub weight: Option<u32>,
    /// The name of its account.
    pub account: Option<String>,
}

/// What shall be different about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// What it is called; `None`: by its place.
    Label(Option<String>),
    /// Its share of the sessions; `None`: the usual.
    Weight(Option<u32>),
    /// The name of its account; `None`: one of its own.
    Account(Option<String>),
    /// Whether it must not serve.
    Disabled(bool),
}

impl KeyChange {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Label(_) => "label",
            Self::Weight(_) => "weight",
            Self::Account(_) => "account",
            Self::Disabled(_) => "disabled",
        }
    }

    /// In JSON; `None` if nothing shall be said of it.
    pub(super) fn value(&self) -> Option<String> {
        match self {
            Self::Label(text) | Self::Account(text) => text.as_deref().map(literal),
            Self::Weight(weight) => weight.map(|weight| weight.to_string()),
            Self::Disabled(on) => on.then(|| on.to_string()),
        }
    }

    pub(super) fn apply(&self, key: &mut Comparable) {
        match self {
            Self::Label(label) => key.label.clone_from(label),
            Self::Weight(weight) => key.weight = *weight,
            Self::Account(account) => key.account.clone_from(account),
            Self::Disabled(on) => key.disabled = *on,
        }
    }
}

/// What must be the same about a key before and after.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Comparable {
    pub(super) pool: String,
    pub(super) written: String,
    pub(super) label: Option<String>,
    pub(super) weight: Option<u32>,
    pub(super) account: Option<String>,
    pub(super) disabled: bool,
}
