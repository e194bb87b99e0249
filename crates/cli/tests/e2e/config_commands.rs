//! `config show`, `check`, `schema`, `init`; manual pages and completions.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Home, Output, Proxy, chat, key, mock};

fn json_of(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The copies that lie beside the configuration file.
fn copies(home: &Home) -> Vec<PathBuf> {
    let directory = home.config_path().parent().unwrap().to_path_buf();
    let entries = fs::read_dir(directory).unwrap();
    let mut copies: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "bak"))
        .collect();
    copies.sort();
    copies
}

#[test]
fn init_writes_a_private_file_that_setup_fills_and_start_serves_by() {
    let mock = mock(1);
    let home = Home::new();
    home.run(&["config", "init"], &[]).is(0).says(&["written"]);
    let path = home.config_path();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }
    home.run(&["config", "check"], &[])
        .is(1)
        .says(&["there is no API key"]);
    let target = mock.url();
    let setup = [
        "setup",
        "--yes",
        "--no-service",
        "--no-agents",
        "--no-check",
    ];
    let keys = ["--keys", &key(1), "--target", &target, "--port", "0"];
    home.run(&[&setup[..], &keys].concat(), &[]).is(0);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("  //\"max_wait_ms\": 45000,"), "{text}");
    home.run(&["config", "check"], &[])
        .is(0)
        .says(&["1 key in 1 pool"]);
    let proxy = Proxy::start_in(&home, &["start"], &[]);
    proxy.turn("s", &chat("hi")).is(200);
}

