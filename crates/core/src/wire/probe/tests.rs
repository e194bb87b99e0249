use super::*;
use crate::headroom::Axis;
use crate::provider::ErrorRule;

/// 2026-07-28 00:00 UTC.
const NOW: Moment = Moment::from_unix_millis(1_785_196_800_000);
const HOUR: u64 = 3_600_000;

fn target(url: &str) -> Target {
    Target::parse(url).unwrap()
}

fn question(tells: Tells) -> Question {
    Question {
        method: Method::GET,
        path: "/".into(),
        dialect: Dialect::OpenAi,
        headers: Vec::new(),
        body: String::new(),
        tells,
    }
}

fn answered(
    url: &str,
    tells: Tells,
    status: u16,
    headers: &[(&'static str, &str)],
    body: &str,
) -> Told {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    read(
        &[],
        &question(tells),
        &target(url),
        StatusCode::from_u16(status).unwrap(),
        &map,
        body.as_bytes(),
        NOW,
    )
}

fn told(url: &str, tells: Tells, body: &str) -> Told {
    answered(url, tells, 200, &[], body)
}

fn windows(told: &Told) -> Vec<(&str, f64, Option<u64>)> {
    told.left
        .iter()
        .filter_map(|left| match left {
            Left::Window(window) => Some((
                window.name.as_str(),
                window.percent_left,
                window
                    .reset
                    .map(|reset| (reset.unix_millis() - NOW.unix_millis()) / HOUR),
            )),
            _ => None,
        })
        .collect()
}

fn money(told: &Told) -> Vec<(&str, Option<&str>)> {
    told.left
        .iter()
        .filter_map(|left| match left {
            Left::Money(money) => Some((money.amount.as_str(), money.currency.as_deref())),
            _ => None,
        })
        .collect()
}

const ZAI: &str = "https://api.z.ai/api/coding/paas/v4";

fn zai(five_hours: u32, tools: u32) -> String {
    format!(
        r#"{{"code":200,"msg":"ok","success":true,"data":{{"planName":"Pro","limits":[
            {{"type":"TOKENS_LIMIT","unit":3,"number":5,"percentage":{five_hours},"nextResetTime":1785207600000}},
            {{"type":"TOKENS_LIMIT","unit":6,"number":1,"percentage":60,"nextResetTime":1785542400000}},
            {{"type":"TIME_LIMIT","unit":5,"number":1,"percentage":{tools},"usage":100}}]}}}}"#
    )
}

#[test]
fn the_windows_of_zai_are_read() {
    let told = told(ZAI, Tells::ZaiQuota, &zai(25, 100));
    assert_eq!(
        told.standing,
        Standing::Valid,
        "tools do not matter: {told:?}"
    );
    assert_eq!(told.plan.as_deref(), Some("Pro"));
    assert_eq!(
        windows(&told),
        [
            ("5 h", 75.0, Some(3)),
            ("1 week", 40.0, Some(96)),
            ("tools 1 month", 0.0, None)
        ]
    );
}

#[test]
fn a_window_without_anything_left_is_used_up_until_its_reset() {
    let told = told(ZAI, Tells::ZaiQuota, &zai(100, 0));
    assert_eq!(told.standing, Standing::UsedUp);
    assert_eq!(
        told.until,
        Some(Moment::from_unix_millis(1_785_207_600_000))
    );
    assert_eq!(told.reason.as_deref(), Some("nothing is left of 5 h"));
    assert!(told.standing.is_usable());
}

#[test]
fn an_error_in_an_answer_of_success_is_an_error() {
    let body = r#"{"code":401,"msg":"token expired or incorrect","success":false}"#;
    let told = told(ZAI, Tells::ZaiQuota, body);
    assert_eq!(told.standing, Standing::Refused, "{told:?}");
    assert_eq!(told.reason.as_deref(), Some("token expired or incorrect"));
}

#[test]
fn the_credit_of_an_openrouter_key_is_read_and_its_label_is_not() {
    let url = "https://openrouter.ai/api/v1";
    let body = r#"{"data":{"label":"sk-or-v1-abc...123","limit":100,"limit_remaining":97.5,"limit_reset":"monthly",
        "usage":2.5,"is_free_tier":false,"creator_user_id":"user_2dHFtVWx2n56w6HkM0000000000","rate_limit":{"requests":-1,"interval":"10s"}}}"#;
    let read = told(url, Tells::OpenRouterKey, body);
    assert_eq!(read.standing, Standing::Valid);
    assert_eq!(money(&read), [("97.5", Some("USD"))]);
    assert_eq!(read.owners[0].kind, "user");
    assert!(!format!("{read:?}").contains("abc...123"));
    let spent = body.replace("97.5", "0");
    assert_eq!(
        told(url, Tells::OpenRouterKey, &spent).standing,
        Standing::NoCredit
    );
    let unlimited = r#"{"data":{"label":"x","limit":null,"limit_remaining":null,"usage":2,"is_free_tier":true}}"#;
    let read = told(url, Tells::OpenRouterKey, unlimited);
    assert_eq!((read.standing, read.left.len()), (Standing::Valid, 0));
    assert_eq!(read.plan.as_deref(), Some("free tier"));
}

