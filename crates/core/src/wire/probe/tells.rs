//! What the answers to the probes of single providers say is left. Unknown shapes say nothing.

use serde_json::Value;

use super::{Left, Money, Owner, Standing, Told, Window};
use crate::moment::Moment;
use crate::provider::{Provider, Tells};
use crate::target::Target;
use crate::wire::reset;

/// Models of MiniMax whose quota is that of coding; the others make pictures and sound.
const MINIMAX_TEXT: [&str; 2] = ["general", "minimax-m"];

/// Completes what is known of a valid key with what the answer's body says.
pub(super) fn read(tells: Tells, target: &Target, body: &[u8], now: Moment, told: &mut Told) {
    if tells == Tells::Validity {
        return;
    }
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let clock = Clock {
        provider: target.provider(),
        now,
    };
    match tells {
        Tells::Validity => {}
        Tells::OpenRouterKey => openrouter(&answer["data"], told),
        Tells::ZaiQuota => zai(&answer["data"], clock, told),
        Tells::DeepSeekBalance => deepseek(&answer, told),
        Tells::MoonshotBalance => moonshot(&answer["data"], target, told),
        Tells::KimiUsages => kimi(&answer, clock, told),
        Tells::MiniMaxRemains => minimax(&answer, clock, told),
    }
    used_up(told);
}

/// Reads times.
#[derive(Clone, Copy)]
struct Clock {
    provider: &'static Provider,
    now: Moment,
}

impl Clock {
    /// The first of the fields that holds a time to come.
    fn reset(self, object: &Value, names: &[&str]) -> Option<Moment> {
        names.iter().find_map(|name| {
            let text = text(&object[*name])?;
            reset::moment(&text, self.provider.zone, self.now)
        })
    }
}

/// A key whose windows are empty serves nothing, until the last one of them begins anew.
fn used_up(told: &mut Told) {
    let empty = || {
        told.left.iter().filter_map(|left| match left {
            Left::Window(window) if window.decisive && window.percent_left <= 0.0 => Some(window),
            _ => None,
        })
    };
    if told.standing == Standing::Valid && empty().next().is_some() {
        told.standing = Standing::UsedUp;
        told.until = empty().filter_map(|window| window.reset).max();
        let names: Vec<&str> = empty().map(|window| window.name.as_str()).collect();
        told.reason = Some(format!("nothing is left of {}", names.join(" and ")));
    }
}

fn no_credit(told: &mut Told, reason: &str) {
    told.standing = Standing::NoCredit;
    told.reason = Some(reason.to_owned());
}

/// `{"data": {"limit": 10, "limit_remaining": 9.5, "limit_reset": "monthly", "usage": 0.5, …}}`;
/// its `label` is a part of the key.
fn openrouter(data: &Value, told: &mut Told) {
    if let Some(id) = data["creator_user_id"].as_str().filter(|id| !id.is_empty()) {
        told.owners.push(Owner {
            kind: "user",
            id: id.to_owned(),
        });
    }
    if data["is_free_tier"] == true {
        told.plan = Some("free tier".to_owned());
    }
    let Some(remaining) = text(&data["limit_remaining"]) else {
        return;
    };
    if number(&data["limit_remaining"]).is_some_and(|left| left <= 0.0) {
        no_credit(told, "nothing is left of the key's own credit limit");
    }
    told.left.push(Left::Money(Money {
        name: "credit",
        amount: remaining,
        currency: Some("USD".to_owned()),
        of: text(&data["limit"]),
        renewed: text(&data["limit_reset"]),
    }));
}

/// `{"data": {"planName": …, "limits": [{"type": "TOKENS_LIMIT", "unit": 3, "number": 5,
/// "percentage": 25, "nextResetTime": 1785816000000}, {"type": "TIME_LIMIT", …}]}}`.
fn zai(data: &Value, clock: Clock, told: &mut Told) {
    told.plan = ["planName", "level"]
        .iter()
        .find_map(|name| text(&data[*name]));
    for limit in array(&data["limits"]) {
        let Some(used) = number(&limit["percentage"]) else {
            continue;
        };
        let unit = match limit["unit"].as_u64() {
            Some(1) => "day",
            Some(3) => "h",
            Some(5) => "month",
            Some(6) => "week",
            _ => "window",
        };
        let span = format!("{} {unit}", limit["number"].as_u64().unwrap_or(1));
        let tokens = limit["type"] != "TIME_LIMIT";
        told.left.push(Left::Window(Window {
            // Calls of tools such as search and vision; models answer without them.
            name: if tokens {
                span
            } else {
                format!("tools {span}")
            },
            percent_left: left_of(used),
            reset: clock.reset(limit, &["nextResetTime"]),
            decisive: tokens,
        }));
    }
}

