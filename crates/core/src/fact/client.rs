//! Which program a request came from, as far as it says so itself.

use std::fmt;

/// The longest name kept, in bytes: `claude-cli/2.1.14`, `opencode/1.0.203` and their like fit.
const MOST: usize = 40;

/// The first product of a `User-Agent`: a name and perhaps a version, nothing of what follows.
/// Held in place, so that noting it costs a request no allocation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client {
    name: [u8; MOST],
    length: u8,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            name: [0; MOST],
            length: 0,
        }
    }
}

impl Client {
    /// From the value of `User-Agent`. Whatever is no part of a product's name ends it.
    pub fn of(agent: &[u8]) -> Self {
        let mut client = Self::default();
        let belongs = |byte: &&u8| byte.is_ascii_alphanumeric() || b"/._-+@~".contains(byte);
        let name = agent.iter().take_while(belongs).take(MOST);
        for (place, byte) in client.name.iter_mut().zip(name) {
            *place = *byte;
            client.length += 1;
        }
        client
    }

    /// Its name; nothing if it has not said it.
    pub fn name(&self) -> Option<&str> {
        let name = self.name.get(..usize::from(self.length))?;
        std::str::from_utf8(name)
            .ok()
            .filter(|name| !name.is_empty())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.name().unwrap_or("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_product_is_kept() {
        for (agent, name) in [
            ("claude-cli/2.0.1 (external, cli)", Some("claude-cli/2.0.1")),
            ("OpenAI/Python 1.109.1", Some("OpenAI/Python")),
            ("codex_cli_rs/0.5", Some("codex_cli_rs/0.5")),
            ("Mozilla/5.0 (X11)", Some("Mozilla/5.0")),
            ("", None),
            (" (comment)", None),
            ("\u{1b}[2J", None),
        ] {
            assert_eq!(Client::of(agent.as_bytes()).name(), name);
        }
    }

    #[test]
    fn a_name_is_bounded() {
        assert_eq!(Client::of(&[b'a'; 500]).name().unwrap().len(), MOST);
    }
}
