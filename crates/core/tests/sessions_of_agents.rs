//! Requests of real agents, in the order they came: which session each belongs to, and by which rule.
//! Also writes the table in `docs/sessions.md`: run with `UPDATE_DOCS=1` after a change.

mod agents;
mod generated;

use std::path::Path;

use agents::{Kind, World, fixture};
use api_key_lb_core::ladder::{LADDER, NEVER};
use api_key_lb_core::plan::SplitSubAgents;
use generated::check_generated;

/// Requests of one session, in order.
const SESSIONS: &[(&str, &[&str])] = &[
    ("codex", &["customtool-01", "customtool-02"]),
    (
        "codex",
        &["nows426tool-01", "nows426tool-02", "nows426tool-03"],
    ),
    (
        "codex",
        &[
            "nows426chatgpttool-04",
            "nows426chatgpttool-05",
            "nows426chatgpttool-06",
        ],
    ),
    ("codex", &["sub3-01", "sub3-02", "sub3-03", "sub3-04"]),
    ("codex", &["wstool-01"]),
    (
        "opencode",
        &["chat-tool-01", "chat-tool-02", "chat-tool-03"],
    ),
    (
        "opencode",
        &["resp-tool-01", "resp-tool-02", "resp-tool-03"],
    ),
    (
        "opencode",
        &["anth-tool-01", "anth-tool-02", "anth-tool-03"],
    ),
    ("opencode", &["sub-01", "sub-03", "sub-04"]),
    ("opencode", &["sub-02"]),
    ("opencode", &["zenid-tool-01", "zenid-tool-02"]),
    ("claude", &["tool-01", "tool-02"]),
    (
        "claude",
        &["sub-01", "sub-02", "sub-03", "sub-04", "tool-03"],
    ),
    ("claude", &["authtok-01"]),
    ("hermes", &["chat-tool-07", "chat-tool-08"]),
    ("hermes", &["anth-tool-07", "anth-tool-08"]),
    ("qwen", &["sub-01", "sub-02", "sub-04"]),
    ("gemini", &["tool-02", "tool-03"]),
    ("aider", &["chat-01", "chat-02"]),
    ("pi", &["chat-tool-01", "chat-tool-02"]),
    ("pi", &["compat-tool-01", "compat-tool-02"]),
    ("pi", &["resp-tool-01", "resp-tool-02"]),
    ("pi", &["anth-tool-01", "anth-tool-02"]),
    ("cline", &["tool-01", "tool-02"]),
    ("openclaw", &["chat-tool-01", "chat-tool-02"]),
];

/// Sessions that have no id, by content: those above that must also be kept together without one.
const BY_CONTENT: &[(&str, &[&str])] = &[
    ("codex", &["customtool-01", "customtool-02"]),
    ("codex", &["sub3-01", "sub3-02"]),
    ("opencode", &["chat-tool-02", "chat-tool-03"]),
    ("opencode", &["resp-tool-02", "resp-tool-03"]),
    ("opencode", &["anth-tool-02", "anth-tool-03"]),
    ("opencode", &["sub-01", "sub-03", "sub-04"]),
    ("claude", &["tool-01", "tool-02"]),
    ("claude", &["sub-01", "sub-02", "sub-04", "tool-03"]),
    ("hermes", &["chat-tool-07", "chat-tool-08"]),
    ("hermes", &["chat-sub-07", "chat-sub-09"]),
    ("hermes", &["anth-tool-07", "anth-tool-08"]),
    ("qwen", &["sub-01", "sub-02", "sub-04"]),
    ("gemini", &["tool-02", "tool-03"]),
    ("aider", &["chat-01", "chat-02"]),
    ("pi", &["chat-tool-01", "chat-tool-02"]),
    ("pi", &["compat-tool-01", "compat-tool-02"]),
    ("pi", &["resp-tool-01", "resp-tool-02"]),
    ("pi", &["anth-tool-01", "anth-tool-02"]),
    ("cline", &["tool-01", "tool-02"]),
    ("openclaw", &["chat-tool-01", "chat-tool-02"]),
];

#[test]
fn the_requests_of_every_captured_session_are_one_session() {
    for (client, scenarios) in SESSIONS {
        let mut world = World::new();
        let sessions: Vec<_> = scenarios
            .iter()
            .map(|scenario| world.asks(client, scenario).unwrap().id)
            .collect();
        for (session, scenario) in sessions.iter().zip(*scenarios) {
            assert_eq!(*session, sessions[0], "{client} {scenario}");
        }
    }
}

#[test]
fn different_captured_sessions_stay_apart_in_one_proxy() {
    let mut world = World::new();
    let mut known: Vec<(u128, String)> = Vec::new();
    for (client, scenarios) in SESSIONS {
        for (at, scenario) in scenarios.iter().enumerate() {
            let id = world.asks(client, scenario).unwrap().id.0;
            let name = format!("{client} {scenario}");
            if at == 0 {
                let other = known.iter().find(|(other, _)| *other == id);
                assert_eq!(other, None, "{name}");
                known.push((id, name));
            } else {
                assert_eq!(id, known.last().unwrap().0, "{name}");
            }
        }
    }
}

#[test]
fn sessions_are_kept_together_by_content_when_nothing_names_them() {
    for (client, scenarios) in BY_CONTENT {
        let mut world = World::new();
        world.without_ids();
        let sessions: Vec<_> = scenarios
            .iter()
            .map(|scenario| world.asks(client, scenario).unwrap())
            .collect();
        for (session, scenario) in sessions.iter().zip(*scenarios) {
            assert_eq!(session.rule.as_ref(), "fingerprint", "{client} {scenario}");
            assert_eq!(session.id, sessions[0].id, "{client} {scenario}");
        }
    }
}

