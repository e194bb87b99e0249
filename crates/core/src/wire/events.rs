//! Splits a stream of server-sent events into names and data, in any cut, without copying a byte.

use std::ops::ControlFlow;

/// Who receives the parts of events.
pub(super) trait Events {
    /// The next bytes of an event's name: spaces and line end included.
    fn name(&mut self, _piece: &[u8]) {}
    /// The next bytes of an event's data: each line begins after its `data:` and includes its end.
    fn data(&mut self, piece: &[u8]);
    /// An empty line: the event ends, if there was one. Answer whether to go on.
    fn ended(&mut self) -> ControlFlow<()>;
}

/// The place in a stream.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    line: Line,
}

/// Where in a line the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    /// At its beginning.
    #[default]
    Start,
    /// In what may be a field's name, of which so many bytes have matched.
    Field(Field, usize),
    /// In a field's value.
    Value(Field),
    /// In a line that does not matter.
    Skipped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Data,
}

impl Field {
    const fn written(self) -> &'static [u8] {
        match self {
            Self::Name => b"event:",
            Self::Data => b"data:",
        }
    }
}

impl Splitter {
    /// Takes the next frame.
    pub(super) fn feed(&mut self, frame: &[u8], events: &mut impl Events) -> ControlFlow<()> {
        let mut rest = frame;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let (piece, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            self.piece(piece, events);
            rest = after;
            if end.is_some() && std::mem::take(&mut self.line) == Line::Start {
                events.ended()?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Takes bytes of one line; a line end is their last.
    fn piece(&mut self, mut piece: &[u8], events: &mut impl Events) {
        if self.line == Line::Start {
            // `\r` ends a line too; before `\n` it makes an empty one.
            while let Some(rest) = piece.strip_prefix(b"\r") {
                piece = rest;
            }
            self.line = match piece.first() {
                None | Some(b'\n') => return,
                Some(b'd') => Line::Field(Field::Data, 0),
                Some(b'e') => Line::Field(Field::Name, 0),
                Some(_) => Line::Skipped,
            };
        }
        if let Line::Field(field, matched) = self.line {
            let wanted = &field.written()[matched..];
            let length = piece.len().min(wanted.len());
            if piece[..length] != wanted[..length] {
                self.line = Line::Skipped;
                return;
            }
            piece = &piece[length..];
            self.line = if length == wanted.len() {
                Line::Value(field)
            } else {
                Line::Field(field, matched + length)
            };
        }
        match self.line {
            Line::Value(Field::Data) => events.data(piece),
            Line::Value(Field::Name) => events.name(piece),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Heard(String);

    impl Events for Heard {
        fn name(&mut self, piece: &[u8]) {
            self.0
                .push_str(&String::from_utf8_lossy(piece).replace('\n', "!"));
        }

        fn data(&mut self, piece: &[u8]) {
            self.0
                .push_str(&String::from_utf8_lossy(piece).replace('\n', "$"));
        }

        fn ended(&mut self) -> ControlFlow<()> {
            self.0.push('|');
            if self.0.contains("stop") {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        }
    }

    #[test]
    fn names_and_data_come_apart_in_any_cut() {
        let stream = b": hello\n\nevent: a\r\ndata: 1\r\ndata:2\r\n\r\nid: 7\ndat: x\ndate: y\nevents: z\nevent:b\n\n\ndata:stop\n\ndata:more";
        let expected = "| a\r! 1\r$2\r$|b!||stop$|";
        for size in 1..=stream.len() {
            let (mut splitter, mut heard) = (Splitter::default(), Heard::default());
            for piece in stream.chunks(size) {
                if splitter.feed(piece, &mut heard).is_break() {
                    break;
                }
            }
            assert_eq!(heard.0, expected, "{size} bytes at a time");
        }
    }
}
