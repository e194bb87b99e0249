//! `api-key-lb demo`: the newcomer's command. Tells, live, what the proxy does with real requests.

mod script;
mod stage;
mod story;

use std::time::{Duration, Instant};

use anyhow::Context as _;

use api_key_lb_control::Environment;
use api_key_lb_control::config::DEFAULT_PORT;
use api_key_lb_control::runtime_file;

use crate::args::DemoArgs;
use crate::duties::Duties;
use crate::exit::Exit;
use crate::log::Log;
use crate::printer::{self, Printer};
use crate::render::{grouped, millis};
use crate::server::Host;

use script::{AGENTS, Conversation, MODEL, TURNS};
use stage::Stage;
use story::{Step, Story, percent};

/// The turn in which a key is throttled: caches are warm, and there is a turn left to return.
const THROTTLED_TURN: usize = 3;
/// How long the provider says to wait: longer than a slow machine needs for the turn.
const THROTTLE: Duration = Duration::from_secs(2);
/// The proxy must be done with a cooldown of [`THROTTLE`] by then.
const COOLDOWN_DEADLINE: Duration = Duration::from_secs(6);

/// Runs the command.
pub(crate) fn run(args: &DemoArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let stage = Stage::build(
        args.port.unwrap_or(DEFAULT_PORT),
        args.port.is_some(),
        printer,
    )?;
    introduce(&stage, args, printer)?;
    let mut requests = Vec::new();
    let story = tell(&stage, &mut requests, printer)?;
    summarise(&story, &requests, printer)?;
    let untrue = story.untrue();
    for what in &untrue {
        printer.error(what);
    }
    if !untrue.is_empty() {
        printer.error(format!(
            "the demo did not come true in {} points",
            untrue.len()
        ));
    }
    if args.once {
        stage.server.abandon();
        return Ok(if untrue.is_empty() {
            Exit::Success
        } else {
            Exit::Failure
        });
    }
    stay(stage, printer)
}

fn introduce(stage: &Stage, args: &DemoArgs, printer: &Printer) -> anyhow::Result<()> {
    let port = stage.address.port();
    if args.port.is_none() && port != DEFAULT_PORT {
        printer.note(format!(
            "port {DEFAULT_PORT} is taken, so the proxy of this demo listens on {port}"
        ));
    }
    printer.say(printer::strong(
        "api-key-lb demo: all of it happens in this process, offline",
    ))?;
    printer.say(format!(
        "  Provider  {} (a mock that throttles and caches like a real one)",
        stage.mock.url()
    ))?;
    printer.say(format!("  Proxy     http://{}", stage.address))?;
    printer.say(format!(
        "  Keys      {}: three accounts, each with a prompt cache of its own",
        Stage::labels().join(", ")
    ))?;
    printer.say(format!(
        "\n{} agents talk to the model through the proxy, one conversation each:\n",
        AGENTS.len()
    ))?;
    let heading = format!(
        "  {:<6}{:<10}{:<7}{:<10}{:>25}  {:>7}",
        "turn", "agent", "key", "affinity", "from cache / prompt", "time"
    );
    printer.say(printer::faint(heading))?;
    Ok(())
}

/// Lets the agents talk, throttling a key in between; keeps what they sent.
fn tell(stage: &Stage, requests: &mut Vec<Vec<u8>>, printer: &Printer) -> anyhow::Result<Story> {
    let mut conversations = AGENTS.map(Conversation::new);
    let mut story = Story::default();
    for turn in 1..=TURNS {
        let throttled = turn == THROTTLED_TURN;
        if throttled {
            let key = story.home(AGENTS[0]).unwrap_or_default().to_owned();
            stage.throttle(&key, THROTTLE);
            printer.say(printer::striking(format!(
                "  The provider now refuses {key} for {} s (429 with retry-after).",
                THROTTLE.as_secs()
            )))?;
            story.throttled_key = key;
        }
        for conversation in &mut conversations {
            requests.push(conversation.request());
            let (mut step, said) = stage.ask(conversation, turn);
            step.throttled = throttled;
            conversation.go_on(said.as_deref().unwrap_or("(no answer)"));
            printer.say(line(&step, &story.throttled_key))?;
            story.steps.push(step);
        }
        if throttled {
            wait_for(stage, &story.throttled_key, printer)?;
        }
    }
    Ok(story)
}

