//! The tokenizer against serde_json, and against every cut of its input.

use proptest::prelude::*;

use super::*;

/// Writes the events down, pieces of a string joined.
#[derive(Default, Debug, PartialEq)]
struct Events(Vec<String>, Vec<u8>);

impl Visit for Events {
    fn open(&mut self, container: Container) {
        self.0.push(format!("{container:?}"));
    }
    fn close(&mut self) {
        self.0.push("close".into());
    }
    fn key(&mut self, key: &[u8]) {
        self.0.push(format!("key {}", String::from_utf8_lossy(key)));
    }
    fn text_begins(&mut self) -> bool {
        self.1.clear();
        true
    }
    fn text(&mut self, piece: &[u8], ends: bool) {
        self.1.extend_from_slice(piece);
        if ends {
            self.0
                .push(format!("text {}", String::from_utf8_lossy(&self.1)));
        }
    }
    fn scalar(&mut self, raw: &[u8]) {
        self.0
            .push(format!("scalar {}", String::from_utf8_lossy(raw)));
    }
}

fn run(chunks: &[&[u8]]) -> (Progress, Vec<String>) {
    let mut events = Events::default();
    let mut tokenizer = Tokenizer::new();
    for chunk in chunks {
        tokenizer.feed(chunk, &mut events);
    }
    (tokenizer.finish(&mut events), events.0)
}

#[test]
fn events_come_in_document_order() {
    let (progress, events) = run(&[br#" {"a":[1,-2.5e3,"x\"y"],"b":{"c":null}} "#]);
    assert_eq!(progress, Progress::Complete);
    assert_eq!(
        events,
        [
            "Object",
            "key a",
            "Array",
            "scalar 1",
            "scalar -2.5e3",
            "text x\\\"y",
            "close",
            "key b",
            "Object",
            "key c",
            "scalar null",
            "close",
            "close"
        ]
    );
}

#[test]
fn escaped_keys_are_decoded_and_overlong_ones_are_empty() {
    let (_, events) = run(&[br#"{"\u0061\n":1}"#]);
    assert_eq!(events[1], "key a\n");
    let long = format!("{{\"{}\":1}}", "k".repeat(MAX_KEY + 1));
    assert_eq!(run(&[long.as_bytes()]).1[1], "key ");
}

#[test]
fn what_is_not_json_is_malformed() {
    for text in [
        "{",
        "[1,]",
        "{\"a\"}",
        "{\"a\":1,}",
        "{,}",
        "nul",
        "01",
        "1.",
        "--1",
        "[1 2]",
        "{\"a\":1]",
        "\"open",
        "",
        "hello",
        "[1]]",
        "{} {}",
        "-",
    ] {
        assert_ne!(run(&[text.as_bytes()]).0, Progress::Complete, "{text}");
    }
}

#[test]
fn nesting_beyond_the_bound_is_malformed_and_does_not_recurse() {
    let deep = "[".repeat(1_000_000);
    assert_eq!(run(&[deep.as_bytes()]).0, Progress::Malformed);
    let allowed = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert_eq!(run(&[allowed.as_bytes()]).0, Progress::Complete);
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[a\"\\\\\u{e9}\n\u{1f600}]{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec(("[a\"\\\\\u{e9}]{0,6}", inner), 0..6)
                .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn the_events_do_not_depend_on_where_the_input_is_cut(value in json(), pretty: bool) {
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        let whole = run(&[&text]);
        prop_assert_eq!(whole.0, Progress::Complete);
        for at in 0..=text.len() {
            prop_assert_eq!(&run(&[&text[..at], &text[at..]]), &whole, "cut at {}", at);
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        prop_assert_eq!(&run(&bytes), &whole);
    }

    #[test]
    fn what_serde_json_accepts_is_complete_and_what_it_refuses_structurally_is_not(
        value in json(), at in any::<prop::sample::Index>(), byte in "[\\[\\]{}:,0a-]"
    ) {
        let mut text = serde_json::to_vec(&value).unwrap();
        let at = at.index(text.len());
        text[at] = byte.as_bytes()[0];
        let accepted = serde_json::from_slice::<serde_json::Value>(&text);
        let ours = run(&[&text]).0 == Progress::Complete;
        // Escapes and UTF-8 inside strings are the upstream's business.
        let about_strings = accepted.as_ref().is_err_and(|e| {
            let said = e.to_string();
            said.contains("escape") || said.contains("surrogate") || said.contains("unicode") || said.contains("UTF-8") || said.contains("control") || said.contains("out of range")
        });
        // A number is checked only as far as it is kept.
        let overlong = text.split(|byte| b"[]{}:,\" ".contains(byte)).any(|run| run.len() > MAX_SCALAR);
        prop_assert!(about_strings || overlong || accepted.is_ok() == ours, "{:?} {:?}", String::from_utf8_lossy(&text), accepted);
    }
}
