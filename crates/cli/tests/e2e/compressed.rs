//! Compressed request bodies: read for the session, forwarded as they came.

use std::collections::BTreeSet;
use std::io::Write as _;

use serde_json::json;

use crate::support::{CHAT, last_key, pair_with};

/// Keys of the pools here, and sessions that would all meet on one of them once in 4^15.
const KEYS: usize = 4;
const SESSIONS: usize = 16;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    let mut coded = vec![0; zstd_safe::compress_bound(plain.len())];
    let length = zstd_safe::compress(&mut coded[..], plain, 3).unwrap();
    coded.truncate(length);
    coded
}

fn brotli(plain: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    brotli::BrotliCompress(&mut &plain[..], &mut coded, &Default::default()).unwrap();
    coded
}

pub type Coding = (&'static str, fn(&[u8]) -> Vec<u8>);
pub const CODINGS: [Coding; 4] = [
    ("gzip", gzip),
    ("deflate", deflate),
    ("zstd", zstd),
    ("br", brotli),
];

#[test]
fn a_compressed_body_keeps_its_conversation_on_one_key_and_is_forwarded_as_it_came() {
    for (name, encode) in CODINGS {
        let (mock, proxy) = pair_with(KEYS, json!({}));
        let ask = |session: usize, turn: usize| {
            let body = json!({
                "model": "m",
                "messages": [{"role": "user", "content": format!("turn {turn} ").repeat(500)}],
                "prompt_cache_key": format!("session-{session}"),
            });
            let coded = encode(body.to_string().as_bytes());
            proxy.ask("POST", CHAT, &[("content-encoding", name)], &coded);
            let seen = mock.requests().pop().unwrap();
            assert_eq!(seen.body, coded, "{name}");
            assert_eq!(seen.header("content-encoding"), Some(name));
            last_key(&mock)
        };
        let mut used = BTreeSet::new();
        for session in 0..SESSIONS {
            let home = ask(session, 0);
            assert_eq!(ask(session, 1), home, "{name}");
            used.insert(home);
        }
        assert!(used.len() > 1, "{name}: other ids are other conversations");
    }
}

#[test]
fn a_body_that_is_not_what_it_says_or_unpacks_to_too_much_is_forwarded_unread() {
    let (mock, proxy) = pair_with(2, json!({"replay_bytes": 200_000}));
    let bomb = gzip(&vec![b' '; 50_000_000]);
    for (name, body) in [
        ("gzip", &b"this is no gzip"[..]),
        ("zstd", b"\x28\xb5\x2f\xfd"),
        ("gzip", &bomb),
        ("lzma", b"{}"),
        ("gzip, br", b"{}"),
    ] {
        proxy.ask("POST", CHAT, &[("content-encoding", name)], body);
        assert_eq!(mock.requests().pop().unwrap().body, body, "{name}");
    }
}
