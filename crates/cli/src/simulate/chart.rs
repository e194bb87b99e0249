//! Bars, one for each run, grouped by what they measure.

use std::fmt::Write as _;

use crate::printer;

/// Longest bar, in characters.
const WIDTH: usize = 40;
/// Parts of a character that a block can fill.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// What bars are drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marks {
    /// Blocks, an eighth of a character precise.
    Blocks,
    /// `#`, for what is no terminal or does not know blocks.
    Ascii,
}

impl Marks {
    /// What the output can show. `var` reads the environment.
    pub(crate) fn of<'v>(is_terminal: bool, var: impl Fn(&str) -> Option<&'v str>) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(&var);
        let is_utf8 = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        if is_terminal && is_utf8 && var("TERM") != Some("dumb") {
            Self::Blocks
        } else {
            Self::Ascii
        }
    }

    /// A bar of `share` of the whole width, without what fills it up.
    fn bar(self, share: f64) -> String {
        let share = share.clamp(0.0, 1.0);
        match self {
            Self::Blocks => {
                let eighths = (share * (WIDTH * 8) as f64).round() as usize;
                // What is not nothing can be seen.
                let eighths = eighths.max(usize::from(share > 0.0));
                format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
            }
            Self::Ascii => {
                let marks = (share * WIDTH as f64).round() as usize;
                "#".repeat(marks.max(usize::from(share > 0.0)))
            }
        }
    }
}

/// One measure, and what each run comes to.
#[derive(Debug)]
pub(crate) struct Group {
    /// What is measured, and what is better.
    pub(crate) title: String,
    /// Label, value and how the value is written.
    pub(crate) bars: Vec<(String, f64, String)>,
}

/// All groups, one below the other.
pub(crate) fn chart(groups: &[Group], marks: Marks) -> String {
    let labels = groups.iter().flat_map(|group| &group.bars);
    let label_width = labels.map(|(label, ..)| label.chars().count()).max();
    let label_width = label_width.unwrap_or(0);
    let mut text = String::new();
    for group in groups {
        if !text.is_empty() {
            text.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}", printer::strong(&group.title));
        let most = group.bars.iter().map(|(_, value, _)| *value);
        let most = most.fold(0.0, f64::max);
        if most == 0.0 {
            let _ = writeln!(text, "    none");
            continue;
        }
        for (number, (label, value, written)) in group.bars.iter().enumerate() {
            let bar = marks.bar(value / most);
            let fill = " ".repeat(WIDTH.saturating_sub(bar.chars().count()));
            let bar = match number {
                0 => printer::good(&bar),
                _ => bar,
            };
            let _ = writeln!(text, "    {label:<label_width$}  {bar}{fill}  {written}");
        }
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(marks: Marks) -> String {
        let bar = |label: &str, value: f64| (label.to_owned(), value, value.to_string());
        let groups = [
            Group {
                title: "one".into(),
                bars: vec![bar("a", 1.0), bar("bcd", 0.51), bar("e", 0.0001)],
            },
            Group {
                title: "two".into(),
                bars: vec![bar("a", 0.0)],
            },
        ];
        anstream::adapter::strip_str(&chart(&groups, marks)).to_string()
    }

    #[test]
    fn bars_are_as_long_as_their_share_of_the_longest() {
        let fill = |bar: &str| format!("{bar}{}", " ".repeat(40 - bar.chars().count()));
        assert_eq!(
            plain(Marks::Ascii),
            format!(
                "  one\n    a    {}  1\n    bcd  {}  0.51\n    e    {}  0.0001\n\n  two\n    none",
                "#".repeat(40),
                fill(&"#".repeat(20)),
                fill("#")
            )
        );
        let blocks = plain(Marks::Blocks);
        assert!(
            blocks.contains(&fill(&format!("{}▍", "█".repeat(20)))),
            "{blocks}"
        );
        assert!(blocks.contains(&fill("▏")), "{blocks}");
    }

    #[test]
    fn blocks_are_for_terminals_that_know_them() {
        let with = |terminal, vars: &'static [(&str, &str)]| {
            let var = |name: &str| {
                let found = vars.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| *value)
            };
            Marks::of(terminal, var)
        };
        let utf8 = &[("LANG", "en_GB.UTF-8"), ("TERM", "xterm")];
        assert_eq!(with(true, utf8), Marks::Blocks);
        assert_eq!(
            with(true, &[("LC_ALL", "C.utf8"), ("LANG", "C")]),
            Marks::Blocks
        );
        assert_eq!(with(false, utf8), Marks::Ascii);
        assert_eq!(
            with(true, &[("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")]),
            Marks::Ascii
        );
        assert_eq!(
            with(true, &[("LANG", "C.UTF-8"), ("TERM", "dumb")]),
            Marks::Ascii
        );
        assert_eq!(with(true, &[]), Marks::Ascii);
    }
}
