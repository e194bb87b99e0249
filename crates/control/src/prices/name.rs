//! One model, many names: who sells it, its date and its settings are taken away, and what is left is
//! what it is priced by.

/// What a name may have behind that of its model without being another model: releases, settings,
/// and how a gateway serves it. Anything else may cost anything.
const VARIANTS: &[&str] = &[
    "0",
    "1m",
    "beta",
    "customtools",
    "exacto",
    "exp",
    "experimental",
    "extended",
    "floor",
    "high",
    "instruct",
    "it",
    "latest",
    "low",
    "medium",
    "minimal",
    "nitro",
    "non",
    "none",
    "online",
    "preview",
    "reasoning",
    "stable",
    "thinking",
    "v1",
    "xhigh",
];
/// A model that a gateway gives away.
const FREE: &str = "-free";
/// Digits of a word from which on it is a date or a build, and no version.
const DATE_DIGITS: usize = 4;

/// The name without who sells it, in lower case, its parts separated by `-`: `z-ai/GLM-4.6` and
/// `glm-4-6` are the same.
pub(super) fn normal(model: &str) -> String {
    let model = model.trim().to_ascii_lowercase();
    // `[1m]` asks for a longer window.
    let model = model.split('[').next().unwrap_or_default();
    let model = model.rsplit('/').next().unwrap_or_default();
    // `eu.anthropic.claude-…`
    let model = match model.split_once("anthropic.") {
        Some((_, model)) => model,
        None => model,
    };
    let parted = model.replace(['.', ':', '@', '_', ' '], "-");
    parted.trim_matches('-').to_owned()
}

/// Whether this normal name is of a model that is given away.
pub(super) fn is_free(name: &str) -> bool {
    name.ends_with(FREE)
}

/// Where the parts of a normal name end, the last one first.
pub(super) fn ends(name: &str) -> impl Iterator<Item = usize> {
    let inner = name.rmatch_indices('-').map(|(at, _)| at);
    std::iter::once(name.len()).chain(inner)
}

/// Whether what stands behind the name of a model leaves it the same model: `-2025-08-07-preview`,
/// but neither `-mini` nor `-5`.
pub(super) fn is_variant(rest: &str) -> bool {
    let mut words = rest.split('-').filter(|word| !word.is_empty());
    let mut dated = false;
    words.all(|word| {
        if VARIANTS.contains(&word) {
            dated = true;
            return true;
        }
        let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
        let is_date = is_number && word.len() >= DATE_DIGITS;
        // Month and day stand behind a year, or behind a word.
        let fits = is_date || (is_number && word.len() == 2 && dated);
        dated |= is_date;
        fits
    })
}
