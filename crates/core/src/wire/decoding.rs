//! Turns a compressed body into plain bytes for whoever reads it in passing; what is forwarded
//! stays as it came.
//!
//! Frames are pushed in any cut, and everything a frame allows to be decoded is handed on before
//! [`Decoder::feed`] returns: an event of a compressed stream is readable as soon as its flush
//! point has arrived. That is why the libraries' writers are not used: they hold output back until
//! they are written to again, and collect it in a buffer that grows with the input.

use std::fmt;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

/// Most that is handed on at once, in bytes. Larger pieces are no faster; every answer that is
/// being read holds one buffer of this size.
const PIECE: usize = 16 * 1024;
/// Largest zstd window, as power of two in bytes: 8 MiB is what RFC 9659 allows in HTTP. RFC 8878's
/// 128 MiB would let a header of six bytes ask for as much.
const ZSTD_WINDOW_LOG: u32 = 23;
/// Largest window of gzip, as power of two in bytes: the format knows no larger one.
const GZIP_WINDOW_LOG: u8 = 15;

/// How the decoding of a body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decoding {
    /// More of the body is to come.
    Going,
    /// The body was decoded to its end. Only [`Decoder::finish`] says so.
    Complete,
    /// This is not what `Content-Encoding` says, or it was cut off. What was handed on is a correct
    /// beginning at best.
    Broken,
    /// Decoded, the body is larger than the bound; exactly that much of it was handed on.
    TooLarge,
}

/// What a body with these headers is coded with, one over the other.
fn codings(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// Whether a body with these headers is not compressed.
pub(super) fn is_plain(headers: &HeaderMap) -> bool {
    codings(headers).next().is_none()
}

/// Decodes one body. Feed it every frame, then ask [`Decoder::finish`].
pub struct Decoder(
    /// `None`: the body is plain.
    Option<Box<Coded>>,
);

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Decoder");
        match &self.0 {
            None => shown.field("coding", &"identity"),
            Some(coded) => shown
                .field("coding", &coded.machine.coding())
                .field("left", &coded.left)
                .field("fate", &coded.fate),
        };
        shown.finish_non_exhaustive()
    }
}

impl Decoder {
    /// For a body with these headers. `None` if its coding is unknown or several are stacked: then
    /// it cannot be read.
    ///
    /// At most `bound` bytes of a compressed body are handed on. A plain one is not bounded: it
    /// costs no more than what was sent.
    pub fn new(headers: &HeaderMap, bound: u64) -> Option<Self> {
        let mut codings = codings(headers);
        let Some(coding) = codings.next() else {
            return Some(Self(None));
        };
        if codings.next().is_some() {
            return None;
        }
        Some(Self(Some(Box::new(Coded {
            machine: Machine::of(coding)?,
            output: vec![0; PIECE].into_boxed_slice(),
            left: bound,
            at_end: true,
            begun: false,
            fate: Decoding::Going,
        }))))
    }

    /// Takes the next frame; `sink` gets what it decodes to, in any number of pieces. Once the
    /// answer is not [`Decoding::Going`] it stays the same, and nothing is handed on any more.
    pub fn feed(&mut self, frame: &[u8], sink: &mut impl FnMut(&[u8])) -> Decoding {
        match &mut self.0 {
            None => {
                sink(frame);
                Decoding::Going
            }
            Some(coded) => {
                if coded.fate == Decoding::Going {
                    coded.fate = coded.feed(frame, sink);
                }
                coded.fate
            }
        }
    }

    /// The body ends here: whether it was whole. There is nothing left to hand on. A body without
    /// any byte is whole in every coding (an answer to HEAD has the header too).
    pub fn finish(self) -> Decoding {
        match self.0 {
            Some(coded) if coded.fate != Decoding::Going => coded.fate,
            Some(coded) if !coded.at_end => Decoding::Broken,
            Some(_) | None => Decoding::Complete,
        }
    }
}

/// A body that is not plain.
struct Coded {
    machine: Machine,
    output: Box<[u8]>,
    /// How much may still be handed on, in bytes.
    left: u64,
    /// Whether the body may end here.
    at_end: bool,
    /// Whether any of it has come.
    begun: bool,
    fate: Decoding,
}

