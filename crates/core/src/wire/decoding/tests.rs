//! Every coding against a real encoder, at every cut; truncated, damaged and hostile bodies.

mod encoder;

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::write::{DeflateEncoder, ZlibEncoder};
use flate2::{Compress, Compression, FlushCompress, Status};
use http::HeaderValue;
use proptest::prelude::*;
use zstd_safe::CParameter;

use super::*;
use encoder::{ENCODERS, Encoder, zstd_flushed};

/// Larger than anything decoded here that is not about the bound.
const AMPLE: u64 = 1 << 30;

fn decoder(values: &[&str], bound: u64) -> Option<Decoder> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(CONTENT_ENCODING, HeaderValue::from_str(value).unwrap());
    }
    Decoder::new(&headers, bound)
}

fn decoder_of(encoder: Encoder, bound: u64) -> Decoder {
    decoder(&[encoder.coding()], bound).unwrap()
}

/// Feeds all frames: what was handed on, and how it ended.
fn run<'a>(
    mut decoder: Decoder,
    frames: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<u8>, Decoding) {
    let mut plain = Vec::new();
    for frame in frames {
        let _ = decoder.feed(frame, &mut |piece| plain.extend_from_slice(piece));
    }
    (plain, decoder.finish())
}

/// Text like that of an answer: repetitive, but no two lines alike.
fn text(lines: u64) -> Vec<u8> {
    (0..lines)
        .flat_map(|line| {
            let number = line.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!("data: {{\"type\":\"delta\",\"text\":\"{number:x}\"}}\n\n").into_bytes()
        })
        .collect()
}

#[test]
fn every_coding_comes_back_at_every_split_point() {
    let plain = text(60);
    for encoder in ENCODERS {
        let coded = encoder.encode(&plain);
        for at in 0..=coded.len() {
            let (head, tail) = coded.split_at(at);
            let (decoded, end) = run(decoder_of(encoder, AMPLE), [head, tail]);
            assert_eq!(end, Decoding::Complete, "{encoder:?} cut at {at}");
            assert!(decoded == plain, "{encoder:?} cut at {at}");
        }
    }
}

#[test]
fn bodies_larger_than_every_buffer_come_back_in_any_frame_size() {
    let plain = text(60_000);
    for encoder in ENCODERS {
        let coded = encoder.encode(&plain);
        for size in [1, 1000, 16_384, coded.len()] {
            let (decoded, end) = run(decoder_of(encoder, AMPLE), coded.chunks(size));
            assert_eq!(end, Decoding::Complete, "{encoder:?} by {size}");
            assert!(decoded == plain, "{encoder:?} by {size}");
        }
    }
}

#[test]
fn a_flushed_event_is_handed_on_before_the_next_one_comes() {
    let event = |n| format!("data: {{\"delta\":\"word {n}\"}}\n\n").into_bytes();
    let events: Vec<_> = (0..20).map(event).collect();
    let pieces: Vec<_> = events.iter().map(Vec::as_slice).collect();
    for encoder in ENCODERS {
        for by in [1, usize::MAX] {
            let mut decoder = decoder_of(encoder, AMPLE);
            let mut frames = encoder.flushed(&pieces);
            let end = frames.pop().unwrap();
            for (frame, event) in frames.iter().zip(&events) {
                let mut plain = Vec::new();
                for part in frame.chunks(by) {
                    let going = decoder.feed(part, &mut |piece| plain.extend_from_slice(piece));
                    assert_eq!(going, Decoding::Going);
                }
                assert!(plain == *event, "{encoder:?}");
            }
            let _ = decoder.feed(&end, &mut |piece| panic!("{encoder:?} kept {piece:?}"));
            assert_eq!(decoder.finish(), Decoding::Complete);
        }
    }
}

#[test]
fn a_truncated_body_is_never_complete_and_what_came_of_it_is_right() {
    let plain = text(60);
    for encoder in ENCODERS {
        let coded = encoder.encode(&plain);
        for at in 1..coded.len() {
            let (decoded, end) = run(decoder_of(encoder, AMPLE), [&coded[..at]]);
            assert_eq!(end, Decoding::Broken, "{encoder:?} cut off at {at}");
            assert!(plain.starts_with(&decoded), "{encoder:?} cut off at {at}");
        }
    }
}

#[test]
fn a_body_without_a_byte_is_complete_in_every_coding() {
    for encoder in ENCODERS {
        let empty: [&[u8]; 2] = [b"", b""];
        assert_eq!(
            run(decoder_of(encoder, 0), empty),
            (vec![], Decoding::Complete),
            "{encoder:?}"
        );
    }
}