/// Waits until the key may be used again: the one pause the story needs.
fn wait_for(stage: &Stage, key: &str, printer: &Printer) -> anyhow::Result<()> {
    let deadline = Instant::now() + COOLDOWN_DEADLINE;
    let began = Instant::now();
    loop {
        let left = stage.cooldown(key);
        if left.is_zero() || Instant::now() >= deadline {
            break;
        }
        std::thread::sleep(left.min(THROTTLE));
    }
    printer.say(printer::striking(format!(
        "  {} later {key} may be used again.",
        millis(began.elapsed())
    )))?;
    Ok(())
}

/// One answered request as a line.
fn line(step: &Step, throttled_key: &str) -> String {
    let tokens = format!("{} / {}", grouped(step.cached), grouped(step.prompt));
    let affinity = match step.affinity.as_str() {
        "borrowed" => printer::striking(format!("{:<10}", step.affinity)),
        "home" => printer::good(format!("{:<10}", step.affinity)),
        other => format!("{other:<10}"),
    };
    let remark = if step.status != 200 {
        format!("  status {}", step.status)
    } else if step.attempts > 1 {
        format!(
            "  {throttled_key} answered 429, sent again with {}",
            step.key
        )
    } else if step.throttled && step.affinity == "borrowed" {
        format!("  {throttled_key} is known to be throttled, not even asked")
    } else {
        String::new()
    };
    format!(
        "  {:<6}{:<10}{:<7}{affinity}{tokens:>18} {:>5}  {:>7}{remark}",
        step.turn,
        step.agent,
        step.key,
        format!("{} %", percent(step.cached, step.prompt)),
        millis(step.took),
    )
}

fn summarise(story: &Story, requests: &[Vec<u8>], printer: &Printer) -> anyhow::Result<()> {
    let totals = story.totals();
    let (turn_prompt, turn_cached) = stage::with_keys_in_turn(requests)?;
    printer.say(printer::strong("\nWhat happened"))?;
    printer.say(format!(
        "  {} requests over {} keys; {} refused by the provider and sent again with another key; \
         {} failed for an agent",
        totals.requests, totals.keys, totals.retried, totals.failed
    ))?;
    printer.say(format!(
        "  every conversation had one key, but for the {} s in which {} was throttled",
        THROTTLE.as_secs(),
        story.throttled_key
    ))?;
    printer.say(format!(
        "  {} of {} prompt tokens came from the provider's cache ({} %)",
        printer::strong(grouped(totals.cached)),
        grouped(totals.prompt),
        percent(totals.cached, totals.prompt)
    ))?;
    printer.say(format!(
        "  {} of {} ({} %) with the keys simply in turn, measured with the same requests",
        grouped(turn_cached),
        grouped(turn_prompt),
        percent(turn_cached, turn_prompt)
    ))?;
    Ok(())
}

/// Leaves the proxy running for the person's own requests.
fn stay(mut stage: Stage, printer: &Printer) -> anyhow::Result<Exit> {
    let host = Host::prepare().context("cannot wait for Ctrl-C")?;
    let dir = runtime_file::state_dir(&Environment::of_process());
    stage.server.announce(dir, printer);
    let address = stage.address;
    printer.answer(format!(
        "\nThe proxy stays at http://{address} until Ctrl-C. Try it:\n\n  \
         curl -i http://{address}/v1/chat/completions \\\n    \
         -H 'content-type: application/json' -H 'x-session-id: me' \\\n    \
         -d '{{\"model\":\"{MODEL}\",\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'\n\n  \
         curl http://{address}/health\n\n\
         With keys of your own: api-key-lb setup --keys KEY1,KEY2 --target https://api.openai.com\n"
    ))?;
    // What the agents did has been told already.
    let _told = stage.server.state().facts().wait(Duration::ZERO);
    let log = Log::start(
        stage.server.state().clone(),
        stage.server.live().clone(),
        None,
        stage.server.observer().clone(),
        *printer,
    )?;
    let duties = Duties {
        log: Some(log),
        ..Duties::default()
    };
    let ending = host.serve(stage.server, duties, printer)?;
    Ok(ending.into())
}
