//! `setup --undo`: everything is as it was, whatever others have changed since.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Home, Output, Proxy, free_port, key};

/// A machine with agents whose provider is `target`.
pub struct Machine {
    pub home: Home,
    pub port: u16,
    target: String,
}

/// Every file below a directory.
pub fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

impl Machine {
    pub fn new(target: &str) -> Self {
        Self {
            home: Home::new(),
            port: free_port(),
            target: target.to_owned(),
        }
    }

    pub fn text(&self, template: &str) -> String {
        template.replace("@TARGET@", &self.target)
    }

    pub fn opencode(&self, template: &str) -> PathBuf {
        self.home
            .write("home/.config/opencode/opencode.json", &self.text(template))
    }

    pub fn claude_code(&self) -> PathBuf {
        self.home.write(
            "home/.claude/settings.json",
            &self.text(
                "{\"env\": {\"ANTHROPIC_BASE_URL\": \"@TARGET@/api/anthropic\", \"ANTHROPIC_AUTH_TOKEN\": \
                 \"sk-planted-in-claude\"}}",
            ),
        )
    }

    /// `setup` without asking the provider; only what is in this home is found.
    #[track_caller]
    pub fn setup(&self, args: &[&str]) -> Output {
        let all: Vec<&str> = ["setup", "--no-check"]
            .iter()
            .chain(args)
            .copied()
            .collect();
        self.home.run(&all, &[("PATH", "/nowhere")])
    }

    /// The same with a key and everything.
    #[track_caller]
    pub fn all(&self, port: &str) -> Output {
        self.setup(&["--keys", &key(0), "--target", &self.target, "--port", port])
    }

    #[track_caller]
    pub fn undo(&self, args: &[&str]) -> Output {
        let all: Vec<&str> = ["setup", "--undo"].iter().chain(args).copied().collect();
        self.home.run(&all, &[("PATH", "/nowhere")])
    }
}

const CODEX: &str = "# mine\nmodel_provider = \"zai\"\n\n[model_providers.zai] # the plan\nname = 'Z.ai'\nbase_url = \
    \"@TARGET@/api/coding/paas/v4\"\nwire_api = \"chat\"\n";
const HERMES: &str = "model:\n  default: glm-4.6   # good\n  base_url: \"@TARGET@/api/coding/paas/v4\"\nother: [1, 2]\n";
const OPENCODE: &str =
    "{\n\t\"provider\": { \"zai\": { \"options\": { \"baseURL\": \"@TARGET@/api/paas/v4\" } } }\n}";

fn machine_with_agents() -> Machine {
    let machine = Machine::new("https://api.z.ai");
    machine.opencode(OPENCODE);
    machine.claude_code();
    machine
        .home
        .write("home/.codex/config.toml", &machine.text(CODEX));
    machine
        .home
        .write("home/.hermes/config.yaml", &machine.text(HERMES));
    machine
}

#[test]
fn every_byte_comes_back_and_the_configuration_stays() {
    let machine = machine_with_agents();
    let before = files(&machine.home.path(""));
    machine.all("4601").is(0);
    // Once more on top, at another port.
    machine.setup(&["--port", "4602"]).is(0);
    machine
        .undo(&["--dry-run"])
        .is(0)
        .says(&["would be as it was", "Nothing was changed"]);
    machine
        .undo(&[])
        .is(0)
        .says(&["OpenCode", "Claude Code", "Codex", "Hermes", "as it was"]);
    let mut after = files(&machine.home.path(""));
    assert!(
        after.remove(&machine.home.config_path()).is_some(),
        "the keys stay"
    );
    assert_eq!(after, before);
    machine.undo(&[]).is(0).says(&["taken back already"]);
}

#[test]
fn what_others_have_changed_since_stays_and_the_rest_comes_back() {
    let machine = machine_with_agents();
    machine.all("4601").is(0);
    let path = machine.home.path("home/.hermes/config.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        format!("# new\n{}added: true\n", text.replace("glm-4.6", "glm-5")),
    )
    .unwrap();
    machine.undo(&[]).is(0);
    let wanted = format!(
        "# new\n{}added: true\n",
        machine.text(HERMES).replace("glm-4.6", "glm-5")
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), wanted);
}

