//! The reader of request bodies: never panics, says the same however the body is cut, and finds
//! what serde_json finds.

use api_key_lb_core::ladder::{Ladder, OwnRule, Path, Place, Step};
use api_key_lb_core::wire::body::{BodyFacts, Need, RequestReader};
use api_key_lb_core::wire::capture::Captured;
use api_key_lb_core::wire::identity;
use http::HeaderMap;
use serde_json::Value;

use super::cuts;

/// Paths that no built-in rule has: several lists on the way, and one that ends in one.
const OWN_PATHS: [&str; 5] = [
    "messages[].content[].text",
    "input[].content[].id",
    "stop[]",
    "[].id",
    "a[][].b",
];
/// Longest value that is kept whole and longest model, as they stand in the body: bytes.
const MAX_RAW: usize = 1024;
const MAX_RAW_MODEL: usize = 512;
/// A character may be written with up to six times its bytes: `\u0061`.
const LONGEST_ESCAPE: usize = 6;

/// Checks one input.
pub fn request_body(input: &[u8]) {
    let own = OWN_PATHS.map(|path| OwnRule::Body(path.parse().expect("a path")));
    let ladder = Ladder::new(&own);
    for need in needs() {
        let whole = said(&ladder, need, &[input]);
        if need == Need::ALL {
            for pieces in cuts(input) {
                assert_eq!(said(&ladder, need, &pieces), whole, "{pieces:?}");
            }
        } else {
            let pieces: Vec<&[u8]> = input.chunks(1).collect();
            assert_eq!(said(&ladder, need, &pieces), whole, "{need:?}");
        }
    }
    let mut reader = RequestReader::new(ladder.paths(), Need::ALL);
    reader.feed(input);
    let _ = reader.so_far();

    let facts = read(&ladder, Need::ALL, &[input]);
    if let Ok(value) = serde_json::from_slice::<Value>(input) {
        agree(&ladder, &facts, &value);
    }
    let _ = identity::recognise(&ladder, &HeaderMap::new(), facts);
}

fn needs() -> impl Iterator<Item = Need> {
    (0..64).map(|bits| Need {
        ids: bits & 1 != 0,
        chain: bits & 2 != 0,
        background: bits & 4 != 0,
        splice: bits & 8 != 0,
        references: bits & 16 != 0,
        stores: bits & 32 != 0,
    })
}

fn read(ladder: &Ladder, need: Need, pieces: &[&[u8]]) -> BodyFacts {
    let mut reader = RequestReader::new(ladder.paths(), need);
    for piece in pieces {
        reader.feed(piece);
    }
    reader.finish()
}

fn said(ladder: &Ladder, need: Need, pieces: &[&[u8]]) -> String {
    format!("{:?}", read(ladder, need, pieces))
}

/// What is JSON for serde_json was read to its end, with the same values.
fn agree(ladder: &Ladder, facts: &BodyFacts, value: &Value) {
    let is_true = |key: &str| value.get(key) == Some(&Value::Bool(true));
    assert_eq!(facts.stream, is_true("stream"), "stream");
    assert_eq!(facts.background, is_true("background"), "background");
    let model = value.get("model").and_then(Value::as_str);
    let model = model.filter(|model| !model.is_empty());
    if model.is_none_or(|model| model.len() * LONGEST_ESCAPE <= MAX_RAW_MODEL) {
        assert_eq!(facts.model.as_deref(), model, "model");
    }
    for rule in ladder.rules() {
        if let Place::Body(path) | Place::AnswerInBody(path) = &rule.place {
            agree_at(ladder, facts, value, path);
        }
    }
}

fn agree_at(ladder: &Ladder, facts: &BodyFacts, value: &Value, path: &Path) {
    let place = ladder.paths().place_of(path).expect("in the tree");
    let found = facts.captures.at(place);
    match (found, looked_up(value, path.steps())) {
        (None, None) => {}
        (Some(Captured::Whole(found)), Some(expected)) => {
            assert_eq!(found, expected.as_bytes(), "{path}");
        }
        (Some(Captured::Hashed(_)), Some(expected)) => {
            assert!(expected.len() * LONGEST_ESCAPE > MAX_RAW, "{path}");
        }
        (found, expected) => panic!("{path}: {found:?} instead of {expected:?}"),
    }
}

/// The string at a path, through lists in the first element that has one.
fn looked_up<'v>(value: &'v Value, path: &[Step]) -> Option<&'v str> {
    match path {
        [] => value.as_str(),
        [Step::Key(key), rest @ ..] => looked_up(value.get(&**key)?, rest),
        [Step::Element, rest @ ..] => {
            let mut elements = value.as_array()?.iter();
            elements.find_map(|element| looked_up(element, rest))
        }
    }
}
