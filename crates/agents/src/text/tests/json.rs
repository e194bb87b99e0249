//! Tests of the JSON editor.

use serde_json::json;

use super::{becomes, refuses, set, undone};
use crate::text::{EditError, Format};

const JSON: Format = Format::Json;

#[test]
fn an_empty_file_becomes_a_document() {
    becomes(
        JSON,
        "",
        &[set("env.URL", "http://x"), set("env.N", 1)],
        "{\n  \"env\": {\n    \"URL\": \"http://x\",\n    \"N\": 1\n  }\n}\n",
    );
    becomes(JSON, "{}\n", &[set("a", true)], "{\n  \"a\": true\n}\n");
    becomes(
        JSON,
        "// mine\n",
        &[set("a", 1)],
        "// mine\n{\n  \"a\": 1\n}\n",
    );
}

#[test]
fn a_replaced_value_keeps_its_quotes_and_everything_around() {
    becomes(
        JSON,
        "{ a : 'x', /* c */ \"b\":1 , }",
        &[set("a", "it's"), set("b", "q\"")],
        "{ a : 'it\\'s', /* c */ \"b\":\"q\\\"\" , }",
    );
}

#[test]
fn a_new_member_follows_the_files_style() {
    becomes(
        JSON,
        "{\r\n\t\"a\": {\r\n\t\t\"b\": 1\r\n\t}\r\n}",
        &[set("c.d", "x")],
        "{\r\n\t\"a\": {\r\n\t\t\"b\": 1\r\n\t},\r\n\t\"c\": {\r\n\t\t\"d\": \"x\"\r\n\t}\r\n}",
    );
    becomes(
        JSON,
        "{\"a\":1}",
        &[set("b.c", 2)],
        "{\"a\":1,\"b\":{\"c\":2}}",
    );
    becomes(JSON, "{\"a\": 1}", &[set("b", 2)], "{\"a\": 1, \"b\": 2}");
    becomes(
        JSON,
        "{\n  a: 'x',\n}\n",
        &[set("b", "y"), set("c-d", "z")],
        "{\n  a: 'x',\n  b: 'y',\n  'c-d': 'z',\n}\n",
    );
}

#[test]
fn a_comment_stays_with_the_member_before() {
    let before = "{\n  \"a\": 1 // one\n}\n";
    let after = "{\n  \"a\": 1, // one\n  \"b\": 2\n}\n";
    let patch = becomes(JSON, before, &[set("b", 2)], after);
    undone(
        JSON,
        &patch,
        &after.replace("one", "a longer one"),
        &before.replace("one", "a longer one"),
        &[],
    );
    becomes(
        JSON,
        "{\n  \"a\": 1, // one\n}",
        &[set("b", 2)],
        "{\n  \"a\": 1, // one\n  \"b\": 2,\n}",
    );
    becomes(JSON, "{ // c\n}", &[set("b", 2)], "{ // c\n  \"b\": 2\n}");
    becomes(
        JSON,
        "{ /* c */ }",
        &[set("b", 2)],
        "{ /* c */\n  \"b\": 2\n }",
    );
}

#[test]
fn of_keys_that_stand_twice_the_last_one_counts() {
    becomes(JSON, r#"{"a":1,"a":2}"#, &[set("a", 3)], r#"{"a":1,"a":3}"#);
}

#[test]
fn null_can_be_replaced_by_an_object() {
    becomes(
        JSON,
        "{\n  \"env\": null\n}",
        &[set("env", json!({"A": 1, "B": {"C": 2}}))],
        "{\n  \"env\": {\n    \"A\": 1,\n    \"B\": {\n      \"C\": 2\n    }\n  }\n}",
    );
}

#[test]
fn elements_of_lists_are_reached() {
    becomes(
        JSON,
        "{\"m\": [{\"u\": \"x\"}, {}]}",
        &[set("m[0].u", "y"), set("m[1].u", "z")],
        "{\"m\": [{\"u\": \"y\"}, {\"u\": \"z\"}]}",
    );
}

#[test]
fn what_has_come_into_a_created_object_keeps_it() {
    let patch = becomes(
        JSON,
        "{}",
        &[set("env.A", 1), set("env.B", 2)],
        "{\n  \"env\": {\n    \"A\": 1,\n    \"B\": 2\n  }\n}",
    );
    undone(
        JSON,
        &patch,
        "{\n  \"env\": {\n    \"A\": 1,\n    \"B\": 2,\n    \"mine\": 3\n  }\n}",
        "{\n  \"env\": {\n    \"mine\": 3\n  }\n}",
        &[],
    );
    undone(
        JSON,
        &patch,
        "{\n  \"x\": 0,\n  \"env\": {\n    \"A\": 1,\n    \"B\": 2\n  }\n}",
        "{\n  \"x\": 0\n}",
        &[],
    );
    // Written anew by a program.
    undone(
        JSON,
        &patch,
        r#"{"z":1,"env":{"B":2,"A":1}}"#,
        r#"{"z":1}"#,
        &[],
    );
    // Changed, or gone.
    undone(
        JSON,
        &patch,
        r#"{"env":{"A":5,"B":2}}"#,
        r#"{"env":{"A":5}}"#,
        &["env.A"],
    );
    undone(JSON, &patch, r#"{"env":{"B":2}}"#, r#"{}"#, &[]);
    undone(JSON, &patch, r#"{"q":1}"#, r#"{"q":1}"#, &[]);
}

#[test]
fn a_replaced_value_that_somebody_has_changed_is_left() {
    let patch = becomes(
        JSON,
        r#"{"a":"x","b":1}"#,
        &[set("a", "y")],
        r#"{"a":"y","b":1}"#,
    );
    undone(
        JSON,
        &patch,
        r#"{"a":"z","b":1}"#,
        r#"{"a":"z","b":1}"#,
        &["a"],
    );
    undone(JSON, &patch, r#"{"b":1}"#, r#"{"b":1}"#, &["a"]);
    undone(
        JSON,
        &patch,
        "{ \"b\": 2, 'a': 'y' }",
        "{ \"b\": 2, 'a': 'x' }",
        &[],
    );
}

#[test]
fn ways_through_what_is_no_object_are_refused() {
    let error = refuses(JSON, "{\n\"a\": 1}", set("a.b", 1));
    assert!(
        matches!(
            error,
            EditError::Refused { line: 2, .. } | EditError::Unsafe { .. }
        ),
        "{error}"
    );
    refuses(JSON, "{\"a\": {}}", set("a", 1));
    refuses(JSON, "[]", set("a", 1));
    refuses(JSON, "{\"a\": []}", set("a[0]", 1));
    refuses(JSON, "{\"a\": 1", set("a", 2));
}
