//! Inputs that are kept, and inputs that grow from them: bytes by chance alone are hardly ever
//! JSON, but a body with a piece cut out or put in is.

use std::path::Path;

use bolero::TypeGenerator;

/// Longest input that grows, in bytes: growth repeats.
const LONGEST: usize = 16 * 1024;
/// What is put into an input: what the readers look for, and what may confuse them.
const PIECES: &[&str] = &[
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\\\"",
    "\\\\",
    "\\u0061",
    "\\ud83d\\ude00",
    "\\ud800",
    "\u{e9}",
    "\n",
    "\r\n",
    "\r",
    "\n\n",
    "\0",
    "null",
    "true",
    "7",
    "-0.5e+3",
    "18446744073709551615",
    "\"x\"",
    "{},",
    "[],",
    "\"model\":\"m\",",
    "\"model\":[],",
    "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],",
    "\"messages\":",
    "\"input\":\"hi\",",
    "\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}],",
    "\"system\":\"S\",",
    "\"content\":[{\"type\":\"text\",\"text\":\"hi\"}],",
    "\"role\":\"assistant\",",
    "\"type\":\"reasoning\",",
    "\"cache_control\":{\"type\":\"ephemeral\"},",
    "\"metadata\":{\"user_id\":\"u\",\"session_id\":\"s\"},",
    "\"session_id\":\"s\",",
    "\"sess\\u0069on_id\":\"s\",",
    "\"conversation\":{\"id\":\"c\"},",
    "\"conversation\":\"c\",",
    "\"stream\":true,",
    "| sessionId=0123456789 ",
    "\\nSession ID: 0123456789\\n",
    "data: ",
    "data:{}\n\n",
    "event: x\n",
    "\"usage\":{\"input_tokens\":7},",
    "\"response\":{\"id\":\"resp_1\"},",
    "\"error\":{\"message\":\"try again in 7s\",\"code\":429},",
    "\"details\":[{\"retryDelay\":{\"seconds\":\"7\"}}],",
    "event: error\n",
    "<title>",
    "6m0s",
    "ms",
    "1790510460",
    "000",
    "2026-09-28 00:35:41",
    "T12:34:56.789Z",
    " UTC+8",
    "+08:00",
    " try again in ",
    " until ",
    "请在",
    "分钟",
    "\nretry-after: ",
    "\nx-ratelimit-remaining-tokens: 0\n",
    "\nx-ratelimit-limit-",
    "\nx-ratelimit-reset-",
];

/// The inputs kept for a target, in the order of their names.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/__fuzz__")
        .join(target)
        .join("corpus");
    let entries = folder.read_dir().expect("the corpus is there");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry of the corpus").path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).expect("a seed"))
        .collect()
}

/// How an input grows from one that is kept. The numbers are taken modulo what there is.
#[derive(Clone, Debug, TypeGenerator)]
pub struct Growth {
    seed: u16,
    #[generator(bolero::produce::<Vec<Step>>().with().len(0_usize..5))]
    steps: Vec<Step>,
}

#[derive(Clone, Debug, TypeGenerator)]
enum Step {
    /// Cuts bytes out.
    Cut { at: u16, length: u8 },
    /// Cuts everything after a place off.
    End { at: u16 },
    /// Puts a piece in before the next place where a member or an element may begin.
    Put { at: u16, piece: u8 },
    /// Puts a piece in anywhere.
    Force { at: u16, piece: u8 },
    /// Puts the bytes from one place in again at another, several times.
    Repeat {
        at: u16,
        length: u8,
        to: u16,
        times: u8,
    },
    /// Puts a part of another seed in.
    Graft {
        seed: u16,
        at: u16,
        length: u8,
        to: u16,
    },
    /// Changes one byte.
    Change { at: u16, to: u8 },
}

impl Growth {
    /// What grows from these seeds.
    pub fn of(&self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = chosen(seeds, self.seed).to_vec();
        for step in &self.steps {
            step.take(&mut input, seeds);
            input.truncate(LONGEST);
        }
        input
    }
}

impl Step {
    fn take(&self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        match *self {
            Self::Cut { at, length } => {
                input.drain(range(input, at, length));
            }
            Self::End { at } => input.truncate(place(input, at)),
            Self::Put { at, piece } => {
                let at = place(input, at);
                let begins = |byte: &u8| matches!(byte, b'{' | b'[' | b',');
                if let Some(found) = input[at..].iter().position(begins) {
                    put(input, at + found + 1, piece_of(piece));
                }
            }
            Self::Force { at, piece } => put(input, place(input, at), piece_of(piece)),
            Self::Repeat {
                at,
                length,
                to,
                times,
            } => {
                let piece = input[range(input, at, length)].repeat(usize::from(times));
                put(input, place(input, to), &piece);
            }
            Self::Graft {
                seed,
                at,
                length,
                to,
            } => {
                let other = chosen(seeds, seed);
                put(input, place(input, to), &other[range(other, at, length)]);
            }
            Self::Change { at, to } => {
                let at = place(input, at);
                if let Some(byte) = input.get_mut(at) {
                    *byte = to;
                }
            }
        }
    }
}

fn chosen(seeds: &[Vec<u8>], number: u16) -> &[u8] {
    &seeds[usize::from(number) % seeds.len()]
}

fn piece_of(number: u8) -> &'static [u8] {
    PIECES[usize::from(number) % PIECES.len()].as_bytes()
}

fn place(input: &[u8], at: u16) -> usize {
    usize::from(at) % (input.len() + 1)
}

fn range(input: &[u8], at: u16, length: u8) -> std::ops::Range<usize> {
    let from = place(input, at);
    from..(from + usize::from(length)).min(input.len())
}

fn put(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    input.splice(at..at, piece.iter().copied());
}