#[test]
fn balances_are_read_as_they_are_written() {
    let deepseek = |available: bool, total: &str| {
        let body = format!(
            r#"{{"is_available":{available},"balance_infos":[{{"currency":"CNY","total_balance":"{total}","granted_balance":"10.00","topped_up_balance":"100.00"}}]}}"#
        );
        told("https://api.deepseek.com", Tells::DeepSeekBalance, &body)
    };
    let full = deepseek(true, "110.00");
    assert_eq!(full.standing, Standing::Valid);
    assert_eq!(money(&full), [("110.00", Some("CNY"))]);
    assert_eq!(deepseek(false, "0.00").standing, Standing::NoCredit);

    let moonshot = |url: &str, available: &str| {
        let body = format!(
            r#"{{"code":0,"data":{{"available_balance":{available},"voucher_balance":46.58893,"cash_balance":3.00001}},"scode":"0x0","status":true}}"#
        );
        told(url, Tells::MoonshotBalance, &body)
    };
    let full = moonshot("https://api.moonshot.cn/v1", "49.58894");
    assert_eq!(money(&full), [("49.58894", Some("CNY"))]);
    let spent = moonshot("https://api.moonshot.ai/v1", "-0.5");
    assert_eq!(money(&spent), [("-0.5", Some("USD"))]);
    assert_eq!(spent.standing, Standing::NoCredit);
}

#[test]
fn the_windows_of_kimi_are_read() {
    let body = r#"{"user":{"membership":{"level":"LEVEL_ADVANCED"}},
        "usage":{"limit":"2048","used":"512","remaining":"1536","resetTime":"2026-07-30T00:00:00.716839300Z"},
        "limits":[{"window":{"duration":300,"timeUnit":"TIME_UNIT_MINUTE"},
                   "detail":{"limit":"200","used":"200","resetTime":"2026-07-28T02:00:00Z"}}]}"#;
    let told = told("https://api.kimi.com/coding/v1", Tells::KimiUsages, body);
    assert_eq!(
        windows(&told),
        [("week", 75.0, Some(48)), ("5 h", 0.0, Some(2))]
    );
    assert_eq!(told.standing, Standing::UsedUp);
    assert_eq!(
        told.until,
        Some(Moment::from_unix_millis(NOW.unix_millis() + 2 * HOUR))
    );
    assert_eq!(told.plan.as_deref(), Some("LEVEL_ADVANCED"));
}

#[test]
fn the_windows_of_minimax_are_read_by_their_percentages() {
    let end = NOW.unix_millis() + 3 * HOUR;
    let body = format!(
        r#"{{"base_resp":{{"status_code":0,"status_msg":"success"}},"current_subscribe_title":"Max","model_remains":[
            {{"model_name":"general","end_time":{end},"current_interval_remaining_percent":83,
              "current_interval_total_count":0,"current_interval_usage_count":0,
              "weekly_end_time":{end},"current_weekly_remaining_percent":40}},
            {{"model_name":"video","end_time":{end},"current_interval_remaining_percent":0}},
            {{"model_name":"MiniMax-M2","end_time":{end},"current_interval_total_count":1500,"current_interval_usage_count":1500}}]}}"#
    );
    let told = told("https://api.minimax.io/v1", Tells::MiniMaxRemains, &body);
    assert_eq!(told.standing, Standing::Valid, "{told:?}");
    assert_eq!(told.plan.as_deref(), Some("Max"));
    assert_eq!(
        windows(&told),
        [
            ("general window", 83.0, Some(3)),
            ("general week", 40.0, Some(3))
        ]
    );
}

#[test]
fn an_error_of_minimax_in_an_answer_of_success_is_an_error() {
    let body = r#"{"base_resp":{"status_code":2049,"status_msg":"invalid api key"}}"#;
    let told = told("https://api.minimax.io/v1", Tells::MiniMaxRemains, body);
    assert!(!told.standing.is_usable(), "{told:?}");
    assert_eq!(told.reason.as_deref(), Some("invalid api key"));
}

