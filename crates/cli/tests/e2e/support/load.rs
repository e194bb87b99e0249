//! Sessions that go on whatever happens to the proxy, and where the mock has seen them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use api_key_lb_mock::Recorded;
use serde_json::{Value, json};

use super::{CHAT, Client, End, eventually};

/// Clients at a time.
const CLIENTS: usize = 8;
/// What a client waits before it tries again.
const AGAIN: Duration = Duration::from_millis(10);
/// What stands before the number of a session.
const MARK: &str = "Please do the task number ";

/// Sessions in turn, every second one without an id: its conversation grows.
pub struct Load {
    port: u16,
    turns: Vec<AtomicUsize>,
    failures: AtomicUsize,
    over: AtomicBool,
}

impl Load {
    pub fn new(port: u16, sessions: usize) -> Self {
        Self {
            port,
            turns: (0..sessions).map(|_| AtomicUsize::new(0)).collect(),
            failures: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// Takes turns while `meanwhile` runs.
    pub fn run(&self, meanwhile: impl FnOnce()) {
        /// Also when an assertion of `meanwhile` fails: otherwise nobody would see it.
        struct Over<'o>(&'o AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Release);
            }
        }
        std::thread::scope(|scope| {
            let _over = Over(&self.over);
            for client in 0..CLIENTS {
                scope.spawn(move || self.client(client));
            }
            meanwhile();
        });
    }

    /// Waits until each session has had so many turns more.
    #[track_caller]
    pub fn turns(&self, more: usize) {
        let count = |turns: &AtomicUsize| turns.load(Ordering::Acquire);
        let now: Vec<usize> = self.turns.iter().map(count).collect();
        for (turns, now) in self.turns.iter().zip(now) {
            eventually("a session goes on", || count(turns) >= now + more);
        }
    }

    /// Requests that had to be sent again.
    pub fn failures(&self) -> usize {
        self.failures.load(Ordering::Acquire)
    }

    /// All turns so far.
    pub fn all(&self) -> usize {
        let turns = self.turns.iter();
        turns.map(|turns| turns.load(Ordering::Acquire)).sum()
    }

    fn client(&self, first: usize) {
        let mut kept: Option<Client> = None;
        loop {
            for session in (first..self.turns.len()).step_by(CLIENTS) {
                if self.over.load(Ordering::Acquire) {
                    return;
                }
                let turns = &self.turns[session];
                let body = conversation(session, turns.load(Ordering::Acquire)).to_string();
                let id = format!("session-{session}");
                let named = [("x-session-id", id.as_str())];
                let headers = if is_named(session) { &named[..] } else { &[] };
                while !self.over.load(Ordering::Acquire) {
                    let connected = kept.take().map_or_else(|| Client::open(self.port), Ok);
                    if let Ok(mut client) = connected {
                        client.send("POST", CHAT, headers, body.as_bytes());
                        let reply = client.read();
                        if (reply.status, reply.end) == (200, End::Complete) {
                            turns.fetch_add(1, Ordering::AcqRel);
                            if reply.header("connection") != Some("close") {
                                kept = Some(client);
                            }
                            break;
                        }
                    }
                    self.failures.fetch_add(1, Ordering::AcqRel);
                    std::thread::sleep(AGAIN);
                }
            }
        }
    }
}

/// Whether the session has an id.
pub const fn is_named(session: usize) -> bool {
    session.is_multiple_of(2)
}

fn conversation(session: usize, turns: usize) -> Value {
    let mut messages = vec![
        json!({"role": "system", "content": "The same for everybody."}),
        json!({"role": "user", "content": format!("{MARK}{session}.")}),
    ];
    for turn in 0..turns {
        messages.push(json!({"role": "assistant", "content": format!("answer {turn}")}));
        messages.push(json!({"role": "user", "content": format!("question {turn}")}));
    }
    json!({"model": "m", "messages": messages})
}

/// The keys with which each session came to the mock, in their order; one for several in a row.
pub fn homes(requests: &[Recorded], sessions: usize) -> Vec<Vec<String>> {
    let mut homes = vec![Vec::<String>::new(); sessions];
    for request in requests {
        let text = String::from_utf8_lossy(&request.body);
        let Some((_, after)) = text.split_once(MARK) else {
            continue;
        };
        let number: String = after.chars().take_while(char::is_ascii_digit).collect();
        let Some(homes) = homes.get_mut(number.parse::<usize>().unwrap()) else {
            continue;
        };
        let key = request.key.clone().unwrap_or_default();
        if homes.last() != Some(&key) {
            homes.push(key);
        }
    }
    homes
}
