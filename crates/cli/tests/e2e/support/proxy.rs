//! A running proxy: the real program with a home of its own, ended when dropped.

use std::io::{BufRead as _, BufReader};
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::{Client, Home, Reply, eventually};

/// What `start` says before the address.
const LISTENS: &str = "listens on http://127.0.0.1:";

pub struct Proxy {
    pub home: Home,
    pub port: u16,
    child: Child,
    /// How many requests have been sent that leave a line in the log.
    asked: AtomicUsize,
    output: Arc<Mutex<String>>,
}

impl Proxy {
    /// With this configuration file, on a free port.
    #[track_caller]
    pub fn start(config: Value) -> Self {
        Self::start_with(config, &[])
    }

    /// The same with further environment variables.
    #[track_caller]
    pub fn start_with(config: Value, env: &[(&str, &str)]) -> Self {
        let home = Home::new();
        home.write_config(&config);
        Self::start_in(&home, &["start"], env)
    }

    /// With whatever is in `home`; on a free port unless `env` or `args` name one.
    #[track_caller]
    pub fn start_in(home: &Home, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = home.command(args, &[("PORT", "0")]);
        command.envs(env.iter().copied());
        let mut child = command.spawn().unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().unwrap(), &output);
        collect(child.stderr.take().unwrap(), &output);
        let mut proxy = Self {
            home: home.clone(),
            port: 0,
            child,
            asked: AtomicUsize::new(0),
            output,
        };
        eventually("it says where it listens", || {
            if let Some(status) = proxy.child.try_wait().unwrap() {
                panic!("it ended with {status}");
            }
            let output = proxy.output();
            let Some((_, after)) = output.split_once(LISTENS) else {
                return false;
            };
            let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
            proxy.port = digits.parse().unwrap();
            true
        });
        proxy
    }

    /// Everything it has printed so far.
    pub fn output(&self) -> String {
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        output.clone()
    }

    /// The line of the log about the last request that [`Self::ask`] sent; the log is a little
    /// late. Requests sent otherwise would be counted wrongly.
    #[track_caller]
    pub fn last_logged(&self) -> String {
        let number = self.asked.load(Ordering::Acquire);
        let mut lines = Vec::new();
        eventually("the request is logged", || {
            lines = self.log();
            lines.len() >= number
        });
        lines.swap_remove(number - 1)
    }

    /// The lines about requests so far: they begin with a time.
    fn log(&self) -> Vec<String> {
        let output = self.output();
        let is_logged = |line: &&str| line.starts_with(|first: char| first.is_ascii_digit());
        output
            .lines()
            .filter(is_logged)
            .map(str::to_owned)
            .collect()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit code, if it has ended.
    pub fn ended(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().unwrap().map(|status| status.code())
    }

    /// Waits until it can be found by `stop`.
    #[track_caller]
    pub fn announced(&self) {
        let name = format!("{}.json", self.port);
        eventually("it notes where it runs", || {
            let files = self.home.state_files();
            files.iter().any(|(path, _)| path.ends_with(&name))
        });
    }

    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }

    /// One request on a connection of its own.
    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut client = self.client();
        client.send(method, target, headers, body);
        let reply = client.read_for(method);
        if target != "/health" && !target.starts_with("/_lb") {
            self.asked.fetch_add(1, Ordering::AcqRel);
        }
        reply
    }

    pub fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, &[], b"")
    }

    pub fn post(&self, target: &str, body: &Value) -> Reply {
        self.ask("POST", target, &[], body.to_string().as_bytes())
    }

    /// A chat request of the session `id`.
    pub fn turn(&self, id: &str, body: &Value) -> Reply {
        let headers = [("x-session-id", id)];
        self.ask("POST", super::CHAT, &headers, body.to_string().as_bytes())
    }

    #[track_caller]
    pub fn health(&self) -> Value {
        self.get("/health").is(200).json()
    }

    /// Ends it and waits for that; its home stays.
    pub fn end(mut self) -> Home {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.home.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "--- what the proxy on port {} said:\n{}---",
                self.port,
                self.output()
            );
        }
    }
}

fn collect(pipe: impl std::io::Read + Send + 'static, output: &Arc<Mutex<String>>) {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line).into_owned();
            output
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_str(&text);
            line.clear();
        }
    });
}
