//! Parts of the documentation that are written by tests, so that it says what was tested.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code outside of tests functions"
)]

use std::path::Path;

/// Compares the part of a document between the marks of `name` with what it should be; writes it
/// when `UPDATE_DOCS` is set.
pub(crate) fn check_generated(path: &Path, name: &str, wanted: &str) {
    let (begin, end) = (
        format!("<!-- generated: {name} -->\n"),
        format!("<!-- end of {name} -->\n"),
    );
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let from = text.find(&begin).expect("the mark of the beginning") + begin.len();
    let to = from + text[from..].find(&end).expect("the mark of the end");
    if &text[from..to] == wanted {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_DOCS").is_some(),
        "{} is not what was tested; run the tests with UPDATE_DOCS=1 and look at the change:\n{wanted}",
        path.display()
    );
    std::fs::write(path, format!("{}{wanted}{}", &text[..from], &text[to..])).unwrap();
}
