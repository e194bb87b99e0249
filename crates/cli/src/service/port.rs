//! Who has the port that a service is to have, and how it is made to leave.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use api_key_lb_control::runtime_file::Instance;

use super::wanted::Wanted;
use crate::args::StopArgs;
use crate::commands::{STOP_PREDECESSOR, stop};
use crate::exit::Exit;
use crate::instance::{self, Resident};
use crate::printer::Printer;
use crate::supervisor;

/// How often one looks whether something has changed.
const POLL: Duration = Duration::from_millis(50);

/// Who has it.
#[derive(Debug)]
pub(super) enum Occupant {
    /// Nobody.
    Nobody,
    /// The service itself.
    Service,
    /// A proxy of ours in the background, which can be stopped.
    Detached,
    /// The npm package.
    Predecessor,
    /// Somebody who has to be asked by a person: who, and how.
    Other(String),
}

/// Who has the port; `is_service` knows a process of the service.
pub(super) fn occupant(
    wanted: &Wanted,
    is_service: impl Fn(&Instance) -> bool,
    printer: &Printer,
) -> Occupant {
    let port = wanted.port();
    let resident = instance::ask(wanted.address(), wanted.client_token.as_ref());
    let other = |why: String| Occupant::Other(format!("nothing was installed, because {why}"));
    let told = match resident {
        Resident::Nobody => return Occupant::Nobody,
        Resident::Predecessor(_) => return Occupant::Predecessor,
        Resident::Guarded(reason) => {
            return other(format!(
                "an api-key-lb runs on port {port} that does not answer us: {reason}; stop that one first"
            ));
        }
        Resident::Stranger => {
            return other(format!(
                "another program has port {port} (`lsof -i :{port}` names it); stop that one, or choose \
                 another port with `--port` or in {}",
                wanted.job.config
            ));
        }
        Resident::Ours(told) => told,
    };
    let (noted, _) = instance::noted(&wanted.machine.env, port, printer);
    let noted = noted.filter(|noted| told.health.instance.as_ref() == Some(&noted.instance));
    match noted {
        Some(noted) if is_service(&noted) => Occupant::Service,
        Some(noted) => match &noted.supervisor {
            Some(supervisor) => other(format!(
                "{} runs an api-key-lb on port {port} already; remove it there first",
                supervisor::name(supervisor)
            )),
            None if noted.log.is_some() => Occupant::Detached,
            None => other(format!(
                "an api-key-lb (process {}) runs on port {port} in a terminal or under another program; end \
                 it there (or `api-key-lb stop --port {port}`), then do this again",
                noted.pid
            )),
        },
        None => other(format!(
            "another user's api-key-lb, or one with another $HOME or $XDG_STATE_HOME, runs on port {port}; \
             stop that one first"
        )),
    }
}

/// What to say of the npm package, where nothing but its user can stop it.
pub(super) fn predecessor(port: u16) -> String {
    format!("nothing was installed, because port {port} is taken: {STOP_PREDECESSOR}")
}

/// Stops the proxy in the background; its running answers may finish.
pub(super) fn stop(wanted: &Wanted, printer: &Printer) -> anyhow::Result<()> {
    let place = wanted.place();
    let exit = stop::run(&StopArgs { place }, printer)?;
    anyhow::ensure!(
        exit == Exit::Success,
        "the proxy that runs in the background was not stopped, so nothing can take its port"
    );
    Ok(())
}

/// Waits until a proxy of ours answers there.
pub(super) fn serves(wanted: &Wanted, patience: Duration) -> bool {
    wait(patience, || {
        matches!(
            instance::ask(wanted.address(), wanted.client_token.as_ref()),
            Resident::Ours(_)
        )
    })
}

/// Waits until nobody listens there.
pub(super) fn is_free(address: SocketAddr, patience: Duration) -> bool {
    wait(patience, || {
        matches!(instance::ask(address, None), Resident::Nobody)
    })
}

/// Whether `condition` holds before `patience` ends.
pub(super) fn wait(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    while !condition() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(POLL);
    }
    true
}