#[test]
fn clines_two_sessions_with_one_first_prompt_part_where_they_differ() {
    for order in [
        ["tool-01", "tool-02", "tool-03", "tool-04"],
        ["tool-01", "tool-03", "tool-02", "tool-04"],
        ["tool-03", "tool-01", "tool-04", "tool-02"],
        ["tool-03", "tool-01", "tool-02", "tool-04"],
    ] {
        let mut world = World::new();
        let ids: Vec<_> = order
            .iter()
            .map(|scenario| (*scenario, world.asks("cline", scenario).unwrap().id))
            .collect();
        let of = |scenario: &str| ids.iter().find(|(name, _)| *name == scenario).unwrap().1;
        assert_ne!(of("tool-02"), of("tool-04"), "{order:?}");
    }
    // Even when the beginning of one was never seen.
    let mut world = World::new();
    world.asks("cline", "tool-01");
    let one = world.asks("cline", "tool-02").unwrap().id;
    assert_ne!(world.asks("cline", "tool-04").unwrap().id, one);
}

#[test]
fn agents_that_share_a_prompt_or_a_parent_without_an_id_are_apart() {
    for (client, one, other) in [
        ("hermes", "chat-sub-07", "chat-sub-08"),
        ("qwen", "sub-02", "sub-03"),
        ("qwen", "sub-04", "sub-06"),
        ("gemini", "tool-02", "tool-01"),
        ("pi", "chat-tool-02", "chat-tool-03"),
    ] {
        let mut world = World::new();
        let id = world.asks(client, one).unwrap().id;
        assert_ne!(
            world.asks(client, other).unwrap().id,
            id,
            "{client} {one} {other}"
        );
    }
}

#[test]
fn a_child_with_an_id_of_its_own_is_a_session_of_its_own() {
    let mut world = World::new();
    let parent = world.asks("opencode", "sub-01").unwrap().id;
    let child = world.asks("opencode", "sub-02").unwrap().id;
    assert_ne!(parent, child);
    assert_eq!(world.asks("opencode", "sub-03").unwrap().id, parent);
}

#[test]
fn sub_agents_go_with_their_session_unless_they_are_to_be_split() {
    for (client, main, sub) in [
        ("claude", "sub-02", "sub-03"),
        ("codex", "sub3-02", "sub3-03"),
    ] {
        let mut world = World::new();
        let session = world.asks(client, main).unwrap().id;
        assert_eq!(world.asks(client, sub).unwrap().id, session, "{client}");

        let mut world = World::splitting(SplitSubAgents::Always);
        let session = world.asks(client, main).unwrap().id;
        let apart = world.asks(client, sub).unwrap().id;
        assert_ne!(apart, session, "{client}");
        assert_eq!(world.asks(client, sub).unwrap().id, apart, "{client}");
    }
}

#[test]
fn probes_belong_to_no_session() {
    let mut world = World::new();
    for scenario in ["chat-tool-03", "chat-tool-06"] {
        assert!(world.asks("hermes", scenario).is_none(), "{scenario}");
    }
}

#[test]
fn what_is_read_of_a_request_does_not_depend_on_where_its_body_is_cut() {
    for (client, scenario) in [
        ("claude", "sub-04"),
        ("codex", "sub3-04"),
        ("gemini", "tool-03"),
    ] {
        let whole = World::new().reads(client, scenario, &[]);
        let body = fixture(client, scenario).bodies.remove(0);
        for at in (0..body.len()).step_by(7) {
            assert_eq!(
                World::new().reads(client, scenario, &[at]),
                whole,
                "{client} cut at {at}"
            );
        }
        let every: Vec<usize> = (1..body.len()).collect();
        assert_eq!(
            World::new().reads(client, scenario, &every),
            whole,
            "{client} bytewise"
        );
    }
}

fn docs() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sessions.md")
}

#[test]
fn the_tables_in_the_documentation_are_what_was_tested() {
    let mut clients: Vec<String> = Vec::new();
    for (client, scenarios) in SESSIONS {
        let mut world = World::new();
        for scenario in *scenarios {
            let fixture = fixture(client, scenario);
            let session = world.asks(client, scenario).unwrap();
            let api = match fixture.kind() {
                Kind::WebSocket => "responses over WebSocket",
                Kind::Http => fixture.api(),
            };
            let row = format!(
                "| {client} {} | {api} | {} |\n",
                fixture.version, session.rule
            );
            if !clients.contains(&row) {
                clients.push(row);
            }
        }
    }
    clients.sort();
    let head = "| client | API | recognised by |\n|---|---|---|\n";
    check_generated(&docs(), "clients", &format!("{head}{}", clients.concat()));

    let rules: Vec<String> = LADDER
        .iter()
        .map(|row| {
            let rule = row.rule();
            let shared = if rule.may_be_shared { " ?" } else { "" };
            format!(
                "| {} | {}{shared} | {} | {} |\n",
                row.number, rule.name, rule.family, row.client
            )
        })
        .collect();
    let head = "| # | where | family | sent by |\n|--:|---|---|---|\n";
    check_generated(&docs(), "rules", &format!("{head}{}", rules.concat()));

    let never: Vec<String> = NEVER
        .iter()
        .map(|(name, why)| format!("| `{name}` | {why} |\n"))
        .collect();
    let head = "| name | what it is |\n|---|---|\n";
    check_generated(&docs(), "never", &format!("{head}{}", never.concat()));
}
