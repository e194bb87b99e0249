//! Every family of limit headers that is known, and what must hold for any other.

use http::header::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::provider::{PROVIDERS, UNKNOWN};

/// Sunday, 27 September 2026, 12:00:00 UTC.
const NOW: Moment = Moment::from_unix_millis(1_790_510_400_000);

/// The limits that these headers of a provider state: what is counted, whether for the whole
/// account, how much in all, how much is left, and in how many seconds there is something again.
type Stated = (Axis, bool, Option<u64>, u64, Option<f64>);

fn stated_by(name: &str, pairs: &[(&str, &str)]) -> Vec<Stated> {
    let provider = PROVIDERS.iter().find(|known| known.name == name);
    read(&headers(pairs), provider.unwrap_or(&UNKNOWN), NOW)
        .into_iter()
        .map(|bucket| {
            let reset = bucket.reset.map(|reset| reset.since(NOW).as_secs_f64());
            let Bucket {
                axis,
                whole_account,
                limit,
                remaining,
                ..
            } = bucket;
            (axis, whole_account, limit, remaining, reset)
        })
        .collect()
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let header = |(name, value): &(&str, &str)| {
        (
            name.parse::<HeaderName>().unwrap(),
            HeaderValue::from_str(value).unwrap(),
        )
    };
    pairs.iter().map(header).collect()
}

#[test]
fn answers_without_limits_cost_no_allocation() {
    let pairs = [
        ("content-type", "application/json"),
        ("x-request-id", "req_1"),
        ("x-content-type-options", "nosniff"),
        ("anthropic-organization-id", "o"),
        ("x-codex-plan-type", "plus"),
        ("x-ratelimit-key", "k"),
    ];
    let buckets = read(&headers(&pairs), &UNKNOWN, NOW);
    assert_eq!((buckets.len(), buckets.capacity()), (0, 0));
}

#[test]
fn openai_counts_requests_tokens_and_those_of_the_project() {
    let pairs = [
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-reset-requests", "8.64s"),
        ("x-ratelimit-limit-tokens", "30000"),
        ("x-ratelimit-remaining-tokens", "29950"),
        ("x-ratelimit-reset-tokens", "100ms"),
        ("x-ratelimit-limit-project-tokens", "50000"),
        ("x-ratelimit-remaining-project-tokens", "40000"),
        ("x-ratelimit-reset-project-tokens", "6m0s"),
        ("x-ratelimit-limit-tokens_usage_based", "90000"),
        ("x-ratelimit-remaining-tokens_usage_based", "90000"),
        ("x-ratelimit-reset-tokens_usage_based", "0s"),
    ];
    assert_eq!(
        stated_by("openai", &pairs),
        [
            (Axis::Requests, false, Some(10_000), 9999, Some(8.64)),
            (Axis::Tokens, false, Some(30_000), 29_950, Some(0.1)),
            (Axis::Tokens, false, Some(50_000), 40_000, Some(360.0)),
            (Axis::Tokens, false, Some(90_000), 90_000, None),
        ]
    );
}

#[test]
fn a_bucket_that_fills_steadily_has_something_long_before_it_is_full() {
    let day = [
        ("x-ratelimit-limit-requests", "200"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "24h0m0s"),
        ("x-ratelimit-limit-tokens", "30000"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "1m0s"),
    ];
    let resets = |name| {
        stated_by(name, &day)
            .into_iter()
            .map(|limit| limit.4)
            .collect::<Vec<_>>()
    };
    assert_eq!(resets("openai"), [Some(432.0), Some(1.0)]);
    assert_eq!(resets("groq"), [Some(432.0), Some(60.0)], "only requests");
    assert_eq!(resets("cerebras"), [Some(86_400.0), Some(60.0)]);
}

