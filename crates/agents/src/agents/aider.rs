//! aider: `.aider.conf.yml`, `.aider.model.settings.yml` and `.env`, at home and in the project.
//!
//! Read in `aider-chat` 0.86.2 (`aider/main.py`, `aider/args.py`) and `litellm` 1.81.10, which takes the URL of
//! each provider from a variable. What wins, last: the environment, `.env` files (they overwrite it), `set-env`,
//! `openai-api-base`. It sends no session; its headers are the same for all of them.

use serde_json::Value;

use super::draft::{Draft, elements, instead, text};
use crate::agent::{Agent, Candidate, Document, Machine, Proposal};
use crate::aim::{Aim, Lead};
use crate::text::{Format, Path};

/// aider.
#[derive(Debug)]
pub(super) struct Aider;

/// A provider that litellm brings along.
struct BuiltIn {
    /// What `api-key: NAME=…` calls it.
    id: &'static str,
    key: &'static str,
    /// The variables its URL is taken from; the first is the one to set.
    bases: &'static [&'static str],
    url: &'static str,
}

const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        id: "openai",
        key: "OPENAI_API_KEY",
        bases: &[
            "OPENAI_API_BASE",
            "OPENAI_BASE_URL",
            "AIDER_OPENAI_API_BASE",
        ],
        url: "https://api.openai.com/v1",
    },
    BuiltIn {
        id: "anthropic",
        key: "ANTHROPIC_API_KEY",
        bases: &["ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL"],
        url: "https://api.anthropic.com",
    },
    BuiltIn {
        id: "openrouter",
        key: "OPENROUTER_API_KEY",
        bases: &["OPENROUTER_API_BASE"],
        url: "https://openrouter.ai/api/v1",
    },
    BuiltIn {
        id: "deepseek",
        key: "DEEPSEEK_API_KEY",
        bases: &["DEEPSEEK_API_BASE"],
        url: "https://api.deepseek.com/beta",
    },
    BuiltIn {
        id: "zai",
        key: "ZAI_API_KEY",
        bases: &["ZAI_API_BASE"],
        url: "https://api.z.ai/api/paas/v4",
    },
    BuiltIn {
        id: "moonshot",
        key: "MOONSHOT_API_KEY",
        bases: &["MOONSHOT_API_BASE"],
        url: "https://api.moonshot.ai/v1",
    },
    BuiltIn {
        id: "groq",
        key: "GROQ_API_KEY",
        bases: &["GROQ_API_BASE"],
        url: "https://api.groq.com/openai/v1",
    },
    BuiltIn {
        id: "xai",
        key: "XAI_API_KEY",
        bases: &["XAI_API_BASE"],
        url: "https://api.x.ai/v1",
    },
];

const CONFIG: &str = ".aider.conf.yml";
const MODELS: &str = ".aider.model.settings.yml";
const ENV: &str = ".env";
const BASE: &str = "openai-api-base";
const SET_ENV: &str = "set-env";

impl Agent for Aider {
    fn id(&self) -> &'static str {
        "aider"
    }

    fn name(&self) -> &'static str {
        "aider"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["aider"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        [Some(&machine.home), machine.project.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(|directory| {
                [
                    (ENV, Format::Dotenv, false),
                    (MODELS, Format::Yaml, true),
                    (CONFIG, Format::Yaml, true),
                ]
                .map(|(name, format, evidence)| Candidate {
                    path: directory.join(name),
                    format,
                    evidence,
                })
            })
            .collect()
    }

    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal {
        let mut draft = Draft::new(aim, machine, documents);
        for document in documents {
            match document.format {
                Format::Dotenv => dotenv(&mut draft, document),
                _ => {
                    draft.urls(
                        document,
                        &Path::default(),
                        |name| name == BASE || name == "api_base",
                        |_| false,
                    );
                    set_env(&mut draft, document);
                }
            }
        }
        for provider in BUILT_IN {
            draft.environment(provider.bases, "");
            default(&mut draft, provider);
        }
        draft.finish()
    }

    fn restart(&self) -> &'static str {
        "aider sessions"
    }
}

