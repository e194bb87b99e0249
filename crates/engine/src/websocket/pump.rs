//! Moves the bytes of one direction of a tunnel, and knows how long both have been silent. What
//! cannot be handed on is not read: a slow reader slows the other end down.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Most bytes that are read at once. One buffer for a worker's tunnels: of its own, each would hold
/// more than everything else of it while it is idle.
pub(super) const READ: usize = 64 << 10;
/// How long the other side may be silent once one has ended: what was on its way, and a close.
const HALF_CLOSED: Duration = Duration::from_secs(5);
/// How long one that was told the end may take to leave. A socket that is closed before its bytes
/// were read takes back what was written last.
const LINGER: Duration = Duration::from_secs(1);
/// How long a close may take to be written.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// Reads once; `with` gets what has come, which is nothing at the end.
fn poll_read<T>(
    from: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    with: impl FnOnce(&mut Context<'_>, &[u8]) -> T,
) -> Poll<io::Result<T>> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(from).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(with(cx, buffer.filled())))
    })
}

/// What comes next; nothing at the end.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    poll_fn(|cx| poll_read(from, cx, |_, bytes| bytes.to_vec())).await
}

/// How one direction has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing more comes, and the other end knows.
    Whole,
    /// The sender has gone.
    Sender,
    /// The receiver has gone.
    Receiver,
}

/// How long it has been silent.
pub(super) struct Pace {
    idle: Cell<Duration>,
    half_closed: Cell<bool>,
    last: Cell<Instant>,
    /// Writes that have begun and not ended.
    writing: Cell<u8>,
    pub(super) moved: Notify,
    nudged: Notify,
}

impl Pace {
    pub(super) fn new(idle: Duration) -> Self {
        Self {
            idle: Cell::new(idle),
            half_closed: Cell::new(false),
            last: Cell::new(Instant::now()),
            writing: Cell::new(0),
            moved: Notify::new(),
            nudged: Notify::new(),
        }
    }

    /// One side has ended; the other one has little time to.
    pub(super) fn half_closed(&self) {
        self.moves();
        self.half_closed.set(true);
        self.idle.set(self.idle.get().min(HALF_CLOSED));
        self.nudged.notify_one();
    }

    /// Whether one side has ended.
    pub(super) const fn is_half_closed(&self) -> bool {
        self.half_closed.get()
    }

    /// Whether nothing is on its way.
    pub(super) const fn is_still(&self) -> bool {
        self.writing.get() == 0
    }

    /// Waits until it has been silent for too long.
    pub(super) async fn over(&self) {
        loop {
            let until = self.last.get() + self.idle.get();
            if until <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(until) => {}
                () = self.nudged.notified() => {}
            }
        }
    }

    fn moves(&self) {
        self.last.set(Instant::now());
    }
}

/// Carries one direction to its end; `rest` goes first, and has been heard.
pub(super) async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    pace: &Pace,
    mut rest: Vec<u8>,
    mut heard: impl FnMut(&[u8]),
) -> Ended {
    // What was written before may not be on its way.
    if to.flush().await.is_err() {
        return Ended::Receiver;
    }
    loop {
        if !rest.is_empty() {
            pace.writing.set(pace.writing.get() + 1);
            let written = write_all(to, &rest, pace).await;
            pace.writing.set(pace.writing.get() - 1);
            if written.is_err() {
                return Ended::Receiver;
            }
            rest = Vec::new();
            pace.moved.notify_waiters();
        }
        let passed = poll_fn(|cx| {
            poll_read(from, cx, |cx, bytes| {
                // Before it is sent: neither end can have answered what was not heard.
                heard(bytes);
                let written = if bytes.is_empty() {
                    Ok(0)
                } else {
                    pass(to, cx, bytes)
                };
                if let Ok(written) = written {
                    rest.extend_from_slice(&bytes[written..]);
                }
                (bytes.len(), written)
            })
        });
        let (count, written) = match passed.await {
            Err(_) => return Ended::Sender,
            Ok((_, Err(_))) => return Ended::Receiver,
            Ok((count, Ok(written))) => (count, written),
        };
        pace.moves();
        if count == 0 {
            return match to.shutdown().await {
                Ok(()) => Ended::Whole,
                Err(_) => Ended::Receiver,
            };
        }
        if written == count {
            pace.writing.set(pace.writing.get() + 1);
            let flushed = to.flush().await;
            pace.writing.set(pace.writing.get() - 1);
            if flushed.is_err() {
                return Ended::Receiver;
            }
            pace.moved.notify_waiters();
        }
    }
}

/// Writes what goes at once.
fn pass(
    to: &mut (impl AsyncWrite + Unpin),
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> io::Result<usize> {
    match Pin::new(to).poll_write(cx, bytes) {
        Poll::Ready(Ok(0)) => Err(io::ErrorKind::WriteZero.into()),
        Poll::Ready(written) => written,
        Poll::Pending => Ok(0),
    }
}

async fn write_all(
    to: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
    pace: &Pace,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = to.write(bytes).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[written..];
        pace.moves();
    }
    to.flush().await
}

/// Tells one end that it is over.
pub(super) async fn tell(to: &mut (impl AsyncWrite + Unpin), close: &[u8]) {
    let writing = async {
        to.write_all(close).await?;
        to.flush().await
    };
    let _ = tokio::time::timeout(CLOSE_WITHIN, writing).await;
}

/// Has one end read what was written last, and leave.
pub(super) async fn linger(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) {
    let leaving = async {
        let _ = to.shutdown().await;
        loop {
            let came = poll_fn(|cx| poll_read(from, cx, |_, bytes| bytes.len())).await;
            if !came.is_ok_and(|count| count > 0) {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, leaving).await;
}
