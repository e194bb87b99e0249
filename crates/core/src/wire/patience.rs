//! How long the client of a request waits for the first byte of its answer.

use std::time::Duration;

use http::HeaderMap;
use http::header::USER_AGENT;

/// What is taken of a client that nothing is known of: the least that any known one waits.
const USUAL: Duration = Duration::from_secs(60);
/// Nobody waits less than this, in seconds: a smaller number is a mistake …
const SHORTEST: f64 = 1.0;
/// … and what is beyond this is taken for it, in seconds: connections do not last longer.
const LONGEST: f64 = 3600.0;

/// Headers in which a client says how long it waits, in seconds, whole or not.
pub const TIMEOUTS: &[Timeout] = &[
    Timeout {
        header: "x-stainless-timeout",
        source: "openai-node, anthropic-sdk-typescript: until the head of the answer",
    },
    Timeout {
        header: "x-stainless-read-timeout",
        source: "openai-python, anthropic-sdk-python: between any two reads",
    },
    Timeout {
        header: "x-server-timeout",
        source: "google-genai: `HttpOptions.timeout`, which is also its own",
    },
];

/// Programs that are known to wait for so long, by how their user agent begins. What their users
/// can change about it they do not tell, except in the headers.
pub const AGENTS: &[Agent] = &[
    Agent {
        // Its header says 600, but a streamed answer has a timer of its own.
        always: true,
        ..Agent::new(
            "claude-cli/",
            360,
            "measured with Claude Code 2.1.330; CLAUDE_STREAM_FIRST_BYTE_TIMEOUT_MS",
        )
    },
    Agent::new(
        "codex",
        2105,
        "measured with Codex 0.169, which still waited then",
    ),
    Agent::new(
        "opencode/",
        300,
        "measured with OpenCode 1.18; options.headerTimeout",
    ),
    Agent::new(
        "ai-sdk/",
        300,
        "measured with Cline CLI 3.0; what fetch of Bun and Node waits",
    ),
    Agent::new("GeminiCLI", 60, "measured with Gemini CLI 0.61 (60.5 s)"),
    Agent::new(
        "QwenCode/",
        120,
        "measured with Qwen Code 0.24; DEFAULT_TIMEOUT",
    ),
    Agent::new(
        "kimi-code",
        300,
        "measured with Kimi Code CLI 2.1 (300.8 s)",
    ),
    Agent::new(
        "Mistral-Vibe/",
        720,
        "measured with Mistral Vibe 3.0; api_timeout",
    ),
    Agent::new(
        "goose/",
        600,
        "goose crates/goose/src/providers/api_client.rs: in all",
    ),
    Agent::new("RooCode/", 600, "Roo Code's setting apiRequestTimeout"),
    Agent::new(
        "OpenAI/",
        600,
        "measured with aider 0.86, pi 0.73, Copilot CLI 1.0, Continue CLI 1.5",
    ),
    Agent::new("AsyncOpenAI/", 600, "openai-python: the default timeout"),
    Agent::new("Anthropic/", 600, "the SDKs: the default timeout"),
    Agent::new(
        "AsyncAnthropic/",
        600,
        "anthropic-sdk-python: the default timeout",
    ),
];

/// A header with a number of seconds.
#[derive(Clone, Copy, Debug)]
pub struct Timeout {
    /// Its name, in lower case.
    pub header: &'static str,
    /// Who sends it, and what for.
    pub source: &'static str,
}

/// A program whose patience is known.
#[derive(Clone, Copy, Debug)]
pub struct Agent {
    /// How its user agent begins, in any case.
    pub prefix: &'static str,
    /// How long it waits, in seconds.
    pub seconds: u32,
    /// Whether it waits no longer even if a header says so.
    pub always: bool,
    /// How that is known.
    pub source: &'static str,
}

impl Agent {
    const fn new(prefix: &'static str, seconds: u32, source: &'static str) -> Self {
        Self {
            prefix,
            seconds,
            always: false,
            source,
        }
    }

