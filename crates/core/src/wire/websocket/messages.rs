//! Puts frames together to messages, and takes their compression off (RFC 7692).

use flate2::{Decompress, FlushDecompress};

use super::frames::{Frames, Head, Listen, Opcode};

/// Most that is handed on at once, in bytes.
const PIECE: usize = 8 * 1024;
/// Most that one message may be decompressed to, in bytes. A longer one is a bomb, and nothing after
/// it can be read, since it may refer to it.
const DECODED_MOST: usize = 32 << 20;
/// What every compressed message ends with, and senders leave out.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Longest payload of a control frame, in bytes.
const CONTROL: usize = 125;

/// Who receives messages.
pub(super) trait Hear {
    /// A message begins.
    fn begins(&mut self, text: bool);
    /// The next bytes of it. Answer whether more is wanted.
    fn piece(&mut self, plain: &[u8]) -> bool;
    /// It ends.
    fn ends(&mut self);
    /// The other end says that it is over: the code, and why.
    fn closes(&mut self, code: Option<u16>, reason: &[u8]);
    /// A ping or pong.
    fn lives(&mut self) {}
    /// A message of which nothing can be read.
    fn passes(&mut self);
}

/// How the messages of one direction are coded.
#[derive(Debug)]
pub(super) enum Deflated {
    Never,
    /// Whether each begins anew.
    May {
        anew: bool,
    },
    /// In a way that is not known, or there was a mistake.
    Unreadable,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Messages {
    frames: Frames,
    state: State,
}

#[derive(Debug)]
struct State {
    deflated: Deflated,
    inflate: Option<Box<Inflate>>,
    message: Message,
    control: Option<(Opcode, Vec<u8>)>,
    last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    None,
    /// Whether it is compressed, and whether more of it is wanted.
    Some {
        compressed: bool,
        wanted: bool,
    },
    /// Of which nothing can be read.
    Unread,
}

struct Inflate {
    machine: Decompress,
    output: [u8; PIECE],
    /// Bytes that the message may still come to.
    left: usize,
}

impl std::fmt::Debug for Inflate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflate").finish_non_exhaustive()
    }
}

impl Messages {
    pub(super) const fn new(deflated: Deflated) -> Self {
        Self {
            frames: Frames::new(),
            state: State {
                deflated,
                inflate: None,
                message: Message::None,
                control: None,
                last: true,
            },
        }
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8], hear: &mut impl Hear) {
        let mut listener = Listener {
            state: &mut self.state,
            hear,
        };
        self.frames.feed(bytes, &mut listener);
    }

    /// Whether a message has just ended, or none has begun.
    pub(super) fn is_between(&self) -> bool {
        self.frames.is_between() && self.state.message == Message::None
    }
}

struct Listener<'l, H> {
    state: &'l mut State,
    hear: &'l mut H,
}

impl<H: Hear> Listen for Listener<'_, H> {
    fn begins(&mut self, head: Head) -> bool {
        let state = &mut *self.state;
        if head.opcode.is_control() {
            state.control = Some((head.opcode, Vec::new()));
            return true;
        }
        state.last = head.last;
        if head.opcode != Opcode::Continuation {
            let readable = match state.deflated {
                Deflated::Never => !head.compressed,
                Deflated::May { .. } => true,
                Deflated::Unreadable => false,
            };
            state.message = if readable {
                self.hear.begins(head.opcode == Opcode::Text);
                Message::Some {
                    compressed: head.compressed,
                    wanted: true,
                }
            } else {
                self.hear.passes();
                Message::Unread
            };
        }
        match state.message {
            // The dictionary of what follows is in it.
            Message::Some { compressed, wanted } => compressed || wanted,
            Message::None | Message::Unread => false,
        }
    }

    fn payload(&mut self, piece: &[u8]) {
        let state = &mut *self.state;
        if let Some((_, kept)) = &mut state.control {
            let room = CONTROL - kept.len();
            kept.extend_from_slice(&piece[..piece.len().min(room)]);
            return;
        }
        let Message::Some { compressed, wanted } = &mut state.message else {
            return;
        };
        if !*compressed {
            *wanted = *wanted && self.hear.piece(piece);
            return;
        }
        let inflate = state.inflate.get_or_insert_with(Inflate::new);
        if !inflate.feed(piece, wanted, self.hear) {
            state.deflated = Deflated::Unreadable;
            state.message = Message::Unread;
            state.inflate = None;
            self.hear.passes();
        }
    }

    fn ends(&mut self) {
        if let Some((opcode, payload)) = self.state.control.take() {
            if opcode == Opcode::Close {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                self.hear.closes(code, payload.get(2..).unwrap_or_default());
            } else {
                self.hear.lives();
            }
            return;
        }
        if !self.state.last {
            return;
        }
        if let Message::Some {
            compressed: true, ..
        } = self.state.message
        {
            self.payload(&TAIL);
            if let Some(inflate) = &mut self.state.inflate {
                inflate.left = DECODED_MOST;
                if matches!(self.state.deflated, Deflated::May { anew: true }) {
                    inflate.machine.reset(false);
                }
            }
        }
        if let Message::Some { .. } = std::mem::replace(&mut self.state.message, Message::None) {
            self.hear.ends();
        }
    }
}

impl Inflate {
    fn new() -> Box<Self> {
        Box::new(Self {
            machine: Decompress::new(false),
            output: [0; PIECE],
            left: DECODED_MOST,
        })
    }

    /// Whether it can still be read.
    fn feed(&mut self, mut input: &[u8], wanted: &mut bool, hear: &mut impl Hear) -> bool {
        loop {
            let (read, written) = (self.machine.total_in(), self.machine.total_out());
            let done = self
                .machine
                .decompress(input, &mut self.output, FlushDecompress::Sync);
            // `BufError` is no mistake: there is nothing to do.
            let ended = match done {
                Ok(status) => status == flate2::Status::StreamEnd,
                Err(_) => return false,
            };
            let read = usize::try_from(self.machine.total_in() - read).unwrap_or(input.len());
            let written = usize::try_from(self.machine.total_out() - written).unwrap_or(PIECE);
            input = &input[read.min(input.len())..];
            let Some(left) = self.left.checked_sub(written) else {
                return false;
            };
            self.left = left;
            if *wanted && written > 0 {
                *wanted = hear.piece(&self.output[..written.min(PIECE)]);
            }
            if ended {
                // A sender may end each message for good; what follows begins anew.
                self.machine.reset(false);
                if read == 0 && written == 0 {
                    return false;
                }
                if input.is_empty() {
                    return true;
                }
                continue;
            }
            if input.is_empty() && written < PIECE {
                return true;
            }
            if read == 0 && written == 0 {
                return false;
            }
        }
    }
}
