//! What is refused, and in which words: each names its place and what to write instead.

use super::World;

/// Asserts that loading `file` gives exactly one problem, beginning with `at` and containing `words`.
#[track_caller]
fn refused(file: &str, at: &str, words: &[&str]) {
    let problems = World::with_file(file).problems();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    let problem = &problems[0];
    assert!(problem.starts_with(at), "{problem}");
    for words in words {
        assert!(problem.contains(words), "{words} is not in: {problem}");
    }
}

#[test]
fn without_any_key_it_says_each_way_to_give_one() {
    let problem = World::new().problems().join("\n");
    for words in [
        "there is no API key: there is no configuration file",
        "api-key-lb setup --keys KEY1,KEY2 --target https://api.openai.com",
        "API_KEYS=KEY1,KEY2 api-key-lb start",
        "into FILE",
    ] {
        assert!(problem.contains(words), "{words} is not in: {problem}");
    }
    for empty in [
        "{}",
        r#"{"keys": ""}"#,
        r#"{"keys": []}"#,
        r#"{"keys": [""]}"#,
        r#"{"target": "https://h"}"#,
    ] {
        refused(
            empty,
            "there is no API key: the file `FILE` has none",
            &["into FILE"],
        );
    }
}

#[test]
fn wrong_values_are_named_with_their_line_and_what_to_write() {
    for (file, at, words) in [
        (
            "{\n  \"keys\": \"k\",\n  \"port\": true\n}",
            "FILE:3:11: ",
            "`port` must be a whole number, not true or false; write it as \"port\": 4577",
        ),
        (
            "{\"keys\": \"k\", \"port\": 65536}",
            "FILE:1:23: ",
            "from 0 to 65535, not 65536",
        ),
        (
            "{\"keys\": \"k\",\n\"port\": \"planted\"}",
            "FILE:2:9: ",
            "from 0 to 65535; write one such as 4577",
        ),
        (
            "{\"keys\": \"k\", \"cooldown_ms\": -1}",
            "FILE:1:",
            "not -1",
        ),
        (
            "{\"keys\": \"k\", \"session_ttl_ms\": 0}",
            "FILE:1:",
            "from 1 to 2592000000, not 0",
        ),
        (
            "{\"keys\": \"k\", \"cooldown_ms\": 1.5}",
            "FILE:1:",
            "not 1.5",
        ),
        (
            "{\"keys\": \"k\", \"workers\": 0}",
            "FILE:1:",
            "from 1 to 256",
        ),
        (
            "{\"keys\": \"k\", \"target\": 5}",
            "FILE:1:",
            "`target` must be a text in double quotes, not a number",
        ),
        (
            "{\"keys\": \"k\", \"target\": \"api.z.ai\"}",
            "FILE:1:25: ",
            "`target`: `api.z.ai` is not a URL",
        ),
        (
            "{\"keys\": \"k\", \"target\": \"https://me:planted@h\"}",
            "FILE:1:",
            "put credentials into `keys`",
        ),
        (
            "{\"keys\": 5}",
            "FILE:1:10: ",
            "`keys` must be a list of keys, or one text with commas",
        ),
        (
            "{\"keys\": [\"k\", 5]}",
            "FILE:1:16: ",
            "`keys` must be a list of texts or objects, not a number",
        ),
        (
            "{\"keys\": [{\"label\": \"x\"}]}",
            "FILE:1:11: ",
            "this key has no `key`; write it as",
        ),
        (
            "{\"keys\": \"k\", \"answer_headers\": \"maybe\"}",
            "FILE:1:",
            "`answer_headers` must be true or false",
        ),
        (
            "{\"keys\": \"k\", \"include_usage\": 1}",
            "FILE:1:",
            "`include_usage` must be true or false, not a number; write it as \"include_usage\": true",
        ),
        (
            "{\"keys\": \"k\", \"max_wait_ms\": -1}",
            "FILE:1:",
            "`max_wait_ms` must be a whole number from 0 to 2592000000, not -1",
        ),
        (
            "{\"keys\": \"k\", \"max_wait_ms\": \"45 s\"}",
            "FILE:1:",
            "`max_wait_ms` must be a whole number from 0 to 2592000000; write one such as 45000",
        ),
        (
            "{\"keys\": \"k\", \"cache_ttl_ms\": 0}",
            "FILE:1:",
            "`cache_ttl_ms` must be a whole number from 1 to 2592000000, not 0",
        ),
        (
            "{\"keys\": \"k\", \"list_account\": \"work\"}",
            "FILE:1:",
            "`list_account` is `work`, but no key has this label or belongs to an account of this name; \
             write one of `key-1`, the name of an account, `all`, or remove it",
        ),
        (
            "{\"keys\": \"k\", \"drain_windows\": \"5h\"}",
            "FILE:1:",
            "`drain_windows` must be true or false",
        ),
        (
            "{\"keys\": \"k\", \"window_reserve_percent\": 91}",
            "FILE:1:",
            "`window_reserve_percent` must be a whole number from 0 to 90, not 91",
        ),
        (
            "{\"keys\": \"k\", \"window_reserve_percent\": 0.1}",
            "FILE:1:",
            "from 0 to 90, not 0.1",
        ),
        (
            "{\"keys\": \"k\", \"log\": \"loud\"}",
            "FILE:1:",
            "\"requests\", \"problems\" or \"off\"",
        ),
        (
            "{\"keys\": \"k\", \"host\": \"my-machine\"}",
            "FILE:1:",
            "`host` must be an IP address",
        ),
        (
            "{\"keys\": \"k\", \"ca_file\": \"none.pem\"}",
            "FILE:1:",
            "none.pem`; `ca_file` names a PEM file",
        ),
        (
            "{\"keys\": \"k\", \"allowed_hosts\": [\"http://h/\"]}",
            "FILE:1:",
            "`allowed_hosts` takes host names",
        ),
        (
            "{\"keys\": \"k\", \"allowed_origins\": [\"*\"]}",
            "FILE:1:",
            "any web page could spend your keys",
        ),
        (
            "{\"keys\": \"k\", \"allowed_origins\": [\"localhost:3000\"]}",
            "FILE:1:",
            "http://localhost:3000",
        ),
        (
            "{\"keys\": \"k\", \"client_tokens\": [\"\"]}",
            "FILE:1:",
            "client token 1 is empty",
        ),
        ("[]", "FILE:1:1: ", "the file must hold one object"),
        (
            "{\"keys\": \"planted\" \"x\": 1}",
            "FILE:1:",
            "not valid JSON",
        ),
        ("{'keys': 'planted'}", "FILE:1:", "not valid JSON"),
    ] {
        refused(file, at, &[words]);
    }
}

