//! Where the simulated requests come from: what comes with us, a file, or the proxy's own log.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use api_key_lb_sim::request::Request;
use api_key_lb_sim::rng::Rng;
use api_key_lb_sim::trace::{self, TraceError};
use api_key_lb_sim::workload::{Shape, generate};
use serde::Serialize;

use super::args::{AGENTS, BUILTIN, SimulateArgs};
use super::from_log::{self, Usable};

/// How standard input is named.
pub(crate) const STDIN: &str = "-";
/// Longest time that is simulated: beyond it, counts of tokens would no longer fit.
const LONGEST_MS: u64 = 31 * 24 * 3_600_000;
/// Most tokens of an answer that are believed.
const MOST_OUTPUT: u64 = 10_000_000;

/// The kinds of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The trace that comes with us.
    Builtin,
    /// Generated agents.
    Agents,
    /// A file in the format of the trace.
    Trace,
    /// A log of the proxy.
    Log,
}

/// Requests, and where they are from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) kind: Kind,
    pub(crate) file: Option<String>,
    pub(crate) usable: Option<Usable>,
    pub(crate) requests: Vec<Request>,
}

impl Source {
    /// What `args` ask for. `log` is the file that `--log` means where it names none. The error
    /// is for a person.
    pub(crate) fn of(args: &SimulateArgs, log: Option<PathBuf>) -> Result<Self, String> {
        let mut source = match (&args.log, &args.trace) {
            (Some(named), _) => {
                let file = named.clone().or(log).ok_or(
                    "there is no home directory ($HOME) to find the log in; name it with `--log FILE`",
                )?;
                Self::of_log(&file)?
            }
            (None, None) => Self::builtin()?,
            (None, Some(name)) if name == Path::new(BUILTIN) => Self::builtin()?,
            (None, Some(name)) if name == Path::new(AGENTS) => Self {
                kind: Kind::Agents,
                file: None,
                usable: None,
                requests: generate(&Shape::coding(), &mut Rng::seeded(args.seed)),
            },
            (None, Some(file)) => Self::of_file(file)?,
        };
        source.arrange(args)?;
        Ok(source)
    }

    fn builtin() -> Result<Self, String> {
        Ok(Self {
            kind: Kind::Builtin,
            file: None,
            usable: None,
            requests: trace::builtin().map_err(|error| in_words(&error))?,
        })
    }

    fn of_file(file: &Path) -> Result<Self, String> {
        let name = file.display();
        let open = File::open(file).map_err(|error| {
            format!(
                "cannot read `{name}`: {error}; name a file with a trace, or `{BUILTIN}`, or `{AGENTS}`"
            )
        })?;
        let requests = trace::read(BufReader::new(open))
            .map_err(|error| format!("`{name}`, {}", in_words(&error)))?;
        Ok(Self {
            kind: Kind::Trace,
            file: Some(name.to_string()),
            usable: None,
            requests,
        })
    }

    fn of_log(file: &Path) -> Result<Self, String> {
        let name = file.display().to_string();
        let read = if name == STDIN {
            from_log::read(io::stdin().lock())
        } else {
            File::open(file).and_then(|file| from_log::read(BufReader::new(file)))
        };
        let (requests, usable) = read.map_err(|error| {
            format!(
                "cannot read `{name}`: {error}; name the file that the proxy's output went to, \
                 or `-` for the standard input"
            )
        })?;
        if requests.is_empty() {
            return Err(format!(
                "there is nothing to simulate in `{name}`: {}; the proxy writes a line for each \
                 request with `\"log\": \"requests\"`, and the tokens of streams with \
                 `\"include_usage\": true`",
                usable.text()
            ));
        }
        Ok(Self {
            kind: Kind::Log,
            file: Some(name),
            usable: Some(usable),
            requests,
        })
    }

    /// Whether this is a log of nothing but problems.
    pub(crate) fn is_of_problems(&self) -> bool {
        self.usable
            .as_ref()
            .is_some_and(|usable| usable.smooth == 0)
    }

    /// Cuts them off, lets them start at zero and come as fast as is wanted, and names sessions.
    fn arrange(&mut self, args: &SimulateArgs) -> Result<(), String> {
        let requests = &mut self.requests;
        // Who follows another request always stands behind it, so no one waits for what is gone.
        let limit = args.limit.and_then(|limit| usize::try_from(limit).ok());
        requests.truncate(limit.unwrap_or(usize::MAX));
        let first = requests.iter().filter(|it| it.follows.is_none());
        let start = first.map(|request| request.at_ms).min().ok_or_else(|| {
            let name = self.file.as_deref().unwrap_or_default();
            format!("there are no requests in `{name}`; one JSON object a line is expected")
        })?;
        for request in &mut *requests {
            if request.follows.is_none() {
                request.at_ms -= start;
            }
            // Far below 2^53 where it matters, and saturating where it does not.
            request.at_ms = (request.at_ms as f64 / args.speed) as u64;
        }
        if requests.iter().any(|request| request.at_ms > LONGEST_MS) {
            return Err(format!(
                "the requests come within more than {} days; simulate a part of them with `--limit ROWS`, \
                 or let them come faster with `--speed FACTOR`",
                LONGEST_MS / 86_400_000
            ));
        }
        if let Some(request) = requests.iter().find(|it| it.output_tokens > MOST_OUTPUT) {
            return Err(format!(
                "a request has {} `output_length`; at most {MOST_OUTPUT} tokens are simulated",
                request.output_tokens
            ));
        }
        if args.ids && requests.iter().all(|request| request.session.is_none()) {
            trace::name_branches(requests);
        }
        Ok(())
    }
}

/// Every row is a document of its own to the parser, which calls it line 1.
fn in_words(error: &TraceError) -> String {
    error
        .to_string()
        .replace(" at line 1 column ", " at column ")
}
