//! Tells systemd how it goes (`sd_notify`): ready, reloading, stopping, still alive, and who goes on.

use std::time::Duration;

use api_key_lb_control::Environment;

/// Where it listens for that.
const SOCKET: &str = "NOTIFY_SOCKET";
/// How often it wants to hear that we live, in microseconds …
const WATCHDOG: &str = "WATCHDOG_USEC";
/// … if this names us, or nobody.
const WATCHDOG_PID: &str = "WATCHDOG_PID";
/// What concerns one process only and its successor must not inherit.
pub(crate) const PERSONAL: &[&str] = &[
    WATCHDOG_PID,
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "SYSTEMD_EXEC_PID",
];

/// Tells it, if it wants to know.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    #[cfg(unix)]
    socket: Option<std::os::unix::net::UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// As the environment says.
    pub(crate) fn of(env: &Environment) -> Self {
        let is_ours = env
            .var(WATCHDOG_PID)
            .is_none_or(|pid| pid.parse() == Ok(std::process::id()));
        let watchdog = env
            .var(WATCHDOG)
            .filter(|_| is_ours)
            .and_then(|micros| micros.parse().ok())
            .filter(|micros| *micros > 0)
            .map(Duration::from_micros);
        Self {
            #[cfg(unix)]
            socket: env.var(SOCKET).and_then(connect),
            watchdog,
        }
    }

    /// Whether anybody listens.
    pub(crate) const fn is_heard(&self) -> bool {
        #[cfg(unix)]
        return self.socket.is_some();
        #[cfg(not(unix))]
        false
    }

    /// How often to call [`Self::alive`], if at all: half of what would be too late.
    pub(crate) fn beat(&self) -> Option<Duration> {
        self.watchdog
            .filter(|_| self.is_heard())
            .map(|limit| limit / 2)
    }

    /// Serving, as `status` says.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", line(status)));
    }

    /// Reading the configuration.
    pub(crate) fn reloading(&self) {
        #[cfg(unix)]
        {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
            self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
        }
    }

    /// Ending, which may take as long as `grace`.
    pub(crate) fn stopping(&self, grace: Duration) {
        let micros = grace.as_micros();
        self.tell(&format!(
            "STOPPING=1\nEXTEND_TIMEOUT_USEC={micros}\nSTATUS=Finishing running answers"
        ));
    }

    /// Not stuck.
    pub(crate) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// Not ready yet, but nothing is wrong for as long as `more`.
    pub(crate) fn waiting(&self, status: &str, more: Duration) {
        let micros = more.as_micros();
        let status = line(status);
        self.tell(&format!("EXTEND_TIMEOUT_USEC={micros}\nSTATUS={status}"));
    }

    /// Another process goes on.
    pub(crate) fn succeeded_by(&self, pid: u32) {
        self.tell(&format!("MAINPID={pid}"));
    }

    /// If it does not hear us, it will find out by itself.
    fn tell(&self, message: &str) {
        #[cfg(unix)]
        if let Some(socket) = &self.socket {
            let _ = socket.send(message.as_bytes());
        }
        #[cfg(not(unix))]
        let _ = message;
    }
}

/// The first line: a second one would be another message.
fn line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(unix)]
fn connect(path: &str) -> Option<std::os::unix::net::UnixDatagram> {
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let address = match path.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(name).ok()
        }
        #[cfg(not(target_os = "linux"))]
        Some(_) => None,
        None => SocketAddr::from_pathname(path).ok(),
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect_addr(&address?).ok()?;
    // A full queue must not hold up the proxy.
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn nobody_is_told_unless_somebody_listens_and_the_watchdog_is_ours() {
        let vars = |pairs: &[(&str, String)]| Environment {
            vars: pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            ..Environment::default()
        };
        assert!(!Notifier::of(&vars(&[])).is_heard());
        let path = std::env::temp_dir().join(format!("aklb-notify-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let systemd = UnixDatagram::bind(&path).unwrap();
        let place = (SOCKET, path.display().to_string());
        let beat = |pid: u32| {
            let pid = (WATCHDOG_PID, pid.to_string());
            Notifier::of(&vars(&[place.clone(), (WATCHDOG, "4000000".into()), pid])).beat()
        };
        assert_eq!(beat(std::process::id()), Some(Duration::from_secs(2)));
        assert_eq!(beat(u32::MAX), None);
        Notifier::of(&vars(&[place])).ready("two\nlines");
        let mut buffer = [0; 64];
        let length = systemd.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1\nSTATUS=two");
        std::fs::remove_file(&path).unwrap();
    }
}
