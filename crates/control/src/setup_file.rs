//! What `setup` writes: the wanted keys, target and port, everything else in the file left as it was.

use std::collections::BTreeSet;

use api_key_lb_core::target::{Target, TargetError};
use jsonc_parser::cst::{CstInputValue, CstNode, CstObject, CstObjectProp, CstRootNode};

use crate::config::{
    DEFAULT_PORT, DEFAULT_TARGET, key_objection, label_objection, syntax, syntax_problem,
    without_mark,
};

pub use crate::private_file::write_private;

/// Why a text cannot be a key: what is wrong and what to do, with at most its mask; `None` if it can.
pub fn key_problem(key: &str) -> Option<String> {
    key_objection(key)
}

/// Why a text cannot be a label; `None` if it can.
pub fn label_problem(label: &str) -> Option<String> {
    label_objection(label)
}

/// What `setup` was asked to set.
#[derive(Clone, Default)]
pub struct SetupChanges {
    /// Comma-separated keys that replace those in the file.
    pub keys: Option<String>,
    /// The base URL of the provider.
    pub target: Option<String>,
    /// The TCP port.
    pub port: Option<u16>,
}

impl std::fmt::Debug for SetupChanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetupChanges")
            .field("keys", &self.keys.as_ref().map(|_| "…"))
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// Why nothing was written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The file is no JSON.
    #[error("line {line}, column {column}: {what}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong and what to do.
        what: String,
    },
    /// The file holds something else than an object.
    #[error(
        "line 1: the file must hold one object, {{ … }}; correct it, or move it away and run setup again"
    )]
    NotAnObject,
    /// No keys given, none in the file.
    #[error(
        "there are no keys yet; give them: api-key-lb setup --keys KEY1,KEY2 --target {DEFAULT_TARGET}"
    )]
    NoKeys,
    /// No target given, none in the file.
    #[error(
        "there is no target yet; name your provider: api-key-lb setup --target {DEFAULT_TARGET} (or \
         https://api.anthropic.com, https://openrouter.ai/api/v1, https://api.z.ai, …)"
    )]
    NoTarget,
    /// A given key cannot be one.
    #[error("--keys: key {position}: {what}")]
    Key {
        /// From 1.
        position: usize,
        /// What is wrong and what to do; at most the key's mask.
        what: String,
    },
    /// The given target is none.
    #[error("--target: {0}")]
    Target(#[from] TargetError),
}

/// The text of the configuration file after `changes`. Comments, order, unknown fields and
/// formatting of `existing` stay; keys that were there already keep their labels.
///
/// # Errors
/// If the file is broken, a change is invalid, or keys or target would still be missing.
pub fn merge(existing: Option<&str>, changes: &SetupChanges) -> Result<String, SetupError> {
    let keys = changes.keys.as_deref().map(wanted_keys).transpose()?;
    let target = changes
        .target
        .as_deref()
        .map(str::trim)
        .filter(|target| !target.is_empty());
    target.map(Target::parse).transpose()?;

    let text = existing.map(without_mark).unwrap_or_default();
    let is_new = text.trim().is_empty();
    // A new object in the form that everything is then added to line by line.
    let root =
        CstRootNode::parse(if is_new { "{\n}\n" } else { text }, &syntax()).map_err(|error| {
            SetupError::Syntax {
                line: error.line_display(),
                column: error.column_display(),
                what: syntax_problem(&error),
            }
        })?;
    let object = match root.value() {
        None => root.object_value_or_set(),
        Some(value) => value.as_object().ok_or(SetupError::NotAnObject)?,
    };

    let has_pools = value(&object, "pools")
        .and_then(|pools| pools.as_object())
        .is_some_and(|pools| !pools.properties().is_empty());
    // What is given twice counts where it stands last; only pools need neither.
    if let Some(target) = target {
        set(&object, "target", target, target.into());
    } else if text_of(value(&object, "target")).is_none() && !has_pools {
        // Keys first: who gave neither is told the command that gives both.
        let has_keys = keys.is_some() || !present_keys(&object).is_empty();
        return Err(if has_keys {
            SetupError::NoTarget
        } else {
            SetupError::NoKeys
        });
    }
    let wanted = match keys {
        Some(keys) => keys,
        None => present_keys(&object),
    };
    if wanted.is_empty() {
        if !has_pools {
            return Err(SetupError::NoKeys);
        }
    } else {
        set_keys(&object, &wanted);
    }
    match changes.port {
        Some(port) => set(
            &object,
            "port",
            &port.to_string(),
            CstInputValue::Number(port.to_string()),
        ),
        None if has_port(&object) => {}
        None => set(
            &object,
            "port",
            "",
            CstInputValue::Number(DEFAULT_PORT.to_string()),
        ),
    }
    let mut merged = root.to_string();
    if !merged.ends_with('\n') {
        merged.push('\n');
    }
    Ok(merged)
}

