//! The load generator: raw keep-alive connections, one request at a time on each, every answer
//! checked.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::traffic::{Workload, requests};

/// An exchange that takes longer is a failure; nothing here waits on purpose.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(10);
/// No phase sends more requests than this per connection, whatever the clock says.
const MAX_REQUESTS: u64 = 1_000_000;
/// Answers are read in pieces of up to this many bytes.
const READ_BYTES: usize = 64 * 1024;
/// Header lines an answer may have.
const MAX_HEADERS: usize = 64;

/// What an answer was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Bytes of the body, without chunk framing.
    pub body_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    Length(u64),
    Chunked,
}

/// Where in a chunked body we are.
#[derive(Debug)]
enum Chunk {
    /// Reading the size line; the number so far, and whether its digits are over.
    Size(u64, bool),
    /// This many bytes of data and the line break after them are still to come.
    Data(u64, u8),
    /// In the trailer section; bytes in the current line.
    Trailer(u64),
    Done,
}

/// Takes the framing off `input`, shows the data in it, and gives its bytes and the bytes used.
fn unchunk(state: &mut Chunk, input: &[u8], mut seen: impl FnMut(&[u8])) -> (u64, usize) {
    let (mut data, mut at) = (0, 0);
    while at < input.len() {
        match state {
            Chunk::Done => break,
            Chunk::Size(size, over) => {
                let byte = input[at];
                at += 1;
                match char::from(byte).to_digit(16) {
                    Some(digit) if !*over => *size = *size << 4 | u64::from(digit),
                    _ if byte == b'\n' => {
                        *state = match *size {
                            0 => Chunk::Trailer(0),
                            size => Chunk::Data(size, 2),
                        };
                    }
                    _ => *over = true,
                }
            }
            Chunk::Data(left, breaks) => {
                let here = (*left).min((input.len() - at) as u64);
                *left -= here;
                data += here;
                seen(&input[at..at + here as usize]);
                at += here as usize;
                if *left == 0 {
                    let here = usize::from(*breaks).min(input.len() - at);
                    *breaks -= here as u8;
                    at += here;
                    if *breaks == 0 {
                        *state = Chunk::Size(0, false);
                    }
                }
            }
            Chunk::Trailer(length) => {
                let byte = input[at];
                at += 1;
                match byte {
                    b'\n' if *length == 0 => *state = Chunk::Done,
                    b'\n' => *length = 0,
                    b'\r' => {}
                    _ => *length += 1,
                }
            }
        }
    }
    (data, at)
}

/// One keep-alive connection and the conversation it carries.
#[derive(Debug)]
pub struct Client {
    address: String,
    stream: TcpStream,
    requests: Vec<Vec<u8>>,
    turn: usize,
    buffer: Vec<u8>,
    /// How often the server closed the connection and it had to be opened again.
    pub reconnects: u64,
}

async fn connect(address: &str) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("cannot connect to {address}: {error}"))?;
    stream
        .set_nodelay(true)
        .map_err(|error| error.to_string())?;
    Ok(stream)
}

impl Client {
    /// Opens a connection for a conversation.
    pub async fn open(
        address: &str,
        workload: Workload,
        conversation: usize,
    ) -> Result<Self, String> {
        Ok(Self {
            address: address.to_owned(),
            stream: connect(address).await?,
            requests: requests(workload, conversation, address),
            turn: 0,
            buffer: vec![0; READ_BYTES],
            reconnects: 0,
        })
    }

    /// Sends the next turn and reads the answer.
    pub async fn exchange(&mut self) -> Result<Answer, String> {
        self.exchange_seeing(|_| ()).await
    }

    /// The same, showing every piece of the body as it comes.
    pub async fn exchange_seeing(&mut self, seen: impl FnMut(&[u8])) -> Result<Answer, String> {
        let turn = self.turn % self.requests.len();
        self.turn += 1;
        match timeout(EXCHANGE_LIMIT, self.turn(turn, seen)).await {
            Ok(Ok((answer, false))) => Ok(answer),
            Ok(Ok((answer, true))) => {
                self.reconnects += 1;
                self.stream = connect(&self.address).await?;
                Ok(answer)
            }
            Ok(Err(error)) => Err(format!("{}: {error}", self.address)),
            Err(_) => Err(format!("{}: no answer within 10 s", self.address)),
        }
    }

