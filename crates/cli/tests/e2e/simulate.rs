//! `simulate` as people run it: tables, bars and numbers, from the trace, from files, from a log.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Home, Output, chat, eventually, pair};

/// A trace of two conversations that take turns.
fn trace() -> String {
    let mut text = String::new();
    for row in 0..12_u64 {
        let (talk, turn) = (row % 2, row / 2);
        let ids: Vec<u64> = (0..turn + 3).map(|block| talk * 100 + block).collect();
        let row = json!({
            "timestamp": row * 5000, "input_length": ids.len() * 512,
            "output_length": 40, "hash_ids": ids,
        });
        writeln!(text, "{row}").unwrap();
    }
    text
}

fn simulate(home: &Home, args: &[&str]) -> Output {
    home.run(&[&["simulate"], args].concat(), &[])
}

fn numbers(home: &Home, args: &[&str]) -> Value {
    let output = simulate(home, &[args, &["--json"]].concat());
    serde_json::from_str(&output.is(0).stdout).unwrap()
}

#[test]
fn the_trace_that_comes_along_is_compared_in_a_table_and_bars() {
    let home = Home::new();
    let output = simulate(
        &home,
        &["--limit", "200", "--accounts", "3", "--load", "90"],
    );
    output.is(0).says(&[
        "200 within ",
        "Mooncake's conversation trace",
        "3 accounts, each with ",
        "\n  ours ",
        "\n  round-robin ",
        "\n  hash ",
        "\n  least-loaded ",
        "\n  old ",
        "\n  no limits ",
        "Prompt tokens from the cache",
        "####",
        "\nWith 3 accounts ",
        "\nA fourth account ",
    ]);
    assert!(
        !output.stdout.contains('\u{1b}'),
        "colours are for terminals"
    );
    assert!(output.stdout.is_ascii(), "blocks are for terminals");
    assert_eq!(output.stderr, "");
    let again = simulate(
        &home,
        &["--limit", "200", "--accounts", "3", "--load", "90"],
    );
    assert_eq!(again.stdout, output.stdout);
}

#[test]
fn numbers_are_there_for_programs() {
    let home = Home::new();
    let file = home.write("trace.jsonl", &trace());
    let file = file.to_str().unwrap();
    let found = numbers(
        &home,
        &["--trace", file, "--rpm", "4", "--policy", "hash,ours"],
    );
    assert_eq!(found["requests"]["from"], "trace");
    assert_eq!(found["requests"]["count"], 12);
    assert_eq!(found["account"]["requests_per_minute"], 4);
    assert_eq!(found["settings"]["prices"]["cached"], 0.3);
    assert_eq!(found["one_more"]["accounts"], 3);
    let runs: Vec<_> = found["runs"].as_array().unwrap().iter().collect();
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0]["policy"], "ours");
    for run in runs {
        let report = &run["report"];
        assert_eq!(
            (&run["accounts"], &report["requests"]),
            (&json!(2), &json!(12))
        );
        for field in [
            "cached_share",
            "cached_of_reference",
            "token_balance",
            "cost",
        ] {
            assert!(report[field].is_f64(), "{field}: {report}");
        }
        for field in [
            "throttles",
            "throttles_seen",
            "reread_tokens",
            "failed",
            "served",
        ] {
            assert!(report[field].is_u64(), "{field}: {report}");
        }
        assert!(report["wait"]["p99_ms"].is_u64());
        assert_eq!(report["accounts"].as_array().unwrap().len(), 2);
    }
    // Two conversations of 3 to 8 blocks.
    assert_eq!(found["without_limits"]["prompt_tokens"], 2 * 33 * 512);
    assert!(found["meaning"].as_array().unwrap().len() >= 2);
}

