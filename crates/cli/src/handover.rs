//! One process hands its listening sockets to the next, so that no connection is refused in between.
//!
//! The old process starts the new one with a socket as its standard input. Over that go the listening
//! sockets with a letter, and back come the words of the new one: that it can serve, or why not.
//! Then the old one stops accepting and tells what it knows, line by line; an empty line tells the new
//! one to accept. What the old one learns until its last answer has ended follows. The channel stays
//! open while both live; its end tells the new one that there is no more to come, and the old one that
//! the new one has ended.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api_key_lb_control::runtime_file::Supervisor;
use api_key_lb_core::policy::memory::Memory;
use api_key_lb_engine::State;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;

use crate::notify::PERSONAL;

/// Set on the process that takes over.
pub(crate) const FLAG: &str = "--successor";
/// Listening sockets handed over at most: one per address.
const MOST_SOCKETS: usize = 64;
/// How long the old process may be silent before the new one accepts unasked.
const GO_DEADLINE: Duration = Duration::from_secs(5);
/// How long a process may go on after the last that was heard of it: it has only to leave `main`.
const END_DEADLINE: Duration = Duration::from_secs(5);
/// How often one looks whether it has ended.
const POLL: Duration = Duration::from_millis(5);
/// Longest letter or word, in bytes.
const MOST_BYTES: usize = 64 << 10;
/// Longest line of what the old process knows, in bytes: 64 rows, of some kilobytes at the most.
const MOST_OF_A_LINE: usize = 8 << 20;

/// What the old process tells the new one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Letter {
    /// Which start of the program it is.
    pub(crate) instance: String,
    /// What supervises both.
    pub(crate) supervisor: Option<Supervisor>,
    /// Whether the old one stays until the new one ends, for whoever watches the old one only: a
    /// terminal, a container.
    pub(crate) stays: bool,
    /// Whether systemd has opened the sockets: then they say where to listen, not the configuration.
    #[serde(default)]
    pub(crate) activated: bool,
    /// The store in which everything is that the old one knew before the new one was started.
    #[serde(default)]
    pub(crate) store: Option<String>,
}

/// What the new process tells the old one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// It has not read what the old one knows, which has to tell it everything.
    Uninformed,
    /// It serves as soon as it is told to.
    Ready,
    /// It cannot; why.
    Failed(String),
    /// It ends: what still runs in the old one shall not take much longer.
    Stopping,
}

/// How this process was started, and so the next one is.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    program: PathBuf,
    args: Vec<OsString>,
    /// See [`Letter::stays`].
    pub(crate) stays: bool,
    /// See [`Letter::activated`].
    pub(crate) activated: bool,
}

impl Recipe {
    /// As it was. To be called early: once another program has taken the place of this one, the
    /// system no longer tells where this one was.
    pub(crate) fn of_process(stays: bool, activated: bool) -> io::Result<Self> {
        let args = std::env::args_os().skip(1);
        Ok(Self {
            program: std::env::current_exe()?,
            args: args.filter(|arg| arg != FLAG).collect(),
            stays,
            activated,
        })
    }

    /// Starts the next process and hands it the sockets. Needs a runtime.
    pub(crate) fn hand_over(&self, sockets: &[TcpListener], letter: &Letter) -> io::Result<Heir> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg(FLAG);
        for name in PERSONAL {
            command.env_remove(name);
        }
        if self.stays {
            // What is typed at a terminal reaches the old one, which passes it on: both at once
            // would count twice.
            command.process_group(0);
        }
        let child = command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("cannot run {}: {error}", self.program.display()),
                )
            })?;
        // Gives up its end: otherwise the new process would be heard of even after its end.
        drop(command);
        let mut heir = Heir {
            child,
            ears: None,
            courier: None,
            heard: Vec::new(),
            is_uninformed: false,
        };
        let sent = send(&ours, sockets, letter)
            .and_then(|()| ours.set_nonblocking(true))
            .and_then(|()| tokio::net::UnixStream::from_std(ours));
        match sent {
            Ok(channel) => {
                let (ears, channel) = channel.into_split();
                heir.ears = Some(ears);
                heir.courier = Some(Courier {
                    channel,
                    outbox: VecDeque::new(),
                });
                Ok(heir)
            }
            Err(error) => {
                heir.end();
                Err(error)
            }
        }
    }
}

