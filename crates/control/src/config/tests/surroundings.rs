//! Warnings that are no refusals, outgoing proxies, and where setup writes.

use std::path::Path;

use super::World;
use crate::config::{Environment, Flags, Location, NoteLevel};

#[test]
fn unknown_fields_are_warned_of_with_what_was_probably_meant() {
    let world = World::with_file(
        "{\n\"keys\": [{\"key\": \"k\", \"wieght\": 2}],\n\"cooldownMs\": 1,\n\"colour\": 1,\n\"pools\": {\"z\": {\"url\": 1, \"target\": \"https://h\", \"keys\": \"z\"}}}",
    );
    let mut notes = world.notes();
    notes.sort();
    assert_eq!(
        notes,
        [
            "FILE:2:23: there is no setting `wieght` for a key, it is ignored; did you mean `weight`?",
            "FILE:3:1: there is no setting `cooldownMs`, it is ignored; did you mean `cooldown_ms`?",
            "FILE:4:1: there is no setting `colour`, it is ignored; remove it, or check its spelling",
            "FILE:5:17: there is no setting `url` for a pool, it is ignored; did you mean `target`?",
        ]
    );
    assert!(
        world
            .config()
            .notes
            .iter()
            .all(|note| note.level == NoteLevel::Warning)
    );
}

#[test]
fn of_a_field_given_twice_the_last_counts_with_a_warning() {
    let world = World::with_file("{\"keys\": \"k\",\n\"port\": 1,\n\"port\": 2}");
    assert_eq!(world.config().listen.port, 2);
    assert!(world.notes()[0].starts_with("FILE:2:1: `port` is given again further down"));
}

