//! One command, one table: what a request costs in CPU time, ours against nginx, side by side.

mod cpu;
mod load;
mod options;
mod report;
mod servers;
mod traffic;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use cpu::Family;
use load::{Answer, Client, Load};
use options::Options;
use report::{Latency, Row, Sample, median};
use servers::{Scratch, Server};
use traffic::{WORKLOADS, Workload};

/// Connections of the closed loop.
const CONNECTIONS: usize = 32;
/// Part of a measurement's length that is run before it, unmeasured.
const WARM_UP_PART: u32 = 5;
/// Exchanges per server and round in the latency measurement.
const LATENCY_EXCHANGES: usize = 1_000;
/// The same in a quick run.
const QUICK_LATENCY_EXCHANGES: usize = 100;

fn say(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

fn progress(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// What is measured against what.
struct Bench {
    options: Options,
    upstream: Server,
    nginx: Option<Server>,
    ours: Server,
    pinned: bool,
    _scratch: Scratch,
}

fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Builds what was not given.
fn binaries(options: &Options) -> Result<(PathBuf, PathBuf), String> {
    let root = repository();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let mut packages = Vec::new();
    for (given, package) in [
        (&options.ours, "api-key-lb"),
        (&options.mock, "api-key-lb-mock"),
    ] {
        if given.is_none() {
            packages.extend(["-p", package]);
        }
    }
    if !packages.is_empty() {
        progress("building the proxy and the mock provider (release)…");
        let mut build = Command::new("cargo");
        build.current_dir(&root);
        build
            .args(["build", "--release", "--locked", "--bins"])
            .args(packages);
        let status = build
            .status()
            .map_err(|error| format!("cannot run cargo: {error}"))?;
        if !status.success() {
            return Err("the build failed; what it wrote stands above".to_owned());
        }
    }
    let built = |name: &str| target.join("release").join(name);
    let choose = |given: &Option<PathBuf>, name: &str| given.clone().unwrap_or_else(|| built(name));
    let pair = (
        choose(&options.ours, "api-key-lb"),
        choose(&options.mock, "api-key-lb-mock"),
    );
    for binary in [&pair.0, &pair.1] {
        if !binary.is_file() {
            return Err(format!("there is no program {}", binary.display()));
        }
    }
    Ok(pair)
}

impl Bench {
    fn start(options: Options) -> Result<Self, String> {
        let (ours, mock) = binaries(&options)?;
        let scratch = Scratch::new()?;
        let pinned = servers::can_pin();
        if pinned {
            servers::pin_self();
        }
        let upstream = servers::start_upstream(&mock, pinned)?;
        let nginx = if options.nginx {
            servers::start_nginx(&upstream.address, &scratch, pinned)?
        } else {
            None
        };
        let ours = servers::start_ours(&ours, &upstream.address, &scratch, pinned)?;
        Ok(Self {
            options,
            upstream,
            nginx,
            ours,
            pinned,
            _scratch: scratch,
        })
    }

    /// The right answer to a workload: what the upstream says when asked directly.
    async fn expected(&self, workload: Workload) -> Result<Answer, String> {
        let mut client = Client::open(&self.upstream.address, workload, 0).await?;
        let answer = client.exchange().await?;
        if answer.status != 200 {
            return Err(format!("the upstream answered {answer:?}"));
        }
        Ok(answer)
    }

    async fn sample(&self, server: &Server, workload: Workload) -> Result<Sample, String> {
        let expected = self.expected(workload).await?;
        let mut load = Load::open(&server.address, workload, CONNECTIONS, expected).await?;
        load.phase(self.options.measure / WARM_UP_PART).await?;
        let reconnects = load.reconnects();
        let family = Family::of(server.pid());
        let (before, start) = (family.clock(), Instant::now());
        let answers = load.phase(self.options.measure).await?;
        let (wall, after) = (start.elapsed(), family.clock());
        Ok(Sample {
            answers,
            cpu: after.since(&before),
            wall,
            reconnects: load.reconnects() - reconnects,
        })
    }

    async fn cpu(&self) -> Result<Vec<Row>, String> {
        let mut rows: Vec<Row> = WORKLOADS
            .iter()
            .map(|workload| Row {
                name: workload.name,
                ..Row::default()
            })
            .collect();
        for round in 1..=self.options.rounds {
            progress(&format!("round {round} of {}…", self.options.rounds));
            for (row, workload) in rows.iter_mut().zip(WORKLOADS) {
                if let Some(nginx) = &self.nginx {
                    row.nginx.push(self.sample(nginx, workload).await?);
                }
                row.ours.push(self.sample(&self.ours, workload).await?);
            }
        }
        Ok(rows)
    }

    /// The median time of one exchange on a connection of its own, in microseconds.
    async fn exchange_time(&self, address: &str) -> Result<f64, String> {
        let workload = WORKLOADS[0];
        let expected = self.expected(workload).await?;
        let exchanges = if self.options.quick {
            QUICK_LATENCY_EXCHANGES
        } else {
            LATENCY_EXCHANGES
        };
        let mut client = Client::open(address, workload, 0).await?;
        let mut times = Vec::with_capacity(exchanges);
        for number in 0..exchanges + exchanges / 10 {
            let start = Instant::now();
            let answer = client.exchange().await?;
            let time = start.elapsed();
            if answer != expected {
                return Err(format!("{address}: expected {expected:?}, got {answer:?}"));
            }
            // The first tenth warms up.
            if number >= exchanges / 10 {
                times.push(time.as_secs_f64() * 1e6);
            }
        }
        Ok(median(&times))
    }

    async fn latency(&self) -> Result<Latency, String> {
        progress("latency…");
        let mut latency = Latency::default();
        for _ in 0..self.options.rounds {
            latency
                .direct
                .push(self.exchange_time(&self.upstream.address).await?);
            if let Some(nginx) = &self.nginx {
                latency
                    .nginx
                    .push(self.exchange_time(&nginx.address).await?);
            }
            latency
                .ours
                .push(self.exchange_time(&self.ours.address).await?);
        }
        Ok(latency)
    }

    fn machine(&self) -> String {
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let mut names = processor
            .lines()
            .filter(|line| line.starts_with("model name"));
        let name = names.next().and_then(|line| line.split_once(": "));
        let name = name.map_or("unknown processor", |(_, name)| name);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cores = processor
            .lines()
            .filter(|line| line.starts_with("processor"))
            .count();
        let pinned = if self.pinned {
            "load and upstream on core 0, proxy on core 1"
        } else {
            "nothing pinned (that takes taskset and two cores): expect more noise"
        };
        let nginx = match &self.nginx {
            Some(_) => servers::nginx_version(),
            None => "no nginx".to_owned(),
        };
        format!(
            "{name}, {cores} cores, Linux {}; {nginx}; {pinned}; {CONNECTIONS} connections; \
             {} × {:.1} s",
            kernel.trim(),
            self.options.rounds,
            self.options.measure.as_secs_f64()
        )
    }

    async fn run(&self) -> Result<(), String> {
        let rows = self.cpu().await?;
        let latency = self.latency().await?;
        say(&format!("{}\n", self.machine()));
        say(&report::cpu_table(&rows));
        say(&report::latency_table(&latency));
        let megabytes = |server: &Server| Family::of(server.pid()).memory() as f64 / 1e6;
        let nginx = self.nginx.as_ref().map(megabytes);
        let nginx = nginx.map_or(String::new(), |nginx| format!("nginx {nginx:.1} MB, "));
        say(&format!(
            "Memory after the run: {nginx}ours {:.1} MB.",
            megabytes(&self.ours)
        ));
        let samples = rows
            .iter()
            .flat_map(|row| row.nginx.iter().chain(&row.ours));
        let (mut answers, mut reconnects) = (0, 0);
        for sample in samples {
            answers += sample.answers;
            reconnects += sample.reconnects;
        }
        say(&format!(
            "{answers} measured answers, every one 200 with the right length; \
             {reconnects} connections closed by a proxy meanwhile."
        ));
        if self.nginx.is_none() && self.options.nginx {
            say(
                "nginx is not installed, so there is nothing to compare with: install it (Debian \
                 and Ubuntu: the package nginx-light) and run this again.",
            );
        }
        if self.options.quick {
            say("A quick run: it shows that everything works; its numbers mean nothing.");
        }
        Ok(())
    }
}

fn run() -> Result<(), String> {
    let Some(options) = options::parse(std::env::args().skip(1))? else {
        say(options::HELP);
        return Ok(());
    };
    if !cfg!(target_os = "linux") {
        return Err(
            "this benchmark reads CPU times from /proc, which only Linux has; run it \
                    there, or in a Linux container"
                .to_owned(),
        );
    }
    let bench = Bench::start(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let result = runtime.block_on(bench.run());
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress(&format!("bench: {error}"));
            ExitCode::FAILURE
        }
    }
}
