//! Answers of every provider, and what each means. Also writes the tables in `docs/providers.md`: run
//! with `UPDATE_DOCS=1` after a change.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code outside of tests functions"
)]

mod generated;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api_key_lb_core::Moment;
use api_key_lb_core::provider::{PROVIDERS, Probe, Provider, Tells, UNKNOWN};
use api_key_lb_core::verdict::{Elsewhere, Matter, Verdict};
use api_key_lb_core::wire::judge::{GENERAL, judge};
use api_key_lb_core::wire::signals::Signals;
use generated::check_generated;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::Value;

/// Monday 2026-09-21 14:13:20 UTC: when all of these answers come.
const NOW: Moment = Moment::from_unix_millis(1_790_000_000_000);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    name: String,
    provider: String,
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// JSON, or text as it stands.
    body: Value,
    expect: Expected,
    /// Where this answer is known from.
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    matter: String,
    until_ms_from_now: Option<u64>,
    until: Option<String>,
    elsewhere: String,
    #[serde(default)]
    final_answer: bool,
}

impl Answer {
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap()
    }

    fn headers(&self) -> HeaderMap {
        let pair = |(name, value): (&String, &String)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        };
        self.headers.iter().map(pair).collect()
    }

    fn body(&self) -> String {
        match &self.body {
            Value::String(text) => text.clone(),
            json => json.to_string(),
        }
    }

    fn provider(&self) -> &'static Provider {
        let known = PROVIDERS.iter().chain([&UNKNOWN]);
        known
            .into_iter()
            .find(|provider| provider.name == self.provider)
            .unwrap_or_else(|| panic!("there is no provider {}", self.provider))
    }

    fn verdict(&self) -> Verdict {
        self.verdict_on(&Signals::of_body(self.body().as_bytes()))
    }

    fn verdict_on(&self, signals: &Signals) -> Verdict {
        judge(
            self.provider(),
            self.status(),
            &self.headers(),
            signals,
            NOW,
        )
    }
}

impl Expected {
    fn until(&self) -> Option<Moment> {
        if let Some(millis) = self.until_ms_from_now {
            return Some(Moment::from_unix_millis(NOW.unix_millis() + millis));
        }
        let moment: jiff::Timestamp = self.until.as_ref()?.parse().unwrap();
        let millis = u64::try_from(moment.as_millisecond()).unwrap();
        Some(Moment::from_unix_millis(millis))
    }
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/answers")
}

/// All answers, in the order of the providers.
fn answers() -> Vec<Answer> {
    PROVIDERS
        .iter()
        .chain([&UNKNOWN])
        .flat_map(|provider| {
            let path = tests().join(format!("{}.json", provider.name));
            let text = std::fs::read_to_string(&path)
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let answers: Vec<Answer> =
                serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            for answer in &answers {
                assert_eq!(answer.provider, provider.name, "{}", path.display());
            }
            answers
        })
        .collect()
}

