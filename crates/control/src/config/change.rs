//! What another configuration changes in a running proxy, and what has to wait for a restart.

use std::fmt::Debug;

use api_key_lb_core::target::mask_credentials;
use api_key_lb_core::{AccountId, Key, Pool, Secret};

use super::Config;

/// What is different, in words. Never holds a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What counts from now on.
    pub applied: Vec<String>,
    /// The settings that stay as they are until the proxy is started anew, each with the reason.
    pub needs_restart: Vec<String>,
}

impl Config {
    /// Makes this configuration one that a proxy which runs by `running` can go on with: what cannot
    /// change stays as it is. Says what changes.
    pub fn continue_from(&mut self, running: &Self) -> Changes {
        let mut changes = Changes::default();
        self.keep_fixed(running, &mut changes.needs_restart);
        self.compare_pools(running, &mut changes.applied);
        self.compare_settings(running, &mut changes.applied);
        changes
    }

    fn keep_fixed(&mut self, running: &Self, needs_restart: &mut Vec<String>) {
        let mut keep = |name: &str, differs: bool, stays: String| {
            if differs {
                needs_restart.push(format!("`{name}` stays {stays}"));
            }
        };
        let (new, old) = (&self.listen, &running.listen);
        // 0 is any, and one was found.
        keep(
            "port",
            new.port != 0 && new.port != old.port,
            old.port.to_string(),
        );
        let hosts: Vec<String> = old.hosts.iter().map(ToString::to_string).collect();
        keep("host", new.hosts != old.hosts, hosts.join(", "));
        let workers = running.workers;
        keep("workers", self.workers != workers, workers.to_string());
        let stays = match &running.otlp {
            Some(otlp) => otlp.endpoint.to_string(),
            None => "off".to_owned(),
        };
        keep("otlp", self.otlp != running.otlp, stays);
        self.otlp.clone_from(&running.otlp);
        self.workers = running.workers;
        self.listen = running.listen.clone();
        let (guard, before) = (&mut self.plan.guard, &running.plan.guard);
        guard.beyond_loopback = before.beyond_loopback;
        // Without, everybody who can reach us could spend the keys.
        if guard.beyond_loopback && guard.client_tokens.is_empty() {
            guard.client_tokens.clone_from(&before.client_tokens);
            needs_restart.push(
                "`client_tokens` stay, as long as other machines can reach the proxy".to_owned(),
            );
        }
    }

    fn compare_pools(&self, running: &Self, applied: &mut Vec<String>) {
        for pool in running.plan.pools() {
            if !self.plan.pools().any(|other| other.name == pool.name) {
                applied.push(format!("{} is gone", called(pool)));
            }
        }
        for pool in self.plan.pools() {
            let mut known = running.plan.pools();
            match known.find(|known| known.name == pool.name) {
                Some(known) => self.compare_keys((running, known), pool, applied),
                None => applied.push(format!("{} is new", called(pool))),
            }
        }
    }

    fn compare_keys(&self, (running, known): (&Self, &Pool), pool: &Pool, said: &mut Vec<String>) {
        let place = called(pool);
        if known.target != pool.target {
            let target = mask_credentials(&pool.target.to_string());
            said.push(format!("the target of {place} is {target}"));
            // With it every key is another one.
            return;
        }
        let of = |keys: &[Key], key: &Key| keys.iter().any(|other| other.id == key.id);
        for key in known.keys.iter().filter(|key| !of(&pool.keys, key)) {
            let is = if is_off(self, pool, key) {
                "disabled"
            } else {
                "gone"
            };
            said.push(format!("the key {} of {place} is {is}", key.label));
        }
        for key in &pool.keys {
            let Some(was) = known.keys.iter().find(|was| was.id == key.id) else {
                let is = if is_off(running, pool, key) {
                    "enabled"
                } else {
                    "new"
                };
                said.push(format!("the key {} of {place} is {is}", key.label));
                continue;
            };
            if was.label != key.label {
                said.push(format!("the key {} is called {}", was.label, key.label));
            }
            if was.weight != key.weight {
                said.push(format!("the key {} has weight {}", key.label, key.weight));
            }
            if was.account != key.account || name(running, was.account) != name(self, key.account) {
                said.push(format!(
                    "the key {} belongs to {}",
                    key.label,
                    name(self, key.account).unwrap_or("an account of its own")
                ));
            }
        }
        let stayed = |one: &[Key], other: &[Key]| -> Vec<_> {
            let one = one.iter().filter(|key| of(other, key));
            one.map(|key| key.id).collect()
        };
        if stayed(&known.keys, &pool.keys) != stayed(&pool.keys, &known.keys) {
            said.push(format!("the keys of {place} have another order"));
        }
    }

