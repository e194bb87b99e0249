//! Hides credentials in what clients say: one may stand in a path, as the model or as the program's name,
//! where somebody has mixed up two settings.

use std::collections::HashSet;

use xxhash_rust::xxh3::xxh3_64;

use super::{Client, Fact};
use crate::secret::Secret;

/// What stands in place of one.
const MASK: &str = "***";
/// Shorter ones are not hidden: words of paths and models are like them.
const LEAST: usize = 6;
/// How keys of providers begin, and from which length on whatever begins so is taken for one: longer
/// where a model or an object might begin so too.
const BEGINNINGS: [(&str, usize); 18] = [
    ("sk-", 8),
    ("sk_", 8),
    ("gsk_", 8),
    ("csk-", 8),
    ("xai-", 12),
    ("AIza", 12),
    ("nvapi-", 12),
    ("pplx-", 16),
    ("key-", 16),
    ("pk-", 16),
    ("ek_", 16),
    ("hf_", 20),
    ("r8_", 20),
    ("fw_", 20),
    ("tgp_v1_", 20),
    ("ghp_", 20),
    ("github_pat_", 20),
    ("eyJ", 20),
];

/// What is hidden besides whatever looks like a key: the credentials that are known here, as hashes.
#[derive(Clone, Debug, Default)]
pub struct Hidden {
    known: HashSet<u64>,
}

impl Hidden {
    /// This is to be hidden from now on.
    pub fn learn(&mut self, secret: &Secret) {
        let whole = secret.expose();
        // Names of programs are cut off.
        let cut = Client::of(whole.as_bytes());
        for text in [Some(whole), cut.name()].into_iter().flatten() {
            if text.len() >= LEAST {
                self.known.insert(xxh3_64(text.as_bytes()));
            }
        }
    }

    /// Takes all credentials out of what `fact` repeats of its client's words.
    pub fn hide(&self, fact: &mut Fact) {
        if let Some(path) = self.hidden(&fact.path) {
            fact.path = path;
        }
        if let Some(model) = fact.model.as_deref().and_then(|model| self.hidden(model)) {
            fact.model = Some(model);
        }
        if let Some(name) = fact.client.name()
            && (self.is_known(name) || self.hidden(name).is_some())
        {
            fact.client = Client::default();
        }
    }

    /// `text` with `***` for each credential; nothing if there is none in it.
    fn hidden(&self, text: &str) -> Option<String> {
        let mut shown: Option<String> = None;
        let mut done = 0;
        for (start, part) in parts(text, |byte| byte == b'/') {
            if self.is_known(part) {
                mask(&mut shown, text, &mut done, start..start + part.len());
                continue;
            }
            for (within, piece) in parts(part, is_between) {
                let start = start + within;
                // What is left of an encoded character stands before its piece.
                let skipped = match part.as_bytes().get(within.wrapping_sub(1)) {
                    Some(b'%') => piece.len().min(2),
                    _ => 0,
                };
                let word = piece.get(skipped..).unwrap_or_default();
                if looks_like_key(word) || self.is_known(word) {
                    mask(
                        &mut shown,
                        text,
                        &mut done,
                        start + skipped..start + piece.len(),
                    );
                }
            }
        }
        let mut shown = shown?;
        shown.push_str(text.get(done..).unwrap_or_default());
        Some(shown)
    }

    fn is_known(&self, text: &str) -> bool {
        text.len() >= LEAST && self.known.contains(&xxh3_64(text.as_bytes()))
    }
}

/// The parts of `text` between such bytes, and where they begin.
fn parts(text: &str, is_between: impl Fn(u8) -> bool) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    text.split(move |letter: char| u8::try_from(letter).is_ok_and(&is_between))
        .map(move |part| {
            let at = start;
            start += part.len() + 1;
            (at, part)
        })
}

/// What no key has in it. One byte each, and nothing beyond ASCII.
fn is_between(byte: u8) -> bool {
    byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"-_.+~".contains(&byte)
}

