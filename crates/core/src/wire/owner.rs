//! Which account an answer says it was given to.

use http::HeaderMap;

use super::signals::Signals;
use crate::plan::AccountId;
use crate::provider::Provider;

/// Headers that name the account that limits are counted against, by provider. Only its own
/// provider is believed: a gateway passes on whose account it used itself.
/// Sources: Anthropic's workspaces page; OpenAI's API reference.
const HEADERS: &[(&str, &str)] = &[
    ("anthropic", "anthropic-organization-id"),
    ("openai", "openai-organization"),
];
/// Providers whose error messages name the organisation or team that a limit belongs to.
/// Sources: recorded refusals of OpenAI, Groq, xAI and Anthropic.
const IN_MESSAGES: &[&str] = &["openai", "groq", "xai", "anthropic"];
/// Longest name, in bytes; real ones have some forty.
const MAX_NAME: usize = 128;

/// The account that the answer names, if its provider is one that names it.
pub fn of_answer(provider: &Provider, headers: &HeaderMap, signals: &Signals) -> Option<AccountId> {
    let (_, header) = HEADERS
        .iter()
        .find(|(name, _)| *name == provider.name)
        .copied()
        .unwrap_or_default();
    let header = if header.is_empty() {
        None
    } else {
        headers
            .get(header)
            .map(|value| value.as_bytes().trim_ascii())
    };
    let in_message = || {
        let names = IN_MESSAGES.contains(&provider.name);
        names
            .then(|| signals.accounts.first())?
            .map(|name| name.trim().as_bytes())
    };
    let owner = header.or_else(in_message)?;
    let sane = !owner.is_empty() && owner.len() <= MAX_NAME;
    sane.then(|| AccountId::discovered(provider.name, owner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::of_host;

    fn owner(
        host: &str,
        header: Option<(&'static str, &str)>,
        in_text: &[&str],
    ) -> Option<AccountId> {
        let mut headers = HeaderMap::new();
        if let Some((name, value)) = header {
            headers.insert(name, value.parse().unwrap());
        }
        let signals = Signals {
            accounts: in_text.iter().map(|name| (*name).to_owned()).collect(),
            ..Signals::default()
        };
        of_answer(
            of_host(host).unwrap_or(&crate::provider::UNKNOWN),
            &headers,
            &signals,
        )
    }

    #[test]
    fn an_account_is_known_by_its_header_or_by_the_name_in_a_refusal() {
        let header = Some(("openai-organization", "org-one"));
        let one = owner("api.openai.com", header, &[]);
        assert!(one.is_some());
        assert_eq!(owner("api.openai.com", None, &["org-one"]), one);
        assert_ne!(owner("api.openai.com", None, &["org-two"]), one);
        let team = owner("api.x.ai", None, &["team-one"]);
        assert!(team.is_some() && team != one);
    }

    #[test]
    fn only_its_own_provider_is_believed() {
        let header = Some(("openai-organization", "org-one"));
        assert_eq!(owner("openrouter.ai", header, &["org-one"]), None);
        assert_eq!(owner("gateway.example", header, &["org-one"]), None);
        assert_eq!(owner("api.openai.com", None, &[""]), None);
    }
}
