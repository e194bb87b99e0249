//! Generated documents and conversations for the tests of whoever reads request bodies.

mod talk;

use proptest::prelude::*;

use super::body::{BodyFacts, Need, RequestReader};
use crate::ladder::Ladder;

pub(super) use talk::*;

/// JSON as it is written: keys in order, duplicates and odd escapes included.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    /// As it stands: a number or a literal.
    Raw(String),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Json {
    pub(super) fn object<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self::Object(
            members
                .map(|(key, value)| (key.to_owned(), value))
                .into_iter()
                .collect(),
        )
    }

    pub(super) fn push(&mut self, key: &str, value: Self) {
        if let Self::Object(members) = self {
            members.push((key.to_owned(), value));
        }
    }

    pub(super) fn write(&self) -> String {
        self.write_oddly(0)
    }

    /// Each bit of `odd` says for one character of a key or a string whether it is written as an
    /// escape although it need not be.
    pub(super) fn write_oddly(&self, mut odd: u64) -> String {
        let mut out = String::new();
        self.write_to(&mut odd, &mut out);
        out
    }

    fn write_to(&self, odd: &mut u64, out: &mut String) {
        match self {
            Self::Raw(raw) => out.push_str(raw),
            Self::Text(text) => write_text(text, odd, out),
            Self::List(list) => {
                out.push('[');
                for (at, value) in list.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    value.write_to(odd, out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (at, (key, value)) in members.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    write_text(key, odd, out);
                    out.push(':');
                    value.write_to(odd, out);
                }
                out.push('}');
            }
        }
    }
}

fn write_text(text: &str, odd: &mut u64, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        let escaped = *odd & 1 == 1;
        *odd = odd.rotate_right(1);
        if escaped {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            let quoted = serde_json::to_string(&character).unwrap();
            out.push_str(&quoted[1..quoted.len() - 1]);
        }
    }
    out.push('"');
}

/// JSON in which keys come twice, and are those of `keys`.
pub(super) fn with_duplicates(keys: &'static [&'static str]) -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        1 => prop_oneof![Just("null"), Just("true"), Just("-1.5e3")].prop_map(|raw| Json::Raw(raw.to_owned())),
        3 => "[a-c\"\\\\\u{e9}\u{1f600}\u{0}]{0,3}".prop_map(Json::Text),
    ];
    leaf.prop_recursive(6, 60, 5, move |inner| {
        let member = (prop::sample::select(keys), inner.clone())
            .prop_map(|(key, value)| (key.to_owned(), value));
        prop_oneof![
            1 => prop::collection::vec(inner, 0..4).prop_map(Json::List),
            2 => prop::collection::vec(member, 0..6).prop_map(Json::Object),
        ]
    })
}

/// What a body says when all of it is read, by the built-in rules.
pub(super) fn read(body: &str) -> BodyFacts {
    read_for(body, Need::ALL)
}

/// What a body says when `need` of it is read.
pub(super) fn read_for(body: &str, need: Need) -> BodyFacts {
    read_in_pieces(body.as_bytes(), usize::MAX, need)
}

/// The same, so many bytes at a time.
pub(super) fn read_in_pieces(body: &[u8], size: usize, need: Need) -> BodyFacts {
    let ladder = Ladder::default();
    let mut reader = RequestReader::new(ladder.paths(), need);
    for piece in body.chunks(size) {
        reader.feed(piece);
    }
    reader.finish()
}
