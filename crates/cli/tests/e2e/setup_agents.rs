//! `setup` and agents: their files lead to the proxy afterwards, and nothing else of them changes.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::PathBuf;

use serde_json::json;

use crate::setup_undo::{Machine, files};
use crate::support::{Home, Proxy, chat, free_port, key, mock, set_mode};

/// A configuration of OpenCode that people would write: comments, Windows line ends, a key.
const OPENCODE: &str = "{\r\n  // ours\r\n  \"provider\": {\r\n    \"zai\": { \"options\": {\r\n      \
    \"baseURL\": \"@TARGET@/api/coding/paas/v4\",\r\n      \"apiKey\": \"sk-planted-in-opencode\",\r\n    } },\r\n    \
    \"other\": { \"options\": { \"baseURL\": \"https://elsewhere.example/v1\" } },\r\n  },\r\n}\r\n";

#[test]
fn agents_are_led_to_the_proxy_and_what_they_ask_arrives() {
    let mock = mock(2);
    let machine = Machine::new(&mock.url());
    let path = machine.opencode(OPENCODE);
    let port = machine.port.to_string();
    machine
        .setup(&[
            "--keys",
            &format!("{},{}", key(1), key(2)),
            "--target",
            &mock.url(),
            "--port",
            &port,
        ])
        .is(0)
        .says(&[
            "Agents",
            "OpenCode",
            &format!("- {}/api/coding/paas/v4", mock.url()),
            &format!("+ http://127.0.0.1:{port}/api/coding/paas/v4"),
            "Start anew: OpenCode",
        ]);
    let text = fs::read_to_string(&path).unwrap();
    let base = format!("http://127.0.0.1:{port}/api/coding/paas/v4");
    assert_eq!(
        text,
        machine
            .text(OPENCODE)
            .replace(&format!("{}/api/coding/paas/v4", mock.url()), &base)
    );

    let proxy = Proxy::start_in(&machine.home, &["start"], &[]);
    let path = base.trim_start_matches(&format!("http://127.0.0.1:{port}"));
    proxy
        .post(&format!("{path}/chat/completions"), &chat("hi"))
        .is(200);
    let asked = mock.requests();
    assert_eq!(
        asked.last().unwrap().target,
        "/api/coding/paas/v4/chat/completions"
    );
}

#[test]
fn a_second_setup_changes_nothing_and_one_with_another_port_leads_agents_there() {
    let machine = Machine::new("https://api.z.ai");
    let path = machine.opencode(OPENCODE);
    machine.all("4601").is(0);
    let first = files(&machine.home.path("home"));
    machine
        .setup(&[])
        .is(0)
        .says(&["OpenCode: leads to the pool already"]);
    assert_eq!(files(&machine.home.path("home")), first);
    machine
        .setup(&["--port", "4602"])
        .is(0)
        .says(&["- http://127.0.0.1:4601/api", "+ http://127.0.0.1:4602/api"]);
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("http://127.0.0.1:4602/api/coding/paas/v4"),
        "{text}"
    );
}

#[test]
fn a_dry_run_shows_the_change_and_makes_none() {
    let machine = Machine::new("https://api.z.ai");
    machine.opencode(OPENCODE);
    let before = files(&machine.home.path(""));
    machine
        .setup(&[
            "--dry-run",
            "--keys",
            &key(0),
            "--target",
            "https://api.z.ai",
        ])
        .is(0)
        .says(&[
            "Would write",
            "+ http://127.0.0.1:4577/api/coding/paas/v4",
            "Nothing was changed",
        ]);
    assert_eq!(files(&machine.home.path("")), before);
}

#[test]
fn only_the_agents_that_are_meant_are_touched() {
    let machine = Machine::new("https://api.z.ai");
    let opencode = machine.opencode(OPENCODE);
    let claude = machine.claude_code();
    let before = (fs::read(&opencode).unwrap(), fs::read(&claude).unwrap());
    machine
        .setup(&[
            "--keys",
            &key(0),
            "--target",
            "https://api.z.ai",
            "--except",
            "claude-code,opencode",
        ])
        .is(0);
    assert_eq!(
        (fs::read(&opencode).unwrap(), fs::read(&claude).unwrap()),
        before
    );
    let output = machine.setup(&["--only", "claude-code"]);
    output.is(0).says(&["Claude Code"]);
    assert!(!output.all().contains("OpenCode"), "{output:?}");
    assert_eq!(fs::read(&opencode).unwrap(), before.0);
    assert_ne!(fs::read(&claude).unwrap(), before.1);
    machine
        .setup(&["--only", "klaude"])
        .is(2)
        .says(&["klaude", "claude-code, "]);
    machine.setup(&["--no-agents", "--only", "codex"]).is(2);
}

#[test]
fn a_file_that_is_broken_is_left_alone_and_said_and_the_others_are_changed() {
    let machine = Machine::new("https://api.z.ai");
    let broken = "{ \"provider\": { \"zai\": { \"apiKey\": \"sk-planted-in-opencode\" ";
    let path = machine.opencode(broken);
    let claude = machine.claude_code();
    let output = machine.all("4601");
    output
        .is(0)
        .says(&["~/.config/opencode/opencode.json is left alone", "line 1"]);
    assert!(!output.all().contains("sk-planted"), "{output:?}");
    assert_eq!(fs::read_to_string(path).unwrap(), broken);
    assert!(
        fs::read_to_string(claude)
            .unwrap()
            .contains("http://127.0.0.1:4601/api/anthropic")
    );
}

