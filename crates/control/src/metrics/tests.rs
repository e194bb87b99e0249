//! Tests of what is counted, of both formats, and of the documentation that is made from the table.

use std::path::Path;
use std::time::{Duration, Instant};

use api_key_lb_core::fact::{Affinity, Attempt, Ending, RequestId, SessionId, Usage};
use api_key_lb_core::{KeyId, Moment};
use proptest::prelude::*;

use crate::prices::Price;

use super::*;

fn fact(model: Option<&str>, attempts: &[(u64, Option<u16>)], ending: Ending) -> Fact {
    let attempts: Vec<Attempt> = attempts
        .iter()
        .map(|(key, status)| Attempt {
            status: *status,
            ..Attempt::begun(KeyId::from_number(*key))
        })
        .collect();
    let began = Moment::from_unix_millis(1_700_000_000_000);
    let path = "/v1/chat/completions".to_owned();
    Fact {
        first_byte: Duration::from_millis(300),
        took: Duration::from_secs(3),
        status: attempts.last().and_then(|last| last.status).unwrap_or(0),
        model: model.map(str::to_owned),
        session: Some(SessionId(7)),
        affinity: Affinity::Home,
        waited: Duration::from_millis(30),
        added: Some(Duration::from_micros(40)),
        attempts,
        usage: Some(Usage {
            prompt: 100,
            cached: 60,
            written: 5,
            output: 10,
        }),
        ending,
        ..Fact::begun(RequestId::default(), began, http::Method::POST, path)
    }
}

fn prices() -> Prices {
    let price = Price {
        input: 1.0,
        cached: 0.5,
        written: 1.0,
        output: 2.0,
    };
    Prices::new([("m".to_owned(), price)])
}

fn label(key: KeyId) -> String {
    format!("key-{}", key.number())
}

fn gauges() -> Gauges {
    Gauges {
        version: "2.0.0".into(),
        keys: vec![KeyGauges {
            pool: String::new(),
            label: "key-1".into(),
            state: "cooling".into(),
            cooldown: Duration::from_millis(1500),
            headroom: vec![("tokens".into(), 0.25)],
            in_flight: 2,
        }],
        store: Some(StoreGauges {
            works: true,
            bytes: 4096,
        }),
        ..Gauges::default()
    }
}

fn page(facts: &[Fact]) -> String {
    let metrics = Metrics::default();
    metrics.observe(facts, &prices(), &label);
    metrics.render(&gauges(), None).body
}

#[track_caller]
fn has(page: &str, lines: &[&str]) {
    for line in lines {
        assert!(
            page.lines().any(|other| other == *line),
            "`{line}` in\n{page}"
        );
    }
}

#[test]
fn a_request_tried_with_two_keys_counts_once_for_the_one_that_served() {
    let page = page(&[fact(
        Some("m"),
        &[(1, Some(429)), (2, Some(200))],
        Ending::Complete,
    )]);
    has(
        &page,
        &[
            "api_key_lb_requests_total{pool=\"default\",key=\"key-2\",model=\"m\",status_class=\"2xx\",outcome=\"complete\"} 1",
            "api_key_lb_attempts_total{pool=\"default\",key=\"key-1\",outcome=\"throttled\"} 1",
            "api_key_lb_attempts_total{pool=\"default\",key=\"key-2\",outcome=\"served\"} 1",
            "api_key_lb_throttles_total{pool=\"default\",key=\"key-1\"} 1",
            "api_key_lb_throttles_hidden_total{pool=\"default\"} 1",
            "api_key_lb_requests_rescued_total{pool=\"default\"} 1",
            "api_key_lb_tokens_total{pool=\"default\",key=\"key-2\",model=\"m\",kind=\"cached\"} 60",
            "api_key_lb_added_latency_seconds_bucket{pool=\"default\",le=\"0.00002\"} 0",
            "api_key_lb_added_latency_seconds_bucket{pool=\"default\",le=\"0.00005\"} 1",
            "api_key_lb_affinity_total{pool=\"default\",affinity=\"home\"} 1",
            "api_key_lb_request_duration_seconds_bucket{pool=\"default\",model=\"m\",le=\"2.5\"} 0",
            "api_key_lb_request_duration_seconds_bucket{pool=\"default\",model=\"m\",le=\"5.0\"} 1",
            "api_key_lb_request_duration_seconds_bucket{pool=\"default\",model=\"m\",le=\"+Inf\"} 1",
            "api_key_lb_request_duration_seconds_sum{pool=\"default\",model=\"m\"} 3",
            "api_key_lb_wait_seconds_bucket{pool=\"default\",le=\"0.1\"} 1",
        ],
    );
    for (line, dollars) in [
        (
            "api_key_lb_cost_usd_total{pool=\"default\",key=\"key-2\",model=\"m\"} ",
            90e-6,
        ),
        ("api_key_lb_saved_usd_total{pool=\"default\"} ", 30e-6),
    ] {
        let found: f64 = page
            .lines()
            .find_map(|other| other.strip_prefix(line))
            .unwrap_or_else(|| panic!("`{line}` in\n{page}"))
            .parse()
            .unwrap();
        assert!((found - dollars).abs() < 1e-9, "{line}{found}");
    }
    let requests = page.matches("\napi_key_lb_requests_total{").count();
    assert_eq!(requests, 1, "{page}");
    assert!(!page.contains("00000007"), "a session:\n{page}");
}

