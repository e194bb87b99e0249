//! What is shown of a configuration: every value, where it is from, no secret, and in spite of mistakes.

use serde_json::{Value, json};

use super::super::field::{FIELDS, Kind};
use super::*;

fn effective(world: &World) -> Effective {
    Effective::of(&world.flags, &world.env)
}

fn setting<'e>(effective: &'e Effective, name: &str) -> &'e Setting {
    let found = effective
        .settings
        .iter()
        .find(|setting| setting.name == name);
    found.unwrap_or_else(|| panic!("{name}"))
}

/// Line and column in the file.
fn at(place: &Place) -> (usize, usize) {
    match place {
        Place::File { line, column, .. } => (*line, *column),
        other => panic!("{other}"),
    }
}

#[test]
fn every_value_says_whether_flag_variable_file_or_nobody_gave_it() {
    let mut world = World::with_file(
        "{\n  \"keys\": [\"k\"],\n  \"port\": 4600,\n  \"workers\": 2,\n  \"max_wait_ms\": \"1000\"\n}",
    )
    .var("PORT", "4700")
    .var("AKLB_DRAIN_WINDOWS", "on");
    world.flags.workers = Some(3);
    let effective = effective(&world);
    assert_eq!(effective.problems, []);
    assert_eq!(effective.file, Some(world.home_file()));
    let port = setting(&effective, "port");
    assert_eq!(
        (&port.value, &port.place),
        (&Some(json!(4700)), &Place::Variable("PORT"))
    );
    let workers = setting(&effective, "workers");
    assert_eq!(
        (&workers.value, &workers.place),
        (&Some(json!(3)), &Place::Flag("--workers"))
    );
    let wait = setting(&effective, "max_wait_ms");
    assert_eq!(
        (&wait.value, at(&wait.place)),
        (&Some(json!(1000)), (5, 18))
    );
    let drain = setting(&effective, "drain_windows");
    assert_eq!(drain.value, Some(json!(true)));
    let log = setting(&effective, "log");
    assert_eq!(
        (&log.value, &log.place),
        (&Some(json!("requests")), &Place::Default)
    );
    let cooldown = setting(&effective, "cooldown_ms");
    assert_eq!(
        (&cooldown.value, cooldown.words),
        (&None, Some("backoff from 1 s to 60 s"))
    );
}

#[test]
fn every_field_is_shown_once_either_by_itself_or_with_its_pool() {
    let effective = effective(&World::with_file(r#"{"keys": ["k"]}"#));
    let mut shown: Vec<&str> = effective
        .settings
        .iter()
        .map(|setting| setting.name)
        .collect();
    shown.extend(
        effective.pools[0]
            .settings
            .iter()
            .map(|setting| setting.name),
    );
    shown.extend(["keys", "pools"]);
    shown.sort_unstable();
    let mut known: Vec<&str> = FIELDS
        .iter()
        .filter(|field| !matches!(field.kind, Kind::Ignored))
        .map(|field| field.name)
        .collect();
    known.sort_unstable();
    assert_eq!(shown, known);
}

#[test]
fn defaults_that_depend_on_the_machine_are_shown_as_they_are_here() {
    let effective = effective(&World::with_file(r#"{"keys": ["k"]}"#));
    let workers = setting(&effective, "workers");
    assert!(workers.value.as_ref().and_then(Value::as_u64) >= Some(1));
    assert_eq!(
        setting(&effective, "host").value,
        Some(json!(["127.0.0.1", "::1"]))
    );
}

#[test]
fn pools_show_their_keys_with_the_names_they_have_elsewhere_and_no_secret() {
    let world = World::with_file(
        r#"{
            "keys": ["sk-planted-0123456789abcdef", {"key": "env:MY_KEY", "label": "work", "weight": 2, "account": "acme"}],
            "client_tokens": ["planted-token-0123456789"],
            "pools": {"router": {"target": "https://openrouter.ai/api/v1", "keys": "sk-planted-router-01234567"}}
        }"#,
    )
    .var("MY_KEY", "sk-planted-elsewhere");
    let effective = effective(&world);
    assert_eq!(effective.problems, []);
    let names = |pool: &EffectivePool| -> Vec<String> {
        pool.keys
            .iter()
            .map(|key| key.label.clone().unwrap())
            .collect()
    };
    let [default, router] = effective.pools.as_slice() else {
        panic!("two pools");
    };
    assert_eq!(
        (default.name.as_str(), names(default)),
        ("", vec!["key-1".into(), "work".into()])
    );
    assert_eq!(
        (router.name.as_str(), names(router)),
        ("router", vec!["router-1".into()])
    );
    assert_eq!(default.keys[1].key, "env:MY_KEY");
    assert_eq!(
        default.keys[1].rest,
        [("weight", json!(2)), ("account", json!("acme"))]
    );
    assert_eq!(default.settings[0].place, Place::Default);
    assert_eq!(at(&router.settings[0].place).0, 4);
    let shown = format!("{:?}{:?}", effective.settings, effective.pools);
    assert!(
        !shown.contains("planted-0123") && !shown.contains("planted-token-0123"),
        "{shown}"
    );
}

#[test]
fn what_is_wrong_is_named_and_hidden_and_the_rest_is_shown() {
    let world = World::with_file(
        "{\n \"keys\": [\"env:NOT_SET\", \"k2\"],\n \"port\": \"sk-planted\",\n \"log\": \"all\",\n \"max_wait_ms\": 1000,\n \"prot\": 1\n}",
    );
    let effective = effective(&world);
    let lines: Vec<usize> = effective
        .problems
        .iter()
        .map(|problem| at(problem.place.as_ref().unwrap()).0)
        .collect();
    assert_eq!(lines, [2, 3, 4]);
    assert!(effective.config.is_none());
    assert!(
        effective
            .notes
            .iter()
            .any(|note| note.text.contains("did you mean `port`"))
    );
    let port = setting(&effective, "port");
    assert!(port.wrong && port.value.is_none());
    assert_eq!(setting(&effective, "max_wait_ms").value, Some(json!(1000)));
    let keys = &effective.pools[0].keys;
    assert!(keys[0].wrong && keys[0].label.is_none());
    assert!(!keys[1].wrong);
    assert_eq!(keys[1].label.as_deref(), Some("key-2"));
    assert!(!format!("{effective:?}").contains("planted"));
}

#[test]
fn a_file_that_cannot_be_read_leaves_flags_and_variables() {
    for world in [
        World::with_file("{\"port\": 1"),
        World {
            flags: Flags {
                config: Some("nowhere.json".into()),
                ..Flags::default()
            },
            ..World::new()
        },
    ] {
        let effective = effective(&world.var("PORT", "4700"));
        assert_eq!(effective.problems.len(), 1);
        assert!(effective.file.is_some());
        assert_eq!(setting(&effective, "port").value, Some(json!(4700)));
    }
}
