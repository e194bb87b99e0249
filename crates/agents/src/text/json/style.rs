//! How members are written in JSON, as those around them are.

use std::ops::Range;

use jsonc_parser::ast::{Object, ObjectProp, ObjectPropName, Value as Node};
use jsonc_parser::common::Ranged;
use serde_json::Value;

use super::{comma_behind, comment_end, comments_in_line, range};
use crate::text::check::{Piece, begins_line, indentation, line_end, next_line};

/// The indentation of a file that shows none.
const UNIT: &str = "  ";

/// How a file is written.
#[derive(Clone)]
pub(super) struct Style {
    pub(super) line_end: &'static str,
    unit: String,
    /// Whether members stand in lines of their own.
    lines: bool,
    pub(super) quote: char,
    /// Of names; `None`: those that need none have none.
    name_quote: Option<char>,
    colon: String,
    comma: String,
}

/// What stands around a new last member.
pub(super) struct Beside {
    style: Style,
    /// Where the last one ends, …
    end: usize,
    /// … its comma, …
    comma: Option<usize>,
    /// … and where the new one goes.
    at: usize,
    separator: String,
    indent: String,
}

impl Style {
    pub(super) fn of(text: &str, root: Option<&Node<'_>>) -> Self {
        let written = text.trim();
        let mut style = Self {
            line_end: line_end(text),
            unit: UNIT.to_owned(),
            lines: root.is_none() || written.contains('\n') || written == "{}",
            quote: '"',
            name_quote: Some('"'),
            colon: ": ".to_owned(),
            comma: ", ".to_owned(),
        };
        if let Some(unit) = root.and_then(|root| unit(text, root)) {
            style.unit = unit;
        }
        if let Some(Node::Object(object)) = root
            && let Some(first) = object.properties.first()
        {
            style = style.like(text, first);
        }
        style
    }

    /// As that member is written.
    fn like(mut self, text: &str, member: &ObjectProp<'_>) -> Self {
        let quote = |range: Range<usize>| {
            if text[range].starts_with('\'') {
                '\''
            } else {
                '"'
            }
        };
        self.name_quote = match &member.name {
            ObjectPropName::Word(_) => None,
            // Quotes that were needed tell nothing of what is liked.
            ObjectPropName::String(name) if !is_word(&name.value) => self.name_quote,
            ObjectPropName::String(name) => Some(quote(range(name))),
        };
        self.quote = match &member.value {
            Node::StringLit(literal) => quote(range(literal)),
            _ => self.name_quote.unwrap_or(self.quote),
        };
        let between = &text[member.name.end()..member.value.start()];
        if between
            .chars()
            .all(|character| matches!(character, ' ' | '\t' | ':'))
        {
            between.clone_into(&mut self.colon);
            if !between.ends_with([' ', '\t']) {
                ",".clone_into(&mut self.comma);
            }
        }
        self
    }

    /// The first member of an object.
    pub(super) fn first(
        &self,
        text: &str,
        object: &Object<'_>,
        key: &str,
        to: &Value,
    ) -> Vec<Piece> {
        let inside = object.start() + 1..object.end() - 1;
        let blank = text[inside.clone()].trim().is_empty();
        let indent = indentation(text, object.start());
        let inner = format!("{indent}{}", self.unit);
        if blank && !(self.lines || text[inside.clone()].contains('\n')) {
            let member = self.member(key, to, indent);
            let gap = &text[inside.clone()];
            return vec![Piece::replace(inside, format!("{gap}{member}{gap}"))];
        }
        let member = self.member(key, to, &inner);
        let line = format!("{}{inner}{member}", self.line_end);
        if blank {
            return vec![match text[inside.clone()].contains('\n') {
                true => Piece::insert(inside.start, line),
                false => Piece::replace(inside, format!("{line}{}{indent}", self.line_end)),
            }];
        }
        // Behind the comments.
        let mut at = inside.start;
        let mut last = at;
        while let Some(end) = comment_end(text, skip_blanks(text, at)) {
            at = end;
            last = end;
        }
        let closes_here = !text[last..inside.end].contains('\n');
        let close = match closes_here {
            true => format!("{}{indent}", self.line_end),
            false => String::new(),
        };
        vec![Piece::insert(last, format!("{line}{close}"))]
    }

