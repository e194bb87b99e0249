//! JSON, with what JSONC and JSON5 add: where its values stand, and how they are changed.

mod style;

use std::ops::Range;

use jsonc_parser::ast::{Object, ObjectProp, Value as Node};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde_json::{Map, Number, Value};

use self::style::Style;
use super::check::{
    Piece, Refusal, SyntaxError, begins_line, end_of_line, indentation, line_start,
};
use super::{Path, Step};

const NOT_THERE: &str = "nothing stands there";

/// Whether whoever could read the text before still can: many programs allow neither trailing commas nor
/// anything else that JSON does not.
pub(super) fn is_as_readable(before: &str, after: &str) -> bool {
    let is_json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let options = ParseOptions {
        allow_trailing_commas: false,
        ..ParseOptions::default()
    };
    let ends_plainly =
        |text: &str| parse_to_ast(text, &CollectOptions::default(), &options).is_ok();
    (!is_json(before) || is_json(after)) && (!ends_plainly(before) || ends_plainly(after))
}

/// `None` if the text says nothing.
fn tree(text: &str) -> Result<Option<Node<'_>>, SyntaxError> {
    // No program that reads such a file would understand it.
    let options = ParseOptions {
        allow_missing_commas: false,
        ..ParseOptions::default()
    };
    parse_to_ast(text, &CollectOptions::default(), &options)
        .map(|parsed| parsed.value)
        .map_err(|error| SyntaxError::at(text, error.range().start, error.kind().to_string()))
}

pub(super) fn parse(text: &str) -> Result<Value, SyntaxError> {
    Ok(tree(text)?.map_or_else(|| Value::Object(Map::new()), |node| value(&node)))
}

fn value(node: &Node<'_>) -> Value {
    match node {
        Node::StringLit(literal) => Value::String(literal.value.to_string()),
        Node::NumberLit(literal) => number(literal.value),
        Node::BooleanLit(literal) => Value::Bool(literal.value),
        Node::NullKeyword(_) => Value::Null,
        Node::Array(array) => array.elements.iter().map(value).collect(),
        Node::Object(object) => Value::Object(
            object
                .properties
                .iter()
                .map(|member| (member.name.as_str().to_owned(), value(&member.value)))
                .collect(),
        ),
    }
}

/// A number, as far as there are such; what JSON5 has besides is only ever compared.
fn number(written: &str) -> Value {
    if let Ok(number) = serde_json::from_str::<Number>(written) {
        return Value::Number(number);
    }
    let unsigned = written.trim_start_matches(['+', '-']);
    let hexadecimal = unsigned
        .strip_prefix("0x")
        .or_else(|| unsigned.strip_prefix("0X"));
    let magnitude = match hexadecimal {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(Number::from),
        None => unsigned.parse().ok().and_then(Number::from_f64),
    };
    match magnitude {
        Some(number) if !written.starts_with('-') => Value::Number(number),
        _ => Value::String(written.to_owned()),
    }
}

fn find<'n, 'a>(node: &'n Node<'a>, steps: &[Step]) -> Option<&'n Node<'a>> {
    steps
        .iter()
        .try_fold(node, |node, step| match (step, node) {
            (Step::Key(key), Node::Object(object)) => member(object, key).map(|found| &found.value),
            (Step::Index(index), Node::Array(array)) => array.elements.get(*index),
            _ => None,
        })
}

/// The last member of that name, which is the one that counts.
fn member<'n, 'a>(object: &'n Object<'a>, key: &str) -> Option<&'n ObjectProp<'a>> {
    object
        .properties
        .iter()
        .rfind(|member| member.name.as_str() == key)
}

fn range(node: &impl Ranged) -> Range<usize> {
    node.start()..node.end()
}

pub(super) fn span(text: &str, path: &Path) -> Option<Range<usize>> {
    Some(range(find(&tree(text).ok()??, &path.0)?))
}

fn root(text: &str) -> Result<Option<Node<'_>>, Refusal> {
    tree(text).map_err(|_| Refusal::new(0, "the file cannot be understood"))
}

pub(super) fn replace(text: &str, path: &Path, to: &Value) -> Result<Vec<Piece>, Refusal> {
    let root = root(text)?;
    let range = root
        .as_ref()
        .and_then(|root| find(root, &path.0))
        .map(range)
        .ok_or(Refusal::new(0, NOT_THERE))?;
    let quote = if text[range.clone()].starts_with('\'') {
        '\''
    } else {
        '"'
    };
    let mut style = Style::of(text, root.as_ref());
    style.quote = quote;
    Ok(vec![Piece::replace(range, style.inline(to))])
}