fn send(channel: &UnixStream, sockets: &[TcpListener], letter: &Letter) -> io::Result<()> {
    let mut text = serde_json::to_vec(letter)?;
    text.push(b'\n');
    let descriptors: Vec<_> = sockets.iter().map(|socket| socket.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("there are too many listening sockets"));
    }
    let sent = rustix::net::sendmsg(
        channel,
        &[IoSlice::new(&text)],
        &mut control,
        SendFlags::empty(),
    )?;
    let mut channel = channel;
    channel.write_all(text.get(sent..).unwrap_or_default())
}

/// The process that takes over, as the old one sees it.
#[derive(Debug)]
pub(crate) struct Heir {
    child: Child,
    ears: Option<OwnedReadHalf>,
    /// What brings it what it has to know; to be taken.
    pub(crate) courier: Option<Courier>,
    heard: Vec<u8>,
    /// Whether it has said that it must be told everything.
    pub(crate) is_uninformed: bool,
}

impl Heir {
    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its next word; `None` once it has ended. Nothing is lost if this is given up.
    pub(crate) async fn hear(&mut self) -> Option<Word> {
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                match serde_json::from_slice(&line) {
                    Ok(Word::Uninformed) => self.is_uninformed = true,
                    Ok(word) => return Some(word),
                    // A word of a later version.
                    Err(_) => continue,
                }
            }
            let ears = self.ears.as_mut()?;
            match ears.read_buf(&mut self.heard).await {
                Ok(1..) if self.heard.len() <= MOST_BYTES => {}
                _ => self.ears = None,
            }
        }
    }

    /// Passes a signal on.
    pub(crate) fn signal(&self, number: u8) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let signal = Signal::from_named_raw(i32::from(number));
        if let (Some(pid), Some(signal)) = (pid, signal) {
            // It may have ended meanwhile.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Ends it at once.
    pub(crate) fn end(&mut self) {
        // Either it does not run any more, or it ends.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How it ended; waits for that, but not for ever: one that only no longer speaks is ended.
    pub(crate) fn ended(&mut self) -> io::Result<ExitStatus> {
        let deadline = Instant::now() + END_DEADLINE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
        self.child.kill()?;
        self.child.wait()
    }
}

/// What brings the next process what it has to know. That hears the end of it.
#[derive(Debug)]
pub(crate) struct Courier {
    channel: OwnedWriteHalf,
    /// What is on its way: at most one line.
    outbox: VecDeque<u8>,
}

impl Courier {
    /// Brings everything that `next` has to tell, until that is nothing. If this is given up, it goes on
    /// the next time.
    ///
    /// # Errors
    /// If the other process has ended, which is heard of otherwise.
    pub(crate) async fn bring(&mut self, mut next: impl FnMut() -> Memory) -> io::Result<()> {
        loop {
            self.channel.write_all_buf(&mut self.outbox).await?;
            let rows = next();
            if rows.is_empty() {
                return Ok(());
            }
            serde_json::to_writer(&mut self.outbox, &rows)?;
            self.outbox.push_back(b'\n');
        }
    }

    /// Tells it to accept, since this process accepts no more.
    pub(crate) async fn go(&mut self) {
        self.outbox.push_back(b'\n');
        // If it has ended, that is heard of otherwise.
        let _ = self.channel.write_all_buf(&mut self.outbox).await;
    }
}

/// The process before this one, and what it has handed over.
#[derive(Debug)]
pub(crate) struct Predecessor {
    channel: UnixStream,
    lines: Option<Lines>,
    over: Option<oneshot::Receiver<()>>,
    /// What it told.
    pub(crate) letter: Letter,
    /// Its listening sockets; to be taken.
    pub(crate) sockets: Vec<TcpListener>,
}

impl Predecessor {
    /// Receives everything from the standard input, which then leads nowhere.
    pub(crate) fn receive() -> io::Result<Self> {
        let mut channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        let mut text = vec![0; MOST_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::net::recvmsg(
            &channel,
            &mut [IoSliceMut::new(&mut text)],
            &mut control,
            RecvFlags::empty(),
        )?;
        let mut sockets = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                sockets.extend(descriptors.map(TcpListener::from));
            }
        }
        for socket in &sockets {
            // A successor of ours gets them in the same way, nobody else shall have them.
            rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::CLOEXEC)?;
            socket.set_nonblocking(true)?;
        }
        text.truncate(received.bytes);
        while !text.ends_with(b"\n") && text.len() < MOST_BYTES {
            let mut more = [0; 1024];
            match channel.read(&mut more)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => text.extend_from_slice(&more[..read]),
            }
        }
        let letter: Letter = serde_json::from_slice(&text)?;
        #[cfg(target_os = "linux")]
        if letter.stays {
            // Whoever ends the old one by force means both.
            rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
        }
        Ok(Self {
            lines: Some(Lines::of(&channel)?),
            channel,
            over: None,
            letter,
            sockets,
        })
    }

    /// Waits until it accepts no more and has told what it knows. Whether it says so, has ended or is
    /// silent for too long: somebody has to serve.
    pub(crate) fn wait(&mut self, mut learn: impl FnMut(Memory)) {
        let _ = self.channel.set_read_timeout(Some(GO_DEADLINE));
        let Some(lines) = &mut self.lines else { return };
        while let Ok(Line::Rows(rows)) = lines.next() {
            learn(*rows);
        }
        let _ = self.channel.set_read_timeout(None);
    }

    /// Listens to what it goes on learning.
    pub(crate) fn listen(&mut self, state: Arc<State>) {
        let Some(mut lines) = self.lines.take() else {
            return;
        };
        let heard = state.clone();
        heard.expect_news(true);
        let (over, is_over) = oneshot::channel();
        let thread = std::thread::Builder::new().name("predecessor".to_owned());
        let thread = thread.spawn(move || {
            while let Ok(line) = lines.next() {
                if let Line::Rows(rows) = line {
                    state.merge(*rows);
                }
            }
            state.expect_news(false);
            // Nobody waits for that unless this process is followed by another one.
            let _ = over.send(());
        });
        if thread.is_ok() {
            self.over = Some(is_over);
        } else {
            // Without it nothing is learned any more.
            heard.expect_news(false);
        }
    }

    /// Waits until there is nothing more to be learned from it. Nothing is lost if this is given up.
    pub(crate) async fn silent(&mut self) {
        if let Some(over) = &mut self.over {
            let _ = over.await;
            self.over = None;
        }
    }

    /// Tells it something. If it has ended, nobody needs to know.
    pub(crate) fn tell(&mut self, word: &Word) {
        if let Ok(mut text) = serde_json::to_vec(word) {
            text.push(b'\n');
            let _ = self.channel.write_all(&text);
        }
    }
}

/// What the old process tells after its letter.
enum Line {
    /// To accept.
    Go,
    /// What it knows.
    Rows(Box<Memory>),
}

/// Its lines, one after the other.
#[derive(Debug)]
struct Lines {
    channel: BufReader<UnixStream>,
    line: Vec<u8>,
}

impl Lines {
    fn of(channel: &UnixStream) -> io::Result<Self> {
        Ok(Self {
            channel: BufReader::new(channel.try_clone()?),
            line: Vec::new(),
        })
    }

    /// The next one; what was read of it is kept if it takes too long.
    fn next(&mut self) -> io::Result<Line> {
        loop {
            let room = MOST_OF_A_LINE.saturating_sub(self.line.len());
            let mut channel = (&mut self.channel).take(room as u64);
            channel.read_until(b'\n', &mut self.line)?;
            if !self.line.ends_with(b"\n") {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = std::mem::take(&mut self.line);
            if line.len() == 1 {
                return Ok(Line::Go);
            }
            // What another version says differently is learned anew.
            if let Ok(rows) = serde_json::from_slice(&line) {
                return Ok(Line::Rows(Box::new(rows)));
            }
        }
    }
}
