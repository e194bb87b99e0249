//! Tests of the editor of `.env` files.

use serde_json::json;

use super::{becomes, refuses, set, undone};
use crate::text::Format;

const DOTENV: Format = Format::Dotenv;

#[test]
fn values_are_read_as_the_libraries_read_them() {
    let text = "# c\nA=1\nexport B = two words # c\n C='x # y' # c\nD=\"a\\nb\"\nE=\"l1\nl2\"\nF=\nG=a#b\nnonsense\nA=3\nH=`x`\n";
    assert_eq!(
        DOTENV.parse(text).unwrap(),
        json!({"A": "3", "B": "two words", "C": "x # y", "D": "a\nb", "E": "l1\nl2", "F": "", "G": "a#b", "H": "x"})
    );
}

#[test]
fn a_replaced_value_keeps_quotes_export_and_comment() {
    becomes(
        DOTENV,
        "export A='x' # c\r\nB=\"y\nz\"\nC=1 # d\nC=2\nD=\nE=`q`",
        &[
            set("A", "it's"),
            set("B", "b c"),
            set("C", "http://x"),
            set("D", 5),
            set("E", "w"),
        ],
        "export A=\"it's\" # c\r\nB=\"b c\"\nC=1 # d\nC=http://x\nD=5\nE=`w`",
    );
}

#[test]
fn a_new_variable_goes_to_the_end() {
    let patch = becomes(
        DOTENV,
        "A=1",
        &[set("B", "x y"), set("C", "z")],
        "A=1\nB='x y'\nC=z",
    );
    undone(
        DOTENV,
        &patch,
        "A=2\nB='x y'\nC=z\nD=4\n",
        "A=2\nD=4\n",
        &[],
    );
    undone(DOTENV, &patch, "B=\"x y\"\nC=q\n", "C=q\n", &["C"]);
    becomes(DOTENV, "", &[set("B", "x")], "B=x\n");
}

#[test]
fn what_cannot_stand_is_refused() {
    refuses(DOTENV, "A=1\n", set("A.b", 1));
    refuses(DOTENV, "A=1\n", set("a b", 1));
    refuses(DOTENV, "A=1\n", set("B", "two\nlines"));
    refuses(DOTENV, "A=1\n", set("B", json!({"a": 1})));
}
