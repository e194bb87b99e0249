//! Finds ids that clients write into the prompt, in text that comes in pieces.

use std::sync::LazyLock;

use memchr::memmem;

use crate::ladder::Mark;

/// OpenClaw's `Runtime:` line holds `… | sessionId=<uuid> | …`; the bar before it is what ordinary
/// text about session ids does not have.
const OPENCLAW: &[u8] = b"| sessionId=";
/// Hermes writes a line of its own; in JSON the line before it ends in an escape.
const HERMES: &[u8] = b"\\nSession ID: ";
/// The searches for them, prepared once: every text of a request would pay for it otherwise.
static SEARCHES: LazyLock<[memmem::Finder<'static>; 2]> =
    LazyLock::new(|| [OPENCLAW, HERMES].map(memmem::Finder::new));
/// Longest id, in bytes.
const MAX_ID: usize = 128;
/// Shortest id: shorter values count something, they do not name it.
const MIN_ID: usize = 8;

/// Looks for one mark and takes the id that follows it.
#[derive(Debug)]
struct Finder {
    mark: &'static [u8],
    search: &'static memmem::Finder<'static>,
    /// The end of the text so far, in which the mark may have begun.
    carry: Vec<u8>,
    /// The id being read.
    reading: Option<Vec<u8>>,
    found: Option<Vec<u8>>,
    /// Whether a later mark in the same text replaces an earlier one.
    last_wins: bool,
}

impl Finder {
    fn new(mark: &'static [u8], last_wins: bool) -> Self {
        let [openclaw, hermes] = &*SEARCHES;
        Self {
            mark,
            search: if mark == OPENCLAW { openclaw } else { hermes },
            carry: Vec::new(),
            reading: None,
            found: None,
            last_wins,
        }
    }

    fn text_begins(&mut self) {
        self.end_of_id();
        self.carry.clear();
    }

    fn text(&mut self, mut piece: &[u8]) {
        loop {
            if self.reading.is_some() {
                piece = self.id_bytes(piece);
                if self.reading.is_some() {
                    return;
                }
            }
            if self.found.is_some() && !self.last_wins {
                return;
            }
            let Some(end) = self.mark_in(piece) else {
                return;
            };
            piece = &piece[end..];
            self.carry.clear();
            self.reading = Some(Vec::new());
        }
    }

    /// Where the first mark ends in `piece`, if one does; it may have begun in the carry.
    fn mark_in(&mut self, piece: &[u8]) -> Option<usize> {
        let overlap = self.mark.len() - 1;
        if !self.carry.is_empty() {
            let carried = self.carry.len();
            let ahead = &piece[..piece.len().min(overlap)];
            self.carry.extend_from_slice(ahead);
            if let Some(at) = self.search.find(&self.carry) {
                return Some(at + self.mark.len() - carried);
            }
            self.carry.truncate(carried);
        }
        if let Some(at) = self.search.find(piece) {
            return Some(at + self.mark.len());
        }
        let end = &piece[piece.len().saturating_sub(overlap)..];
        self.carry.extend_from_slice(end);
        let surplus = self.carry.len().saturating_sub(overlap);
        self.carry.drain(..surplus);
        None
    }

    /// Takes id bytes from `piece`; returns the rest.
    fn id_bytes<'p>(&mut self, piece: &'p [u8]) -> &'p [u8] {
        let is_id = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
        let length = piece.iter().take_while(|byte| is_id(byte)).count();
        if let Some(id) = &mut self.reading {
            let room = (MAX_ID + 1).saturating_sub(id.len());
            id.extend_from_slice(&piece[..length.min(room)]);
        }
        if length < piece.len() {
            self.end_of_id();
        }
        &piece[length..]
    }

    fn end_of_id(&mut self) {
        if let Some(id) = self.reading.take()
            && (MIN_ID..=MAX_ID).contains(&id.len())
        {
            self.found = Some(id);
        }
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        self.end_of_id();
        self.carry.clear();
        self.found.take()
    }
}

