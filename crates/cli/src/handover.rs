//! One process hands its listening sockets to the next, so that no connection is refused in between.
//!
//! The old process starts the new one with a socket as its standard input. Over that go the listening
//! sockets with a letter, and back come the words of the new one: that it serves, or why it cannot. The
//! channel stays open while both live; its end tells each that the other has ended.

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use api_key_lb_control::runtime_file::Supervisor;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::notify::PERSONAL;

/// Set on the process that takes over.
pub(crate) const FLAG: &str = "--successor";
/// Listening sockets handed over at most: one per address.
const MOST_SOCKETS: usize = 64;
/// How long the old process may take to stop accepting.
const GO_DEADLINE: Duration = Duration::from_secs(5);
/// How long a process may go on after the last that was heard of it: it has only to leave `main`.
const END_DEADLINE: Duration = Duration::from_secs(5);
/// How often one looks whether it has ended.
const POLL: Duration = Duration::from_millis(5);
/// Longest letter or word, in bytes.
const MOST_BYTES: usize = 64 << 10;

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
}

/// What the new process tells the old one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// It serves.
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
            channel: None,
            heard: Vec::new(),
        };
        let sent = send(&ours, sockets, letter)
            .and_then(|()| ours.set_nonblocking(true))
            .and_then(|()| tokio::net::UnixStream::from_std(ours));
        match sent {
            Ok(channel) => {
                heir.channel = Some(channel);
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
    channel: Option<tokio::net::UnixStream>,
    heard: Vec<u8>,
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
                    Ok(word) => return Some(word),
                    // A word of a later version.
                    Err(_) => continue,
                }
            }
            let channel = self.channel.as_mut()?;
            match channel.read_buf(&mut self.heard).await {
                Ok(1..) if self.heard.len() <= MOST_BYTES => {}
                _ => self.channel = None,
            }
        }
    }

    /// Tells it that this process accepts no more. If it has ended, that is heard of otherwise.
    pub(crate) async fn go(&mut self) {
        if let Some(channel) = &mut self.channel {
            let _ = channel.write_all(b"\n").await;
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

/// The process before this one, and what it has handed over.
#[derive(Debug)]
pub(crate) struct Predecessor {
    channel: UnixStream,
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
            channel,
            letter,
            sockets,
        })
    }

    /// Waits until it accepts no more, so that whoever asks from now on asks this process.
    pub(crate) fn wait(&mut self) {
        // Whether it says so, has ended or takes too long: this process serves already.
        let _ = self.channel.set_read_timeout(Some(GO_DEADLINE));
        let _ = self.channel.read(&mut [0]);
    }

    /// Tells it something. If it has ended, nobody needs to know.
    pub(crate) fn tell(&mut self, word: &Word) {
        if let Ok(mut text) = serde_json::to_vec(word) {
            text.push(b'\n');
            let _ = self.channel.write_all(&text);
        }
    }
}
