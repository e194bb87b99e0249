//! Gemini CLI: `GOOGLE_GEMINI_BASE_URL` in a `.env` file.
//!
//! Source: @google/gemini-cli 0.61.0, run and read (findEnvFile, contentGenerator). Of all `.env` files it reads
//! one, the first that is there: `.gemini/.env` or `.env` of the project and the directories above it, then
//! those of the home directory. A variable of the shell wins over it. It accepts plain `http` to loopback and
//! has no way to send a session id.

use std::path::PathBuf;

use super::draft::{Draft, instead, text};
use crate::agent::{Agent, Candidate, Document, Machine, Proposal};
use crate::aim::Aim;
use crate::text::{Format, Path};

const DEFAULT: &str = "https://generativelanguage.googleapis.com";
/// What the client adds to its base URL.
const ADDS: &str = "/v1beta";
const VARIABLE: &str = "GOOGLE_GEMINI_BASE_URL";
const KEY: &str = "GEMINI_API_KEY";

/// Gemini CLI.
#[derive(Debug)]
pub(super) struct GeminiCli;

fn home(machine: &Machine) -> PathBuf {
    machine
        .var("GEMINI_CLI_HOME")
        .map_or_else(|| machine.home.clone(), PathBuf::from)
}

impl Agent for GeminiCli {
    fn id(&self) -> &'static str {
        "gemini-cli"
    }

    fn name(&self) -> &'static str {
        "Gemini CLI"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["gemini"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        let file = |path: PathBuf, format, evidence| Candidate {
            path,
            format,
            evidence,
        };
        let home = home(machine);
        let own = home.join(".gemini");
        let mut found = vec![
            file(own.join("oauth_creds.json"), Format::Json, true),
            file(own.join("settings.json"), Format::Json, true),
            file(home.join(".env"), Format::Dotenv, false),
            file(own.join(".env"), Format::Dotenv, true),
        ];
        if let Some(project) = &machine.project {
            let own = project.join(".gemini");
            found.push(file(own.join("settings.json"), Format::Json, false));
            found.push(file(project.join(".env"), Format::Dotenv, false));
            found.push(file(own.join(".env"), Format::Dotenv, false));
        }
        found
    }

    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal {
        let mut draft = Draft::new(aim, machine, documents);
        let variables = || {
            documents
                .iter()
                .filter(|found| found.format == Format::Dotenv)
        };
        for document in variables() {
            draft.root(document, &Path::of(&[VARIABLE]), ADDS);
        }
        draft.environment(&[VARIABLE], ADDS);

        let has = |name: &str| {
            machine.var(name).is_some()
                || variables().any(|found| text(&found.value, &[name]).is_some())
        };
        let Some(to) = instead(aim, DEFAULT, ADDS).filter(|_| !has(VARIABLE)) else {
            return draft.finish();
        };
        let own = home(machine).join(".gemini").join(".env");
        let shared = home(machine).join(".env");
        let kind = documents
            .iter()
            .filter_map(|found| {
                text(&found.value, &["security", "auth", "selectedType"])
                    .or_else(|| text(&found.value, &["selectedAuthType"]))
            })
            .next_back();
        match kind {
            Some(
                "oauth-personal"
                | "login-with-google"
                | "cloud-shell"
                | "compute-default-credentials",
            ) => {
                draft.note(format!(
                    "Gemini CLI is logged in with Google, which is left as it is. To use the pool's keys instead, choose \
                     an API key with /auth, and put {VARIABLE}={to} and {KEY}=pool into {}.",
                    own.display()
                ));
            }
            Some("vertex-ai") => {}
            _ if kind == Some("gemini-api-key") || has(KEY) => {
                // A new file of its own would hide the shared one with the key in it.
                let holds_key = |path| {
                    draft
                        .document(path)
                        .is_some_and(|found| text(&found.value, &[KEY]).is_some())
                };
                let place = if draft.document(&own).is_none() && holds_key(&shared) {
                    shared
                } else {
                    own
                };
                if let Some(hides) = variables()
                    .filter(|found| {
                        machine
                            .project
                            .as_ref()
                            .is_some_and(|dir| found.path.starts_with(dir))
                    })
                    .filter(|found| found.path != place && found.path.parent() != place.parent())
                    .map(|found| found.path.display().to_string())
                    .next_back()
                {
                    draft.note(format!(
                        "In this project Gemini CLI reads {hides} and no other file of this kind: put {VARIABLE}={to} \
                         there too."
                    ));
                }
                draft.set(&place, Format::Dotenv, Path::of(&[VARIABLE]), to);
            }
            _ => {}
        }
        draft.finish()
    }

    fn restart(&self) -> &'static str {
        "Gemini CLI"
    }
}