    fn of(headers: &HeaderMap) -> Option<&'static Self> {
        let name = headers.get(USER_AGENT)?.as_bytes().trim_ascii_start();
        AGENTS.iter().find(|agent| {
            let prefix = agent.prefix.as_bytes();
            name.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        })
    }
}

/// How long the client of a request with these headers waits for the first byte of the answer: as
/// long as it says, else as its like do, else a minute. From a second to an hour.
pub fn patience(headers: &HeaderMap) -> Duration {
    let agent = Agent::of(headers);
    let said = said(headers);
    let known = agent
        .filter(|agent| agent.always || said.is_none())
        .map(|agent| f64::from(agent.seconds));
    let seconds = match (said, known) {
        (Some(said), Some(known)) => said.min(known),
        (said, known) => match said.or(known) {
            Some(seconds) => seconds,
            None => return USUAL,
        },
    };
    Duration::from_secs_f64(seconds.clamp(SHORTEST, LONGEST))
}

/// The least of what the headers say, in seconds, since that is over first.
fn said(headers: &HeaderMap) -> Option<f64> {
    TIMEOUTS
        .iter()
        .flat_map(|timeout| headers.get_all(timeout.header))
        .filter_map(|value| seconds(value.to_str().ok()?))
        .reduce(f64::min)
}

