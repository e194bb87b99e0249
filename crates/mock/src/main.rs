//! The mock provider as a program.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use api_key_lb_mock::{Account, Canned, Mock};
use clap::Parser;

/// Accounts when none is given: one with limits a person can reach, one larger, one without.
const DEFAULT_ACCOUNTS: [&str; 3] = [
    "org-one:sk-mock-one-1111:rpm=60:tpm=100000",
    "org-two:sk-mock-two-2222:rpm=600:tpm=1000000",
    "org-three:sk-mock-three-3333",
];

const EXAMPLES: &str = "\
Examples:
  api-key-lb-mock
      Three accounts on http://127.0.0.1:8099, keys sk-mock-one-1111, sk-mock-two-2222 and
      sk-mock-three-3333.
  api-key-lb-mock --account a:sk-a1,sk-a2:rpm=10 --account b:sk-b:tpm=30000:concurrency=2
      Two accounts; the first has two keys that share its limits.
  api-key-lb-mock --canned json=2000,events=100,event=150,delay-ms=10
      Prebuilt answers for benchmarks; ?stream=1 asks for the events.
  curl localhost:8099/v1/chat/completions -H 'authorization: Bearer sk-mock-one-1111' \\
      -d '{\"model\":\"mock-large\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}'
  curl localhost:8099/_mock/faults -d '{\"key\":\"*\",\"times\":3,\"kind\":\"status\",\"status\":503}'
      The next three requests fail. GET /_mock/counters shows what happened.";

/// A mock LLM provider: OpenAI, Anthropic and Gemini dialects, accounts with limits and prompt
/// caches, scripted faults.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Options {
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8099", value_name = "ADDR")]
    bind: SocketAddr,

    /// An account: NAME:KEY[,KEY…][:rpm=N][:tpm=N][:output_tpm=N][:concurrency=N]. Repeatable.
    #[arg(long = "account", value_name = "ACCOUNT")]
    accounts: Vec<Account>,

    /// Threads, each with its own event loop.
    #[arg(long, default_value_t = 1, value_name = "N")]
    threads: usize,

    /// Wait before the head of every answer, in milliseconds.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    head_delay_ms: u64,

    /// Further wait before the head per 1000 uncached prompt tokens, in milliseconds.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    prefill_ms: u64,

    /// Wait between two events of a stream, in milliseconds.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    event_delay_ms: u64,

    /// Length of an answer whose request sets no maximum, in tokens.
    #[arg(long, default_value_t = 32, value_name = "N")]
    output_tokens: u32,

    /// Longest answer, in tokens, whatever the request allows.
    #[arg(long, default_value_t = 256, value_name = "N")]
    max_output_tokens: u32,

    /// Life of a cached prompt since its last use, in seconds.
    #[arg(long, default_value_t = 300, value_name = "S")]
    cache_ttl_s: u64,

    /// Smallest prompt that is cached, in tokens.
    #[arg(long, default_value_t = 1024, value_name = "N")]
    cache_min_tokens: u64,

    /// Keep the last N requests for GET /_mock/requests.
    #[arg(long, default_value_t = 0, value_name = "N")]
    record: usize,

    /// PEM file with the certificate chain; serves TLS.
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    tls_cert: Option<PathBuf>,

    /// PEM file with the private key.
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    tls_key: Option<PathBuf>,

    /// Answer everything with prebuilt bytes, for benchmarks:
    /// json=BYTES,events=COUNT,event=BYTES,delay-ms=MS,stream (every part optional).
    #[arg(long, num_args = 0..=1, default_missing_value = "", value_name = "SPEC")]
    canned: Option<Canned>,
}

fn start(options: Options) -> io::Result<Mock> {
    let mut builder = Mock::builder()
        .bind(options.bind)
        .threads(options.threads)
        .head_delay(Duration::from_millis(options.head_delay_ms))
        .prefill(Duration::from_millis(options.prefill_ms))
        .event_delay(Duration::from_millis(options.event_delay_ms))
        .max_output_tokens(options.max_output_tokens)
        .output_tokens(options.output_tokens)
        .cache_ttl(Duration::from_secs(options.cache_ttl_s))
        .cache_min_tokens(options.cache_min_tokens)
        .record(options.record);
    if options.accounts.is_empty() {
        for text in DEFAULT_ACCOUNTS {
            builder = builder.account(text.parse().map_err(io::Error::other)?);
        }
    }
    for account in options.accounts {
        builder = builder.account(account);
    }
    if let (Some(cert), Some(key)) = (options.tls_cert, options.tls_key) {
        builder = builder.tls(&std::fs::read(cert)?, &std::fs::read(key)?);
    }
    if let Some(canned) = options.canned {
        builder = builder.canned(canned);
    }
    builder.start()
}

fn run() -> io::Result<()> {
    let mock = start(Options::parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", mock.url())?;
    out.flush()?;
    drop(out);
    runtime.block_on(tokio::signal::ctrl_c())?;
    mock.stop();
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "api-key-lb-mock: {error}");
            ExitCode::FAILURE
        }
    }
}