    /// Where a member behind `last` goes.
    pub(super) fn beside(&self, text: &str, object: &Object<'_>, last: &ObjectProp<'_>) -> Beside {
        let style = self.clone().like(text, last);
        let limit = object.end() - 1;
        let comma = comma_behind(text, last.end());
        let (at, takes_line) =
            comments_in_line(text, comma.map_or(last.end(), |comma| comma + 1), limit);
        let indent = indentation(text, last.start()).to_owned();
        let separator = if begins_line(text, last.start()) || takes_line {
            format!("{}{indent}", self.line_end)
        } else {
            style.comma.trim_start_matches(',').to_owned()
        };
        Beside {
            style,
            end: last.end(),
            comma,
            at,
            separator,
            indent,
        }
    }

    /// `"key": to`.
    fn member(&self, key: &str, to: &Value, indent: &str) -> String {
        let name = match self.name_quote {
            None if is_word(key) => key.to_owned(),
            quote => quoted(key, quote.unwrap_or(self.quote)),
        };
        format!("{name}{}{}", self.colon, self.written(to, indent))
    }

    /// A value whose line is indented so.
    pub(super) fn written(&self, value: &Value, indent: &str) -> String {
        match value {
            Value::Object(members) if self.lines && !members.is_empty() => {
                let inner = format!("{indent}{}", self.unit);
                let lines: Vec<String> = members
                    .iter()
                    .map(|(key, value)| format!("{inner}{}", self.member(key, value, &inner)))
                    .collect();
                let end = self.line_end;
                format!("{{{end}{}{end}{indent}}}", lines.join(&format!(",{end}")))
            }
            _ => self.inline(value),
        }
    }

    pub(super) fn inline(&self, value: &Value) -> String {
        match value {
            Value::String(text) => quoted(text, self.quote),
            Value::Object(members) => {
                let members: Vec<String> = members
                    .iter()
                    .map(|(key, value)| self.member(key, value, ""))
                    .collect();
                format!("{{{}}}", members.join(&self.comma))
            }
            Value::Array(elements) => {
                let elements: Vec<String> = elements.iter().map(|each| self.inline(each)).collect();
                format!("[{}]", elements.join(&self.comma))
            }
            other => other.to_string(),
        }
    }
}

impl Beside {
    pub(super) fn behind(&self, text: &str, key: &str, to: &Value) -> Vec<Piece> {
        let lines = self.separator.contains('\n');
        let style = Style {
            lines,
            ..self.style.clone()
        };
        let member = style.member(key, to, &self.indent);
        let separator = &self.separator;
        if self.comma.is_some() {
            return vec![Piece::insert(self.at, format!("{separator}{member},"))];
        }
        if self.at == self.end {
            return vec![Piece::insert(self.at, format!(",{separator}{member}"))];
        }
        debug_assert!(text.is_char_boundary(self.at));
        vec![
            Piece::insert(self.end, ","),
            Piece::insert(self.at, format!("{separator}{member}")),
        ]
    }
}

fn skip_blanks(text: &str, at: usize) -> usize {
    at + text[at..].len() - text[at..].trim_start().len()
}

/// How much further the members of the first container in lines of its own are indented than it.
fn unit(text: &str, node: &Node<'_>) -> Option<String> {
    let children: Vec<(usize, &Node<'_>)> = match node {
        Node::Object(object) => object
            .properties
            .iter()
            .map(|member| (member.start(), &member.value))
            .collect(),
        Node::Array(array) => array
            .elements
            .iter()
            .map(|element| (element.start(), element))
            .collect(),
        _ => return None,
    };
    let outer = indentation(text, node.start());
    children
        .iter()
        .filter(|(start, _)| begins_line(text, *start) && next_line(text, node.start()) <= *start)
        .find_map(|(start, _)| indentation(text, *start).strip_prefix(outer))
        .filter(|unit| !unit.is_empty())
        .map(ToOwned::to_owned)
        .or_else(|| children.iter().find_map(|(_, child)| unit(text, child)))
}

/// Whether a name needs no quotes, in every version of ECMAScript.
fn is_word(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '_' | '$'))
        && name
            .chars()
            .all(|each| each.is_ascii_alphanumeric() || matches!(each, '_' | '$'))
}

/// A text between quotes of that kind.
fn quoted(text: &str, quote: char) -> String {
    let double = Value::from(text).to_string();
    if quote == '"' {
        return double;
    }
    let inside = &double[1..double.len() - 1];
    // No escape but that of the double quote itself ends in one.
    format!("'{}'", inside.replace("\\\"", "\"").replace('\'', "\\'"))
}
