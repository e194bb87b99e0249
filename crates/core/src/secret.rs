//! The one type that holds a credential: it cannot be printed, logged, compared in the open or serialised.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// How many characters of a credential may be shown: never more than a third of it …
const SHOWN_SHARE: usize = 3;
/// … and never more than this many, as the package this replaces showed.
const SHOWN_MOST: usize = 8;
/// How many of them may be its last, where people must tell one credential from another: providers'
/// own pages show those.
const SHOWN_LAST: usize = 4;

/// A credential. `Debug` shows that there is one, never which; there is no `Display` and no
/// `Serialize`. The memory is wiped when dropped. [`Secret::expose`] is the one way out: grep for it.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the credential over.
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The credential itself. Only for the header of a request to its own upstream, and for hashing.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its first characters and `...`: at most a third of it, at most eight.
    pub fn masked(&self) -> String {
        let count = self.0.chars().count();
        let shown: String = self
            .0
            .chars()
            .take((count / SHOWN_SHARE).min(SHOWN_MOST))
            .collect();
        format!("{shown}...")
    }

    /// Its first and last characters with `...` between: at most a third of it, at most twelve. A short one
    /// as [`Self::masked`] has it.
    pub fn recognisable(&self) -> String {
        let count = self.0.chars().count();
        let Some(first) = (count / SHOWN_SHARE).checked_sub(SHOWN_LAST) else {
            return self.masked();
        };
        if first < SHOWN_LAST {
            return self.masked();
        }
        let first: String = self.0.chars().take(first.min(SHOWN_MOST)).collect();
        let last: String = self.0.chars().skip(count - SHOWN_LAST).collect();
        format!("{first}...{last}")
    }

    /// Whether `offered` is this credential, in time that does not depend on where they differ.
    pub fn matches(&self, offered: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(offered).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masking_shows_at_most_a_third_and_at_most_eight_characters() {
        assert_eq!(
            Secret::new("sk-proj-abcdefghijklmnopqrstuvwxyz".into()).masked(),
            "sk-proj-..."
        );
        assert_eq!(Secret::new("abcdefghi".into()).masked(), "abc...");
        assert_eq!(Secret::new("k1".into()).masked(), "...");
        assert_eq!(Secret::new("ключключключ".into()).masked(), "ключ...");
    }

    #[test]
    fn what_tells_credentials_apart_shows_their_ends_if_they_are_long_enough() {
        let shown = |text: &str| Secret::new(text.into()).recognisable();
        assert_eq!(
            shown("sk-proj-abcdefghijklmnopqrstuvwxyz0123"),
            "sk-proj-...0123"
        );
        assert_eq!(shown("abcdefghijklmnopqrstuvwx"), "abcd...uvwx");
        assert_eq!(shown("abcdefghijklmnopqrstuvw"), "abcdefg...");
        assert_eq!(shown("k1"), "...");
    }

    #[test]
    fn debug_output_holds_nothing_of_the_secret() {
        let printed = format!("{:?}", Secret::new("sk-very-secret".into()));
        assert_eq!(printed, "Secret(…)");
    }

    #[test]
    fn matches_only_the_same_bytes() {
        let secret = Secret::new("token".into());
        assert!(secret.matches(b"token"));
        assert!(!secret.matches(b"toke"));
        assert!(!secret.matches(b"tokeN"));
    }
}
