//! Editing: what is meant changes, and every other byte stays.

use proptest::prelude::*;

use super::*;

fn file(text: &str) -> KeyFile {
    KeyFile::parse(text).unwrap()
}

fn new(key: &str) -> NewKey {
    NewKey {
        written: Secret::new(key.into()),
        label: None,
        weight: None,
        account: None,
    }
}

/// What becomes of `text` by `edit`.
fn edited(text: &str, edit: impl FnOnce(&mut KeyFile)) -> String {
    let mut file = file(text);
    edit(&mut file);
    file.text()
}

fn added(text: &str, pool: &str, key: &NewKey) -> String {
    edited(text, |file| file.add(pool, key).unwrap())
}

fn changed(text: &str, at: usize, change: KeyChange) -> String {
    edited(text, |file| file.change(at, &change).unwrap())
}

fn removed(text: &str, at: usize) -> String {
    edited(text, |file| file.remove(at).unwrap())
}

fn label(text: &str) -> KeyChange {
    KeyChange::Label(Some(text.into()))
}

const COMMENTED: &str = r#"// mine
{
    "zebra": { "x": [1, 2] }, // unknown
    "target": "https://api.z.ai",
    /* the keys */
    "keys": [
        { "key": "k1", "label": "home" }, // at home
        "k2", // at work
        // the third
        {
            "key": "k3", // long
            "disabled": true // too expensive
        }
    ],
    "port": 4577,
}
"#;

#[test]
fn what_the_file_says_is_read_with_the_labels_that_the_configuration_gives() {
    let text = r#"{"keys": "a, b,,", "pools": {"zai": {"keys": ["", "c", {"key": "d", "label": "zai-1", "weight": "3",
        "account": " acme ", "disabled": "yes"}]}, "none": {}}}"#;
    let file = file(text);
    assert_eq!(file.pools(), ["", "zai", "none"]);
    let labels: Vec<_> = file.keys().iter().map(|key| key.label.as_str()).collect();
    assert_eq!(labels, ["key-1", "key-2", "zai-2", "zai-1"]);
    let last = &file.keys()[3];
    assert_eq!((last.index, last.weight, last.disabled), (1, Some(3), true));
    assert_eq!(last.account.as_deref(), Some("acme"));
    assert_eq!(file.keys()[2].index, 0, "an empty text is no key");
    assert_eq!(file.setting("", "target"), None);
}

