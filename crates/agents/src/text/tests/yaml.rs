//! Tests of the YAML editor.

use serde_json::{Value, json};

use super::{becomes, refuses, set, undone};
use crate::text::Format;

const YAML: Format = Format::Yaml;

#[test]
fn an_empty_file_becomes_a_document() {
    becomes(
        YAML,
        "",
        &[
            set("model.base_url", "http://127.0.0.1:1/v1"),
            set("model.num", 1),
            set("x", "yes"),
        ],
        "model:\n  base_url: http://127.0.0.1:1/v1\n  num: 1\nx: \"yes\"\n",
    );
    becomes(YAML, "# mine\n---\n", &[set("a", 1)], "# mine\n---\na: 1\n");
}

#[test]
fn a_replaced_text_keeps_its_quotes_and_comment() {
    becomes(
        YAML,
        "a: x # c\nb: 'y'   # d\nc: \"z\"\r\nd:\ne: - not\n",
        &[],
        "a: x # c\nb: 'y'   # d\nc: \"z\"\r\nd:\ne: - not\n",
    );
    becomes(
        YAML,
        "a: x # c\nb: 'y'   # d\nc: \"z\"\nd: # empty\n",
        &[
            set("a", "http://h:1"),
            set("b", "it's"),
            set("c", "q"),
            set("d", "w: x"),
        ],
        "a: http://h:1 # c\nb: 'it''s'   # d\nc: \"q\"\nd: \"w: x\" # empty\n",
    );
}

#[test]
fn a_new_member_follows_the_last_at_its_indentation() {
    let before = "m:\n    a: 1 # c\n    # more\n\nn: |\n    text\n    more\n\nl:\n- x: 1\n  y:\n  - 2\n- z: 3";
    becomes(
        YAML,
        before,
        &[set("m.b.c", 2), set("l[0].k", "v"), set("l[1].k", 1)],
        "m:\n    a: 1 # c\n    b:\n        c: 2\n    # more\n\nn: |\n    text\n    more\n\nl:\n- x: 1\n  y:\n  - 2\n  k: v\n- z: 3\n  k: 1",
    );
    becomes(
        YAML,
        "n: |\r\n  text\r\n",
        &[set("k", "v")],
        "n: |\r\n  text\r\nk: v\r\n",
    );
}

#[test]
fn nothing_becomes_a_mapping() {
    let after = "env: # c\n  A: 1\n  B: 2\nx: 1\n";
    let patch = becomes(
        YAML,
        "env: # c\nx: 1\n",
        &[set("env.A", 1), set("env.B", 2)],
        after,
    );
    undone(
        YAML,
        &patch,
        &after.replace("x: 1", "x: 2"),
        "env: # c\nx: 2\n",
        &[],
    );
    undone(
        YAML,
        &patch,
        "env: # c\n  A: 1\n  B: 2\n  C: 3\nx: 1\n",
        "env: # c\n  C: 3\nx: 1\n",
        &[],
    );
    becomes(
        YAML,
        "env: ~ # c\n",
        &[set("env.A", 1)],
        "env: # c\n  A: 1\n",
    );
    becomes(
        YAML,
        "env: null\n",
        &[set("env", json!({"A": 1}))],
        "env:\n  A: 1\n",
    );
}

#[test]
fn flow_style_is_kept() {
    becomes(
        YAML,
        "a: {b: 1, \"c\": 'x'} # c\nd: {}\ne: {f, g:}\n",
        &[
            set("a.k", "http://x"),
            set("d.k", 1),
            set("e.k", 2),
            set("a.c", "y"),
        ],
        "a: {b: 1, \"c\": 'y', \"k\": 'http://x'} # c\nd: {k: 1}\ne: {f, g:, k: 2}\n",
    );
    becomes(YAML, "{\"a\": 1}", &[set("b", "c")], "{\"a\": 1, \"b\": c}");
}

#[test]
fn references_are_resolved_and_what_is_shared_is_not_changed() {
    let text = "base: &b\n  u: x\n  v: 1\none:\n  <<: *b\n  w: 2\ntwo: *b\nthree: &s y\nfour: *s\n";
    let said = YAML.parse(text).unwrap();
    assert_eq!(said["one"], json!({"u": "x", "v": 1, "w": 2}));
    assert_eq!(said["two"]["u"], "x");
    refuses(YAML, text, set("base.u", "z"));
    refuses(YAML, text, set("two.u", "z"));
    refuses(YAML, text, set("three", "z"));
    becomes(
        YAML,
        text,
        &[set("one.u", "own"), set("four", "z")],
        "base: &b\n  u: x\n  v: 1\none:\n  <<: *b\n  w: 2\n  u: own\ntwo: *b\nthree: &s y\nfour: z\n",
    );
}

#[test]
fn what_cannot_be_changed_safely_is_refused() {
    refuses(YAML, "a: |\n  x\n", set("a", "y"));
    refuses(YAML, "a: !t x\n", set("a", "y"));
    refuses(YAML, "a: 1\n---\nb: 2\n", set("a", "y"));
    refuses(YAML, "a: 1\na: 2\n", set("a", "y"));
    refuses(YAML, "- a\n", set("a", "y"));
    refuses(YAML, "a: x\n", set("a.b", "y"));
    refuses(YAML, "a: [1]\n", set("a.b", "y"));
}

#[test]
fn a_text_over_several_lines_is_replaced_if_its_end_is_plain() {
    becomes(
        YAML,
        "a: x\n  y # c\nb: 1\n",
        &[set("a", "z")],
        "a: z # c\nb: 1\n",
    );
}

#[test]
fn a_billion_references_are_not_followed() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let references = vec![format!("*a{}", n - 1); 9].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{references}]\n"));
    }
    YAML.parse(&text).unwrap_err();
}

#[test]
fn an_inserted_member_vanishes_with_its_line() {
    let patch = becomes(
        YAML,
        "a:\n  b: 1\n",
        &[set("a.c", "x"), set("d.e.f", 2)],
        "a:\n  b: 1\n  c: x\nd:\n  e:\n    f: 2\n",
    );
    undone(
        YAML,
        &patch,
        "a:\n  c: x\nd:\n  e:\n    f: 2\n",
        "a: {}\n",
        &[],
    );
    undone(
        YAML,
        &patch,
        "d: {e: {f: 2}}\na: {c: x, b: 2}\n",
        "a: {b: 2}\n",
        &[],
    );
    undone(
        YAML,
        &patch,
        "a:\n  b: 1\n  c: z\nd:\n  e:\n    f: 2\n    g: 3\n",
        "a:\n  b: 1\n  c: z\nd:\n  e:\n    g: 3\n",
        &["a.c"],
    );
}

#[test]
fn plain_texts_mean_what_they_mean() {
    let said = YAML
        .parse("a: 0o17\nb: 1e3\nc: 0x1F\nd: yes\ne: .5\nf: -3\ng: 1.2.3\nh: !!str 5\ni: .inf\n")
        .unwrap();
    assert_eq!(
        said,
        json!({"a": 15, "b": 1000.0, "c": 31, "d": "yes", "e": 0.5, "f": -3, "g": "1.2.3", "h": "5", "i": ".inf"})
    );
    assert_eq!(
        YAML.parse("").unwrap(),
        Value::Object(serde_json::Map::new())
    );
}