#[test]
fn nothing_encoded_comes_back_as_nothing() {
    for encoder in ENCODERS {
        let coded = encoder.encode(b"");
        let frames: [&[u8]; 3] = [b"", &coded, b""];
        assert_eq!(
            run(decoder_of(encoder, 0), frames),
            (vec![], Decoding::Complete),
            "{encoder:?}"
        );
    }
}

#[test]
fn what_is_not_in_the_coding_is_broken_and_stays_so() {
    for encoder in ENCODERS {
        let mut decoder = decoder_of(encoder, AMPLE);
        let garbage = b"{\"model\":\"plain json, wrongly labelled\"}".repeat(20);
        let going = decoder.feed(&garbage, &mut |_| {});
        assert_eq!(going, Decoding::Broken, "{encoder:?}");
        let coded = encoder.encode(b"all is well");
        let again = decoder.feed(&coded, &mut |piece| panic!("handed on {piece:?}"));
        assert_eq!(again, Decoding::Broken);
        assert_eq!(decoder.finish(), Decoding::Broken);
    }
}

#[test]
fn bytes_after_the_end_are_broken() {
    let plain = text(3);
    for encoder in ENCODERS {
        let coded = encoder.encode(&plain);
        let tail: &[u8] = b"{}";
        let (decoded, end) = run(decoder_of(encoder, AMPLE), [&coded, tail]);
        assert_eq!(end, Decoding::Broken, "{encoder:?}");
        assert!(decoded == plain, "{encoder:?}");
        let (_, end) = run(decoder_of(encoder, AMPLE), [&[&coded, tail].concat()[..]]);
        assert_eq!(end, Decoding::Broken, "{encoder:?}");
    }
}

#[test]
fn a_wrong_checksum_is_broken() {
    for encoder in [Encoder::Zstd, Encoder::Gzip, Encoder::Zlib] {
        let mut coded = encoder.encode(&text(3));
        // The last bytes: of zstd and zlib the checksum, of gzip the length.
        *coded.last_mut().unwrap() ^= 1;
        let (_, end) = run(decoder_of(encoder, AMPLE), [&coded[..]]);
        assert_eq!(end, Decoding::Broken, "{encoder:?}");
    }
}

#[test]
fn members_of_gzip_and_frames_of_zstd_follow_each_other() {
    let skippable: &[u8] = b"\x50\x2a\x4d\x18\x03\0\0\0abc";
    for (encoder, between) in [(Encoder::Gzip, &b""[..]), (Encoder::Zstd, skippable)] {
        let one = encoder.encode(b"one, ");
        let coded = [&one, between, &encoder.encode(b"two")].concat();
        for at in 0..=coded.len() {
            let (head, tail) = coded.split_at(at);
            let (decoded, end) = run(decoder_of(encoder, AMPLE), [head, tail]);
            assert_eq!(decoded, b"one, two", "{encoder:?} cut at {at}");
            assert_eq!(end, Decoding::Complete, "{encoder:?} cut at {at}");
        }
    }
}

#[test]
fn a_gzip_header_may_carry_a_name_and_a_comment() {
    let mut writer = flate2::GzBuilder::new()
        .filename("body.json")
        .comment("as some tools do")
        .extra(vec![7; 300])
        .write(Vec::new(), Compression::fast());
    writer.write_all(b"plain").unwrap();
    let coded = writer.finish().unwrap();
    let (decoded, end) = run(decoder_of(Encoder::Gzip, AMPLE), coded.chunks(1));
    assert_eq!((&decoded[..], end), (&b"plain"[..], Decoding::Complete));
}

#[test]
fn deflate_is_told_from_zlib_at_every_level() {
    for level in 0..=9 {
        for plain in [&b""[..], b"{}", &text(2000)] {
            let mut zlib = ZlibEncoder::new(Vec::new(), Compression::new(level));
            zlib.write_all(plain).unwrap();
            let mut bare = DeflateEncoder::new(Vec::new(), Compression::new(level));
            bare.write_all(plain).unwrap();
            for coded in [zlib.finish().unwrap(), bare.finish().unwrap()] {
                let (decoded, end) = run(decoder_of(Encoder::Zlib, AMPLE), [&coded[..]]);
                assert_eq!(end, Decoding::Complete, "level {level}");
                assert!(decoded == plain, "level {level}");
            }
        }
    }
}

