//! OpenAI embeddings: a small vector that depends on nothing but the input.

use crate::answer::Answer;
use crate::dialect::{AnswerContext, words};
use crate::json::{Raw, object};

/// Length of a vector: enough to tell inputs apart, small enough to read in a log.
const DIMENSIONS: u64 = 8;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Eight numbers in -1..1.
fn vector(seed: u64) -> Vec<f32> {
    (0..DIMENSIONS)
        .map(|index| {
            let thousandths = words::mix(seed.wrapping_add(index)) % 2_001;
            thousandths as f32 / 1_000.0 - 1.0
        })
        .collect()
}

/// Standard base64 with padding; a dependency for one small vector would cost more than it saves.
fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut bits = [0_u8; 4];
        bits[1..=group.len()].copy_from_slice(group);
        let number = u32::from_be_bytes(bits);
        for position in 0..4 {
            if position <= group.len() {
                let index = number >> (18 - 6 * position) & 63;
                out.push(char::from(ALPHABET[index as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

pub(crate) fn answer(context: &AnswerContext<'_>) -> Answer {
    let call = context.call;
    let mut data = Vec::with_capacity(call.inputs.len());
    for (index, seed) in call.inputs.iter().enumerate() {
        let vector = vector(*seed);
        let object = "embedding";
        data.push(if call.base64 {
            let bytes: Vec<u8> = vector
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect();
            object! { "object": object, "index": index, "embedding": base64(&bytes) }
        } else {
            object! { "object": object, "index": index, "embedding": vector }
        });
    }
    let prompt = context.usage.prompt;
    let usage: Raw = object! { "prompt_tokens": prompt, "total_tokens": prompt };
    let body = object! { "object": "list", "data": data, "model": call.model, "usage": usage };
    Answer::json(200, body.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_rfc_4648_vectors() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