fn is(document: &Document, name: &str) -> bool {
    document.path.file_name().is_some_and(|file| file == name)
}

fn is_base(name: &str) -> bool {
    name.ends_with("_API_BASE") || name.ends_with("_BASE_URL")
}

/// The lines of a `.env`. A project's is its programs' too: it is changed only if it shows that aider is meant.
fn dotenv(draft: &mut Draft<'_>, document: &Document) {
    if aiders(draft, document) {
        draft.urls(document, &Path::default(), is_base, |_| false);
        return;
    }
    let Value::Object(lines) = &document.value else {
        return;
    };
    for (name, url) in lines.iter().filter(|(name, _)| is_base(name)) {
        if let Some(to) = url.as_str().and_then(|url| instead(draft.aim, url, "")) {
            draft.note(format!(
                "The project's .env is read by aider too, and is left alone because it may be meant for \
                 other programs. To use the pool there: {name}={to}"
            ));
        }
    }
}

/// Whether the file may be changed for aider alone.
fn aiders(draft: &Draft<'_>, document: &Document) -> bool {
    if draft.machine.project.as_deref() != document.path.parent() {
        return true;
    }
    let beside = |other: &Document| {
        (is(other, CONFIG) || is(other, MODELS)) && other.path.parent() == document.path.parent()
    };
    let named = matches!(&document.value, Value::Object(lines)
        if lines.keys().any(|name| name.starts_with("AIDER_")));
    named || draft.documents.iter().any(beside)
}

/// `NAME=URL`, once or in a list.
fn set_env(draft: &mut Draft<'_>, document: &Document) {
    for at in settings(document) {
        let Some((name, url)) = at
            .find(&document.value)
            .and_then(Value::as_str)
            .and_then(|setting| setting.split_once('='))
        else {
            continue;
        };
        if let Lead::To(to) = draft.aim.lead(url.trim())
            && is_base(name.trim())
        {
            draft.set(&document.path, document.format, at, format!("{name}={to}"));
        }
    }
}

/// Where `set-env` says something.
fn settings(document: &Document) -> Vec<Path> {
    let at = Path::of(&[SET_ENV]);
    match at.find(&document.value) {
        Some(Value::String(_)) => vec![at],
        _ => elements(&document.value, &at),
    }
}

/// Gives a provider that litellm brings along its URL, where aider has a key for it and no URL is said.
fn default(draft: &mut Draft<'_>, provider: &BuiltIn) {
    let Some(url) = instead(draft.aim, provider.url, "") else {
        return;
    };
    let (documents, base) = (draft.documents, provider.bases[0]);
    if draft.has_var(provider.bases) || documents.iter().any(|found| says_base(found, provider)) {
        return;
    }
    if let Some(config) = documents
        .iter()
        .rfind(|found| is(found, CONFIG) && config_has_key(&found.value, provider))
    {
        if provider.id == "openai" {
            draft.add(config, Path::of(&[BASE]), url);
        } else if settings(config).is_empty() {
            draft.add(config, Path::of(&[SET_ENV]), format!("{base}={url}"));
        } else {
            draft.note(format!(
                "To use the pool for {}, add {base}={url} to {SET_ENV} in {}.",
                provider.id,
                config.path.display()
            ));
        }
    } else if let Some(env) = documents.iter().rfind(|found| {
        is(found, ENV) && text(&found.value, &[provider.key]).is_some() && aiders(draft, found)
    }) {
        draft.add(env, Path::of(&[base]), url);
    } else if draft.has_var(&[provider.key]) {
        draft.line(base, url);
    }
}

/// Whether the file says where the provider is.
fn says_base(document: &Document, provider: &BuiltIn) -> bool {
    let value = &document.value;
    (provider.id == "openai" && text(value, &[BASE]).is_some())
        || provider
            .bases
            .iter()
            .any(|base| text(value, &[base]).is_some())
        || settings(document).iter().any(|at| {
            at.find(value)
                .and_then(Value::as_str)
                .and_then(|setting| setting.split_once('='))
                .is_some_and(|(name, _)| provider.bases.contains(&name.trim()))
        })
}

