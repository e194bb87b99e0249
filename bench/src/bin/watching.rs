//! What it costs to be watched: CPU time of the workers per request and the time that an event takes, with and
//! without dashboards, scrapers, a log and OpenTelemetry.

#[path = "../difference.rs"]
mod difference;
#[allow(dead_code, reason = "shared with the benchmark of requests")]
#[path = "../load.rs"]
mod load;
#[allow(dead_code, reason = "shared with the benchmark of requests")]
#[path = "../options.rs"]
mod options;
#[path = "../paced.rs"]
mod paced;
#[allow(dead_code, reason = "shared with the benchmark of requests")]
#[path = "../report.rs"]
mod report;
#[allow(dead_code, reason = "shared with the benchmark of requests")]
#[path = "../servers.rs"]
mod servers;
#[path = "../threads.rs"]
mod threads;
#[path = "../traffic.rs"]
mod traffic;
#[path = "../watchers.rs"]
mod watchers;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use difference::{each, range};
use load::{Answer, Client, Load};
use options::Options;
use paced::quantile;
use report::cell;
use servers::{Scratch, Server};
use threads::Threads;
use tokio::runtime::Builder;
use traffic::{WORKLOADS, Workload};
use watchers::{Receiver, Watchers};

const HELP: &str = "\
What it costs api-key-lb to be watched: dashboards, scrapers, a log, OpenTelemetry, against none of them.

Usage: bench/watching [--quick] [--rounds N] [--seconds S]";

/// Connections with requests that come at once, and how long each waits between two of them: without a
/// stream some 3,000 requests a second together, with one some 1,000. Neither core is at its limit then.
const CONNECTIONS: usize = 32;
const CHAT_PAUSE: Duration = Duration::from_millis(10);
const STREAM_PAUSE: Duration = Duration::from_millis(30);
/// Part of a measurement's length that is run before it, unmeasured.
const WARM_UP_PART: u32 = 5;
/// Names of the threads that serve begin with this.
const WORKER: &str = "worker-";
/// What being watched may cost the workers per request, in microseconds.
const BUDGET: f64 = 2.0;
/// How long it may take until those who never read are stuck.
const SETTLING: Duration = Duration::from_secs(1);
/// How long what was served last may take to be counted.
const COUNTED_LIMIT: Duration = Duration::from_secs(10);
/// Pause between two looks whether it was.
const COUNTED_PAUSE: Duration = Duration::from_millis(100);
/// What tells the line of a request from others in the log.
const REQUEST_LINE: &str = "\"/v1/chat/completions\"";
/// The part of the events that the slowest ones are above.
const SLOW: f64 = 0.99;

