//! Rules of the person's own: they come before all others, for the answers that they are about.

use std::time::Duration;

use super::*;
use crate::provider::called;

const NOW: Moment = Moment::from_unix_millis(1_000_000);

fn own(status: u16, code: &str, matter: Matter, wait: Option<u64>) -> OwnErrorRule {
    OwnErrorRule {
        provider: None,
        rule: ErrorRule::own(
            7,
            vec![status],
            vec![code.into()],
            Vec::new(),
            matter,
            wait.map(Duration::from_secs),
        ),
    }
}

fn verdict(own: &[OwnErrorRule], provider: &Provider, headers: &HeaderMap) -> Verdict {
    let signals =
        Signals::of_body(br#"{"error":{"code":"Teapot_Busy","message":"Short and stout"}}"#);
    judge_by(
        own,
        provider,
        StatusCode::IM_A_TEAPOT,
        headers,
        &signals,
        NOW,
    )
}

#[test]
fn an_own_rule_comes_before_the_general_ones() {
    let none = HeaderMap::new();
    assert_eq!(verdict(&[], &UNKNOWN, &none).matter, Matter::Request);
    let rule = own(418, "TEAPOT*", Matter::Overload, Some(5));
    let found = verdict(&[rule], &UNKNOWN, &none);
    assert_eq!(
        (found.matter, found.rule),
        (Matter::Overload, "error_rules[7]")
    );
    assert_eq!(found.until, Some(NOW.after(Duration::from_secs(5))));
}

#[test]
fn the_first_own_rule_that_fits_decides() {
    let rules = [
        own(419, "teapot_busy", Matter::Key, None),
        own(418, "teapot", Matter::Credit, None),
        own(418, "*busy", Matter::ModelRate, None),
        own(418, "teapot_busy", Matter::Server, None),
    ];
    let found = verdict(&rules, &UNKNOWN, &HeaderMap::new());
    assert_eq!(found.matter, Matter::ModelRate);
}

#[test]
fn a_time_that_the_answer_names_wins_over_the_rules() {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", "9".parse().unwrap());
    let rule = own(418, "teapot_busy", Matter::AccountRate, Some(5));
    let found = verdict(&[rule], &UNKNOWN, &headers);
    assert_eq!(found.until, Some(NOW.after(Duration::from_secs(9))));
}

#[test]
fn a_rule_about_one_provider_is_not_about_another() {
    let mut rule = own(418, "teapot_busy", Matter::Overload, None);
    rule.provider = called("zai");
    let of = |name| verdict(&[rule], called(name).unwrap(), &HeaderMap::new()).matter;
    assert_eq!(of("zai"), Matter::Overload);
    assert_eq!(of("groq"), Matter::Request);
}

#[test]
fn a_phrase_is_found_in_any_case() {
    let phrases = vec!["SHORT and".to_owned()];
    let rule = ErrorRule::own(0, Vec::new(), Vec::new(), phrases, Matter::FairUse, None);
    let rule = OwnErrorRule {
        provider: None,
        rule,
    };
    assert_eq!(
        verdict(&[rule], &UNKNOWN, &HeaderMap::new()).matter,
        Matter::FairUse
    );
}
