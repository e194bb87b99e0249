//! The providers that the first run of `setup` offers, and what pooling keys means with each.

/// A provider to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// What people call it.
    pub(crate) name: &'static str,
    /// The base URL that agents' paths are put behind.
    pub(crate) target: &'static str,
    /// What its limits count against, as its documentation says.
    counts: &'static str,
    /// Whether its terms are known to forbid getting around limits. That nothing is known permits nothing.
    forbids: bool,
}

const fn offer(
    name: &'static str,
    target: &'static str,
    counts: &'static str,
    forbids: bool,
) -> Offer {
    Offer {
        name,
        target,
        counts,
        forbids,
    }
}

/// In the order in which they are offered.
pub(crate) const OFFERS: [Offer; 14] = [
    offer(
        "Z.ai (coding plan or API)",
        "https://api.z.ai",
        "subscription",
        false,
    ),
    offer(
        "OpenRouter",
        "https://openrouter.ai/api/v1",
        "account",
        true,
    ),
    offer("OpenAI", "https://api.openai.com", "organization", true),
    offer(
        "Anthropic",
        "https://api.anthropic.com",
        "organization",
        false,
    ),
    offer(
        "Kimi (Moonshot platform)",
        "https://api.moonshot.ai",
        "organization",
        false,
    ),
    offer(
        "Kimi Code (membership)",
        "https://api.kimi.com",
        "membership",
        false,
    ),
    offer("DeepSeek", "https://api.deepseek.com", "account", false),
    offer(
        "Google Gemini",
        "https://generativelanguage.googleapis.com",
        "project",
        true,
    ),
    offer("MiniMax", "https://api.minimax.io", "account", false),
    offer("Mistral", "https://api.mistral.ai", "organization", false),
    offer("xAI", "https://api.x.ai", "team", true),
    offer("Groq", "https://api.groq.com", "organization", true),
    offer("Cerebras", "https://api.cerebras.ai", "organization", false),
    offer(
        "OpenCode (Zen or Go)",
        "https://opencode.ai",
        "account",
        false,
    ),
];

impl Offer {
    /// What pooling means with this provider, in one line.
    pub(crate) fn pooling(&self) -> String {
        let terms = if self.forbids {
            "its terms forbid getting around limits, which several of them may be; read them"
        } else {
            "whether its terms allow several of them is for you to read"
        };
        format!(
            "Limits count per {0}: keys of one {0} add no quota, and {terms}.",
            self.counts
        )
    }
}

/// The provider with that number (from 1), name, beginning of a name, or target.
pub(crate) fn called(answer: &str) -> Option<Offer> {
    if let Ok(number) = answer.parse::<usize>() {
        return OFFERS.get(number.checked_sub(1)?).copied();
    }
    let answer = answer.to_ascii_lowercase();
    let mut fitting = OFFERS.iter().filter(|offer| {
        offer.name.to_ascii_lowercase().starts_with(&answer)
            || offer.target == answer.trim_end_matches('/')
    });
    match (fitting.next(), fitting.next()) {
        (Some(offer), None) => Some(*offer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use api_key_lb_core::provider::UNKNOWN;
    use api_key_lb_core::target::Target;

    use super::*;

    #[test]
    fn each_offered_target_is_valid_and_its_rules_are_known() {
        for offer in OFFERS {
            let target = Target::parse(offer.target).unwrap();
            // OpenCode passes on what others answer.
            assert!(
                *target.provider() != UNKNOWN || offer.target == "https://opencode.ai",
                "{}",
                offer.name
            );
        }
    }

    #[test]
    fn a_provider_is_chosen_by_number_name_or_url_and_not_if_two_fit() {
        assert_eq!(called("2").unwrap().name, "OpenRouter");
        assert_eq!(called("openrouter").unwrap().name, "OpenRouter");
        assert_eq!(called("https://api.z.ai/").unwrap().name, OFFERS[0].name);
        assert_eq!(
            (called("kimi"), called("0"), called("99"), called("o")),
            (None, None, None, None)
        );
    }
}