#[test]
fn init_never_replaces_a_file_unless_forced_and_then_keeps_it() {
    let home = Home::new();
    let path = home.write_config(&json!({"keys": [key(1)]}));
    let before = fs::read_to_string(&path).unwrap();
    home.run(&["config", "init"], &[])
        .is(1)
        .says(&["is there already", "--force"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    assert_eq!(copies(&home).len(), 0);
    home.run(&["config", "init", "--force"], &[]).is(0);
    let [copy] = <[PathBuf; 1]>::try_from(copies(&home)).unwrap();
    assert_eq!(fs::read_to_string(copy).unwrap(), before);
    // Within the same second, too.
    home.run(&["config", "init", "--force"], &[]).is(0);
    assert_eq!(copies(&home).len(), 2);
}

#[test]
fn init_prints_what_it_would_write_and_writes_where_it_is_told() {
    let home = Home::new();
    let printed = home.run(&["config", "init", "--print"], &[]);
    assert_eq!(
        home.run(&["config", "init", "-"], &[]).stdout,
        printed.stdout
    );
    assert!(!home.config_path().exists());
    home.run(&["config", "init", "--config", "mine.json"], &[])
        .is(0);
    let written = fs::read_to_string(home.path("cwd/mine.json")).unwrap();
    assert_eq!(written, printed.stdout);
}

#[test]
fn show_says_of_each_value_where_it_is_from_and_masks_keys() {
    let home = Home::new();
    let file = home.write(
        "home/.config/api-key-lb/config.json",
        &format!(
            "{{\n  \"keys\": [\"{}\"],\n  \"max_wait_ms\": 1000\n}}\n",
            key(1)
        ),
    );
    let args = ["config", "show", "--log", "off"];
    let shown = home.run(&args, &[("PORT", "4600")]);
    shown.is(0);
    let line = |name: &str| {
        let found = shown
            .stdout
            .lines()
            .find(|line| line.trim_start().starts_with(name));
        found
            .unwrap_or_else(|| panic!("{name}: {shown:?}"))
            .to_owned()
    };
    assert!(
        line("port ").ends_with("environment variable PORT"),
        "{shown:?}"
    );
    assert!(line("log ").ends_with("--log"), "{shown:?}");
    assert!(
        line("max_wait_ms ").ends_with(&format!("{}:3:18", file.display())),
        "{shown:?}"
    );
    assert!(line("store ").ends_with("default"), "{shown:?}");
    assert!(line("key-1 ").contains("sk-mock"), "{shown:?}");
    assert!(!shown.all().contains(&key(1)), "{shown:?}");

    let json = json_of(&home.run(&[&args[..], &["--json"]].concat(), &[("PORT", "4600")]));
    assert_eq!(
        json["settings"]["port"],
        json!({"value": 4600, "source": "variable", "variable": "PORT"})
    );
    assert_eq!(
        json["settings"]["log"],
        json!({"value": "off", "source": "flag", "flag": "--log"})
    );
    assert_eq!(
        json["settings"]["max_wait_ms"],
        json!({"value": 1000, "source": "file", "file": file, "line": 3, "column": 18})
    );
    assert_eq!(
        json["settings"]["cooldown_ms"],
        json!({"value": null, "means": "backoff from 1 s to 60 s", "source": "default"})
    );
    assert_eq!(json["pools"][0]["keys"][0]["label"], "key-1");
    assert!(!json.to_string().contains(&key(1)));
}

#[test]
fn show_says_what_counts_and_what_is_wrong_of_a_broken_file() {
    let home = Home::new();
    home.write_config(
        &json!({"keys": ["env:NOT_SET", key(2)], "port": 70_000, "max_wait_ms": 1000}),
    );
    let shown = home.run(&["config", "show"], &[]);
    shown.is(1).says(&[
        "wrong, see below",
        "1000",
        "NOT_SET is not set",
        "from 0 to 65535",
    ]);
    let json = json_of(&home.run(&["config", "show", "--json"], &[]));
    assert_eq!(json["ok"], false);
    assert_eq!(json["problems"].as_array().unwrap().len(), 2);
    assert_eq!(json["settings"]["port"]["wrong"], true);
    assert_eq!(json["settings"]["max_wait_ms"]["value"], 1000);
}

#[test]
fn check_names_everything_that_is_wrong_with_its_line_and_column() {
    let home = Home::new();
    let file = home.write(
        "cwd/mine.json",
        "{\n  \"keys\": [\"k\"],\n  \"port\": 70000,\n  \"log\": \"all\",\n  \"cooldownMs\": 1\n}\n",
    );
    let checked = home.run(&["config", "check", "mine.json"], &[]);
    let name = file.display();
    checked.is(1).says(&[
        &format!("error: {name}:3:11: `port`"),
        &format!("error: {name}:4:10: `log`"),
        &format!("warning: {name}:5:3: there is no setting `cooldownMs`"),
        "did you mean `cooldown_ms`?",
    ]);
    let json = json_of(&home.run(&["config", "check", "mine.json", "--json"], &[]));
    assert_eq!(json["problems"][0]["line"], 3);
    assert_eq!(json["problems"][0]["column"], 11);
    assert_eq!(json["notes"][0]["level"], "warning");
    assert!(json.get("settings").is_none());
}

#[test]
fn check_ends_with_0_1_or_2_as_other_commands_do() {
    let home = Home::new();
    home.write(
        "cwd/good.json",
        r#"{"$schema": "./schema.json", "keys": ["k"]}"#,
    );
    home.write("cwd/warned.json", r#"{"keys": ["k"], "colour": "red"}"#);
    home.write("cwd/broken.json", r#"{"keys": ["k"]"#);
    for (args, code) in [
        (&["good.json"][..], 0),
        (&["--config", "good.json"], 0),
        (&["warned.json"], 0),
        (&["warned.json", "--strict"], 1),
        (&["broken.json"], 1),
        (&["nowhere.json"], 2),
        (&["good.json", "--config", "good.json"], 2),
        (&[], 1),
    ] {
        home.run(&[&["config", "check"], args].concat(), &[])
            .is(code);
    }
    let quiet = home.run(&["config", "check", "good.json", "--quiet"], &[]);
    assert_eq!(quiet.all(), "");
}

#[test]
fn the_schema_is_printed_as_editors_read_it() {
    let home = Home::new();
    let schema = json_of(home.run(&["config", "schema"], &[]).is(0));
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert_eq!(schema["properties"]["port"]["maximum"], 65_535);
    assert_eq!(schema["properties"]["max_wait_ms"]["default"], 45_000);
}

#[test]
fn manual_pages_are_written_for_every_command_and_one_is_printed() {
    let home = Home::new();
    home.run(&["man", "share/man/man1"], &[])
        .is(0)
        .says(&["pages written"]);
    let directory = home.path("cwd/share/man/man1");
    for page in [
        "api-key-lb",
        "api-key-lb-start",
        "api-key-lb-config-init",
        "api-key-lb-service-logs",
    ] {
        let text = fs::read_to_string(directory.join(format!("{page}.1"))).unwrap();
        assert!(text.contains(".SH NAME"), "{page}: {text}");
    }
    let printed = home.run(&["man"], &[]).is(0).stdout.clone();
    assert_eq!(
        printed,
        fs::read_to_string(directory.join("api-key-lb.1")).unwrap()
    );
}

#[test]
fn completions_know_the_orders_of_every_command() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(&["completions", shell], &[]).is(0).stdout.clone();
        for word in ["config", "schema", "uninstall", "strict"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[cfg(unix)]
#[test]
fn bash_completes_what_stands_behind_a_command() {
    let home = Home::new();
    let script = home.run(&["completions", "bash"], &[]).is(0).stdout.clone();
    let script = home.write("cwd/completions.bash", &script);
    let complete = |words: &[&str]| {
        let line = format!(
            ". '{}'; f=$(complete -p api-key-lb | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
             COMP_WORDS=({}); COMP_CWORD={}; $f api-key-lb '{}' '{}'; echo \"${{COMPREPLY[@]}}\"",
            script.display(),
            words
                .iter()
                .map(|word| format!("'{word}'"))
                .collect::<Vec<_>>()
                .join(" "),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let output = std::process::Command::new("bash")
            .args(["--norc", "-c", &line])
            .output();
        output
            .ok()
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // Where there is no bash nobody misses its completions.
    let Some(orders) = complete(&["api-key-lb", "config", ""]) else {
        return;
    };
    for order in ["show", "check", "schema", "init"] {
        assert!(orders.contains(order), "{orders}");
    }
    let flags = complete(&["api-key-lb", "config", "check", "--"]).unwrap();
    assert!(flags.contains("--strict"), "{flags}");
}
