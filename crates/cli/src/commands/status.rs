//! `api-key-lb status`: how the proxy and its keys are doing.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use api_key_lb_control::config::Contact;
use api_key_lb_control::health::Health;
use api_key_lb_control::observed::{KeyState, Saved, SessionState, State, Totals};
use api_key_lb_control::runtime_file::{self, Instance};
use api_key_lb_control::{Config, Environment};
use serde::Serialize;

use crate::args::StatusArgs;
use crate::exit::Exit;
use crate::instance::{self, Resident, Told};
use crate::management::STATE_PATH;
use crate::overview;
use crate::printer::{Printer, faint};
use crate::render;
use crate::signals::Signals;

/// How to stop the npm package of the same name.
pub(crate) const STOP_PREDECESSOR: &str = "\
it is the npm package api-key-lb 1.x; stop it with `npx api-key-lb@1 stop` \
(on macOS first `launchctl unload ~/Library/LaunchAgents/com.api-key-lb.plist`, or it comes back)";

/// How long the state may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often `--watch` draws anew.
const EVERY: Duration = Duration::from_secs(1);
/// A second screen, which leaves the first one as it was, without a cursor …
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
/// … and back.
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";
/// To the upper left: what is there is written over, so that nothing flickers.
const UPPER_LEFT: &str = "\u{1b}[H";
/// What is left of a line is empty …
const REST_OF_LINE: &str = "\u{1b}[K";
/// … and what is left of the screen.
const REST: &str = "\u{1b}[J";
/// Lines of a terminal that does not say how many it has.
const LINES: usize = 24;

/// What `--json` prints: all that `/health` says, and the rest of `/_lb/state`.
#[derive(Debug, Serialize)]
struct Both {
    #[serde(flatten)]
    health: Health,
    state: Rest,
}

/// See [`State`].
#[derive(Debug, Serialize)]
struct Rest {
    keys: Vec<KeyState>,
    sessions: Vec<SessionState>,
    totals: Totals,
    saved: Saved,
    problems: Vec<String>,
    now: u64,
}

impl From<State> for Both {
    fn from(state: State) -> Self {
        Self {
            health: state.health,
            state: Rest {
                keys: state.keys,
                sessions: state.sessions,
                totals: state.totals,
                saved: state.saved,
                problems: state.problems,
                now: state.now,
            },
        }
    }
}

/// Runs the command.
pub(super) fn run(args: &StatusArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let env = Environment::of_process();
    let place = Place::of(Config::contact_lenient(&args.place.flags(), &env), env);
    if args.watch {
        return watch(&place, printer);
    }
    let told = match place.ask() {
        Ok(told) => told,
        Err(why) => {
            printer.error(why);
            return Ok(Exit::Failure);
        }
    };
    let state = match told {
        Found::Ours(told) => match place.state() {
            Some(state) => Ok(state),
            None => Err(told),
        },
        Found::Predecessor(told) => {
            printer.note(STOP_PREDECESSOR);
            Err(told)
        }
    };
    match (state, args.json) {
        (Ok(state), true) => {
            let both = Both::from(state);
            printer.answer(serde_json::to_string_pretty(&both)?)?;
        }
        (Ok(state), false) => printer.answer(overview::text(&state))?,
        // One of another version.
        (Err(told), true) => printer.answer(told.text.trim_end())?,
        (Err(told), false) => printer.answer(render::status(&told.health))?,
    }
    Ok(Exit::Success)
}

/// Where a proxy is asked.
struct Place {
    address: SocketAddr,
    contact: Contact,
    env: Environment,
}

/// Who was found there.
enum Found {
    Ours(Told),
    Predecessor(Told),
}

impl Place {
    fn of(contact: Contact, env: Environment) -> Self {
        Self {
            address: instance::address(&contact.hosts, contact.port),
            contact,
            env,
        }
    }

    /// Who is there; why nobody is, in words, otherwise.
    fn ask(&self) -> Result<Found, String> {
        let token = self.contact.client_tokens.first();
        match instance::ask_own(self.address, token, &self.env) {
            Resident::Ours(told) => Ok(Found::Ours(told)),
            Resident::Predecessor(told) => Ok(Found::Predecessor(told)),
            other => Err(absence(&other, self.contact.port)),
        }
    }

    /// How everything is; `None` if it does not say so.
    fn state(&self) -> Option<State> {
        let token = self.contact.client_tokens.first();
        let dir = runtime_file::state_dir(&self.env);
        let noted = dir.and_then(|dir| Instance::read(&dir, self.contact.port).ok()?);
        let noted = noted.as_ref();
        let answer = instance::look(self.address, token, noted, STATE_PATH, PATIENCE).ok()?;
        let is_told = answer.status == 200;
        is_told.then(|| serde_json::from_slice(&answer.body).ok())?
    }
}