#[test]
fn an_answer_of_another_shape_says_that_the_key_is_valid_and_no_more() {
    for tells in [
        Tells::Validity,
        Tells::OpenRouterKey,
        Tells::ZaiQuota,
        Tells::DeepSeekBalance,
        Tells::MoonshotBalance,
        Tells::KimiUsages,
        Tells::MiniMaxRemains,
    ] {
        for body in [
            "{}",
            "[]",
            r#"{"data":7,"limits":{},"usage":"x","model_remains":[[1]]}"#,
            r#"{"data":{"limits":[null,{"percentage":"NaN"}],"available_balance":true}}"#,
            r#"{"data":["#,
        ] {
            let told = told("https://h", tells, body);
            assert_eq!(
                (told.standing, told.left.len()),
                (Standing::Valid, 0),
                "{tells:?} {body}"
            );
        }
    }
}

#[test]
fn refusals_say_why_and_for_how_long() {
    let body = r#"{"error":{"message":"Incorrect API key provided: sk-x","type":"invalid_request_error","code":"invalid_api_key"}}"#;
    let refused = answered("https://h", Tells::Validity, 401, &[], body);
    assert_eq!(refused.standing, Standing::Refused);
    assert_eq!(
        refused.reason.as_deref(),
        Some("Incorrect API key provided: sk-x")
    );
    let throttled = answered(
        "https://h",
        Tells::Validity,
        429,
        &[("retry-after", "60")],
        r#"{"error":{"message":"slow down"}}"#,
    );
    assert_eq!(throttled.standing, Standing::Throttled);
    assert_eq!(
        throttled.until,
        Some(Moment::from_unix_millis(NOW.unix_millis() + 60_000))
    );
    let empty = answered("https://h", Tells::Validity, 402, &[], "");
    assert_eq!(empty.standing, Standing::NoCredit);
    assert_eq!(empty.reason.as_deref(), Some("status 402 without a reason"));
    let broken = answered("https://h", Tells::Validity, 500, &[], "<html>");
    assert_eq!(broken.standing, Standing::ProviderFails);
}

