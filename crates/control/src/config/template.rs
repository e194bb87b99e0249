//! A file that says everything that can be set, and sets nothing.

use api_key_lb_core::provider::PROVIDERS;
use api_key_lb_core::verdict::Matter;

use super::field::{
    ERROR_FIELDS, FIELDS, Field, KEY_FIELDS, Kind, OTLP_FIELDS, POOL_FIELDS, PRICE_FIELDS,
    RULE_FIELDS, Usual,
};

/// How long a line of explanation may be, in characters.
const WIDTH: usize = 110;
/// What stands above everything.
const HEAD: &str = "\
// Configuration of api-key-lb. Everything is optional but keys, here or elsewhere; what is commented out is the
// default. Remove the two slashes before a setting and change it. Comments and trailing commas are fine, and null
// is as if the line were not there. Flags and environment variables win over this file.
//   api-key-lb config check   says what is wrong      api-key-lb config show   says what counts, and why
";
/// What stands before a line that is a setting once the slashes are gone; after them, an explanation has a space.
const SETTING: &str = "  //";

/// The text of the file.
pub fn template() -> String {
    let mut text = format!("{HEAD}{{\n");
    for (index, field) in FIELDS.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        explain(&mut text, field);
        let value = match field.usual {
            Usual::Is(value) => value,
            Usual::Words(_) | Usual::Required => "null",
        };
        text.push_str(&format!("{SETTING}\"{}\": {value},\n", field.name));
    }
    text.push_str("}\n");
    text
}

fn explain(text: &mut String, field: &Field) {
    paragraph(text, "  //", &words(field, false));
    for inner in inner_fields(field.kind) {
        let words = format!("{}: {}", inner.name, words(inner, true));
        paragraph(text, "  //    ", &words);
    }
    // What the default shows needs no example.
    if matches!(field.usual, Usual::Words(_) | Usual::Is("{}" | "[]")) {
        text.push_str(&format!(
            "  // Example: \"{}\": {}\n",
            field.name, field.example
        ));
    }
}

/// The fields of the objects in it.
const fn inner_fields(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::Keys => KEY_FIELDS,
        Kind::Pools => POOL_FIELDS,
        Kind::Rules => RULE_FIELDS,
        Kind::Errors => ERROR_FIELDS,
        Kind::Prices => PRICE_FIELDS,
        Kind::Otlp => OTLP_FIELDS,
        _ => &[],
    }
}

/// What a field is for, what counts without it, what it can hold and what wins over it. The default of
/// one that is not `inner` is what stands below; the providers are named once only.
fn words(field: &Field, inner: bool) -> String {
    let mut words = format!("{}.", field.meaning);
    match field.usual {
        Usual::Words(default) => words.push_str(&format!(" Default: {default}.")),
        Usual::Is(default) if inner => words.push_str(&format!(" Default: {default}.")),
        Usual::Is(_) | Usual::Required => {}
    }
    match field.kind {
        Kind::Whole(least, most) => words.push_str(&format!(" From {least} to {most}.")),
        Kind::Provider if !inner => {
            one_of(&mut words, PROVIDERS.iter().map(|provider| provider.name))
        }
        Kind::Matter => one_of(&mut words, Matter::NAMEABLE.into_iter().map(Matter::word)),
        _ => {}
    }
    let overriding: Vec<&str> = [field.flag, field.variable].into_iter().flatten().collect();
    if !overriding.is_empty() {
        words.push_str(&format!(" [{}]", overriding.join(", ")));
    }
    words
}

fn one_of(text: &mut String, words: impl Iterator<Item = &'static str>) {
    let words: Vec<String> = words.map(|word| format!("\"{word}\"")).collect();
    text.push_str(&format!(" One of {}.", words.join(", ")));
}

/// Words in lines that are not too long, each behind `start`.
fn paragraph(text: &mut String, start: &str, words: &str) {
    let mut line = start.to_owned();
    for word in words.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            start.clone_into(&mut line);
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