#[test]
fn what_nobody_served_is_counted_without_its_model_and_without_a_key() {
    let page = page(&[
        fact(Some("made-up"), &[], Ending::Own("throttled")),
        fact(Some("made-up"), &[(1, Some(404))], Ending::Complete),
        fact(None, &[(1, None)], Ending::ClientLeft),
    ]);
    has(
        &page,
        &[
            "api_key_lb_requests_total{pool=\"default\",key=\"\",model=\"other\",status_class=\"none\",outcome=\"own_answer\"} 1",
            "api_key_lb_own_answers_total{pool=\"default\",code=\"throttled\"} 1",
            "api_key_lb_requests_total{pool=\"default\",key=\"key-1\",model=\"other\",status_class=\"4xx\",outcome=\"complete\"} 1",
            "api_key_lb_attempts_total{pool=\"default\",key=\"key-1\",outcome=\"client_left\"} 1",
        ],
    );
    assert!(!page.contains("made-up"), "{page}");
}

#[test]
fn models_are_bounded() {
    let facts: Vec<Fact> = (0..1000)
        .map(|number| {
            let model = format!("m{number}");
            fact(Some(&model), &[(1, Some(200))], Ending::Complete)
        })
        .collect();
    let page = page(&facts);
    assert_eq!(page.matches("\napi_key_lb_requests_total{").count(), 101);
    assert!(
        page.contains("model=\"other\",status_class=\"2xx\",outcome=\"complete\"} 900\n"),
        "{page}"
    );
}

#[test]
fn what_is_looked_at_is_as_it_is_now() {
    has(
        &page(&[]),
        &[
            "api_key_lb_key_state{pool=\"default\",key=\"key-1\",state=\"cooling\"} 1",
            "api_key_lb_key_state{pool=\"default\",key=\"key-1\",state=\"ready\"} 0",
            "api_key_lb_key_cooldown_seconds{pool=\"default\",key=\"key-1\"} 1.5",
            "api_key_lb_key_headroom_ratio{pool=\"default\",key=\"key-1\",what=\"tokens\"} 0.25",
            "api_key_lb_in_flight{pool=\"default\",key=\"key-1\"} 2",
            "api_key_lb_sessions 0",
            "api_key_lb_store_up 1",
            "api_key_lb_store_size_bytes 4096",
            "api_key_lb_config_reloads_total{result=\"failed\"} 0",
            "api_key_lb_config_reload_last_successful 1",
            "api_key_lb_build_info{version=\"2.0.0\"} 1",
        ],
    );
}

#[test]
fn every_metric_of_the_table_is_on_the_page_once_and_no_other() {
    let page = page(&[]);
    let described: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    let wanted: Vec<&str> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(described, wanted);
    for metric in ALL {
        let is_plain = !metric.help.contains(['"', '\\', '\n']) && metric.help.ends_with('.');
        assert!(is_plain, "{}", metric.name);
        assert_eq!(
            metric.kind == Kind::Counter,
            metric.name.ends_with("_total"),
            "{}",
            metric.name
        );
    }
}