#[test]
fn several_numbers_of_accounts_say_what_another_one_buys() {
    let home = Home::new();
    let file = home.write("trace.jsonl", &trace());
    let file = file.to_str().unwrap();
    let args = ["--trace", file, "--rpm", "3", "-n", "1,2,3"];
    let found = numbers(&home, &args);
    let served: Vec<_> = (0..3)
        .map(|run| {
            found["runs"][run]["report"]["wait"]["max_ms"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert!(served[0] > served[2], "{served:?}");
    simulate(&home, &args).is(0).says(&[
        "\n  1 account ",
        "\n  3 accounts ",
        "A second account would bring",
    ]);
}

#[test]
fn the_accounts_of_the_configuration_are_the_default() {
    let home = Home::new();
    let file = home.write("trace.jsonl", &trace());
    let args = ["--trace", file.to_str().unwrap(), "--policy", "ours"];
    assert_eq!(numbers(&home, &args)["runs"][0]["accounts"], 2);
    let account = |key: &str, account: &str| json!({"key": key, "account": account});
    home.write_config(&json!({"target": "https://h", "keys": [
        account("sk-1", "a"), account("sk-2", "a"), account("sk-3", "b"), account("sk-4", "c"),
    ]}));
    assert_eq!(numbers(&home, &args)["runs"][0]["accounts"], 3);
}

#[test]
fn a_wrong_row_is_named_with_file_line_and_what_to_write() {
    let home = Home::new();
    let text = trace().replacen("\"output_length\":40", "\"output\":40", 2);
    let file = home.write("bad.jsonl", &text);
    let output = simulate(&home, &["--trace", file.to_str().unwrap()]);
    output.is(1).says(&[
        "bad.jsonl`, line 1: missing field `output_length` at column",
        "a row is one JSON object with `timestamp` (milliseconds)",
    ]);
    assert_eq!(output.stdout, "");
    let empty = home.write("empty.jsonl", "\n\n");
    simulate(&home, &["--trace", empty.to_str().unwrap()])
        .is(1)
        .says(&["there are no requests in", "empty.jsonl"]);
    simulate(&home, &["--trace", "nowhere.jsonl"])
        .is(1)
        .says(&["cannot read `nowhere.jsonl`", "or `builtin`, or `agents`"]);
    let far = home.write(
        "far.jsonl",
        &format!(
            "{}{}",
            trace(),
            trace().replace("\"timestamp\":0", "\"timestamp\":1e300")
        ),
    );
    simulate(&home, &["--trace", far.to_str().unwrap()])
        .is(1)
        .says(&["more than 31 days", "--limit"]);
}

#[test]
fn a_wrong_command_line_says_what_can_be_written() {
    let home = Home::new();
    simulate(&home, &["--policy", "best"])
        .is(2)
        .says(&["'best'", "ours, round-robin, hash, least-loaded, old"]);
    simulate(&home, &["--window", "8M"])
        .is(2)
        .says(&["such as 5h:8M"]);
    simulate(
        &home,
        &["-n", "1,2", "--policy", "ours,old", "--limit", "9"],
    )
    .is(2)
    .says(&["name one with `--policy`"]);
}

#[test]
fn what_a_proxy_has_logged_can_be_played_again() {
    let home = Home::new();
    simulate(&home, &["--log"])
        .is(1)
        .says(&["cannot read", "4577.log"]);
    let (_mock, proxy) = pair(2);
    let text = "tell me more ".repeat(700);
    for turn in 1..=3 {
        for session in ["ada", "grace"] {
            proxy.turn(session, &chat(&text.repeat(turn))).is(200);
        }
    }
    proxy.get("/v1/models").is(200);
    eventually("every request is logged", || {
        proxy.output().matches(" 200 key-").count() == 7
    });
    let log = format!("{}\nnothing of ours\n", proxy.output());
    let said = home.run_with(&["simulate", "--log", "-"], &[], log.as_bytes());
    said.is(0).says(&[
        "Requests:  6 within ",
        "(log -)",
        "6 of 6 lines could be used",
        "\n  ours ",
    ]);
    home.write("state/api-key-lb/4577.log", &log);
    let found = numbers(&home, &["--log", "-n", "1"]);
    assert_eq!(found["requests"]["from"], "log");
    assert_eq!(found["requests"]["log"]["used"], 6);
    let cached = found["without_limits"]["cached_tokens"].as_u64().unwrap();
    assert!(cached > 0, "sessions are prefixes that grow: {found}");
}

#[test]
fn a_log_without_anything_to_play_says_what_to_configure() {
    let home = Home::new();
    let text = "12:00:01 POST /v1/messages 200 key-1 home session 0000000a (header x) 1.00s\n\
                12:00:02 POST /v1/messages 429 (own answer: throttled) 0.00s\n";
    let file = home.write("proxy.log", text);
    simulate(&home, &["--log", file.to_str().unwrap()])
        .is(1)
        .says(&[
            "0 of 2 lines could be used: 1 had no token counts, 1 were not answered",
            "include_usage",
        ]);
    let text = text.replace("1.00s", "1.00s 9k tokens 0% cached");
    let text = text.replace("key-1 home", "key-1 429, key-2 200 home");
    let file = home.write("problems.log", &text);
    simulate(&home, &["--log", file.to_str().unwrap()])
        .is(0)
        .says(&["every request in this log had a problem"]);
}

/// The examples in `docs/simulate.md` are what the program prints. `UPDATE_DOCS=1` writes them.
#[test]
fn the_examples_of_the_documentation_are_what_is_printed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/simulate.md");
    let text = fs::read_to_string(&file).unwrap();
    let home = Home::new();
    let mut parts = text.split("```console\n$ api-key-lb ");
    let mut wanted = parts.next().unwrap().to_owned();
    for part in parts {
        let (example, rest) = part.split_once("\n```").unwrap();
        let command = example.lines().next().unwrap();
        let words: Vec<&str> = command.split(' ').collect();
        let output = home.run(&words, &[]);
        let shown = output.is(0).stdout.trim_end();
        write!(
            wanted,
            "```console\n$ api-key-lb {command}\n{shown}\n```{rest}"
        )
        .unwrap();
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &wanted).unwrap();
    } else {
        assert!(
            text == wanted,
            "docs/simulate.md is not what is printed; run this test with UPDATE_DOCS=1 and look at the change:\n{wanted}"
        );
    }
}
