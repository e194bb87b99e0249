//! One client connection: reading heads and bodies, writing, waiting, closing.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::fault::Close;
use crate::head::{Framing, Head, Parsed};

/// Bytes asked of the socket at once.
const READ_BYTES: usize = 16 * 1024;
/// Longest request head, in bytes.
const MAX_HEAD_BYTES: usize = 256 * 1024;
/// Longest request body, in bytes.
pub(crate) const MAX_BODY_BYTES: u64 = 256 * 1024 * 1024;
/// Longest line of chunked framing, in bytes.
const MAX_LINE_BYTES: usize = 16 * 1024;
/// Bytes of later, pipelined requests read while an answer is being paced.
const MAX_AHEAD_BYTES: usize = 64 * 1024;
/// First allocation for a body: its announced length is not to be trusted with memory.
const FIRST_BODY_BYTES: u64 = 1024 * 1024;
/// How long a closing connection is drained, so that the close does not destroy what the client
/// has not read yet.
const DRAIN: Duration = Duration::from_secs(1);

/// A byte stream over TCP whose socket stays reachable.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    fn socket(&self) -> &TcpStream;
}

impl Transport for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Transport for tokio_rustls::server::TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// The client closed or reset the connection.
#[derive(Debug)]
pub(crate) struct ClientGone;

/// Why no further head could be read.
#[derive(Debug)]
pub(crate) enum NoHead {
    Closed,
    /// Status and reason of the answer to give before closing.
    Bad(u16, &'static str),
}

/// How the reading of a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    Complete,
    /// As many bytes as were asked for have been read.
    Stopped,
    Gone,
    TooLarge,
    Malformed,
}

/// A request body without its framing.
#[derive(Debug, Default)]
pub(crate) struct RequestBody {
    pub(crate) bytes: Bytes,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) complete: bool,
}

/// Where body bytes go while they are read.
#[derive(Debug)]
struct BodySink {
    /// `None`: thrown away.
    kept: Option<BytesMut>,
    read: u64,
    /// Bytes after which reading stops.
    stop_after: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Connection<T> {
    pub(crate) stream: T,
    /// Bytes read but not yet used.
    pub(crate) inbox: BytesMut,
    pub(crate) number: u64,
    /// Keys of the requests so far.
    pub(crate) keys_seen: Vec<String>,
}

impl<T: Transport> Connection<T> {
    pub(crate) fn new(stream: T, number: u64) -> Self {
        let inbox = BytesMut::with_capacity(READ_BYTES);
        Self {
            stream,
            inbox,
            number,
            keys_seen: Vec::new(),
        }
    }

    /// Reads more bytes.
    pub(crate) async fn fill(&mut self) -> Result<(), ClientGone> {
        self.inbox.reserve(READ_BYTES / 2);
        match self.stream.read_buf(&mut self.inbox).await {
            Ok(0) | Err(_) => Err(ClientGone),
            Ok(_) => Ok(()),
        }
    }

    pub(crate) async fn head(&mut self) -> Result<Box<Head>, NoHead> {
        loop {
            if !self.inbox.is_empty() {
                match Head::parse(&self.inbox) {
                    Parsed::Head(head, length) => {
                        self.inbox.advance(length);
                        return Ok(head);
                    }
                    Parsed::Bad(reason) => return Err(NoHead::Bad(400, reason)),
                    Parsed::Partial if self.inbox.len() > MAX_HEAD_BYTES => {
                        return Err(NoHead::Bad(431, "request head too long"));
                    }
                    Parsed::Partial => {}
                }
            }
            self.fill().await.map_err(|ClientGone| NoHead::Closed)?;
        }
    }

    /// Reads a body, or at least its first `stop_after` bytes.
    pub(crate) async fn body(
        &mut self,
        framing: Framing,
        stop_after: Option<u64>,
    ) -> (RequestBody, BodyEnd) {
        let capacity = match framing {
            Framing::Length(length) => length.min(FIRST_BODY_BYTES) as usize,
            Framing::Chunked => 0,
        };
        let kept = Some(BytesMut::with_capacity(capacity));
        let mut sink = BodySink {
            kept,
            read: 0,
            stop_after,
        };
        let mut trailers = Vec::new();
        let end = self.read_body(framing, &mut sink, &mut trailers).await;
        let bytes = sink.kept.take().unwrap_or_default().freeze();
        (
            RequestBody {
                bytes,
                trailers,
                complete: end == BodyEnd::Complete,
            },
            end,
        )
    }

    /// Reads a body and throws it away.
    pub(crate) async fn skip_body(&mut self, framing: Framing) -> BodyEnd {
        let mut sink = BodySink {
            kept: None,
            read: 0,
            stop_after: None,
        };
        self.read_body(framing, &mut sink, &mut Vec::new()).await
    }

    async fn read_body(
        &mut self,
        framing: Framing,
        sink: &mut BodySink,
        trailers: &mut Vec<(String, String)>,
    ) -> BodyEnd {
        let result = match framing {
            Framing::Length(length) => self.take(length, sink).await,
            Framing::Chunked => self.chunks(sink, trailers).await,
        };
        result.err().unwrap_or(BodyEnd::Complete)
    }