    fn compare_settings(&self, running: &Self, applied: &mut Vec<String>) {
        let (new, old) = (&self.plan, &running.plan);
        let (time, times) = (&new.timing, &old.timing);
        let (size, sizes) = (&new.limits, &old.limits);
        let guard = |config: &Self| {
            let guard = &config.plan.guard;
            (guard.allowed_hosts.clone(), guard.allowed_origins.clone())
        };
        let settings = [
            ("cooldown_ms", time.cooldown != times.cooldown),
            ("session_ttl_ms", time.session_ttl != times.session_ttl),
            ("max_wait_ms", time.max_wait != times.max_wait),
            ("cache_ttl_ms", time.cache_ttl != times.cache_ttl),
            (
                "connect_timeout_ms",
                time.connect_timeout != times.connect_timeout,
            ),
            (
                "first_byte_timeout_ms",
                time.first_byte_timeout != times.first_byte_timeout,
            ),
            ("idle_timeout_ms", time.idle_timeout != times.idle_timeout),
            (
                "drain_timeout_ms",
                time.drain_timeout != times.drain_timeout,
            ),
            ("replay_bytes", size.replay_bytes != sizes.replay_bytes),
            ("body_bytes", size.body_bytes != sizes.body_bytes),
            ("max_sessions", size.sessions != sizes.sessions),
            ("drain_windows", new.pacing.drain != old.pacing.drain),
            (
                "window_reserve_percent",
                new.pacing.reserve != old.pacing.reserve,
            ),
            ("answer_headers", new.answer_headers != old.answer_headers),
            ("include_usage", new.include_usage != old.include_usage),
            (
                "split_subagents",
                new.recognition.split_subagents != old.recognition.split_subagents,
            ),
            (
                "session_rules",
                differ(&new.recognition.ladder, &old.recognition.ladder),
            ),
            ("error_rules", differ(&new.error_rules, &old.error_rules)),
            (
                "allowed_hosts or allowed_origins",
                guard(self) != guard(running),
            ),
            (
                "client_tokens",
                !same(&new.guard.client_tokens, &old.guard.client_tokens),
            ),
            ("ca_file", self.ca_file != running.ca_file),
            ("log", self.log != running.log),
            (
                "log_format, log_bytes or log_files",
                self.log_settings != running.log_settings,
            ),
            ("prices", self.prices != running.prices),
            ("usage_days", self.usage_days != running.usage_days),
            ("list_account", self.shows_other_lists(running)),
        ];
        let changed = settings.iter().filter(|(_, differs)| *differs);
        applied.extend(changed.map(|(name, _)| format!("`{name}` is another")));
    }

    fn shows_other_lists(&self, running: &Self) -> bool {
        let mut pools = self.plan.pools();
        pools.any(|pool| {
            let mut known = running.plan.pools();
            known.any(|known| known.name == pool.name && known.lists != pool.lists)
        })
    }
}

/// Whether a key is there in `config` and must not serve.
fn is_off(config: &Config, pool: &Pool, key: &Key) -> bool {
    let mut off = config.disabled.iter().filter(|off| off.pool == pool.name);
    // Who it is cannot always be told without running a program.
    off.any(|off| off.id.map_or(off.label == key.label, |id| id == key.id))
}

fn called(pool: &Pool) -> String {
    if pool.name.is_empty() {
        "the default pool".to_owned()
    } else {
        format!("the pool {}", pool.name)
    }
}

fn name(config: &Config, account: AccountId) -> Option<&str> {
    config.accounts.get(&account).map(String::as_str)
}

/// For what can be shown, but not compared.
fn differ(one: &impl Debug, other: &impl Debug) -> bool {
    format!("{one:?}") != format!("{other:?}")
}

