//! Real encoders for every coding, flushing where a test wants it.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

/// What bodies are made with; two of them are called `deflate`.
pub(super) const ENCODERS: [Encoder; 5] = [
    Encoder::Zstd,
    Encoder::Gzip,
    Encoder::Zlib,
    Encoder::BareDeflate,
    Encoder::Brotli,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoder {
    Zstd,
    Gzip,
    Zlib,
    BareDeflate,
    Brotli,
}

impl Encoder {
    pub(super) fn coding(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Zlib | Self::BareDeflate => "deflate",
            Self::Brotli => "br",
        }
    }

    /// Encodes one body, flushing after each piece: what was written for each, and the end.
    pub(super) fn flushed(self, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        match self {
            Self::Zstd => zstd_flushed(pieces, &[CParameter::ChecksumFlag(true)]),
            Self::Gzip => written(
                GzEncoder::new(Vec::new(), Compression::default()),
                pieces,
                |writer| std::mem::take(writer.get_mut()),
                |writer| writer.finish().unwrap(),
            ),
            Self::Zlib => written(
                ZlibEncoder::new(Vec::new(), Compression::default()),
                pieces,
                |writer| std::mem::take(writer.get_mut()),
                |writer| writer.finish().unwrap(),
            ),
            Self::BareDeflate => written(
                DeflateEncoder::new(Vec::new(), Compression::default()),
                pieces,
                |writer| std::mem::take(writer.get_mut()),
                |writer| writer.finish().unwrap(),
            ),
            Self::Brotli => written(
                brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22),
                pieces,
                |writer| std::mem::take(writer.get_mut()),
                brotli::CompressorWriter::into_inner,
            ),
        }
    }

    pub(super) fn encode(self, plain: &[u8]) -> Vec<u8> {
        self.flushed(&[plain]).concat()
    }
}

fn written<W: Write>(
    mut writer: W,
    pieces: &[&[u8]],
    take: impl Fn(&mut W) -> Vec<u8>,
    finish: impl FnOnce(W) -> Vec<u8>,
) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for piece in pieces {
        writer.write_all(piece).unwrap();
        writer.flush().unwrap();
        frames.push(take(&mut writer));
    }
    frames.push(finish(writer));
    frames
}

pub(super) fn zstd_flushed(pieces: &[&[u8]], parameters: &[CParameter]) -> Vec<Vec<u8>> {
    let mut context = CCtx::create();
    for parameter in parameters {
        context.set_parameter(*parameter).unwrap();
    }
    let directives = std::iter::repeat_n(ZSTD_EndDirective::ZSTD_e_flush, pieces.len())
        .chain([ZSTD_EndDirective::ZSTD_e_end]);
    let mut frames = Vec::new();
    for (piece, directive) in pieces.iter().chain([&&b""[..]]).zip(directives) {
        let mut frame = vec![0; zstd_safe::compress_bound(piece.len()) + 64];
        let mut to = OutBuffer::around(&mut frame[..]);
        let mut from = InBuffer::around(piece);
        let left = context
            .compress_stream2(&mut to, &mut from, directive)
            .unwrap();
        assert_eq!(left, 0, "the buffer was too small");
        let length = to.pos();
        frame.truncate(length);
        frames.push(frame);
    }
    frames
}
