//! What a YAML text says, and where.

use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle, Tag};
use serde_json::{Map, Number, Value};

use crate::text::Step;
use crate::text::check::SyntaxError;

/// Values that may come of references: a few lines can refer to each other a billion times.
const MOST_VALUES: usize = 100_000;

/// A value as it is written.
#[derive(Debug)]
pub(super) struct Node {
    /// From its first to its last character; empty if nothing is written.
    pub(super) range: Range<usize>,
    pub(super) kind: Kind,
    anchor: usize,
    pub(super) is_tagged: bool,
    is_text: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    Scalar(String, ScalarStyle),
    Map(Vec<(Node, Node)>, StructureStyle),
    List(Vec<Node>, StructureStyle),
    /// What stands at that anchor.
    Alias(usize),
}

impl Node {
    fn new(range: Range<usize>, kind: Kind, anchor: usize, tag: Option<&Tag>) -> Self {
        Self {
            range,
            kind,
            anchor,
            is_tagged: tag.is_some(),
            is_text: tag.is_some_and(|tag| tag.core_suffix() == Some("str")),
        }
    }

    /// Whether other places can refer to it.
    pub(super) const fn has_anchor(&self) -> bool {
        self.anchor != 0
    }

    /// Whether the name of a member says this.
    fn is_key(&self, key: &str) -> bool {
        matches!(&self.kind, Kind::Scalar(text, _) if text == key)
    }
}

/// A value on a way, and what it hangs on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'n> {
    pub(super) node: &'n Node,
    /// Its name, if it is a member.
    pub(super) key: Option<&'n Node>,
    /// Whether it stands between brackets or braces.
    pub(super) in_flow: bool,
}

/// Where a way leads that goes through nothing but what is written there.
pub(super) fn find<'n>(root: &'n Node, steps: &[Step]) -> Option<Found<'n>> {
    let start = Found {
        node: root,
        key: None,
        in_flow: false,
    };
    steps.iter().try_fold(start, |here, step| {
        let (key, node, style) = match (&here.node.kind, step) {
            (Kind::Map(members, style), Step::Key(key)) => {
                let (key, node) = members.iter().find(|(name, _)| name.is_key(key))?;
                (Some(key), node, style)
            }
            (Kind::List(elements, style), Step::Index(index)) => {
                (None, elements.get(*index)?, style)
            }
            _ => return None,
        };
        Some(Found {
            node,
            key,
            in_flow: *style == StructureStyle::Flow,
        })
    })
}

/// A container whose end has not come.
struct Open {
    start: usize,
    style: StructureStyle,
    is_map: bool,
    anchor: usize,
    is_tagged: bool,
    nodes: Vec<Node>,
}

/// The one document; `None` if the text says nothing.
pub(super) fn tree(text: &str) -> Result<Option<Node>, SyntaxError> {
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker().byte_offset().unwrap_or_default();
            SyntaxError::at(text, at, "this is not valid YAML")
        })?;
        let range = span.byte_range().unwrap_or_default();
        let node = match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    return Err(SyntaxError::at(
                        text,
                        range.start,
                        "there are several documents in this file",
                    ));
                }
                continue;
            }
            Event::SequenceStart(style, anchor, ref tag)
            | Event::MappingStart(style, anchor, ref tag) => {
                open.push(Open {
                    start: range.start,
                    style,
                    is_map: matches!(event, Event::MappingStart(..)),
                    anchor,
                    is_tagged: tag.is_some(),
                    nodes: Vec::new(),
                });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(container) => closed(text, container, range.end)?,
                None => continue,
            },
            Event::Scalar(said, style, anchor, tag) => {
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let end = match text.get(range.clone()) {
                    Some(written) if is_block => range.start + written.trim_end().len(),
                    _ => range.end,
                };
                let kind = Kind::Scalar(said.into_owned(), style);
                Node::new(range.start..end, kind, anchor, tag.as_deref())
            }
            Event::Alias(anchor) => Node::new(range, Kind::Alias(anchor), 0, None),
            _ => continue,
        };
        match open.last_mut() {
            Some(container) => container.nodes.push(node),
            None => root = Some(node),
        }
    }
    Ok(root.filter(|root| {
        // A document that was only begun.
        !(root.range.is_empty()
            && !root.is_tagged
            && matches!(root.kind, Kind::Scalar(_, ScalarStyle::Plain)))
    }))
}