/// The keys in a comma-separated text, each once.
fn wanted_keys(text: &str) -> Result<Vec<String>, SetupError> {
    let mut seen = BTreeSet::new();
    let mut keys = Vec::new();
    for (index, key) in text.split(',').map(str::trim).enumerate() {
        if key.is_empty() || !seen.insert(key) {
            continue;
        }
        if let Some(what) = key_objection(key) {
            return Err(SetupError::Key {
                position: index + 1,
                what,
            });
        }
        keys.push(key.to_owned());
    }
    if keys.is_empty() {
        Err(SetupError::NoKeys)
    } else {
        Ok(keys)
    }
}

/// The member called `name`; the last one if there are several, as for every JSON reader.
fn member(object: &CstObject, name: &str) -> Option<CstObjectProp> {
    object
        .properties()
        .into_iter()
        .rev()
        .find(|member| member.decoded_name().as_deref() == Some(name))
}

fn value(object: &CstObject, name: &str) -> Option<CstNode> {
    member(object, name)?.value()
}

/// The text of a node, trimmed; `None` if it is none or empty.
fn text_of(node: Option<CstNode>) -> Option<String> {
    let text = node?.as_string_lit()?.decoded_value().ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn has_port(object: &CstObject) -> bool {
    value(object, "port").is_some_and(|port| port.as_null_keyword().is_none())
}

/// The key an element of the list stands for.
fn key_of(element: &CstNode) -> Option<String> {
    text_of(Some(match element.as_object() {
        Some(object) => value(&object, "key")?,
        None => element.clone(),
    }))
}

fn present_keys(object: &CstObject) -> Vec<String> {
    let Some(keys) = value(object, "keys") else {
        return Vec::new();
    };
    match keys.as_array() {
        Some(list) => list.elements().iter().filter_map(key_of).collect(),
        None => text_of(Some(keys))
            .iter()
            .flat_map(|text| text.split(','))
            .map(|key| key.trim().to_owned())
            .filter(|key| !key.is_empty())
            .collect(),
    }
}

/// Sets a member unless it already says the same.
fn set(object: &CstObject, name: &str, same: &str, new: CstInputValue) {
    match member(object, name) {
        None => {
            object.append(name, new);
        }
        Some(member) => {
            let current = member.value();
            let unchanged = current
                .as_ref()
                .is_some_and(|current| match current.as_number_lit() {
                    Some(number) => number.to_string() == same,
                    None => text_of(Some(current.clone())).as_deref() == Some(same),
                });
            if !unchanged {
                member.set_value(new);
            }
        }
    }
}

/// Makes `keys` a list of `wanted`. Entries that stay are not touched, whatever else they hold.
fn set_keys(object: &CstObject, wanted: &[String]) {
    let list = || CstInputValue::Array(wanted.iter().map(|key| key.as_str().into()).collect());
    let Some(keys) = member(object, "keys") else {
        object.append("keys", list());
        break_lines(object);
        return;
    };
    let Some(array) = keys.array_value() else {
        keys.set_value(list());
        break_lines(object);
        return;
    };
    let mut present = BTreeSet::new();
    for element in array.elements() {
        match key_of(&element) {
            Some(key) if wanted.contains(&key) => {
                present.insert(key);
            }
            _ => element.remove(),
        }
    }
    for key in wanted {
        if !present.contains(key) {
            array.append(key.as_str().into());
        }
    }
}

/// One key per line, so that one can be commented out.
fn break_lines(object: &CstObject) {
    if let Some(keys) = member(object, "keys").and_then(|keys| keys.array_value()) {
        keys.ensure_multiline();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn changes(keys: Option<&str>, target: Option<&str>, port: Option<u16>) -> SetupChanges {
        SetupChanges {
            keys: keys.map(Into::into),
            target: target.map(Into::into),
            port,
        }
    }

    fn all() -> SetupChanges {
        changes(Some("k1, k2,,k1"), Some("https://api.z.ai"), Some(4600))
    }

    const FRESH: &str = "{\n  \"target\": \"https://api.z.ai\",\n  \"keys\": [\n    \"k1\",\n    \"k2\"\n  ],\n  \"port\": 4600\n}\n";

    #[test]
    fn a_new_file_holds_target_keys_and_port() {
        for existing in [
            None,
            Some(""),
            Some(" \n"),
            Some("{}"),
            Some("\u{feff}{}\n"),
        ] {
            assert_eq!(merge(existing, &all()).unwrap(), FRESH, "{existing:?}");
        }
        let defaulted = merge(None, &changes(Some("k1"), Some("https://h"), None)).unwrap();
        assert!(defaulted.contains("\"port\": 4577"), "{defaulted}");
    }

    #[test]
    fn comments_order_unknown_fields_and_labels_stay() {
        let existing = r#"// mine
{
  "zebra": { "x": [1, 2] }, // unknown
  "port": "4600",
  /* the keys */
  "keys": [
    { "key": "k1", "label": "home" }, // at home
    "k3", // to go
    "k2", // at work
  ],
  "target": "https://old.example",
}
"#;
        let expected = r#"// mine
{
  "zebra": { "x": [1, 2] }, // unknown
  "port": "4600",
  /* the keys */
  "keys": [
    { "key": "k1", "label": "home" }, // at home
    "k2", // at work
    "k4",
  ],
  "target": "https://new.example",
}
"#;
        let changes = changes(Some("k1,k2,k4"), Some("https://new.example"), Some(4600));
        let merged = merge(Some(existing), &changes).unwrap();
        assert_eq!(merged, expected);
        assert_eq!(merge(Some(&merged), &changes).unwrap(), merged);
    }

    #[test]
    fn the_old_form_of_keys_becomes_a_list() {
        let old = r#"{"target": "https://api.z.ai", "keys": "k1, k2", "cooldown_ms": 60000}"#;
        let merged = merge(Some(old), &SetupChanges::default()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&merged).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"target": "https://api.z.ai", "keys": ["k1", "k2"], "cooldown_ms": 60000, "port": 4577})
        );
    }

    #[test]
    fn without_keys_or_target_nothing_is_made() {
        let merge =
            |existing, keys, target| merge(existing, &changes(keys, target, None)).unwrap_err();
        assert_eq!(merge(None, None, None), SetupError::NoKeys);
        assert_eq!(
            merge(None, Some(" , "), Some("https://h")),
            SetupError::NoKeys
        );
        assert_eq!(merge(None, None, Some("https://h")), SetupError::NoKeys);
        assert_eq!(
            merge(Some(r#"{"keys": [], "target": "https://h"}"#), None, None),
            SetupError::NoKeys
        );
        assert_eq!(merge(Some("{}"), Some("k"), None), SetupError::NoTarget);
        assert!(
            SetupError::NoKeys
                .to_string()
                .contains("api-key-lb setup --keys")
        );
        assert!(
            SetupError::NoTarget
                .to_string()
                .contains("api-key-lb setup --target")
        );
    }

    #[test]
    fn a_file_with_pools_needs_neither() {
        let pools = r#"{"pools": {"zai": {"target": "https://api.z.ai", "keys": ["k"]}}}"#;
        let merged = merge(Some(pools), &changes(None, None, Some(4600))).unwrap();
        assert!(merged.contains("\"port\": 4600"), "{merged}");
        assert!(
            !merged.contains("\"target\": \"https://api.openai"),
            "{merged}"
        );
    }

    #[test]
    fn what_counts_is_the_last_of_a_field_given_twice() {
        let merged = merge(
            Some(r#"{"port": 1, "port": 2, "keys": ["k"], "target": "https://h"}"#),
            &changes(None, None, Some(3)),
        )
        .unwrap();
        assert!(merged.contains(r#""port": 1, "port": 3"#), "{merged}");
    }

    #[test]
    fn a_broken_file_is_refused_with_its_line() {
        let error = merge(Some("{\n  \"keys\": [\"sk-planted\",\n"), &all())
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("line 2, column"), "{error}");
        assert!(!error.contains("planted"), "{error}");
        assert_eq!(merge(Some("[1]"), &all()), Err(SetupError::NotAnObject));
    }

    #[test]
    fn a_key_or_target_that_cannot_be_one_is_refused() {
        let error = merge(
            None,
            &changes(
                Some("k1,sk-planted two-three-four"),
                Some("https://h"),
                None,
            ),
        )
        .unwrap_err()
        .to_string();
        assert!(
            error.starts_with("--keys: key 2: `sk-plant...` holds a space at position 11"),
            "{error}"
        );
        let error = merge(None, &changes(Some("k"), Some("api.z.ai"), None)).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("--target: `api.z.ai` is not a URL"),
            "{error}"
        );
        let named = "env:MY_KEY,file:~/k,cmd:pass show k,keychain:work";
        assert!(merge(None, &changes(Some(named), Some("https://h"), None)).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn merging_twice_is_merging_once(
            before in proptest::collection::vec("[a-e]{1,2}", 0..5),
            after in proptest::collection::vec("[a-e]{1,2}", 1..5),
            compact in any::<bool>(),
            port in any::<Option<u16>>(),
        ) {
            let existing = serde_json::json!({"z": 1, "keys": before, "a": null});
            let existing = if compact { existing.to_string() } else { serde_json::to_string_pretty(&existing).unwrap() };
            let changes = changes(Some(&after.join(",")), Some("https://h/v1"), port);
            let once = merge(Some(&existing), &changes).unwrap();
            prop_assert_eq!(&merge(Some(&once), &changes).unwrap(), &once);
            let value: serde_json::Value = serde_json::from_str(&once).unwrap();
            let got: BTreeSet<_> = value["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
            let want: BTreeSet<_> = after.iter().map(String::as_str).collect();
            prop_assert_eq!(got, want);
            prop_assert_eq!(&value["z"], 1);
        }
    }
}
