//! What is caught against what serde_json finds at the same paths.

use proptest::prelude::*;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::*;
use crate::ladder::{Path, Step};
use crate::wire::json::{Progress, Tokenizer, Visit};
use crate::wire::sample::with_duplicates;

/// Nothing but the cursor.
struct Reader<'t>(Cursor<'t>);

impl Visit for Reader<'_> {
    fn open(&mut self, container: Container) {
        self.0.open(container);
    }
    fn close(&mut self) {
        self.0.close();
    }
    fn key(&mut self, key: &[u8]) {
        self.0.key(key);
    }
    fn text_begins(&mut self) -> bool {
        self.0.text_begins()
    }
    fn text(&mut self, piece: &[u8], ends: bool) {
        self.0.text(piece, ends);
    }
    fn scalar(&mut self, _: &[u8]) {}
}

const PATHS: &[&str] = &[
    "a",
    "a.b",
    "a.b.c",
    "a[]",
    "a[].b",
    "a[].b.c",
    "a[].b[]",
    "a[].b[].c",
    "a[][]",
    "a[][].b",
    "b.a[].c",
    "c[].a.b[].c",
    "[]",
    "[].a",
    "[][].b",
    "a.b.c.a.b.c.a.b",
];

fn tree(paths: &[Path]) -> PathTree {
    let mut tree = PathTree::default();
    for path in paths {
        tree.add(path);
    }
    tree
}

fn caught(tree: &PathTree, text: &str, size: usize) -> (Progress, Captures) {
    let mut reader = Reader(Cursor::new(tree));
    let mut tokenizer = Tokenizer::new();
    for piece in text.as_bytes().chunks(size) {
        tokenizer.feed(piece, &mut reader);
    }
    (tokenizer.finish(&mut reader), reader.0.into_captures())
}

/// The first string at the path, through elements in their order.
fn looked_up<'v>(value: &'v Value, path: &[Step]) -> Option<&'v str> {
    match path {
        [] => value.as_str(),
        [Step::Key(key), rest @ ..] => looked_up(value.get(&**key)?, rest),
        [Step::Element, rest @ ..] => value
            .as_array()?
            .iter()
            .find_map(|element| looked_up(element, rest)),
    }
}

fn check(text: &str) {
    let value: Value = serde_json::from_str(text).unwrap();
    let paths: Vec<Path> = PATHS.iter().map(|path| path.parse().unwrap()).collect();
    let tree = tree(&paths);
    for size in [1, 3, usize::MAX] {
        let (progress, captures) = caught(&tree, text, size);
        assert_eq!(progress, Progress::Complete, "{text}");
        for path in &paths {
            let found = captures.at(tree.place_of(path).unwrap());
            let expected = looked_up(&value, path.steps())
                .map(|text| Captured::Whole(text.as_bytes().to_vec()));
            assert_eq!(found, expected.as_ref(), "{path} in {text}");
        }
    }
}

#[test]
fn the_last_of_several_values_of_a_key_counts_with_all_that_is_in_it() {
    for text in [
        r#"{"a":"x","a":"y"}"#,
        r#"{"a":"x","a":{"b":"y"}}"#,
        r#"{"a":{"b":"x"},"a":{"c":"y"}}"#,
        r#"{"a":{"b":"x","b":{"c":"y"}}}"#,
        r#"{"a":["x","y"],"a":[1,"z"]}"#,
        r#"{"a":[{"b":"x"}],"a":[{"b":7}]}"#,
    ] {
        check(text);
    }
}

#[test]
fn what_a_key_replaces_within_an_element_leaves_other_elements_alone() {
    for text in [
        r#"{"a":[{"b":"x"},{"b":"y"}]}"#,
        r#"{"a":[{"b":"x","b":7},{"b":"y"}]}"#,
        r#"{"a":[{"b":"x"},{"b":"y","b":7}]}"#,
        r#"{"a":[{"b":["x"]},{"b":["y"],"b":[]}]}"#,
        // The elements within an element are not the element itself …
        r#"{"a":[{"b":{"c":"x"},"c":[{}],"b":{"c":"y"}}]}"#,
        // … and go with it.
        r#"{"a":[{"b":[{"c":"x"},{"c":7}],"b":[{}]}]}"#,
        r#"{"a":[{"b":[{"c":"x"},{}]},{"b":[{"c":"y"}],"b":[]}]}"#,
        r#"{"c":[{"a":{"b":[{"c":"x"},{"c":"y"}]},"a":{"b":[{},{"c":"z"}]}},{"a":{"b":[{"c":"w"}]}}]}"#,
    ] {
        check(text);
    }
}

#[test]
fn nothing_is_caught_beside_the_paths() {
    for text in [
        r#""a""#,
        "7",
        r#"{"b":{"a":"x"}}"#,
        r#"{"a":[["x"],[{"b":"y"}]]}"#,
        r#"[{"a":"x"},["y"],[[{"b":"z"}]],[{"b":"z"}]]"#,
        r#"{"a":{"b":{"c":{"a":{"b":{"c":{"a":{"b":"x"}}}}}}}}"#,
        r#"{"a":{"b":{"c":{"a":{"b":{"c":{"a":{"b":{"c":{"a":"x"}}}}}}}}}}"#,
    ] {
        check(text);
    }
}

#[test]
fn a_long_value_is_its_hash_and_one_at_the_bound_is_whole() {
    let path: Path = "a".parse().unwrap();
    let tree = tree(std::slice::from_ref(&path));
    let place = tree.place_of(&path).unwrap();
    for size in [1, 100, 1025, usize::MAX] {
        let value = "x".repeat(MAX_KEPT);
        let (_, captures) = caught(&tree, &format!(r#"{{"a":"{value}"}}"#), size);
        let whole = Captured::Whole(value.clone().into_bytes());
        assert_eq!(captures.at(place), Some(&whole), "{size}");
        let longer = format!("{value}y");
        let (_, captures) = caught(&tree, &format!(r#"{{"a":"{longer}"}}"#), size);
        let hashed = Captured::Hashed(xxh3_128(longer.as_bytes()));
        assert_eq!(captures.at(place), Some(&hashed), "{size}");
    }
}

#[test]
fn a_value_whose_escapes_are_wrong_is_none() {
    let path: Path = "a".parse().unwrap();
    let tree = tree(std::slice::from_ref(&path));
    for text in [r#"{"a":"\ud800"}"#, r#"{"a":"\x"}"#, r#"{"a":"\u00"}"#] {
        let (_, captures) = caught(&tree, text, usize::MAX);
        assert_eq!(captures.at(tree.place_of(&path).unwrap()), None, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_caught_is_what_serde_json_finds(value in with_duplicates(&["a", "b", "c"]), odd: u64) {
        check(&value.write_oddly(odd));
    }
}
