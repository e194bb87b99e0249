//! The dashboard's files, as they are part of the program.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use api_key_lb_core::wire::reply::Reply;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, StatusCode};

use super::OWN_PATHS;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Nothing but these files, and nothing from anywhere else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Name, type and text of a file in `control/src/dashboard/`.
macro_rules! file {
    ($name:literal, $type:expr) => {
        (
            $name,
            $type,
            include_str!(concat!("../../../control/src/dashboard/", $name)),
        )
    };
}

/// The page itself.
const PAGE: (&str, &str, &str) = file!("index.html", HTML);
/// What it consists of.
const FILES: &[(&str, &str, &str)] = &[
    file!("app.css", CSS),
    file!("icon.svg", SVG),
    file!("theme.js", SCRIPT),
    file!("app.js", SCRIPT),
    file!("actions.js", SCRIPT),
    file!("charts.js", SCRIPT),
    file!("dialogs.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("format.js", SCRIPT),
    file!("glance.js", SCRIPT),
    file!("keys.js", SCRIPT),
    file!("plot.js", SCRIPT),
    file!("requests.js", SCRIPT),
    file!("sessions.js", SCRIPT),
    file!("stream.js", SCRIPT),
];

/// Whether there is a file at `path`.
pub(super) fn has(path: &str) -> bool {
    find(path).is_some()
}

/// Whether a client would rather have the page than the list of paths.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(http::header::ACCEPT).into_iter();
    accepts
        .filter_map(|accept| accept.to_str().ok())
        .any(|accept| accept.contains("text/html"))
}

/// The page.
pub(super) fn page(headers: &HeaderMap) -> Reply {
    give(&PAGE, headers).with(VARY, HeaderValue::from_static("accept"))
}

/// The file at `path`, if there is one.
pub(super) fn file(path: &str, headers: &HeaderMap) -> Option<Reply> {
    Some(give(find(path)?, headers))
}

fn find(path: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    let name = path.strip_prefix(OWN_PATHS)?;
    FILES.iter().find(|(known, ..)| *known == name)
}

fn give(
    (_, kind, text): &(&'static str, &'static str, &'static str),
    headers: &HeaderMap,
) -> Reply {
    let mut hash = DefaultHasher::new();
    text.hash(&mut hash);
    let tag = format!("\"{:016x}\"", hash.finish());
    let known = headers.get_all(IF_NONE_MATCH).into_iter();
    let is_known = known
        .filter_map(|tags| tags.to_str().ok())
        .any(|tags| tags.contains(&tag));
    let fixed = |name: HeaderName, value| (name, HeaderValue::from_static(value));
    let mut reply = Reply {
        status: StatusCode::OK,
        headers: vec![
            fixed(CONTENT_TYPE, kind),
            fixed(CACHE_CONTROL, "no-cache"),
            fixed(CONTENT_SECURITY_POLICY, POLICY),
            fixed(X_CONTENT_TYPE_OPTIONS, "nosniff"),
            fixed(REFERRER_POLICY, "no-referrer"),
            fixed(X_FRAME_OPTIONS, "DENY"),
        ],
        body: String::new(),
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        reply.headers.push((ETAG, tag));
    }
    if is_known {
        reply.status = StatusCode::NOT_MODIFIED;
    } else {
        (*text).clone_into(&mut reply.body);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_the_page_and_its_scripts_name_is_there() {
        let texts = FILES.iter().chain([&PAGE]).map(|(.., text)| *text);
        for text in texts {
            for part in text.split(['"', '\'']) {
                let name = part
                    .strip_prefix("./")
                    .or_else(|| part.strip_prefix(OWN_PATHS));
                let Some(name) =
                    name.filter(|name| name.ends_with(".js") || name.ends_with(".css"))
                else {
                    continue;
                };
                assert!(has(&format!("{OWN_PATHS}{name}")), "{name} is not embedded");
            }
        }
    }

    #[test]
    fn a_file_that_is_known_is_not_sent_again() {
        let path = "/_lb/app.css";
        let first = file(path, &HeaderMap::new()).unwrap();
        assert!(!first.body.is_empty());
        let tag = first.headers.iter().find(|(name, _)| name == ETAG).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, tag.1.clone());
        let again = file(path, &headers).unwrap();
        assert_eq!((again.status.as_u16(), again.body.as_str()), (304, ""));
    }

    #[test]
    fn only_files_of_the_page_are_given() {
        for path in [
            "/_lb/",
            "/_lb/index.html",
            "/_lb/../app.js",
            "/_lb/app.js/",
            "/app.js",
        ] {
            assert!(!has(path), "{path}");
        }
    }
}
