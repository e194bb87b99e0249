//! To which trace a request belongs, as its client says in `traceparent` (W3C Trace Context). Read only.

/// The length of the header in its version 0: `00-TRACE-PARENT-FLAGS`.
const LENGTH: usize = 55;

/// A place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The trace; not zero.
    pub id: u128,
    /// The span of the client that the request is part of; not zero.
    pub parent: u64,
    /// Whether the client records it.
    pub sampled: bool,
}

impl Trace {
    /// From the value of `traceparent`. Later versions are read as far as they are like this one.
    pub fn of(header: &[u8]) -> Option<Self> {
        let (known, more) = header.split_at_checked(LENGTH)?;
        let version = u8::try_from(number(known.get(..2)?)?).ok()?;
        let ends_well = if version == 0 {
            more.is_empty()
        } else {
            more.first().is_none_or(|byte| *byte == b'-')
        };
        let dashes = [2, 35, 52].iter().all(|at| known.get(*at) == Some(&b'-'));
        if version == u8::MAX || !ends_well || !dashes {
            return None;
        }
        let trace = Self {
            id: number(known.get(3..35)?)?,
            parent: u64::try_from(number(known.get(36..52)?)?).ok()?,
            sampled: number(known.get(53..)?)? & 1 == 1,
        };
        (trace.id != 0 && trace.parent != 0).then_some(trace)
    }
}

/// Hexadecimal digits, lower case as the standard wants them.
fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_is_continued_where_the_header_is_as_the_standard_says() {
        let trace = Trace {
            id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            parent: 0x00f0_67aa_0ba9_02b7,
            sampled: true,
        };
        assert_eq!(Trace::of(HEADER.as_bytes()), Some(trace));
        let later = format!("cc{}-what-the-future-will-be-like", &HEADER[2..]);
        assert_eq!(Trace::of(later.as_bytes()), Some(trace));
        let unsampled = HEADER.replace("-01", "-02");
        assert!(!Trace::of(unsampled.as_bytes()).unwrap().sampled);
    }

    #[test]
    fn another_header_is_none() {
        for header in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473z-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::of(header.as_bytes()), None, "{header}");
        }
    }

    proptest! {
        #[test]
        fn any_trace_is_read_back(id in 1..u128::MAX, parent in 1..u64::MAX, sampled: bool) {
            let header = format!("00-{id:032x}-{parent:016x}-0{}", u8::from(sampled));
            prop_assert_eq!(Trace::of(header.as_bytes()), Some(Trace { id, parent, sampled }));
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
            let _ = Trace::of(&bytes);
        }
    }
}
