//! The flags of `simulate`, and how their values are written.

use std::path::PathBuf;
use std::time::Duration;

use api_key_lb_sim::provider::WindowSpec;
use api_key_lb_sim::report::Prices;
use api_key_lb_sim::router::Contender;
use clap::{Args, ValueEnum, ValueHint};

use crate::args::PlaceArgs;

const EXAMPLES: &str = "\
Examples:
  api-key-lb simulate --accounts 4 --load 90
      A recorded half hour of 6,015 requests, with limits that its busiest minute uses to 90 %.
  api-key-lb simulate --log --accounts 1,2,3 --tpm 400k --rpm 60
      What would another key buy me? With what `start --detach` has written down of my requests.
  api-key-lb simulate --trace agents --accounts 2 --window 5h:8M --concurrency 3
      Eight coding agents with two subscriptions.
  api-key-lb simulate --trace mine.jsonl --limit 1000 --json | jq '.runs[].report.cost'

Nothing is sent anywhere, no key is needed, and the same command prints the same numbers on every
machine. Counts may be written 400k or 2.5M, times 90s, 5m, 24h or 7d. What is modelled and what is
not stands in docs/simulate.md.";

/// What `--trace` calls the recorded requests that come with us.
pub(crate) const BUILTIN: &str = "builtin";
/// What `--trace` calls the generated ones.
pub(crate) const AGENTS: &str = "agents";

/// Most accounts: each has tables of its own.
const MOST_ACCOUNTS: i64 = 256;
/// Most that a limit may allow in a minute; what is larger than that limits nothing.
const MOST_A_MINUTE: u64 = 1_000_000_000;
/// Most tokens of a window.
const MOST_A_WINDOW: u64 = 1_000_000_000_000;
/// Longest time that can be named: a leap year.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
/// How far time can be compressed or stretched.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.01..=1000.0;
/// Highest price of a million tokens.
const HIGHEST_PRICE: f64 = 1e6;

/// Flags of `simulate`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SimulateArgs {
    /// The requests: a file of JSON lines in the Mooncake format, `builtin` (the first half of
    /// Mooncake's conversation trace) or `agents` (eight coding agents) [default: builtin]
    #[arg(long, value_name = "FILE|builtin|agents", value_hint = ValueHint::FilePath,
          help_heading = "Requests")]
    pub(crate) trace: Option<PathBuf>,

    /// The requests that a proxy has logged (`log: requests`); without FILE those of the proxy that
    /// `start --detach` runs, `-` reads the standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "trace",
          num_args = 0..=1, help_heading = "Requests")]
    pub(crate) log: Option<Option<PathBuf>>,

    /// Only the first ROWS requests
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..),
          help_heading = "Requests")]
    pub(crate) limit: Option<u64>,

    /// Let them come so many times as fast
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = speed,
          help_heading = "Requests")]
    pub(crate) speed: f64,

    /// Give each branch of a conversation an id, as most agents do, if the trace names none
    #[arg(long, help_heading = "Requests")]
    pub(crate) ids: bool,

    /// The number that `agents` are made from
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Requests")]
    pub(crate) seed: u64,

    /// How many accounts; several numbers compare them [default: those of the configuration, else 2]
    #[arg(short = 'n', long, value_name = "N,N…", value_delimiter = ',',
          value_parser = clap::value_parser!(u16).range(1..=MOST_ACCOUNTS), help_heading = "Accounts")]
    pub(crate) accounts: Vec<u16>,

    /// Requests that an account serves in a minute
    #[arg(long, value_name = "N", value_parser = per_minute, help_heading = "Accounts")]
    pub(crate) rpm: Option<u64>,

    /// Tokens that an account serves in a minute
    #[arg(long, value_name = "N", value_parser = per_minute, help_heading = "Accounts")]
    pub(crate) tpm: Option<u64>,

    /// Instead of `--tpm`: so many that the busiest minute uses PERCENT of all accounts
    #[arg(long, value_name = "PERCENT", conflicts_with = "tpm",
          value_parser = clap::value_parser!(u64).range(1..=1000), help_heading = "Accounts")]
    pub(crate) load: Option<u64>,

    /// Requests that an account serves at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..),
          help_heading = "Accounts")]
    pub(crate) concurrency: Option<u32>,

    /// Tokens that a subscription holds for a time, such as `5h:8M`; may be repeated
    #[arg(long, value_name = "TIME:TOKENS", value_parser = window, help_heading = "Accounts")]
    pub(crate) window: Vec<WindowSpec>,

    /// Tokens from the cache do not count for `--tpm`, `--load` and `--window` (Anthropic's API)
    #[arg(long, help_heading = "Accounts")]
    pub(crate) cached_free: bool,

    /// Answers do not say what is left of the limits (most coding plans)
    #[arg(long, help_heading = "Accounts")]
    pub(crate) no_headroom: bool,

    /// How long an unused prefix stays in an account's cache
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time,
          help_heading = "Accounts")]
    pub(crate) cache_ttl: Duration,

    /// Who chooses the accounts [default: all]
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        value_enum,
        help_heading = "Comparison"
    )]
    pub(crate) policy: Vec<PolicyChoice>,

    /// How long a request may be held, as `max_wait_ms` says it [default: 45000]
    #[arg(long, value_name = "MS", value_parser = milliseconds, help_heading = "Comparison")]
    pub(crate) max_wait: Option<Duration>,

    /// Dollars for a million tokens: read anew, from the cache, generated
    #[arg(long, value_name = "IN,CACHED,OUT", default_value = "3,0.3,15", value_parser = prices,
          help_heading = "Comparison")]
    pub(crate) prices: Prices,

    /// Print the answer for programs
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// Who chooses the accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyChoice {
    /// This proxy
    Ours,
    /// One account after another
    RoundRobin,
    /// The hash of the session
    Hash,
    /// The least loaded account
    LeastLoaded,
    /// The npm package that this proxy replaces
    Old,
}

