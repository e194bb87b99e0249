//! How everything is, in words for people: what `status` shows of a running proxy.

mod table;

use std::fmt::Write as _;
use std::time::Duration;

use api_key_lb_control::observed::{KeyState, SessionState, State};

use crate::printer::{faint, good, striking, strong};
use crate::render::{self, grouped, long};
use table::{Align, Cell, Table};

/// Sessions that are shown; the dashboard shows more.
const MOST_SESSIONS: usize = 10;
/// Cells of a bar.
const BAR: u64 = 8;
/// Below this share (in percent) of a limit, what is left of it is striking.
const LITTLE: u64 = 10;
/// The longest name of a client or model that is shown.
const MOST_NAME: usize = 28;

/// The whole status.
pub(crate) fn text(state: &State) -> String {
    let mut text = render::head(&state.health);
    text.push('\n');
    let mut row = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:<11}{value}", format!("{name}:"));
    };
    row("Requests", &requests(state));
    row("Tokens", &tokens(state));
    row("Saved", &saved(state));
    for (at, problem) in state.problems.iter().enumerate() {
        let name = if at == 0 { "Problems" } else { "" };
        let problem = problem.replace('\n', "\n             ");
        if name.is_empty() {
            let _ = writeln!(text, "             {}", striking(problem));
        } else {
            let _ = writeln!(text, "  {name}:  {}", striking(problem));
        }
    }
    text.push('\n');
    text.push_str(&keys(state));
    if !state.sessions.is_empty() {
        text.push('\n');
        text.push_str(&sessions(state));
    }
    text.trim_end().to_owned()
}

fn requests(state: &State) -> String {
    let totals = &state.totals;
    let mut text = grouped(totals.requests);
    let mut more = vec![format!("{} failed", grouped(totals.errors))];
    more.push(format!("{} throttled", grouped(totals.throttles)));
    if totals.waited_ms > 0 {
        let waited = Duration::from_millis(totals.waited_ms);
        more.push(format!("waited {}", render::millis(waited)));
    }
    let _ = write!(text, " ({})", more.join(", "));
    text
}

fn tokens(state: &State) -> String {
    let totals = &state.totals;
    let mut text = format!(
        "{} of prompts, {} generated",
        short(totals.prompt),
        short(totals.output)
    );
    if let Some(share) = percent(totals.cached, totals.prompt) {
        text = format!(
            "{} of prompts ({share} % cached), {} generated",
            short(totals.prompt),
            short(totals.output)
        );
    }
    if let Some(cost) = totals.cost_usd {
        let _ = write!(text, ", {}", money(cost));
    }
    text
}

fn saved(state: &State) -> String {
    let saved = &state.saved;
    let worth = saved
        .usd
        .map_or(String::new(), |usd| format!(" ({})", money(usd)));
    let plural = |number: u64, noun: &str| {
        let count = usize::try_from(number).unwrap_or(usize::MAX);
        render::count(count, noun)
    };
    format!(
        "{} tokens from caches{worth}, {} that no client saw, {} rescued",
        short(saved.cached_tokens),
        plural(saved.throttles_hidden, "throttle"),
        plural(saved.requests_rescued, "request"),
    )
}

fn keys(state: &State) -> String {
    let mut table = Table::new(&[
        ("Key", Align::Left),
        ("State", Align::Left),
        ("Left", Align::Left),
        ("Requests", Align::Right),
        ("Errors", Align::Right),
        ("Throttled", Align::Right),
        ("Cached", Align::Right),
        ("Sessions", Align::Right),
        ("Running", Align::Right),
    ]);
    for (at, key) in state.keys.iter().enumerate() {
        let number = |number: u64| Cell::plain(grouped(number));
        table.row([
            Cell::plain(name(at, key, state)),
            condition(key, state.now),
            headroom(key),
            number(key.requests),
            number(key.errors),
            number(key.throttles),
            Cell::plain(share(key.cached, key.prompt)),
            number(key.sessions),
            number(key.in_flight),
        ]);
        let mut notes = Vec::new();
        if let Some(reason) = key.reason.as_ref().filter(|_| key.state != "ready") {
            notes.push(reason.clone());
        }
        let health = state.health.keys.get(at);
        if let Some(other) = health.and_then(|key| key.same_account_as.as_ref()) {
            notes.push(format!("shares the account of {other}, and so its limits"));
        }
        if !notes.is_empty() {
            table.note(faint(notes.join("; ")));
        }
    }
    table.text()
}

