//! Keys that must not serve, and keys that programs tell.

use super::*;

const URL: &str = r#""target": "https://api.z.ai""#;

fn labels(config: &Config) -> (Vec<&str>, Vec<&str>) {
    let keys = config.plan.pools().flat_map(|pool| &pool.keys);
    (
        keys.map(|key| key.label.as_str()).collect(),
        config
            .disabled
            .iter()
            .map(|key| key.label.as_str())
            .collect(),
    )
}

#[test]
fn a_disabled_key_is_in_no_pool_and_the_others_keep_their_labels() {
    let config = World::with_file(&format!(
        r#"{{{URL}, "keys": [{{"key": "sk-a", "disabled": true}}, "sk-b", {{"key": "sk-c", "disabled": false}}],
            "pools": {{"p": {{{URL}, "keys": ["sk-a", {{"key": "env:NOT_SET", "account": "acme", "disabled": "yes"}}]}}}}}}"#
    ))
    .config();
    assert_eq!(
        labels(&config),
        (vec!["key-2", "key-3", "p-1"], vec!["key-1", "p-2"])
    );
    let off = &config.disabled[1];
    assert_eq!(
        (off.pool.as_str(), off.shown.as_str()),
        ("p", "env:NOT_SET")
    );
    assert_eq!((off.id, off.account.as_deref()), (None, Some("acme")));
    assert!(config.disabled[0].id.is_some());
}

#[test]
fn a_key_that_is_disabled_does_not_serve_where_it_is_given_again() {
    let world = World::with_file(&format!(
        r#"{{{URL}, "keys": ["sk-planted-a", "sk-b", {{"key": "sk-planted-a", "label": "off", "disabled": true}}]}}"#
    ));
    assert_eq!(labels(&world.config()).0, ["key-2"]);
    let notes = world.notes().join("\n");
    assert!(
        notes.contains("key 1 (sk-p...) is the same as `off`, which is disabled"),
        "{notes}"
    );
}

#[test]
fn a_pool_of_disabled_keys_is_a_problem_with_the_way_out() {
    for keys in [
        r#"[{"key": "a", "disabled": true}]"#,
        r#"[{"key": "a", "disabled": true}, "a"]"#,
    ] {
        let problems = World::with_file(&format!(r#"{{{URL}, "keys": {keys}}}"#)).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("every key of the default pool is disabled"));
        assert!(
            problems[0].contains("`api-key-lb keys enable key-1`"),
            "{problems:?}"
        );
    }
    let strange = World::with_file(&format!(
        r#"{{{URL}, "keys": ["b", {{"key": "a", "disabled": "perhaps"}}]}}"#
    ));
    assert_eq!(strange.problems().len(), 1);
    assert!(strange.problems()[0].contains("`disabled` must be true or false"));
}

#[test]
fn lists_of_a_disabled_key_are_those_of_the_first_one() {
    let world = World::with_file(&format!(
        r#"{{{URL}, "list_account": "off", "keys": ["a", {{"key": "b", "label": "off", "disabled": true}}]}}"#
    ));
    let config = world.config();
    assert_eq!(config.plan.default_pool.unwrap().lists, Lists::First);
    assert!(world.notes()[0].contains("`list_account` is `off`, which is disabled"));
}

#[cfg(unix)]
#[test]
fn commands_tell_keys_and_tokens_where_the_file_is_and_disabled_ones_do_not_run() {
    let world = World::with_file(&format!(
        r#"{{{URL}, "client_tokens": ["cmd:echo >> asked; echo a-long-random-text", "another-long-text"],
            "keys": ["cmd:cat told", "cmd:cat told", {{"key": "cmd:touch ran; echo x", "disabled": true}}]}}"#
    ));
    std::fs::write(world.home_file().with_file_name("told"), "sk-told\n").unwrap();
    let config = world.config();
    let pool = config.plan.default_pool.unwrap();
    assert_eq!(pool.keys.len(), 1, "the same key twice");
    assert_eq!(pool.keys[0].secret.expose(), "sk-told");
    assert_eq!(
        config.plan.guard.client_tokens[0].expose(),
        "a-long-random-text"
    );
    assert_eq!(config.disabled[0].shown, "cmd:...");
    assert!(!world.home_file().with_file_name("ran").exists());
    // Who only looks at a proxy runs nothing.
    let contact = Config::contact_lenient(&world.flags, &world.env);
    assert_eq!(contact.client_tokens.len(), 1);
    assert_eq!(contact.client_tokens[0].expose(), "another-long-text");
    let asked = world.home_file().with_file_name("asked");
    assert_eq!(std::fs::read(asked).unwrap().len(), 1);
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_write_says_neither_what_is_read_nor_where_it_is_sent() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::with_file(
        r#"{"client_tokens": ["env:MINE", "a-long-random-text"], "host": "127.0.0.2", "port": 4600}"#,
    )
    .var("MINE", "planted");
    let contact = || Config::contact_lenient(&world.flags, &world.env);
    assert_eq!(contact().client_tokens.len(), 2);
    assert_eq!(contact().hosts[0].to_string(), "127.0.0.2");
    let mode = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(world.home_file(), mode).unwrap();
    let contact = contact();
    assert_eq!(contact.client_tokens.len(), 1);
    assert_eq!(contact.client_tokens[0].expose(), "a-long-random-text");
    assert_eq!(
        (contact.hosts[0].to_string(), contact.port),
        ("127.0.0.1".into(), 4600)
    );
}

#[cfg(unix)]
#[test]
fn commands_run_at_the_same_time() {
    let keys: Vec<String> = (0..8)
        .map(|number| format!("\"cmd:sleep 0.5; echo sk-{number}\""))
        .collect();
    let world = World::with_file(&format!(r#"{{{URL}, "keys": [{}]}}"#, keys.join(",")));
    let begun = std::time::Instant::now();
    let pool = world.config().plan.default_pool.unwrap();
    assert_eq!(pool.keys.len(), 8);
    assert_eq!(pool.keys[7].secret.expose(), "sk-7");
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
}
