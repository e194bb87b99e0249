//! What is configured: file, environment, flags, which of them wins, and what is said about it.

use std::fs;

use api_key_lb_mock::{ANY_KEY, Fault};
use serde_json::{Value, json};

use crate::support::{Home, Proxy, chat, key, keys, mock, pair_with, set_mode};

fn key_count(proxy: &Proxy) -> usize {
    proxy.health()["keys"].as_array().unwrap().len()
}

#[test]
fn the_environment_alone_is_enough() {
    let mock = mock(3);
    let home = Home::new();
    let list = format!(" {} ,{},, {} ", key(1), key(2), key(3));
    let proxy = Proxy::start_in(
        &home,
        &["start"],
        &[("API_KEYS", &list), ("TARGET", &mock.url())],
    );
    proxy.turn("s", &chat("hi")).is(200);
    assert_eq!(key_count(&proxy), 3);
    assert_eq!(proxy.health()["target"], mock.url());
}

#[test]
fn keys_may_be_a_text_with_commas_or_a_list() {
    let mock = mock(2);
    for given in [
        json!(keys(2).join(",")),
        json!(keys(2)),
        json!([key(1), {"key": key(2)}]),
    ] {
        let proxy = Proxy::start(json!({"target": mock.url(), "keys": given}));
        assert_eq!(key_count(&proxy), 2, "{given}");
        proxy.turn("s", &chat("hi")).is(200);
    }
}

#[test]
fn numbers_may_be_written_as_texts() {
    let mock = mock(1);
    let proxy = Proxy::start(json!({
        "target": mock.url(), "keys": keys(1), "port": "0", "cooldown_ms": "1000", "session_ttl_ms": "60000",
    }));
    proxy.turn("s", &chat("hi")).is(200);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let (by_file, by_env, by_flag) = (mock(1), mock(2), mock(3));
    let home = Home::new();
    home.write_config(&json!({"target": by_file.url(), "keys": keys(1)}));
    let target = |args: &[&str], env: &[(&str, &str)]| {
        let proxy = Proxy::start_in(&home, args, env);
        let health = proxy.health();
        let count = health["keys"].as_array().unwrap().len();
        (health["target"].as_str().unwrap().to_owned(), count)
    };
    assert_eq!(target(&["start"], &[]), (by_file.url(), 1));
    let two = keys(2).join(",");
    let by_env_url = by_env.url();
    let env = [("TARGET", by_env_url.as_str()), ("API_KEYS", two.as_str())];
    assert_eq!(target(&["start"], &env), (by_env.url(), 2));
    let three = keys(3).join(",");
    let flags = ["start", "--target", &by_flag.url(), "--keys", &three];
    assert_eq!(target(&flags, &env), (by_flag.url(), 3));
    let short = ["start", "-t", &by_flag.url(), "-k", &three];
    assert_eq!(target(&short, &env), (by_flag.url(), 3));
}

#[test]
fn the_port_comes_from_flag_environment_or_file() {
    let home = Home::new();
    let (file, env, flag) = (
        crate::support::free_port(),
        crate::support::free_port(),
        crate::support::free_port(),
    );
    home.write_config(&json!({"keys": keys(1), "port": file}));
    // An empty variable counts as none.
    assert_eq!(
        Proxy::start_in(&home, &["start"], &[("PORT", "")]).port,
        file
    );
    assert_eq!(
        Proxy::start_in(&home, &["start"], &[("PORT", &env.to_string())]).port,
        env
    );
    let args = ["start", "--port", &flag.to_string()];
    assert_eq!(
        Proxy::start_in(&home, &args, &[("PORT", &env.to_string())]).port,
        flag
    );
}

#[test]
fn the_default_target_is_openai() {
    let proxy = Proxy::start(json!({"keys": keys(1)}));
    assert_eq!(proxy.health()["target"], "https://api.openai.com");
}

