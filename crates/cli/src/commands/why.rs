//! `api-key-lb why`: how a request is recognised, and which key it gets. Sends nothing upstream.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use api_key_lb_control::config::DEFAULT_TARGET;
use api_key_lb_control::runtime_file::Instance;
use api_key_lb_control::{Config, Environment, Flags};
use api_key_lb_core::Secret;
use api_key_lb_core::plan::{Guard, Limits, Plan, Pool, Recognition, Timing};
use api_key_lb_core::target::Target;
use api_key_lb_engine::State;

use crate::admin::WHY_PATH;
use crate::args::WhyArgs;
use crate::exit::Exit;
use crate::instance::{self, Resident};
use crate::pasted::{self, MOST_BYTES, Pasted};
use crate::printer::Printer;
use crate::why::{self, Asked, Names, Said, Why};

use super::{status, stop, why_past};

/// How long the proxy may take: reading the largest request takes it a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(10);
/// How standard input is named.
const STDIN: &str = "-";

/// Runs the command.
pub(super) fn run(args: &WhyArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let file = match (&args.request, &args.id) {
        (Some(file), _) => file,
        (None, id) => return why_past::run(args, id.as_deref().unwrap_or_default(), printer),
    };
    let input = match read(file, printer) {
        Ok(input) => input,
        Err(why) => {
            printer.error(why);
            return Ok(Exit::Failure);
        }
    };
    let pasted = match pasted::parse(&input, &|file| std::fs::read(file)) {
        Ok(pasted) => pasted,
        Err(error) => {
            printer.error(error);
            return Ok(Exit::Failure);
        }
    };
    let asked = question(&pasted);
    let env = Environment::of_process();
    let flags = args.place.flags();
    let contact = Config::contact_lenient(&flags, &env);
    let (port, client_token) = (contact.port, contact.client_tokens.first());
    let address = instance::address(&contact.hosts, port);
    let answer = match instance::ask_own(address, client_token, &env) {
        Resident::Ours(told) => {
            let (noted, _) = instance::noted(&env, port, printer);
            match noted.filter(|noted| told.health.instance.as_deref() == Some(&noted.instance)) {
                Some(noted) => Ok(ask(&asked, &noted, address, client_token)?),
                None => Err(Said::new("not_asked", stop::unknown(&told.health, port))),
            }
        }
        Resident::Predecessor(_) => Err(Said::new("not_asked", status::STOP_PREDECESSOR)),
        Resident::Nobody => Err(Said::new("not_running", "the proxy is not running")),
        other => Err(Said::new("not_asked", status::absence(&other, port))),
    };
    let mut why = match answer {
        Ok(why) => why,
        Err(reason) => imagined(&asked, reason, &flags, &env)?,
    };
    why.notes.extend(pasted.notes);
    if args.json {
        printer.answer(serde_json::to_string_pretty(&why)?)?;
    } else {
        printer.answer(why::text(&why))?;
    }
    Ok(Exit::Success)
}

/// The content of the file; the error is for a person.
fn read(file: &Path, printer: &Printer) -> Result<Vec<u8>, String> {
    let name = file.display().to_string();
    let mut input = Vec::new();
    let most = MOST_BYTES as u64 + 1;
    let read = if name == STDIN {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            printer.note("reading the request from the terminal; end it with Ctrl-D");
        }
        stdin.lock().take(most).read_to_end(&mut input)
    } else if name.contains(char::is_whitespace) && !file.exists() {
        // Not repeated: there may be a credential in it.
        return Err(
            "`--request` names no file; write the request into a file and name that, or give it \
             on the standard input with `--request -`"
                .to_owned(),
        );
    } else {
        std::fs::File::open(file).and_then(|file| file.take(most).read_to_end(&mut input))
    };
    read.map_err(|error| {
        format!(
            "cannot read `{name}`: {error}; name a file with a request, or `-` for the standard input"
        )
    })?;
    if input.len() > MOST_BYTES {
        return Err("the request is longer than 32 MiB; leave a part of it out".to_owned());
    }
    Ok(input)
}

fn question(pasted: &Pasted) -> Asked {
    Asked {
        method: pasted.method.to_string(),
        path: pasted.target.clone(),
        headers: pasted
            .headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes());
                (name.to_string(), value.into_owned())
            })
            .collect(),
        body: String::from_utf8_lossy(&pasted.body).into_owned(),
    }
}

/// What the running proxy answers.
fn ask(
    asked: &Asked,
    noted: &Instance,
    address: SocketAddr,
    client_token: Option<&Secret>,
) -> anyhow::Result<Why> {
    let body = serde_json::to_vec(asked)?;
    let answer = instance::command(address, client_token, noted, WHY_PATH, &body, PATIENCE)
        .context("cannot ask the proxy")?;
    if answer.status != 200 {
        let json = answer.json().unwrap_or_default();
        let reason = json["error"]["message"]
            .as_str()
            .unwrap_or("no reason given");
        anyhow::bail!(
            "the proxy does not explain this request (status {}): {reason}",
            answer.status
        );
    }
    serde_json::from_slice(&answer.body)
        .context("the running proxy is of another version and explains in other words; restart it")
}

/// What a freshly started proxy would do. `reason` says why no running one was asked.
fn imagined(asked: &Asked, reason: Said, flags: &Flags, env: &Environment) -> anyhow::Result<Why> {
    let (plan, names, proxy) = match Config::load(flags, env) {
        Ok(config) => {
            let text = format!(
                "{}; this is what a freshly started one would do",
                reason.text
            );
            let proxy = Said::new(&reason.code, text);
            (config.plan, config.accounts, proxy)
        }
        Err(_) => {
            let text = format!(
                "{}, and there is no usable configuration (`api-key-lb start` says why): only rule and \
                 session can be told, as the built-in rules have them",
                reason.text
            );
            let proxy = Said::new("not_configured", text);
            (bare_plan()?, BTreeMap::new(), proxy)
        }
    };
    imagine(plan, &names, asked, proxy)
}

fn imagine(plan: Plan, names: &Names, asked: &Asked, proxy: Said) -> anyhow::Result<Why> {
    let state = State::new(plan);
    Why::of(&state, names, asked, proxy).context("the request is not one that HTTP allows")
}

/// A plan without any key.
fn bare_plan() -> anyhow::Result<Plan> {
    let target = Target::parse(DEFAULT_TARGET).context("the default target is no URL")?;
    Ok(Plan {
        default_pool: Some(Pool {
            lists: api_key_lb_core::plan::Lists::First,
            name: String::new(),
            target: Arc::new(target),
            keys: Vec::new(),
        }),
        named_pools: Vec::new(),
        guard: Guard::default(),
        timing: Timing::default(),
        limits: Limits::default(),
        recognition: Recognition::default(),
        pacing: api_key_lb_core::plan::Pacing::default(),
        answer_headers: true,
        include_usage: false,
        error_rules: Vec::new(),
    })
}
