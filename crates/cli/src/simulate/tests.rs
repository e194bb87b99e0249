//! Tiny worlds, and how they are shown.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: SimulateArgs,
}

fn args(line: &str) -> SimulateArgs {
    let words = std::iter::once("simulate").chain(line.split_whitespace());
    Line::try_parse_from(words).unwrap().args
}

/// Two conversations of three turns each, 10 s apart.
fn source() -> Source {
    let rows: String = (0..6)
        .map(|row| {
            let (talk, turn) = (row % 2, row / 2);
            let ids: Vec<u64> = (0..=turn * 2 + 3).map(|block| talk * 100 + block).collect();
            format!(
                "{{\"timestamp\": {}, \"input_length\": {}, \"output_length\": 80, \"hash_ids\": {ids:?}}}\n",
                row * 10_000,
                ids.len() * 512
            )
        })
        .collect();
    Source {
        kind: Kind::Trace,
        file: Some("tiny.jsonl".into()),
        usable: None,
        requests: api_key_lb_sim::trace::read(rows.as_bytes()).unwrap(),
    }
}

fn found(line: &str) -> Findings {
    let study = Study::of(&args(line), source(), 2).unwrap();
    study.run(&|_| ()).unwrap()
}

fn shown(line: &str) -> String {
    let text = text(&found(line), Marks::Ascii);
    anstream::adapter::strip_str(&text).to_string()
}

fn report_of(cached: f64, throttles: u64, p99_ms: u64, cost: f64) -> Report {
    Report {
        requests: 1234,
        served: 1234,
        cached_share: cached,
        cached_of_reference: Some(cached / 0.5),
        reread_tokens: Some(((0.5 - cached) * 1e6) as u64),
        throttles,
        wait: api_key_lb_sim::report::Spread {
            p50_ms: 0,
            p99_ms,
            max_ms: p99_ms * 12,
        },
        token_balance: 1.0 + cost / 100.0,
        cost,
        ..Report::default()
    }
}

/// What might have been found, so that the text does not depend on how good the policy is.
fn findings() -> Findings {
    let run = |policy, accounts, report| Run {
        policy,
        accounts,
        report,
    };
    let mut old = report_of(0.2, 1204, 15_000, 15.0);
    (old.failed, old.throttles_seen) = (4, 1040);
    let ours = report_of(0.495, 3, 1449, 12.5);
    let mut findings = Findings {
        requests: Requests {
            from: Kind::Log,
            file: Some("4577.log".into()),
            count: 1234,
            span_ms: 3_723_000,
            prompt_tokens: 76_900_000,
            output_tokens: 812,
            log: Some(from_log::Usable {
                lines: 1262,
                used: 1234,
                uncounted: 28,
                ..from_log::Usable::default()
            }),
        },
        account: Study::of(&args("--tpm 400k --window 5h:8M"), source(), 2)
            .unwrap()
            .account,
        settings: SettingsUsed {
            cache_ttl_ms: 300_000,
            max_wait_ms: 45_000,
            seed: 1,
            speed: 1.0,
            prices: Prices::default(),
            load_percent: None,
        },
        runs: vec![run("ours", 2, ours), run("old", 2, old)],
        one_more: Some(run("ours", 3, report_of(0.499, 0, 0, 12.4))),
        without_limits: Report {
            cached_of_reference: None,
            reread_tokens: None,
            ..report_of(0.5, 0, 0, 12.3)
        },
        meaning: Vec::new(),
    };
    findings.meaning = meaning::sentences(&findings);
    findings
}

#[test]
fn findings_are_shown_as_a_table_bars_and_sentences() {
    let text = text(&findings(), Marks::Ascii);
    let text = anstream::adapter::strip_str(&text).to_string();
    assert_eq!(text, include_str!("tests/findings.txt").trim_end());
}

#[test]
fn the_answer_for_programs_has_these_fields() {
    let json = serde_json::to_value(findings()).unwrap();
    let fields = |value: &serde_json::Value| -> Vec<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(
        fields(&json),
        [
            "account",
            "meaning",
            "one_more",
            "requests",
            "runs",
            "settings",
            "without_limits"
        ]
    );
    assert_eq!(
        fields(&json["requests"]),
        [
            "count",
            "file",
            "from",
            "log",
            "output_tokens",
            "prompt_tokens",
            "span_ms"
        ]
    );
    assert_eq!(json["requests"]["from"], "log");
    assert_eq!(json["requests"]["log"]["uncounted"], 28);
    assert_eq!(json["runs"][0]["policy"], "ours");
    assert_eq!(json["runs"][0]["report"]["wait"]["p99_ms"], 1449);
}

#[test]
fn several_numbers_of_accounts_are_compared_for_one_policy() {
    let findings = found("--accounts 2,1,2 --rpm 2");
    let runs: Vec<_> = findings
        .runs
        .iter()
        .map(|run| (run.policy, run.accounts))
        .collect();
    assert_eq!(runs, [("ours", 1), ("ours", 2)]);
    assert!(findings.one_more.is_none());
    assert_eq!(findings.meaning.len(), 2, "{:?}", findings.meaning);
    assert!(findings.meaning[0].starts_with("With 1 account "));
    assert!(findings.meaning[1].starts_with("A second account would bring "));
    assert!(shown("--accounts 1,2 --rpm 2").contains("\n  2 accounts  "));
    let several = args("--accounts 1,2 --policy ours,hash");
    assert!(
        Study::of(&several, source(), 2)
            .unwrap_err()
            .contains("--policy")
    );
}

#[test]
fn everything_is_compared_if_nothing_is_said_ours_first() {
    let findings = found("");
    let runs: Vec<_> = findings
        .runs
        .iter()
        .map(|run| (run.policy, run.accounts))
        .collect();
    let expected = PolicyChoice::ALL.map(|policy| (policy.name(), 2));
    assert_eq!(runs, expected);
    assert!(
        findings.one_more.is_none(),
        "without limits it says nothing"
    );
    assert!(findings.meaning[1].starts_with("Without limits nothing has to wait"));
}

#[test]
fn a_load_is_a_limit_that_the_busiest_minute_uses_so_far() {
    let findings = found("--load 50 --accounts 2");
    let tokens: u64 = source()
        .requests
        .iter()
        .map(|it| it.input_tokens + it.output_tokens)
        .sum();
    assert_eq!(findings.account.tokens_per_minute, Some(tokens));
}

#[test]
fn the_same_command_finds_the_same() {
    let json = |line| serde_json::to_value(found(line)).unwrap();
    assert_eq!(json("--tpm 3k"), json("--tpm 3k"));
}
