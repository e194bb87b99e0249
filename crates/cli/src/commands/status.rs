//! `api-key-lb status`: how the proxy and its keys are doing.

use api_key_lb_control::{Config, Environment};

use crate::args::StatusArgs;
use crate::exit::Exit;
use crate::instance::{self, Resident};
use crate::printer::Printer;
use crate::render;

/// How to stop the npm package of the same name.
pub(crate) const STOP_PREDECESSOR: &str = "\
it is the npm package api-key-lb 1.x; stop it with `npx api-key-lb@1 stop` \
(on macOS first `launchctl unload ~/Library/LaunchAgents/com.api-key-lb.plist`, or it comes back)";

/// Runs the command.
pub(super) fn run(args: &StatusArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let contact = Config::contact_lenient(&args.place.flags(), &Environment::of_process());
    let address = instance::address(&contact.hosts, contact.port);
    let told = match instance::ask(address, contact.client_tokens.first()) {
        Resident::Ours(told) => told,
        Resident::Predecessor(told) => {
            printer.note(STOP_PREDECESSOR);
            told
        }
        other => {
            printer.error(absence(&other, contact.port));
            return Ok(Exit::Failure);
        }
    };
    if args.json {
        printer.answer(told.text.trim_end())?;
    } else {
        printer.answer(render::status(&told.health))?;
    }
    Ok(Exit::Success)
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
    use super::*;

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