#[test]
fn an_error_that_is_only_text_is_understood_with_a_200_too() {
    for (text, standing) in [
        ("too many requests", Standing::Throttled),
        ("server busy, please try again", Standing::ProviderFails),
        ("unauthorized", Standing::Refused),
    ] {
        let body = format!(r#"{{"error":"{text}"}}"#);
        let told = answered("https://h", Tells::Validity, 200, &[], &body);
        assert_eq!(told.standing, standing, "{text}");
        assert_eq!(told.reason.as_deref(), Some(text));
    }
}

#[test]
fn a_rule_of_the_persons_own_decides_how_a_key_stands() {
    let standing = |own: &[OwnErrorRule], status, body: &str| {
        let status = StatusCode::from_u16(status).unwrap();
        let (question, target) = (question(Tells::Validity), target("https://h"));
        let none = HeaderMap::new();
        read(own, &question, &target, status, &none, body.as_bytes(), NOW).standing
    };
    let own = |status: Vec<u16>, phrases: Vec<String>| OwnErrorRule {
        provider: None,
        rule: ErrorRule::own(0, status, Vec::new(), phrases, Matter::Credit, None),
    };
    let body = r#"{"error":"the piggy bank is empty"}"#;
    let by_status = [own(vec![418], Vec::new())];
    assert_eq!(standing(&[], 418, body), Standing::Unclear);
    assert_eq!(standing(&by_status, 418, body), Standing::NoCredit);
    assert_eq!(standing(&by_status, 404, body), Standing::Unclear);
    let by_text = [own(Vec::new(), vec!["Piggy".into()])];
    assert_eq!(standing(&[], 200, body), Standing::Unclear);
    assert_eq!(standing(&by_text, 200, body), Standing::NoCredit);
    assert_eq!(standing(&by_text, 200, "{}"), Standing::Valid);
}

#[test]
fn what_proves_nothing_is_unclear() {
    for (status, body) in [
        (200, r#"{"error":"an error was encountered"}"#),
        (302, ""),
        (404, "{}"),
        (200, "<!doctype html><title>Shop</title>"),
        (200, ""),
    ] {
        let told = answered("https://h", Tells::Validity, status, &[], body);
        assert_eq!(told.standing, Standing::Unclear, "{status} {body}");
        assert!(told.reason.is_some());
    }
}

#[test]
fn owners_and_limits_stand_in_the_headers() {
    let told = answered(
        "https://api.openai.com",
        Tells::Validity,
        200,
        &[
            ("openai-organization", "org-one"),
            ("openai-project", "proj_x"),
            ("x-ratelimit-limit-requests", "100"),
            ("x-ratelimit-remaining-requests", "99"),
            ("x-ratelimit-reset-requests", "1s"),
        ],
        "{}",
    );
    let owners: Vec<(&str, &str)> = told
        .owners
        .iter()
        .map(|owner| (owner.kind, owner.id.as_str()))
        .collect();
    assert_eq!(owners, [("organization", "org-one"), ("project", "proj_x")]);
    let Some(Left::Bucket(bucket)) = told.left.first() else {
        panic!("{told:?}");
    };
    assert_eq!((bucket.axis, bucket.remaining), (Axis::Requests, 99));
}

fn paths(url: &str) -> Vec<String> {
    free(&target(url), "k")
        .into_iter()
        .map(|question| question.path)
        .collect()
}

#[test]
fn an_unknown_host_is_asked_for_its_models_below_its_base_path() {
    assert_eq!(
        paths("http://localhost:4000"),
        ["/v1/models", "/models", "/v1/models"]
    );
    assert_eq!(
        paths("https://h/api/v4"),
        ["/api/v4/models", "/api/v4/models"],
        "the same in another dialect"
    );
    let anthropic = free(&target("https://h/api/anthropic"), "sk-ant-oat01-x");
    assert_eq!(anthropic[0].path, "/api/anthropic/v1/models");
    assert_eq!(anthropic[0].dialect, Dialect::Anthropic);
    let names: Vec<&str> = anthropic[0]
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["anthropic-version", "anthropic-beta"]);
}

#[test]
fn a_known_provider_is_asked_by_its_probe_first() {
    for provider in crate::provider::PROVIDERS {
        let Some(probe) = provider.probe else {
            continue;
        };
        let host = provider.hosts[0];
        let host = if host.starts_with('.') {
            format!("x{host}")
        } else {
            host.to_owned()
        };
        let questions = free(&target(&format!("https://{host}")), "k");
        assert_eq!(questions[0].path, probe.path, "{}", provider.name);
        assert_eq!(questions[0].tells, probe.tells);
    }
}

#[test]
fn only_an_answer_that_proves_nothing_leads_to_another_question() {
    let known = target("https://api.openai.com");
    let unknown = target("http://localhost");
    let ask = |dialect| Question {
        dialect,
        ..question(Tells::Validity)
    };
    let (openai, anthropic) = (ask(Dialect::OpenAi), ask(Dialect::Anthropic));
    let told = |standing| Told::bare(standing, None);
    assert!(is_worth(&openai, &openai, &told(Standing::Unclear), &known));
    assert!(is_worth(
        &anthropic,
        &openai,
        &told(Standing::Refused),
        &unknown
    ));
    assert!(!is_worth(
        &openai,
        &openai,
        &told(Standing::Refused),
        &unknown
    ));
    assert!(!is_worth(
        &anthropic,
        &openai,
        &told(Standing::Refused),
        &known
    ));
    let plan = question(Tells::ZaiQuota);
    assert!(is_worth(&openai, &plan, &told(Standing::Refused), &known));
    assert!(is_worth(
        &openai,
        &plan,
        &told(Standing::ProviderFails),
        &known
    ));
    assert!(!is_worth(
        &openai,
        &openai,
        &told(Standing::ProviderFails),
        &known
    ));
    assert!(!is_worth(&openai, &plan, &told(Standing::NoCredit), &known));
    assert!(!is_worth(
        &openai,
        &openai,
        &told(Standing::Valid),
        &unknown
    ));
    assert!(!is_worth(
        &openai,
        &openai,
        &told(Standing::Throttled),
        &unknown
    ));
}

#[test]
fn the_paid_question_is_one_token_in_the_providers_dialect() {
    let asked = |url: &str| {
        let question = paid(&target(url), "k", "m");
        let body: serde_json::Value = serde_json::from_str(&question.body).unwrap();
        (question.path, body)
    };
    let (path, body) = asked("https://api.z.ai/api/coding/paas/v4");
    assert_eq!(path, "/api/coding/paas/v4/chat/completions");
    assert_eq!(
        (&body["model"], &body["max_tokens"]),
        (&"m".into(), &1.into())
    );
    let (path, body) = asked("https://api.openai.com");
    assert_eq!(path, "/v1/chat/completions");
    assert_eq!(body["max_completion_tokens"], 1);
    let (path, body) = asked("https://api.anthropic.com");
    assert_eq!(
        (path.as_str(), &body["max_tokens"]),
        ("/v1/messages", &1.into())
    );
    let (path, body) = asked("https://generativelanguage.googleapis.com");
    assert_eq!(path, "/v1beta/models/m:generateContent");
    assert_eq!(body["generationConfig"]["maxOutputTokens"], 1);
    let (path, _) = asked("https://generativelanguage.googleapis.com/v1beta/openai");
    assert_eq!(path, "/v1beta/openai/chat/completions");
}
