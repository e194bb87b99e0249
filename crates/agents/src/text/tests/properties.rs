//! What must hold of every text and every change, whatever the format.

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::{Change, Format, Path};
use crate::text::check::applied;

const JSON: &[&str] = &[
    "{\n  \"a\": 1, // one\n  \"b\": {\"x\": \"u\", \"y\": {}},\n  /* two */ \"c\": [\n    {\"x\": 1},\n    {}\n  ]\n}\n",
    "{a:'x',b:{c:null,},}",
    "{\r\n\t\"env\": {},\r\n\t\"a\" : { \"b\" : true }\r\n}",
    "// top\n{\n    // first\n    \"a\": \"\\u00fc\",\n\n    \"b\": null // none\n    // last\n}",
    "{}",
    "",
];
const TOML: &[&str] = &[
    "# top\nmodel = 'x' # c\na.b = 1\n\n[b]\nx = \"u\"\n\n  [b.c]\n  y=1\n\n[[c]]\nx = 1\n[[c]]\n[c.d]\ny = 2 # end",
    "[a.b]\r\nc = { x = 1 }\r\n\r\n# c\r\n[env]\r\n",
    "a = [\n  1, # one\n]\nb = {}\n",
    "# of a\n[a]\n[b.x.y]\nz = 1\n[b]\nc = \"\"\"\nx\n\"\"\"\n",
    "",
];
const YAML: &[&str] = &[
    "# top\na: 1 # one\nb:\n    x: 'u'\n    y:\n      z: \"w\"\n# more\nc:\n- x: 1\n  y: 2\n-   z: 3\n\nenv:\n",
    "a: {b: 1, c: 'x'}\r\nb: ~ # none\r\nc: |\r\n  text\r\n  more\r\n",
    "base: &b\n  x: 1\na:\n  <<: *b\n  y: >-\n    fold\n\n    ed\nb: &c ü\nc: *c",
    "---\n\"a\": \"x\"\n? b\n: y\nc:\n  - - 1\n...\n",
    "{\"a\": {\"b\": 1}, \"c\": [1, {\"x\": 2}]}",
    "",
];
const DOTENV: &[&str] = &[
    "# top\nexport a='x' # one\nb=\"two\nlines\"\n\nc = 1\nc=2 # two\nnonsense\nenv=",
    "a=1\r\nb=`x`\r\n",
    "",
];

const FORMATS: [(Format, &[&str]); 4] = [
    (Format::Json, JSON),
    (Format::Toml, TOML),
    (Format::Yaml, YAML),
    (Format::Dotenv, DOTENV),
];

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(vec!["a", "b", "c", "d", "env", "x", "y", "z", "model", "base"])
            .prop_map(str::to_owned),
        1 => "[a-z .\"'#:-]{1,6}",
    ]
}

fn path() -> impl Strategy<Value = Path> {
    (
        key(),
        prop::option::weighted(0.3, 0_usize..2),
        prop::collection::vec(key(), 0..3),
    )
        .prop_map(|(first, index, rest)| {
            let mut path = Path::of(&[&first]);
            if let Some(index) = index {
                path = path.index(index);
            }
            rest.iter().fold(path, |path, key| path.key(key))
        })
}

fn text_value() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("http://127.0.0.1:4577/api/anthropic".to_owned()),
        1 => prop::sample::select(vec!["", "yes", "null", "1", "1.5", "~", "a: b", "a #b", "it's", "\"q\"", "\\n", "-", "$X"])
            .prop_map(str::to_owned),
        1 => "\\PC{0,8}",
        1 => any::<String>(),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => text_value().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => prop::collection::vec((key(), text_value()), 0..3).prop_map(|members| {
            Value::Object(Map::from_iter(
                members.into_iter().map(|(key, text)| (key, Value::from(text))),
            ))
        }),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    (path(), value()).prop_map(|(path, to)| Change { path, to })
}

fn document() -> impl Strategy<Value = (Format, String)> {
    (
        0..FORMATS.len(),
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|(format, which, trimmed)| {
            let (format, texts) = FORMATS[format];
            let text = which.get(texts);
            let text = if trimmed { text.trim_end() } else { text };
            (format, text.to_owned())
        })
}

/// What a change comes to in this format.
fn to(format: Format, change: &Change) -> Value {
    match &change.to {
        to @ (Value::Bool(_) | Value::Number(_)) if format == Format::Dotenv => {
            Value::from(to.to_string())
        }
        to => to.clone(),
    }
}

