//! The text of the file as a tree of owned values, each with its place.

use std::path::Path;
use std::sync::Arc;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::errors::ParseError;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::finding::{Place, Problem};

/// A value in the file and its place. No `Debug`: the text may be a key.
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// A value in the file.
pub(crate) enum Value {
    Null,
    Switch(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Member>),
}

/// A named value in an object.
pub(crate) struct Member {
    pub(crate) name: String,
    /// Where the name is.
    pub(crate) place: Place,
    pub(crate) node: Node,
}

impl Value {
    /// What it is, for messages: never its content.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Switch(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// JSON with comments and trailing commas, and no further leniency: what other JSON tools refuse
/// is most often a mistake.
pub(crate) const fn syntax() -> ParseOptions {
    ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

/// What is wrong with the syntax and what to do. Never quotes the file.
pub(crate) fn syntax_problem(error: &ParseError) -> String {
    let what = error.kind().to_string();
    let mut letters = what.chars();
    let what = letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    });
    format!(
        "this is not valid JSON: {what}; correct it here or just before \
         (names and texts stand in double quotes, entries are separated by commas)"
    )
}

/// Without the byte order mark some editors put first.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Reads `text`; `None` if there is nothing in it but space and comments.
pub(crate) fn parse(path: &Arc<Path>, text: &str) -> Result<Option<Node>, Problem> {
    let text = without_mark(text);
    let parsed =
        parse_to_ast(text, &CollectOptions::default(), &syntax()).map_err(|error| Problem {
            place: Some(Place::File {
                path: path.clone(),
                line: error.line_display(),
                column: error.column_display(),
            }),
            text: syntax_problem(&error),
        })?;
    let places = Places { path, text };
    Ok(parsed.value.map(|value| places.node(value)))
}

/// Turns byte offsets into places.
struct Places<'t> {
    path: &'t Arc<Path>,
    text: &'t str,
}

impl Places<'_> {
    fn at(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place::File {
            path: self.path.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn node(&self, value: ast::Value<'_>) -> Node {
        let place = self.at(value.start());
        let value = match value {
            ast::Value::NullKeyword(_) => Value::Null,
            ast::Value::BooleanLit(lit) => Value::Switch(lit.value),
            ast::Value::NumberLit(lit) => Value::Number(lit.value.to_owned()),
            ast::Value::StringLit(lit) => Value::Text(lit.value.into_owned()),
            ast::Value::Array(array) => Value::List(
                array
                    .elements
                    .into_iter()
                    .map(|item| self.node(item))
                    .collect(),
            ),
            ast::Value::Object(object) => Value::Object(
                object
                    .properties
                    .into_iter()
                    .map(|property| Member {
                        place: self.at(property.range.start),
                        name: property.name.into_string(),
                        node: self.node(property.value),
                    })
                    .collect(),
            ),
        };
        Node { place, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Node>, Problem> {
        parse(&Path::new("c.json").into(), text)
    }

    #[test]
    fn every_value_knows_its_line_and_column() {
        let node = read(
            "\u{feff}// é\n{\n  /* ü */ \"port\": 1,\n  \"keys\": [\n    \"é\", \"b\",\n  ],\n}",
        )
        .unwrap()
        .unwrap();
        let Value::Object(members) = node.value else {
            panic!("an object")
        };
        assert_eq!(members[0].place.to_string(), "c.json:3:11");
        assert_eq!(members[0].node.place.to_string(), "c.json:3:19");
        let Value::List(items) = &members[1].node.value else {
            panic!("a list")
        };
        assert_eq!(items[1].place.to_string(), "c.json:5:10");
    }

    #[test]
    fn a_syntax_error_names_its_place_and_not_the_content() {
        let problem = read("{\n  \"keys\": [\"sk-planted\" \"sk-planted\"]\n}")
            .err()
            .unwrap();
        let text = problem.to_string();
        assert!(text.starts_with("c.json:2:"), "{text}");
        assert!(text.contains("not valid JSON: expected comma"), "{text}");
        assert!(!text.contains("planted"), "{text}");
    }

    #[test]
    fn nothing_but_space_and_comments_is_an_empty_file() {
        for text in ["", " \n", "// only a comment\n"] {
            assert!(read(text).unwrap().is_none());
        }
    }
}
