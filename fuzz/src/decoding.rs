//! The decoder of compressed bodies: never panics, hands on no more than it may, and decodes the
//! same however the body is cut.

use api_key_lb_core::wire::decoding::{Decoder, Decoding};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, HeaderValue};

use super::cuts;

const CODINGS: [&str; 6] = ["zstd", "gzip", "deflate", "br", "identity", "gzip, br"];
/// How much may be handed on, by the second byte of the input: bytes.
const BOUNDS: [u64; 4] = [1 << 20, 64, 0, 1 << 16];

/// Checks one input: its first byte chooses the coding, its second one the bound.
pub fn decoding(input: &[u8]) {
    let [coding, bound, body @ ..] = input else {
        return;
    };
    let coding = CODINGS[usize::from(*coding) % CODINGS.len()];
    let bound = BOUNDS[usize::from(*bound) % BOUNDS.len()];
    let Some((fate, whole)) = decoded(coding, bound, &[body]) else {
        return;
    };
    for pieces in cuts(body) {
        let (cut_fate, cut) = decoded(coding, bound, &pieces).expect("the coding is known");
        // A body may be both too large and broken; which of them shows first depends on the cut, as
        // does what of a broken body was handed on before. libzstd checks the size that a frame
        // states only if its empty last block comes with the rest.
        let (is_whole, cut_is_whole) = (fate == Decoding::Complete, cut_fate == Decoding::Complete);
        assert!(
            coding == "zstd" || cut_is_whole == is_whole,
            "{coding} {pieces:?}"
        );
        assert!(
            !(is_whole && cut_is_whole) || cut == whole,
            "{coding} {pieces:?}"
        );
    }
}

/// How it ended, and what was handed on; `None` for a coding that cannot be read.
fn decoded(coding: &'static str, bound: u64, pieces: &[&[u8]]) -> Option<(Decoding, Vec<u8>)> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    let mut decoder = Decoder::new(&headers, bound)?;
    let mut out = Vec::new();
    let mut fate = Decoding::Going;
    for piece in pieces {
        let before = out.len();
        let now = decoder.feed(piece, &mut |decoded| out.extend_from_slice(decoded));
        assert_ne!(now, Decoding::Complete, "only the end says so");
        if fate != Decoding::Going {
            assert_eq!((now, out.len()), (fate, before), "it goes on after its end");
        }
        fate = now;
    }
    let end = decoder.finish();
    assert_ne!(end, Decoding::Going, "the end is the end");
    assert!(fate == Decoding::Going || end == fate);
    if coding == "identity" {
        assert_eq!(out, pieces.concat());
    } else {
        assert!(out.len() as u64 <= bound, "{} bytes", out.len());
        assert!(end != Decoding::TooLarge || out.len() as u64 == bound);
    }
    Some((end, out))
}