#[test]
fn zlib_with_a_small_window_is_told_from_bare_deflate() {
    let plain = text(200);
    for log in 9..=15 {
        let mut coded = Vec::with_capacity(plain.len());
        let mut zlib = Compress::new_with_window_bits(Compression::default(), true, log);
        let status = zlib.compress_vec(&plain, &mut coded, FlushCompress::Finish);
        assert_eq!(status.unwrap(), Status::StreamEnd);
        let (decoded, end) = run(decoder_of(Encoder::Zlib, AMPLE), [&coded[..]]);
        assert_eq!(end, Decoding::Complete, "window of 2^{log}");
        assert!(decoded == plain, "window of 2^{log}");
    }
}

#[test]
fn a_body_that_fills_the_last_piece_exactly_is_complete() {
    let plain = text(2000);
    for encoder in ENCODERS {
        for length in [PIECE, 2 * PIECE] {
            let coded = encoder.encode(&plain[..length]);
            for size in [1, coded.len()] {
                let (decoded, end) = run(decoder_of(encoder, AMPLE), coded.chunks(size));
                assert_eq!(end, Decoding::Complete, "{encoder:?}");
                assert!(decoded == plain[..length], "{encoder:?}");
            }
        }
    }
}

#[test]
fn exactly_the_bound_is_complete_and_one_byte_more_is_too_large() {
    let plain = text(2000);
    let length = plain.len() as u64;
    for encoder in ENCODERS {
        let coded = encoder.encode(&plain);
        for size in [1, 100, coded.len()] {
            let (decoded, end) = run(decoder_of(encoder, length), coded.chunks(size));
            assert_eq!(end, Decoding::Complete, "{encoder:?}");
            assert!(decoded == plain, "{encoder:?}");
            for bound in [0, 1, PIECE as u64, length - 1] {
                let (decoded, end) = run(decoder_of(encoder, bound), coded.chunks(size));
                assert_eq!(end, Decoding::TooLarge, "{encoder:?}");
                assert!(decoded == plain[..bound as usize], "{encoder:?}");
            }
        }
    }
}

#[test]
fn a_bomb_stops_at_the_bound() {
    // A larger one takes the encoders seconds, and the decoder nothing.
    const BOMB: usize = 1 << 26;
    const BOUND: u64 = 1 << 20;
    let zeros = vec![0; 1 << 20];
    let pieces = vec![&zeros[..]; BOMB / zeros.len()];
    for encoder in ENCODERS {
        let coded = encoder.flushed(&pieces).concat();
        assert!(coded.len() < BOMB / 500, "{encoder:?} makes no bomb");
        let mut decoder = decoder_of(encoder, BOUND);
        let began = Instant::now();
        let mut total = 0;
        let fate = decoder.feed(&coded, &mut |piece| {
            assert!(piece.len() <= PIECE);
            total += piece.len() as u64;
        });
        let took = began.elapsed();
        assert_eq!((fate, total), (Decoding::TooLarge, BOUND), "{encoder:?}");
        assert!(took < Duration::from_secs(1), "{encoder:?} took {took:?}");
        assert_eq!(decoder.finish(), Decoding::TooLarge);
    }
}

#[test]
fn a_zstd_window_beyond_what_http_allows_is_broken() {
    let plain = vec![7; 100];
    for (log, wanted) in [(23, Decoding::Complete), (24, Decoding::Broken)] {
        let coded = zstd_flushed(&[&plain], &[CParameter::WindowLog(log)]).concat();
        let (_, end) = run(decoder_of(Encoder::Zstd, AMPLE), [&coded[..]]);
        assert_eq!(end, wanted, "window of 2^{log}");
    }
}

#[test]
fn the_large_windows_that_br_does_not_include_are_broken() {
    let parameters = brotli::enc::BrotliEncoderParams {
        quality: 5,
        lgwin: 28,
        large_window: true,
        ..Default::default()
    };
    let mut coded = Vec::new();
    brotli::BrotliCompress(&mut &text(10)[..], &mut coded, &parameters).unwrap();
    let (decoded, end) = run(decoder_of(Encoder::Brotli, AMPLE), [&coded[..]]);
    assert_eq!((decoded, end), (vec![], Decoding::Broken));
}

