//! Reading stops when nothing further can matter, and then has found the same.

use proptest::prelude::*;

use super::id;
use crate::ladder::Ladder;
use crate::wire::body::{Need, RequestReader};
use crate::wire::sample::{Json, api, body, read, read_for, style, system, turns};

/// For a session that a header names and whose messages are known: only what explains a request.
const LEAST: Need = Need {
    ids: false,
    chain: false,
    background: false,
    stores: false,
    splice: false,
    references: false,
};

const NEEDS: [Need; 64] = {
    let mut needs = [LEAST; 64];
    let mut at = 0;
    while at < 64 {
        needs[at] = Need {
            ids: at & 1 != 0,
            chain: at & 2 != 0,
            background: at & 4 != 0,
            splice: at & 8 != 0,
            references: at & 16 != 0,
            stores: at & 32 != 0,
        };
        at += 1;
    }
    needs
};

/// Bodies whose reading may stop where `|` is.
const STOPS: &[&str] = &[
    r#"{"model":"m","messages":[{"role":"system","content":"S"},{"role":"user","content":"U"}|,{"role":"assistant","content":"A"}]}"#,
    r#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":"U"},{"role":"assistant","content":"A"}],"model":"m"|,"tools":[]}"#,
    r#"{"model":"m","system":"S","messages":[{"role":"user","content":"U"}|],"tools":[]}"#,
    // The system prompt comes last, and ends where the next key is.
    r#"{"model":"m","messages":[{"role":"user","content":"U"},{"role":"assistant","content":"A"}],"system":[{"type":"text","text":"S"},{"type":"text","text":"T"}],"tools"|:[]}"#,
    r#"{"model":"m","messages":[{"role":"user","content":"U"}],"system":"old","system":"S","tools"|:[]}"#,
    r#"{"model":"m","instructions":"S","input":"U"|,"tools":[]}"#,
    r#"{"model":"m","input":[{"role":"developer","content":"S"},{"role":"user","content":"U"}],"instructions":"T","tools"|:[]}"#,
    r#"{"contents":[{"parts":[{"text":"U"}]}],"model":"m","systemInstruction":{"parts":[{"text":"S"}]},"tools"|:[]}"#,
];

#[test]
fn reading_stops_as_soon_as_model_and_opener_are_known() {
    let ladder = Ladder::default();
    for marked in STOPS {
        let stop = marked.find('|').unwrap();
        let text = marked.replace('|', "");
        for (at, _) in text.char_indices() {
            let mut reader = RequestReader::new(ladder.paths(), LEAST);
            let goes_on = reader.feed(&text.as_bytes()[..at]);
            assert_eq!(goes_on, at < stop, "after {}", &text[..at]);
            let stopped = reader.finish();
            let whole = read(&text);
            let opener = (at >= stop).then_some(whole.conversation.opener).flatten();
            assert_eq!(stopped.conversation.opener, opener, "after {}", &text[..at]);
        }
    }
}

#[test]
fn reading_goes_on_to_the_end_while_something_may_still_come() {
    let ladder = Ladder::default();
    // Without a system prompt one may still come; without a model that may.
    for text in [
        r#"{"model":"m","messages":[{"role":"user","content":"U"}],"tools":[]"#,
        r#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":"U"}],"tools":[]"#,
    ] {
        assert!(RequestReader::new(ladder.paths(), LEAST).feed(text.as_bytes()));
    }
    for marked in STOPS {
        let text = marked.replace('|', "");
        for need in &NEEDS[1..] {
            let mut reader = RequestReader::new(ladder.paths(), *need);
            let but_the_end = &text.as_bytes()[..text.len() - 1];
            assert!(reader.feed(but_the_end), "{need:?} {text}");
            assert!(!reader.feed(b"}"), "{need:?} {text}");
        }
    }
}

#[test]
fn the_rest_of_a_long_body_is_not_looked_at() {
    let ladder = Ladder::default();
    let mut reader = RequestReader::new(ladder.paths(), LEAST);
    let beginning = br#"{"model":"m","messages":[{"role":"system","content":"S"},{"role":"user","content":"U"},"#;
    assert!(!reader.feed(beginning));
    let rest = br#"{"role":"user","content":"V"},"#.repeat(100_000);
    assert!(!reader.feed(&rest));
    let facts = reader.finish();
    assert_eq!(facts.model.as_deref(), Some("m"));
    assert!(facts.conversation.links.is_empty());
}

#[test]
fn what_is_malformed_counts_before_the_stop_and_not_after_it() {
    let body = |before: &str, after: &str| {
        format!(
            r#"{{"model":"m",{before}"messages":[{{"role":"system","content":"S"}},{{"role":"user","content":"U"}}{after}"#
        )
    };
    let facts = read_for(&body("", r#",}"nonsense"#), LEAST);
    assert_eq!(facts.model.as_deref(), Some("m"));
    assert!(facts.conversation.opener.is_some());
    let facts = read_for(&body("nonsense,", "]}"), LEAST);
    assert_eq!((facts.model, facts.conversation.opener), (None, None));
    let facts = read(&body("", r#",}"nonsense"#));
    assert_eq!((facts.model, facts.conversation.opener), (None, None));
}

#[test]
fn an_id_or_background_at_the_very_end_is_found_by_who_needs_it() {
    let text = r#"{"model":"m","system":"S","messages":[{"role":"user","content":"U"}],"session_id":"s","background":true}"#;
    for need in NEEDS {
        let facts = read_for(text, need);
        assert_eq!(
            id(&facts, "session_id"),
            need.ids.then_some("s"),
            "{need:?}"
        );
        assert!(facts.background || !need.background, "{need:?}");
        assert_eq!(facts.conversation.links.len(), usize::from(need.chain));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn stopping_early_finds_what_reading_everything_finds(
        api in api(), system in prop::option::of(system()), turns in turns(), mut style in style(),
        background: bool, noted: bool,
    ) {
        let mut body = body(api, system.as_deref(), &turns, &mut style);
        if background {
            body.push("background", Json::Raw("true".into()));
        }
        if noted {
            body.push("session_id", "s".into());
        }
        let text = body.write();
        let whole = read(&text);
        for need in NEEDS {
            let facts = read_for(&text, need);
            prop_assert_eq!(&facts.model, &whole.model);
            prop_assert_eq!(facts.conversation.opener, whole.conversation.opener);
            prop_assert_eq!(facts.conversation.system, whole.conversation.system);
            prop_assert!(!need.background || facts.background == background);
            if need.chain {
                prop_assert_eq!(&facts.conversation, &whole.conversation);
            } else {
                prop_assert!(facts.conversation.links.is_empty());
            }
            if need.ids {
                prop_assert_eq!(id(&facts, "session_id"), noted.then_some("s"));
                prop_assert_eq!(&facts.mark, &whole.mark);
            }
        }
    }
}
