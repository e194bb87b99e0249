//! A WebSocket client of our own, which shares nothing with the program: frames are made and read
//! byte by byte.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use serde_json::Value;

use super::{Client, DEADLINE, Reply};

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;

/// The example of RFC 6455, and what accepts it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What a handshake consists of.
pub const HANDSHAKE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", KEY),
];

/// Asks for a WebSocket, and answers with the connection and the head of the answer.
pub fn shake(port: u16, target: &str, headers: &[(&str, &str)]) -> (Client, Reply) {
    let mut client = Client::connect(port);
    let headers: Vec<_> = HANDSHAKE.iter().chain(headers).copied().collect();
    client.send("GET", target, &headers, b"");
    let reply = client.head();
    (client, reply)
}

/// One that is open.
pub struct WebSocket {
    pub reply: Reply,
    stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The `type` of a message.
    #[track_caller]
    pub fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().to_owned()
    }
}

/// A frame as a client sends it.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x5a, 0x01, 0xc3, 0x77];
    let mut frame = framed(0x80 | opcode, 0x80, payload.len());
    frame.extend_from_slice(&mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

/// A frame as a server sends it; `first` is its first byte.
pub fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = framed(first, 0, payload.len());
    frame.extend_from_slice(payload);
    frame
}

fn framed(first: u8, masked: u8, length: usize) -> Vec<u8> {
    let mut frame = vec![first];
    match length {
        0..=125 => frame.push(masked | length as u8),
        126..=0xffff => {
            frame.push(masked | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            frame.push(masked | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame
}

impl WebSocket {
    #[track_caller]
    pub fn open(port: u16, target: &str, headers: &[(&str, &str)]) -> Self {
        let (client, reply) = shake(port, target, headers);
        assert_eq!(reply.status, 101, "{reply:?}");
        assert_eq!(reply.header("sec-websocket-accept"), Some(ACCEPT));
        let (stream, buffer) = client.into_parts();
        Self {
            reply,
            stream,
            buffer,
        }
    }

    pub fn send(&mut self, payload: impl AsRef<[u8]>) {
        self.raw(frame(TEXT, payload.as_ref()));
    }

    pub fn raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// The next frame; nothing at the end of the connection.
    #[track_caller]
    pub fn next(&mut self) -> Option<Frame> {
        let head = self.take(2)?;
        assert_eq!(head[1] & 0x80, 0, "a server does not mask");
        let length = match head[1] & 0x7f {
            126 => {
                let length = self.take(2)?;
                usize::from(u16::from_be_bytes([length[0], length[1]]))
            }
            127 => {
                let length = self.take(8)?;
                length
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
            }
            short => usize::from(short),
        };
        Some(Frame {
            opcode: head[0] & 0x0f,
            payload: self.take(length)?,
        })
    }

    #[track_caller]
    pub fn message(&mut self) -> Frame {
        self.next().expect("the connection has ended")
    }

    /// The messages up to and including the first one of one of these kinds.
    #[track_caller]
    pub fn until(&mut self, kinds: &[&str]) -> Vec<Frame> {
        let mut messages = Vec::new();
        loop {
            let message = self.message();
            let is_last = kinds.contains(&message.kind().as_str());
            messages.push(message);
            if is_last {
                return messages;
            }
        }
    }

    /// Reads exactly so many bytes; nothing if the connection ends before.
    pub fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            let mut piece = [0; 65_536];
            match self.stream.read(&mut piece) {
                Ok(0) => return None,
                Ok(read) => self.buffer.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("nothing came for {DEADLINE:?}")
                }
                Err(_) => return None,
            }
        }
        let rest = self.buffer.split_off(count);
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    pub fn try_clone(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// Leaves without a word.
    pub fn leave(self) {
        self.stream.shutdown(Shutdown::Both).unwrap();
    }

    /// Says that nothing more comes.
    pub fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}
