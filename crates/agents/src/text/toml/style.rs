//! How keys, values and tables are written in TOML.

use serde_json::Value;

/// The lines of a table and of those in it.
pub(super) fn headers(
    path: &[String],
    table: &Value,
    sections: &mut Vec<Vec<String>>,
) -> Option<()> {
    let Value::Object(members) = table else {
        return None;
    };
    let (tables, values): (Vec<_>, Vec<_>) =
        members.iter().partition(|(_, value)| value.is_object());
    if !values.is_empty() || tables.is_empty() {
        let mut lines = vec![format!("[{}]", path.join("."))];
        for (key, value) in values {
            lines.push(format!("{} = {}", name(key), written(value)?));
        }
        sections.push(lines);
    }
    for (key, table) in tables {
        let mut path = path.to_vec();
        path.push(name(key));
        headers(&path, table, sections)?;
    }
    Some(())
}

/// A key, in quotes if it needs them.
pub(super) fn name(key: &str) -> String {
    let is_bare = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if is_bare { key.to_owned() } else { basic(key) }
}

pub(super) fn fits_literal(text: &str) -> bool {
    !text.chars().any(|each| each == '\'' || each.is_control())
}

/// A basic string: as in JSON, but that DEL must be escaped too.
fn basic(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

/// A value in one line; `None` if TOML has none such.
pub(super) fn written(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::String(text) => basic(text),
        Value::Array(elements) => {
            let elements: Option<Vec<String>> = elements.iter().map(written).collect();
            format!("[{}]", elements?.join(", "))
        }
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(members) => {
            let members: Option<Vec<String>> = members
                .iter()
                .map(|(key, value)| Some(format!("{} = {}", name(key), written(value)?)))
                .collect();
            format!("{{ {} }}", members?.join(", "))
        }
        Value::Number(_) | Value::Bool(_) => value.to_string(),
    })
}
