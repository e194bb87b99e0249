//! What counts, for people: first what is about everything, then each pool with its keys.

use api_key_lb_control::config::{Effective, EffectiveKey, EffectivePool, Place, Setting};
use serde_json::Value;

use crate::printer::{faint, striking, strong};
use crate::render::path_of;

/// The widest that a column of values gets; what is longer pushes the rest of its line aside.
const WIDEST: usize = 44;
/// What stands for a value that something is wrong with.
const WRONG: &str = "wrong, see below";

/// Everything.
pub(super) fn table(effective: &Effective) -> String {
    let mut text = match &effective.file {
        Some(file) => format!("{} {}\n", strong("Configuration file"), file.display()),
        None => format!("{} none\n", strong("Configuration file")),
    };
    text.push('\n');
    push(&mut text, &lines(&effective.settings, ""));
    for pool in &effective.pools {
        push_pool(&mut text, pool);
    }
    text.trim_end().to_owned()
}

fn push_pool(text: &mut String, pool: &EffectivePool) {
    let name = match pool.name.as_str() {
        "" => "Default pool".to_owned(),
        name => format!("Pool {name}"),
    };
    text.push_str(&format!(
        "\n{} {}\n",
        strong(name),
        faint(format!("at {}", path_of(&pool.name)))
    ));
    let mut rows = lines(&pool.settings, "  ");
    rows.extend(pool.keys.iter().map(line_of_key));
    if pool.keys.is_empty() {
        rows.push(Line {
            name: "  keys".to_owned(),
            value: "none".to_owned(),
            from: String::new(),
            kind: Look::Striking,
        });
    }
    push(text, &rows);
}

/// How a line looks.
#[derive(Clone, Copy)]
enum Look {
    Given,
    Usual,
    Striking,
}

struct Line {
    name: String,
    value: String,
    from: String,
    kind: Look,
}

fn lines(settings: &[Setting], indent: &str) -> Vec<Line> {
    settings
        .iter()
        .map(|setting| {
            let value = match (&setting.value, setting.words) {
                _ if setting.wrong => WRONG.to_owned(),
                (Some(Value::String(text)), _) => text.clone(),
                (Some(Value::Array(items)), _) if items.is_empty() => "none".to_owned(),
                (Some(Value::Array(items)), _) if items.iter().all(Value::is_string) => items
                    .iter()
                    .filter_map(Value::as_str)
                    .collect::<Vec<_>>()
                    .join(", "),
                (Some(value), _) => value.to_string(),
                (None, words) => words.unwrap_or("none").to_owned(),
            };
            Line {
                name: format!("{indent}{}", setting.name),
                value,
                from: setting.place.to_string(),
                kind: match setting.place {
                    _ if setting.wrong => Look::Striking,
                    Place::Default => Look::Usual,
                    _ => Look::Given,
                },
            }
        })
        .collect()
}

fn line_of_key(key: &EffectiveKey) -> Line {
    let mut value = key.key.clone();
    for (name, given) in &key.rest {
        let given = match given {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        value.push_str(&format!("  {name} {given}"));
    }
    if key.wrong {
        value.push_str(&format!("  ({WRONG})"));
    }
    Line {
        name: format!("  {}", key.label.as_deref().unwrap_or("?")),
        value,
        from: key.place.to_string(),
        kind: if key.wrong || key.label.is_none() {
            Look::Striking
        } else {
            Look::Given
        },
    }
}

/// Columns, aligned before they are coloured.
fn push(text: &mut String, lines: &[Line]) {
    let width = |of: fn(&Line) -> &str| {
        let widths = lines.iter().map(|line| of(line).chars().count());
        widths.filter(|width| *width <= WIDEST).max().unwrap_or(0)
    };
    let (names, values) = (width(|line| &line.name), width(|line| &line.value));
    for line in lines {
        let row = format!("{:names$}  {:values$}", line.name, line.value);
        let row = match line.kind {
            Look::Given => row,
            Look::Usual => faint(row),
            Look::Striking => striking(row),
        };
        text.push_str(&format!("{row}  {}\n", faint(&line.from)));
    }
}
