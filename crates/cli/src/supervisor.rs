//! What starts this process again when it ends, if anything does: systemd or launchd. It has to be asked
//! to stop it, or it would only start another one.

use std::process::Command;

use api_key_lb_control::Environment;
use api_key_lb_control::runtime_file::Supervisor;

/// What systemd sets for the process it starts, and its children inherit: whoever has another number
/// was started by one of those.
const STARTED: &str = "SYSTEMD_EXEC_PID";
/// What systemd's managers of users set.
const USERS_OWN: &str = "MANAGERPID";
/// Where a unit that may tell something is listened to.
const NOTIFY: &str = "NOTIFY_SOCKET";
/// The unit, where the control group does not tell it: `Environment=AKLB_UNIT=%n`.
const UNIT: &str = "AKLB_UNIT";
/// What launchd sets to the label of a job, and in terminals to something else.
const JOB: &str = "XPC_SERVICE_NAME";
/// The process of launchd.
const LAUNCHD: u32 = 1;

/// What supervises this process.
pub(crate) fn of_process(env: &Environment) -> Option<Supervisor> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    of(env, std::process::id(), parent(), &groups)
}

#[cfg(unix)]
fn parent() -> Option<u32> {
    let pid = rustix::process::getppid()?;
    u32::try_from(pid.as_raw_nonzero().get()).ok()
}

#[cfg(not(unix))]
fn parent() -> Option<u32> {
    None
}

fn of(env: &Environment, pid: u32, parent: Option<u32>, groups: &str) -> Option<Supervisor> {
    if env.var(STARTED).and_then(|number| number.parse().ok()) == Some(pid) {
        let unit = env.var(UNIT).or_else(|| unit_of(groups))?;
        return Some(Supervisor::Systemd {
            unit: unit.to_owned(),
            user: env.var(USERS_OWN).is_some(),
            notify: env.var(NOTIFY).is_some(),
        });
    }
    let label = env.var(JOB)?;
    let is_job = label != "0" && !label.starts_with("application.");
    (is_job && parent == Some(LAUNCHD)).then(|| Supervisor::Launchd {
        label: label.to_owned(),
    })
}

/// The service of a control group of version 2, or of systemd's own of version 1.
fn unit_of(groups: &str) -> Option<&str> {
    let path = groups.lines().find_map(|line| {
        line.strip_prefix("0::")
            .or_else(|| line.split_once(":name=systemd:").map(|(_, path)| path))
    })?;
    let units = path.rsplit('/');
    units
        .map(str::trim)
        .find(|part| part.ends_with(".service") && !part.starts_with("user@"))
}

/// What a supervisor is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Stop,
    Restart,
}

/// The command that asks it. `sockets` are the units of systemd that would start it again with the next connection.
pub(crate) fn command(
    supervisor: &Supervisor,
    request: Request,
    sockets: &[String],
    uid: u32,
) -> Vec<String> {
    let words: Vec<&str> = match (supervisor, request) {
        (Supervisor::Systemd { user, unit, .. }, request) => {
            let (verb, sockets) = match request {
                Request::Stop => ("stop", sockets),
                Request::Restart => ("restart", [].as_slice()),
            };
            let user = user.then_some("--user");
            ["systemctl"]
                .into_iter()
                .chain(user)
                .chain([verb, "--"])
                // First, or a connection meanwhile would start it once more.
                .chain(sockets.iter().map(String::as_str))
                .chain([unit.as_str()])
                .collect()
        }
        // It stays away until it is loaded again; merely ended, it would come back.
        (Supervisor::Launchd { .. }, Request::Stop) => vec!["launchctl", "bootout"],
        (Supervisor::Launchd { .. }, Request::Restart) => vec!["launchctl", "kickstart", "-k"],
    };
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    if let Supervisor::Launchd { label } = supervisor {
        words.push(if uid == 0 {
            format!("system/{label}")
        } else {
            format!("gui/{uid}/{label}")
        });
    }
    words
}

/// Asks it, and waits for its answer; the command is named in any case.
pub(crate) fn ask(supervisor: &Supervisor, request: Request) -> (String, Result<(), String>) {
    let words = command(supervisor, request, &sockets(supervisor), uid());
    let line = words.join(" ");
    let Some((program, args)) = words.split_first() else {
        return (line, Ok(()));
    };
    let answer = match Command::new(program).args(args).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed ({status})")),
        Err(error) => Err(format!("cannot run `{line}`: {error}")),
    };
    (line, answer)
}

/// The sockets that systemd would start the unit for; none if it does not say.
fn sockets(supervisor: &Supervisor) -> Vec<String> {
    let Supervisor::Systemd { unit, user, .. } = supervisor else {
        return Vec::new();
    };
    let mut command = Command::new("systemctl");
    command.args(user.then_some("--user"));
    let shown = command
        .args(["show", "--property=TriggeredBy", "--", unit])
        .output();
    let shown = shown.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    triggers(&shown.unwrap_or_default())
}

