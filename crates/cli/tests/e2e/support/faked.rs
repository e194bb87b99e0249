//! A home in which programs of the system are scripts of ours.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::{Home, Output, config, free_port, set_mode};
use crate::restart::records;

/// A home in which `systemctl` and its like are ours.
pub struct Faked {
    pub home: Home,
    pub port: u16,
    /// Where it looks for programs.
    pub path: String,
    config: Value,
}

impl Faked {
    /// With these programs; `@STATE@` and so on are filled in.
    pub fn new(programs: &[(&str, &str)]) -> Self {
        let home = Home::new();
        let port = free_port();
        // Never asked: no test of these makes a request.
        let config = config("http://127.0.0.1:9", 1, json!({"port": port}));
        home.write_config(&config);
        fs::create_dir_all(home.path("fake")).unwrap();
        for (name, text) in programs {
            let text = text
                .replace("@STATE@", &home.path("fake").display().to_string())
                .replace("@STATES@", &home.path("state").display().to_string())
                .replace("@CONFIG@", &home.config_path().display().to_string())
                .replace("@PROGRAM@", env!("CARGO_BIN_EXE_api-key-lb"));
            set_mode(&home.write(&format!("bin/{name}"), &text), 0o700);
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", home.path("bin").display());
        Self {
            home,
            port,
            path,
            config,
        }
    }

    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Output {
        self.run_with(args, &[])
    }

    #[track_caller]
    pub fn run_with(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        let mut env = env.to_vec();
        env.push(("PATH", &self.path));
        self.home.run(args, &env)
    }

    /// Makes a file that the fake programs look for.
    pub fn set(&self, name: &str) {
        fs::write(self.home.path("fake").join(name), "").unwrap();
    }

    pub fn is_set(&self, name: &str) -> bool {
        self.home.path("fake").join(name).exists()
    }

    /// The calls since the last time, without those that only look.
    pub fn calls(&self) -> Vec<String> {
        let path = self.home.path("fake/calls");
        let calls = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        let looks = ["--user show", "--version", "version", "print", "list"];
        calls
            .lines()
            .filter(|line| !looks.iter().any(|look| line.starts_with(look)))
            .map(str::to_owned)
            .collect()
    }

    /// Has the configuration say another port.
    pub fn move_to(&mut self, port: u16) {
        self.port = port;
        self.config["port"] = port.into();
        self.home.write_config(&self.config);
    }
}

impl Drop for Faked {
    fn drop(&mut self) {
        for record in records(&self.home) {
            let _ = Command::new("kill").arg(record["pid"].to_string()).output();
        }
    }
}