pub(super) fn insert(
    text: &str,
    parent: &[Step],
    key: &str,
    to: &Value,
) -> Result<Vec<Piece>, Refusal> {
    let Some(root) = root(text)? else {
        return Ok(vec![new_document(text, key, to)]);
    };
    let node = find(&root, parent).ok_or(Refusal::new(0, NOT_THERE))?;
    let style = Style::of(text, Some(&root));
    let object = match node {
        Node::Object(object) => object,
        Node::NullKeyword(null) => {
            let indent = indentation(text, null.range.start);
            let made = Value::Object(Map::from_iter([(key.to_owned(), to.clone())]));
            return Ok(vec![Piece::replace(
                range(null),
                style.written(&made, indent),
            )]);
        }
        other => return Err(Refusal::new(other.start(), "this is not an object")),
    };
    match object.properties.last() {
        Some(last) => Ok(style.beside(text, object, last).behind(text, key, to)),
        None => Ok(style.first(text, object, key, to)),
    }
}

/// All of a file that says nothing yet.
fn new_document(text: &str, key: &str, to: &Value) -> Piece {
    let style = Style::of(text, None);
    let made = Value::Object(Map::from_iter([(key.to_owned(), to.clone())]));
    let gap = if begins_line(text, text.len()) {
        ""
    } else {
        style.line_end
    };
    let document = format!("{gap}{}{}", style.written(&made, ""), style.line_end);
    Piece::insert(text.len(), document)
}

pub(super) fn remove(text: &str, path: &Path) -> Result<Vec<Piece>, Refusal> {
    let root = root(text)?.ok_or(Refusal::new(0, NOT_THERE))?;
    let (Some(Step::Key(key)), parent) = (path.0.last(), &path.0[..path.0.len().max(1) - 1]) else {
        return Err(Refusal::new(0, "this is not a member of an object"));
    };
    let Some(Node::Object(object)) = find(&root, parent) else {
        return Err(Refusal::new(0, NOT_THERE));
    };
    let place = object
        .properties
        .iter()
        .rposition(|member| member.name.as_str() == key)
        .ok_or(Refusal::new(object.start(), NOT_THERE))?;
    let member = &object.properties[place];
    let inside = object.start() + 1..object.end() - 1;
    let comma = comma_behind(text, member.end());
    let end = comma.map_or(member.end(), |comma| comma + 1);
    if object.properties.len() == 1 {
        let around = [
            &text[inside.start..member.start()],
            &text[member.end()..comma.unwrap_or(end)],
            &text[end..inside.end],
        ];
        if around.iter().all(|text| text.trim().is_empty()) {
            return Ok(vec![Piece::delete(inside)]);
        }
    }
    let alone = begins_line(text, member.start());
    let start = if alone {
        // With the line end before it, so that what stands behind the last line stays as it is.
        let line = line_start(text, member.start());
        end_of_line(text, line_start(text, line.saturating_sub(1))).min(line)
    } else {
        let before = &text[..member.start()];
        before.trim_end_matches([' ', '\t']).len()
    };
    let mut pieces = Vec::new();
    let is_last = place + 1 == object.properties.len();
    match (place.checked_sub(1), comma) {
        (Some(before), None) if is_last => {
            if let Some(comma) = comma_behind(text, object.properties[before].end()) {
                pieces.push(Piece::delete(comma..comma + 1));
            }
        }
        _ => {}
    }
    // What stands behind it in its line stays in a line of its own.
    let rest_of_line = &text[end..end_of_line(text, end)];
    let shares_line = !rest_of_line.trim().is_empty();
    if (alone && shares_line) || (!alone && place == 0) {
        let blanks = rest_of_line.len() - rest_of_line.trim_start_matches([' ', '\t']).len();
        pieces.push(Piece::delete(member.start()..end + blanks));
    } else {
        pieces.push(Piece::delete(start..end));
    }
    Ok(pieces)
}

/// The comma that follows, if nothing but blanks and comments stands between.
fn comma_behind(text: &str, from: usize) -> Option<usize> {
    let at = skip_comments(text, from);
    text[at..].starts_with(',').then_some(at)
}

/// Where neither a blank nor a comment stands.
fn skip_comments(text: &str, mut at: usize) -> usize {
    loop {
        let rest = &text[at..];
        at += rest.len() - rest.trim_start().len();
        match comment_end(text, at) {
            Some(end) => at = end,
            None => return at,
        }
    }
}

/// Where the comment that begins here ends.
fn comment_end(text: &str, at: usize) -> Option<usize> {
    let rest = &text[at..];
    if rest.starts_with("//") {
        Some(end_of_line(text, at))
    } else if rest.starts_with("/*") {
        Some(rest.find("*/").map_or(text.len(), |end| at + end + 2))
    } else {
        None
    }
}

/// Behind the comments that follow in the same line; `true` if the last one takes the rest of it.
fn comments_in_line(text: &str, from: usize, limit: usize) -> (usize, bool) {
    let mut end = from;
    let mut at = from;
    loop {
        at += text[at..].len() - text[at..].trim_start_matches([' ', '\t']).len();
        match comment_end(text, at) {
            Some(behind) if behind <= limit => {
                let takes_line = text[at..].starts_with("//");
                end = behind;
                at = behind;
                if takes_line {
                    return (end, true);
                }
            }
            _ => return (end, false),
        }
    }
}