/// Whether `.aider.conf.yml` has a key of the provider: `openai-api-key`, or one of `api-key`.
fn config_has_key(config: &Value, provider: &BuiltIn) -> bool {
    let of = |setting: &Value| {
        setting
            .as_str()
            .and_then(|setting| setting.split_once('='))
            .is_some_and(|(name, _)| name.trim().eq_ignore_ascii_case(provider.id))
    };
    let named = matches!(provider.id, "openai" | "anthropic")
        && text(config, &[&format!("{}-api-key", provider.id)]).is_some();
    named
        || match config.get("api-key") {
            Some(Value::Array(list)) => list.iter().any(of),
            Some(one) => of(one),
            None => false,
        }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;
    use crate::agents::testing::{aim, changes, document, machine, machine_with};

    fn config(value: Value) -> Document {
        document("/home/me/.aider.conf.yml", value)
    }

    #[test]
    fn the_config_file_may_say_it_in_two_ways() {
        let proposal = Aider.propose(
            &aim(),
            &machine(),
            &[config(json!({
                "openai-api-base": "https://api.z.ai/api/coding/paas/v4",
                "set-env": ["OPENROUTER_API_BASE=https://openrouter.ai/api/v1",
                    "OPENAI_API_BASE = https://api.openai.com/v1"],
            }))],
        );
        assert_eq!(
            changes(&proposal),
            json!({
                "openai-api-base": "http://127.0.0.1:4577/api/coding/paas/v4",
                "set-env[1]": "OPENAI_API_BASE =http://127.0.0.1:4577/openai/v1",
            })
        );
    }

    #[test]
    fn a_key_without_a_url_gets_the_url_of_the_pool_beside_it() {
        let openai = config(json!({"openai-api-key": "k", "model": "gpt"}));
        assert_eq!(
            changes(&Aider.propose(&aim(), &machine(), &[openai])),
            json!({"openai-api-base": "http://127.0.0.1:4577/openai/v1"})
        );
        let zai = config(json!({"api-key": ["groq=k", "zai=k"]}));
        assert_eq!(
            changes(&Aider.propose(&aim(), &machine(), &[zai])),
            json!({"set-env": "ZAI_API_BASE=http://127.0.0.1:4577/api/paas/v4"})
        );
        let env = document("/home/me/.env", json!({"ZAI_API_KEY": "k"}));
        assert_eq!(
            changes(&Aider.propose(&aim(), &machine(), &[env])),
            json!({"ZAI_API_BASE": "http://127.0.0.1:4577/api/paas/v4"})
        );
        let proposal = Aider.propose(&aim(), &machine_with(&[("ZAI_API_KEY", "k")]), &[]);
        assert_eq!(
            proposal.environment,
            [(
                "ZAI_API_BASE".to_owned(),
                "http://127.0.0.1:4577/api/paas/v4".to_owned()
            )]
        );
        assert_eq!(Aider.propose(&aim(), &machine(), &[]), Proposal::default());
    }

    #[test]
    fn a_url_that_leads_elsewhere_is_what_the_person_wants() {
        let here = config(json!({
            "openai-api-key": "k",
            "openai-api-base": "https://example.com/v1",
        }));
        assert_eq!(
            Aider.propose(&aim(), &machine(), &[here]),
            Proposal::default()
        );
    }

    #[test]
    fn a_projects_env_is_changed_only_if_it_is_aiders() {
        let machine = Machine {
            project: Some(PathBuf::from("/home/me/p")),
            ..machine()
        };
        let env = |value| document("/home/me/p/.env", value);
        let url = "https://api.openai.com/v1";
        let proposal = Aider.propose(&aim(), &machine, &[env(json!({"OPENAI_BASE_URL": url}))]);
        assert_eq!(changes(&proposal), json!({}));
        assert_eq!(proposal.notes.len(), 1);
        let proposal = Aider.propose(
            &aim(),
            &machine,
            &[env(json!({"OPENAI_BASE_URL": url, "AIDER_MODEL": "gpt"}))],
        );
        assert_eq!(
            changes(&proposal),
            json!({"OPENAI_BASE_URL": "http://127.0.0.1:4577/openai/v1"})
        );
    }
}
