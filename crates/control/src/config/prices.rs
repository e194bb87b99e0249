//! Prices of a person's own, by the name of a model.

use serde_json::{Value, json};

use crate::prices::{Price, Prices};

use super::document::{self, Member, Node};
use super::field::{Field, PRICE_FIELDS};
use super::finding::Findings;
use super::sheet::{Scalars, fields, scalar, wrong_kind};

/// The most dollars for a million tokens: more is surely a wrong unit.
const MOST: f64 = 100_000.0;
/// The most prices: nobody uses that many models.
const MOST_PRICES: usize = 1_000;

/// What the file says in `prices`.
pub(super) fn entries(field: &Field, node: Node, findings: &mut Findings) -> Vec<(String, Price)> {
    let document::Value::Object(members) = node.value else {
        wrong_kind(field, "an object that names models", &node, findings);
        return Vec::new();
    };
    if let Some(surplus) = members.get(MOST_PRICES) {
        findings.problem(
            &surplus.place,
            format!(
                "there are {} prices, but at most {MOST_PRICES} are read; remove those from here on, \
                 or write one with `*` for many models",
                members.len()
            ),
        );
    }
    members
        .into_iter()
        .take(MOST_PRICES)
        .filter(|member| !matches!(member.node.value, document::Value::Null))
        .filter_map(|member| entry(field, member, findings))
        .collect()
}

/// The prices by which one goes, given those of the file.
pub(super) fn prices(own: &[(String, Price)]) -> Prices {
    Prices::new(own.iter().cloned())
}

/// What people are shown of them.
pub(super) fn shown(own: &[(String, Price)]) -> Value {
    let price = |price: &Price| {
        json!({
            "input": price.input, "cached": price.cached, "written": price.written,
            "output": price.output,
        })
    };
    own.iter()
        .map(|(model, one)| (model.clone(), price(one)))
        .collect()
}

fn entry(field: &Field, member: Member, findings: &mut Findings) -> Option<(String, Price)> {
    if member.name.trim().trim_end_matches('*').is_empty() {
        findings.problem(
            &member.place,
            "a price needs the name of its model; one that ends with `*` stands for all that begin so",
        );
        return None;
    }
    let document::Value::Object(members) = member.node.value else {
        wrong_kind(field, "an object of objects", &member.node, findings);
        return None;
    };
    let before = findings.problems.len();
    let mut given = Scalars::new();
    for (field, node) in fields(PRICE_FIELDS, " for a price", members, findings) {
        if let Some(value) = scalar(field, node, findings) {
            given.insert(field.name, value);
        }
    }
    let mut dollars = |name: &str| {
        let value = given.get(name)?;
        let number = value.value.trim().parse::<f64>().ok();
        let number = number.filter(|number| (0.0..=MOST).contains(number));
        if number.is_none() {
            findings.problem(
                &value.place,
                format!(
                    "`{name}` must be US dollars for a million tokens, from 0 to {MOST}; write it as \
                     \"{name}\": 0.6"
                ),
            );
        }
        number
    };
    let (input, output) = (dollars("input"), dollars("output"));
    let (cached, written) = (dollars("cached"), dollars("written"));
    // What is wrong with one of them has been said.
    if findings.problems.len() > before {
        return None;
    }
    let (Some(input), Some(output)) = (input, output) else {
        findings.problem(
            &member.place,
            "a price needs `input` and `output`, in US dollars for a million tokens; write it as \
             {\"input\": 0.6, \"cached\": 0.11, \"output\": 2.2}",
        );
        return None;
    };
    let price = Price {
        input,
        cached: cached.unwrap_or(input),
        written: written.unwrap_or(input),
        output,
    };
    Some((member.name, price))
}