/// `Key #0 work zai (sk-abcd...)`, as the package this replaces named them, and what people call it.
fn name(at: usize, key: &KeyState, state: &State) -> String {
    let mut name = format!("Key #{at} {}", key.label);
    if !key.pool.is_empty() {
        let _ = write!(name, " {}", render::path_of(&key.pool));
    }
    if let Some(health) = state.health.keys.get(at) {
        let _ = write!(name, " ({}...)", health.key.trim_end_matches('.'));
    }
    name
}

/// In what state it is, and for how long.
fn condition(key: &KeyState, now: u64) -> Cell {
    let left = key.until_ms.map(|until| until.saturating_sub(now));
    let left = left.filter(|left| *left > 0).map(Duration::from_millis);
    let mut words = key.state.clone();
    if let Some(left) = left {
        let _ = write!(words, " {}", long(left));
    }
    if let Some(models) = key.models {
        let models = usize::try_from(models).unwrap_or(usize::MAX);
        let _ = write!(words, ", {}", render::count(models, "model"));
    }
    let style = match key.state.as_str() {
        "ready" => good,
        "recovering" => strong,
        _ => striking,
    };
    Cell::styled(words, style)
}

/// What is left of the limit that is nearest.
fn headroom(key: &KeyState) -> Cell {
    let shares = key.headroom.iter().filter_map(|limit| {
        let share = percent(limit.remaining, limit.limit)?;
        Some((share, limit))
    });
    let Some((share, limit)) = shares.min_by_key(|(share, _)| *share) else {
        return Cell::plain("–");
    };
    let full = (share * BAR).div_ceil(100).min(BAR);
    let bar: String = (0..BAR)
        .map(|at| if at < full { '█' } else { '░' })
        .collect();
    let what = limit.what.replace('_', " ");
    let words = format!("{bar} {share:>3} % {what}");
    if share < LITTLE {
        Cell::styled(words, striking)
    } else {
        Cell::plain(words)
    }
}

fn sessions(state: &State) -> String {
    let mut table = Table::new(&[
        ("Session", Align::Left),
        ("Client", Align::Left),
        ("Model", Align::Left),
        ("Home", Align::Left),
        ("Moves", Align::Right),
        ("Requests", Align::Right),
        ("Tokens", Align::Right),
        ("Cached", Align::Right),
        ("Last used", Align::Left),
    ]);
    for session in state.sessions.iter().take(MOST_SESSIONS) {
        table.row(row_of(session, state.now));
    }
    let more = state.sessions.len().saturating_sub(MOST_SESSIONS);
    if more > 0 {
        table.note(faint(format!(
            "and {more} more; `api-key-lb dashboard` shows them"
        )));
    }
    table.text()
}

fn row_of(session: &SessionState, now: u64) -> [Cell; 9] {
    let name = |name: &Option<String>| {
        let name = name.as_deref().unwrap_or("–");
        Cell::plain(name.chars().take(MOST_NAME).collect::<String>())
    };
    let ago = Duration::from_millis(now.saturating_sub(session.last_seen));
    [
        Cell::plain(session.id.clone()),
        name(&session.client),
        name(&session.model),
        name(&session.home),
        Cell::plain(grouped(session.moves)),
        Cell::plain(grouped(session.requests)),
        Cell::plain(short(session.prompt)),
        Cell::plain(share(session.cached, session.prompt)),
        Cell::plain(format!("{} ago", long(ago))),
    ]
}

fn percent(part: u64, whole: u64) -> Option<u64> {
    part.min(whole).saturating_mul(100).checked_div(whole)
}

fn share(part: u64, whole: u64) -> String {
    percent(part, whole).map_or_else(|| "–".to_owned(), |share| format!("{share} %"))
}

/// A large number as people say it: `1.3M`.
pub(crate) fn short(number: u64) -> String {
    api_key_lb_control::ledger::count(number)
}

/// An amount in US dollars, with as many digits as it needs.
pub(crate) fn money(usd: f64) -> String {
    match usd.abs() {
        amount if amount >= 0.1 || amount == 0.0 => format!("${usd:.2}"),
        _ => format!("${usd:.4}"),
    }
}

#[cfg(test)]
mod tests;