#[test]
fn every_answer_means_what_it_should() {
    let mut wrong = Vec::new();
    for answer in answers() {
        let verdict = answer.verdict();
        let expect = &answer.expect;
        let found = (
            format!("{:?}", verdict.matter),
            verdict.until.map(|until| until.unix_millis()),
            format!("{:?}", verdict.elsewhere()),
            verdict.final_answer,
        );
        let wanted = (
            expect.matter.clone(),
            expect.until().map(Moment::unix_millis),
            expect.elsewhere.clone(),
            expect.final_answer,
        );
        if found != wanted {
            wrong.push(format!(
                "{} {} {}: {found:?} by the rule {:?}, not {wanted:?}",
                answer.provider, answer.status, answer.name, verdict.rule
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Rules that no answer needs are not known to work.
#[test]
fn every_rule_decides_on_some_answer() {
    let mut unused: Vec<String> = Vec::new();
    let answers = answers();
    let decided = |name: &str, provider: &str| {
        answers.iter().any(|answer| {
            (answer.provider == provider || provider.is_empty()) && answer.verdict().rule == name
        })
    };
    for provider in PROVIDERS {
        // GitHub has Azure's.
        if provider.name == "github" {
            continue;
        }
        for rule in provider.errors {
            let shared = provider.name == "azure" && decided(rule.name, "github");
            if !shared && !decided(rule.name, provider.name) {
                unused.push(format!("{} {}", provider.name, rule.name));
            }
        }
    }
    for rule in GENERAL {
        if !decided(rule.name, "") {
            unused.push(format!("general {}", rule.name));
        }
    }
    assert!(unused.is_empty(), "{unused:#?}");
}

#[test]
fn a_body_that_was_cut_never_makes_a_key_look_invalid() {
    for answer in answers() {
        let body = answer.body();
        for end in 0..body.len() {
            let signals = Signals::of_body(&body.as_bytes()[..end]);
            let verdict = answer.verdict_on(&signals);
            let may = answer.status == 401
                || matches!(answer.verdict().matter, Matter::Key)
                || verdict.matter != Matter::Key;
            assert!(may, "{} {} cut at {end}", answer.provider, answer.name);
        }
    }
}

#[test]
fn what_a_body_repeats_of_the_request_never_changes_the_verdict() {
    const ECHOES: &[&str] = &[
        "insufficient_quota: credit balance is too low, please recharge",
        "invalid api key, your account is locked",
        "usage limit, limit: 0, per day, concurrent requests, overloaded",
        "1308 [1308][x] fair usage policy; context_length_exceeded",
    ];
    for answer in answers() {
        let Value::Object(fields) = &answer.body else {
            continue;
        };
        for echo in ECHOES {
            let mut fields = fields.clone();
            for name in ["prompt", "input", "request", "messages", "param", "data"] {
                fields.entry(name).or_insert_with(|| Value::from(*echo));
            }
            fields.insert(
                "echo".to_owned(),
                serde_json::json!({ "error": { "message": echo, "code": "insufficient_quota" } }),
            );
            if let Some(Value::Object(error)) = fields.get_mut("error") {
                for name in ["prompt", "flagged_input", "input", "failed_generation"] {
                    error.insert(name.to_owned(), Value::from(*echo));
                }
            }
            let signals = Signals::of_body(Value::Object(fields).to_string().as_bytes());
            assert_eq!(
                answer.verdict_on(&signals),
                answer.verdict(),
                "{} {}: {echo}",
                answer.provider,
                answer.name
            );
        }
    }
}

#[test]
fn an_answer_that_serves_is_never_judged_by_what_it_says() {
    for answer in answers() {
        let content = answer.body();
        for body in [
            serde_json::json!({ "choices": [{ "message": { "content": content } }], "error": null }),
            serde_json::json!({ "content": [{ "type": "text", "text": content }], "type": "message" }),
            serde_json::json!([{ "candidates": [{ "content": content }] }]),
        ] {
            let signals = Signals::of_body(body.to_string().as_bytes());
            let verdict = judge(
                answer.provider(),
                StatusCode::OK,
                &answer.headers(),
                &signals,
                NOW,
            );
            assert_eq!(
                verdict,
                Verdict::SERVED,
                "{} {}",
                answer.provider,
                answer.name
            );
        }
    }
}

const MATTERS: &[(Matter, &str)] = &[
    (
        Matter::Request,
        "The client gets the answer; no key is touched.",
    ),
    (
        Matter::State,
        "The client gets the answer; no key is touched.",
    ),
    (
        Matter::Key,
        "The key comes last once another has served the same request.",
    ),
    (
        Matter::Suspicion,
        "As a refused key, but firewalls answer so, too.",
    ),
    (
        Matter::Credit,
        "The account comes last for half an hour to an hour.",
    ),
    (
        Matter::AccountRate,
        "The account rests until the time named, else with growing pauses up to a minute.",
    ),
    (
        Matter::AccountQuota,
        "The account rests until the time named, else an hour and longer; its sessions move.",
    ),
    (
        Matter::ModelRate,
        "The same, for this model; for the whole account if a second model is refused.",
    ),
    (
        Matter::ModelQuota,
        "The same, for this model; for the whole account if a second model is refused.",
    ),
    (Matter::Concurrency, "The account rests for seconds."),
    (
        Matter::FairUse,
        "The account rests for half a minute and longer; the request is not tried elsewhere.",
    ),
    (
        Matter::Entitlement,
        "The key is not used for this model for some hours.",
    ),
    (Matter::Overload, "No key is touched."),
    (Matter::Server, "No key is touched."),
    (Matter::Network, "No key is touched."),
];

const fn elsewhere(verdict: Verdict) -> &'static str {
    match verdict.elsewhere() {
        Elsewhere::No => "none",
        Elsewhere::EachOnce => "each once",
        Elsewhere::One => "one",
        Elsewhere::Few => "a few tries",
    }
}

fn probe(probe: Option<Probe>) -> String {
    let Some(probe) = probe else {
        return "—".to_owned();
    };
    let tells = match probe.tells {
        Tells::Validity => "validity",
        Tells::OpenRouterKey => "validity, credit",
        Tells::DeepSeekBalance | Tells::MoonshotBalance => "validity, balance",
        Tells::ZaiQuota | Tells::KimiUsages | Tells::MiniMaxRemains => "validity, windows",
    };
    format!("`{}`: {tells}", probe.path)
}

#[test]
fn the_tables_in_the_documentation_are_what_was_tested() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers.md");
    let matters: Vec<String> = MATTERS
        .iter()
        .map(|(matter, does)| {
            let others = elsewhere(Verdict::new(*matter, ""));
            format!("| {} | {does} | {others} |\n", matter.as_str())
        })
        .collect();
    let head = "| what an answer means | what follows | other accounts asked |\n|---|---|---|\n";
    check_generated(&docs, "meanings", &format!("{head}{}", matters.concat()));

    let providers: Vec<String> = PROVIDERS
        .iter()
        .map(|provider| {
            let hosts: Vec<String> = provider
                .hosts
                .iter()
                .map(|host| match host.strip_prefix('.') {
                    Some(rest) => format!("`*.{rest}`"),
                    None => format!("`{host}`"),
                })
                .collect();
            format!(
                "| {} | {} | {} min | {} |\n",
                provider.name,
                hosts.join(" "),
                provider.cache.ttl.as_secs() / 60,
                probe(provider.probe)
            )
        })
        .collect();
    let head = "| provider | hosts | a prompt stays warm | free request, and what it tells |\n\
                |---|---|--:|---|\n";
    check_generated(&docs, "providers", &format!("{head}{}", providers.concat()));

    let mut rows: Vec<String> = Vec::new();
    for answer in answers() {
        if answer.expect.matter == "Served" {
            continue;
        }
        let verdict = answer.verdict();
        let over = match (verdict.until, &answer.expect.until) {
            (None, _) => "—".to_owned(),
            (Some(_), Some(date)) => date.clone(),
            (Some(until), None) => format!("{:.3?}", until.since(NOW)),
        };
        rows.push(format!(
            "| {} | {} | {} | {} | {over} | {} | {} |\n",
            answer.provider,
            answer.status,
            answer.name.replace('|', "\\|"),
            verdict.matter.as_str(),
            elsewhere(verdict),
            answer.source,
        ));
    }
    let head = "| provider | status | answer | means | over | other accounts asked | known from |\n\
                |---|--:|---|---|---|---|---|\n";
    check_generated(&docs, "answers", &format!("{head}{}", rows.concat()));
}
