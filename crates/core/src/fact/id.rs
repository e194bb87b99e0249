//! What a request is called: in the header of its answer, in the log, and when somebody asks about it.

use std::fmt;
use std::str::FromStr;

/// Letters of an id; each stands for five bits.
const LETTERS: usize = 12;
/// Bits of an id.
const BITS: u32 = 60;
const MASK: u64 = (1 << BITS) - 1;
/// Odd, so that no two numbers of one instance become the same id; from the golden ratio, so that
/// ids that follow each other look different from their first letter on.
const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;
/// Without letters that look like digits (Crockford).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The id of a request, unique among those of one instance and most likely among all.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u64);

impl RequestId {
    /// The id of the request with this `number` in an instance with this `salt`.
    pub const fn of(salt: u64, number: u64) -> Self {
        Self(salt.wrapping_add(number.wrapping_mul(STRIDE)) & MASK)
    }

    /// Its letters: visible ASCII.
    pub fn letters(self) -> [u8; LETTERS] {
        let mut letters = [0; LETTERS];
        for (at, letter) in letters.iter_mut().enumerate() {
            let shift = BITS - 5 * (at as u32 + 1);
            *letter = ALPHABET[(self.0 >> shift) as usize & 31];
        }
        letters
    }
}

/// The text is not that of a request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRequestId;

impl FromStr for RequestId {
    type Err = NoRequestId;

    fn from_str(text: &str) -> Result<Self, NoRequestId> {
        if text.len() != LETTERS {
            return Err(NoRequestId);
        }
        let mut number = 0;
        for letter in text.bytes() {
            let letter = letter.to_ascii_lowercase();
            let value = ALPHABET.iter().position(|known| *known == letter);
            number = number << 5 | value.ok_or(NoRequestId)? as u64;
        }
        Ok(Self(number))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = self.letters();
        f.write_str(std::str::from_utf8(&letters).unwrap_or_default())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_of_one_instance_have_different_ids() {
        let ids: HashSet<_> = (0..100_000).map(|at| RequestId::of(7, at)).collect();
        assert_eq!(ids.len(), 100_000);
        let (one, two) = (RequestId::of(7, 1), RequestId::of(7, 2));
        assert_ne!(one.to_string()[..2], two.to_string()[..2]);
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in [
            "",
            "0123456789a",
            "0123456789abc",
            "0123456789ai",
            "0123456789ä",
        ] {
            assert_eq!(text.parse::<RequestId>(), Err(NoRequestId), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_id_is_read_back_in_either_case(salt: u64, number: u64) {
            let id = RequestId::of(salt, number);
            let text = id.to_string();
            prop_assert_eq!(text.len(), LETTERS);
            prop_assert_eq!(text.parse(), Ok(id));
            prop_assert_eq!(text.to_ascii_uppercase().parse(), Ok(id));
        }
    }
}
