//! Claude Code: `settings.json`, member `env`.
//!
//! Source: the package @anthropic-ai/claude-code 2.1.330, run; its documentation of settings. Later files win:
//! the user's settings, the project's, the project's local ones, those an administrator manages. A variable in
//! them wins over one of the shell (since 2.0.1: anthropics/claude-code issue 8500). The client adds
//! `/v1/messages` to its base URL. It sends its session id by itself.

use std::path::PathBuf;

use super::draft::{Draft, instead, text};
use crate::agent::{Agent, Candidate, Document, Machine, Os, Proposal};
use crate::aim::Aim;
use crate::text::{Format, Path};

const DEFAULT: &str = "https://api.anthropic.com";
/// What the client adds to its base URL.
const ADDS: &str = "/v1";
const VARIABLE: &str = "ANTHROPIC_BASE_URL";
/// Variables with a key, and the one with a subscription's token.
const KEYS: &[&str] = &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"];
const LOGIN: &str = "CLAUDE_CODE_OAUTH_TOKEN";
/// Variables that choose another way to the models.
const OTHER_WAYS: &[&str] = &[
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_USE_FOUNDRY",
];

/// Claude Code.
#[derive(Debug)]
pub(super) struct ClaudeCode;

fn directory(machine: &Machine) -> PathBuf {
    machine.dir("CLAUDE_CONFIG_DIR", ".claude")
}

/// Where its account data is: beside the directory, unless that was moved.
fn account(machine: &Machine) -> PathBuf {
    machine.var("CLAUDE_CONFIG_DIR").map_or_else(
        || machine.home.join(".claude.json"),
        |dir| PathBuf::from(dir).join(".claude.json"),
    )
}

fn managed(os: Os) -> PathBuf {
    PathBuf::from(match os {
        Os::Linux => "/etc/claude-code/managed-settings.json",
        Os::MacOs => "/Library/Application Support/ClaudeCode/managed-settings.json",
        Os::Windows => r"C:\Program Files\ClaudeCode\managed-settings.json",
    })
}

impl Agent for ClaudeCode {
    fn id(&self) -> &'static str {
        "claude-code"
    }

    fn name(&self) -> &'static str {
        "Claude Code"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["claude"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        let json = |path: PathBuf, evidence| Candidate {
            path,
            format: Format::Json,
            evidence,
        };
        let own = directory(machine);
        let mut found = vec![
            json(account(machine), true),
            json(own.join(".credentials.json"), true),
            json(own.join("settings.json"), true),
        ];
        if let Some(project) = &machine.project {
            let project = project.join(".claude");
            found.push(json(project.join("settings.json"), false));
            found.push(json(project.join("settings.local.json"), false));
        }
        found.push(json(managed(machine.os), true));
        found
    }

    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal {
        let mut draft = Draft::new(aim, machine, documents);
        let managed = managed(machine.os);
        let (account, credentials) = (
            account(machine),
            directory(machine).join(".credentials.json"),
        );
        let settings = documents
            .iter()
            .filter(|found| found.path != account && found.path != credentials);
        let is_set = |names: &[&str]| {
            names.iter().any(|name| {
                machine.var(name).is_some()
                    || settings
                        .clone()
                        .any(|found| text(&found.value, &["env", name]).is_some())
            })
        };
        for document in settings.clone() {
            let place = Path::of(&["env", VARIABLE]);
            if document.path != managed {
                draft.root(document, &place, ADDS);
            } else if text(&document.value, &["env", VARIABLE])
                .and_then(|url| instead(aim, url, ADDS))
                .is_some()
            {
                draft.note(format!(
                    "{} sets {VARIABLE} and wins over every other file: an administrator must change it there.",
                    managed.display()
                ));
            }
        }
        let in_a_file = settings
            .clone()
            .any(|found| text(&found.value, &["env", VARIABLE]).is_some());
        if !in_a_file {
            draft.environment(&[VARIABLE], ADDS);
        }

        let found = |path: &std::path::Path, keys: &[&str]| {
            draft
                .document(path)
                .is_some_and(|found| Path::of(keys).find(&found.value).is_some())
        };
        let key = is_set(KEYS)
            || settings
                .clone()
                .any(|found| text(&found.value, &["apiKeyHelper"]).is_some())
            || found(&account, &["primaryApiKey"]);
        let login = is_set(&[LOGIN])
            || found(&credentials, &["claudeAiOauth"])
            || found(&account, &["oauthAccount"]);
        if draft.leads() {
            if !key && !login {
                draft.note(
                    "Claude Code asks for a login as long as it has no key: put \"ANTHROPIC_AUTH_TOKEN\" with any text \
                     into \"env\" of its settings.json. The proxy replaces it by a key of the pool.",
                );
            }
        } else if let Some(to) = instead(aim, DEFAULT, ADDS) {
            let by_default = !is_set(&[VARIABLE]) && !is_set(OTHER_WAYS);
            let place = directory(machine).join("settings.json");
            if by_default && key {
                draft.set(&place, Format::Json, Path::of(&["env", VARIABLE]), to);
            } else if by_default && login {
                draft.note(format!(
                    "Claude Code is logged in with a subscription, which is left as it is. To use the pool's keys \
                     instead of the subscription, put \"{VARIABLE}\": \"{to}\" into \"env\" of {}.",
                    place.display()
                ));
            } else if by_default {
                draft.note(format!(
                    "Claude Code has neither a key nor a login that can be seen here. To use the pool, put \
                     \"{VARIABLE}\": \"{to}\" and \"ANTHROPIC_AUTH_TOKEN\": \"pool\" into \"env\" of {}.",
                    place.display()
                ));
            }
        }
        draft.finish()
    }

    fn restart(&self) -> &'static str {
        "Claude Code sessions"
    }
}