#[test]
fn the_format_is_the_one_that_is_liked_best() {
    for (accept, wanted) in [
        (None, Format::Plain),
        (Some("*/*"), Format::Plain),
        (Some("text/html"), Format::Plain),
        (
            // Prometheus 2.
            Some(
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            ),
            Format::OpenMetrics,
        ),
        (
            // Prometheus 3 with its protobuf first.
            Some(
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;q=0.3,*/*;q=0.1",
            ),
            Format::OpenMetrics,
        ),
        (
            Some("text/plain, application/openmetrics-text;q=0.5"),
            Format::Plain,
        ),
        (Some("application/openmetrics-text; q=0"), Format::Plain),
    ] {
        assert_eq!(Format::accepted(accept), wanted, "{accept:?}");
    }
}

#[test]
fn open_metrics_names_counters_without_their_suffix_and_ends() {
    let metrics = Metrics::default();
    metrics.observe(
        &[fact(Some("m"), &[(1, Some(200))], Ending::Complete)],
        &prices(),
        &label,
    );
    let page = metrics.render(&gauges(), Some("application/openmetrics-text"));
    assert!(
        page.content_type
            .starts_with("application/openmetrics-text")
    );
    has(
        &page.body,
        &[
            "# TYPE api_key_lb_requests counter",
            "# TYPE process_cpu_seconds counter",
            "# UNIT process_cpu_seconds seconds",
            "# UNIT api_key_lb_request_duration_seconds seconds",
            "api_key_lb_throttles_total{pool=\"default\",key=\"key-1\"} 1",
        ]
        .map(|line| line.replace("throttles_total{pool=\"default\",key=\"key-1\"}", "requests_total{pool=\"default\",key=\"key-1\",model=\"m\",status_class=\"2xx\",outcome=\"complete\"}"))
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>(),
    );
    assert!(page.body.ends_with("# EOF\n"));
}

/// A name, labels and a value.
type Sample = (String, Vec<(String, String)>, f64);

/// Reads one line of the page as strictly as Prometheus does.
fn parse(line: &str) -> Option<Sample> {
    let name_end = line.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"")?;
            let is_name = label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            is_name.then_some(())?;
            let mut value = String::new();
            let mut letters = after.char_indices();
            let end = loop {
                match letters.next()? {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match letters.next()?.1 {
                        'n' => '\n',
                        letter @ ('\\' | '"') => letter,
                        _ => return None,
                    }),
                    (_, '\n') => return None,
                    (_, letter) => value.push(letter),
                }
            };
            labels.push((label.to_owned(), value));
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}')?;
    }
    let value = rest.strip_prefix(' ')?.parse().ok()?;
    Some((name.to_owned(), labels, value))
}

proptest! {
    #[test]
    fn whatever_keys_and_models_are_called_the_page_can_be_read_back(
        labels in proptest::collection::vec(any::<String>(), 1..4),
        models in proptest::collection::vec(any::<String>(), 1..4),
        pool in any::<String>(),
    ) {
        let mut facts = Vec::new();
        for (number, model) in models.iter().enumerate() {
            let key = u64::try_from(number % labels.len()).unwrap();
            let mut one = fact(Some(model), &[(key, Some(200))], Ending::Complete);
            one.pool.clone_from(&pool);
            facts.push(one);
        }
        let (metrics, prices) = (Metrics::default(), prices());
        let label_of = |key: KeyId| labels[usize::try_from(key.number()).unwrap()].clone();
        metrics.observe(&facts, &prices, &label_of);
        for accept in [None, Some("application/openmetrics-text")] {
            let page = metrics.render(&gauges(), accept).body;
            let mut requests = 0.0;
            // Not `lines()`, which would also take `\r` away.
            for line in page.split('\n').filter(|line| !line.is_empty() && !line.starts_with('#')) {
                let (name, found, value) = parse(line).ok_or_else(|| {
                    TestCaseError::fail(format!("unreadable: {line:?}"))
                })?;
                if name == "api_key_lb_requests_total" {
                    requests += value;
                    let key = &found.iter().find(|(name, _)| name == "key").unwrap().1;
                    prop_assert!(labels.contains(key));
                }
            }
            prop_assert_eq!(requests, facts.len() as f64);
        }
    }
}

/// `docs/metrics.md` names every metric as the program does. `UPDATE_DOCS=1` writes them.
#[test]
fn the_documentation_names_every_metric() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let mut wanted = String::from("| metric | kind | labels | says |\n|---|---|---|---|\n");
    for metric in ALL {
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        wanted += &format!(
            "| `{}` | {} | {} | {} |\n",
            metric.name,
            metric.kind.as_str(),
            labels.join(", "),
            metric.help
        );
    }
    let (begin, end) = ("<!-- generated: metrics -->\n", "<!-- end of metrics -->\n");
    let text = std::fs::read_to_string(&path).unwrap();
    let from = text.find(begin).expect("the mark of the beginning") + begin.len();
    let to = from + text[from..].find(end).expect("the mark of the end");
    if text[from..to] != wanted {
        assert!(
            std::env::var_os("UPDATE_DOCS").is_some(),
            "docs/metrics.md is not what there is; run the tests with UPDATE_DOCS=1 and look at the change:\n{wanted}"
        );
        std::fs::write(&path, format!("{}{wanted}{}", &text[..from], &text[to..])).unwrap();
    }
}

/// Run with `cargo test --release -p api-key-lb-control -- --ignored cost_of_a_fact --nocapture`.
#[test]
#[ignore = "a measurement"]
fn cost_of_a_fact() {
    let facts: Vec<Fact> = (0..10_000_u64)
        .map(|number| {
            let model = format!("model-{}", number % 7);
            let attempts = [(number % 5, Some(200))];
            fact(Some(&model), &attempts, Ending::Complete)
        })
        .collect();
    let (metrics, prices) = (Metrics::default(), prices());
    metrics.observe(&facts, &prices, &label);
    // Of the CPU, where that can be told: others may want it too.
    let (start, began) = (process::Process::now().cpu, Instant::now());
    for _ in 0..20 {
        for batch in facts.chunks(50) {
            metrics.observe(batch, &prices, &label);
        }
    }
    let cpu = process::Process::now().cpu.zip(start);
    let seconds = cpu.map_or(began.elapsed().as_secs_f64(), |(end, start)| end - start);
    println!("{:.0} ns per fact", seconds / 200_000.0 * 1e9);
    let began = Instant::now();
    let bytes = metrics.render(&gauges(), None).body.len();
    println!(
        "{} µs for a page of {bytes} bytes",
        began.elapsed().as_micros()
    );
}