#[test]
fn anthropic_counts_input_and_output_apart() {
    let pairs = [
        ("anthropic-ratelimit-requests-limit", "50"),
        ("anthropic-ratelimit-requests-remaining", "49"),
        ("anthropic-ratelimit-requests-reset", "2026-09-27T12:00:01Z"),
        ("anthropic-ratelimit-input-tokens-limit", "1000000"),
        ("anthropic-ratelimit-input-tokens-remaining", "0"),
        (
            "anthropic-ratelimit-input-tokens-reset",
            "2026-09-27T12:00:40Z",
        ),
        ("anthropic-ratelimit-output-tokens-limit", "8000"),
        ("anthropic-ratelimit-output-tokens-remaining", "7000"),
        (
            "anthropic-ratelimit-output-tokens-reset",
            "2026-09-27T12:00:08Z",
        ),
        ("anthropic-ratelimit-tokens-limit", "1008000"),
        ("anthropic-ratelimit-tokens-remaining", "7000"),
        ("anthropic-ratelimit-tokens-reset", "2026-09-27T12:00:40Z"),
    ];
    assert_eq!(
        stated_by("anthropic", &pairs),
        [
            (Axis::Requests, false, Some(50), 49, Some(1.0)),
            (Axis::InputTokens, false, Some(1_000_000), 0, Some(40.0)),
            (Axis::OutputTokens, false, Some(8000), 7000, Some(8.0)),
            (Axis::Tokens, false, Some(1_008_000), 7000, Some(40.0)),
        ]
    );
}

#[test]
fn windows_of_a_subscription_are_shares() {
    let pairs = [
        ("anthropic-ratelimit-unified-status", "rejected"),
        ("anthropic-ratelimit-unified-reset", "1790510500"),
        (
            "anthropic-ratelimit-unified-representative-claim",
            "seven_day_overage_included",
        ),
        ("anthropic-ratelimit-unified-fallback-percentage", "0.5"),
        ("anthropic-ratelimit-unified-overage-status", "rejected"),
        (
            "anthropic-ratelimit-unified-overage-disabled-reason",
            "out_of_credits",
        ),
        ("anthropic-ratelimit-unified-5h-status", "allowed"),
        ("anthropic-ratelimit-unified-5h-reset", "1790510460"),
        ("anthropic-ratelimit-unified-5h-utilization", "0.0"),
        ("anthropic-ratelimit-unified-7d-status", "allowed_warning"),
        ("anthropic-ratelimit-unified-7d-reset", "1790510500"),
        ("anthropic-ratelimit-unified-7d-utilization", "0.94"),
        ("anthropic-ratelimit-unified-7d_oi-status", "rejected"),
        ("anthropic-ratelimit-unified-7d_oi-reset", "1790510500"),
        ("anthropic-ratelimit-unified-7d_oi-utilization", "1.0"),
    ];
    assert_eq!(
        stated_by("anthropic", &pairs),
        [
            (Axis::Window, true, Some(1000), 1000, Some(60.0)),
            (Axis::Window, true, Some(1000), 60, Some(100.0)),
            (Axis::Window, false, Some(1000), 0, Some(100.0)),
        ]
    );
}

#[test]
fn a_window_that_still_serves_is_not_used_up() {
    let left = |pairs: &[(&str, &str)]| {
        let stated = stated_by("anthropic", pairs);
        stated.iter().map(|limit| limit.3).collect::<Vec<_>>()
    };
    let used = ("anthropic-ratelimit-unified-7d-utilization", "1.01");
    let of_window = |status| ("anthropic-ratelimit-unified-7d-status", status);
    assert_eq!(left(&[used, of_window("allowed")]), [1]);
    assert_eq!(left(&[used, of_window("rejected")]), [0]);
    assert_eq!(left(&[used]), [0]);
    let nearly = ("anthropic-ratelimit-unified-7d-utilization", "0.9999");
    assert_eq!(left(&[nearly]), [1]);
    let rejected = ("anthropic-ratelimit-unified-status", "rejected");
    assert_eq!(
        left(&[rejected, of_window("allowed"), nearly]),
        [1],
        "the sum was seen rejected on an answer that was served"
    );
}

