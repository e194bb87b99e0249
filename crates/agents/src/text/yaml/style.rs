//! How values are written in YAML so that every version of it reads the same.

use granit_parser::{ScalarStyle, StructureStyle};
use serde_json::Value;

use super::tree::{Kind, Node, plain};

/// The indentation of a file that shows none.
const UNIT: usize = 2;

/// What YAML 1.1 takes for something else than a text, besides what 1.2 does.
const FORMER_WORDS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];

/// How a member is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) key: ScalarStyle,
    pub(super) value: ScalarStyle,
    pub(super) in_flow: bool,
    pub(super) unit: usize,
    pub(super) line_end: &'static str,
}

impl Style {
    /// As these members are: quotes as the last one has them.
    pub(super) fn like(self, members: &[(Node, Node)]) -> Self {
        // Quotes that were needed tell nothing of what is liked.
        let told = |node: &Node| match &node.kind {
            Kind::Scalar(said, style)
                if is_plain(said, self.in_flow) || *style == ScalarStyle::Plain =>
            {
                Some(*style)
            }
            _ => None,
        };
        Self {
            key: (members.iter().rev().find_map(|(key, _)| told(key)))
                .unwrap_or(ScalarStyle::Plain),
            value: (members.iter().rev().find_map(|(_, value)| told(value)))
                .unwrap_or(ScalarStyle::Plain),
            ..self
        }
    }

    /// The lines of a member at this indentation, without the last line end.
    pub(super) fn member(&self, key: &str, to: &Value, indent: usize) -> String {
        let name = text(key, self.key, self.in_flow);
        match to {
            Value::Object(members) if !self.in_flow && !members.is_empty() => {
                let inner = indent + self.unit;
                let lines: Vec<String> = members
                    .iter()
                    .map(|(key, value)| {
                        format!("{}{}", " ".repeat(inner), self.member(key, value, inner))
                    })
                    .collect();
                let end = self.line_end;
                format!("{name}:{end}{}", lines.join(end))
            }
            to => format!("{name}: {}", self.inline(to)),
        }
    }

    /// A value in one line.
    pub(super) fn inline(&self, value: &Value) -> String {
        let inside = Self {
            in_flow: true,
            ..*self
        };
        match value {
            Value::String(said) => text(said, self.value, self.in_flow),
            Value::Array(elements) => {
                let elements: Vec<String> =
                    elements.iter().map(|each| inside.inline(each)).collect();
                format!("[{}]", elements.join(", "))
            }
            Value::Object(members) => {
                let members: Vec<String> = members
                    .iter()
                    .map(|(key, value)| inside.member(key, value, 0))
                    .collect();
                format!("{{{}}}", members.join(", "))
            }
            other => other.to_string(),
        }
    }
}

/// A text, with these quotes if it can have them.
pub(super) fn text(said: &str, style: ScalarStyle, in_flow: bool) -> String {
    let is_printable = !said.chars().any(needs_escape);
    match style {
        ScalarStyle::Plain if is_plain(said, in_flow) => said.to_owned(),
        ScalarStyle::SingleQuoted if is_printable => format!("'{}'", said.replace('\'', "''")),
        _ => {
            let mut written = String::with_capacity(said.len() + 2);
            // A string of JSON is one of YAML, but for what JSON leaves as it is.
            for each in Value::from(said).to_string().chars() {
                if needs_escape(each) {
                    written.push_str(&format!("\\u{:04X}", u32::from(each)));
                } else {
                    written.push(each);
                }
            }
            written
        }
    }
}

fn needs_escape(each: char) -> bool {
    each.is_control()
        || matches!(
            each,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}

/// Whether a text means itself without quotes, to every reader.
fn is_plain(said: &str, in_flow: bool) -> bool {
    let Some(first) = said.chars().next() else {
        return false;
    };
    (first.is_ascii_alphabetic() || matches!(first, '/' | '_'))
        && said
            .chars()
            .all(|each| each.is_ascii_graphic() || each == ' ')
        && !said.ends_with([' ', ':'])
        && !said.contains(": ")
        && !said.contains(" #")
        && !(in_flow && said.contains([',', '[', ']', '{', '}', ':', '"', '\'']))
        && plain(said).is_string()
        && !FORMER_WORDS
            .iter()
            .any(|word| said.eq_ignore_ascii_case(word))
        && !["true", "false", "null"]
            .iter()
            .any(|word| said.eq_ignore_ascii_case(word))
}

/// How much further the members of the first mapping in a mapping are indented.
pub(super) fn unit(column: impl Fn(usize) -> usize + Copy, root: &Node) -> usize {
    found_unit(column, root).unwrap_or(UNIT)
}

fn found_unit(column: impl Fn(usize) -> usize + Copy, node: &Node) -> Option<usize> {
    match &node.kind {
        Kind::Map(members, StructureStyle::Block) => members.iter().find_map(|(key, value)| {
            let own = match &value.kind {
                Kind::Map(_, StructureStyle::Block) => {
                    column(value.range.start).checked_sub(column(key.range.start))
                }
                _ => None,
            };
            own.filter(|unit| *unit > 0)
                .or_else(|| found_unit(column, value))
        }),
        Kind::List(elements, _) => elements.iter().find_map(|each| found_unit(column, each)),
        _ => None,
    }
}
