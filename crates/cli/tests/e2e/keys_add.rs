//! `keys add`: where keys come from, and which are not taken.

use std::fs;

use api_key_lb_mock::{Account, Mock};
use serde_json::{Value, json};

use crate::keys::{PLANTED, keys, keys_with, text};
use crate::support::{Home, config, free_port, key, mock};

#[test]
fn with_several_pools_a_new_key_needs_to_know_which_one() {
    let mock = mock(3);
    let home = Home::new();
    home.write_config(&json!({"target": mock.url(), "keys": [key(1)],
        "pools": {"zai": {"target": mock.url(), "keys": [key(2)]}}}));
    let input = key(3);
    let add = |args: &[&str]| {
        keys_with(
            &home,
            free_port(),
            &[&["add", "--stdin"], args].concat(),
            &[],
            input.as_bytes(),
        )
    };
    add(&[])
        .is(2)
        .says(&["several pools", "--pool NAME", "default, zai"]);
    add(&["--pool", "zai"])
        .is(0)
        .says(&["to the pool zai, which has 2 keys now", "no proxy runs"]);
    let value: Value = serde_json::from_str(&text(&home)).unwrap();
    assert_eq!(value["pools"]["zai"]["keys"], json!([key(2), key(3)]));
}

#[test]
fn a_key_that_is_there_already_is_not_added_again_and_wrong_ones_are_said_to_be_so() {
    let mock = Mock::builder()
        .account(Account::new("org").key(key(1)))
        .start()
        .unwrap();
    let home = Home::new();
    home.write_config(
        &json!({"target": mock.url(), "keys": [{"key": "env:FIRST", "label": "first"}]}),
    );
    let before = text(&home);
    let add = |input: &str, env: &[(&str, &str)]| {
        keys_with(&home, free_port(), &["add", "-"], env, input.as_bytes())
    };
    let first = key(1);
    let env = [("FIRST", first.as_str())];
    add(&key(1), &env)
        .is(0)
        .says(&["holds this key already, as first", "Nothing to do"]);
    add("has a space", &env)
        .is(1)
        .says(&["key 1: `has...` holds a space", "nothing was changed"]);
    add("", &env).is(1).says(&["no key in the standard input"]);
    assert_eq!(text(&home), before);
    // What the provider says only warns.
    add(PLANTED, &env)
        .is(0)
        .says(&["new-key is refused", "Added key-2"]);
}

#[test]
fn where_a_key_is_can_be_said_instead_of_the_key() {
    let mock = mock(3);
    let home = Home::new();
    home.write_config(&json!({"target": mock.url(), "keys": [key(1)]}));
    let secret = home.write("cwd/secret", &format!("{}\n", key(2)));
    let third = key(3);
    let env = [("THIRD", third.as_str())];
    let add = |args: &[&str]| keys_with(&home, free_port(), &[&["add"], args].concat(), &env, b"");
    add(&["--file", "secret"]).is(0).says(&["new-key valid"]);
    add(&["--env", "THIRD"])
        .is(0)
        .says(&["Added key-3 (env:THIRD)"]);
    add(&["--env", "UNSET"])
        .is(1)
        .says(&["UNSET is not set", "nothing was changed", "--no-check"]);
    add(&["--env", "UNSET", "--no-check"]).is(0);
    add(&["--command", "cat secret"])
        .is(1)
        .says(&["`--no-check` adds it"]);
    add(&["--command", "cat ../../../cwd/secret"])
        .is(0)
        .says(&["holds this key already"]);
    let value: Value = serde_json::from_str(&text(&home)).unwrap();
    let file = format!("file:{}", secret.canonicalize().unwrap().display());
    assert_eq!(
        value["keys"],
        json!([key(1), file, "env:THIRD", "env:UNSET"])
    );
    let many = home.write("cwd/many", &format!("# mine\n{}\n{PLANTED}\n", key(1)));
    let many = many.display().to_string();
    add(&["--file", &many, "--copy", "--no-check"])
        .is(0)
        .says(&["as key-1", "Added key-5"]);
}

#[test]
fn without_a_file_a_key_or_a_provider_the_next_step_is_said() {
    let home = Home::new();
    keys(&home, free_port(), &["list"])
        .is(1)
        .says(&["no configuration file", "api-key-lb setup"]);
    home.write("home/.config/api-key-lb/config.json", "{}");
    let output = keys_with(&home, free_port(), &["add", "-"], &[], b"sk-new");
    output.is(1).says(&["names no provider", "target"]);
    let mock = mock(1);
    home.write_config(&config(&mock.url(), 1, json!({})));
    keys(&home, free_port(), &["add"])
        .is(2)
        .says(&["no terminal to ask at", "--stdin"]);
    fs::write(
        home.config_path(),
        format!("{{\"keys\": [\"{PLANTED}\" 1]}}"),
    )
    .unwrap();
    keys(&home, free_port(), &["list"])
        .is(1)
        .says(&["config.json: line 1", "not valid JSON"]);
}
