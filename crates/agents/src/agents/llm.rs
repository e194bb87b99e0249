//! llm: `extra-openai-models.yaml` in its user directory.
//!
//! Read in `llm` 0.36: `llm/default_plugins/openai_models.py` (each entry's `api_base`; without one the `OpenAI`
//! library takes `OPENAI_BASE_URL`), `user_dir` in `llm/__init__.py`, click's `get_app_dir`. It sends no session,
//! and a header that an entry may have is the same for all of them.

use std::path::PathBuf;

use super::draft::{Draft, instead, text};
use crate::agent::{Agent, Candidate, Document, Machine, Os, Proposal};
use crate::aim::Aim;
use crate::text::{Format, Path};

/// llm.
#[derive(Debug)]
pub(super) struct Llm;

const URL: &str = "OPENAI_BASE_URL";

impl Agent for Llm {
    fn id(&self) -> &'static str {
        "llm"
    }

    fn name(&self) -> &'static str {
        "llm"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["llm"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        let directory = directory(machine);
        [
            ("keys.json", Format::Json),
            ("extra-openai-models.yaml", Format::Yaml),
        ]
        .into_iter()
        .map(|(name, format)| Candidate {
            path: directory.join(name),
            format,
            evidence: true,
        })
        .collect()
    }

    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal {
        let mut draft = Draft::new(aim, machine, documents);
        let mut has_key = machine.var("OPENAI_API_KEY").is_some();
        for document in documents {
            if document.format == Format::Yaml {
                draft.urls(
                    document,
                    &Path::default(),
                    |name| name == "api_base",
                    |_| false,
                );
            } else {
                has_key |= text(&document.value, &["openai"]).is_some();
            }
        }
        let given = machine.var(URL);
        let url = given.unwrap_or("https://api.openai.com/v1");
        if let Some(to) = instead(aim, url, "")
            && (given.is_some() || has_key)
        {
            draft.line(URL, to);
            draft.note(format!(
                "llm has no file for the URL of OpenAI's own models: {URL} is for every program that uses \
                 OpenAI's library."
            ));
        }
        draft.finish()
    }

    fn restart(&self) -> &'static str {
        "nothing: llm reads its files each time"
    }
}

fn directory(machine: &Machine) -> PathBuf {
    const NAME: &str = "io.datasette.llm";
    if let Some(directory) = machine.var("LLM_USER_PATH") {
        return PathBuf::from(directory);
    }
    match machine.os {
        Os::Linux => machine.xdg_config().join(NAME),
        Os::MacOs => machine.home.join("Library/Application Support").join(NAME),
        Os::Windows => machine.dir("APPDATA", "AppData/Roaming").join(NAME),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::agents::testing::{aim, changes, document, machine, machine_with};

    #[test]
    fn each_entry_of_the_list_is_rewritten() {
        let models = document(
            "extra-openai-models.yaml",
            json!([
                {"model_id": "glm", "model_name": "glm-5.3", "api_base": "https://api.z.ai/api/paas/v4"},
                {"model_id": "local", "model_name": "x", "api_base": "http://localhost:8080"},
                {"model_id": "gpt", "model_name": "gpt", "api_base": "https://api.openai.com/v1"},
            ]),
        );
        let proposal = Llm.propose(&aim(), &machine(), &[models]);
        assert_eq!(
            changes(&proposal),
            json!({
                "[0].api_base": "http://127.0.0.1:4577/api/paas/v4",
                "[2].api_base": "http://127.0.0.1:4577/openai/v1",
            })
        );
        assert!(proposal.environment.is_empty());
    }

    #[test]
    fn its_own_models_need_a_variable_and_get_one_only_with_a_key() {
        let keys = document("keys.json", json!({"openai": "k"}));
        let proposal = Llm.propose(&aim(), &machine(), &[keys]);
        assert_eq!(
            proposal.environment,
            [(URL.to_owned(), "http://127.0.0.1:4577/openai/v1".to_owned())]
        );
        assert_eq!(Llm.propose(&aim(), &machine(), &[]), Proposal::default());
        let set = machine_with(&[(URL, "https://example.com/v1"), ("OPENAI_API_KEY", "k")]);
        assert_eq!(Llm.propose(&aim(), &set, &[]), Proposal::default());
    }

    #[test]
    fn each_system_has_its_place() {
        let place = |os| Llm.candidates(&Machine { os, ..machine() })[1].path.clone();
        assert_eq!(
            place(Os::Linux),
            PathBuf::from("/home/me/.config/io.datasette.llm/extra-openai-models.yaml")
        );
        assert_eq!(
            place(Os::MacOs),
            PathBuf::from(
                "/home/me/Library/Application Support/io.datasette.llm/extra-openai-models.yaml"
            )
        );
        assert_eq!(
            place(Os::Windows),
            PathBuf::from("/home/me/AppData/Roaming/io.datasette.llm/extra-openai-models.yaml")
        );
    }
}