fn same(one: &[Secret], other: &[Secret]) -> bool {
    let one = one.iter().map(Secret::expose);
    one.eq(other.iter().map(Secret::expose))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::{Environment, Flags};
    use crate::private_file::scratch::Scratch;

    fn load(scratch: &Scratch, settings: &Value) -> Config {
        let path = scratch.path().join("c.json");
        std::fs::write(&path, settings.to_string()).unwrap();
        let flags = Flags {
            config: Some(path),
            ..Flags::default()
        };
        Config::load(&flags, &Environment::default()).unwrap()
    }

    fn changes(old: &Value, new: &Value) -> (Config, Changes) {
        let scratch = Scratch::new();
        let running = load(&scratch, old);
        let mut config = load(&scratch, new);
        let changes = config.continue_from(&running);
        (config, changes)
    }

    #[test]
    fn keys_that_come_go_and_change_are_named_and_no_secret_is() {
        let (_, changes) = changes(
            &json!({"keys": ["sk-planted-a", {"key": "sk-planted-b", "label": "b"}, "sk-planted-c", "sk-planted-d"],
                    "pools": {"old": {"target": "https://old.example", "keys": ["sk-planted-e"]},
                              "zai": {"target": "https://api.z.ai", "keys": ["sk-planted-f"]}}}),
            &json!({"keys": ["sk-planted-c", {"key": "sk-planted-b", "label": "work", "weight": 2, "account": "acme"},
                             {"key": "sk-planted-g", "label": "fresh"}, {"key": "sk-planted-a", "label": "key-1"}],
                    "pools": {"new": {"target": "https://new.example", "keys": ["sk-planted-e"]},
                              "zai": {"target": "https://api.z.ai/v4", "keys": ["sk-planted-f"]}}}),
        );
        let said = changes.applied.join("\n");
        for part in [
            "the key b is called work",
            "the key work has weight 2",
            "the key work belongs to acme",
            "of the default pool is gone",
            "the key fresh of the default pool is new",
            "have another order",
            "the pool old is gone",
            "the pool new is new",
            "the target of the pool zai is https://",
        ] {
            assert!(said.contains(part), "`{part}` in:\n{said}");
        }
        assert!(!said.contains("planted"), "{said}");
        assert!(changes.needs_restart.is_empty(), "{changes:?}");
    }

    #[test]
    fn keys_that_are_disabled_and_enabled_are_said_to_be_so() {
        let with = |off: bool| json!({"keys": ["sk-a", {"key": "sk-b", "disabled": off}]});
        let off = changes(&with(false), &with(true)).1;
        assert_eq!(
            off.applied,
            ["the key key-2 of the default pool is disabled"]
        );
        let on = changes(&with(true), &with(false)).1;
        assert_eq!(on.applied, ["the key key-2 of the default pool is enabled"]);
    }

    #[test]
    fn what_is_the_same_is_no_change() {
        let same = json!({"keys": ["a", "b"], "session_rules": [{"header": "x-chat"}],
                          "client_tokens": ["a-long-random-text"]});
        assert_eq!(changes(&same, &same).1, Changes::default());
    }

    #[test]
    fn settings_that_differ_are_named() {
        let (_, changes) = changes(
            &json!({"keys": ["a"]}),
            &json!({"keys": ["a"], "max_wait_ms": 1, "session_rules": [{"header": "x"}], "log": "off"}),
        );
        assert_eq!(
            changes.applied,
            [
                "`max_wait_ms` is another",
                "`session_rules` is another",
                "`log` is another"
            ]
        );
    }

    #[test]
    fn where_it_listens_stays_until_a_restart_and_the_rest_counts() {
        let (config, changes) = changes(
            &json!({"keys": ["a"], "port": 4600, "workers": 2}),
            &json!({"keys": ["a"], "port": 4601, "workers": 3, "host": "127.0.0.1", "max_sessions": 7}),
        );
        assert_eq!(
            changes.needs_restart,
            [
                "`port` stays 4600",
                "`host` stays 127.0.0.1, ::1",
                "`workers` stays 2"
            ]
        );
        assert_eq!((config.listen.port, config.workers), (4600, 2));
        assert_eq!(config.plan.limits.sessions, 7);
    }

    #[test]
    fn a_proxy_that_others_can_reach_is_never_left_without_tokens() {
        let (config, changes) = changes(
            &json!({"keys": ["a"], "host": "0.0.0.0", "client_tokens": ["a-long-random-text"]}),
            &json!({"keys": ["a"]}),
        );
        assert_eq!(changes.needs_restart.len(), 2, "{changes:?}");
        let guard = &config.plan.guard;
        assert!(guard.beyond_loopback && guard.client_tokens.len() == 1);
    }
}
