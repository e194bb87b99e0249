//! `.env` files, as the `dotenv` of Node and of Python both read them.

use std::ops::Range;

use serde_json::{Map, Value};

use super::check::{Piece, Refusal, SyntaxError, end_of_line, line_end, line_start, next_line};
use super::{Path, Step};

const NOT_THERE: &str = "no such variable is set";

/// A variable that is set.
struct Variable<'t> {
    name: &'t str,
    /// Where the value stands, quotes included.
    range: Range<usize>,
    value: String,
}

/// All variables, in order. Lines that say nothing are passed over, as those libraries do.
fn variables(text: &str) -> Vec<Variable<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match variable(text, at) {
            Some(variable) => {
                at = next_line(text, variable.range.end);
                found.push(variable);
            }
            None => at = next_line(text, at),
        }
    }
    found
}

/// The variable in the line that begins here.
fn variable(text: &str, start: usize) -> Option<Variable<'_>> {
    let line = &text[start..end_of_line(text, start)];
    let mut rest = line.trim_start();
    if let Some(exported) = rest.strip_prefix("export")
        && exported.starts_with([' ', '\t'])
    {
        rest = exported.trim_start();
    }
    let name_end = rest.find(|each: char| !is_name(each)).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(name_end);
    let rest = rest.trim_start().strip_prefix('=')?;
    if name.is_empty() {
        return None;
    }
    let begin = start + line.len() - rest.trim_start().len();
    let (range, value) = quoted(text, begin).unwrap_or_else(|| plain(text, begin));
    Some(Variable { name, range, value })
}

fn is_name(each: char) -> bool {
    each.is_ascii_alphanumeric() || matches!(each, '_' | '.' | '-')
}

/// A value between quotes, over several lines if need be, with nothing but a comment behind it.
fn quoted(text: &str, begin: usize) -> Option<(Range<usize>, String)> {
    let quote = text[begin..].chars().next()?;
    if !matches!(quote, '"' | '\'' | '`') {
        return None;
    }
    let mut escaped = false;
    let inside = &text[begin + 1..];
    let (length, _) = inside.char_indices().find(|(_, each)| {
        let ends = *each == quote && !escaped;
        escaped = *each == '\\' && !escaped;
        ends
    })?;
    let end = begin + 1 + length + 1;
    let behind = text[end..end_of_line(text, end)].trim();
    if !behind.is_empty() && !behind.starts_with('#') {
        return None;
    }
    let written = &inside[..length];
    let value = if quote == '"' {
        unescaped(written)
    } else {
        written.to_owned()
    };
    Some((begin..end, value))
}

fn unescaped(written: &str) -> String {
    let mut value = String::with_capacity(written.len());
    let mut rest = written.chars();
    while let Some(each) = rest.next() {
        match (each, rest.as_str().chars().next()) {
            ('\\', Some(escaped @ ('n' | 'r' | 't' | '"' | '\\'))) => {
                rest.next();
                value.push(match escaped {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    other => other,
                });
            }
            _ => value.push(each),
        }
    }
    value
}

/// A value without quotes, up to a comment.
fn plain(text: &str, begin: usize) -> (Range<usize>, String) {
    let line = &text[begin..end_of_line(text, begin)];
    let comment = line
        .char_indices()
        .find(|(at, each)| *each == '#' && (*at == 0 || line[..*at].ends_with([' ', '\t'])));
    let value = line[..comment.map_or(line.len(), |(at, _)| at)].trim_end();
    (begin..begin + value.len(), value.to_owned())
}

pub(super) fn parse(text: &str) -> Result<Value, SyntaxError> {
    let variables = variables(text).into_iter();
    Ok(Value::Object(Map::from_iter(variables.map(|variable| {
        (variable.name.to_owned(), Value::String(variable.value))
    }))))
}

/// The last one of that name, which is the one that counts.
fn find<'t>(text: &'t str, path: &Path) -> Option<Variable<'t>> {
    let [Step::Key(key)] = &path.0[..] else {
        return None;
    };
    variables(text)
        .into_iter()
        .rfind(|variable| variable.name == key)
}

pub(super) fn span(text: &str, path: &Path) -> Option<Range<usize>> {
    Some(find(text, path)?.range)
}

pub(super) fn replace(text: &str, path: &Path, to: &Value) -> Result<Vec<Piece>, Refusal> {
    let range = span(text, path).ok_or(Refusal::new(0, NOT_THERE))?;
    let quote = text[range.clone()].chars().next();
    let value = written(to, quote).ok_or(Refusal::new(range.start, CANNOT_STAND))?;
    Ok(vec![Piece::replace(range, value)])
}

const CANNOT_STAND: &str = "this value cannot stand in such a file";

pub(super) fn insert(
    text: &str,
    parent: &[Step],
    key: &str,
    to: &Value,
) -> Result<Vec<Piece>, Refusal> {
    let value = written(to, None)
        .filter(|_| parent.is_empty() && !key.is_empty() && key.chars().all(is_name))
        .ok_or(Refusal::new(0, CANNOT_STAND))?;
    let end = line_end(text);
    let line = if text.is_empty() || text.ends_with('\n') {
        format!("{key}={value}{end}")
    } else {
        format!("{end}{key}={value}")
    };
    Ok(vec![Piece::insert(text.len(), line)])
}

/// A value, in these quotes if it can, else in those that leave every character as it is in every library.
fn written(value: &Value, quote: Option<char>) -> Option<String> {
    let Value::String(value) = value else {
        return None;
    };
    let is_one_line = !value.chars().any(char::is_control);
    let is_literal = is_one_line && !value.contains(['\'', '\\']);
    // In double quotes, some libraries put the values of other variables in place of `$NAME`.
    let is_double = is_one_line && !value.contains(['"', '\\', '$', '`']);
    let is_plain = !value.is_empty()
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_./:@%+,=~-?&".contains(&byte));
    match quote {
        Some('\'') if is_literal => Some(format!("'{value}'")),
        Some('"') if is_double => Some(format!("\"{value}\"")),
        Some('`') if is_double && is_literal => Some(format!("`{value}`")),
        _ if is_plain => Some(value.clone()),
        _ if is_literal => Some(format!("'{value}'")),
        _ if is_double => Some(format!("\"{value}\"")),
        _ => None,
    }
}

pub(super) fn remove(text: &str, path: &Path) -> Result<Vec<Piece>, Refusal> {
    let range = span(text, path).ok_or(Refusal::new(0, NOT_THERE))?;
    let start = line_start(text, range.start);
    let end = next_line(text, range.end);
    let is_unended = end == text.len() && !text.ends_with('\n') && start > 0;
    let start = match is_unended {
        true => end_of_line(text, line_start(text, start - 1)).min(start),
        false => start,
    };
    Ok(vec![Piece::delete(start..end)])
}
