//! The command line of the benchmark.

use std::path::PathBuf;
use std::time::Duration;

/// Rounds of a full run: enough for a median and a spread.
const ROUNDS: usize = 5;
/// Length of one measurement in a full run.
const MEASURE: Duration = Duration::from_secs(2);
/// Length of one measurement in a quick run.
const QUICK_MEASURE: Duration = Duration::from_millis(300);

pub const HELP: &str = "\
CPU time per request of api-key-lb, side by side with nginx forwarding the same traffic.

Usage: bench/run [OPTIONS]     or: cargo run --release --manifest-path bench/Cargo.toml -- [OPTIONS]

  --quick          one short round: shows that everything works, proves nothing
  --rounds N       rounds, each measuring every server with every workload (default 5)
  --seconds S      length of one measurement (default 2)
  --ours PATH      the proxy to measure (default: built from this repository)
  --mock PATH      the mock provider to use (default: built from this repository)
  --no-nginx       measure ours alone
  --help           this text";

/// What was asked for.
#[derive(Debug)]
pub struct Options {
    pub rounds: usize,
    pub measure: Duration,
    pub quick: bool,
    pub nginx: bool,
    pub ours: Option<PathBuf>,
    pub mock: Option<PathBuf>,
}

/// `Ok(None)`: help was asked for.
pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options {
        rounds: ROUNDS,
        measure: MEASURE,
        quick: false,
        nginx: true,
        ours: None,
        mock: None,
    };
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .ok_or(format!("{word} needs a value; see --help"))
        };
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--quick" => {
                options.quick = true;
                options.rounds = 1;
                options.measure = QUICK_MEASURE;
            }
            "--no-nginx" => options.nginx = false,
            "--ours" => options.ours = Some(value()?.into()),
            "--mock" => options.mock = Some(value()?.into()),
            "--rounds" => {
                let text = value()?;
                options.rounds = text
                    .parse()
                    .ok()
                    .filter(|rounds| (1..=1_000).contains(rounds))
                    .ok_or(format!("--rounds {text}: write a number from 1 to 1000"))?;
            }
            "--seconds" => {
                let text = value()?;
                options.measure = text
                    .parse()
                    .ok()
                    .filter(|seconds| (0.05..=600.0).contains(seconds))
                    .map(Duration::from_secs_f64)
                    .ok_or(format!("--seconds {text}: write a number from 0.05 to 600"))?;
            }
            _ => return Err(format!("{word} is not an option; see --help")),
        }
    }
    Ok(Some(options))
}
