//! The program at a terminal: what it asks is waited for, what a person would type is typed.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::Home;

/// Longer than a question may take to come, with keys tried at their provider before it.
const DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);

/// A program with a terminal of its own, made by `script` of util-linux.
pub struct Terminal {
    child: Child,
    input: Option<ChildStdin>,
    output: Arc<Mutex<String>>,
    /// How much of the output was waited for already.
    read: usize,
}

impl Terminal {
    /// Whether this system can make one.
    pub fn is_possible() -> bool {
        let version = Command::new("script").arg("--version").output();
        version.is_ok_and(|version| String::from_utf8_lossy(&version.stdout).contains("util-linux"))
    }

    /// Runs the program there. Arguments are plain words.
    pub fn start(home: &Home, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut inner = home.command(args, env);
        let line = format!(
            "{} {}",
            inner.get_program().to_string_lossy(),
            args.join(" ")
        );
        let mut command = Command::new("script");
        command
            .args(["-q", "-e", "-c", &line, "/dev/null"])
            .env_clear()
            .envs(
                inner
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("SHELL", "/bin/sh")
            .current_dir(home.path("cwd"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        // Only what it would be run with was wanted.
        inner.stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut pipe = child.stdout.take().unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        let seen = output.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]).replace('\r', "");
                seen.lock().unwrap().push_str(&text);
            }
        });
        Self {
            input: child.stdin.take(),
            child,
            output,
            read: 0,
        }
    }

    /// Everything that was shown.
    pub fn all(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// Waits until it shows this, after what was waited for before.
    #[track_caller]
    pub fn shows(&mut self, text: &str) -> &mut Self {
        let end = Instant::now() + DEADLINE;
        loop {
            let all = self.all();
            if let Some(at) = all[self.read..].find(text) {
                self.read += at + text.len();
                return self;
            }
            assert!(
                Instant::now() < end,
                "`{text}` is not shown: {:?} …",
                &all[self.read..]
            );
            std::thread::sleep(POLL);
        }
    }

    /// Types a line.
    #[track_caller]
    pub fn types(&mut self, text: &str) -> &mut Self {
        let input = self.input.as_mut().unwrap();
        input.write_all(format!("{text}\n").as_bytes()).unwrap();
        input.flush().unwrap();
        self
    }

    /// Waits for its end; with which code, and what was shown.
    #[track_caller]
    pub fn ends(&mut self) -> (Option<i32>, String) {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // What it wrote last is on its way.
                std::thread::sleep(Duration::from_millis(50));
                return (status.code(), self.all());
            }
            assert!(Instant::now() < end, "it does not end: {:?}", self.all());
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