impl PolicyChoice {
    /// All, ours first.
    pub(crate) const ALL: [Self; 5] = [
        Self::Ours,
        Self::RoundRobin,
        Self::Hash,
        Self::LeastLoaded,
        Self::Old,
    ];

    /// As it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::RoundRobin => "round-robin",
            Self::Hash => "hash",
            Self::LeastLoaded => "least-loaded",
            Self::Old => "old",
        }
    }

    /// As the simulator calls it.
    pub(crate) const fn contender(self) -> Contender {
        match self {
            Self::Ours => Contender::Policy,
            Self::RoundRobin => Contender::RoundRobin,
            Self::Hash => Contender::SessionHash,
            Self::LeastLoaded => Contender::LeastLoaded,
            Self::Old => Contender::OldPackage,
        }
    }
}

fn per_minute(text: &str) -> Result<u64, String> {
    quantity(text, MOST_A_MINUTE)
}

/// `400`, `400k`, `2.5M`, `1_000_000`.
fn quantity(text: &str, most: u64) -> Result<u64, String> {
    let (number, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'M')) => (&text[..at], 1e6),
        Some((at, 'G')) => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    let number: Option<f64> = plain(&number.replace('_', ""));
    let value = number.map(|number| (number * unit).round());
    match value {
        // Far below 2^53, so nothing is lost.
        Some(value) if (1.0..=most as f64).contains(&value) => Ok(value as u64),
        _ => Err(format!(
            "write a number from 1 to {most}, such as 60, 400k or 2.5M"
        )),
    }
}

/// A number of digits and at most a point: no sign, no exponent, no infinity.
fn plain(text: &str) -> Option<f64> {
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| is_plain)
}

/// `90s`, `5m`, `24h`, `7d`.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and its unit, such as 500ms, 90s, 5m, 24h or 7d".to_owned();
    let at = text
        .find(|letter: char| letter.is_ascii_alphabetic())
        .ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(wrong()),
    };
    let number = plain(number).ok_or_else(wrong)?;
    Duration::try_from_secs_f64(number * seconds)
        .ok()
        .filter(|time| *time <= LONGEST)
        .ok_or_else(|| "write at most 366d".to_owned())
}

/// `45000`, which are milliseconds, or with a unit.
fn milliseconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(milliseconds) if Duration::from_millis(milliseconds) <= LONGEST => {
            Ok(Duration::from_millis(milliseconds))
        }
        _ => time(text),
    }
}

/// `5h:8M`.
fn window(text: &str) -> Result<WindowSpec, String> {
    let (length, tokens) = text
        .split_once(':')
        .ok_or("write how long it lasts and how many tokens it holds, such as 5h:8M")?;
    let length = time(length)?;
    if length < Duration::from_secs(1) {
        return Err("a window lasts at least 1s".to_owned());
    }
    Ok(WindowSpec {
        length_ms: u64::try_from(length.as_millis()).unwrap_or(u64::MAX),
        tokens: quantity(tokens, MOST_A_WINDOW)?,
    })
}

