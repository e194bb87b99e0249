//! The first run of `setup` at a terminal.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Home, Terminal, key, mock};

fn written(home: &Home) -> Value {
    serde_json::from_str(&fs::read_to_string(home.config_path()).unwrap()).unwrap()
}

/// Whether there can be a terminal; said if not.
fn possible() -> bool {
    let possible = Terminal::is_possible();
    if !possible {
        eprintln!("skipped: `script` of util-linux is not here");
    }
    possible
}

#[test]
fn who_types_setup_is_asked_for_provider_and_keys_which_are_tried_and_never_shown() {
    if !possible() {
        return;
    }
    let (mock, home) = (mock(2), Home::new());
    home.write(
        "home/.config/opencode/opencode.json",
        &json!({"provider": {"x": {"options": {
            "baseURL": format!("{}/v1", mock.url())
        }}}})
        .to_string(),
    );
    let mut terminal = Terminal::start(
        &home,
        &["setup", "--port", "4601"],
        &[("PATH", "/usr/bin:/bin")],
    );
    terminal
        .shows("Whose keys are they?")
        .shows("Z.ai")
        .shows("OpenRouter")
        .shows("Number, name");
    terminal.types("nonsense").shows("type a number from 1");
    terminal.types(&mock.url()).shows("limits");
    terminal.shows("Key 1").types("").shows("at least one key");
    terminal
        .shows("Key 1")
        .types(&key(1))
        .shows("Key 2, or Enter");
    terminal
        .types(&key(1))
        .shows("there already")
        .shows("Key 2");
    terminal
        .types(&key(7))
        .shows("refused")
        .shows("Keep it anyway?")
        .types("")
        .shows("Key 2");
    terminal
        .types(&key(2))
        .shows("Key 3")
        .types("")
        .shows("2 keys");
    terminal.shows("OpenCode").shows("Change this?").types("n");
    let (code, all) = terminal.ends();
    assert_eq!(code, Some(0), "{all}");
    assert_eq!(written(&home)["keys"], json!([key(1), key(2)]));
    assert_eq!(written(&home)["target"], json!(mock.url()));
    for number in [1, 2, 7] {
        assert!(!all.contains(&key(number)), "{all}");
    }
    let agent = fs::read_to_string(home.path("home/.config/opencode/opencode.json")).unwrap();
    assert!(
        agent.contains(&mock.url()),
        "it was not to be changed: {agent}"
    );
}

#[test]
fn a_known_provider_is_named_with_what_pooling_means_there() {
    if !possible() {
        return;
    }
    let home = Home::new();
    let mut terminal = Terminal::start(&home, &["setup"], &[]);
    terminal
        .shows("Number, name")
        .types("deepseek")
        .shows("Limits count per account")
        .shows("Key 1");
    drop(terminal);
    assert!(
        !home.config_path().exists(),
        "nothing is written before everything is answered"
    );
}

#[test]
fn with_keys_and_target_nothing_is_asked_even_at_a_terminal() {
    if !possible() {
        return;
    }
    let (mock, home) = (mock(1), Home::new());
    let (key, url) = (key(1), mock.url());
    let mut terminal = Terminal::start(&home, &["setup", "--keys", &key, "--target", &url], &[]);
    let (code, all) = terminal.ends();
    assert_eq!(code, Some(0), "{all}");
    assert!(
        all.contains("shell's history") && !all.contains(&key),
        "{all}"
    );
}