/// Zero is no time to wait, and so stands for none being set.
fn seconds(text: &str) -> Option<f64> {
    let seconds: f64 = text.trim().parse().ok()?;
    (seconds.is_finite() && seconds > 0.0).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const STAINLESS: &str = "x-stainless-timeout";
    const READ: &str = "x-stainless-read-timeout";

    fn waits(pairs: &[(&'static str, &str)]) -> f64 {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        patience(&headers).as_secs_f64()
    }

    fn agent(name: &str) -> f64 {
        waits(&[("user-agent", name)])
    }

    #[test]
    fn what_the_client_says_counts() {
        assert_eq!(waits(&[(STAINLESS, "30")]), 30.0);
        assert_eq!(waits(&[(READ, "600.0")]), 600.0);
        assert_eq!(waits(&[("x-server-timeout", "20")]), 20.0);
        assert_eq!(waits(&[(STAINLESS, " 2.5 ")]), 2.5);
        let slow = [("user-agent", "QwenCode/0.24.4"), (STAINLESS, "900")];
        assert_eq!(waits(&slow), 900.0);
        let fast = [("user-agent", "OpenAI/Python 2.24.0"), (READ, "15.0")];
        assert_eq!(waits(&fast), 15.0);
    }

    #[test]
    fn of_several_numbers_the_least_counts() {
        assert_eq!(waits(&[(STAINLESS, "600"), (READ, "90.0")]), 90.0);
        assert_eq!(waits(&[(STAINLESS, "45"), (READ, "90.0")]), 45.0);
        assert_eq!(waits(&[(STAINLESS, "45"), (STAINLESS, "40")]), 40.0);
    }

    #[test]
    fn numbers_beyond_reason_are_brought_back() {
        assert_eq!(waits(&[(STAINLESS, "0.001")]), 1.0);
        assert_eq!(waits(&[(STAINLESS, "3600")]), 3600.0);
        assert_eq!(waits(&[(STAINLESS, "86400")]), 3600.0);
        assert_eq!(waits(&[(STAINLESS, "1e300")]), 3600.0);
    }

    #[test]
    fn nonsense_is_no_number() {
        for text in [
            "",
            " ",
            "NOT_GIVEN",
            "None",
            "0",
            "-0.0",
            "-5",
            "nan",
            "inf",
            "1e999",
            "60s",
            "1,5",
            "0x10",
        ] {
            assert_eq!(waits(&[(STAINLESS, text)]), 60.0, "{text}");
        }
        // Hermes' headers.
        let hermes = [(STAINLESS, "NOT_GIVEN"), (READ, "900.0")];
        assert_eq!(waits(&hermes), 900.0);
    }

    #[test]
    fn known_programs_wait_as_they_were_seen_to() {
        for (name, seconds) in [
            ("claude-cli/2.1.330 (external, sdk-cli)", 360.0),
            ("codex_exec/0.169.0 (Debian 12.0.0; x86_64)", 2105.0),
            ("codex_cli_rs/0.144.0 (Mac OS; arm64)", 2105.0),
            (
                "opencode/1.18.33 ai-sdk/provider-utils/4.0.46 runtime/bun/1.3.14",
                300.0,
            ),
            ("ai-sdk/openai-compatible/3.0.37 runtime/bun/1.3.13", 300.0),
            ("GeminiCLI-tui/0.61.0/gemini-3.1-pro-preview (linux)", 60.0),
            ("QwenCode/0.24.4 (linux; x64)", 120.0),
            ("qwencode/0.24.4", 120.0),
            ("kimi-code-cli/2.1.1", 300.0),
            ("Mistral-Vibe/3.0.2", 720.0),
            ("OpenAI/JS 6.26.0", 600.0),
            ("Anthropic/JS 0.91.1", 600.0),
            ("python-httpx/0.28.1", 60.0),
            ("not-codex_cli_rs/1.0", 60.0),
            ("open", 60.0),
            ("", 60.0),
        ] {
            assert_eq!(agent(name), seconds, "{name}");
        }
        assert_eq!(waits(&[]), 60.0);
    }

    #[test]
    fn claude_code_gives_up_before_the_time_in_its_header() {
        let claude = |timeout| {
            waits(&[
                ("user-agent", "claude-cli/2.1.330 (external, sdk-cli)"),
                (STAINLESS, timeout),
            ])
        };
        assert_eq!(claude("600"), 360.0);
        assert_eq!(claude("30"), 30.0);
        assert_eq!(claude("NOT_GIVEN"), 360.0);
    }

    #[test]
    fn every_row_of_the_tables_counts_and_says_how_it_is_known() {
        for (at, row) in AGENTS.iter().enumerate() {
            assert!((60..=3600).contains(&row.seconds), "{row:?}");
            assert!(!row.source.is_empty(), "{row:?}");
            let before = &AGENTS[..at];
            assert!(
                !before.iter().any(|other| row
                    .prefix
                    .to_lowercase()
                    .starts_with(&other.prefix.to_lowercase())),
                "{row:?} is never found"
            );
        }
        for row in TIMEOUTS {
            assert!(!row.source.is_empty(), "{row:?}");
            assert_eq!(row.header, row.header.to_lowercase());
            assert_eq!(waits(&[(row.header, "7")]), 7.0);
        }
    }

    fn values() -> impl Strategy<Value = Vec<u8>> {
        let agents: Vec<&str> = AGENTS.iter().map(|agent| agent.prefix).collect();
        prop_oneof![
            any::<f64>().prop_map(|number| number.to_string().into_bytes()),
            any::<i64>().prop_map(|number| number.to_string().into_bytes()),
            prop::collection::vec(any::<u8>(), 0..40),
            prop::sample::select(agents).prop_map(|prefix| prefix.as_bytes().to_vec()),
        ]
    }

    proptest! {
        #[test]
        fn whatever_comes_it_is_from_a_second_to_an_hour(
            pairs in prop::collection::vec((0..=TIMEOUTS.len(), values()), 0..6),
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                let name = TIMEOUTS.get(name).map_or("user-agent", |timeout| timeout.header);
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    headers.append(HeaderName::from_static(name), value);
                }
            }
            let patience = patience(&headers);
            prop_assert!(patience >= Duration::from_secs(1), "{patience:?}");
            prop_assert!(patience <= Duration::from_secs(3600), "{patience:?}");
        }
    }
}