#[test]
fn links_stay_links_modes_stay_and_what_is_copied_is_private() {
    let machine = Machine::new("https://api.z.ai");
    let real = machine
        .home
        .write("home/dotfiles/opencode.json", &machine.text(OPENCODE));
    set_mode(&real, 0o640);
    let link = machine.home.path("home/.config/opencode/opencode.json");
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink("../../dotfiles/opencode.json", &link).unwrap();
    machine.all("4601").is(0);
    assert!(link.is_symlink());
    assert!(
        fs::read_to_string(&real)
            .unwrap()
            .contains("127.0.0.1:4601")
    );
    assert_eq!(fs::metadata(&real).unwrap().mode() & 0o7777, 0o640);
    let backups = machine.backups();
    assert_eq!(backups.len(), 1, "{backups:?}");
    assert_eq!(
        fs::read_to_string(&backups[0]).unwrap(),
        machine.text(OPENCODE)
    );
    assert_eq!(fs::metadata(&backups[0]).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn a_file_that_cannot_be_written_fails_and_says_so_and_the_others_are_changed() {
    let machine = Machine::new("https://api.z.ai");
    let path = machine.opencode(OPENCODE);
    let claude = machine.claude_code();
    // A directory where the copy would have to be.
    machine.home.write("state/api-key-lb/backups", "in the way");
    let output = machine.all("4601");
    output.is(1).says(&["cannot copy"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), machine.text(OPENCODE));
    assert!(!fs::read_to_string(claude).unwrap().contains("127.0.0.1"));
    machine.undo(&[]).is(0);
    assert_eq!(fs::read_to_string(&path).unwrap(), machine.text(OPENCODE));
}

#[test]
fn agents_that_share_a_file_are_both_changed_in_it() {
    let machine = Machine::new("https://api.openai.com");
    let path = machine.home.write(
        "home/.env",
        "# shared\nOPENAI_BASE_URL=https://api.openai.com/v1\nOPENAI_API_BASE=https://api.openai.com/v1\n",
    );
    machine.home.write("home/.qwen/settings.json", "{}\n");
    machine.home.write("home/.aider.conf.yml", "model: gpt-5\n");
    let before = files(&machine.home.path(""));
    machine
        .setup(&[
            "--keys",
            &key(0),
            "--target",
            "https://api.openai.com",
            "--port",
            "4601",
            "--only",
            "aider,qwen-code",
        ])
        .is(0);
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains("https://api.openai.com"), "{text}");
    machine.undo(&["--purge", "--yes"]).is(0);
    assert_eq!(files(&machine.home.path("")), before);
}

#[test]
fn files_that_an_agent_finds_by_looking_into_a_directory_are_changed_too() {
    let machine = Machine::new("https://api.openai.com");
    machine
        .home
        .write("home/.codex/config.toml", "model = \"gpt-5\"\n");
    let profile = machine.home.write(
        "home/.codex/work.config.toml",
        "model_provider = \"mine\"\n\n[model_providers.mine]\nbase_url = \"https://api.openai.com/v1\" # work\n",
    );
    machine
        .setup(&[
            "--keys",
            &key(0),
            "--target",
            "https://api.openai.com",
            "--port",
            "4601",
        ])
        .is(0);
    let text = fs::read_to_string(profile).unwrap();
    assert!(
        text.contains("base_url = \"http://127.0.0.1:4601/v1\" # work"),
        "{text}"
    );
}

#[test]
fn nothing_that_is_printed_or_noted_holds_a_key_of_an_agent() {
    let machine = Machine::new("https://api.z.ai");
    machine.opencode(OPENCODE);
    machine.claude_code();
    let mut all = machine.all("4601").all();
    all.push_str(&machine.setup(&[]).all());
    let journal = machine.home.path("state/api-key-lb/setup.json");
    all.push_str(&fs::read_to_string(&journal).unwrap());
    assert_eq!(fs::metadata(&journal).unwrap().mode() & 0o777, 0o600);
    all.push_str(&machine.undo(&[]).all());
    assert!(
        !all.contains("sk-planted") && !all.contains(&key(0)),
        "{all}"
    );
}

#[test]
fn a_port_that_is_another_at_each_start_is_given_to_no_agent() {
    let machine = Machine::new("https://api.z.ai");
    let path = machine.opencode(OPENCODE);
    machine.all("0").is(0).says(&["the port is 0"]);
    assert_eq!(fs::read_to_string(path).unwrap(), machine.text(OPENCODE));
}

#[test]
fn keys_are_tried_at_their_provider_and_one_that_is_refused_is_only_a_warning() {
    let mock = mock(1);
    let home = Home::new();
    let list = format!("{},{}", key(1), key(7));
    let port = free_port().to_string();
    home.run(
        &[
            "setup",
            "--keys",
            &list,
            "--target",
            &mock.url(),
            "--port",
            &port,
        ],
        &[],
    )
    .is(0)
    .says(&["key-2 refused", "replace the key"]);
    assert!(home.config_path().exists());
    let config: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(home.config_path()).unwrap()).unwrap();
    assert_eq!(config["keys"], json!([key(1), key(7)]));
}

impl Machine {
    fn backups(&self) -> Vec<PathBuf> {
        let files = self.home.state_files().into_iter().map(|(path, _)| path);
        files
            .filter(|path| path.to_string_lossy().contains("/backups/"))
            .collect()
    }
}