impl Coded {
    fn feed(&mut self, mut input: &[u8], sink: &mut impl FnMut(&[u8])) -> Decoding {
        // What is neither at its end nor out of input may have output that did not fit.
        let mut may_have_more = false;
        while may_have_more || !input.is_empty() {
            if self.at_end && self.begun && !self.machine.begin_another() {
                return Decoding::Broken;
            }
            self.begun = true;
            // One byte more than is left tells that the bound is exceeded, and costs no more.
            let room = usize::try_from(self.left.saturating_add(1))
                .unwrap_or(PIECE)
                .min(PIECE);
            let Some(step) = self.machine.step(input, &mut self.output[..room]) else {
                return Decoding::Broken;
            };
            if step.read == 0 && step.written == 0 && !input.is_empty() {
                // It will not get further with the same input either.
                return Decoding::Broken;
            }
            input = &input[step.read..];
            self.at_end = step.at_end;
            may_have_more = step.written == room && !step.at_end;
            let fitting = usize::try_from(self.left)
                .unwrap_or(step.written)
                .min(step.written);
            if fitting > 0 {
                sink(&self.output[..fitting]);
            }
            self.left -= fitting as u64;
            if fitting < step.written {
                return Decoding::TooLarge;
            }
        }
        Decoding::Going
    }
}

/// What one call of a decoding library did.
struct Step {
    /// How much of the input it took, in bytes.
    read: usize,
    /// How much of the output it filled, in bytes.
    written: usize,
    /// Whether a frame, member or stream ended, and all of it was written.
    at_end: bool,
}

enum Machine {
    Zstd(DCtx<'static>),
    Gzip(Decompress),
    /// `None` until the first byte tells which of the two formats it is.
    Deflate(Option<Decompress>),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
}

impl Machine {
    /// `None` if this coding is unknown (or there is no memory).
    fn of(coding: &[u8]) -> Option<Self> {
        let is = |name: &[u8]| coding.eq_ignore_ascii_case(name);
        if is(b"zstd") {
            let mut context = DCtx::try_create()?;
            context
                .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))
                .ok()?;
            Some(Self::Zstd(context))
        } else if is(b"gzip") || is(b"x-gzip") {
            Some(Self::Gzip(Decompress::new_gzip(GZIP_WINDOW_LOG)))
        } else if is(b"deflate") {
            Some(Self::Deflate(None))
        } else if is(b"br") {
            // Strict: without the large windows (up to 1 GiB) that `br` does not include.
            Some(Self::Brotli(Box::new(BrotliState::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))))
        } else {
            None
        }
    }

    fn coding(&self) -> &'static str {
        match self {
            Self::Zstd(_) => "zstd",
            Self::Gzip(_) => "gzip",
            Self::Deflate(_) => "deflate",
            Self::Brotli(_) => "br",
        }
    }

    /// After an end: whether the same body may go on with another frame or member.
    fn begin_another(&mut self) -> bool {
        match self {
            Self::Zstd(_) => true,
            Self::Gzip(inflate) => {
                inflate.reset(true);
                true
            }
            Self::Deflate(_) | Self::Brotli(_) => false,
        }
    }

    /// Decodes from `input` into `output` until one of them is used up or an end is reached.
    /// `None` if the input is not in this coding.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Option<Step> {
        match self {
            Self::Zstd(context) => {
                let mut from = InBuffer::around(input);
                let mut to = OutBuffer::around(output);
                let wanted = context.decompress_stream(&mut to, &mut from).ok()?;
                Some(Step {
                    read: from.pos(),
                    written: to.pos(),
                    at_end: wanted == 0,
                })
            }
            Self::Gzip(inflate) => inflated(inflate, input, output),
            Self::Deflate(inflate) => {
                let inflate = match inflate {
                    Some(inflate) => inflate,
                    none => none.insert(Decompress::new(has_zlib_header(*input.first()?))),
                };
                inflated(inflate, input, output)
            }
            Self::Brotli(state) => {
                let (mut read, mut written, mut total) = (0, 0, 0);
                let (mut unread, mut room) = (input.len(), output.len());
                let result = BrotliDecompressStream(
                    &mut unread,
                    &mut read,
                    input,
                    &mut room,
                    &mut written,
                    output,
                    &mut total,
                    state,
                );
                if matches!(result, BrotliResult::ResultFailure) {
                    return None;
                }
                Some(Step {
                    read,
                    written,
                    at_end: matches!(result, BrotliResult::ResultSuccess),
                })
            }
        }
    }
}

fn inflated(inflate: &mut Decompress, input: &[u8], output: &mut [u8]) -> Option<Step> {
    let (read, written) = (inflate.total_in(), inflate.total_out());
    let status = inflate
        .decompress(input, output, FlushDecompress::None)
        .ok()?;
    Some(Step {
        read: usize::try_from(inflate.total_in() - read).ok()?,
        written: usize::try_from(inflate.total_out() - written).ok()?,
        at_end: status == flate2::Status::StreamEnd,
    })
}

/// Whether what begins with this byte is in zlib's format (which `deflate` means) rather than bare
/// deflate (which some send): method 8, window at most 32 KiB. Bare, that would be a stored block
/// with padding that is not zero, which no encoder writes; so no second byte must be waited for.
fn has_zlib_header(first: u8) -> bool {
    first & 0x8f == 0x08
}

#[cfg(test)]
mod tests;