#[test]
fn without_windows_the_sum_counts() {
    let pairs = [
        ("anthropic-ratelimit-unified-status", "rejected"),
        ("anthropic-ratelimit-unified-reset", "1790510500"),
    ];
    let limit = |whole_account| (Axis::Window, whole_account, Some(1000), 0, Some(100.0));
    let of_claim = |claim| {
        let claim = ("anthropic-ratelimit-unified-representative-claim", claim);
        stated_by("anthropic", &[&pairs[..], &[claim]].concat())
    };
    assert_eq!(stated_by("anthropic", &pairs), [limit(true)]);
    assert_eq!(of_claim("five_hour"), [limit(true)]);
    assert_eq!(of_claim("seven_day_overage_included"), [limit(false)]);
    let other = ("anthropic-ratelimit-unified-5h-utilization", "0.3");
    assert_eq!(
        stated_by("anthropic", &[&pairs[..], &[other]].concat()),
        [(Axis::Window, true, Some(1000), 700, None), limit(true)],
        "of another window only the use is known"
    );
    let allowed = [("anthropic-ratelimit-unified-status", "allowed"), pairs[1]];
    assert_eq!(stated_by("anthropic", &allowed), []);
}

#[test]
fn windows_of_a_chatgpt_plan_are_read() {
    let plan = [
        ("x-codex-primary-used-percent", "12.5"),
        ("x-codex-primary-window-minutes", "300"),
        ("x-codex-primary-reset-at", "1790510460"),
        ("x-codex-secondary-used-percent", "100"),
        ("x-codex-secondary-window-minutes", "10080"),
        ("x-codex-secondary-reset-after-seconds", "500"),
        ("x-codex-bengalfox-primary-used-percent", "99"),
        ("x-codex-bengalfox-limit-name", "gpt-x"),
    ];
    let of_plan = [
        (Axis::Window, true, Some(1000), 875, Some(60.0)),
        (Axis::Window, true, Some(1000), 0, Some(500.0)),
    ];
    assert_eq!(stated_by("openai", &plan), of_plan);
    let active = [&plan[..], &[("x-codex-active-limit", "codex_bengalfox")]].concat();
    let model = (Axis::Window, false, Some(1000), 10, None);
    assert_eq!(
        stated_by("openai", &active),
        [&of_plan[..], &[model]].concat()
    );
    let credit = [&plan[3..6], &[("x-codex-credits-has-credits", "True")]].concat();
    assert_eq!(
        stated_by("openai", &credit),
        [(Axis::Window, true, Some(1000), 1, Some(500.0))],
        "credit serves what is beyond the plan"
    );
}

#[test]
fn azure_states_periods_instead_of_resets() {
    let pairs = [
        ("x-ratelimit-limit-tokens", "100000"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "0"),
        ("x-ratelimit-renewalperiod-tokens", "60"),
        ("x-ratelimit-limit-requests", "100"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "22"),
        ("x-ratelimit-abusepenalty-active", "False"),
    ];
    assert_eq!(
        stated_by("azure", &pairs),
        [
            (Axis::Tokens, false, Some(100_000), 0, Some(60.0)),
            (Axis::Requests, false, Some(100), 0, Some(22.0)),
        ]
    );
}

#[test]
fn other_names_are_read_by_their_pattern() {
    let one = |name: &str, pairs: &[(&str, &str)]| {
        let stated = stated_by(name, pairs);
        assert_eq!(stated.len(), 1, "{pairs:?}");
        stated[0]
    };
    assert_eq!(
        one(
            "openrouter",
            &[
                ("x-ratelimit-limit", "20"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "1790510460000"),
            ]
        ),
        (Axis::Requests, false, Some(20), 0, Some(60.0))
    );
    assert_eq!(
        one(
            "mistral",
            &[
                ("ratelimitbysize-limit", "500000"),
                ("ratelimitbysize-remaining", "499000"),
                ("ratelimitbysize-reset", "51"),
                ("ratelimitbysize-query-cost", "1000"),
            ]
        ),
        (Axis::Tokens, true, Some(500_000), 499_000, Some(51.0))
    );
    assert_eq!(
        one("mistral", &[("x-ratelimitbysize-remaining-minute", "0")]),
        (Axis::Tokens, true, None, 0, Some(60.0))
    );
    assert_eq!(
        one(
            "mistral",
            &[
                ("x-ratelimit-limit-req-minute", "60"),
                ("x-ratelimit-remaining-req-minute", "59"),
            ]
        ),
        (Axis::Requests, true, Some(60), 59, None)
    );
    assert_eq!(
        one(
            "cerebras",
            &[
                ("x-ratelimit-limit-requests-day", "14400"),
                ("x-ratelimit-remaining-requests-day", "14399"),
                ("x-ratelimit-reset-requests-day", "33011.38"),
            ]
        ),
        (Axis::Requests, false, Some(14_400), 14_399, Some(33_011.38))
    );
    assert_eq!(
        one(
            "together",
            &[
                ("x-tokenlimit-limit", "3000"),
                ("x-tokenlimit-remaining", "5")
            ]
        ),
        (Axis::Tokens, false, Some(3000), 5, None)
    );
    assert_eq!(
        one(
            "unknown",
            &[
                ("ratelimit-limit", "100, 100;w=60"),
                ("ratelimit-remaining", "50"),
                ("ratelimit-reset", "30"),
            ]
        ),
        (Axis::Requests, false, Some(100), 50, Some(30.0))
    );
}

