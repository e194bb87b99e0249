//! GitHub Copilot CLI: variables of the environment, nothing else.
//!
//! Run with `@github/copilot` 1.0.102: a provider of one's own is named by `COPILOT_PROVIDER_*` only. The
//! session is sent by the Responses dialect only (`prompt_cache_key`).

use crate::agent::{Agent, Candidate, Document, Machine, Proposal};
use crate::aim::{Aim, Lead};
use crate::text::Format;

/// GitHub Copilot CLI.
#[derive(Debug)]
pub(super) struct Copilot;

const URL: &str = "COPILOT_PROVIDER_BASE_URL";
const DIALECT: &str = "COPILOT_PROVIDER_WIRE_API";
const KIND: &str = "COPILOT_PROVIDER_TYPE";

/// Hosts of which it is known that they speak the Responses dialect.
const RESPONSES: &[&str] = &["api.openai.com", "openrouter.ai", "api.x.ai"];

impl Agent for Copilot {
    fn id(&self) -> &'static str {
        "copilot"
    }

    fn name(&self) -> &'static str {
        "GitHub Copilot CLI"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["copilot"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        // Nothing in it leads anywhere, but it shows that the agent is in use.
        vec![Candidate {
            path: machine.home.join(".copilot/config.json"),
            format: Format::Json,
            evidence: true,
        }]
    }

    fn propose(&self, aim: &Aim, machine: &Machine, _documents: &[Document]) -> Proposal {
        let mut proposal = Proposal::default();
        let Some(url) = machine.var(URL) else {
            proposal.notes.push(format!(
                "Copilot CLI uses GitHub's models. To use the pool instead, set {URL} to the proxy's URL \
                 with the provider's path behind it, {KIND}, COPILOT_PROVIDER_API_KEY (any text) and \
                 COPILOT_MODEL in your shell profile."
            ));
            return proposal;
        };
        match aim.lead(url) {
            Lead::To(to) => proposal.environment.push((URL.to_owned(), to)),
            Lead::Already => proposal.already = true,
            Lead::Elsewhere => return proposal,
        }
        if machine.var(KIND).is_some_and(|kind| kind != "openai") || machine.var(DIALECT).is_some()
        {
            return proposal;
        }
        let url = url.to_ascii_lowercase();
        if RESPONSES.iter().any(|host| url.contains(host)) {
            proposal
                .environment
                .push((DIALECT.to_owned(), "responses".to_owned()));
        } else {
            proposal.notes.push(format!(
                "Copilot CLI tells its session only with {DIALECT}=responses. Set it if the provider \
                 has /responses."
            ));
        }
        proposal
    }

    fn restart(&self) -> &'static str {
        "Copilot CLI sessions, from a shell with the new variables"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::testing::{aim, machine, machine_with};

    fn lines(vars: &[(&str, &str)]) -> Vec<(String, String)> {
        Copilot
            .propose(&aim(), &machine_with(vars), &[])
            .environment
    }

    fn line(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn the_url_becomes_a_line_and_the_responses_dialect_too_where_it_is_known_to_work() {
        assert_eq!(
            lines(&[(URL, "https://api.openai.com/v1")]),
            [
                line(URL, "http://127.0.0.1:4577/openai/v1"),
                line(DIALECT, "responses")
            ]
        );
        assert_eq!(
            lines(&[(URL, "https://api.z.ai/api/anthropic"), (KIND, "anthropic")]),
            [line(URL, "http://127.0.0.1:4577/api/anthropic")]
        );
    }

    #[test]
    fn a_url_elsewhere_needs_nothing_and_none_at_all_is_explained() {
        assert_eq!(
            Copilot.propose(
                &aim(),
                &machine_with(&[(URL, "https://example.com/v1")]),
                &[]
            ),
            Proposal::default()
        );
        assert_eq!(Copilot.propose(&aim(), &machine(), &[]).notes.len(), 1);
    }
}
