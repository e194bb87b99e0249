//! `api-key-lb service`: has systemd or launchd run the proxy.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api_key_lb_control::Environment;

use crate::exit::Exit;
use crate::printer::{self, Printer};
use crate::render;
use crate::service::{
    self, Change, Installed, Machine, Manager, Removal, Removed, Report, ServiceArgs, ServiceOrder,
    Wanted,
};

/// Exit code of `status` if the service does not run, as `systemctl status` has it.
const NOT_ACTIVE: u8 = 3;
/// Exit code of `status` if there is none, as `systemctl status` has it.
const NOT_INSTALLED: u8 = 4;

/// Runs the command.
pub(super) fn run(args: &ServiceArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let manager = args.manager.unwrap_or(Manager::of_system());
    let machine = Machine::of_process(&Environment::of_process(), manager)?;
    match &args.order {
        ServiceOrder::Install { place, force } => {
            // Before the configuration is complained about: without a manager it does not matter.
            if let service::Availability::No(why) = service::is_available(&machine) {
                anyhow::bail!(why);
            }
            let wanted = Wanted::of(place, *force, machine)?;
            for warning in &wanted.warnings {
                printer.warn(warning);
            }
            installed(&service::install(&wanted, printer)?, printer)
        }
        ServiceOrder::Uninstall { force, restore } => {
            let removal = Removal {
                force: *force,
                restore: *restore,
            };
            removed(&service::uninstall(&machine, removal, printer)?, printer)
        }
        ServiceOrder::Status { json } => status(service::status(&machine)?, *json, printer),
        ServiceOrder::Logs { follow, lines } => service::logs(&machine, *follow, *lines),
    }
}

fn installed(installed: &Installed, printer: &Printer) -> anyhow::Result<Exit> {
    let port = installed.port;
    if let Some(path) = &installed.predecessor {
        printer.note(format!(
            "it replaces the npm package's service, which is kept in {}; `api-key-lb service uninstall \
             --restore` puts it back",
            path.display()
        ));
    }
    let (verb, rest) = match installed.change {
        Change::None => {
            printer.say(format!(
                "Nothing to do: the service is installed and runs on port {port}"
            ))?;
            return Ok(Exit::Success);
        }
        Change::New => ("Installed", "runs now and from every login on"),
        Change::Updated => ("Updated", "runs with what has changed"),
        Change::Started => ("Started", "runs now and from every login on"),
    };
    printer.say(format!(
        "{} the service: http://127.0.0.1:{port} {rest}",
        printer::good(verb)
    ))?;
    for file in &installed.files {
        printer.say(format!("  File     {}", file.display()))?;
    }
    printer.say("  Log      api-key-lb service logs --follow")?;
    Ok(Exit::Success)
}

fn removed(removed: &Removed, printer: &Printer) -> anyhow::Result<Exit> {
    if removed.files.is_empty() {
        printer.say("Nothing to do: no service is installed")?;
    } else {
        printer.say(format!(
            "{} the service; the configuration and what the proxy remembers stay",
            printer::good("Removed")
        ))?;
    }
    for file in &removed.files {
        printer.say(format!("  File     {}", file.display()))?;
    }
    if let Some(path) = &removed.restored {
        printer.say(format!(
            "{} the npm package's service: {}",
            printer::good("Restored"),
            path.display()
        ))?;
    }
    if let Some(path) = &removed.kept {
        printer.note(format!(
            "the npm package's service is still kept in {}; `api-key-lb service uninstall --restore` puts it back",
            path.display()
        ));
    }
    Ok(Exit::Success)
}

fn status(report: Option<Report>, json: bool, printer: &Printer) -> anyhow::Result<Exit> {
    let Some(report) = report else {
        if json {
            printer.answer(r#"{"installed":false,"active":false}"#)?;
        } else {
            printer.error(
                "no service is installed; `api-key-lb service install` does that, and `api-key-lb status` \
                 says whether a proxy runs without one",
            );
        }
        return Ok(Exit::Code(NOT_INSTALLED));
    };
    if json {
        let mut value = serde_json::to_value(&report)?;
        value["installed"] = true.into();
        printer.answer(value)?;
    } else {
        printer.answer(text(&report))?;
    }
    Ok(if report.active {
        Exit::Success
    } else {
        Exit::Code(NOT_ACTIVE)
    })
}

fn text(report: &Report) -> String {
    let mut text = format!("{}\n\n", printer::strong("api-key-lb service"));
    let mut row = |name: &str, value: &str| {
        text.push_str(&format!("  {:<11}{value}\n", format!("{name}:")));
    };
    let made = match report.made_by {
        "us" => "",
        "changed" => ", changed by hand since it was installed",
        "npm" => ", by the npm package: `api-key-lb service install` replaces it",
        _ => ", not by `api-key-lb service install`",
    };
    row("Installed", &format!("{}{made}", report.manager));
    row(
        "Enabled",
        if report.enabled {
            "yes, starts at login"
        } else {
            "no"
        },
    );
    row(
        "Active",
        &if report.active {
            printer::good(&report.state)
        } else {
            printer::striking(&report.state)
        },
    );
    if let Some(since) = report.since_ms {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        row(
            "Since",
            &format!(
                "{} ago",
                render::long(now.saturating_sub(Duration::from_millis(since)))
            ),
        );
    }
    if let Some(pid) = report.pid {
        row("Process", &pid.to_string());
    }
    if let Some(port) = report.port {
        row("Port", &port.to_string());
    }
    for (name, value) in [("Program", &report.program), ("Config", &report.config)] {
        if let Some(value) = value {
            row(name, value);
        }
    }
    for file in &report.files {
        row("File", file);
    }
    row("Log", &report.log);
    text.trim_end().to_owned()
}
