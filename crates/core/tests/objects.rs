//! Writes the table of objects in `docs/accounts.md`: run with `UPDATE_DOCS=1` after a change.

mod generated;

use std::fmt::Write as _;
use std::path::Path;

use api_key_lb_core::object::Keeping;
use api_key_lb_core::wire::references::{At, Ids, TABLE};
use generated::check_generated;

/// Where a row looks, in a few words.
fn place(at: At, ids: Ids) -> String {
    let begin = match ids {
        Ids::Begin([first]) => format!(" (`{first}…`)"),
        Ids::Begin([first, ..]) => format!(" (`{first}…` …)"),
        Ids::Begin([]) | Ids::Digit | Ids::Name(_) | Ids::Any => String::new(),
        Ids::Uuid => " (a UUID)".to_owned(),
    };
    match at {
        At::Segment(name, _) => format!("path `…/{name}/ID`{begin}"),
        At::Query(name) => format!("query `{name}`{begin}"),
        At::QueryOf(path, name) => format!("query `{name}` of `…{path}`"),
        At::Body(name) => format!("body `{name}`{begin}"),
        At::Item => "body `input[].id` of an `item_reference`".to_owned(),
        At::Answer(name) => format!("answer `{name}`{begin}"),
        At::Header(name) => format!("answer header `{name}`"),
        At::Credential => format!("credential{begin}"),
    }
}

/// What is said of one kind of object.
struct Kind {
    names: (&'static str, &'static str),
    keeping: Keeping,
    places: Vec<String>,
    sources: Vec<&'static str>,
}

#[test]
fn the_documentation_has_the_table() {
    let mut kinds: Vec<Kind> = Vec::new();
    for row in TABLE {
        let names = (row.provider, row.object);
        let known = kinds.iter().position(|kind| kind.names == names);
        let at = known.unwrap_or_else(|| {
            kinds.push(Kind {
                names,
                keeping: row.keeping,
                places: Vec::new(),
                sources: Vec::new(),
            });
            kinds.len() - 1
        });
        let kind = &mut kinds[at];
        kind.places.push(place(row.at, row.ids));
        if !kind.sources.contains(&row.source) {
            kind.sources.push(row.source);
        }
    }
    let mut wanted =
        "| provider | object | where | remembered | from |\n|---|---|---|---|---|\n".to_owned();
    for kind in kinds {
        let (provider, object) = kind.names;
        let keeping = match kind.keeping {
            Keeping::Stored => "180 days",
            Keeping::Answer => "30 days",
            Keeping::Sealed => "30 days, not binding",
        };
        let (places, sources) = (kind.places.join(", "), kind.sources.join("; "));
        writeln!(
            wanted,
            "| {provider} | {object} | {places} | {keeping} | {sources} |"
        )
        .unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/accounts.md");
    check_generated(&path, "objects", &wanted);
}
