//! The fields of the file: their names, their kinds, what overrides them, and what a misspelt one meant.

mod table;

pub(crate) use table::{
    ERROR_FIELDS, FIELDS, KEY_FIELDS, OTLP_FIELDS, POOL_FIELDS, PRICE_FIELDS, RULE_FIELDS,
};

/// The field of a session rule that names a header …
pub(crate) const HEADER: &str = "header";
/// … and the one that is a path into the body.
pub(crate) const BODY: &str = "body";

/// What a field holds.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Text,
    /// The name of a provider.
    Provider,
    /// What an error means, in a word.
    Matter,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A whole number, or a text that is one, from the first to the second.
    Whole(u64, u64),
    /// A number, or a text that is one.
    Number,
    Switch,
    /// One of these words, or true or false where those say the same.
    Choice(&'static [&'static str]),
    /// A text with commas, or a list of texts.
    Texts,
    /// A text or a number, or a list of them.
    Codes,
    Keys,
    Pools,
    /// Rules for where a session id stands.
    Rules,
    /// Rules for what an error means.
    Errors,
    /// Prices of models.
    Prices,
    /// Where OpenTelemetry goes.
    Otlp,
    /// An object of texts.
    Headers,
    /// Known and of no concern to us.
    Ignored,
}

/// What counts where a field is not given.
#[derive(Clone, Copy)]
pub(crate) enum Usual {
    /// It has to be given.
    Required,
    /// This value, in JSON.
    Is(&'static str),
    /// No value that could be written: this, in words.
    Words(&'static str),
}

/// A field.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// As one would write its value, for messages.
    pub(crate) example: &'static str,
    /// The flag that overrides it.
    pub(crate) flag: Option<&'static str>,
    /// The environment variable that overrides it.
    pub(crate) variable: Option<&'static str>,
    /// What it is for, in one line.
    pub(crate) meaning: &'static str,
    /// What counts without it.
    pub(crate) usual: Usual,
    /// Whether a list of such values may stand in the place of one.
    pub(crate) or_list: bool,
}

const fn field(name: &'static str, kind: Kind, example: &'static str) -> Field {
    Field {
        name,
        kind,
        example,
        flag: None,
        variable: None,
        meaning: "",
        usual: Usual::Required,
        or_list: false,
    }
}

impl Field {
    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    const fn variable(mut self, variable: &'static str) -> Self {
        self.variable = Some(variable);
        self
    }

    const fn means(mut self, meaning: &'static str) -> Self {
        self.meaning = meaning;
        self
    }

    const fn usually(mut self, json: &'static str) -> Self {
        self.usual = Usual::Is(json);
        self
    }

    const fn otherwise(mut self, words: &'static str) -> Self {
        self.usual = Usual::Words(words);
        self
    }

    const fn or_list(mut self) -> Self {
        self.or_list = true;
        self
    }
}

/// What people write who know other programs.
const ALIASES: &[(&str, &str)] = &[
    ("apikey", "key"),
    ("apikey", "keys"),
    ("apikeys", "keys"),
    ("secret", "key"),
    ("value", "key"),
    ("name", "label"),
    ("baseurl", "target"),
    ("url", "target"),
    ("endpoint", "target"),
    ("upstream", "target"),
    ("listen", "host"),
    ("bind", "host"),
    ("tokens", "client_tokens"),
    ("threads", "workers"),
    ("loglevel", "log"),
    ("format", "log_format"),
    ("price", "prices"),
    ("costs", "prices"),
    ("prompt", "input"),
    ("completion", "output"),
    ("cachedinput", "cached"),
    ("cacheread", "cached"),
    ("cachewrite", "written"),
    ("opentelemetry", "otlp"),
    ("otel", "otlp"),
    ("telemetry", "otlp"),
    ("servicename", "service"),
    ("signals", "export"),
    ("ca", "ca_file"),
    ("rules", "session_rules"),
    ("sessionheader", "session_rules"),
    ("sessionheaders", "session_rules"),
    ("sessionid", "session_rules"),
    ("errors", "error_rules"),
    ("message", "text"),
    ("phrase", "text"),
    ("type", "code"),
    ("matter", "means"),
    ("subagents", "split_subagents"),
    ("wait", "max_wait_ms"),
    ("holdms", "max_wait_ms"),
    ("cachettl", "cache_ttl_ms"),
    ("drain", "drain_windows"),
    ("reserve", "window_reserve_percent"),
    ("usage", "include_usage"),
    ("streamoptions", "include_usage"),
    ("database", "store"),
    ("persist", "store"),
    ("retention", "usage_days"),
    ("retentiondays", "usage_days"),
    ("headername", "header"),
    ("path", "body"),
    ("bodypath", "body"),
    ("jsonpath", "body"),
];

/// An environment variable that overrides a field.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What the field is for, in one line.
    pub meaning: &'static str,
}

/// The environment variables that override fields of the file.
pub fn variables() -> impl Iterator<Item = Variable> {
    FIELDS.iter().filter_map(|field| {
        Some(Variable {
            name: field.variable?,
            meaning: field.meaning,
        })
    })
}

/// The field of `fields` that is called `name`.
pub(crate) fn named<'f>(fields: &'f [Field], name: &str) -> Option<&'f Field> {
    fields.iter().find(|field| field.name == name)
}

/// The field that the unknown `name` most likely meant, if one is close.
pub(crate) fn meant(fields: &[Field], name: &str) -> Option<&'static str> {
    let plain = plain(name);
    let known = || fields.iter().map(|field| field.name);
    known()
        .find(|known| self::plain(known) == plain)
        .or_else(|| {
            ALIASES
                .iter()
                .filter(|(alias, _)| *alias == plain)
                .find_map(|(_, field)| known().find(|known| known == field))
        })
        // Swapped letters are two edits, too many for a short name.
        .or_else(|| known().find(|known| letters(known) == letters(name)))
        .or_else(|| {
            known()
                .map(|known| (distance(known, name), known))
                .filter(|(distance, known)| *distance <= (known.len() / 3).clamp(1, 3))
                .min_by_key(|(distance, _)| *distance)
                .map(|(_, known)| known)
        })
}

/// Lower case letters and digits only, so that `cooldownMs` is `cooldown_ms`.
fn plain(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

/// The letters of a name, sorted.
fn letters(name: &str) -> Vec<char> {
    let mut letters: Vec<char> = name.chars().collect();
    letters.sort_unstable();
    letters
}

/// The least number of characters to insert, remove or replace to turn `from` into `to`.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(&to) {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_single_character_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("target", "taregt"), 2);
        assert_eq!(distance("port", "port"), 0);
    }

    #[test]
    fn a_misspelt_field_is_recognised_and_a_strange_one_is_not() {
        for (name, expected) in [
            ("cooldownMs", Some("cooldown_ms")),
            ("taget", Some("target")),
            ("key", Some("keys")),
            ("baseURL", Some("target")),
            ("api_keys", Some("keys")),
            ("hots", Some("host")),
            ("hosts", Some("host")),
            ("prot", Some("port")),
            ("sessionRules", Some("session_rules")),
            ("split_sub_agents", Some("split_subagents")),
            ("includeUsage", Some("include_usage")),
            ("max_session", Some("max_sessions")),
            ("colour", None),
        ] {
            assert_eq!(meant(FIELDS, name), expected, "{name}");
        }
        assert_eq!(meant(KEY_FIELDS, "apiKey"), Some("key"));
        assert_eq!(meant(RULE_FIELDS, "haeder"), Some("header"));
        assert_eq!(meant(RULE_FIELDS, "path"), Some("body"));
    }
}
