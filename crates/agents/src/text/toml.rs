//! TOML: where its values stand, and how they are changed.

mod style;

use std::ops::Range;

use serde_json::{Number, Value};
use toml_edit::{ArrayOfTables, Document, InlineTable, Item, Key, Table, Value as Written};

use self::style::{fits_literal, headers, name, written};
use super::check::{
    Piece, Refusal, SyntaxError, end_of_line, indentation, line_end, line_start, next_line,
};
use super::{Path, Step};

const NOT_THERE: &str = "nothing stands there";
const NO_TABLE: &str = "this is not a table";

fn document(text: &str) -> Result<Document<&str>, SyntaxError> {
    Document::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        SyntaxError::at(text, at, "this is not valid TOML")
    })
}

pub(super) fn parse(text: &str) -> Result<Value, SyntaxError> {
    Ok(Node::Table(document(text)?.as_table()).value())
}

/// What a path can lead to.
#[derive(Clone, Copy)]
enum Node<'d> {
    Table(&'d Table),
    Tables(&'d ArrayOfTables),
    Value(&'d Written),
}

impl<'d> Node<'d> {
    fn of(item: &'d Item) -> Option<Self> {
        match item {
            Item::None => None,
            Item::Value(value) => Some(Self::Value(value)),
            Item::Table(table) => Some(Self::Table(table)),
            Item::ArrayOfTables(tables) => Some(Self::Tables(tables)),
        }
    }

    fn value(self) -> Value {
        match self {
            Self::Table(table) => members(table),
            Self::Tables(tables) => tables.iter().map(members).collect(),
            Self::Value(value) => said(value),
        }
    }

    /// One step further, with the key that stands there.
    fn step(self, step: &Step) -> Option<(Option<&'d Key>, Self)> {
        match (self, step) {
            (Self::Table(table), Step::Key(key)) => {
                let (key, item) = table.get_key_value(key)?;
                Some((Some(key), Self::of(item)?))
            }
            (Self::Value(Written::InlineTable(table)), Step::Key(key)) => {
                let (key, item) = table.get_key_value(key)?;
                Some((Some(key), Self::of(item)?))
            }
            (Self::Tables(tables), Step::Index(index)) => {
                Some((None, Self::Table(tables.get(*index)?)))
            }
            (Self::Value(Written::Array(array)), Step::Index(index)) => {
                Some((None, Self::Value(array.get(*index)?)))
            }
            _ => None,
        }
    }

    fn at(self, steps: &[Step]) -> Option<Self> {
        steps
            .iter()
            .try_fold(self, |node, step| Some(node.step(step)?.1))
    }

    /// Where it stands; of what has no place of its own, where its first part does.
    fn span(self) -> Option<Range<usize>> {
        let own = match self {
            Self::Value(value) => value.span(),
            Self::Table(table) if table.is_dotted() || table.is_implicit() => None,
            Self::Table(table) => table.span(),
            Self::Tables(tables) => tables.span(),
        };
        own.or_else(|| match self {
            Self::Table(table) => table
                .iter()
                .find_map(|(_, item)| Self::of(item).and_then(Self::span)),
            Self::Value(Written::InlineTable(table)) => table
                .iter()
                .find_map(|(_, value)| Self::Value(value).span()),
            _ => None,
        })
    }
}

fn members(table: &Table) -> Value {
    Value::Object(
        table
            .iter()
            .filter_map(|(key, item)| Some((key.to_owned(), Node::of(item)?.value())))
            .collect(),
    )
}

fn said(value: &Written) -> Value {
    match value {
        Written::String(text) => Value::String(text.value().clone()),
        Written::Integer(number) => Value::from(*number.value()),
        Written::Float(number) => Number::from_f64(*number.value())
            .map_or_else(|| Value::String(number.value().to_string()), Value::Number),
        Written::Boolean(truth) => Value::Bool(*truth.value()),
        Written::Datetime(moment) => Value::String(moment.value().to_string()),
        Written::Array(array) => array.iter().map(said).collect(),
        Written::InlineTable(table) => Value::Object(
            table
                .iter()
                .map(|(key, value)| (key.to_owned(), said(value)))
                .collect(),
        ),
    }
}

/// A line `key = value`: where the key begins and ends, where the value does.
#[derive(Clone, Debug)]
struct Line {
    key: Range<usize>,
    value: Range<usize>,
}

/// The lines of a table that stand under its own header.
fn lines(table: &Table) -> Vec<Line> {
    let mut found = Vec::new();
    for (name, item) in table.iter() {
        match item {
            Item::Value(value) => {
                if let Some(key) = table.key(name).and_then(Key::span)
                    && let Some(value) = value.span()
                {
                    found.push(Line { key, value });
                }
            }
            Item::Table(table) if table.is_dotted() => found.extend(lines(table)),
            _ => {}
        }
    }
    found.sort_by_key(|line| line.value.end);
    found
}

/// The headers of a table and those in it, and all lines below them.
fn everything(table: &Table, headers: &mut Vec<Range<usize>>, below: &mut Vec<Line>) -> bool {
    if !table.is_dotted() && !table.is_implicit() {
        headers.extend(table.span().filter(|span| !span.is_empty()));
    }
    below.extend(lines(table));
    table.iter().all(|(_, item)| match item {
        Item::Table(table) if table.is_dotted() => true,
        Item::Table(table) => everything(table, headers, below),
        Item::ArrayOfTables(tables) => {
            for table in tables {
                everything(table, headers, below);
            }
            false
        }
        _ => true,
    })
}

pub(super) fn span(text: &str, path: &Path) -> Option<Range<usize>> {
    let document = document(text).ok()?;
    Node::Table(document.as_table()).at(&path.0)?.span()
}

fn understood(text: &str) -> Result<Document<&str>, Refusal> {
    document(text).map_err(|_| Refusal::new(0, "the file cannot be understood"))
}

pub(super) fn replace(text: &str, path: &Path, to: &Value) -> Result<Vec<Piece>, Refusal> {
    let document = understood(text)?;
    let range = Node::Table(document.as_table())
        .at(&path.0)
        .and_then(Node::span)
        .ok_or(Refusal::new(0, NOT_THERE))?;
    let raw = &text[range.clone()];
    let new = match to {
        Value::String(new) if raw.starts_with('\'') && fits_literal(new) => format!("'{new}'"),
        to => written(to).ok_or(Refusal::new(range.start, NO_NULL))?,
    };
    Ok(vec![Piece::replace(range, new)])
}

const NO_NULL: &str = "TOML has no word for nothing";

pub(super) fn insert(
    text: &str,
    parent: &[Step],
    key: &str,
    to: &Value,
) -> Result<Vec<Piece>, Refusal> {
    let document = understood(text)?;
    let root = document.as_table();
    let mut node = Node::Table(root);
    // How much of the way there leads to the header that this stands under.
    let mut under = 0;
    let mut in_list = false;
    for (depth, step) in parent.iter().enumerate() {
        node = node.step(step).ok_or(Refusal::new(0, NOT_THERE))?.1;
        in_list |= matches!(step, Step::Index(_));
        if matches!(node, Node::Table(table) if !table.is_dotted()) {
            under = depth + 1;
        }
    }
    let no_null = || Refusal::new(0, NO_NULL);
    match node {
        Node::Value(Written::InlineTable(table)) => {
            let member = format!("{} = {}", name(key), written(to).ok_or_else(no_null)?);
            inline(text, table, &member)
        }
        Node::Value(_) | Node::Tables(_) => {
            let at = node.span().map_or(0, |span| span.start);
            Err(Refusal::new(at, NO_TABLE))
        }
        Node::Table(table) => {
            let is_header = !table.is_dotted() && (!table.is_implicit() || parent.is_empty());
            let is_section = !table.is_dotted() && !in_list;
            if is_section && (to.is_object() || !is_header) {
                let keys = names(parent).ok_or(Refusal::new(0, NO_TABLE))?;
                return section(text, keys, key, to, !is_header).ok_or_else(no_null);
            }
            if !is_header && !table.is_dotted() {
                return Err(Refusal::new(0, "this table has no header of its own"));
            }
            let mut path = names(&parent[under..]).ok_or(Refusal::new(0, NO_TABLE))?;
            path.push(name(key));
            let value = written(to).ok_or_else(no_null)?;
            Ok(vec![line(text, root, table, &path.join("."), &value)])
        }
    }
}

/// A new line under the header of `table`, or beside its dotted keys.
fn line(text: &str, root: &Table, table: &Table, key: &str, value: &str) -> Piece {
    let lines = lines(table);
    let end = line_end(text);
    if let Some(last) = lines.last() {
        let between = &text[last.key.end..last.value.start];
        let is_plain = between.trim() == "=";
        let equals = if is_plain { between } else { " = " };
        let indent = indentation(text, last.key.start);
        let line = format!("{indent}{key}{equals}{value}");
        return behind_line(text, last.value.end, &line);
    }
    let line = format!("{key} = {value}");
    if let Some(header) = table.span().filter(|span| !span.is_empty()) {
        return behind_line(text, header.end, &line);
    }
    let mut headers = Vec::new();
    everything(root, &mut headers, &mut Vec::new());
    match headers.iter().map(|header| header.start).min() {
        None => behind_line(text, text.len(), &line),
        Some(first) => {
            // Above the comments that belong to the first table.
            let mut at = line_start(text, first);
            while at > 0 {
                let above = line_start(text, at - 1);
                if !text[above..at].trim_start().starts_with('#') {
                    break;
                }
                at = above;
            }
            Piece::insert(at, format!("{line}{end}{end}"))
        }
    }
}

/// A line behind the line of this byte.
fn behind_line(text: &str, byte: usize, line: &str) -> Piece {
    let end = line_end(text);
    let at = next_line(text, byte);
    if at == text.len() && !text.is_empty() && !text.ends_with('\n') {
        Piece::insert(at, format!("{end}{line}"))
    } else {
        Piece::insert(at, format!("{line}{end}"))
    }
}

/// New tables at the end of the file.
fn section(
    text: &str,
    mut path: Vec<String>,
    key: &str,
    to: &Value,
    is_member: bool,
) -> Option<Vec<Piece>> {
    let mut sections = Vec::new();
    match to {
        Value::Object(_) => {
            path.push(name(key));
            headers(&path, to, &mut sections)?;
        }
        value if is_member => sections.push(vec![
            format!("[{}]", path.join(".")),
            format!("{} = {}", name(key), written(value)?),
        ]),
        _ => return None,
    }
    let end = line_end(text);
    let sections: Vec<String> = sections.iter().map(|lines| lines.join(end)).collect();
    let made = sections.join(&format!("{end}{end}"));
    let is_blank = |line: &str| line.trim().is_empty();
    let gap = if text.is_empty() || text.lines().last().is_some_and(is_blank) {
        String::new()
    } else {
        end.to_owned()
    };
    let piece = if text.is_empty() || text.ends_with('\n') {
        format!("{gap}{made}{end}")
    } else {
        format!("{end}{gap}{made}")
    };
    Some(vec![Piece::insert(text.len(), piece)])
}

/// A new last member of an inline table.
fn inline(text: &str, table: &InlineTable, member: &str) -> Result<Vec<Piece>, Refusal> {
    if table.is_dotted() {
        return Err(Refusal::new(0, "this is a dotted key in an inline table"));
    }
    let span = table.span().ok_or(Refusal::new(0, NOT_THERE))?;
    let ends: Option<Vec<usize>> = table.iter().map(|(_, value)| last_end(value)).collect();
    let piece = match ends.and_then(|ends| ends.into_iter().max()) {
        Some(last) => match comma_behind(text, last) {
            Some(comma) => Piece::insert(comma + 1, format!(" {member},")),
            None => Piece::insert(last, format!(", {member}")),
        },
        None => {
            let inside = span.start + 1..span.end - 1;
            if !text[inside.clone()].trim().is_empty() {
                return Err(Refusal::new(span.start, "this table holds only comments"));
            }
            Piece::replace(inside, format!(" {member} "))
        }
    };
    Ok(vec![piece])
}

fn last_end(value: &Written) -> Option<usize> {
    match value {
        Written::InlineTable(table) if table.is_dotted() => {
            table.iter().filter_map(|(_, value)| last_end(value)).max()
        }
        value => Some(value.span()?.end),
    }
}

fn comma_behind(text: &str, from: usize) -> Option<usize> {
    let rest = &text[from..];
    let at = from + rest.len() - rest.trim_start().len();
    text[at..].starts_with(',').then_some(at)
}

pub(super) fn remove(text: &str, path: &Path) -> Result<Vec<Piece>, Refusal> {
    let document = understood(text)?;
    let not_there = || Refusal::new(0, NOT_THERE);
    let (last, parent) = path.0.split_last().ok_or_else(not_there)?;
    let parent = Node::Table(document.as_table())
        .at(parent)
        .ok_or_else(not_there)?;
    let (key, node) = parent.step(last).ok_or_else(not_there)?;
    let key = key.and_then(Key::span);
    match (parent, node, key) {
        (Node::Table(_), Node::Value(value), Some(key)) => {
            let value = value.span().ok_or_else(not_there)?;
            Ok(without(text, &[], &[Line { key, value }]))
        }
        (Node::Table(_), Node::Table(table), _) => {
            let mut headers = Vec::new();
            let mut below = Vec::new();
            if !everything(table, &mut headers, &mut below) {
                let at = headers.first().map_or(0, |header| header.start);
                return Err(Refusal::new(at, "it holds a list of tables"));
            }
            Ok(without(text, &headers, &below))
        }
        (Node::Value(Written::InlineTable(table)), Node::Value(value), Some(key))
            if !table.is_dotted() =>
        {
            let span = table.span().ok_or_else(not_there)?;
            let end = last_end(value).ok_or_else(not_there)?;
            let before = text[..key.start].trim_end();
            let range = if table.len() == 1 {
                span.start + 1..span.end - 1
            } else if let Some(comma) = comma_behind(text, end) {
                let rest = &text[comma + 1..];
                let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
                key.start..comma + 1 + blanks
            } else if before.ends_with(',') {
                before.len() - 1..end
            } else {
                key.start..end
            };
            Ok(vec![Piece::delete(range)])
        }
        (_, node, _) => {
            let at = node.span().map_or(0, |span| span.start);
            Err(Refusal::new(at, "it cannot be taken out"))
        }
    }
}

/// The text without these headers (and the empty line before each) and lines.
fn without(text: &str, headers: &[Range<usize>], lines: &[Line]) -> Vec<Piece> {
    let mut gone: Vec<Range<usize>> = lines
        .iter()
        .map(|line| line_start(text, line.key.start)..next_line(text, line.value.end))
        .collect();
    for header in headers {
        let mut start = line_start(text, header.start);
        let above = line_start(text, start.saturating_sub(1));
        if start > 0 && text[above..start].trim().is_empty() {
            start = above;
        }
        gone.push(start..next_line(text, header.end));
    }
    gone.sort_by_key(|range| range.start);
    let mut pieces: Vec<Piece> = Vec::new();
    for mut range in gone {
        if range.end == text.len() && !text.ends_with('\n') && range.start > 0 {
            range.start = end_of_line(text, line_start(text, range.start - 1)).min(range.start);
        }
        match pieces.last_mut() {
            Some(last) if last.range.end >= range.start => {
                last.range.start = last.range.start.min(range.start);
                last.range.end = range.end.max(last.range.end);
            }
            _ => pieces.push(Piece::delete(range)),
        }
    }
    pieces
}

/// The keys of a way that leads through no list.
fn names(steps: &[Step]) -> Option<Vec<String>> {
    steps
        .iter()
        .map(|step| match step {
            Step::Key(key) => Some(name(key)),
            Step::Index(_) => None,
        })
        .collect()
}
