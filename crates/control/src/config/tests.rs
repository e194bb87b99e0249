//! Loading as a whole: precedence, old forms, secrets, labels, pools.

mod disabled;
mod effective;
mod errors;
mod log;
mod recognition;
mod refusals;
mod schema;
mod surroundings;

use std::path::{Path, PathBuf};
use std::time::Duration;

use api_key_lb_core::plan::Lists;

use super::*;
use crate::private_file::scratch::Scratch;
use crate::private_file::write_private;

/// A home, a current directory and an environment of one test.
struct World {
    scratch: Scratch,
    env: Environment,
    flags: Flags,
}

impl World {
    fn new() -> Self {
        let scratch = Scratch::new();
        let env = Environment {
            cwd: scratch.path().join("work"),
            home: Some(scratch.path().join("home")),
            ..Environment::default()
        };
        std::fs::create_dir(&env.cwd).unwrap();
        Self {
            scratch,
            env,
            flags: Flags::default(),
        }
    }

    /// With `text` as the file in the home directory.
    fn with_file(text: &str) -> Self {
        let world = Self::new();
        write_private(&world.home_file(), text).unwrap();
        world
    }

    fn home_file(&self) -> PathBuf {
        location::home_file(&self.env).unwrap()
    }

    fn var(mut self, name: &str, value: &str) -> Self {
        self.env.vars.insert(name.into(), value.into());
        self
    }

    /// Whatever loads has to be what the schema describes.
    fn load(&self) -> Result<Config, ConfigError> {
        let config = Config::load(&self.flags, &self.env)?;
        if let Some(file) = &config.file {
            schema::describes(&std::fs::read_to_string(file).unwrap(), &config);
        }
        Ok(config)
    }

