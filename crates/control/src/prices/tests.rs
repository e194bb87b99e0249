//! Prices are found whatever a model is called, never made up, and all of them are documented.

use std::path::Path;

use proptest::prelude::*;

use super::*;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/prices.md");
const FROM: &str = "<!-- prices: from here -->\n";
const TO: &str = "<!-- prices: to here -->";

fn table() -> Table {
    serde_json::from_str(TABLE).unwrap()
}

fn usage(prompt: u64, cached: u64, written: u64, output: u64) -> Usage {
    Usage {
        prompt,
        cached,
        written,
        output,
    }
}

fn input(model: &str) -> Option<f64> {
    Some(Prices::default().of(model)?.input)
}

#[test]
fn every_entry_is_complete_and_found_by_its_own_name() {
    let mut names = std::collections::HashSet::new();
    for maker in table().makers {
        assert!(!maker.maker.is_empty() && !maker.source.is_empty());
        assert_eq!(maker.as_of.len(), "2026-11".len(), "{}", maker.maker);
        assert!(!maker.models.is_empty(), "{}", maker.maker);
        for (name, price) in maker.models {
            assert!(names.insert(normal(&name)), "{name} stands there twice");
            assert_eq!(Prices::default().of(&name), Some(price), "{name}");
            let all = [price.input, price.cached, price.written, price.output];
            assert!(all.iter().all(|it| it.is_finite() && *it >= 0.0), "{name}");
            assert!(price.cached <= price.input, "{name}");
            assert!(price.written > 0.0 || price.input == 0.0, "{name}");
        }
    }
}

#[test]
fn the_documentation_has_every_price() {
    let mut rows = String::from(FROM);
    for maker in table().makers {
        rows.push_str(&format!(
            "\n**{}** ({}; {})\n\n| model | input | cached | written | output |\n|---|--:|--:|--:|--:|\n",
            maker.maker, maker.source, maker.as_of
        ));
        for (name, price) in maker.models {
            rows.push_str(&format!(
                "| `{name}` | {} | {} | {} | {} |\n",
                price.input, price.cached, price.written, price.output
            ));
        }
    }
    rows.push('\n');
    rows.push_str(TO);
    let docs = std::fs::read_to_string(Path::new(DOCS)).unwrap();
    let (before, rest) = docs.split_once(FROM).unwrap();
    let (_, after) = rest.split_once(TO).unwrap();
    let wanted = format!("{before}{rows}{after}");
    if docs == wanted {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(DOCS, wanted).unwrap();
    } else {
        panic!("docs/prices.md differs; run this test with UPDATE_DOCS=1 and look at the change");
    }
}

#[test]
fn a_model_has_its_price_whatever_it_is_called() {
    for (name, expected) in [
        ("claude-sonnet-4-5-20250929", 3.0),
        ("claude-sonnet-4-5@20250929", 3.0),
        ("anthropic/claude-sonnet-4.5", 3.0),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 3.0),
        ("claude-sonnet-4-5[1m]", 3.0),
        ("claude-3-5-haiku-latest", 0.8),
        ("claude-opus-4-0", 15.0),
        ("claude-opus-4-5-20251101", 5.0),
        ("openrouter/anthropic/claude-opus-4.5:thinking", 5.0),
        ("gpt-4o-2024-05-13", 5.0),
        ("gpt-4o-2024-11-20", 2.5),
        ("gpt-4-1106-preview", 10.0),
        ("gpt-4-0613", 30.0),
        ("gpt-5.1-codex", 1.25),
        ("o4-mini-2025-04-16", 1.1),
        ("models/gemini-2.5-pro-preview-05-06", 1.25),
        ("gemini-2.5-flash-preview-09-2025", 0.3),
        ("gemini-3-pro-preview", 2.0),
        ("z-ai/glm-4.6", 0.6),
        ("GLM-4.6", 0.6),
        ("moonshotai/kimi-k2-0905:exacto", 0.6),
        ("kimi-k2-0905-preview", 0.6),
        ("accounts/fireworks/models/kimi-k2-instruct-0905", 0.6),
        ("grok-4-0709", 3.0),
        ("grok-4-fast-non-reasoning", 0.2),
        ("mistral-large-latest", 0.5),
        ("mistral-large-2411", 2.0),
        ("MiniMax-M2", 0.3),
        ("qwen/qwen3-coder-480b-a35b-instruct", 1.5),
        ("meta-llama/llama-9-anything:free", 0.0),
        ("z-ai/glm-4.6:free", 0.0),
    ] {
        assert_eq!(input(name), Some(expected), "{name}");
    }
}

