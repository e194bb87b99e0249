//! Finds where a JSON string ends.
//!
//! Source code in JSON is full of escaped quotes, and a search that stops at each of them starts
//! anew each time. Here the quotes of 64 bytes are found at once, as bits, and each is asked whether
//! a backslash stands before it.

use wide::u8x16;

/// Bytes looked at at once: as many as a word has bits.
const BLOCK: usize = 64;
/// Bytes of a key looked at at once.
const WORD: usize = 8;

/// Where the string that goes on in `text` ends: the index of its closing quote. `escaping` says
/// whether the first byte is escaped, and afterwards, if there is no quote, the first one to come.
pub(super) fn closing(text: &[u8], escaping: &mut bool) -> Option<usize> {
    if text.is_empty() {
        return None;
    }
    // An escaped first byte ends nothing, and escapes nothing.
    let begin = usize::from(std::mem::take(escaping));
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    let mut from = 0;
    for block in blocks {
        if let Some(at) = among(quotes(block), text, from, begin) {
            return Some(at);
        }
        from += BLOCK;
    }
    if !rest.is_empty() {
        // What fills the block up is no quote.
        let mut block = [0; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        if let Some(at) = among(quotes(&block), text, from, begin) {
            return Some(at);
        }
    }
    *escaping = ends_in_escape(&text[begin..]);
    None
}

/// Bit `i` says whether byte `i` is a quote.
fn quotes(block: &[u8; BLOCK]) -> u64 {
    let (parts, _) = block.as_chunks::<16>();
    let mut quotes = 0;
    for (number, part) in parts.iter().enumerate() {
        let equal = u8x16::new(*part).simd_eq(u8x16::splat(b'"'));
        quotes |= u64::from(equal.to_bitmask()) << (number * 16);
    }
    quotes
}

/// The first of the quotes that is not escaped; they stand in the block that begins at `from`, in a
/// string that begins at `begin`.
fn among(mut quotes: u64, text: &[u8], from: usize, begin: usize) -> Option<usize> {
    while quotes != 0 {
        let at = from + quotes.trailing_zeros() as usize;
        quotes &= quotes - 1;
        if at < begin {
            continue;
        }
        // Nearly always one backslash, or none.
        match text[begin..at] {
            [.., before, b'\\'] if before != b'\\' => {}
            [.., b'\\'] if ends_in_escape(&text[begin..at]) => {}
            _ => return Some(at),
        }
    }
    None
}

/// Whether the byte after `text` is escaped: an odd number of backslashes ends it.
fn ends_in_escape(text: &[u8]) -> bool {
    text.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The length of the plain key that `text` begins with: where its quote stands, if there is neither
/// an escape nor the end of the text before it and it is not longer than `most`. Keys are a few
/// bytes; a whole block would be too much for them.
pub(super) fn plain_key(text: &[u8], most: usize) -> Option<usize> {
    let (words, _) = text.as_chunks::<WORD>();
    for (number, word) in words.iter().take(most / WORD).enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zero_bytes(word ^ repeated(b'"')) | zero_bytes(word ^ repeated(b'\\'));
        if found != 0 {
            let at = number * WORD + found.trailing_zeros() as usize / 8;
            return (text[at] == b'"').then_some(at);
        }
    }
    None
}

const fn repeated(byte: u8) -> u64 {
    u64::from_le_bytes([byte; WORD])
}

/// The highest bit of each byte that is zero; of bytes after the first such one it may be wrong.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(repeated(1)) & !word & repeated(0x80)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One byte after the other.
    fn plainly(text: &[u8], escaping: &mut bool) -> Option<usize> {
        for (at, byte) in text.iter().enumerate() {
            match (std::mem::take(escaping), byte) {
                (true, _) => {}
                (false, b'"') => return Some(at),
                (false, b'\\') => *escaping = true,
                (false, _) => {}
            }
        }
        None
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn it_finds_what_looking_at_each_byte_finds(
            text in prop::collection::vec(prop_oneof![
                3 => Just(b'\\'), 1 => Just(b'"'), 8 => Just(b'x'), 1 => any::<u8>(),
            ], 0..300),
            escaping: bool,
        ) {
            let (mut ours, mut theirs) = (escaping, escaping);
            let found = closing(&text, &mut ours);
            prop_assert_eq!(found, plainly(&text, &mut theirs));
            if found.is_none() {
                prop_assert_eq!(ours, theirs);
            }
        }
    }

    proptest! {
        #[test]
        fn a_plain_key_is_found_where_it_ends(
            text in prop::collection::vec(prop_oneof![
                1 => Just(b'\\'), 1 => Just(b'"'), 12 => any::<u8>(),
            ], 0..100),
        ) {
            let first = text.iter().position(|byte| matches!(byte, b'"' | b'\\'));
            let expected = first.filter(|at| text[*at] == b'"');
            if let Some(found) = plain_key(&text, 64) {
                prop_assert_eq!(Some(found), expected);
            } else {
                let words = text.len() / WORD * WORD;
                prop_assert!(expected.is_none_or(|at| at >= words.min(64)), "{:?}", expected);
            }
        }
    }

    #[test]
    fn runs_of_backslashes_of_every_length_at_every_place_are_told_apart() {
        for before in 0..130 {
            for run in 0..70 {
                let mut text = vec![b'x'; before];
                text.extend(vec![b'\\'; run]);
                text.extend(b"\"y\"");
                let expected = before + run + if run % 2 == 0 { 0 } else { 2 };
                assert_eq!(closing(&text, &mut false), Some(expected), "{before} {run}");
            }
        }
    }
}
