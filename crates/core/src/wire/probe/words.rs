//! Makes what a provider said fit to be shown: one line, not endless, nothing of the key in it.

/// From so many characters in a row that a text shares with a key on, they are masked: shorter
/// pieces are common prefixes such as `sk-` and accidents.
const SHARED: usize = 6;
/// What stands in place of them.
const MASK: &str = "***";

/// `text` in one line of at most `most` characters, without control characters and without any
/// piece of `secret` that matters. Some providers repeat the key, or half of it, in their errors.
pub fn quotable(text: &str, secret: &str, most: usize) -> String {
    let masked = masked(text, secret);
    let mut line = String::new();
    for word in masked.split(|letter: char| letter.is_whitespace() || letter.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    // Characters that turn the direction of a line would show another text than the one meant.
    line.retain(|letter| !matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'));
    if line.chars().count() > most {
        line = line.chars().take(most.saturating_sub(1)).collect();
        line.truncate(line.trim_end().len());
        line.push('…');
    }
    line
}

/// `text` with every long enough piece of `secret` replaced.
fn masked(text: &str, secret: &str) -> String {
    let (letters, secret): (Vec<char>, Vec<char>) =
        (text.chars().collect(), secret.chars().collect());
    let least = SHARED.min(secret.len()).max(1);
    let mut hidden = vec![false; letters.len()];
    for (at, shared) in letters.windows(least).enumerate() {
        if secret.windows(least).any(|piece| piece == shared) {
            hidden[at..at + least].fill(true);
        }
    }
    let mut shown = String::with_capacity(text.len());
    let mut before = false;
    for (letter, hide) in letters.into_iter().zip(hidden) {
        if !hide {
            shown.push(letter);
        } else if !before {
            shown.push_str(MASK);
        }
        before = hide;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-proj-Qw8zR2mXv5Lk9TfB3nYd7HsJ1cGp4Ea6Uo0Iq";

    #[test]
    fn neither_the_key_nor_half_of_it_is_quoted() {
        let said = format!("Incorrect API key provided: {KEY}. Find yours at https://h/keys");
        assert_eq!(
            quotable(&said, KEY, 200),
            "Incorrect API key provided: ***. Find yours at https://h/keys"
        );
        let half = format!("key {}**** is wrong", &KEY[..20]);
        assert_eq!(quotable(&half, KEY, 200), "key ******* is wrong");
        let pieces = format!("{} and {}", &KEY[10..30], &KEY[30..]);
        assert_eq!(quotable(&pieces, KEY, 200), "*** and ***");
        assert_eq!(
            quotable("what is k1 for k1", "k1", 200),
            "what is *** for ***"
        );
    }

    #[test]
    fn what_a_terminal_would_obey_is_removed() {
        assert_eq!(
            quotable("no\u{1b}[31m  \n\tway\u{202e}!\u{7}", KEY, 200),
            "no [31m way!"
        );
    }

    #[test]
    fn a_long_text_is_shortened_between_characters() {
        assert_eq!(quotable("дддд дддд", KEY, 6), "дддд…");
        assert_eq!(quotable("дддд", KEY, 4), "дддд");
        assert_eq!(quotable("", KEY, 4), "");
    }
}