/// `3,0.3,15`.
fn prices(text: &str) -> Result<Prices, String> {
    let prices: Option<Vec<f64>> = text
        .split(',')
        .map(|price| plain(price.trim()).filter(|price| *price <= HIGHEST_PRICE))
        .collect();
    match prices.as_deref() {
        Some(&[input, cached, output]) => Ok(Prices {
            input,
            cached,
            output,
        }),
        _ => Err(
            "write three numbers, for tokens read anew, from the cache and generated, such as 3,0.3,15"
                .to_owned(),
        ),
    }
}

fn speed(text: &str) -> Result<f64, String> {
    let factor = plain(text).filter(|factor| SPEEDS.contains(factor));
    factor.ok_or_else(|| "write a number from 0.01 to 1000".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SimulateArgs,
    }

    fn parsed(line: &str) -> Result<SimulateArgs, String> {
        let words = std::iter::once("simulate").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(line.args)
    }

    #[test]
    fn a_line_with_everything_is_understood() {
        let args = parsed(
            "--trace builtin --accounts 2,3,4 --rpm 60 --tpm 400k --concurrency 3 --window 5h:8M \
             --window 7d:1_000_000 --cache-ttl 1h --policy ours,hash --max-wait 30000 --limit 10 \
             --speed 2.5 --seed 7 --prices 1.25,0.125,10 --json",
        )
        .unwrap();
        assert_eq!(args.accounts, [2, 3, 4]);
        assert_eq!(
            (args.rpm, args.tpm, args.concurrency),
            (Some(60), Some(400_000), Some(3))
        );
        let windows: Vec<_> = args
            .window
            .iter()
            .map(|it| (it.length_ms, it.tokens))
            .collect();
        assert_eq!(windows, [(18_000_000, 8_000_000), (604_800_000, 1_000_000)]);
        assert_eq!(args.cache_ttl, Duration::from_secs(3600));
        assert_eq!(args.policy, [PolicyChoice::Ours, PolicyChoice::Hash]);
        assert_eq!(args.max_wait, Some(Duration::from_secs(30)));
        assert_eq!((args.limit, args.speed, args.seed), (Some(10), 2.5, 7));
        assert_eq!(args.prices.output, 10.0);
    }

    #[test]
    fn a_log_needs_no_name() {
        assert_eq!(parsed("").unwrap().log, None);
        assert_eq!(parsed("--log").unwrap().log, Some(None));
        assert_eq!(parsed("--log --json").unwrap().log, Some(None));
        assert_eq!(parsed("--log x").unwrap().log, Some(Some("x".into())));
    }

    #[test]
    fn a_wrong_value_says_what_to_write() {
        for (line, hint) in [
            (
                "--policy best",
                "possible values: ours, round-robin, hash, least-loaded, old",
            ),
            ("--window 5h", "such as 5h:8M"),
            ("--window 5:8M", "500ms, 90s, 5m"),
            ("--window 0s:8M", "at least 1s"),
            ("--window 5h:none", "400k or 2.5M"),
            ("--tpm=-1", "from 1 to"),
            ("--tpm 0", "from 1 to 1000000000"),
            ("--tpm 1e5", "from 1 to"),
            ("--tpm ü", "from 1 to"),
            ("--tpm 9 --load 90", "cannot be used with"),
            ("--trace x --log", "cannot be used with"),
            ("--accounts 0", "1..=256"),
            ("--accounts 2,x", "invalid digit"),
            ("--cache-ttl 300", "such as 500ms"),
            ("--cache-ttl 9999d", "at most 366d"),
            ("--max-wait soon", "such as 500ms"),
            ("--prices 3,15", "three numbers"),
            ("--prices 3,inf,15", "three numbers"),
            ("--speed 0", "from 0.01 to 1000"),
            ("--limit 0", "--limit"),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(hint), "{line}: {error}");
        }
    }

    #[test]
    fn names_are_those_that_are_written() {
        for choice in PolicyChoice::ALL {
            let written = choice.to_possible_value().unwrap();
            assert_eq!(written.get_name(), choice.name());
        }
    }
}