/// Draws the state each second, until somebody ends it.
fn watch(place: &Place, printer: &Printer) -> anyhow::Result<Exit> {
    if !io::stdout().is_terminal() {
        printer.error("`--watch` draws on a terminal, and this is none; use `--json` for programs");
        return Ok(Exit::Failure);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for signals")?;
    let mut signals = {
        let _context = runtime.enter();
        Signals::listen().context("cannot wait for signals")?
    };
    draw(ENTER)?;
    let ended = loop {
        let text = match (place.ask(), place.state()) {
            (Ok(_), Some(state)) => overview::text(&state),
            (Ok(Found::Ours(told) | Found::Predecessor(told)), None) => {
                render::status(&told.health)
            }
            (Err(why), _) => why,
        };
        let text = if anstream::stdout().current_choice() == anstream::ColorChoice::Never {
            anstream::adapter::strip_str(&text).to_string()
        } else {
            text
        };
        if let Err(error) = draw(&screen(&text, lines())) {
            break Err(error);
        }
        let pause = runtime.block_on(async {
            tokio::time::timeout(EVERY, signals.next_end())
                .await
                .is_ok()
        });
        if pause {
            break Ok(Exit::Success);
        }
    };
    draw(LEAVE)?;
    Ok(ended?)
}

/// A text as a whole screen of so many lines.
fn screen(text: &str, lines: usize) -> String {
    let end = faint("Ctrl-C ends this.");
    let room = lines.saturating_sub(2);
    let shown = text.lines().take(room);
    let mut screen = UPPER_LEFT.to_owned();
    for line in shown.chain(["", &end]) {
        if screen.len() > UPPER_LEFT.len() {
            screen.push_str("\r\n");
        }
        screen.push_str(line);
        screen.push_str(REST_OF_LINE);
    }
    screen.push_str(REST);
    screen
}

fn draw(text: &str) -> io::Result<()> {
    // As it is: what moves the cursor must not be left out where colours are.
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// How many lines the terminal has.
fn lines() -> usize {
    #[cfg(unix)]
    if let Ok(size) = rustix::termios::tcgetwinsize(io::stdout())
        && size.ws_row > 0
    {
        return size.ws_row.into();
    }
    LINES
}

/// Why there is nothing to talk to, and what to do.
pub(super) fn absence(resident: &Resident, port: u16) -> String {
    match resident {
        Resident::Guarded(reason) => format!(
            "the api-key-lb on port {port} does not answer us: {reason}; \
             use the configuration it was started with (`--config FILE`)"
        ),
        Resident::Stranger => format!(
            "another program listens on port {port}, no api-key-lb; \
             if yours is on another port, name it with `--port`"
        ),
        _ => format!(
            "the proxy is not running on port {port}; start it with `api-key-lb start`, \
             or name its port with `--port`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use api_key_lb_control::observed::{Headroom, Request, Tokens, Try};

    use super::*;

    /// The names of all fields, as the documentation writes them.
    fn fields(value: &serde_json::Value, path: &str, into: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(fields_of) => {
                for (name, value) in fields_of {
                    let dot = if path.is_empty() { "" } else { "." };
                    fields(value, &format!("{path}{dot}{name}"), into);
                }
            }
            serde_json::Value::Array(items) => {
                for item in items {
                    fields(item, &format!("{path}[]"), into);
                }
            }
            _ => {
                into.insert(path.to_owned());
            }
        }
    }

    /// Everything that can be there is there.
    fn full() -> Rest {
        let text = || Some("x".to_owned());
        Rest {
            keys: vec![KeyState {
                fingerprint: String::new(),
                label: String::new(),
                pool: String::new(),
                account: text(),
                state: String::new(),
                by_configuration: true,
                until_ms: Some(1),
                reason: text(),
                models: Some(1),
                in_flight: 0,
                headroom: vec![Headroom {
                    what: String::new(),
                    limit: 1,
                    remaining: 1,
                    resets_at: Some(1),
                }],
                requests: 0,
                errors: 0,
                throttles: 0,
                prompt: 0,
                cached: 0,
                output: 0,
                sessions: 0,
            }],
            sessions: vec![SessionState::default()],
            totals: Totals {
                cost_usd: Some(1.0),
                saved_usd: Some(1.0),
                ..Totals::default()
            },
            saved: Saved {
                usd: Some(1.0),
                ..Saved::default()
            },
            problems: vec![String::new()],
            now: 0,
        }
    }

    fn request() -> Request {
        Request {
            added_us: Some(1),
            attempts: vec![Try {
                verdict: Some(String::new()),
                reason: Some(String::new()),
                ..Try::default()
            }],
            usage: Some(Tokens::default()),
            error_code: Some(String::new()),
            cost_usd: Some(1.0),
            saved_usd: Some(1.0),
            ..Request::default()
        }
    }

    #[test]
    fn every_field_is_documented_and_every_documented_field_is_there() {
        let mut there = BTreeSet::new();
        fields(&serde_json::to_value(full()).unwrap(), "state", &mut there);
        fields(&serde_json::to_value(request()).unwrap(), "", &mut there);
        let text = include_str!("../../../../docs/status.md");
        let mut documented = BTreeSet::new();
        let mut lists_fields = false;
        for line in text.lines() {
            if line.starts_with("| field |") {
                lists_fields = true;
            } else if !line.starts_with('|') {
                lists_fields = false;
            } else if let Some(rest) = line.strip_prefix("| `").filter(|_| lists_fields) {
                documented.insert(rest.split('`').next().unwrap().to_owned());
            }
        }
        assert_eq!(documented, there);
        let words = [
            "ready",
            "recovering",
            "cooling",
            "parked",
            "refused",
            "disabled",
        ];
        for state in words {
            assert!(text.contains(&format!("| `{state}` |")), "{state}");
        }
    }

    #[test]
    fn a_screen_has_no_more_lines_than_the_terminal() {
        let text = "a\n".repeat(100);
        let screen = screen(&text, 10);
        assert_eq!(screen.matches('\n').count(), 9, "{screen:?}");
        assert!(screen.ends_with(REST) && screen.starts_with(UPPER_LEFT));
    }

    #[test]
    fn every_absence_names_the_port_and_what_to_do() {
        for resident in [
            Resident::Nobody,
            Resident::Stranger,
            Resident::Guarded("no token".into()),
        ] {
            let text = absence(&resident, 4600);
            assert!(text.contains("port 4600") && text.contains("`--"), "{text}");
        }
    }
}
