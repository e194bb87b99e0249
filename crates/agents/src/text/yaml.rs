//! YAML: where its values stand, and how they are changed.

mod style;
mod tree;

use std::ops::Range;

use granit_parser::{ScalarStyle, StructureStyle};
use serde_json::{Map, Value};

use self::style::{Style, unit};
use self::tree::{Kind, Node, find};
use super::check::{
    Piece, Refusal, SyntaxError, begins_line, end_of_line, line_end, line_start, next_line,
};
use super::{Path, Step};

const NOT_THERE: &str = "nothing is written there";
const SHARED: &str = "it is written in another place and only referred to there";
const NO_MAP: &str = "this is not a mapping";

pub(super) fn parse(text: &str) -> Result<Value, SyntaxError> {
    match tree::tree(text)? {
        Some(root) => tree::value(text, &root),
        None => Ok(Value::Object(Map::new())),
    }
}

pub(super) fn span(text: &str, path: &Path) -> Option<Range<usize>> {
    Some(find(&tree::tree(text).ok()??, &path.0)?.node.range.clone())
}

fn root(text: &str) -> Result<Option<Node>, Refusal> {
    tree::tree(text).map_err(|_| Refusal::new(0, "the file cannot be understood"))
}

/// How many characters stand before this byte in its line.
fn column(text: &str, byte: usize) -> usize {
    text[line_start(text, byte)..byte].chars().count()
}

fn style(text: &str, root: Option<&Node>, in_flow: bool) -> Style {
    Style {
        key: ScalarStyle::Plain,
        value: ScalarStyle::Plain,
        in_flow,
        unit: root.map_or(2, |root| unit(|byte| column(text, byte), root)),
        line_end: line_end(text),
    }
}

pub(super) fn replace(text: &str, path: &Path, to: &Value) -> Result<Vec<Piece>, Refusal> {
    let root = root(text)?.ok_or(Refusal::new(0, NOT_THERE))?;
    let Some(found) = find(&root, &path.0) else {
        // What another mapping gives it can be said anew.
        return match path.0.split_last() {
            Some((Step::Key(key), parent)) => insert(text, parent, key, to),
            _ => Err(Refusal::new(0, SHARED)),
        };
    };
    let node = found.node;
    let range = node.range.clone();
    if node.is_tagged {
        return Err(Refusal::new(range.start, "its type is written before it"));
    }
    let quotes = match &node.kind {
        Kind::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded) => {
            return Err(Refusal::new(range.start, "it is a text over several lines"));
        }
        Kind::Scalar(_, quotes) => *quotes,
        Kind::Map(members, StructureStyle::Block) if to.is_null() => {
            return emptied(text, members, range).map(|piece| vec![piece]);
        }
        Kind::Map(..) | Kind::List(..) | Kind::Alias(_) => ScalarStyle::Plain,
    };
    let style = Style {
        value: quotes,
        ..style(text, Some(&root), found.in_flow)
    };
    let new = style.inline(to);
    if !range.is_empty() {
        return Ok(vec![Piece::replace(range, new)]);
    }
    let colon = found
        .key
        .filter(|_| !node.has_anchor())
        .and_then(|key| colon(text, key))
        .ok_or(Refusal::new(range.start, NOT_THERE))?;
    Ok(vec![Piece::insert(colon + 1, format!(" {new}"))])
}

/// The colon behind the name of a member.
fn colon(text: &str, key: &Node) -> Option<usize> {
    let rest = &text[key.range.end..];
    let at = key.range.end + rest.len() - rest.trim_start_matches([' ', '\t']).len();
    text[at..].starts_with(':').then_some(at)
}

/// The lines of all members of a mapping.
fn emptied(text: &str, members: &[(Node, Node)], range: Range<usize>) -> Result<Piece, Refusal> {
    let is_plain = members
        .iter()
        .all(|(key, _)| begins_line(text, key.range.start));
    if !is_plain {
        return Err(Refusal::new(
            range.start,
            "it shares a line with something else",
        ));
    }
    Ok(Piece::delete(lines(text, &range)))
}

/// The lines of what stands there, with their line ends (or the one before, if the last has none).
fn lines(text: &str, range: &Range<usize>) -> Range<usize> {
    let start = line_start(text, range.start);
    let end = next_line(text, range.end);
    if end == text.len() && !text.ends_with('\n') && start > 0 {
        return end_of_line(text, line_start(text, start - 1)).min(start)..end;
    }
    start..end
}

