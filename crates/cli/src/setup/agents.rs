//! The step of `setup` that points agents at the proxy: look, show, ask, change.

use std::path::Path;

use api_key_lb_agents::agent::{Agent, Machine};
use api_key_lb_agents::agents::AGENTS;
use api_key_lb_agents::aim::{Aim, Pool};
use api_key_lb_control::{Config, Environment};

use crate::instance;
use crate::printer::{self, Printer};
use crate::prompt;
use crate::render::path_of;

use super::apply::{Run, apply};
use super::journal::{Base, Journal, identity};
use super::show;
use super::survey::{Finding, look, machine};

/// Which agents are meant, and how far to go.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    /// Only these; all if empty.
    pub(crate) only: Vec<String>,
    /// Not these.
    pub(crate) except: Vec<String>,
    /// Ask before each one.
    pub(crate) ask: bool,
    /// Only show.
    pub(crate) dry: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What must be started anew, for each agent that was changed.
    pub(crate) restart: Vec<String>,
    /// Whether a file could not be changed.
    pub(crate) failed: bool,
}

/// The agents that are meant.
///
/// # Errors
/// If one of the names is none; for a person.
pub(crate) fn chosen(wish: &Wish) -> Result<Vec<&'static dyn Agent>, String> {
    if let Some(unknown) = wish
        .only
        .iter()
        .chain(&wish.except)
        .find(|id| AGENTS.iter().all(|agent| agent.id() != id.as_str()))
    {
        let known: Vec<&str> = AGENTS.iter().map(|agent| agent.id()).collect();
        return Err(format!(
            "there is no agent called `{unknown}`; name some of {}",
            known.join(", ")
        ));
    }
    let is_meant = |agent: &&dyn Agent| {
        let named = |ids: &[String]| ids.iter().any(|id| id == agent.id());
        (wish.only.is_empty() || named(&wish.only)) && !named(&wish.except)
    };
    Ok(AGENTS.iter().copied().filter(is_meant).collect())
}

/// Where the URLs of agents shall lead: to the pools of `config`, wherever they lead to now or led before.
pub(crate) fn aim(config: &Config, journal: &Journal) -> Aim {
    let mut aim = Aim::default();
    let mut names = Vec::new();
    for pool in config.plan.pools() {
        names.push(pool.name.clone());
        aim.pools.push(Pool {
            target: pool.target.to_string(),
            base: base(config, &pool.name),
        });
    }
    let place = config.file.as_deref().map(identity).unwrap_or_default();
    // Another proxy's base is not where this one was before: its agents are with another provider.
    let of_this = |known: &&Base| known.config == place;
    for known in journal.bases.iter().filter(of_this) {
        let at = names.iter().position(|name| *name == known.pool);
        if let Some(at) = at
            && aim
                .pools
                .get(at)
                .is_some_and(|pool| pool.target == known.target)
            && aim.pools.iter().all(|pool| pool.base != known.url)
        {
            aim.former.push((known.url.clone(), at));
        }
    }
    // The longest first: the base of a named pool begins with that of the one without a name.
    aim.former
        .sort_by_key(|(url, _)| std::cmp::Reverse(url.len()));
    aim
}

/// The URL under which agents reach a pool.
fn base(config: &Config, pool: &str) -> String {
    let address = instance::address(&config.listen.hosts, config.listen.port);
    format!("http://{address}{}", path_of(pool).trim_end_matches('/'))
}

/// Does the step.
///
/// # Errors
/// If nothing can be noted or printed, or nobody answers. A file that cannot be changed is said and counted.
pub(crate) fn run(
    agents: &[&'static dyn Agent],
    config: &Config,
    (env, state): (&Environment, &Path),
    wish: &Wish,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let Some(machine) = machine(env) else {
        return Ok(outcome);
    };
    let mut journal = Journal::load(state)?;
    let aim = aim(config, &journal);
    let place = config.file.as_deref().map(identity).unwrap_or_default();
    let run = Run::now(place.clone(), state);
    let mut is_first = true;
    for agent in agents {
        let Some(finding) = look(*agent, &aim, &machine) else {
            continue;
        };
        if std::mem::take(&mut is_first) {
            printer.say(format!("\n{}", printer::strong("Agents")))?;
        }
        printer.say(indented(&show::finding(&finding, &machine.home)))?;
        if finding.files.is_empty() || wish.dry {
            continue;
        }
        if wish.ask && !prompt::yes("  Change this?", true)? {
            continue;
        }
        for pool in config.plan.pools() {
            journal.know(Base {
                url: base(config, &pool.name),
                pool: pool.name.clone(),
                config: place.clone(),
                target: pool.target.to_string(),
            });
        }
        if change(&finding, &run, &machine, &mut journal, printer)? {
            outcome.restart.push(finding.agent.restart().to_owned());
        } else {
            outcome.failed = true;
        }
    }
    if is_first {
        printer.say(
            "\nNo agent that setup knows is on this machine yet; run it again when there is one.",
        )?;
    }
    Ok(outcome)
}

/// Changes the files of one agent; says whether all of them.
fn change(
    finding: &Finding,
    run: &Run,
    machine: &Machine,
    journal: &mut Journal,
    printer: &Printer,
) -> anyhow::Result<bool> {
    let mut all = true;
    for file in &finding.files {
        let applied = apply(finding.agent.id(), file, run, journal);
        match applied {
            Ok(()) => printer.say(format!(
                "  {} {}",
                printer::good("Changed"),
                show::tilde(&file.edit.path, &machine.home)
            ))?,
            Err(error) => {
                all = false;
                printer.failure(&error);
            }
        }
    }
    Ok(all)
}

fn indented(text: &str) -> String {
    format!("  {}", text.replace('\n', "\n  "))
}