/// The ids found in the first user message and in the system prompt.
#[derive(Debug)]
pub(super) struct Marks {
    in_message: [Finder; 2],
    in_system: Finder,
    openclaw: Option<Vec<u8>>,
    hermes: Option<Vec<u8>>,
}

impl Default for Marks {
    fn default() -> Self {
        Self {
            in_message: [Finder::new(OPENCLAW, false), Finder::new(HERMES, true)],
            in_system: Finder::new(HERMES, true),
            openclaw: None,
            hermes: None,
        }
    }
}

impl Marks {
    /// A list of messages begins: it replaces one that came before.
    pub(super) fn list_begins(&mut self) {
        self.message_begins();
        self.openclaw = None;
        self.hermes = None;
    }

    /// A system prompt beside the list begins: it replaces one that came before.
    pub(super) fn system_begins(&mut self) {
        self.in_system.take();
    }

    /// A message begins; what was found in one before it that did not count is forgotten.
    pub(super) fn message_begins(&mut self) {
        for finder in &mut self.in_message {
            finder.take();
        }
    }

    /// A string of the message, or of the system prompt, begins.
    pub(super) fn text_begins(&mut self) {
        for finder in &mut self.in_message {
            finder.text_begins();
        }
        self.in_system.text_begins();
    }

    pub(super) fn message_text(&mut self, piece: &[u8]) {
        for finder in &mut self.in_message {
            finder.text(piece);
        }
    }

    pub(super) fn system_text(&mut self, piece: &[u8]) {
        self.in_system.text(piece);
    }

    /// A message before the first user message, or that one, ends.
    pub(super) fn message_ends(&mut self, by_user: bool, is_system: bool) {
        let [openclaw, hermes] = &mut self.in_message;
        let (openclaw, hermes) = (openclaw.take(), hermes.take());
        if by_user {
            self.openclaw = openclaw;
        } else if is_system && hermes.is_some() {
            self.hermes = hermes;
        }
    }

    /// The id, by the order of the rules.
    pub(super) fn into_found(mut self) -> Option<(Mark, Vec<u8>)> {
        let hermes = self.in_system.take().or(self.hermes);
        let openclaw = self.openclaw.map(|id| (Mark::OpenClaw, id));
        openclaw.or(hermes.map(|id| (Mark::Hermes, id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(mark: &'static [u8], last_wins: bool, text: &str, size: usize) -> Option<String> {
        let mut finder = Finder::new(mark, last_wins);
        finder.text_begins();
        for piece in text.as_bytes().chunks(size) {
            finder.text(piece);
        }
        finder.take().map(|id| String::from_utf8(id).unwrap())
    }

    #[test]
    fn an_id_is_found_wherever_the_text_is_cut() {
        let claw = "hi | x\\n\\nRuntime: agent=main | sessionId=5eb437ee-910f-4388 | os=| sessionId=other-one | z";
        let hermes = "You.\\nSession ID: too\\nand\\nSession ID: 20261122_2201_ab\\nModel: m";
        for size in 1..40 {
            assert_eq!(
                find(OPENCLAW, false, claw, size).as_deref(),
                Some("5eb437ee-910f-4388"),
                "{size}"
            );
            assert_eq!(
                find(HERMES, true, hermes, size).as_deref(),
                Some("20261122_2201_ab"),
                "{size}"
            );
        }
    }

    #[test]
    fn an_id_at_the_very_end_counts_and_one_of_no_sane_length_does_not() {
        assert_eq!(
            find(OPENCLAW, false, "| sessionId=12345678", 5).as_deref(),
            Some("12345678")
        );
        assert_eq!(find(OPENCLAW, false, "| sessionId=1234567", 5), None);
        let long = format!("| sessionId={}", "a".repeat(MAX_ID + 1));
        assert_eq!(find(OPENCLAW, false, &long, 5), None);
        assert_eq!(
            find(OPENCLAW, false, "the sessionId=123456789 of it", 5),
            None
        );
    }
}
