//! The program in a home of its own, run to its end within a deadline.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything the program may take, detaching included.
const RUN_DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);

/// A home directory, a state directory and a current directory; removed when the last one that
/// shares it is dropped.
#[derive(Clone)]
pub struct Home {
    directory: Arc<Directory>,
}

struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a run of the program left.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Everything it printed.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    #[track_caller]
    pub fn is(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// It printed every one of `parts`.
    #[track_caller]
    pub fn says(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.all().contains(part), "`{part}` is not in {self:?}");
        }
        self
    }
}

impl Home {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("api-key-lb-e2e-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&directory);
        for part in ["home", "state", "cwd"] {
            fs::create_dir_all(directory.join(part)).unwrap();
        }
        Self {
            directory: Arc::new(Directory(directory)),
        }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.directory.0.join(below)
    }

    /// Where `start` looks last and `setup` writes.
    pub fn config_path(&self) -> PathBuf {
        self.path("home/.config/api-key-lb/config.json")
    }

    /// Writes a file for its owner only and says where.
    pub fn write(&self, below: &str, text: &str) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        set_mode(&path, 0o600);
        path
    }

    pub fn write_config(&self, config: &Value) -> PathBuf {
        self.write("home/.config/api-key-lb/config.json", &config.to_string())
    }

    /// Every file below the state directory, with its content.
    pub fn state_files(&self) -> Vec<(PathBuf, String)> {
        files(&self.path("state"))
    }

    /// The program with these arguments, in this home, with an environment of nothing else.
    pub fn command(&self, args: &[&str], env: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_api-key-lb"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.path("home"))
            .env("XDG_STATE_HOME", self.path("state"))
            .envs(env.iter().copied())
            .current_dir(self.path("cwd"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(path) = std::env::var_os("PATH")
            && !env.iter().any(|(name, _)| *name == "PATH")
        {
            command.env("PATH", path);
        }
        command
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        self.run_with(args, env, b"")
    }

    /// The same with something on its standard input.
    #[track_caller]
    pub fn run_with(&self, args: &[&str], env: &[(&str, &str)], input: &[u8]) -> Output {
        let mut command = self.command(args, env);
        if !input.is_empty() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().unwrap();
        if let Some(mut stdin) = child.stdin.take() {
            let input = input.to_vec();
            // Whether it reads all of it is its own affair.
            std::thread::spawn(move || stdin.write_all(&input));
        }
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        let code = wait(&mut child);
        let output = Output {
            code: code.flatten(),
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
        };
        assert!(code.is_some(), "{args:?} did not end: {output:?}");
        output
    }
}

/// The exit code, or nothing if it had to be ended.
fn wait(child: &mut Child) -> Option<Option<i32>> {
    let end = Instant::now() + RUN_DEADLINE;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code());
        }
        std::thread::sleep(POLL);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

fn collect(mut pipe: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn files(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
            found.push((path, text));
        }
    }
    found
}

#[cfg(unix)]
pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
pub fn set_mode(_path: &Path, _mode: u32) {}