fn looks_like_key(word: &str) -> bool {
    let mut beginnings = BEGINNINGS.iter();
    beginnings.any(|(beginning, least)| word.len() >= *least && word.starts_with(beginning))
}

/// Shows `text` up to `range` and the mask in place of that.
fn mask(shown: &mut Option<String>, text: &str, done: &mut usize, range: std::ops::Range<usize>) {
    let shown = shown.get_or_insert_default();
    shown.push_str(text.get(*done..range.start).unwrap_or_default());
    shown.push_str(MASK);
    *done = range.end;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::RequestId;
    use crate::moment::Moment;

    const KEY: &str = "e5c8a1f0b3d24796.Kx7/Qw:9Z";

    fn hidden() -> Hidden {
        let mut hidden = Hidden::default();
        for secret in [KEY, "0123456789abcdef0123456789abcdef.0123456789", "v1"] {
            hidden.learn(&Secret::new(secret.into()));
        }
        hidden
    }

    fn fact(path: &str, model: Option<&str>, agent: &str) -> Fact {
        let id = RequestId::default();
        let mut fact = Fact::begun(id, Moment::default(), http::Method::GET, path.to_owned());
        fact.model = model.map(str::to_owned);
        fact.client = Client::of(agent.as_bytes());
        hidden().hide(&mut fact);
        fact
    }

    #[test]
    fn what_looks_like_a_key_is_hidden_and_the_rest_stays() {
        for (path, shown) in [
            (
                "/v1beta/models/sk-proj-Qw8zR2mXv5:generateContent",
                "/v1beta/models/***:generateContent",
            ),
            ("/AIzaSyA1b2C3d4/v1/gsk_0123456789", "/***/v1/***"),
            ("/v1/Bearer%20sk-0123456789", "/v1/Bearer%20***"),
            ("/ä/sk-0123456789/ü", "/ä/***/ü"),
            ("/x%", "/x%"),
            ("/x%4", "/x%4"),
        ] {
            assert_eq!(fact(path, None, "").path, shown);
        }
        let model = fact("/", Some("openai/xai-0123456789:free"), "").model;
        assert_eq!(model.as_deref(), Some("openai/***:free"));
        assert_eq!(fact("/", None, "sk-useragent/1.0").client.name(), None);
        assert_eq!(fact("/", None, "curl/sk-012345").client.name(), None);
    }

    #[test]
    fn what_is_a_known_credential_is_hidden_whatever_it_looks_like() {
        let known = "0123456789abcdef0123456789abcdef.0123456789";
        let about = fact(&format!("/a/{known}:go"), Some(known), known);
        assert_eq!(about.path, "/a/***:go");
        assert_eq!(about.model.as_deref(), Some("***"));
        assert_eq!(about.client.name(), None);
        let whole = "part:of-one";
        let mut hidden = Hidden::default();
        hidden.learn(&Secret::new(whole.into()));
        assert_eq!(hidden.hidden("/x/part:of-one/y").unwrap(), "/x/***/y");
        assert_eq!(hidden.hidden("/x/part:of-two/y"), None);
    }

    #[test]
    fn ordinary_paths_models_and_programs_are_shown() {
        for path in [
            "/v1/chat/completions",
            "/v1beta/models/gemini-2.5-pro-preview-06-05:streamGenerateContent",
            "/v1/responses/resp_68af1b0c9d2e8190a1b2c3d4e5f60718/input_items",
            "/v1/files/file-9Qw8zR2mXv5Lk9TfB3nYd7",
            "/v1/skills/skill_0123456789abcdef",
            "/api/blobs/sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "/v1/keys/key-1",
        ] {
            let about = fact(path, Some("claude-sonnet-4-5-20250929"), "claude-cli/2.0.1");
            assert_eq!(about.path, path);
            assert_eq!(about.model.as_deref(), Some("claude-sonnet-4-5-20250929"));
            assert_eq!(about.client.name(), Some("claude-cli/2.0.1"));
        }
    }
}