/// `{"is_available": true, "balance_infos": [{"currency": "CNY", "total_balance": "110.00", …}]}`.
fn deepseek(answer: &Value, told: &mut Told) {
    for info in array(&answer["balance_infos"]) {
        if let Some(amount) = text(&info["total_balance"]) {
            told.left.push(balance(amount, text(&info["currency"])));
        }
    }
    if answer["is_available"] == false {
        no_credit(told, "the balance does not suffice for a request");
    }
}

/// `{"code": 0, "data": {"available_balance": 49.58, "voucher_balance": …, "cash_balance": …}}`.
fn moonshot(data: &Value, target: &Target, told: &mut Told) {
    let Some(amount) = text(&data["available_balance"]) else {
        return;
    };
    // The two sites do not name it; each is paid in its own.
    let currency = if target.host().ends_with(".cn") {
        "CNY"
    } else {
        "USD"
    };
    told.left.push(balance(amount, Some(currency.to_owned())));
    if number(&data["available_balance"]).is_some_and(|left| left <= 0.0) {
        no_credit(told, "the balance is used up");
    }
}

/// `{"usage": {"limit": "100", "used": "40", "remaining": "60", "resetTime": …}, "limits":
/// [{"window": {"duration": 300, "timeUnit": "TIME_UNIT_MINUTE"}, "detail": {…}}]}`.
fn kimi(answer: &Value, clock: Clock, told: &mut Told) {
    told.plan = text(&answer["user"]["membership"]["level"]);
    let window = |name: String, detail: &Value| {
        Some(Left::Window(Window {
            name,
            percent_left: share_left(detail)?,
            reset: clock.reset(detail, &["resetTime", "resetAt", "reset_at"]),
            decisive: true,
        }))
    };
    told.left
        .extend(window("week".to_owned(), &answer["usage"]));
    for limit in array(&answer["limits"]) {
        let name = kimi_span(&limit["window"]).unwrap_or_else(|| "window".to_owned());
        let detail = match &limit["detail"] {
            Value::Null => limit,
            detail => detail,
        };
        told.left.extend(window(name, detail));
    }
}

fn kimi_span(window: &Value) -> Option<String> {
    let duration = window["duration"]
        .as_u64()
        .filter(|duration| *duration > 0)?;
    let unit = window["timeUnit"].as_str()?.strip_prefix("TIME_UNIT_")?;
    Some(match unit {
        "MINUTE" if duration.is_multiple_of(60) => format!("{} h", duration / 60),
        "MINUTE" => format!("{duration} min"),
        "HOUR" => format!("{duration} h"),
        other => format!("{duration} {}", other.to_ascii_lowercase()),
    })
}

/// `{"model_remains": [{"model_name": "general", "end_time": …, "current_interval_remaining_percent":
/// 75, "weekly_end_time": …, "current_weekly_remaining_percent": 40}], "base_resp": …}`. The counts
/// beside them are what is left on some plans and what is used on others, so they are not read.
fn minimax(answer: &Value, clock: Clock, told: &mut Told) {
    let data = match &answer["data"] {
        Value::Object(_) => &answer["data"],
        _ => answer,
    };
    told.plan = ["current_subscribe_title", "plan_name"]
        .iter()
        .find_map(|name| text(&data[*name]));
    for row in array(&data["model_remains"]) {
        let model = row["model_name"].as_str().unwrap_or_default();
        let lower = model.to_ascii_lowercase();
        if !MINIMAX_TEXT.iter().any(|known| lower.starts_with(known)) {
            continue;
        }
        for (span, left, end) in [
            ("window", "current_interval_remaining_percent", "end_time"),
            (
                "week",
                "current_weekly_remaining_percent",
                "weekly_end_time",
            ),
        ] {
            let Some(percent) = number(&row[left]) else {
                continue;
            };
            told.left.push(Left::Window(Window {
                name: format!("{model} {span}"),
                percent_left: percent.clamp(0.0, 100.0),
                reset: clock.reset(row, &[end]),
                // One of them may be another model's.
                decisive: lower == "general",
            }));
        }
    }
}

fn balance(amount: String, currency: Option<String>) -> Left {
    Left::Money(Money {
        name: "balance",
        amount,
        currency,
        of: None,
        renewed: None,
    })
}

/// How much is left of a limit that is stated as numbers, in percent.
fn share_left(detail: &Value) -> Option<f64> {
    let limit = number(&detail["limit"]).filter(|limit| *limit > 0.0)?;
    let remaining = number(&detail["remaining"])
        .or_else(|| number(&detail["used"]).map(|used| limit - used))?;
    Some((remaining / limit * 100.0).clamp(0.0, 100.0))
}

fn left_of(used_percent: f64) -> f64 {
    (100.0 - used_percent).clamp(0.0, 100.0)
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A number, or a text that is one.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    };
    number.filter(|number: &f64| number.is_finite())
}

/// A text or a number as it was written.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
