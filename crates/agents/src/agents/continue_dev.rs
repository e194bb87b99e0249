//! Continue: `config.yaml`, the older `config.json`, and the files of models and agents beside them and in the
//! project.
//!
//! Read in continuedev/continue at d0a3c0b (`core/util/paths.ts`, `core/config/**`,
//! `packages/config-yaml/src/schemas/models.ts`, `packages/openai-adapters/src/index.ts`) and run with
//! `@continuedev/cli` 1.5.47: a model's `apiBase` wins over the URL that Continue brings along for the provider.
//! It sends no session; its headers are the same for all of them.

use std::path::PathBuf;

use serde_json::Value;

use super::draft::{Draft, instead};
use crate::agent::{Agent, Candidate, Document, Machine, Proposal};
use crate::aim::Aim;
use crate::text::{Format, Path};

/// Continue; `continue` is a word of the language.
#[derive(Debug)]
pub(super) struct ContinueDev;

/// What `provider` says, and the URL it stands for.
const BUILT_IN: &[(&str, &str)] = &[
    ("openai", "https://api.openai.com/v1/"),
    ("anthropic", "https://api.anthropic.com/v1/"),
    ("openrouter", "https://openrouter.ai/api/v1/"),
    ("zAI", "https://api.z.ai/api/paas/v4/"),
    ("deepseek", "https://api.deepseek.com/"),
    ("xAI", "https://api.x.ai/v1/"),
    ("groq", "https://api.groq.com/openai/v1/"),
    ("mistral", "https://api.mistral.ai/v1/"),
    ("together", "https://api.together.xyz/v1/"),
    ("fireworks", "https://api.fireworks.ai/inference/v1/"),
    ("cerebras", "https://api.cerebras.ai/v1/"),
    (
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/",
    ),
];

/// Directories of a `.continue` directory all of whose files are read.
const DIRECTORIES: [&str; 4] = ["models", "agents", "assistants", "configs"];

impl Agent for ContinueDev {
    fn id(&self) -> &'static str {
        "continue"
    }

    fn name(&self) -> &'static str {
        "Continue"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["cn"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        let home = home(machine);
        let mut found = vec![
            candidate(home.join("config.json"), Format::Json),
            candidate(home.join("config.yaml"), Format::Yaml),
        ];
        if let Some(project) = &machine.project {
            found.push(candidate(project.join(".continuerc.json"), Format::Json));
        }
        found
    }

    fn patterns(&self, machine: &Machine) -> Vec<Candidate> {
        let project = machine.project.as_ref().map(|path| path.join(".continue"));
        [Some(home(machine)), project]
            .into_iter()
            .flatten()
            .flat_map(|directory| DIRECTORIES.map(|name| directory.join(name)))
            .flat_map(|directory| [directory.join("*.yaml"), directory.join("*.yml")])
            .map(|path| candidate(path, Format::Yaml))
            .collect()
    }

    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal {
        let mut draft = Draft::new(aim, machine, documents);
        for document in documents {
            draft.urls(
                document,
                &Path::default(),
                |name| name == "apiBase",
                |_| false,
            );
            defaults(&mut draft, document, &document.value, &Path::default());
        }
        draft.finish()
    }

    fn restart(&self) -> &'static str {
        "Continue CLI sessions; editors see the change at once"
    }
}

fn home(machine: &Machine) -> PathBuf {
    machine.dir("CONTINUE_GLOBAL_DIR", ".continue")
}

fn candidate(path: PathBuf, format: Format) -> Candidate {
    Candidate {
        path,
        format,
        evidence: true,
    }
}

/// Gives each model that has a key, but no URL, the one of the pool.
fn defaults(draft: &mut Draft<'_>, document: &Document, value: &Value, at: &Path) {
    match value {
        Value::Object(members) => {
            let text = |name: &str| members.get(name).and_then(Value::as_str);
            if !members.contains_key("apiBase")
                && text("apiKey").is_some_and(|key| !key.is_empty())
                && let Some((_, url)) = BUILT_IN
                    .iter()
                    .find(|(provider, _)| text("provider") == Some(provider))
                && let Some(url) = instead(draft.aim, url, "")
            {
                draft.add(document, at.key("apiBase"), url);
            }
            for (name, member) in members {
                defaults(draft, document, member, &at.key(name));
            }
        }
        Value::Array(list) => {
            for (index, element) in list.iter().enumerate() {
                defaults(draft, document, element, &at.index(index));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::agents::testing::{aim, changes, document, machine};

    #[test]
    fn models_with_a_url_are_rewritten_and_those_with_only_a_key_get_one() {
        let config = document(
            "config.yaml",
            json!({"models": [
                {"name": "GLM", "provider": "openai", "apiBase": "https://api.z.ai/api/coding/paas/v4"},
                {"name": "GPT", "provider": "openai", "apiKey": "k"},
                {"name": "GPT, logged in", "provider": "openai"},
                {"name": "Llama", "provider": "ollama", "apiBase": "http://localhost:11434"},
            ]}),
        );
        let proposal = ContinueDev.propose(&aim(), &machine(), &[config]);
        assert_eq!(
            changes(&proposal),
            json!({
                "models[0].apiBase": "http://127.0.0.1:4577/api/coding/paas/v4",
                "models[1].apiBase": "http://127.0.0.1:4577/openai/v1/",
            })
        );
    }

    #[test]
    fn the_older_file_has_models_at_more_places() {
        let config = document(
            "config.json",
            json!({
                "models": [],
                "tabAutocompleteModel": {"provider": "zAI", "apiKey": "k"},
                "embeddingsProvider": {"provider": "openai", "apiBase": "https://api.openai.com/v1/"},
            }),
        );
        let proposal = ContinueDev.propose(&aim(), &machine(), &[config]);
        assert_eq!(
            changes(&proposal),
            json!({
                "tabAutocompleteModel.apiBase": "http://127.0.0.1:4577/api/paas/v4/",
                "embeddingsProvider.apiBase": "http://127.0.0.1:4577/openai/v1/",
            })
        );
    }
}