#[test]
fn fireworks_counts_prompts_and_says_when_it_serves_beyond_the_limit() {
    let pairs = [
        ("x-ratelimit-limit-tokens-prompt", "60000"),
        ("x-ratelimit-remaining-tokens-prompt", "10"),
        ("x-ratelimit-limit-tokens-generated", "6000"),
        ("x-ratelimit-remaining-tokens-generated", "20"),
        ("x-ratelimit-over-limit", "yes"),
    ];
    assert_eq!(
        stated_by("fireworks", &pairs),
        [
            (Axis::InputTokens, true, Some(60_000), 10, None),
            (Axis::OutputTokens, true, Some(6000), 20, None),
            (Axis::Window, true, Some(1000), 1, None),
        ]
    );
    assert_eq!(
        stated_by("fireworks", &[("x-ratelimit-over-limit", "no")]),
        []
    );
}

#[test]
fn one_header_of_the_ietf_is_read() {
    let pairs = [
        ("ratelimit", "\"api\";r=50;t=30"),
        ("ratelimit-policy", "\"fixed window\";\"api\";q=100;w=300"),
    ];
    let api = (Axis::Requests, true, Some(100), 50, Some(30.0));
    assert_eq!(stated_by("huggingface", &pairs), [api]);
    let older = [("ratelimit", "limit=100, remaining=50, reset=30")];
    assert_eq!(stated_by("huggingface", &older), [api]);
    let two = [("ratelimit", "\"a\";r=1;t=2, \"b\";r=3")];
    let limit = |left, reset| (Axis::Requests, true, None, left, reset);
    assert_eq!(
        stated_by("huggingface", &two),
        [limit(1, Some(2.0)), limit(3, None)]
    );
}

#[test]
fn what_says_nothing_of_chats_is_left_out() {
    for pairs in [
        [
            ("x-ratelimit-limit-images", "5"),
            ("x-ratelimit-remaining-images", "0"),
        ],
        [
            ("x-ratelimit-limit-requests", "0"),
            ("x-ratelimit-remaining-requests", "0"),
        ],
        [
            ("x-ratelimit-limit-requests", "5"),
            ("x-ratelimit-remaining-requests", "-1"),
        ],
        [
            ("x-ratelimit-limit-requests", "5"),
            ("x-ratelimit-remaining-requests", "many"),
        ],
        [
            ("x-ratelimit-limit-requests", "5"),
            ("x-ratelimit-reset-requests", "5s"),
        ],
    ] {
        assert_eq!(stated_by("unknown", &pairs), [], "{pairs:?}");
    }
}

proptest! {
    #[test]
    fn nothing_that_is_sent_is_too_much(
        pairs in prop::collection::vec((
            "(x-ratelimit|ratelimit|anthropic-ratelimit|anthropic-ratelimit-unified|x-codex)\
             (-(limit|remaining|reset|tokens|requests|5h|status|primary|used-percent|reset-at)){0,4}",
            "[0-9a-z\"=;,. -]{0,12}|rejected|[0-9]{1,20}(\\.[0-9]{0,3})?(ms|s|h)?",
        ), 0..12),
        provider in 0..PROVIDERS.len(),
    ) {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        for bucket in read(&headers(&pairs), &PROVIDERS[provider], NOW) {
            prop_assert!(bucket.limit != Some(0));
            if let Some(reset) = bucket.reset {
                prop_assert!(reset > NOW && reset.since(NOW) <= reset::LONGEST);
            }
        }
    }
}