#[test]
fn a_plain_body_is_handed_on_as_it_is_whatever_the_bound() {
    for values in [&[][..], &[""], &["identity"], &[" Identity ,"], &["", ""]] {
        let mut decoder = decoder(values, 3).unwrap();
        let frame = b"more than three bytes";
        let mut seen = None;
        let going = decoder.feed(frame, &mut |piece| seen = Some(piece.as_ptr()));
        assert_eq!(going, Decoding::Going);
        assert_eq!(seen, Some(frame.as_ptr()), "copied for {values:?}");
        assert_eq!(decoder.finish(), Decoding::Complete);
    }
}

#[test]
fn codings_are_known_in_any_case_and_by_their_old_names() {
    let coded = Encoder::Gzip.encode(b"plain");
    for values in [
        &["GZIP"][..],
        &["\tx-gzip "],
        &["X-GZip"],
        &["identity, gzip"],
        &["gzip,"],
        &["", "gzip"],
    ] {
        let decoder = decoder(values, AMPLE).unwrap();
        let (decoded, end) = run(decoder, [&coded[..]]);
        assert_eq!((&decoded[..], end), (&b"plain"[..], Decoding::Complete));
    }
}

#[test]
fn unknown_and_stacked_codings_are_not_read() {
    for values in [
        &["compress"][..],
        &["aws-chunked"],
        &["gzip;q=1"],
        &["gzip, br"],
        &["gzip", "gzip"],
        &["zstd,identity,gzip"],
        &["gzip br"],
    ] {
        assert!(decoder(values, AMPLE).is_none(), "{values:?}");
    }
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_bytes(b"\xff").unwrap());
    assert!(Decoder::new(&headers, AMPLE).is_none());
}

#[test]
fn debugging_shows_the_coding_and_nothing_of_the_body() {
    let mut decoder = decoder_of(Encoder::Zstd, 100);
    let _ = decoder.feed(&Encoder::Zstd.encode(b"secret"), &mut |_| {});
    let shown = format!("{decoder:?}");
    assert_eq!(
        shown,
        "Decoder { coding: \"zstd\", left: 94, fate: Going, .. }"
    );
}

fn any_encoder() -> impl Strategy<Value = Encoder> {
    prop::sample::select(&ENCODERS[..])
}

/// Bytes with and without repetitions.
fn any_body() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(
        (prop::collection::vec(any::<u8>(), 1..20), 1..200usize),
        0..20,
    )
    .prop_map(|runs| runs.iter().flat_map(|(run, n)| run.repeat(*n)).collect())
}

fn cut<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut frames = Vec::new();
    for size in sizes {
        let (frame, rest) = bytes.split_at((*size).min(bytes.len()));
        frames.push(frame);
        bytes = rest;
    }
    frames.push(bytes);
    frames
}

proptest! {
    #[test]
    fn the_result_does_not_depend_on_the_cut(
        encoder in any_encoder(),
        body in any_body(),
        flushes in prop::collection::vec(0..4000usize, 0..5),
        sizes in prop::collection::vec(0..300usize, 0..40),
        bound in prop_oneof![Just(AMPLE), 0..20_000u64],
    ) {
        let coded = encoder.flushed(&cut(&body, &flushes)).concat();
        let (decoded, end) = run(decoder_of(encoder, bound), cut(&coded, &sizes));
        if body.len() as u64 <= bound {
            prop_assert_eq!(end, Decoding::Complete);
            prop_assert!(decoded == body);
        } else {
            prop_assert_eq!(end, Decoding::TooLarge);
            prop_assert!(decoded == body[..bound as usize]);
        }
    }

    #[test]
    fn damaged_bodies_neither_panic_nor_exceed_the_bound_in_any_cut(
        encoder in any_encoder(),
        body in any_body(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        sizes in prop::collection::vec(0..300usize, 0..40),
    ) {
        let mut coded = encoder.encode(&body);
        for (place, byte) in damage {
            *place.get_mut(&mut coded) = byte;
        }
        let bound = 10_000;
        let (whole, end) = run(decoder_of(encoder, bound), [&coded[..]]);
        let (parts, end_of_parts) = run(decoder_of(encoder, bound), cut(&coded, &sizes));
        prop_assert!(whole.len().max(parts.len()) <= bound as usize);
        prop_assert_eq!(end == Decoding::Complete, end_of_parts == Decoding::Complete);
        prop_assert!(whole.starts_with(&parts) || parts.starts_with(&whole));
    }

    #[test]
    fn random_bytes_neither_panic_nor_exceed_the_bound(
        encoder in any_encoder(),
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let (decoded, _) = run(decoder_of(encoder, 1000), [&bytes[..]]);
        prop_assert!(decoded.len() <= 1000);
    }
}
