//! Which objects of the provider's a request names, and which ones an answer gives out.
//!
//! Where ids stand is data, see [`TABLE`]. A request's path and query are looked at whole; its body
//! and the answer's are read in the pass that is made of them anyway.

mod answer;
mod body;
mod table;
mod target;

use http::{HeaderMap, Method, StatusCode};

use super::answer::TURN_STATE;
use super::credential;
use super::dialect::{Dialect, Endpoint};
use crate::object::{Keeping, ObjectId, Reference, References};
use crate::verdict::{Matter, Verdict};

pub(super) use answer::GivenReader;
pub use answer::{Gives, in_head};
pub(super) use body::BodyReferences;
use table::ISSUED;
pub use table::{At, Ids, Row, TABLE};

/// Longest id that is taken for one, in bytes; Gemini's URLs of files have some eighty. Of what is
/// sealed so much is compared: it begins with a time and a random number.
const MAX_ID: usize = 256;

/// What the head of a request names. `path` is the one that goes upstream.
pub fn of_head(
    method: &Method,
    path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
    endpoint: Endpoint,
) -> References {
    let turn = headers
        .get(TURN_STATE)
        .map(|state| ObjectId::of(state.as_bytes()));
    // Only Google names a model of one's own in the path of what generates.
    if endpoint.generates && endpoint.dialect != Dialect::Gemini {
        return References {
            turn,
            ..References::default()
        };
    }
    let safe = matches!(*method, Method::GET | Method::HEAD);
    let mut named = target::in_path(path);
    let deletes = match (named.as_slice(), *method == Method::DELETE) {
        // A part of something that is taken out of it is not gone.
        ([only], true) if target::ends_in_id(path) => Some(only.object),
        _ => None,
    };
    let lists = safe && named.is_empty() && target::is_list(path);
    let cursor = query.filter(|_| lists).and_then(target::cursor);
    named.extend(
        query
            .into_iter()
            .flat_map(|query| target::in_query(path, query)),
    );
    References {
        about: named.len(),
        named,
        safe,
        lists,
        cursor,
        deletes,
        turn,
    }
}

/// Which kinds of objects a body may name: only those of the responses API name answers.
pub const fn kinds(endpoint: Endpoint) -> &'static [Keeping] {
    match endpoint.dialect {
        Dialect::Responses => &[Keeping::Stored, Keeping::Answer, Keeping::Sealed],
        _ if endpoint.converses => &[Keeping::Stored],
        _ => &[],
    }
}

/// Which of a client's credentials a provider may have issued for it, by how they begin: such a one
/// is an object of the account that issued it.
pub fn issued<'r>(
    headers: &'r HeaderMap,
    query: Option<&'r str>,
) -> impl Iterator<Item = (Reference, &'r [u8])> {
    credential::offered(headers, query)
        .filter(|value| {
            ISSUED
                .iter()
                .any(|begin| value.starts_with(begin.as_bytes()))
        })
        .map(|value| {
            let last = value.rsplit(|byte| *byte == b'/').next();
            let issued = Reference::new(last.unwrap_or(value), Keeping::Answer);
            (issued, value)
        })
}

/// What an answer means to a request that asks about an object: one that does not know it may
/// only be another account's, however it says so.
pub fn judge(references: &References, status: StatusCode, verdict: Verdict) -> Verdict {
    let gone = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
    if references.safe && references.about > 0 && gone {
        return Verdict::new(Matter::State, "not found");
    }
    verdict
}

#[cfg(test)]
mod tests;