#[test]
fn what_may_be_another_model_has_no_price() {
    for name in [
        "",
        " ",
        "/",
        "-",
        "model",
        "m",
        "gpt",
        "gpt-6",
        "gpt-5.9",
        "gpt-5-ultra",
        "gpt-4o-audio-preview",
        "gpt-4o-mini-realtime-preview",
        "claude-opus-4-99",
        "claude-opus-4-5-fast",
        "gemini-2.5-pro-preview-tts",
        "glm-4.6-mini",
        "kimi-k2.9",
        "deepseek-r1-distill-llama-70b",
        "grok-4-mini",
        "o3-mini-ultra",
        "o39",
    ] {
        assert_eq!(input(name), None, "{name}");
    }
}

#[test]
fn own_prices_come_first_and_a_star_stands_for_all_that_begin_so() {
    let price = |input| Price {
        input,
        ..Price::NOTHING
    };
    let prices = Prices::new([
        ("glm-4.6".to_owned(), price(1.0)),
        ("our-*".to_owned(), price(2.0)),
        ("our-large*".to_owned(), price(3.0)),
        ("openai/gpt-5".to_owned(), price(4.0)),
        ("some-model:free".to_owned(), price(5.0)),
    ]);
    let input = |model| prices.of(model).map(|price| price.input);
    assert_eq!(input("z-ai/GLM-4.6"), Some(1.0));
    assert_eq!(input("our-model-mini"), Some(2.0));
    assert_eq!(input("vendor/our-large-7"), Some(3.0));
    assert_eq!(input("gpt-5-2025-08-07"), Some(4.0));
    assert_eq!(input("gpt-5-mini"), Some(0.25), "which is another model");
    assert_eq!(input("some-model:free"), Some(5.0));
    assert_eq!(input("unknown"), None);
    assert_eq!(prices.own(), 5);
}

#[test]
fn the_cache_saves_what_it_spares_less_what_writing_to_it_costs() {
    let prices = Prices::default();
    let cost = |usage| prices.cost("claude-sonnet-4-5", &usage).unwrap();
    let read = cost(usage(1_000_000, 900_000, 0, 10_000));
    assert!((read.cost_usd - (0.3 + 0.27 + 0.15)).abs() < 1e-9);
    assert!((read.saved_usd() - 0.9 * 2.7).abs() < 1e-9);
    let written = cost(usage(1_000_000, 0, 1_000_000, 0));
    assert!((written.saved_usd() - (3.0 - 3.75)).abs() < 1e-9);
    assert_eq!(prices.cost("nobody-knows-it", &usage(1, 0, 0, 0)), None);
}

proptest! {
    #[test]
    fn any_name_is_looked_up(name in ".{0,60}") {
        let _ = Prices::default().of(&name);
    }

    #[test]
    fn who_sells_it_and_when_it_was_released_change_no_price(
        at in any::<prop::sample::Index>(),
        vendor in "([a-z-]{1,9}/){0,2}",
        date in prop_oneof![Just(""), Just("-20260102"), Just("-2026-01-02"), Just("-latest"), Just("-preview")],
        upper in any::<bool>(),
    ) {
        let names: Vec<String> = table()
            .makers
            .into_iter()
            .flat_map(|maker| maker.models.into_keys())
            .collect();
        let name = at.get(&names);
        let mut other = format!("{vendor}{name}{date}");
        if upper {
            other.make_ascii_uppercase();
        }
        prop_assert_eq!(Prices::default().of(&other), Prices::default().of(name));
    }

    #[test]
    fn nothing_costs_less_than_nothing_and_reading_the_cache_never_more(
        at in any::<prop::sample::Index>(),
        numbers in proptest::array::uniform4(0..1_u64 << 41),
        more in 1..1_u64 << 20,
    ) {
        let models: Vec<Price> = SHIPPED.prices.values().copied().collect();
        let price = at.get(&models);
        let [prompt, cached, written, output] = numbers;
        let cost = price.cost(&usage(prompt, cached, written, output));
        prop_assert!(cost.cost_usd >= 0.0 && cost.without_cache_usd >= 0.0);
        let reads_only = price.cost(&usage(prompt, cached, 0, output));
        prop_assert!(reads_only.saved_usd() >= -1e-6);
        let longer = price.cost(&usage(prompt, cached, written, output + more));
        prop_assert!(longer.cost_usd >= cost.cost_usd);
        prop_assert!((longer.saved_usd() - cost.saved_usd()).abs() <= 1e-6 * (1.0 + longer.cost_usd));
        // Sums of a model cost what its requests cost.
        let mut both = cost;
        both.add(&price.cost(&usage(more, 0, 0, 0)));
        prop_assert!(both.cost_usd >= cost.cost_usd);
    }
}