fn closed(text: &str, open: Open, end: usize) -> Result<Node, SyntaxError> {
    let end = match open.style {
        StructureStyle::Flow => end,
        // The event comes where the next thing begins.
        StructureStyle::Block => open.nodes.last().map_or(open.start, |last| last.range.end),
    };
    let kind = if open.is_map {
        let mut members: Vec<(Node, Node)> = Vec::with_capacity(open.nodes.len() / 2);
        let mut seen = std::collections::HashSet::new();
        let mut nodes = open.nodes.into_iter();
        while let (Some(key), Some(value)) = (nodes.next(), nodes.next()) {
            let Kind::Scalar(name, _) = &key.kind else {
                let what = "the name of a member is more than a word";
                return Err(SyntaxError::at(text, key.range.start, what));
            };
            if !seen.insert(name.clone()) {
                return Err(SyntaxError::at(
                    text,
                    key.range.start,
                    "this key stands twice",
                ));
            }
            members.push((key, value));
        }
        Kind::Map(members, open.style)
    } else {
        Kind::List(open.nodes, open.style)
    };
    Ok(Node {
        range: open.start..end.max(open.start),
        kind,
        anchor: open.anchor,
        is_tagged: open.is_tagged,
        is_text: false,
    })
}

/// What the document says.
pub(super) fn value(text: &str, root: &Node) -> Result<Value, SyntaxError> {
    let mut values = Values::default();
    values
        .of(root)
        .ok_or_else(|| SyntaxError::at(text, 0, "too much is referred to in this file"))
}

#[derive(Default)]
struct Values {
    anchored: HashMap<usize, (Value, usize)>,
    made: usize,
}

impl Values {
    fn of(&mut self, node: &Node) -> Option<Value> {
        let before = self.made;
        self.made += 1;
        let value = match &node.kind {
            Kind::Scalar(text, ScalarStyle::Plain) if !node.is_text => {
                if node.range.is_empty() {
                    Value::Null
                } else {
                    plain(text)
                }
            }
            Kind::Scalar(text, _) => Value::String(text.clone()),
            Kind::List(elements, _) => {
                let elements: Option<Vec<Value>> =
                    elements.iter().map(|element| self.of(element)).collect();
                Value::Array(elements?)
            }
            Kind::Map(members, _) => Value::Object(self.members(members)?),
            Kind::Alias(anchor) => match self.anchored.get(anchor) {
                Some((value, size)) => {
                    self.made += size;
                    if self.made > MOST_VALUES {
                        return None;
                    }
                    value.clone()
                }
                // Something that refers to itself.
                None => return None,
            },
        };
        if node.has_anchor() {
            self.anchored
                .insert(node.anchor, (value.clone(), self.made - before));
        }
        Some(value)
    }

    fn members(&mut self, members: &[(Node, Node)]) -> Option<Map<String, Value>> {
        let mut own = Map::new();
        let mut merged = Vec::new();
        for (key, node) in members {
            let Kind::Scalar(name, style) = &key.kind else {
                return None;
            };
            if key.has_anchor() {
                self.of(key)?;
            }
            let value = self.of(node)?;
            match value {
                Value::Object(more) if name == "<<" && *style == ScalarStyle::Plain => {
                    merged.push(more);
                }
                Value::Array(list)
                    if name == "<<"
                        && *style == ScalarStyle::Plain
                        && list.iter().all(Value::is_object) =>
                {
                    merged.extend(list.into_iter().filter_map(|each| match each {
                        Value::Object(more) => Some(more),
                        _ => None,
                    }));
                }
                value => {
                    own.insert(name.clone(), value);
                }
            }
        }
        for (key, value) in merged.into_iter().flatten() {
            own.entry(key).or_insert(value);
        }
        Some(own)
    }
}

/// What a text without quotes means in YAML 1.2.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let radix = |prefix: &str, radix| {
        let digits = text.strip_prefix(prefix)?;
        let are_digits = digits.bytes().all(|digit| digit.is_ascii_alphanumeric());
        u64::from_str_radix(digits, radix)
            .ok()
            .filter(|_| are_digits)
    };
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Value::from(number);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = unsigned.strip_prefix('.').unwrap_or(unsigned);
    if digits.starts_with(|first: char| first.is_ascii_digit()) {
        let whole = text.strip_prefix('+').unwrap_or(text);
        if let Ok(number) = whole.parse::<i64>() {
            return Value::from(number);
        }
        if let Some(number) = text.parse().ok().and_then(Number::from_f64) {
            return Value::Number(number);
        }
    }
    Value::String(text.to_owned())
}
