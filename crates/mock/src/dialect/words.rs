//! The text of an answer: words drawn from a seed, one word per output token.

const WORDS: [&str; 64] = [
    "the",
    "a",
    "one",
    "every",
    "that",
    "this",
    "some",
    "no",
    "quiet",
    "bright",
    "early",
    "late",
    "small",
    "great",
    "old",
    "new",
    "river",
    "mountain",
    "city",
    "garden",
    "window",
    "letter",
    "morning",
    "evening",
    "road",
    "door",
    "light",
    "shadow",
    "question",
    "answer",
    "story",
    "map",
    "walks",
    "turns",
    "opens",
    "keeps",
    "finds",
    "asks",
    "tells",
    "brings",
    "holds",
    "reads",
    "writes",
    "waits",
    "begins",
    "ends",
    "learns",
    "remembers",
    "slowly",
    "gladly",
    "again",
    "today",
    "together",
    "apart",
    "always",
    "rarely",
    "near",
    "far",
    "under",
    "over",
    "between",
    "beyond",
    "within",
    "and",
];

/// One step of splitmix64: cheap, and good enough to pick words.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// `count` pieces of text; every piece but the first begins with a space.
pub(crate) fn pieces(seed: u64, count: u64) -> impl Iterator<Item = String> {
    (0..count).map(move |index| {
        let word = WORDS[(mix(seed.wrapping_add(index)) % WORDS.len() as u64) as usize];
        if index == 0 {
            word.to_owned()
        } else {
            format!(" {word}")
        }
    })
}

/// The pieces of a text, each with the space behind it.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}
