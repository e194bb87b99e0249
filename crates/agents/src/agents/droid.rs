//! Factory droid: `settings.json`, `settings.local.json` and the older `config.json` of `.factory`, at home and
//! in the project.
//!
//! Read in docs.factory.ai (`cli/byok`, `enterprise/hierarchical-settings-and-org-control`) and run with droid
//! 0.215.0: models of one's own are entries of `customModels` (`custom_models` in `config.json`) and nothing
//! else has a URL. The session is sent by the Responses dialect only; no setting changes that.

use super::draft::Draft;
use crate::agent::{Agent, Candidate, Document, Machine, Proposal};
use crate::aim::Aim;
use crate::text::{Format, Path};

/// Factory droid.
#[derive(Debug)]
pub(super) struct Droid;

impl Agent for Droid {
    fn id(&self) -> &'static str {
        "droid"
    }

    fn name(&self) -> &'static str {
        "Factory droid"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["droid"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        [Some(&machine.home), machine.project.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(|directory| {
                ["config.json", "settings.json", "settings.local.json"]
                    .map(|name| directory.join(".factory").join(name))
            })
            .map(|path| Candidate {
                path,
                format: Format::Json,
                evidence: true,
            })
            .collect()
    }

    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal {
        let mut draft = Draft::new(aim, machine, documents);
        for document in documents {
            draft.urls(
                document,
                &Path::default(),
                |name| name == "baseUrl" || name == "base_url",
                |_| false,
            );
        }
        draft.finish()
    }

    fn restart(&self) -> &'static str {
        "droid sessions"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::agents::testing::{aim, changes, document, machine};

    #[test]
    fn both_spellings_are_rewritten_and_other_models_stay() {
        let settings = document(
            ".factory/settings.json",
            json!({"customModels": [
                {"model": "glm-5.3", "baseUrl": "https://api.z.ai/api/anthropic", "provider": "anthropic"},
                {"model": "local", "baseUrl": "http://127.0.0.1:11434/v1"},
            ]}),
        );
        let config = document(
            ".factory/config.json",
            json!({"custom_models": [{"model": "gpt", "base_url": "https://api.openai.com/v1"}]}),
        );
        let proposal = Droid.propose(&aim(), &machine(), &[settings, config]);
        assert_eq!(
            changes(&proposal),
            json!({
                "customModels[0].baseUrl": "http://127.0.0.1:4577/api/anthropic",
                "custom_models[0].base_url": "http://127.0.0.1:4577/openai/v1",
            })
        );
        assert_eq!(proposal.edits.len(), 2);
    }
}