#[test]
fn a_text_that_something_is_said_of_becomes_an_object_and_the_rest_stays() {
    assert_eq!(
        changed(COMMENTED, 1, label("work")),
        COMMENTED.replace("\"k2\"", "{ \"key\": \"k2\", \"label\": \"work\" }")
    );
    assert_eq!(
        changed(r#"{"keys":["a","b"]}"#, 0, KeyChange::Weight(Some(2))),
        r#"{"keys":[{"key":"a","weight":2},"b"]}"#
    );
}

#[test]
fn what_is_said_of_a_key_is_added_replaced_and_taken_away_where_it_stands() {
    assert_eq!(
        changed(COMMENTED, 0, KeyChange::Account(Some("acme".into()))),
        COMMENTED.replace("\"home\" }", "\"home\", \"account\": \"acme\" }")
    );
    assert_eq!(
        changed(COMMENTED, 0, label("flat")),
        COMMENTED.replace("\"home\"", "\"flat\"")
    );
    assert_eq!(
        changed(COMMENTED, 2, label("third")),
        COMMENTED.replace(
            "\"disabled\": true // too expensive",
            "\"disabled\": true, // too expensive\n            \"label\": \"third\""
        )
    );
    assert_eq!(
        changed(COMMENTED, 2, KeyChange::Disabled(false)),
        COMMENTED.replace(
            "\"k3\", // long\n            \"disabled\": true // too expensive\n",
            "\"k3\" // long\n"
        )
    );
    assert_eq!(
        changed(COMMENTED, 0, KeyChange::Label(None)),
        COMMENTED.replace(
            "{ \"key\": \"k1\", \"label\": \"home\" }",
            "{ \"key\": \"k1\" }"
        )
    );
}

#[test]
fn what_is_so_already_changes_nothing() {
    assert_eq!(changed(COMMENTED, 0, label("home")), COMMENTED);
    assert_eq!(changed(COMMENTED, 1, KeyChange::Disabled(false)), COMMENTED);
    assert_eq!(changed(COMMENTED, 1, KeyChange::Label(None)), COMMENTED);
}

#[test]
fn a_key_is_added_behind_the_last_one_as_those_are_written() {
    let third = "            \"disabled\": true // too expensive\n        }\n";
    assert_eq!(
        added(COMMENTED, "", &new("k4")),
        COMMENTED.replace(third, &third.replace("}\n", "},\n        \"k4\"\n"))
    );
    let whole = NewKey {
        label: Some("w".into()),
        weight: Some(2),
        account: Some("a \"b\"".into()),
        ..new("env:X")
    };
    assert_eq!(
        added("{\"keys\": [\"a\"]}", "", &whole),
        "{\"keys\": [\"a\", { \"key\": \"env:X\", \"label\": \"w\", \"weight\": 2, \"account\": \"a \\\"b\\\"\" }]}"
    );
    assert_eq!(
        added(
            "{\r\n\t\"keys\": [\r\n\t\t\"a\", // x\r\n\t],\r\n}\r\n",
            "",
            &new("b")
        ),
        "{\r\n\t\"keys\": [\r\n\t\t\"a\", // x\r\n\t\t\"b\",\r\n\t],\r\n}\r\n"
    );
}

#[test]
fn a_file_or_a_pool_without_keys_gets_a_list() {
    for (before, after) in [
        ("", "{\n  \"keys\": [\n    \"k\"\n  ]\n}\n"),
        ("// none", "// none\n{\n  \"keys\": [\n    \"k\"\n  ]\n}\n"),
        ("{}", "{\n  \"keys\": [\n    \"k\"\n  ]\n}"),
        ("{\"port\":1}", "{\"port\":1,\"keys\":[\"k\"]}"),
        (
            "{\n    \"port\": 1 // p\n}",
            "{\n    \"port\": 1, // p\n    \"keys\": [\n        \"k\"\n    ]\n}",
        ),
        ("{\"keys\": []}", "{\"keys\": [\"k\"]}"),
        ("{\"keys\": null}", "{\"keys\": [\"k\"]}"),
        (
            "{\n  \"keys\": [\n    // none yet\n  ]\n}",
            "{\n  \"keys\": [\n    // none yet\n    \"k\"\n  ]\n}",
        ),
        (
            "{\n  \"keys\": []\n}",
            "{\n  \"keys\": [\n    \"k\"\n  ]\n}",
        ),
        ("\u{feff}{\"keys\": []}", "\u{feff}{\"keys\": [\"k\"]}"),
    ] {
        assert_eq!(added(before, "", &new("k")), after, "{before}");
    }
    let pools =
        "{\n  \"pools\": {\n    \"zai\": {\n      \"target\": \"https://h\"\n    }\n  }\n}\n";
    assert_eq!(
        added(pools, "zai", &new("k")),
        pools.replace(
            "\"https://h\"\n",
            "\"https://h\",\n      \"keys\": [\n        \"k\"\n      ]\n"
        )
    );
}

#[test]
fn keys_that_are_one_text_become_a_list_once_something_is_said_of_one() {
    let old = "{\n  \"target\": \"https://api.z.ai\", // t\n  \"keys\": \"a, b\"\n}\n";
    assert_eq!(
        changed(old, 1, KeyChange::Disabled(true)),
        old.replace(
            "\"a, b\"",
            "[\n    \"a\",\n    { \"key\": \"b\", \"disabled\": true }\n  ]"
        )
    );
    assert_eq!(removed("{\"keys\": \"a,b\"}", 0), "{\"keys\": [\"b\"]}");
}

#[test]
fn a_key_goes_with_its_line_and_leaves_the_others() {
    assert_eq!(
        removed(COMMENTED, 1),
        COMMENTED.replace("        \"k2\", // at work\n", "")
    );
    let last = removed(COMMENTED, 2);
    assert!(
        last.contains("\"k2\" // at work\n        // the third\n    ],"),
        "{last}"
    );
    for (before, at, after) in [
        (
            "{\"keys\": [\"a\", \"b\", \"c\"]}",
            1,
            "{\"keys\": [\"a\", \"c\"]}",
        ),
        (
            "{\"keys\": [\"a\", \"b\", \"c\"]}",
            0,
            "{\"keys\": [\"b\", \"c\"]}",
        ),
        (
            "{\"keys\": [\"a\", \"b\", \"c\"]}",
            2,
            "{\"keys\": [\"a\", \"b\"]}",
        ),
        ("{\"keys\": [\"a\", \"b\",]}", 1, "{\"keys\": [\"a\",]}"),
        ("{\"keys\": [\"a\"]}", 0, "{\"keys\": []}"),
        ("{\"keys\": [\"a\",]}", 0, "{\"keys\": []}"),
        ("{\"keys\": [\n\"a\"\n]}", 0, "{\"keys\": [\n]}"),
    ] {
        assert_eq!(removed(before, at), after, "{before}");
    }
}

#[test]
fn what_counts_is_the_last_of_a_member_given_twice() {
    let text = r#"{"keys": ["a"], "keys": [{"key": "b", "label": "x", "label": "y"}]}"#;
    assert_eq!(changed(text, 0, label("z")), text.replace("\"y\"", "\"z\""));
}

#[test]
fn a_file_that_is_broken_or_strange_is_refused_and_not_quoted() {
    for (text, why) in [
        ("{\"keys\": [\"planted\" \"planted\"]}", "line 1, column "),
        ("[\"planted\"]", "does not hold one object"),
        ("{\"keys\": {\"planted\": 1}}", "`keys` is no list"),
        ("{\"keys\": [1]}", "neither a text nor an object"),
        ("{\"keys\": [{\"label\": \"planted\"}]}", "has no `key`"),
        ("{\"pools\": [\"planted\"]}", "`pools` is no object"),
    ] {
        let error = KeyFile::parse(text).unwrap_err().to_string();
        assert!(
            error.contains(why) && !error.contains("planted"),
            "{text}: {error}"
        );
    }
    let error = file("{}").add("zai", &new("k")).unwrap_err();
    assert_eq!(error, KeyFileError::NoPool("zai".into()));
    assert!(!format!("{:?}", file(r#"{"keys": ["planted"]}"#)).contains("planted"));
}

/// A blank, a comment, or nothing, where JSON allows it.
fn gap() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just(" ".to_owned()),
        Just("\n  ".to_owned()),
        Just(" /* é, \"x\" */ ".to_owned()),
        Just(" // [,]\n\t".to_owned()),
        Just("\n\n    // c\n    ".to_owned()),
    ]
}

fn entry_text() -> impl Strategy<Value = String> {
    let key = "[a-d]{1,3}";
    prop_oneof![
        key.prop_map(|key| format!("\"{key}\"")),
        (key, gap(), gap()).prop_map(|(key, a, b)| format!("{{{a}\"key\": \"{key}\"{b}}}")),
        (key, gap(), gap(), any::<bool>()).prop_map(|(key, a, b, comma)| {
            let comma = if comma { "," } else { "" };
            format!(
                "{{{a}\"weight\":{a}2,{b}\"key\" : \"{key}\",{a}\"disabled\": true{b}{comma}{a}}}"
            )
        }),
    ]
}

/// A file, and where its list of keys stands.
fn document() -> impl Strategy<Value = (String, Range<usize>)> {
    let entries = proptest::collection::vec((gap(), entry_text(), gap()), 0..5);
    (gap(), entries, gap(), any::<(bool, bool, bool)>()).prop_map(
        |(before, entries, inside, (comma, windows, in_pool))| {
            let mut list = String::from("[");
            let count = entries.len();
            for (at, (before, entry, after)) in entries.into_iter().enumerate() {
                list.push_str(&format!("{before}{entry}{after}"));
                if at + 1 < count || comma {
                    list.push(',');
                }
            }
            list.push_str(&inside);
            list.push(']');
            let (open, close) = match in_pool {
                true => ("{\"pools\": {\"p\": {", "}}}"),
                false => ("{", "}"),
            };
            let head = format!("// h\n{open}{before}\"a\": [1, 2],{before}\"keys\":{before}");
            let tail = format!("{before},\"z\": {{}}{close}{before}\n");
            let head = if windows {
                head.replace('\n', "\r\n")
            } else {
                head
            };
            let list = if windows {
                list.replace('\n', "\r\n")
            } else {
                list
            };
            let tail = if windows {
                tail.replace('\n', "\r\n")
            } else {
                tail
            };
            let span = head.len()..head.len() + list.len();
            (format!("{head}{list}{tail}"), span)
        },
    )
}

/// All comments of a text.
fn comments(text: &str) -> Vec<&str> {
    text.match_indices(['/'])
        .filter(|(at, _)| text[*at..].starts_with("//") || text[*at..].starts_with("/*"))
        .map(|(at, _)| text[at..].lines().next().unwrap_or_default().trim_end())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn an_edit_does_what_is_meant_and_touches_nothing_outside_of_the_list(
        (text, span) in document(),
        at in 0..5_usize,
        what in 0..7_u8,
    ) {
        let mut file = KeyFile::parse(&text).unwrap();
        let pool = file.pools().last().cloned().unwrap_or_default();
        let before = file.keys().len();
        let result = match what {
            0 => file.add(&pool, &new("new")),
            1 if at < before => file.remove(at),
            2 if at < before => file.change(at, &label("l")),
            3 if at < before => file.change(at, &KeyChange::Disabled(true)),
            4 if at < before => file.change(at, &KeyChange::Disabled(false)),
            5 if at < before => file.change(at, &KeyChange::Weight(None)),
            6 if at < before => file.change(at, &KeyChange::Account(Some("x y".into()))),
            _ => Ok(()),
        };
        prop_assert_eq!(result, Ok(()), "{}", text);
        let after = file.text();
        prop_assert!(after.starts_with(&text[..span.start]), "{}\n---\n{}", text, after);
        prop_assert!(after.ends_with(&text[span.end..]), "{}\n---\n{}", text, after);
        if what == 0 {
            prop_assert_eq!(comments(&after).len(), comments(&text).len(), "{}\n---\n{}", text, after);
        }
        prop_assert!(!text.contains("\r\n") || !after.replace("\r\n", "").contains('\n'));
    }

    #[test]
    fn what_is_said_of_a_key_and_taken_back_leaves_the_file_as_it_was(
        (text, _) in document(),
        at in 0..5_usize,
    ) {
        let mut file = KeyFile::parse(&text).unwrap();
        // A text has become an object then.
        if at >= file.keys().len() {
            return Ok(());
        }
        file.change(at, &label("first")).unwrap();
        let before = file.text();
        file.change(at, &KeyChange::Account(Some("x".into()))).unwrap();
        file.change(at, &KeyChange::Account(None)).unwrap();
        prop_assert_eq!(file.text(), before, "{}", text);
    }
}