fn apart(one: &Path, other: &Path) -> bool {
    !one.0.starts_with(&other.0) && !other.0.starts_with(&one.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn an_edit_changes_what_it_says_and_is_undone_exactly(
        (format, text) in document(),
        changes in prop::collection::vec(change(), 1..4),
    ) {
        let Ok(edited) = format.edit(&text, &changes) else { return Ok(()); };
        let mut expected = format.parse(&text).unwrap();
        for change in &changes {
            let to = to(format, change);
            expected = applied(&expected, &change.path.0, Some(&to)).unwrap();
        }
        prop_assert_eq!(format.parse(&edited.text).unwrap(), expected);
        let undone = edited.patch.undo(format, &edited.text).unwrap();
        prop_assert_eq!(undone.text, text);
        prop_assert!(undone.left.is_empty());
        let last = changes.last().cloned().into_iter().collect::<Vec<_>>();
        let again = format.edit(&edited.text, &last).unwrap();
        prop_assert_eq!(again.text, edited.text);
        prop_assert!(again.patch.is_empty());
    }

    #[test]
    fn an_edit_is_taken_out_from_under_another(
        (format, text) in document(),
        ours in change(),
        theirs in change(),
    ) {
        if !apart(&ours.path, &theirs.path) {
            return Ok(());
        }
        let elsewhere = ours.path.0.first() != theirs.path.0.first();
        let Ok(edited) = format.edit(&text, std::slice::from_ref(&ours)) else { return Ok(()); };
        let Ok(alone) = format.edit(&text, std::slice::from_ref(&theirs)) else { return Ok(()); };
        let Ok(both) = format.edit(&edited.text, &[theirs]) else { return Ok(()); };
        match edited.patch.undo(format, &both.text) {
            Ok(undone) => {
                prop_assert!(undone.left.is_empty(), "left {:?}", undone.left);
                let said = format.parse(&undone.text).unwrap();
                prop_assert_eq!(&said, &format.parse(&alone.text).unwrap());
                // Also to the letter, if it was elsewhere; but its own empty lines and quotes (it followed ours).
                let letters = |text: &str| text.replace([' ', '\r', '\n', '"', '\'', '\\'], "");
                if elsewhere {
                    prop_assert_eq!(letters(&undone.text), letters(&alone.text), "{:?}", both.text);
                }
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn other_places_do_not_move_when_an_edit_is_taken_out_of_between(
        (format, text) in document(),
        ours in change(),
        comment in "[a-z ]{0,9}",
    ) {
        // Somebody adds lines of comment above and below.
        if text.starts_with("---") || !text.ends_with('\n') {
            return Ok(());
        }
        let Ok(edited) = format.edit(&text, std::slice::from_ref(&ours)) else { return Ok(()); };
        let sign = if format == Format::Json { "//" } else { "#" };
        let around = |text: &str| format!("{sign} {comment}\n{text}{sign} {comment}\n");
        let Ok(undone) = edited.patch.undo(format, &around(&edited.text)) else {
            return Err(TestCaseError::fail("not undone"));
        };
        prop_assert_eq!(undone.text, around(&text));
    }

    #[test]
    fn no_text_makes_it_panic(
        text in any::<String>(),
        noise in "[\\[\\]{}:,#&*!|>'\"a-c0-9= \\n\\r\\t.\\\\/-]{0,40}",
        ours in change(),
    ) {
        for (format, _) in FORMATS {
            for text in [&text, &noise] {
                let _ = format.parse(text);
                if let Ok(edited) = format.edit(text, std::slice::from_ref(&ours)) {
                    prop_assert_eq!(&edited.patch.undo(format, &edited.text).unwrap().text, text);
                    let _ = edited.patch.undo(format, &noise);
                }
            }
        }
    }

    #[test]
    fn no_damaged_document_makes_it_panic(
        (format, text) in document(),
        from in any::<prop::sample::Index>(),
        length in 0_usize..6,
        noise in "[\\[\\]{}:,#&*!|>'\"a-c0-9= \\n\\r\\t.\\\\/-]{0,4}",
        ours in change(),
    ) {
        let mut letters: Vec<char> = text.chars().collect();
        let from = from.index(letters.len() + 1);
        let to = (from + length).min(letters.len());
        letters.splice(from..to, noise.chars());
        let damaged: String = letters.into_iter().collect();
        let _ = format.parse(&damaged);
        if let Ok(edited) = format.edit(&text, std::slice::from_ref(&ours)) {
            let _ = edited.patch.undo(format, &damaged);
        }
        if let Ok(edited) = format.edit(&damaged, &[ours]) {
            prop_assert_eq!(edited.patch.undo(format, &edited.text).unwrap().text, damaged);
        }
    }
}