fn say(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

fn progress(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// CPU microseconds per request, by round.
#[derive(Debug, Default)]
struct Costs {
    workers: Vec<f64>,
    others: Vec<f64>,
}

impl Costs {
    fn push(&mut self, (workers, others): (Duration, Duration), answers: u64) {
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / answers as f64;
        self.workers.push(micros(workers));
        self.others.push(micros(others));
    }
}

/// How long events took, by round, in microseconds.
#[derive(Debug, Default)]
struct Times {
    middle: Vec<f64>,
    slow: Vec<f64>,
}

/// What all watched ones were seen doing.
#[derive(Debug, Default)]
struct Seen {
    answers: u64,
    dropped: u64,
    lines: u64,
    scrapes: u64,
    events: u64,
    parcels: u64,
    items: u64,
    items_lost: u64,
}

/// Where a pair runs.
#[derive(Clone, Copy)]
struct Setting {
    /// Names of the unwatched one and of the other, for their files.
    names: [&'static str; 2],
    /// Whether the workers have a core without the other threads.
    is_apart: bool,
}

/// The same proxy twice, one of them watched.
struct Pair {
    watchers: Watchers,
    receiver: Receiver,
    unwatched: Server,
    watched: Server,
    /// Answers of the watched one, those that were not measured included.
    answers: u64,
    setting: Setting,
}

impl Pair {
    fn start(
        ours: &Path,
        upstream: &str,
        scratch: &Scratch,
        pinned: bool,
        setting: Setting,
    ) -> Result<Self, String> {
        let receiver = Receiver::start()?;
        let endpoint = format!("http://{}", receiver.address);
        let settings = [
            ("AKLB_LOG", "requests"),
            ("AKLB_LOG_FORMAT", "json"),
            ("AKLB_OTLP", &*endpoint),
        ];
        let start =
            |name, settings| servers::start_named(ours, upstream, scratch, pinned, name, settings);
        let [unwatched, watched] = setting.names;
        let unwatched = start(unwatched, &[])?;
        let watched = start(watched, &settings)?;
        if pinned && setting.is_apart {
            servers::set_apart(unwatched.pid(), WORKER)?;
            servers::set_apart(watched.pid(), WORKER)?;
        }
        let watchers = Watchers::start(&watched.address)?;
        std::thread::sleep(SETTLING);
        Ok(Self {
            watchers,
            receiver,
            unwatched,
            watched,
            answers: 0,
            setting,
        })
    }

    /// Who is measured in `round`, and whether it is the watched one: each of them first in every other.
    fn turns(&self, round: usize) -> [(bool, &Server); 2] {
        let mut turns = [(false, &self.unwatched), (true, &self.watched)];
        turns.rotate_left(round % 2);
        turns
    }

    /// Adds what the watched one was seen doing; fails if that is not what it did.
    fn seen(&self, scratch: &Scratch, seen: &mut Seen) -> Result<(), String> {
        let end = Instant::now() + COUNTED_LIMIT;
        let (counted, dropped, metrics) = loop {
            let metrics = watchers::scrape(&self.watched.address)?;
            let counted = watchers::sum(&metrics, "api_key_lb_requests_total", "");
            let dropped = watchers::sum(&metrics, "api_key_lb_facts_dropped_total", "");
            if counted + dropped >= self.answers as f64 || Instant::now() > end {
                break (counted, dropped, metrics);
            }
            std::thread::sleep(COUNTED_PAUSE);
        };
        let answers = self.answers;
        if counted + dropped != answers as f64 {
            return Err(format!(
                "{answers} requests were answered, {counted} counted and {dropped} dropped"
            ));
        }
        let items = |result| watchers::sum(&metrics, "api_key_lb_otlp_items_total", result) as u64;
        let (scrapes, events) = self.watchers.told()?;
        let parcels = self.receiver.parcels();
        let log = scratch.output_of(self.setting.names[1]);
        let log = File::open(log).map_err(|error| error.to_string())?;
        let lines = BufReader::new(log).lines().map_while(Result::ok);
        let lines = lines.filter(|line| line.contains(REQUEST_LINE)).count() as u64;
        if scrapes == 0 || events == 0 || parcels == 0 || lines == 0 {
            return Err(format!(
                "it was not watched: {scrapes} scrapes, {events} events of the dashboard, \
                 {parcels} parcels of OpenTelemetry, {lines} lines in the log"
            ));
        }
        seen.answers += answers;
        seen.dropped += dropped as u64;
        seen.lines += lines;
        seen.scrapes += scrapes;
        seen.events += events;
        seen.parcels += parcels;
        seen.items += items("sent");
        seen.items_lost += items("dropped") + items("refused");
        Ok(())
    }
}

/// What the upstream says when asked directly.
async fn expected(upstream: &str, workload: Workload) -> Result<Answer, String> {
    let answer = Client::open(upstream, workload, 0)
        .await?
        .exchange()
        .await?;
    if answer.status != 200 {
        return Err(format!("the upstream answered {answer:?}"));
    }
    Ok(answer)
}

/// Starts a pair for every round: how a process lies in memory makes a larger difference than what is to be
/// found here, so each of them needs many processes.
struct Stage<'a> {
    options: &'a Options,
    ours: &'a Path,
    scratch: &'a Scratch,
    pinned: bool,
    seen: Seen,
}

impl Stage<'_> {
    fn pair(&self, upstream: &str, setting: Setting) -> Result<Pair, String> {
        Pair::start(self.ours, upstream, self.scratch, self.pinned, setting)
    }

    /// Requests whose answers come at once, for every workload.
    async fn at_once(
        &mut self,
        upstream: &str,
        setting: Setting,
        workloads: &[Workload],
    ) -> Result<Vec<[Costs; 2]>, String> {
        let mut costs: Vec<[Costs; 2]> = workloads.iter().map(|_| Default::default()).collect();
        let length = self.options.measure;
        for round in 0..self.options.rounds {
            self.progress("requests", round);
            let mut pair = self.pair(upstream, setting)?;
            let mut watched_answers = 0;
            for (costs, workload) in costs.iter_mut().zip(workloads) {
                let pause = if workload.stream {
                    STREAM_PAUSE
                } else {
                    CHAT_PAUSE
                };
                let expected = expected(upstream, *workload).await?;
                for (is_watched, server) in pair.turns(round) {
                    let address = &server.address;
                    let load = Load::open(address, *workload, CONNECTIONS, expected).await?;
                    let mut load = load.pausing(pause);
                    let warm = load.phase(length / WARM_UP_PART).await?;
                    let before = Threads::of(server.pid());
                    let answers = load.phase(length).await?;
                    let spent = Threads::of(server.pid()).since(&before, WORKER);
                    costs[usize::from(is_watched)].push(spent, answers);
                    if is_watched {
                        watched_answers += warm + answers;
                    }
                }
            }
            pair.answers = watched_answers;
            pair.seen(self.scratch, &mut self.seen)?;
        }
        Ok(costs)
    }

    /// Streams and chats at their own pace.
    async fn paced(
        &mut self,
        upstream: &str,
        setting: Setting,
    ) -> Result<([Costs; 2], [Times; 2]), String> {
        let (mut costs, mut times): ([Costs; 2], [Times; 2]) = Default::default();
        let length = self.options.measure;
        for round in 0..self.options.rounds {
            self.progress(setting.names[1], round);
            let mut pair = self.pair(upstream, setting)?;
            let mut watched_answers = 0;
            for (is_watched, server) in pair.turns(round) {
                let address = &server.address;
                let warm = paced::phase(address, length / WARM_UP_PART).await?;
                let before = Threads::of(server.pid());
                let mut came = paced::phase(address, length).await?;
                let spent = Threads::of(server.pid()).since(&before, WORKER);
                costs[usize::from(is_watched)].push(spent, came.answers);
                let times = &mut times[usize::from(is_watched)];
                times.middle.push(quantile(&mut came.micros, 0.5));
                times.slow.push(quantile(&mut came.micros, SLOW));
                if is_watched {
                    watched_answers += warm.answers + came.answers;
                }
            }
            pair.answers = watched_answers;
            pair.seen(self.scratch, &mut self.seen)?;
        }
        Ok((costs, times))
    }

    fn progress(&self, what: &str, round: usize) {
        let rounds = self.options.rounds;
        progress(&format!("{what}, round {} of {rounds}…", round + 1));
    }
}

fn cpu_table(rows: &[(&str, [Costs; 2])]) -> String {
    let mut out = String::from(
        "| CPU µs per request, median (min–max) | workers, unwatched | workers, watched | ratio | \
         difference | other threads, unwatched | other threads, watched |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
    );
    for (name, [unwatched, watched]) in rows {
        let workers = [&*unwatched.workers, &*watched.workers];
        let _ = writeln!(
            out,
            "| {name} | {} | {} | {} | {} | {} | {} |",
            cell(workers[0], 1),
            cell(workers[1], 1),
            cell(&each(workers, |unwatched, watched| watched / unwatched), 3),
            cell(&each(workers, |unwatched, watched| watched - unwatched), 2),
            cell(&unwatched.others, 1),
            cell(&watched.others, 1),
        );
    }
    out
}

fn times_table(rows: &[(&str, [Times; 2])]) -> String {
    let mut out = String::from(
        "| An event from upstream to client, µs | unwatched | watched | difference |\n|---|--:|--:|--:|\n",
    );
    for (name, [unwatched, watched]) in rows {
        for (what, pair) in [
            ("median", [&*unwatched.middle, &*watched.middle]),
            ("99th percentile", [&*unwatched.slow, &*watched.slow]),
        ] {
            let difference = each(pair, |unwatched, watched| watched - unwatched);
            let cells = [pair[0], pair[1], &*difference].map(|values| cell(values, 0));
            let _ = writeln!(out, "| {name}: {what} | {} |", cells.join(" | "));
        }
    }
    out
}

/// Whether the budget is kept, as far as these rounds tell.
fn judgement(rows: &[(&str, [Costs; 2])]) -> String {
    let mut out = format!("The workers' budget of {BUDGET:.0} µs per request:");
    for (name, [unwatched, watched]) in rows {
        let workers = [&*unwatched.workers, &*watched.workers];
        let (low, high) = range(&each(workers, |unwatched, watched| watched - unwatched));
        let verdict = match (low <= BUDGET, high <= BUDGET) {
            (true, true) => "kept",
            (false, _) => "EXCEEDED",
            (true, false) => "not to be told",
        };
        let _ = write!(out, " {name}: {verdict} ({low:.1} to {high:.1});");
    }
    out.pop();
    out + "."
}

async fn measure(stage: &mut Stage<'_>, upstream: &Server) -> Result<(), String> {
    let workloads: Vec<Workload> = WORKLOADS
        .into_iter()
        .filter(|workload| workload.body_bytes < 64 << 10)
        .collect();
    let setting = |names, is_apart| Setting { names, is_apart };
    let apart = setting(["unwatched", "watched"], true);
    let costs = stage.at_once(&upstream.address, apart, &workloads).await?;
    let names = workloads.iter().map(|workload| workload.name);
    let mut rows: Vec<_> = names.zip(costs).collect();
    let upstream = paced::start_upstream()?;
    let mut all_times = Vec::new();
    let apart = setting(["unwatched-apart", "watched-apart"], true);
    let together = setting(["unwatched-together", "watched-together"], false);
    for (name, setting) in [
        ("paced streams", apart),
        ("paced streams, one core", together),
    ] {
        let (costs, times) = stage.paced(&upstream, setting).await?;
        rows.push((name, costs));
        all_times.push((name, times));
    }
    say(&cpu_table(&rows));
    say(&times_table(&all_times));
    say(&judgement(&rows));
    let Seen {
        answers,
        dropped,
        lines,
        scrapes,
        events,
        parcels,
        items,
        items_lost,
    } = &stage.seen;
    say(&format!(
        "Watched: {answers} requests, all counted but {dropped}; {lines} lines in the log; {scrapes} scrapes; \
         {events} events of the dashboards that read; {parcels} parcels of OpenTelemetry with {items} spans and \
         metrics, {items_lost} lost."
    ));
    say("Every answer was a 200 of the right length, every event of the paced streams was there.");
    if stage.options.quick {
        say("A quick run: it shows that everything works; its numbers mean nothing.");
    }
    Ok(())
}

fn run() -> Result<(), String> {
    let Some(options) = options::parse(std::env::args().skip(1))? else {
        say(HELP);
        return Ok(());
    };
    if !cfg!(target_os = "linux") {
        return Err("this benchmark reads CPU times from /proc, which only Linux has".to_owned());
    }
    let (Some(ours), Some(mock)) = (&options.ours, &options.mock) else {
        return Err(
            "say which programs to use: --ours PATH --mock PATH (bench/watching does)".to_owned(),
        );
    };
    let scratch = Scratch::new()?;
    let pinned = servers::can_pin();
    if pinned {
        servers::pin_self();
    } else {
        progress("nothing pinned (that takes taskset and two cores): expect more noise");
    }
    let upstream = servers::start_upstream(mock, pinned)?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let mut stage = Stage {
        options: &options,
        ours,
        scratch: &scratch,
        pinned,
        seen: Seen::default(),
    };
    runtime.block_on(measure(&mut stage, &upstream))
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress(&format!("watching: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(workers: &[f64]) -> Costs {
        Costs {
            workers: workers.to_vec(),
            others: workers.to_vec(),
        }
    }

    #[test]
    fn the_budget_is_judged_by_what_rounds_differ_by_as_far_as_they_agree() {
        let rows = [
            (
                "a",
                [costs(&[10.0, 50.0, 20.0]), costs(&[11.0, 51.5, 20.0])],
            ),
            ("b", [costs(&[10.0]), costs(&[12.5])]),
            ("c", [costs(&[10.0, 10.0]), costs(&[9.0, 13.0])]),
        ];
        let text = judgement(&rows);
        assert!(text.contains("a: kept (0.0 to 1.5); b: EXCEEDED (2.5 to 2.5)"));
        assert!(text.ends_with("c: not to be told (-1.0 to 3.0)."));
        assert!(cpu_table(&rows).contains("| 1.00 (0.00–1.50) |"));
    }
}
