//! Tests of the TOML editor.

use serde_json::json;

use super::{becomes, refuses, set, undone};
use crate::text::Format;

const TOML: Format = Format::Toml;

#[test]
fn an_empty_file_becomes_a_document() {
    becomes(
        TOML,
        "",
        &[
            set("model", "x"),
            set("p.z", json!({"base_url": "http://x", "n": 1})),
        ],
        "model = \"x\"\n\n[p.z]\nbase_url = \"http://x\"\nn = 1\n",
    );
}

#[test]
fn a_new_top_level_key_goes_above_the_first_table() {
    becomes(
        TOML,
        "# mine\n\n# of a\n[a]\nb = 1\n",
        &[set("k", 1)],
        "# mine\n\nk = 1\n\n# of a\n[a]\nb = 1\n",
    );
    becomes(
        TOML,
        "x = [\n  1,\n] # list\n[a]\n",
        &[set("k", "v")],
        "x = [\n  1,\n] # list\nk = \"v\"\n[a]\n",
    );
}

#[test]
fn a_table_gets_its_key_behind_its_own_last() {
    becomes(
        TOML,
        "[a]\r\n  b='x' # c\r\n\r\n[a.c]\r\nd = 1",
        &[set("a.b", "y"), set("a.e", true), set("a.c.f", 2)],
        "[a]\r\n  b='y' # c\r\n  e=true\r\n\r\n[a.c]\r\nd = 1\r\nf = 2",
    );
    becomes(TOML, "[a]\n[b]\n", &[set("a.x", 1)], "[a]\nx = 1\n[b]\n");
}

#[test]
fn a_new_table_goes_to_the_end() {
    let after = "[m.a]\nx = 1\n\n[m.\"b c\"]\ny = 2\n";
    let patch = becomes(TOML, "[m.a]\nx = 1\n", &[set("m.b c.y", 2)], after);
    undone(
        TOML,
        &patch,
        &format!("{after}z = 3\n"),
        "[m.a]\nx = 1\n\n[m.\"b c\"]\nz = 3\n",
        &[],
    );
    undone(
        TOML,
        &patch,
        &format!("{after}\n[q]\n"),
        "[m.a]\nx = 1\n\n[q]\n",
        &[],
    );
    becomes(
        TOML,
        "[m.a]\nx = 1",
        &[set("m.k", 2)],
        "[m.a]\nx = 1\n\n[m]\nk = 2",
    );
}

#[test]
fn inline_and_dotted_tables_are_kept_so() {
    becomes(
        TOML,
        "a = { b = 1 }\nc.d = 1\ne = {}\nf = {x = 1, }\n",
        &[
            set("a.z", 2),
            set("c.z", "s"),
            set("e.z", 3),
            set("f.z", 4),
            set("c.t.u", 5),
        ],
        "a = { b = 1, z = 2 }\nc.d = 1\nc.z = \"s\"\nc.t = { u = 5 }\ne = { z = 3 }\nf = {x = 1, z = 4, }\n",
    );
}

#[test]
fn elements_of_lists_of_tables_are_reached() {
    becomes(
        TOML,
        "[[p]]\nn = 'a'\n\n[[p]]\nn = 'b'\n[p.sub]\nk = 1\n",
        &[set("p[0].n", "c"), set("p[0].o.q", 1), set("p[1].sub.l", 2)],
        "[[p]]\nn = 'c'\no = { q = 1 }\n\n[[p]]\nn = 'b'\n[p.sub]\nk = 1\nl = 2\n",
    );
}

#[test]
fn a_table_above_defined_later_gets_a_header_of_its_own() {
    becomes(
        TOML,
        "[a.b]\nx = 1\n",
        &[set("a.k", 1)],
        "[a.b]\nx = 1\n\n[a]\nk = 1\n",
    );
}

#[test]
fn strings_over_several_lines_and_numbers_are_replaced() {
    becomes(
        TOML,
        "a = \"\"\"\nx\n\"\"\" # c\nb = 1_000\nd = 'it'\n",
        &[set("a", "y"), set("b", 5), set("d", "it's")],
        "a = \"y\" # c\nb = 5\nd = \"it's\"\n",
    );
}

#[test]
fn created_tables_are_removed_also_when_written_anew() {
    let patch = becomes(
        TOML,
        "a = 1\n",
        &[set("t", json!({"k": 1, "u": {"l": 2}}))],
        "a = 1\n\n[t]\nk = 1\n\n[t.u]\nl = 2\n",
    );
    undone(
        TOML,
        &patch,
        "[t]\nk=1\n[t.u]\nl=2\n[b]\nc=1\n",
        "[b]\nc=1\n",
        &[],
    );
    undone(
        TOML,
        &patch,
        "t = { k = 1, u = { l = 2 } }\na = 2\n",
        "a = 2\n",
        &[],
    );
    undone(
        TOML,
        &patch,
        "[t]\nk = 9\n[t.u]\nl = 2\n",
        "[t]\nk = 9\n",
        &["t.k"],
    );
}

#[test]
fn what_cannot_stand_is_refused() {
    refuses(TOML, "a = 1\n", set("b", serde_json::Value::Null));
    refuses(TOML, "a = 1\n", set("a.b", 1));
    refuses(TOML, "a = [1]\n", set("a.b", 1));
    refuses(TOML, "[a]\n[a]\n", set("b", 1));
    refuses(TOML, "[a]\n", set("a", 1));
}