    /// The answer, and whether the connection ends with it.
    async fn turn(
        &mut self,
        turn: usize,
        mut seen: impl FnMut(&[u8]),
    ) -> Result<(Answer, bool), String> {
        let text = |error: std::io::Error| error.to_string();
        self.stream
            .write_all(&self.requests[turn])
            .await
            .map_err(text)?;
        let mut filled = 0;
        let (status, framing, close, head) = loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await;
            match read.map_err(text)? {
                0 => return Err("closed before the head of the answer".to_owned()),
                count => filled += count,
            }
            if let Some(head) = parse(&self.buffer[..filled])? {
                break head;
            }
        };
        let mut body_bytes = 0;
        let mut chunk = Chunk::Size(0, false);
        let mut range = head..filled;
        loop {
            let input = &self.buffer[range];
            let used = match framing {
                Framing::Length(_) => {
                    body_bytes += input.len() as u64;
                    seen(input);
                    input.len()
                }
                Framing::Chunked => {
                    let (data, used) = unchunk(&mut chunk, input, &mut seen);
                    body_bytes += data;
                    used
                }
            };
            let done = match framing {
                Framing::Length(length) if body_bytes > length => true,
                Framing::Length(length) => body_bytes == length,
                Framing::Chunked => matches!(chunk, Chunk::Done),
            };
            let surplus = match framing {
                Framing::Length(length) => body_bytes > length,
                Framing::Chunked => used < input.len(),
            };
            if surplus {
                return Err("more bytes than the answer has".to_owned());
            }
            if done {
                return Ok((Answer { status, body_bytes }, close));
            }
            match self.stream.read(&mut self.buffer).await.map_err(text)? {
                0 => return Err(format!("closed after {body_bytes} bytes of the body")),
                count => range = 0..count,
            }
        }
    }
}

/// Status, framing, whether the connection closes, and length of a head; `None`: not all here yet.
fn parse(input: &[u8]) -> Result<Option<(u16, Framing, bool, usize)>, String> {
    let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut lines);
    let length = match response.parse(input) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if input.len() == READ_BYTES => {
            return Err("the head of the answer is too long".to_owned());
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("the answer is not HTTP: {error}")),
    };
    let (mut framing, mut close) = (None, false);
    for line in response.headers.iter() {
        if line.name.eq_ignore_ascii_case("content-length") {
            let number = std::str::from_utf8(line.value).ok();
            framing = number
                .and_then(|number| number.parse().ok())
                .map(Framing::Length);
        } else if line.name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Some(Framing::Chunked);
        } else if line.name.eq_ignore_ascii_case("connection") {
            close = line.value.eq_ignore_ascii_case(b"close");
        }
    }
    let framing = framing.ok_or("the answer has neither a length nor chunks")?;
    Ok(Some((response.code.unwrap_or(0), framing, close, length)))
}

/// Many clients that send as fast as they are answered, or with pauses.
#[derive(Debug)]
pub struct Load {
    clients: Vec<Client>,
    expected: Answer,
    pause: Duration,
}

impl Load {
    /// Opens `connections` connections; every answer has to be `expected`.
    pub async fn open(
        address: &str,
        workload: Workload,
        connections: usize,
        expected: Answer,
    ) -> Result<Self, String> {
        let mut clients = Vec::with_capacity(connections);
        for conversation in 0..connections {
            clients.push(Client::open(address, workload, conversation).await?);
        }
        Ok(Self {
            clients,
            expected,
            pause: Duration::ZERO,
        })
    }

    /// Every client waits so long between an answer and its next request.
    #[allow(dead_code, reason = "the benchmark of requests makes no pauses")]
    pub const fn pausing(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Sends for `length` and waits for every answer: nothing is under way before or after.
    /// Gives the number of answers.
    pub async fn phase(&mut self, length: Duration) -> Result<u64, String> {
        let end = Instant::now() + length;
        let (expected, pause) = (self.expected, self.pause);
        let mut running = JoinSet::new();
        for mut client in self.clients.drain(..) {
            running.spawn(async move {
                let mut answers = 0;
                while answers < MAX_REQUESTS && (answers == 0 || Instant::now() < end) {
                    let answer = client.exchange().await?;
                    if answer != expected {
                        return Err(format!(
                            "{}: expected {expected:?}, got {answer:?}",
                            client.address
                        ));
                    }
                    answers += 1;
                    if !pause.is_zero() {
                        sleep(pause).await;
                    }
                }
                Ok((client, answers))
            });
        }
        let mut total = 0;
        while let Some(joined) = running.join_next().await {
            let (client, answers) = joined.map_err(|error| error.to_string())??;
            self.clients.push(client);
            total += answers;
        }
        Ok(total)
    }

    /// How often a connection had to be opened again.
    pub fn reconnects(&self) -> u64 {
        self.clients.iter().map(|client| client.reconnects).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_counted_wherever_the_input_is_cut() {
        let whole = b"5\r\nhello\r\n1A;x=1\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nt: v\r\n\r\n";
        for size in 1..=whole.len() {
            let mut state = Chunk::Size(0, false);
            let (mut total, mut whole_data) = (0, Vec::new());
            for piece in whole.chunks(size) {
                let seen = |data: &[u8]| whole_data.extend_from_slice(data);
                let (data, used) = unchunk(&mut state, piece, seen);
                assert_eq!(used, piece.len());
                total += data;
            }
            assert_eq!(total, 31, "pieces of {size}");
            assert_eq!(whole_data, b"helloabcdefghijklmnopqrstuvwxyz");
            assert!(matches!(state, Chunk::Done));
        }
    }
}
