//! What must hold for every input, whoever made it up: each function takes raw bytes and panics if
//! something does not hold. What throws bytes at them is in `tests/`.

mod answer;
mod decoding;
mod error_body;
mod request_body;
mod reset;
mod seed;

pub use answer::answer;
pub use decoding::decoding;
pub use error_body::error_body;
pub use request_body::request_body;
pub use reset::reset;
pub use seed::{Growth, seeds};

/// Sizes of the pieces that an input is fed in, besides as a whole.
const PIECES: [usize; 5] = [1, 2, 3, 7, 64];
/// Inputs up to this size are cut at every place, and longer ones at as many: bytes.
const CUTS: usize = 96;

/// Ways to cut an input into pieces that are fed one after the other.
fn cuts(input: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let pieces = PIECES.into_iter().map(|size| input.chunks(size).collect());
    let step = input.len() / CUTS + 1;
    let halves = (0..=input.len()).step_by(step).map(|at| {
        let (one, other) = input.split_at(at);
        vec![one, other]
    });
    pieces.chain(halves)
}
