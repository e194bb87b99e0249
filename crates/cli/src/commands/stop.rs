//! `api-key-lb stop`: asks the right process to stop and waits until it has.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use api_key_lb_control::health::Health;
use api_key_lb_control::runtime_file::Instance;
use api_key_lb_control::{Config, Environment};
use api_key_lb_core::Secret;

use crate::admin::STOP_PATH;
use crate::args::StopArgs;
use crate::exit::Exit;
use crate::instance::{self, Resident};
use crate::local_client::{Answer, ClientError};
use crate::printer::{self, Printer};
use crate::supervisor::{self, Request};

use super::status::{STOP_PREDECESSOR, absence};

/// Of an order that is carried out, and of one with the token of another instance.
const ACCEPTED: u16 = 202;
const FORBIDDEN: u16 = 403;
/// How long the answer to the stop request may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// What a process may take to end, besides the time its running answers have.
const END_SLACK: Duration = Duration::from_secs(5);
/// How often one looks whether it has ended.
const POLL: Duration = Duration::from_millis(20);

/// Runs the command.
pub(crate) fn run(args: &StopArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let env = Environment::of_process();
    let flags = args.place.flags();
    let contact = Config::contact_lenient(&flags, &env);
    let port = contact.port;
    let address = instance::address(&contact.hosts, port);
    let token = contact.client_tokens.first();
    let (resident, noted, dir) = instance::meet(address, token, &env, printer);
    let grace = contact.drain_timeout;
    match resident {
        Resident::Ours(told) => {
            let (Some(noted), Some(dir)) = (noted, dir) else {
                printer.error(unknown(&told.health, port));
                return Ok(Exit::Failure);
            };
            if told.health.instance.as_deref() != Some(&noted.instance) {
                if instance::is_gone(noted.pid) {
                    forget(&noted, &dir, printer);
                }
                printer.error(unknown(&told.health, port));
                return Ok(Exit::Failure);
            }
            let place = Place {
                address,
                token,
                dir: &dir,
                env: &env,
            };
            stop(noted, &place, grace, printer)
        }
        Resident::Predecessor(_) => {
            printer.error(format!(
                "port {port} is not ours to stop: {STOP_PREDECESSOR}"
            ));
            Ok(Exit::Failure)
        }
        other => {
            if let (Resident::Nobody, Some(noted), Some(dir)) = (&other, noted, dir) {
                if !instance::is_gone(noted.pid) {
                    printer.note(format!("process {} is stopping already", noted.pid));
                    let place = Place {
                        address,
                        token,
                        dir: &dir,
                        env: &env,
                    };
                    return wait(noted, &place, grace, printer);
                }
                forget(&noted, &dir, printer);
            }
            printer.error(absence(&other, port));
            Ok(Exit::Failure)
        }
    }
}

pub(super) fn unknown(health: &Health, port: u16) -> String {
    let how = health.pid.map_or_else(
        || "end its process".to_owned(),
        |pid| format!("end its process with `kill {pid}`"),
    );
    format!(
        "the api-key-lb on port {port} was started by another user, or with another $HOME or \
         $XDG_STATE_HOME, so its token is not here; {how}"
    )
}

/// Removes the file of an instance that has ended without doing so.
fn forget(noted: &Instance, dir: &Path, printer: &Printer) {
    match noted.remove(dir) {
        Ok(_) => printer.note(format!(
            "process {} ended without cleaning up; removed what it left in {}",
            noted.pid,
            dir.display()
        )),
        Err(error) => printer.warn(error),
    }
}

/// Where it is, and how it is talked to.
struct Place<'p> {
    address: SocketAddr,
    token: Option<&'p Secret>,
    /// Where it has noted itself.
    dir: &'p Path,
    env: &'p Environment,
}

impl Place<'_> {
    fn order(&self, noted: &Instance) -> Result<Answer, ClientError> {
        // Whoever has taken over may be on another port.
        let to = SocketAddr::new(self.address.ip(), noted.port);
        instance::command(to, self.token, noted, STOP_PATH, b"", PATIENCE)
    }
}

fn stop(
    mut noted: Instance,
    place: &Place<'_>,
    grace: Duration,
    printer: &Printer,
) -> anyhow::Result<Exit> {
    if let Some(supervisor) = &noted.supervisor {
        let (command, asked) = supervisor::ask(supervisor, Request::Stop);
        if let Err(why) = asked {
            printer.error(format!(
                "not stopped: {} would start it again, so it has to stop it, but {why}",
                supervisor::name(supervisor)
            ));
            return Ok(Exit::Failure);
        }
        printer.note(format!("through `{command}`"));
    } else {
        const NO_ANSWER: &str = "cannot ask the proxy to stop";
        let mut answer = place.order(&noted).context(NO_ANSWER)?;
        if answer.status == FORBIDDEN
            && let (_, Some(successor), _) =
                instance::meet(place.address, place.token, place.env, printer)
        {
            // Another process has taken over just now.
            noted = successor;
            answer = place.order(&noted).context(NO_ANSWER)?;
        }
        if answer.status != ACCEPTED {
            printer.error(format!(
                "the proxy refused to stop (status {}); end its process with `kill {}`",
                answer.status, noted.pid
            ));
            return Ok(Exit::Failure);
        }
    }
    wait(noted, place, grace, printer)
}

/// Waits until it has ended, and whoever may just have taken over from it.
fn wait(
    mut noted: Instance,
    place: &Place<'_>,
    grace: Duration,
    printer: &Printer,
) -> anyhow::Result<Exit> {
    let dir = place.dir;
    let deadline = Instant::now() + grace + END_SLACK;
    loop {
        if has_ended(&noted, dir) {
            let successor = Instance::all(dir)
                .into_iter()
                .find(|other| other.predecessor.as_ref() == Some(&noted.instance));
            match successor {
                Some(successor) if !instance::is_gone(successor.pid) => {
                    noted = successor;
                    // It may have heard of it already.
                    let _ = place.order(&noted);
                }
                _ => break,
            }
        }
        if Instant::now() >= deadline {
            printer.error(format!(
                "process {} was asked to stop, but still runs after {} s; end it with `kill {}`",
                noted.pid,
                (grace + END_SLACK).as_secs(),
                noted.pid
            ));
            return Ok(Exit::Failure);
        }
        std::thread::sleep(POLL);
    }
    printer.say(format!(
        "{} the proxy (process {})",
        printer::good("Stopped"),
        noted.pid
    ))?;
    Ok(Exit::Success)
}

/// Whether it has removed its file, which it does last, or is gone without having done so.
fn has_ended(noted: &Instance, dir: &Path) -> bool {
    let file = Instance::read(dir, noted.port);
    let withdrawn = match file {
        Ok(Some(now)) => now.instance != noted.instance,
        Ok(None) => true,
        Err(_) => false,
    };
    withdrawn || instance::is_gone(noted.pid)
}
