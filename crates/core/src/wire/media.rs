//! How the body of an answer is made up, as its `Content-Type` says.

use http::header::{CONTENT_TYPE, HeaderMap};

/// What can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// One JSON document.
    Json,
    /// Server-sent events.
    Events,
    /// A JSON document per line.
    Lines,
    /// Anything else.
    Other,
}

const KNOWN: &[(&str, Media)] = &[
    ("text/event-stream", Media::Events),
    ("application/json", Media::Json),
    ("application/x-ndjson", Media::Lines),
    ("application/ndjson", Media::Lines),
];

impl Media {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(CONTENT_TYPE) else {
            return Self::Other;
        };
        let essence = value
            .as_bytes()
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        KNOWN
            .iter()
            .find(|(known, _)| essence.eq_ignore_ascii_case(known.as_bytes()))
            .map_or(Self::Other, |(_, media)| *media)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_do_not_matter() {
        for (value, media) in [
            ("text/event-stream", Media::Events),
            ("Text/Event-Stream;charset=UTF-8", Media::Events),
            ("application/json ; charset=utf-8", Media::Json),
            ("application/x-ndjson", Media::Lines),
            ("application/jsonp", Media::Other),
            ("text/html", Media::Other),
            ("", Media::Other),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(Media::of(&headers), media, "{value}");
        }
        assert_eq!(Media::of(&HeaderMap::new()), Media::Other);
    }
}
