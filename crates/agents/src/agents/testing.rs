//! What the tests of single agents share.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::agent::{Document, Machine, Os, Proposal};
use crate::aim::{Aim, Pool};
use crate::text::Format;

/// A pool for Z.ai without a name, and one for `OpenAI` with one.
pub(super) fn aim() -> Aim {
    let pool = |target: &str, base: &str| Pool {
        target: target.to_owned(),
        base: base.to_owned(),
    };
    Aim {
        pools: vec![
            pool("https://api.z.ai", "http://127.0.0.1:4577"),
            pool("https://api.openai.com", "http://127.0.0.1:4577/openai"),
        ],
        former: Vec::new(),
    }
}

/// Linux, without a project and variables.
pub(super) fn machine() -> Machine {
    Machine {
        os: Os::Linux,
        home: PathBuf::from("/home/me"),
        project: None,
        vars: BTreeMap::new(),
    }
}

/// The same with these variables.
pub(super) fn machine_with(vars: &[(&str, &str)]) -> Machine {
    Machine {
        vars: vars
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..machine()
    }
}

pub(super) fn document(path: &str, value: Value) -> Document {
    let format = match path.rsplit('.').next() {
        Some("yaml" | "yml") => Format::Yaml,
        Some("env") => Format::Dotenv,
        _ => Format::Json,
    };
    Document {
        path: PathBuf::from(path),
        format,
        value,
    }
}

/// What changes, by path, in whatever file.
pub(super) fn changes(proposal: &Proposal) -> Value {
    proposal
        .edits
        .iter()
        .flat_map(|edit| &edit.changes)
        .map(|change| (change.path.to_string(), change.to.clone()))
        .collect()
}