#[test]
fn the_file_is_searched_in_the_old_order() {
    let home = Home::new();
    let file = |name: &str| {
        json!({"keys": keys(1), "target": format!("http://127.0.0.1:9/{name}")}).to_string()
    };
    let read = |args: &[&str], env: &[(&str, &str)]| {
        let proxy = Proxy::start_in(&home, args, env);
        let target = proxy.health()["target"].as_str().unwrap().to_owned();
        target.rsplit('/').next().unwrap().to_owned()
    };
    home.write("home/.config/api-key-lb/config.json", &file("home"));
    assert_eq!(read(&["start"], &[]), "home");
    home.write("cwd/api-key-lb.json", &file("cwd"));
    assert_eq!(read(&["start"], &[]), "cwd");
    let variable = home.write("home/variable.json", &file("variable"));
    let env = [("API_KEY_LB_CONFIG", variable.to_str().unwrap())];
    assert_eq!(read(&["start"], &env), "variable");
    home.write("cwd/flag.json", &file("flag"));
    assert_eq!(read(&["start", "--config", "flag.json"], &env), "flag");
}

#[test]
fn a_named_file_that_is_missing_is_an_error() {
    let home = Home::new();
    home.write_config(&json!({"keys": keys(1), "port": 0}));
    home.run(&["start", "--config", "nowhere.json"], &[])
        .is(1)
        .says(&["nowhere.json", "--config"]);
    let env = [("API_KEY_LB_CONFIG", "nowhere.json")];
    home.run(&["start"], &env)
        .is(1)
        .says(&["nowhere.json", "API_KEY_LB_CONFIG"]);
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_read_is_a_warning_and_no_refusal() {
    let home = Home::new();
    let path = home.write_config(&json!({"keys": keys(1)}));
    set_mode(&path, 0o644);
    let proxy = Proxy::start_in(&home, &["start"], &[]);
    crate::support::eventually("it warns", || proxy.output().contains("chmod 600"));
    assert!(proxy.output().contains(path.to_str().unwrap()));
    drop(proxy);
    set_mode(&path, 0o600);
    let proxy = Proxy::start_in(&home, &["start"], &[]);
    proxy.get("/health").is(200);
    assert!(!proxy.output().contains("chmod"), "{}", proxy.output());
}

#[test]
fn duplicate_keys_are_one_key_and_that_is_said_once() {
    let mock = mock(2);
    let proxy = Proxy::start(json!({
        "target": mock.url(), "keys": [key(1), key(2), key(1), key(1), key(2)],
    }));
    assert_eq!(key_count(&proxy), 2);
    let said = proxy.output();
    let lines = said
        .lines()
        .filter(|line| {
            let line = line.to_lowercase();
            [
                "duplicate",
                "twice",
                "more than once",
                "repeat",
                "same key",
                "times",
            ]
            .iter()
            .any(|word| line.contains(word))
        })
        .count();
    assert_eq!(lines, 1, "{said}");
    assert!(!said.contains(&key(1)), "{said}");
}

#[test]
fn start_says_where_it_listens_how_many_keys_and_which_target() {
    let mock = mock(3);
    let proxy = Proxy::start(json!({"target": mock.url(), "keys": keys(3)}));
    crate::support::eventually("it says all of it", || proxy.output().contains("/health"));
    let said = proxy.output();
    for part in [
        format!("http://127.0.0.1:{}", proxy.port),
        "3 keys".to_owned(),
        mock.url(),
    ] {
        assert!(said.contains(&part), "`{part}` is not in {said}");
    }
}

#[test]
fn comments_and_trailing_commas_are_allowed() {
    let home = Home::new();
    home.write(
        "home/.config/api-key-lb/config.json",
        "\u{feff}// mine\n{\n  \"keys\": [\"sk-a-0123456789\",], /* more later */\n  \"target\": \"http://127.0.0.1:9\",\n}\n",
    );
    assert_eq!(key_count(&Proxy::start_in(&home, &["start"], &[])), 1);
}

#[track_caller]
fn is_refused(config: &Value, parts: &[&str]) {
    let home = Home::new();
    let mut text = serde_json::to_string_pretty(config).unwrap();
    text.push('\n');
    home.write("home/.config/api-key-lb/config.json", &text);
    let output = home.run(&["start"], &[]);
    output.is(1).says(&["config.json"]).says(parts);
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[test]
fn errors_name_the_file_the_line_and_what_to_write_instead() {
    is_refused(
        &json!({"keys": ["sk-a-0123456789"], "target": "api.z.ai"}),
        &["config.json:5", "target", "https://"],
    );
    is_refused(
        &json!({"keys": ["sk-a-0123456789"], "port": "http"}),
        &["config.json:5", "port", "4577"],
    );
    is_refused(
        &json!({"keys": ["sk-a-0123456789"], "cooldown_ms": -1}),
        &["cooldown_ms", "60000"],
    );
    is_refused(
        &json!({"keys": ["sk-a-0123456789"], "idle_timeout_ms": 0}),
        &["idle_timeout_ms"],
    );
    is_refused(&json!({"keys": 5}), &["config.json:2", "keys"]);
    is_refused(&json!(["keys"]), &["object"]);
}

#[test]
fn a_session_rule_that_cannot_be_is_refused_with_what_to_write_instead() {
    let rules = |rules: Value| json!({"keys": ["sk-a-0123456789"], "session_rules": rules});
    is_refused(
        &rules(json!([{"header": "x-my-chat"}, {"header": "Authorization"}])),
        &["config.json:10", "a credential is not a session"],
    );
    is_refused(
        &rules(json!([{"body": "messages[0].chat"}])),
        &["config.json:7", "no [0]", "messages[].metadata.id"],
    );
    is_refused(
        &rules(json!([{"heder": "x-my-chat"}])),
        &["config.json:7", "did you mean `header`?"],
    );
    is_refused(
        &json!({"keys": ["sk-a-0123456789"], "split_subagents": "sometimes"}),
        &["config.json:5", "\"never\", \"auto\" or \"always\""],
    );
}

#[test]
fn a_session_rule_that_hardly_names_a_session_is_a_warning_and_no_refusal() {
    let mock = mock(1);
    let proxy = Proxy::start(json!({
        "target": mock.url(), "keys": keys(1), "session_rules": ["header x-request-id"],
        "split_subagents": true,
    }));
    crate::support::eventually("it warns", || proxy.output().contains("x-request-id"));
    proxy.turn("s", &chat("hi")).is(200);
}

#[test]
fn an_own_error_rule_makes_an_unknown_error_fail_over() {
    let busy = || {
        let fault = Fault::on(ANY_KEY).times(1).status(418);
        fault.body(r#"{"error": {"code": "teapot_busy", "message": "short and stout"}}"#)
    };
    let (mock, proxy) = pair_with(2, json!({}));
    mock.fault(busy());
    proxy.turn("s", &chat("hi")).is(418);

    let rule = json!({"status": 418, "code": "Teapot_*", "means": "overload", "for_ms": 1000});
    let (mock, proxy) = pair_with(2, json!({"error_rules": [rule]}));
    mock.fault(busy());
    let reply = proxy.turn("s", &chat("hi"));
    assert_eq!(reply.header("x-lb-attempts"), Some("2"));
    reply.is(200);
}

#[test]
fn without_keys_it_does_not_start_and_says_what_to_do() {
    let home = Home::new();
    home.run(&["start"], &[]).is(1).says(&["API_KEYS", "setup"]);
    home.write_config(&json!({"keys": "", "port": 0}));
    home.run(&["start"], &[]).is(1).says(&["API_KEYS", "setup"]);
}

#[test]
fn a_broken_file_is_said_with_its_line() {
    let home = Home::new();
    home.write(
        "cwd/api-key-lb.json",
        "{\n  \"keys\": [\"sk-a-0123456789\"\n  \"port\": 1\n}\n",
    );
    home.run(&["start"], &[]).is(1).says(&["api-key-lb.json:"]);
}

#[test]
fn the_file_of_the_old_package_works_unchanged() {
    let mock = mock(2);
    let home = Home::new();
    let text = format!(
        "{{\n  \"target\": \"{}\",\n  \"keys\": \"{},{}\",\n  \"port\": 4577,\n  \"cooldown_ms\": 60000,\n  \"session_ttl_ms\": 3600000\n}}",
        mock.url(),
        key(1),
        key(2)
    );
    home.write("home/.config/api-key-lb/config.json", &text);
    let proxy = Proxy::start_in(&home, &["start"], &[]);
    proxy.turn("s", &chat("hi")).is(200);
    assert_eq!(key_count(&proxy), 2);
    assert_eq!(
        fs::read_to_string(home.config_path()).unwrap(),
        text,
        "the file is only read"
    );
}
