//! Splits the bytes of one direction into frames, in any cut, without keeping any of them.

/// Bytes that are unmasked at once.
const UNMASKED: usize = 4096;
/// Longest head of a frame, in bytes: two, eight of length, four of mask.
const HEAD: usize = 14;
/// Longest payload of a control frame, in bytes.
const CONTROL: u64 = 125;

/// What a frame's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) opcode: Opcode,
    /// Whether the message ends with it.
    pub(super) last: bool,
    /// The first of the bits that extensions use: the message is compressed.
    pub(super) compressed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    const fn of(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    pub(super) const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Who receives frames.
pub(super) trait Listen {
    /// A frame begins. Answer whether its payload is wanted.
    fn begins(&mut self, head: Head) -> bool;
    /// The next bytes of a wanted payload, unmasked.
    fn payload(&mut self, piece: &[u8]);
    /// It ends.
    fn ends(&mut self);
}

/// The place in one direction.
#[derive(Debug)]
pub(super) struct Frames {
    state: State,
}

#[derive(Debug)]
enum State {
    /// In a head, of which so much is here.
    Head { held: [u8; HEAD], count: usize },
    Payload {
        left: u64,
        mask: Option<[u8; 4]>,
        /// How many bytes of the payload have passed, by four.
        turn: usize,
        wanted: bool,
    },
    /// This is no WebSocket; nothing is read any more.
    Lost,
}

impl State {
    const BETWEEN: Self = Self::Head {
        held: [0; HEAD],
        count: 0,
    };
}

impl Frames {
    pub(super) const fn new() -> Self {
        Self {
            state: State::BETWEEN,
        }
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8], listen: &mut impl Listen) {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Lost => return,
                State::Head { held, count } => {
                    held[*count] = bytes[0];
                    *count += 1;
                    bytes = &bytes[1..];
                    if *count >= head_length(&held[..*count]) {
                        let head = *held;
                        self.head(&head, listen);
                    }
                }
                State::Payload {
                    left,
                    mask,
                    turn,
                    wanted,
                } => {
                    let now = usize::try_from(*left)
                        .unwrap_or(usize::MAX)
                        .min(bytes.len());
                    let (piece, rest) = bytes.split_at(now);
                    bytes = rest;
                    if *wanted {
                        unmask(piece, *mask, *turn, listen);
                    }
                    *turn = (*turn + now) % 4;
                    *left -= now as u64;
                    if *left == 0 {
                        self.state = State::BETWEEN;
                        listen.ends();
                    }
                }
            }
        }
    }

    /// Whether a frame has just ended, or none has begun.
    pub(super) const fn is_between(&self) -> bool {
        matches!(self.state, State::Head { count: 0, .. })
    }

    fn head(&mut self, head: &[u8; HEAD], listen: &mut impl Listen) {
        let (first, second) = (head[0], head[1]);
        let masked = second & 0x80 != 0;
        let (length, after) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([head[2], head[3]])), 4),
            127 => {
                let mut length = [0; 8];
                length.copy_from_slice(&head[2..10]);
                (u64::from_be_bytes(length), 10)
            }
            short => (u64::from(short), 2),
        };
        let mask = masked.then(|| {
            let mut mask = [0; 4];
            mask.copy_from_slice(&head[after..after + 4]);
            mask
        });
        let last = first & 0x80 != 0;
        let known = Opcode::of(first & 0x0f)
            .filter(|opcode| !opcode.is_control() || (last && length <= CONTROL));
        let (Some(opcode), 0) = (known, first & 0x30) else {
            self.state = State::Lost;
            return;
        };
        let wanted = listen.begins(Head {
            opcode,
            last,
            compressed: first & 0x40 != 0,
        });
        if length == 0 {
            self.state = State::BETWEEN;
            listen.ends();
        } else {
            self.state = State::Payload {
                left: length,
                mask,
                turn: 0,
                wanted,
            };
        }
    }
}

/// How long a head is, as far as its beginning tells.
fn head_length(head: &[u8]) -> usize {
    let Some(second) = head.get(1) else {
        return 2;
    };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if second & 0x80 != 0 { 4 } else { 0 }
}

fn unmask(piece: &[u8], mask: Option<[u8; 4]>, turn: usize, listen: &mut impl Listen) {
    let Some(mask) = mask.filter(|mask| *mask != [0; 4]) else {
        listen.payload(piece);
        return;
    };
    let mut plain = [0; UNMASKED];
    let mut turn = turn;
    for part in piece.chunks(UNMASKED) {
        let turned = [
            mask[turn % 4],
            mask[(turn + 1) % 4],
            mask[(turn + 2) % 4],
            mask[(turn + 3) % 4],
        ];
        let plain = &mut plain[..part.len()];
        plain.copy_from_slice(part);
        let (fours, rest) = plain.as_chunks_mut::<4>();
        for four in fours {
            *four = (u32::from_ne_bytes(*four) ^ u32::from_ne_bytes(turned)).to_ne_bytes();
        }
        for (byte, mask) in rest.iter_mut().zip(turned) {
            *byte ^= mask;
        }
        listen.payload(plain);
        turn += part.len();
    }
}