    /// Moves `length` bytes from the socket to the sink.
    async fn take(&mut self, length: u64, sink: &mut BodySink) -> Result<(), BodyEnd> {
        if sink.read + length > MAX_BODY_BYTES {
            return Err(BodyEnd::TooLarge);
        }
        let mut left = length;
        loop {
            if sink.stop_after.is_some_and(|stop| sink.read >= stop) {
                return Err(BodyEnd::Stopped);
            }
            if left == 0 {
                return Ok(());
            }
            let ahead = (self.inbox.len() as u64).min(left) as usize;
            let moved = if ahead > 0 {
                if let Some(kept) = &mut sink.kept {
                    kept.extend_from_slice(&self.inbox[..ahead]);
                }
                self.inbox.advance(ahead);
                ahead
            } else if let Some(kept) = &mut sink.kept {
                // Straight into the body: a large body is not copied through the inbox.
                let room = kept.capacity() - kept.len();
                if room < READ_BYTES {
                    kept.reserve(READ_BYTES.max(kept.len()));
                }
                let mut limited = kept.limit(left as usize);
                match self.stream.read_buf(&mut limited).await {
                    Ok(0) | Err(_) => return Err(BodyEnd::Gone),
                    Ok(moved) => moved,
                }
            } else {
                self.fill().await.map_err(|ClientGone| BodyEnd::Gone)?;
                0
            };
            left -= moved as u64;
            sink.read += moved as u64;
        }
    }

    async fn chunks(
        &mut self,
        sink: &mut BodySink,
        trailers: &mut Vec<(String, String)>,
    ) -> Result<(), BodyEnd> {
        loop {
            let line = self.line().await?;
            let text = std::str::from_utf8(&line).map_err(|_| BodyEnd::Malformed)?;
            let size = text.split(';').next().unwrap_or_default().trim();
            if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(BodyEnd::Malformed);
            }
            let size = u64::from_str_radix(size, 16).map_err(|_| BodyEnd::Malformed)?;
            if size == 0 {
                break;
            }
            self.take(size.min(MAX_BODY_BYTES + 1), sink).await?;
            if !self.line().await?.is_empty() {
                return Err(BodyEnd::Malformed);
            }
        }
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(());
            }
            let text = crate::head::text(&line);
            let (name, value) = text.split_once(':').ok_or(BodyEnd::Malformed)?;
            trailers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// A line of chunked framing, without its CRLF.
    async fn line(&mut self) -> Result<BytesMut, BodyEnd> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.inbox) {
                let mut line = self.inbox.split_to(end + 1);
                line.truncate(end);
                if line.last() != Some(&b'\r') {
                    return Err(BodyEnd::Malformed);
                }
                line.truncate(end - 1);
                return Ok(line);
            }
            if self.inbox.len() > MAX_LINE_BYTES {
                return Err(BodyEnd::Malformed);
            }
            self.fill().await.map_err(|ClientGone| BodyEnd::Gone)?;
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), ClientGone> {
        // TLS keeps records back until it is flushed.
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        written.await.map_err(|_: io::Error| ClientGone)
    }

    /// Waits, `None` for ever, and notices meanwhile if the client leaves. An end of stream counts
    /// as leaving: no HTTP client half-closes and then waits.
    pub(crate) async fn pause(&mut self, pause: Option<Duration>) -> Result<(), ClientGone> {
        if pause == Some(Duration::ZERO) {
            return Ok(());
        }
        let deadline = pause.map(|pause| Instant::now() + pause);
        let over = async move {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        loop {
            if self.inbox.len() >= MAX_AHEAD_BYTES {
                over.await;
                return Ok(());
            }
            tokio::select! {
                () = &mut over => return Ok(()),
                filled = self.fill() => filled?,
            }
        }
    }

    /// Ends the connection in good order.
    pub(crate) async fn close(mut self) {
        let _ = self.stream.shutdown().await;
        self.drain().await;
    }

    /// Ends the connection in the middle of something.
    pub(crate) async fn tear(mut self, close: Close) {
        let socket = SockRef::from(self.stream.socket());
        match close {
            Close::Reset => {
                let _ = socket.set_linger(Some(Duration::ZERO));
            }
            Close::Fin => {
                let _ = socket.shutdown(Shutdown::Write);
                self.drain().await;
            }
        }
    }

    /// Reads until the client closes: closing with unread bytes would send a RST, which may
    /// overtake and destroy what was written last.
    async fn drain(&mut self) {
        let read = async {
            loop {
                self.inbox.clear();
                if self.fill().await.is_err() {
                    break;
                }
            }
        };
        let _ = timeout(DRAIN, read).await;
    }
}

/// The pause after an accept that failed for want of file descriptors.
pub(crate) async fn accept_backoff() {
    sleep(Duration::from_millis(10)).await;
}
