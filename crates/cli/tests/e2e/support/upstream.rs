//! An upstream on raw sockets whose every byte the test decides, for what the mock does not do.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::DEADLINE;

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub struct RawRequest {
    /// Head with its line ends (Latin-1), without the blank line.
    pub head: String,
    /// Body without its framing.
    pub body: Vec<u8>,
    /// Trailers of a chunked body, as they came.
    pub trailers: String,
}

impl RawRequest {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
}

/// One connection of the proxy to the upstream.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    seen: Arc<Mutex<Vec<RawRequest>>>,
}

/// A listening upstream; `serve` runs on a thread for each connection.
pub struct Upstream {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<RawRequest>>>,
    stop: Arc<AtomicBool>,
}

impl Upstream {
    pub fn start(serve: impl Fn(&mut Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let upstream = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            seen: Arc::default(),
            stop: Arc::default(),
        };
        let (connections, seen) = (upstream.connections.clone(), upstream.seen.clone());
        let stop = upstream.stop.clone();
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                connections.fetch_add(1, Ordering::AcqRel);
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                stream.set_nodelay(true).unwrap();
                let mut connection = Connection {
                    stream,
                    buffer: Vec::new(),
                    seen: seen.clone(),
                };
                let serve = serve.clone();
                std::thread::spawn(move || serve(&mut connection));
            }
        });
        upstream
    }

    /// Answers every request with `answer`.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |connection| {
            while connection.request().is_some() {
                connection.write(&answer);
            }
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    /// The requests read so far.
    pub fn requests(&self) -> Vec<RawRequest> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Connection {
    /// Reads a request; nothing if the other end has closed the connection.
    pub fn request(&mut self) -> Option<RawRequest> {
        let mut request = self.head()?;
        let chunked = request.header("transfer-encoding").is_some();
        if chunked {
            loop {
                let line = self.until(b"\r\n")?;
                let size = usize::from_str_radix(String::from_utf8(line).ok()?.trim(), 16).ok()?;
                if size == 0 {
                    break;
                }
                let piece = self.take(size)?;
                request.body.extend(piece);
                self.until(b"\r\n")?;
            }
            loop {
                let line = String::from_utf8(self.until(b"\r\n")?).ok()?;
                let is_last = line == "\r\n";
                request.trailers.push_str(&line);
                if is_last {
                    break;
                }
            }
        } else if let Some(length) = request.header("content-length") {
            let length = length.parse().ok()?;
            request.body = self.take(length)?;
        }
        self.seen.lock().unwrap().push(request.clone());
        Some(request)
    }

    /// Reads a request's head, no further.
    pub fn head(&mut self) -> Option<RawRequest> {
        let head = self.until(b"\r\n\r\n")?;
        let head: String = head.iter().map(|byte| char::from(*byte)).collect();
        Some(RawRequest {
            head: head.trim_end().to_owned(),
            body: Vec::new(),
            trailers: String::new(),
        })
    }

    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// One chunk of a chunked body.
    pub fn write_chunk(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.write(chunk);
    }

    /// Reads exactly so many bytes.
    pub fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            self.more().ok()?;
        }
        let rest = self.buffer.split_off(count);
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    /// What has come and was not taken.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            let found = self
                .buffer
                .windows(mark.len())
                .position(|part| part == mark);
            if let Some(at) = found {
                return self.take(at + mark.len());
            }
            self.more().ok()?;
        }
    }

    fn more(&mut self) -> io::Result<()> {
        let mut piece = [0; 65_536];
        match self.stream.read(&mut piece)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.buffer.extend_from_slice(&piece[..read]);
                Ok(())
            }
        }
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}