    fn config(&self) -> Config {
        self.load().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The problems, with the file's path shortened to `FILE`.
    fn problems(&self) -> Vec<String> {
        let file = self.home_file().display().to_string();
        let error = self.load().expect_err("problems");
        assert!(!error.to_string().contains("planted"), "{error}");
        error
            .problems
            .iter()
            .map(|problem| problem.to_string().replace(&file, "FILE"))
            .collect()
    }

    fn notes(&self) -> Vec<String> {
        let file = self.home_file().display().to_string();
        self.config()
            .notes
            .iter()
            .map(|note| note.text.replace(&file, "FILE"))
            .collect()
    }
}

fn labels(config: &Config) -> Vec<&str> {
    let keys = config.plan.pools().flat_map(|pool| &pool.keys);
    keys.map(|key| key.label.as_str()).collect()
}

fn secrets(config: &Config) -> Vec<&str> {
    let keys = config.plan.pools().flat_map(|pool| &pool.keys);
    keys.map(|key| key.secret.expose()).collect()
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_defaults() {
    let file = r#"{"keys": ["in-file"], "target": "https://file.example", "port": 3, "cooldown_ms": 3,
                   "session_ttl_ms": 3, "host": "::1", "workers": 3, "log": "off"}"#;
    let seen = |world: &World| {
        let config = world.config();
        let pool = config.plan.default_pool.clone().unwrap();
        (
            secrets(&config).join(","),
            pool.target.to_string(),
            config.listen.port,
            config.plan.timing.cooldown.map(|span| span.as_millis()),
            config.plan.timing.session_ttl.as_millis(),
            config.listen.hosts.clone(),
            config.workers.min(5),
            config.log,
        )
    };
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();

    let world = World::with_file(r#"{"keys": "k"}"#);
    let workers = default_workers();
    let both = vec![ip("127.0.0.1"), ip("::1")];
    assert_eq!(
        seen(&world),
        (
            "k".into(),
            "https://api.openai.com".into(),
            4577,
            None,
            3_600_000,
            both,
            workers,
            LogLevel::Requests
        )
    );

    let mut world = World::with_file(file);
    assert_eq!(
        seen(&world),
        (
            "in-file".into(),
            "https://file.example".into(),
            3,
            Some(3),
            3,
            vec![ip("::1")],
            3,
            LogLevel::Off
        )
    );

    for (name, value) in [
        ("API_KEYS", "in-env, in-env-too"),
        ("TARGET", "https://env.example"),
        ("PORT", "2"),
        ("COOLDOWN_MS", "2"),
        ("SESSION_TTL_MS", "2"),
        ("AKLB_HOST", "127.0.0.2"),
        ("AKLB_WORKERS", "2"),
        ("AKLB_LOG", "problems"),
    ] {
        world = world.var(name, value);
    }
    assert_eq!(
        seen(&world),
        (
            "in-env,in-env-too".into(),
            "https://env.example".into(),
            2,
            Some(2),
            2,
            vec![ip("127.0.0.2")],
            2,
            LogLevel::Problems
        )
    );

    world.flags = Flags {
        keys: Some("in-flag".into()),
        target: Some("https://flag.example".into()),
        port: Some(1),
        config: None,
        found: false,
        host: Some("127.0.0.1".into()),
        workers: Some(1),
        log: Some("requests".into()),
        log_format: Some("json".into()),
        no_store: false,
    };
    assert_eq!(
        seen(&world),
        (
            "in-flag".into(),
            "https://flag.example".into(),
            1,
            Some(2),
            2,
            vec![ip("127.0.0.1")],
            1,
            LogLevel::Requests
        )
    );
}

#[test]
fn the_first_of_the_four_places_with_a_file_is_read() {
    let mut world = World::with_file(r#"{"keys": "home"}"#);
    let write = |world: &World, name: &str| {
        let path = world.scratch.path().join("work").join(name);
        write_private(&path, &format!(r#"{{"keys": "{name}"}}"#)).unwrap();
        path
    };
    assert_eq!(secrets(&world.config()), ["home"]);
    let local = write(&world, "api-key-lb.json");
    assert_eq!(secrets(&world.config()), ["api-key-lb.json"]);
    assert_eq!(world.config().file, Some(local));
    write(&world, "env.json");
    world = world.var("API_KEY_LB_CONFIG", "env.json");
    assert_eq!(secrets(&world.config()), ["env.json"]);
    write(&world, "flag.json");
    world.flags.config = Some("flag.json".into());
    assert_eq!(secrets(&world.config()), ["flag.json"]);
}

#[test]
fn a_named_file_must_exist_and_a_searched_one_need_not() {
    let mut world = World::new().var("API_KEYS", "k");
    assert_eq!(world.config().file, None);
    world = world.var("API_KEY_LB_CONFIG", "~/none.json");
    let problem = world.problems().join("\n");
    assert!(
        problem.starts_with("environment variable API_KEY_LB_CONFIG: there is no file `"),
        "{problem}"
    );
    assert!(problem.contains("home/none.json`"), "{problem}");
    world.flags.config = Some("gone.json".into());
    assert!(world.problems()[0].starts_with("--config: there is no file `"));
}

#[test]
fn every_form_the_old_package_took_is_still_good() {
    for (text, expected) in [
        (r#"{"keys": "k1, k2,,"}"#, vec!["k1", "k2"]),
        (r#"{"keys": [" k1 ", "", "k2"]}"#, vec!["k1", "k2"]),
        (
            r#"{"keys": "k1", "port": "4600", "cooldown_ms": "60000", "session_ttl_ms": "3600000"}"#,
            vec!["k1"],
        ),
        (
            r#"{"keys": "k1", "port": 4600, "cooldown_ms": 6e4, "session_ttl_ms": 3600000.0}"#,
            vec!["k1"],
        ),
        (
            r#"{"keys": "k1", "target": null, "port": null}"#,
            vec!["k1"],
        ),
    ] {
        let config = World::with_file(text).config();
        assert_eq!(secrets(&config), expected, "{text}");
        assert_eq!(config.notes, [], "{text}");
        if text.contains("cooldown") {
            assert_eq!(config.listen.port, 4600, "{text}");
            assert_eq!(
                config.plan.timing.cooldown,
                Some(Duration::from_secs(60)),
                "{text}"
            );
            assert_eq!(
                config.plan.timing.session_ttl,
                Duration::from_secs(3600),
                "{text}"
            );
        }
    }
}

#[test]
fn an_empty_file_and_an_empty_variable_say_nothing() {
    for text in ["", "{}", "// nothing yet\n", "{ /* later */ }"] {
        let world = World::with_file(text)
            .var("API_KEYS", "k")
            .var("PORT", "")
            .var("TARGET", " ");
        let config = world.config();
        assert_eq!(
            (secrets(&config), config.listen.port),
            (vec!["k"], 4577),
            "{text}"
        );
    }
}

#[test]
fn every_setting_of_the_file_arrives() {
    let world = World::with_file(
        r#"{
            // comments and trailing commas are fine
            "$schema": "x",
            "keys": [
                {"key": "k1", "label": "work", "weight": 3, "account": "acme", "target": "https://eu.example/v1"},
                {"key": "k2", "account": "acme"},
                "k3",
            ],
            "client_tokens": ["token-1", "env:TOKEN"],
            "host": ["0.0.0.0", "::"],
            "allowed_hosts": ["My-Machine.local:4577", "10.0.0.7"],
            "allowed_origins": "http://Localhost:3000/,chrome-extension://abc",
            "ca_file": "ca.pem",
            "first_byte_timeout_ms": 1, "idle_timeout_ms": 2, "connect_timeout_ms": 3, "drain_timeout_ms": 0,
            "replay_bytes": 5, "body_bytes": 6, "max_sessions": 7, "answer_headers": false, "include_usage": true,
            "session_rules": [{"header": "X-My-Chat"}], "split_subagents": "always",
            "max_wait_ms": 0, "cache_ttl_ms": 8, "drain_windows": true, "window_reserve_percent": 15,
            "list_account": "acme",
        }"#,
    )
    .var("TOKEN", "token-2");
    let ca = world.home_file().with_file_name("ca.pem");
    write_private(&ca, "pem").unwrap();
    let config = world.config();
    let plan = &config.plan;
    let keys = &plan.default_pool.as_ref().unwrap().keys;
    assert_eq!(labels(&config), ["work", "key-2", "key-3"]);
    assert_eq!((keys[0].weight, keys[1].weight), (3, 1));
    assert_eq!(keys[0].target.to_string(), "https://eu.example/v1");
    assert_eq!(keys[0].account, keys[1].account);
    assert_eq!(
        config.accounts.get(&keys[0].account).map(String::as_str),
        Some("acme")
    );
    assert_eq!(keys[2].account, AccountId::of_key(keys[2].id));
    let pool = plan.default_pool.as_ref().unwrap();
    assert_eq!(pool.lists, Lists::Of(keys[0].id));
    assert!(plan.guard.client_tokens[1].matches(b"token-2"));
    assert!(plan.guard.beyond_loopback && config.listen.explicit_hosts);
    assert_eq!(plan.guard.allowed_hosts, ["my-machine.local", "10.0.0.7"]);
    assert_eq!(
        plan.guard.allowed_origins,
        ["http://localhost:3000", "chrome-extension://abc"]
    );
    assert_eq!(config.ca_file, Some(ca));
    let ms = Duration::from_millis;
    let timing = &plan.timing;
    assert_eq!(
        (timing.first_byte_timeout, timing.idle_timeout),
        (ms(1), ms(2))
    );
    assert_eq!(
        (timing.connect_timeout, timing.drain_timeout),
        (ms(3), ms(0))
    );
    assert_eq!((timing.max_wait, timing.cache_ttl), (ms(0), Some(ms(8))));
    assert_eq!((plan.pacing.drain, plan.pacing.reserve), (true, 150));
    let limits = &plan.limits;
    assert_eq!(
        (limits.replay_bytes, limits.body_bytes, limits.sessions),
        (5, 6, 7)
    );
    assert!(!plan.answer_headers && plan.include_usage);
    let recognition = &plan.recognition;
    assert_eq!(
        recognition.ladder.rules()[0].name.as_ref(),
        "header x-my-chat"
    );
    assert_eq!(recognition.split_subagents.as_str(), "always");
    assert_eq!(config.notes, []);
}

#[test]
fn secrets_come_from_variables_and_files_too() {
    let world = World::with_file(r#"{"keys": ["env:MINE", "file:k.txt", {"key": "file:~/k"}]}"#)
        .var("MINE", "from-env");
    write_private(
        &world.home_file().with_file_name("k.txt"),
        "beside-the-file\n",
    )
    .unwrap();
    write_private(&world.env.home.as_ref().unwrap().join("k"), " in-home ").unwrap();
    assert_eq!(
        secrets(&world.config()),
        ["from-env", "beside-the-file", "in-home"]
    );
    let world = World::new()
        .var("API_KEYS", "file:k.txt,env:MINE")
        .var("MINE", "m");
    write_private(&world.env.cwd.join("k.txt"), "in-cwd").unwrap();
    assert_eq!(secrets(&world.config()), ["in-cwd", "m"]);
}

#[test]
fn a_key_given_twice_is_one_key_and_that_is_said_once() {
    let world = World::with_file(
        r#"{"keys": [{"key": "sk-planted-1", "label": "home"}, "sk-planted-2", "sk-planted-1", "env:AGAIN"]}"#,
    )
    .var("AGAIN", "sk-planted-2");
    assert_eq!(labels(&world.config()), ["home", "key-2"]);
    assert_eq!(
        world.notes(),
        [
            "FILE: a key given more than once counts once: key 3 (sk-p...) is `home`, key 4 (sk-p...) is `key-2`"
        ]
    );
    let world = World::new().var("API_KEYS", "a,b,a,c");
    assert_eq!(labels(&world.config()), ["key-1", "key-2", "key-4"]);
    assert_eq!(
        world.notes(),
        [
            "environment variable API_KEYS: a key given more than once counts once: key 3 (...) is `key-1`"
        ]
    );
}

#[test]
fn the_same_key_at_two_base_urls_is_two_keys() {
    let config =
        World::with_file(r#"{"keys": ["k", {"key": "k", "target": "https://eu.example"}]}"#)
            .config();
    assert_eq!(labels(&config), ["key-1", "key-2"]);
}

#[test]
fn pools_have_their_own_targets_keys_and_labels() {
    let world = World::with_file(
        r#"{"keys": ["k"], "pools": {
            "zai": {"target": "https://api.z.ai", "keys": "z1,z2"},
            "key": {"target": "https://key.example", "keys": [{"key": "x", "label": "zai-2"}, "y"]},
        }}"#,
    );
    let config = world.config();
    assert_eq!(
        labels(&config),
        ["key-1", "zai-1", "zai-3", "zai-2", "key-2"]
    );
    assert_eq!(
        config.plan.named_pools[0].target.to_string(),
        "https://api.z.ai"
    );
    let world = World::with_file(
        r#"{"target": "https://h", "pools": {"zai": {"target": "https://api.z.ai", "keys": "z"}}}"#,
    );
    assert!(world.config().plan.default_pool.is_none());
    assert_eq!(
        world.notes(),
        [
            "FILE:1:12: `target` is without effect, because there are no `keys` beside it; add them, or remove it"
        ]
    );
}

#[test]
fn the_port_is_found_without_keys_and_in_spite_of_mistakes() {
    let port = |world: &World| Config::listen_port_lenient(&world.flags, &world.env);
    assert_eq!(port(&World::new()), 4577);
    assert_eq!(port(&World::with_file("{ broken")), 4577);
    assert_eq!(
        port(&World::with_file(
            r#"{"port": "4600", "weight": 1, "log": "loud"}"#
        )),
        4600
    );
    assert_eq!(
        port(&World::with_file(r#"{"port": 4600}"#).var("PORT", "no number")),
        4600
    );
    assert_eq!(
        port(&World::with_file(r#"{"port": 4600}"#).var("PORT", "4700")),
        4700
    );
    let mut world = World::new().var("API_KEY_LB_CONFIG", "gone.json");
    assert_eq!(port(&world), 4577);
    world.flags.port = Some(4800);
    assert_eq!(port(&world), 4800);
}

#[test]
fn how_to_reach_the_instance_is_found_without_keys() {
    let world = World::with_file(r#"{"host": "10.0.0.7", "client_tokens": ["token-1"]}"#);
    let contact = Config::contact_lenient(&world.flags, &world.env);
    assert_eq!(contact.hosts, ["10.0.0.7".parse::<IpAddr>().unwrap()]);
    assert!(contact.client_tokens[0].matches(b"token-1"));
}

#[test]
fn debug_output_of_a_configuration_holds_no_secret() {
    let world = World::with_file(r#"{"keys": ["sk-planted"], "client_tokens": ["planted-token"]}"#)
        .var("HTTPS_PROXY", "http://me:planted@proxy.example");
    assert!(!format!("{:?}", world.config()).contains("planted"));
}