fn triggers(shown: &str) -> Vec<String> {
    let mut lines = shown.lines();
    let units = lines.find_map(|line| line.strip_prefix("TriggeredBy="));
    units
        .unwrap_or_default()
        .split_whitespace()
        .filter(|unit| unit.ends_with(".socket"))
        .map(str::to_owned)
        .collect()
}

#[cfg(unix)]
fn uid() -> u32 {
    rustix::process::getuid().as_raw()
}

#[cfg(not(unix))]
fn uid() -> u32 {
    0
}

/// What it is called.
pub(crate) fn name(supervisor: &Supervisor) -> String {
    match supervisor {
        Supervisor::Systemd { unit, .. } => format!("systemd ({unit})"),
        Supervisor::Launchd { label } => format!("launchd ({label})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(vars: &[(&str, &str)]) -> Environment {
        Environment {
            vars: vars
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Environment::default()
        }
    }

    const USER: &str = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/lb.service\n";

    #[test]
    fn only_the_process_that_systemd_started_is_its_unit() {
        let started = env(&[("SYSTEMD_EXEC_PID", "42"), ("MANAGERPID", "900")]);
        assert_eq!(
            of(&started, 42, Some(900), USER),
            Some(Supervisor::Systemd {
                unit: "lb.service".into(),
                user: true,
                notify: false,
            })
        );
        assert_eq!(
            of(&started, 43, Some(42), USER),
            None,
            "started in its shell"
        );
        assert_eq!(of(&env(&[("INVOCATION_ID", "a")]), 42, None, USER), None);
    }

    #[test]
    fn the_unit_is_the_innermost_service_or_what_the_unit_says() {
        for (groups, unit) in [
            (
                "12:cpu:/x\n1:name=systemd:/system.slice/lb.service\n",
                Some("lb.service"),
            ),
            ("0::/system.slice/lb.service/sub", Some("lb.service")),
            ("0::/user.slice/user@1000.service/vte.scope", None),
            ("0::/", None),
        ] {
            assert_eq!(unit_of(groups), unit, "{groups}");
        }
        let named = env(&[("SYSTEMD_EXEC_PID", "42"), ("AKLB_UNIT", "own.service")]);
        assert_eq!(
            of(&named, 42, Some(1), "0::/"),
            Some(Supervisor::Systemd {
                unit: "own.service".into(),
                user: false,
                notify: false,
            })
        );
    }

    #[test]
    fn a_job_of_launchd_is_told_from_a_terminal() {
        let job = env(&[("XPC_SERVICE_NAME", "com.example.lb")]);
        assert!(matches!(
            of(&job, 9, Some(1), ""),
            Some(Supervisor::Launchd { .. })
        ));
        assert_eq!(of(&job, 9, Some(77), ""), None);
        for label in ["0", "application.com.apple.Terminal.1"] {
            assert_eq!(
                of(&env(&[("XPC_SERVICE_NAME", label)]), 9, Some(1), ""),
                None
            );
        }
    }

    #[test]
    fn each_supervisor_is_asked_in_its_own_way() {
        let systemd = |user| Supervisor::Systemd {
            unit: "lb.service".into(),
            user,
            notify: false,
        };
        let launchd = Supervisor::Launchd {
            label: "com.example.lb".into(),
        };
        for (supervisor, request, uid, line) in [
            (
                systemd(true),
                Request::Stop,
                7,
                "systemctl --user stop -- lb.service",
            ),
            (
                systemd(false),
                Request::Restart,
                0,
                "systemctl restart -- lb.service",
            ),
            (
                launchd.clone(),
                Request::Stop,
                7,
                "launchctl bootout gui/7/com.example.lb",
            ),
            (
                launchd,
                Request::Restart,
                0,
                "launchctl kickstart -k system/com.example.lb",
            ),
        ] {
            assert_eq!(command(&supervisor, request, &[], uid).join(" "), line);
        }
    }

    #[test]
    fn what_would_start_it_again_is_stopped_first_and_stays_at_a_restart() {
        let sockets = triggers("Id=x\nTriggeredBy=lb.timer lb.socket\n");
        assert_eq!(sockets, ["lb.socket"]);
        assert_eq!(triggers("TriggeredBy=\n"), [""; 0]);
        let supervisor = Supervisor::Systemd {
            unit: "lb.service".into(),
            user: true,
            notify: true,
        };
        let line = |request| command(&supervisor, request, &sockets, 7).join(" ");
        assert_eq!(
            line(Request::Stop),
            "systemctl --user stop -- lb.socket lb.service"
        );
        assert_eq!(
            line(Request::Restart),
            "systemctl --user restart -- lb.service"
        );
    }
}
