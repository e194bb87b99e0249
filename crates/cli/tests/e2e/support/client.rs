//! A raw HTTP/1.1 client with deadlines: it sends any bytes and says how an answer ended.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use serde_json::Value;

use super::DEADLINE;

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Complete,
    /// End of the connection in the middle.
    Cut,
    Reset,
    /// Nothing came for as long as the deadline.
    Silence,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// In wire order; names in lower case, values as they came (Latin-1).
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    pub end: End,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// A header that must be a number.
    #[track_caller]
    pub fn number(&self, name: &str) -> u64 {
        let value = self.header(name);
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("{name}: {value:?} in {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The message of an error in any dialect.
    #[track_caller]
    pub fn message(&self) -> String {
        let json = self.json();
        json["error"]["message"]
            .as_str()
            .unwrap_or_else(|| panic!("no error.message: {json}"))
            .to_owned()
    }

    #[track_caller]
    pub fn is(&self, status: u16) -> &Self {
        assert_eq!(
            (self.status, self.end),
            (status, End::Complete),
            "{:?} {}",
            self.headers,
            self.text()
        );
        self
    }

    /// An answer of the proxy's own: status and `x-lb-error`.
    #[track_caller]
    pub fn is_own(&self, status: u16, code: &str) -> &Self {
        self.is(status);
        assert_eq!(self.header("x-lb-error"), Some(code), "{}", self.text());
        self
    }

    /// The data of the server-sent events.
    pub fn events(&self) -> Vec<String> {
        self.text()
            .split("\n\n")
            .filter_map(|event| {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                data.map(str::to_owned)
            })
            .collect()
    }
}

pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub fn connect(port: u16) -> Self {
        Self::open(port).unwrap()
    }

    /// The same where perhaps nobody listens.
    pub fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    pub fn raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends what may find the other end closed already.
    pub fn try_raw(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    pub fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut out = format!("{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n").into_bytes();
        for (name, value) in headers {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if !body.is_empty() || method == "POST" {
            out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
        self.try_raw(&out);
    }

    /// The connection, and what was read of it and not used.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.buffer)
    }

    /// Leaves without a word.
    pub fn leave(self) {
        self.stream.shutdown(Shutdown::Both).unwrap();
    }

    fn more(&mut self) -> Result<(), End> {
        let mut piece = [0; 65_536];
        match self.stream.read(&mut piece) {
            Ok(0) => Err(End::Cut),
            Ok(read) => {
                self.buffer.extend_from_slice(&piece[..read]);
                Ok(())
            }
            Err(error) => Err(match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => End::Silence,
                _ => End::Reset,
            }),
        }
    }

    fn until(&mut self, mark: &[u8]) -> Result<Vec<u8>, End> {
        loop {
            let found = self
                .buffer
                .windows(mark.len())
                .position(|part| part == mark);
            if let Some(at) = found {
                let rest = self.buffer.split_off(at + mark.len());
                return Ok(std::mem::replace(&mut self.buffer, rest));
            }
            self.more()?;
        }
    }

    fn take(&mut self, length: usize, into: &mut Vec<u8>) -> Result<(), End> {
        let mut left = length;
        loop {
            let now = left.min(self.buffer.len());
            into.extend(self.buffer.drain(..now));
            left -= now;
            if left == 0 {
                return Ok(());
            }
            self.more()?;
        }
    }

    /// Reads an answer's head, no further.
    pub fn head(&mut self) -> Reply {
        let mut reply = Reply {
            status: 0,
            headers: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
            end: End::Complete,
        };
        match self.until(b"\r\n\r\n") {
            Ok(head) => {
                let head: String = head.iter().map(|byte| char::from(*byte)).collect();
                let (line, rest) = head.split_once("\r\n").unwrap();
                reply.status = line.split(' ').nth(1).unwrap().parse().unwrap();
                reply.headers = lines(rest);
            }
            Err(end) => reply.end = end,
        }
        reply
    }

    /// Reads the next chunk of a chunked body; empty at its end.
    pub fn chunk(&mut self) -> Result<Vec<u8>, End> {
        let line = String::from_utf8(self.until(b"\r\n")?).unwrap();
        let size = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut chunk = Vec::new();
        if size > 0 {
            self.take(size, &mut chunk)?;
            self.until(b"\r\n")?;
        }
        Ok(chunk)
    }

    pub fn read(&mut self) -> Reply {
        self.read_for("GET")
    }

    /// Reads the answer to a request with this method.
    pub fn read_for(&mut self, method: &str) -> Reply {
        let mut reply = self.head();
        if reply.end == End::Complete
            && let Err(end) = self.body_into(&mut reply, method)
        {
            reply.end = end;
        }
        reply
    }

    fn body_into(&mut self, reply: &mut Reply, method: &str) -> Result<(), End> {
        if method == "HEAD" || matches!(reply.status, 100 | 204 | 304) {
            return Ok(());
        }
        if reply.header("transfer-encoding") == Some("chunked") {
            loop {
                let chunk = self.chunk()?;
                if chunk.is_empty() {
                    break;
                }
                reply.body.extend(chunk);
            }
            let mut trailers = String::new();
            loop {
                let line = String::from_utf8(self.until(b"\r\n")?).unwrap();
                if line == "\r\n" {
                    reply.trailers = lines(&trailers);
                    return Ok(());
                }
                trailers.push_str(&line);
            }
        }
        if let Some(length) = reply.header("content-length") {
            let length = length.parse().unwrap();
            return self.take(length, &mut reply.body);
        }
        loop {
            reply.body.append(&mut self.buffer);
            match self.more() {
                Ok(()) => {}
                Err(End::Cut) => return Ok(()),
                Err(end) => return Err(end),
            }
        }
    }
}

fn lines(text: &str) -> Vec<(String, String)> {
    text.split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| {
            let value = value.strip_prefix(' ').unwrap_or(value);
            (name.to_ascii_lowercase(), value.to_owned())
        })
        .collect()
}