#[test]
fn a_key_that_cannot_be_sent_is_named_by_position_and_mask() {
    for (file, words) in [
        (
            r#"{"keys": "k1,sk-p lanted-planted"}"#,
            "key 2: `sk-p l...` holds a space at position 5",
        ),
        (
            r#"{"keys": ["sk-planted\nplanted"]}"#,
            "key 1: `sk-pla...` holds a line break at position 11",
        ),
        (
            r#"{"keys": ["schlüssel"]}"#,
            "holds a character that is not ASCII at position 5",
        ),
        (
            r#"{"keys": ["\u0001\u0001\u0001\u0001"]}"#,
            "`\\u{1}...` holds a control character",
        ),
        (
            r#"{"keys": ["cmd:echo planted-1234567; echo no entry >&2; exit 7"]}"#,
            "key 1: the command after `cmd:` failed (exit status: 7): no entry; run it in a shell",
        ),
        (
            r#"{"keys": ["cmd:echo sk-planted planted"]}"#,
            "key 1 (of `cmd:`): `sk-pla...` holds a space",
        ),
        (r#"{"keys": ["cmd: "]}"#, "write `cmd:COMMAND`"),
        (
            r#"{"keys": ["keychain:a b"]}"#,
            "key 1: a name in the keychain is 1 to 64",
        ),
        (r#"{"keys": ["env:"]}"#, "write `env:NAME`"),
        (
            r#"{"keys": ["env:NOT_SET"]}"#,
            "environment variable NOT_SET is not set",
        ),
        (r#"{"keys": ["file:none.txt"]}"#, "none.txt`: No such file"),
        (
            r#"{"pools": {"zai": {"target": "https://h", "keys": ["a b"]}}}"#,
            "key 1 of pool `zai`: `a...",
        ),
    ] {
        refused(file, "FILE:1:", &[words]);
    }
    let problems = World::new()
        .var("API_KEYS", "ok,sk-planted planted")
        .problems();
    assert!(
        problems[0].starts_with("environment variable API_KEYS: key 2: `sk-pla...` holds a space"),
        "{problems:?}"
    );
}

#[test]
fn a_key_file_with_something_else_in_it_is_refused() {
    let world = World::with_file(r#"{"keys": ["file:a", "file:b", "file:c", "file:d"]}"#);
    let beside = |name| world.home_file().with_file_name(name);
    std::fs::write(beside("a"), " \n").unwrap();
    std::fs::write(beside("b"), "sk-planted-1\nsk-planted-2\n").unwrap();
    std::fs::write(beside("c"), vec![b'x'; 70_000]).unwrap();
    std::fs::write(beside("d"), vec![b'x'; 9_000]).unwrap();
    let problems = world.problems();
    assert!(problems[0].contains("a`: it is empty"), "{problems:?}");
    assert!(
        problems[1].contains("b): `sk-plant...` holds a line break at position 13"),
        "{problems:?}"
    );
    assert!(problems[2].contains("c`: it is too large"), "{problems:?}");
    assert!(
        problems[3].contains("longer than 8192 bytes"),
        "{problems:?}"
    );
}

#[test]
fn labels_weights_and_pool_names_have_their_limits() {
    for (file, words) in [
        (
            r#"{"keys": [{"key": "a", "label": "x"}, {"key": "b", "label": "x"}]}"#,
            "two keys have the label `x`",
        ),
        (
            r#"{"keys": [{"key": "a", "label": "two words"}]}"#,
            "a `label` is 1 to 64",
        ),
        (
            r#"{"keys": [{"key": "a", "label": ""}]}"#,
            "a `label` is 1 to 64",
        ),
        (
            r#"{"keys": [{"key": "a", "weight": 0}]}"#,
            "from 1 to 1000, not 0",
        ),
        (
            r#"{"keys": [{"key": "a", "weight": 1001}]}"#,
            "from 1 to 1000, not 1001",
        ),
        (
            r#"{"keys": [{"key": "a", "target": "ftp://h"}]}"#,
            "must begin with `https://`",
        ),
        (
            r#"{"pools": {"v1": {"target": "https://h", "keys": "k"}}}"#,
            "a pool cannot be called `v1`",
        ),
        (
            r#"{"pools": {"Health": {"target": "https://h", "keys": "k"}}}"#,
            "a pool cannot be called `Health`",
        ),
        (
            r#"{"pools": {"a/b": {"target": "https://h", "keys": "k"}}}"#,
            "a pool's name is 1 to 64",
        ),
        (
            r#"{"pools": {"..": {"target": "https://h", "keys": "k"}}}"#,
            "a pool's name is 1 to 64",
        ),
        (
            r#"{"pools": {"": {"target": "https://h", "keys": "k"}}}"#,
            "a pool's name is 1 to 64",
        ),
        (
            r#"{"pools": {"z": {"keys": "k"}}}"#,
            "pool `z` has no `target`",
        ),
        (
            r#"{"pools": {"z": {"target": "https://h"}}}"#,
            "pool `z` has no key",
        ),
        (
            r#"{"pools": {"z": "https://h"}}"#,
            "`pools` must be an object of objects, not a text",
        ),
        (
            r#"{"pools": ["z"]}"#,
            "`pools` must be an object that names pools",
        ),
        (
            r#"{"pools": {"z": {"target": "https://h", "keys": "k"}, "z": {"target": "https://h", "keys": "k"}}}"#,
            "two pools called `z`",
        ),
    ] {
        refused(file, "FILE:1:", &[words]);
    }
}

#[test]
fn all_problems_are_shown_together() {
    let world = World::with_file(
        "{\n\"keys\": [\"a b\", \"env:NONE\"],\n\"port\": \"x\",\n\"log\": \"loud\"\n}",
    );
    let lines: Vec<String> = world
        .problems()
        .iter()
        .map(|problem| problem[..6].to_owned())
        .collect();
    assert_eq!(lines, ["FILE:2", "FILE:2", "FILE:3", "FILE:4"]);
    let error = world.load().unwrap_err().to_string();
    assert!(
        error.starts_with("4 problems in the configuration:\n  - "),
        "{error}"
    );
}

#[test]
fn a_wrong_variable_is_named() {
    let problems = World::new()
        .var("API_KEYS", "k")
        .var("PORT", "70000")
        .var("AKLB_LOG", "loud")
        .problems();
    assert_eq!(problems.len(), 2);
    assert!(problems.iter().any(|p| p.starts_with(
        "environment variable PORT: `port` must be a whole number from 0 to 65535, not 70000"
    )));
    assert!(
        problems
            .iter()
            .any(|p| p.starts_with("environment variable AKLB_LOG: "))
    );
}

#[test]
fn an_address_others_can_reach_needs_client_tokens() {
    for host in ["0.0.0.0", "::", "192.168.1.5", "::ffff:10.0.0.1"] {
        let world = World::new().var("API_KEYS", "k").var("AKLB_HOST", host);
        let problems = world.problems();
        assert!(
            problems[0].starts_with("environment variable AKLB_HOST: `host` "),
            "{problems:?}"
        );
        assert!(
            problems[0].contains("add \"client_tokens\""),
            "{problems:?}"
        );
    }
    for host in [
        "127.0.0.1",
        "[::1]",
        "127.8.8.8",
        "localhost",
        "::1,127.0.0.1",
    ] {
        let config = World::new()
            .var("API_KEYS", "k")
            .var("AKLB_HOST", host)
            .config();
        assert!(
            !config.plan.guard.beyond_loopback && config.listen.explicit_hosts,
            "{host}"
        );
    }
}

#[test]
fn a_target_that_is_the_proxy_itself_is_refused() {
    refused(
        r#"{"keys": "k", "target": "http://localhost:4577/v1"}"#,
        "FILE:1:25: the target http://localhost:4577/v1 is this proxy itself, which listens on port 4577",
        &["https://api.openai.com"],
    );
    refused(
        r#"{"keys": ["a", {"key": "k", "target": "http://10.0.0.7:4577"}], "host": "10.0.0.7", "client_tokens": "t"}"#,
        "FILE:1:39: ",
        &["this proxy itself"],
    );
    let world = World::with_file(r#"{"keys": "k", "target": "http://127.0.0.1:4577", "port": 0}"#);
    assert_eq!(world.config().listen.port, 0);
}

#[test]
fn a_file_that_is_no_text_or_cannot_be_read_is_named() {
    let world = World::with_file("");
    std::fs::write(world.home_file(), [0xff, 0xfe, b'{', 0]).unwrap();
    assert!(world.problems()[0].starts_with("cannot read `FILE`: it is not UTF-8 text; "));
    std::fs::remove_file(world.home_file()).unwrap();
    std::fs::create_dir(world.home_file()).unwrap();
    assert!(world.problems()[0].starts_with("cannot read `FILE`: "));
}