#[test]
fn a_value_that_somebody_has_set_since_is_left_and_said() {
    let machine = machine_with_agents();
    machine.all("4601").is(0);
    let path = machine.home.path("home/.claude/settings.json");
    let theirs = "{\"env\": {\"ANTHROPIC_BASE_URL\": \"https://third.example\"}}";
    fs::write(&path, theirs).unwrap();
    machine
        .undo(&[])
        .is(0)
        .says(&["ANTHROPIC_BASE_URL", "was changed by somebody else since"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
}

#[test]
fn a_file_that_is_broken_now_is_left_with_a_hint_to_its_copy_and_can_be_taken_back_later() {
    let machine = machine_with_agents();
    let path = machine.home.path("home/.codex/config.toml");
    let before = fs::read(&path).unwrap();
    machine.all("4601").is(0);
    let good = fs::read(&path).unwrap();
    fs::write(&path, "[[[").unwrap();
    machine.undo(&["--purge", "--yes"]).is(1).says(&[
        "Codex",
        "was left as it is",
        "backups",
        "stay until",
    ]);
    assert!(
        machine.home.config_path().exists(),
        "an agent still needs it"
    );
    fs::write(&path, good).unwrap();
    machine.undo(&[]).is(0);
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_gone_is_no_failure() {
    let machine = machine_with_agents();
    machine.all("4601").is(0);
    fs::remove_file(machine.home.path("home/.codex/config.toml")).unwrap();
    machine
        .undo(&[])
        .is(0)
        .says(&["is gone; there is nothing to take back"]);
}

#[test]
fn purge_ends_the_proxy_and_leaves_nothing_of_us() {
    let machine = machine_with_agents();
    let before = files(&machine.home.path(""));
    machine.all(&machine.port.to_string()).is(0);
    let mut proxy = Proxy::start_in(&machine.home, &["start"], &[]);
    machine
        .undo(&["--purge", "--yes"])
        .is(0)
        .says(&["Stopped", "Removed"]);
    crate::support::eventually("the proxy ends", || proxy.ended().is_some());
    assert_eq!(files(&machine.home.path("")), before);
}

#[cfg(unix)]
mod service {
    use crate::support::Faked;

    #[test]
    fn setup_installs_the_service_and_undo_removes_it() {
        let faked = Faked::systemd();
        faked.run(&["setup", "--no-check", "--no-service"]).is(0);
        assert_eq!(faked.units(), [""; 0]);
        faked.run(&["setup", "--no-check"]).is(0).says(&[
            "Service",
            "installed; it runs now",
            "the proxy runs",
        ]);
        assert_eq!(faked.units(), ["api-key-lb.service", "api-key-lb.socket"]);
        faked
            .run(&["setup", "--no-check"])
            .is(0)
            .says(&["installed already"]);
        faked
            .run(&["setup", "--undo"])
            .is(0)
            .says(&["the service is removed"]);
        assert_eq!(faked.units(), [""; 0]);
        assert!(faked.home.config_path().exists());
    }

    #[test]
    fn a_service_that_was_there_before_setup_is_there_after_undo() {
        let faked = Faked::systemd();
        faked.run(&["service", "install"]).is(0);
        faked.run(&["setup", "--no-check"]).is(0);
        faked.run(&["setup", "--undo"]).is(0);
        assert_eq!(faked.units(), ["api-key-lb.service", "api-key-lb.socket"]);
        faked.run(&["setup", "--undo", "--purge", "--yes"]).is(0);
        assert_eq!(faked.units(), [""; 0]);
    }

    #[test]
    fn a_service_that_cannot_be_installed_is_a_failure_that_is_said() {
        let faked = Faked::systemd();
        faked.set("fails");
        faked.run(&["setup", "--no-check"]).is(1);
        assert_eq!(faked.units(), [""; 0]);
    }

    #[test]
    fn without_a_manager_setup_says_how_to_run_the_proxy_and_succeeds() {
        let faked = Faked::systemd();
        faked.set("unreachable");
        faked
            .run(&["setup", "--no-check"])
            .is(0)
            .says(&["no service can be installed", "Next: api-key-lb start"]);
    }
}

/// Two proxies on one machine: each has a configuration, a port and a provider.
struct Two {
    home: Home,
    ports: [u16; 2],
}

impl Two {
    const TARGETS: [&str; 2] = ["https://api.z.ai", "https://api.openai.com"];

    fn new() -> Self {
        let home = Home::new();
        let ports = [free_port(), free_port()];
        let two = Self { home, ports };
        for at in [0, 1] {
            let text = serde_json::json!({"target": Self::TARGETS[at], "keys": [key(at)], "port": two.ports[at]});
            two.home
                .write(&format!("home/{at}.json"), &text.to_string());
        }
        two
    }

    fn config(&self, at: usize) -> String {
        self.home
            .path(&format!("home/{at}.json"))
            .display()
            .to_string()
    }

    #[track_caller]
    fn run(&self, at: usize, args: &[&str]) -> Output {
        let config = self.config(at);
        let all = [args, &["--config", &config]].concat();
        self.home.run(&all, &[("PATH", "/nowhere")])
    }
}

#[test]
fn the_agents_of_one_proxy_are_not_led_to_another_provider_by_the_setup_of_the_second() {
    let two = Two::new();
    let opencode = two.home.write(
        "home/.config/opencode/opencode.json",
        r#"{"provider": {"zai": {"options": {"baseURL": "https://api.z.ai/api/paas/v4"}}}}"#,
    );
    let before = fs::read(&opencode).unwrap();
    for at in [0, 1] {
        two.run(at, &["setup", "--no-check", "--yes"]).is(0);
        let text = fs::read_to_string(&opencode).unwrap();
        let wanted = format!("http://127.0.0.1:{}/api/paas/v4", two.ports[0]);
        assert!(text.contains(&wanted), "{text}");
    }
    // What was done for the other one stays.
    two.run(1, &["setup", "--undo"]).is(0);
    assert_ne!(fs::read(&opencode).unwrap(), before);
    two.run(0, &["setup", "--undo"]).is(0);
    assert_eq!(fs::read(&opencode).unwrap(), before);
}

#[test]
fn purge_of_one_proxy_leaves_the_other_one_running_with_all_it_has_stored() {
    let two = Two::new();
    for at in [0, 1] {
        two.run(at, &["start", "--detach"]).is(0);
    }
    two.run(1, &["setup", "--undo", "--purge", "--yes"])
        .is(0)
        .says(&["Stopped", "Removed", "stays"]);
    assert!(!two.home.path("home/1.json").exists());
    assert!(two.home.path("home/0.json").exists());
    two.run(0, &["status"]).is(0);
    let stored: Vec<String> = two
        .home
        .state_files()
        .iter()
        .map(|(path, _)| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    let of = |at: usize| {
        stored
            .iter()
            .any(|name| name.starts_with(&format!("{}.", two.ports[at])))
    };
    assert!(of(0) && !of(1), "{stored:?}");
    two.run(0, &["setup", "--undo", "--purge", "--yes"]).is(0);
    assert!(!two.home.path("state/api-key-lb").exists());
}

#[test]
fn purge_removes_nothing_but_a_configuration_of_ours() {
    let machine = Machine::new("https://api.z.ai");
    machine.home.write("home/mine/precious.txt", "precious");
    machine
        .home
        .write("home/package.json", r#"{"name": "mine", "keys": []}"#);
    let before = files(&machine.home.path("home"));
    for path in ["home/mine", "home/package.json", "home/mine/precious.txt"] {
        let path = machine.home.path(path).display().to_string();
        machine
            .undo(&["--purge", "--yes", "--config", &path])
            .is(1)
            .says(&["is no configuration of api-key-lb", "nothing was removed"]);
    }
    assert_eq!(files(&machine.home.path("home")), before);
}

#[test]
fn purge_asks_and_without_a_terminal_wants_to_be_told() {
    let machine = machine_with_agents();
    machine.all("4601").is(0);
    machine.undo(&["--purge"]).is(2).says(&["--yes"]);
    assert!(machine.home.config_path().exists());
}

#[cfg(unix)]
#[test]
fn purge_removes_the_keys_and_not_only_a_link_to_them() {
    let machine = Machine::new("https://api.z.ai");
    let real = machine.home.write(
        "home/dotfiles/c.json",
        r#"{"target": "https://api.z.ai", "keys": ["sk-planted-0123456789"]}"#,
    );
    let link = machine.home.config_path();
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    fs::create_dir_all(machine.home.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(
        machine.home.path("elsewhere"),
        machine.home.path("state/api-key-lb"),
    )
    .unwrap();
    machine
        .setup(&["--keys", &key(1)])
        .is(0)
        .says(&["1 key of the file replaced"]);
    assert!(
        !files(&machine.home.path("elsewhere")).is_empty(),
        "a copy is kept"
    );
    machine.undo(&["--purge", "--yes"]).is(0).says(&["c.json"]);
    assert!(!real.exists() && !link.is_symlink());
    assert!(files(&machine.home.path("elsewhere")).is_empty());
}
