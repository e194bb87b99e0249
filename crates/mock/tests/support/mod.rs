//! A raw HTTP/1.1 client with deadlines, and the mock most tests start.

#![allow(dead_code, reason = "every test file uses its own part")]
#![allow(unreachable_pub, reason = "the module is compiled into each test file")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use api_key_lb_mock::{Account, Builder, Mock};
use serde_json::Value;

/// No test waits longer than this for anything.
pub const DEADLINE: Duration = Duration::from_secs(10);
pub const ONE: &str = "sk-mock-one-1111";
pub const TWO: &str = "sk-mock-two-2222";

pub fn builder() -> Builder {
    Mock::builder()
        .account(Account::new("org-one").key(ONE))
        .account(Account::new("org-two").key(TWO))
        .record(1000)
}

pub fn mock() -> Mock {
    builder().start().unwrap()
}

/// How a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Complete,
    /// End of stream in the middle.
    Cut,
    Reset,
    /// Nothing came for as long as the read timeout.
    Silence,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub chunks: usize,
    pub end: End,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The (event name, data) pairs of a stream.
    pub fn events(&self) -> Vec<(String, String)> {
        assert!(
            self.text().ends_with("\n\n") || self.end != End::Complete,
            "{}",
            self.text()
        );
        let complete = self.text();
        let mut events: Vec<&str> = complete.split("\n\n").collect();
        events.pop();
        events
            .iter()
            .map(|event| {
                let mut name = String::new();
                let mut data = String::new();
                for line in event.lines() {
                    if let Some(value) = line.strip_prefix("event: ") {
                        name = value.to_owned();
                    } else if let Some(value) = line.strip_prefix("data: ") {
                        data = value.to_owned();
                    } else {
                        panic!("odd line {line:?}");
                    }
                }
                (name, data)
            })
            .collect()
    }

    /// The JSON of every event, `[DONE]` left out.
    pub fn event_json(&self) -> Vec<Value> {
        self.events()
            .iter()
            .filter(|(_, data)| data != "[DONE]")
            .map(|(_, data)| serde_json::from_str(data).unwrap())
            .collect()
    }
}

pub struct Client<S = TcpStream> {
    pub stream: S,
    buffer: Vec<u8>,
}

impl Client {
    pub fn connect(mock: &Mock) -> Self {
        let stream = TcpStream::connect(mock.addr()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self::over(stream)
    }

    pub fn patience(&self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).unwrap();
    }

    pub fn leave(self) {
        self.stream.shutdown(Shutdown::Both).unwrap();
    }
}

impl<S: Read + Write> Client<S> {
    pub fn over(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub fn raw(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
        self.stream.flush().unwrap();
    }

    pub fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut out = format!("{method} {target} HTTP/1.1\r\nHost: mock\r\n").into_bytes();
        for (name, value) in headers {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if !body.is_empty() || method == "POST" {
            out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
        self.stream.write_all(&out).unwrap();
        self.stream.flush().unwrap();
    }

    /// Sends a JSON body with a bearer key.
    pub fn post(&mut self, key: &str, target: &str, body: &Value) {
        let bearer = format!("Bearer {key}");
        let body = body.to_string();
        self.send(
            "POST",
            target,
            &[("Authorization", &bearer)],
            body.as_bytes(),
        );
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
                io::ErrorKind::UnexpectedEof => End::Cut,
                _ => End::Reset,
            }),
        }
    }

    fn until(&mut self, mark: &[u8]) -> Result<Vec<u8>, End> {
        loop {
            if let Some(at) = self
                .buffer
                .windows(mark.len())
                .position(|part| part == mark)
            {
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

    /// Reads one response; how far it came if it did not end well.
    pub fn read(&mut self) -> Reply {
        self.read_for("GET")
    }

    /// Reads the response to a request with this method.
    pub fn read_for(&mut self, method: &str) -> Reply {
        let mut reply = Reply {
            status: 0,
            headers: Vec::new(),
            body: Vec::new(),
            chunks: 0,
            end: End::Complete,
        };
        if let Err(end) = self.read_into(&mut reply, method) {
            reply.end = end;
        }
        reply
    }

    fn read_into(&mut self, reply: &mut Reply, method: &str) -> Result<(), End> {
        let head = String::from_utf8(self.until(b"\r\n\r\n")?).unwrap();
        let mut lines = head.lines();
        reply.status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            reply.headers.push((name.to_owned(), value.to_owned()));
        }
        if method == "HEAD" || reply.status == 100 {
            return Ok(());
        }
        if reply.header("transfer-encoding") == Some("chunked") {
            loop {
                let line = String::from_utf8(self.until(b"\r\n")?).unwrap();
                let size = usize::from_str_radix(line.trim(), 16).unwrap();
                self.take(size, &mut reply.body)?;
                self.until(b"\r\n")?;
                if size == 0 {
                    return Ok(());
                }
                reply.chunks += 1;
            }
        }
        match reply.header("content-length") {
            Some(length) => {
                let length = length.parse().unwrap();
                self.take(length, &mut reply.body)
            }
            None => loop {
                reply.body.append(&mut self.buffer);
                match self.more() {
                    Ok(()) => {}
                    Err(End::Cut) => return Ok(()),
                    Err(end) => return Err(end),
                }
            },
        }
    }
}

/// One POST on its own connection.
pub fn post(mock: &Mock, key: &str, target: &str, body: &Value) -> Reply {
    let mut client = Client::connect(mock);
    client.post(key, target, body);
    client.read()
}

/// One GET, without a key, on its own connection.
pub fn get(mock: &Mock, target: &str) -> Reply {
    let mut client = Client::connect(mock);
    client.send("GET", target, &[], b"");
    client.read()
}

pub fn chat(text: &str) -> Value {
    serde_json::json!({"model": "m", "messages": [{"role": "user", "content": text}]})
}

pub fn chat_stream(text: &str) -> Value {
    let mut body = chat(text);
    body["stream"] = true.into();
    body
}

pub const CHAT: &str = "/v1/chat/completions";
pub const MESSAGES: &str = "/v1/messages";
