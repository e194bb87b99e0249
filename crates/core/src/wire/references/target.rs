//! Ids in a request's path and query, and in the `Location` of an answer.

use super::table::{At, Ids, TABLE};
use crate::object::{ObjectId, Reference};

/// Most ids that one target is searched for: no API nests deeper.
const MOST: usize = 8;
/// Versions of Google's API: what follows a collection there is a name, whatever it looks like.
const GOOGLE: [&str; 2] = ["v1beta", "v1alpha"];
/// Names of the parameters that hold the id of an item of a list: OpenAI's, Anthropic's.
const CURSORS: [&str; 4] = ["after", "before", "after_id", "before_id"];

fn segments(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// The objects that a path names, in its order.
pub(super) fn in_path(path: &str) -> Vec<Reference> {
    let mut named = Vec::new();
    let mut collection = "";
    let mut google = false;
    for segment in segments(path) {
        google |= GOOGLE.contains(&segment);
        if let Some(reference) = behind(collection, segment, google) {
            named.push(reference);
        }
        if named.len() == MOST {
            break;
        }
        collection = segment;
    }
    named
}

/// What `segment` names behind `collection`.
fn behind(collection: &str, segment: &str, google: bool) -> Option<Reference> {
    // Where a collection follows a collection, no id stands between them.
    if collection.is_empty() || is_collection(segment).is_some() {
        return None;
    }
    // What is done with it may stand behind a colon; but `ft:` begins a name.
    let cut = |ids: Ids| match (ids, segment.split_once(':')) {
        (Ids::Begin(_), _) | (_, None) => segment,
        (_, Some((id, _))) => id,
    };
    TABLE.iter().find_map(|row| match row.at {
        At::Segment(name, _) if name == collection => {
            let id = row.ids.read(cut(row.ids).as_bytes(), google)?;
            Some(Reference::new(id, row.keeping))
        }
        _ => None,
    })
}

/// Whether objects have their ids behind `segment`, and if so, whether it is a list by itself.
fn is_collection(segment: &str) -> Option<bool> {
    let mut rows = TABLE.iter().filter_map(|row| match row.at {
        At::Segment(name, lists) if name == segment => Some(lists),
        _ => None,
    });
    let first = rows.next()?;
    Some(first || rows.any(|lists| lists))
}

/// Whether the path asks for objects that are not named: where each account has its own.
pub(super) fn is_list(path: &str) -> bool {
    let last = segments(path).next_back();
    last.and_then(is_collection) == Some(true)
}

/// The item of a list behind which, or before which, a query asks on.
pub(super) fn cursor(query: &str) -> Option<ObjectId> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(name, value)| CURSORS.contains(name) && !value.is_empty())
        .map(|(_, value)| ObjectId::of(value.as_bytes()))
}

/// Whether objects are made or kept at this path.
pub(super) fn is_about_objects(path: &str) -> bool {
    segments(path).any(|segment| {
        // Models are everybody's, but for one's own, which are known by their names.
        let collection = segment != "models" && is_collection(segment).is_some();
        collection || GOOGLE.contains(&segment) || segment == "async"
    })
}

/// Whether the last part of the path is an object and nothing more of it.
pub(super) fn ends_in_id(path: &str) -> bool {
    let mut back = segments(path).rev();
    let google = segments(path).any(|segment| GOOGLE.contains(&segment));
    match (back.next(), back.next()) {
        (Some(last), Some(before)) => behind(before, last, google).is_some(),
        _ => false,
    }
}

/// The objects that a query names.
pub(super) fn in_query<'q>(path: &'q str, query: &'q str) -> impl Iterator<Item = Reference> + 'q {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let named = pairs.filter_map(move |(name, value)| {
        TABLE.iter().find_map(|row| {
            let here = match row.at {
                At::Query(known) => known == name,
                At::QueryOf(ending, known) => known == name && path.ends_with(ending),
                _ => false,
            };
            let id = here.then(|| row.ids.read(value.as_bytes(), false))??;
            Some(Reference::new(id, row.keeping))
        })
    });
    named.take(MOST)
}
