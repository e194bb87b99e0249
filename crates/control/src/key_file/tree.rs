//! Finds its way about a file of JSON.

use std::ops::Range;

use jsonc_parser::ast::{Array, Object, Value as Node};
use jsonc_parser::common::Ranged as _;
use jsonc_parser::{CollectOptions, parse_to_ast};

use super::KeyFileError;
use crate::config::{syntax, syntax_problem};

pub(super) fn parse(text: &str) -> Result<Option<Node<'_>>, KeyFileError> {
    parse_to_ast(text, &CollectOptions::default(), &syntax())
        .map(|parsed| parsed.value)
        .map_err(|error| KeyFileError::Syntax {
            line: error.line_display(),
            column: error.column_display(),
            what: syntax_problem(&error),
        })
}

pub(super) fn object<'n, 'a>(
    root: Option<&'n Node<'a>>,
) -> Result<Option<&'n Object<'a>>, KeyFileError> {
    match root {
        None => Ok(None),
        Some(Node::Object(object)) => Ok(Some(object)),
        Some(_) => Err(KeyFileError::Shape(
            "the file does not hold one object, { … }",
        )),
    }
}

/// The object in which the keys of a pool are.
pub(super) fn holder<'n, 'a>(
    root: &'n Object<'a>,
    pool: &str,
) -> Result<&'n Object<'a>, KeyFileError> {
    if pool.is_empty() {
        return Ok(root);
    }
    let found = match member(root, "pools") {
        Some((_, Node::Object(pools))) => member(pools, pool),
        _ => None,
    };
    match found {
        Some((_, Node::Object(object))) => Ok(object),
        _ => Err(KeyFileError::NoPool(pool.to_owned())),
    }
}

/// The member of that name and its place; the last one if there are several, as for every JSON reader.
pub(super) fn member<'n, 'a>(object: &'n Object<'a>, name: &str) -> Option<(usize, &'n Node<'a>)> {
    let place = object
        .properties
        .iter()
        .rposition(|member| member.name.as_str() == name)?;
    Some((place, &object.properties[place].value))
}

/// The text of a simple member, trimmed; `None` if there is none, or an empty one.
pub(super) fn text(object: &Object<'_>, name: &str) -> Option<String> {
    let text = match member(object, name)?.1 {
        Node::StringLit(text) => text.value.trim().to_owned(),
        Node::NumberLit(number) => number.value.to_owned(),
        Node::BooleanLit(on) => on.value.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// Whether an element of a list of keys is one: empty texts are passed over.
pub(super) fn counts(node: &Node<'_>) -> bool {
    !matches!(node, Node::StringLit(text) if text.value.trim().is_empty())
}

pub(super) fn ranges(array: &Array<'_>) -> Vec<Range<usize>> {
    let elements = array.elements.iter();
    elements.map(|node| node.start()..node.end()).collect()
}

pub(super) fn members(object: &Object<'_>) -> Vec<Range<usize>> {
    let members = object.properties.iter();
    members
        .map(|member| member.range.start..member.range.end)
        .collect()
}

/// A text in JSON.
pub(super) fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