#[test]
fn a_key_that_would_travel_unencrypted_is_warned_of() {
    for (host, warned) in [
        ("api.example.com", true),
        ("8.8.8.8", true),
        ("[2001:db8::1]", true),
        ("localhost:1", false),
        ("127.0.0.1:1", false),
        ("192.168.0.2", false),
        ("100.64.1.1", false),
        ("[fd00::1]", false),
        ("[::ffff:10.0.0.1]", false),
        ("ollama:1", false),
        ("box.local", false),
    ] {
        let world = World::new()
            .var("API_KEYS", "k")
            .var("TARGET", &format!("http://{host}/v1"));
        let notes = world.notes();
        assert_eq!(!notes.is_empty(), warned, "{host}: {notes:?}");
        if warned {
            assert!(
                notes[0]
                    .starts_with("environment variable TARGET: keys travel unencrypted to http://")
            );
        }
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_read_is_a_warning_with_the_command_that_helps() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::with_file(r#"{"keys": ["k", "file:key"]}"#);
    let key = world.home_file().with_file_name("key");
    std::fs::write(&key, "k2").unwrap();
    for (mode, warned) in [(0o600, false), (0o644, true), (0o640, true), (0o400, false)] {
        for path in [&world.home_file(), &key] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let notes = world.notes();
        assert_eq!(notes.len(), if warned { 2 } else { 0 }, "{notes:?}");
        if warned {
            assert_eq!(
                notes[0],
                "other users of this machine can read `FILE`, which holds your keys; run: chmod 600 'FILE'"
            );
            assert!(
                notes[1].contains("which holds a key; run: chmod 600 "),
                "{notes:?}"
            );
        }
    }
}

/// The proxy on the way to `target`, as `host:port authorization`, with `vars` set.
fn via(target: &str, vars: &[(&str, &str)]) -> Option<String> {
    let mut world = World::new().var("API_KEYS", "k").var("TARGET", target);
    for (name, value) in vars {
        world = world.var(name, value);
    }
    let plan = world.config().plan;
    let via = plan.default_pool.unwrap().keys[0].via.clone()?;
    let authorization = via
        .authorization
        .as_ref()
        .map_or("", |secret| secret.expose());
    Some(
        format!("{}:{} {authorization}", via.host, via.port)
            .trim_end()
            .to_owned(),
    )
}

#[test]
fn outgoing_proxies_are_taken_from_the_environment() {
    let https = "https://api.example/v1";
    let http = "http://10.1.1.1/v1";
    let p = Some("p:3128".to_owned());
    assert_eq!(via(https, &[("HTTPS_PROXY", "http://p:3128")]), p);
    assert_eq!(via(https, &[("https_proxy", "http://p:3128/")]), p);
    assert_eq!(via(https, &[("HTTPS_PROXY", "p:3128")]), p);
    assert_eq!(via(https, &[("ALL_PROXY", "http://p:3128")]), p);
    assert_eq!(
        via(
            https,
            &[
                ("ALL_PROXY", "http://other"),
                ("HTTPS_PROXY", "http://p:3128")
            ]
        ),
        p
    );
    assert_eq!(via(https, &[("http_proxy", "http://p:3128")]), None);
    assert_eq!(
        via(https, &[("HTTPS_PROXY", "http://p")]),
        Some("p:80".into())
    );
    assert_eq!(
        via(https, &[("HTTPS_PROXY", "http://[fd00::1]:8080")]),
        Some("fd00::1:8080".into())
    );
    assert_eq!(via(http, &[("http_proxy", "http://p:3128")]), p);
    assert_eq!(via(http, &[("HTTP_PROXY", "http://p:3128")]), None);
    assert_eq!(via(http, &[("HTTPS_PROXY", "http://p:3128")]), None);
}

#[test]
fn what_no_proxy_names_and_this_machine_itself_are_reached_directly() {
    let proxy = ("ALL_PROXY", "http://p:3128");
    for no in ["api.example", ".example", "*", "x, api.example"] {
        assert_eq!(
            via("https://api.example", &[proxy, ("NO_PROXY", no)]),
            None,
            "{no}"
        );
        assert_eq!(
            via("https://api.example", &[proxy, ("no_proxy", no)]),
            None,
            "{no}"
        );
    }
    assert_eq!(
        via("http://10.1.1.1", &[proxy, ("NO_PROXY", "10.0.0.0/8")]),
        None
    );
    for target in [
        "http://127.0.0.1:1",
        "http://localhost:1",
        "http://[::1]:1",
        "http://a.localhost:1",
    ] {
        assert_eq!(via(target, &[proxy]), None, "{target}");
    }
}

#[test]
fn user_and_password_of_a_proxy_become_its_authorization() {
    // base64 of `me:p@ss`
    let expected = Some("p:3128 Basic bWU6cEBzcw==".to_owned());
    assert_eq!(
        via(
            "https://api.example",
            &[("HTTPS_PROXY", "http://me:p%40ss@p:3128")]
        ),
        expected
    );
}

#[test]
fn a_proxy_that_cannot_be_used_is_refused_naming_the_variable_once() {
    for value in [
        "socks5://me:planted@p:1080",
        "https://me:planted@p:3128",
        "ftp://p",
        "not a url",
    ] {
        let world = World::new()
            .var("API_KEYS", "k,l")
            .var("HTTPS_PROXY", value);
        let problems = world.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].starts_with("environment variable HTTPS_PROXY: `"),
            "{problems:?}"
        );
        assert!(
            problems[0].contains("NO_PROXY=api.openai.com"),
            "{problems:?}"
        );
        let exempt = world.var("NO_PROXY", "api.openai.com");
        assert_eq!(exempt.notes(), Vec::<String>::new(), "{value}");
    }
}

#[test]
fn all_lists_are_shown_unless_a_key_is_called_so() {
    for (keys, lists) in [
        ("\"a,b\"", None),
        ("[\"a\", {\"key\": \"b\", \"label\": \"all\"}]", Some(1)),
    ] {
        let world = World::with_file(&format!("{{\"keys\": {keys}, \"list_account\": \"all\"}}"));
        let config = world.config();
        let pool = config.plan.default_pool.as_ref().unwrap();
        let wanted = lists.map_or(api_key_lb_core::plan::Lists::All, |at: usize| {
            api_key_lb_core::plan::Lists::Of(pool.keys[at].id)
        });
        assert_eq!(pool.lists, wanted, "{keys}");
    }
}

#[test]
fn where_setup_writes_is_the_named_file_or_the_one_at_home() {
    let mut world = World::new();
    let place = |world: &World| Location::for_setup(&world.flags, &world.env).unwrap().path;
    assert_eq!(place(&world), world.home_file());
    world.flags.config = Some("new.json".into());
    assert_eq!(place(&world), world.env.cwd.join("new.json"));
    assert_eq!(
        Location::for_setup(&Flags::default(), &Environment::default()),
        None
    );
    assert_ne!(place(&world), Path::new("new.json"));
}
