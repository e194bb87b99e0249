//! The reader of answers, and the filter of one chunk: never panic and say the same however the
//! answer is cut.

use api_key_lb_core::conversation::AnswerId;
use api_key_lb_core::fact::Usage;
use api_key_lb_core::wire::extra_chunk::{ExtraChunk, Passed};
use api_key_lb_core::wire::references::Gives;
use api_key_lb_core::wire::usage::AnswerReader;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};

use super::cuts;

const KINDS: [&str; 3] = ["application/json", "text/event-stream", "text/plain"];

/// Checks one input: its first byte chooses the content type.
pub fn answer(input: &[u8]) {
    let [kind, body @ ..] = input else {
        return;
    };
    let kind = KINDS[usize::from(*kind) % KINDS.len()];
    let whole = said(kind, &[body]);
    assert!(kind != "text/plain" || whole == (None, None));
    let left = passed(&[body]);
    for pieces in cuts(body) {
        assert_eq!(said(kind, &pieces), whole, "{kind} {pieces:?}");
        assert_eq!(passed(&pieces), left, "{pieces:?}");
    }
}

fn said(kind: &'static str, pieces: &[&[u8]]) -> (Option<Usage>, Option<AnswerId>) {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let mut reader = AnswerReader::new(&headers, Gives::Anything);
    for piece in pieces {
        reader.feed(piece);
        let _ = reader.usage();
    }
    (reader.usage(), reader.answer_id())
}

/// What the filter of the extra chunk lets through.
fn passed(pieces: &[&[u8]]) -> Vec<u8> {
    let mut filter = ExtraChunk::default();
    let mut all = Vec::new();
    for piece in pieces {
        match filter.feed(piece) {
            Passed::Part(part) => all.extend_from_slice(&piece[part]),
            Passed::Joined(joined) => all.extend(joined),
        }
    }
    all.extend(filter.finish());
    all
}
