//! What counts, and what is wrong, for programs.

use api_key_lb_control::config::{
    Effective, EffectiveKey, EffectivePool, NoteLevel, Place, Setting,
};
use serde_json::{Map, Value, json};

/// Everything.
pub(super) fn all(effective: &Effective) -> Value {
    let mut all = findings(effective, effective.problems.is_empty());
    all["settings"] = settings(&effective.settings);
    all["pools"] = effective.pools.iter().map(pool).collect();
    all
}

/// Only what was found, and whether it is well.
pub(super) fn findings(effective: &Effective, ok: bool) -> Value {
    let problems = effective.problems.iter().map(|problem| {
        let mut found = problem.place.as_ref().map_or_else(Map::new, source);
        found.insert("text".into(), problem.text.clone().into());
        Value::Object(found)
    });
    let notes = effective.notes.iter().map(|note| {
        let level = match note.level {
            NoteLevel::Warning => "warning",
            NoteLevel::Info => "note",
        };
        json!({"level": level, "text": note.text})
    });
    json!({
        "ok": ok,
        "file": effective.file,
        "files": effective.files,
        "problems": problems.collect::<Value>(),
        "notes": notes.collect::<Value>(),
    })
}

fn settings(settings: &[Setting]) -> Value {
    settings
        .iter()
        .map(|setting| {
            let mut shown = source(&setting.place);
            shown.insert("value".into(), setting.value.clone().into());
            if let (None, Some(words)) = (&setting.value, setting.words) {
                shown.insert("means".into(), words.into());
            }
            if setting.wrong {
                shown.insert("wrong".into(), true.into());
            }
            (setting.name.to_owned(), Value::Object(shown))
        })
        .collect::<Map<_, _>>()
        .into()
}

fn pool(pool: &EffectivePool) -> Value {
    let mut shown = json!({"name": pool.name});
    if let (Value::Object(shown), Value::Object(settings)) = (&mut shown, settings(&pool.settings))
    {
        shown.extend(settings);
    }
    shown["keys"] = pool.keys.iter().map(key).collect();
    shown
}

fn key(key: &EffectiveKey) -> Value {
    let mut shown = source(&key.place);
    shown.insert("label".into(), key.label.clone().into());
    shown.insert("key".into(), key.key.clone().into());
    if key.wrong {
        shown.insert("wrong".into(), true.into());
    }
    for (name, value) in &key.rest {
        shown.insert((*name).to_owned(), value.clone());
    }
    Value::Object(shown)
}

/// Where something was given: `source` is `flag`, `variable`, `file` or `default`.
fn source(place: &Place) -> Map<String, Value> {
    let source = match place {
        Place::Flag(flag) => json!({"source": "flag", "flag": flag}),
        Place::Variable(name) => json!({"source": "variable", "variable": name}),
        Place::File { path, line, column } => {
            json!({"source": "file", "file": &**path, "line": line, "column": column})
        }
        Place::Default => json!({"source": "default"}),
    };
    match source {
        Value::Object(source) => source,
        _ => Map::new(),
    }
}