pub(super) fn insert(
    text: &str,
    parent: &[Step],
    key: &str,
    to: &Value,
) -> Result<Vec<Piece>, Refusal> {
    let Some(root) = root(text)? else {
        let member = style(text, None, false).member(key, to, 0);
        return Ok(vec![behind_line(text, text.len(), &member)]);
    };
    let found = find(&root, parent).ok_or(Refusal::new(0, SHARED))?;
    let node = found.node;
    let at = node.range.start;
    match &node.kind {
        Kind::Alias(_) => Err(Refusal::new(at, SHARED)),
        Kind::Map(members, StructureStyle::Flow) => {
            let member = style(text, Some(&root), true)
                .like(members)
                .member(key, to, 0);
            Ok(vec![in_flow(text, node, members, &member)])
        }
        Kind::Map(members, StructureStyle::Block) => {
            let (first, _) = members.first().ok_or(Refusal::new(at, NOT_THERE))?;
            let first = match text[..first.range.start].strip_suffix("? ") {
                Some(before) => before.len(),
                None => first.range.start,
            };
            let indent = column(text, first);
            let style = style(text, Some(&root), false).like(members);
            let member = format!("{}{}", " ".repeat(indent), style.member(key, to, indent));
            Ok(vec![behind_line(text, node.range.end, &member)])
        }
        Kind::Scalar(_, ScalarStyle::Plain) if !node.has_anchor() && !node.is_tagged => {
            let name = found
                .key
                .filter(|name| !found.in_flow && colon(text, name).is_some())
                .ok_or(Refusal::new(at, NO_MAP))?;
            let style = style(text, Some(&root), false);
            let indent = column(text, name.range.start) + style.unit;
            let member = style.member(key, to, indent);
            let line = format!("{}{}{member}", style.line_end, " ".repeat(indent));
            let behind = Piece::insert(end_of_line(text, node.range.end), line);
            if node.range.is_empty() {
                return Ok(vec![behind]);
            }
            let before = text[..at].trim_end_matches([' ', '\t']).len();
            if behind.range.start == node.range.end {
                return Ok(vec![Piece::replace(before..node.range.end, behind.new)]);
            }
            Ok(vec![Piece::delete(before..node.range.end), behind])
        }
        Kind::Scalar(..) | Kind::List(..) => Err(Refusal::new(at, NO_MAP)),
    }
}

/// Lines behind the line of this byte.
fn behind_line(text: &str, byte: usize, lines: &str) -> Piece {
    let end = line_end(text);
    let at = next_line(text, byte);
    if at == text.len() && !text.is_empty() && !text.ends_with('\n') {
        Piece::insert(at, format!("{end}{lines}"))
    } else {
        Piece::insert(at, format!("{lines}{end}"))
    }
}

/// A new last member between braces.
fn in_flow(text: &str, map: &Node, members: &[(Node, Node)], member: &str) -> Piece {
    let Some((key, value)) = members.last() else {
        return Piece::insert(map.range.start + 1, member);
    };
    let end = flow_end(text, key, value);
    match comma_behind(text, end) {
        Some(comma) => Piece::insert(comma + 1, format!(" {member},")),
        None => Piece::insert(end, format!(", {member}")),
    }
}

/// Where a member between braces ends.
fn flow_end(text: &str, key: &Node, value: &Node) -> usize {
    if value.range.is_empty() {
        colon(text, key).map_or(key.range.end, |colon| colon + 1)
    } else {
        value.range.end
    }
}

fn comma_behind(text: &str, from: usize) -> Option<usize> {
    let rest = &text[from..];
    let at = from + rest.len() - rest.trim_start().len();
    text[at..].starts_with(',').then_some(at)
}

pub(super) fn remove(text: &str, path: &Path) -> Result<Vec<Piece>, Refusal> {
    let root = root(text)?.ok_or(Refusal::new(0, NOT_THERE))?;
    let Some((Step::Key(name), parent)) = path.0.split_last() else {
        return Err(Refusal::new(0, "it is not a member of a mapping"));
    };
    let parent = find(&root, parent).ok_or(Refusal::new(0, SHARED))?;
    let Kind::Map(members, style) = &parent.node.kind else {
        return Err(Refusal::new(parent.node.range.start, NO_MAP));
    };
    let place = members
        .iter()
        .position(|(key, _)| matches!(&key.kind, Kind::Scalar(said, _) if said == name))
        .ok_or(Refusal::new(parent.node.range.start, NOT_THERE))?;
    let (key, value) = &members[place];
    let start = key.range.start;
    if *style == StructureStyle::Flow {
        let end = flow_end(text, key, value);
        let before = text[..start].trim_end();
        let range = if let Some(comma) = comma_behind(text, end) {
            let rest = &text[comma + 1..];
            start..comma + 1 + rest.len() - rest.trim_start_matches([' ', '\t']).len()
        } else if before.ends_with(',') {
            before.len() - 1..end
        } else {
            start..end
        };
        return Ok(vec![Piece::delete(range)]);
    }
    if members.len() == 1 {
        let gone = emptied(text, members, parent.node.range.clone())?;
        return match parent.key {
            Some(key) => {
                let colon = colon(text, key).ok_or(Refusal::new(start, NO_MAP))?;
                Ok(vec![Piece::insert(colon + 1, " {}"), gone])
            }
            None if parent.node.range == root.range => Ok(vec![gone]),
            None => Err(Refusal::new(
                start,
                "nothing would be left of its list's element",
            )),
        };
    }
    if begins_line(text, start) {
        let end = value.range.end.max(key.range.end);
        return Ok(vec![Piece::delete(lines(text, &(start..end)))]);
    }
    match members.get(place + 1) {
        // It shares its line with the dash of its list: the next one moves up.
        Some((next, _)) if place == 0 && begins_line(text, next.range.start) => {
            Ok(vec![Piece::delete(start..next.range.start)])
        }
        _ => Err(Refusal::new(start, "it shares a line with something else")),
    }
}
