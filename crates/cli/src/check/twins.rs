//! Which keys look like one account although they are not configured as one, and the reverse.

use std::collections::{BTreeMap, BTreeSet};

use api_key_lb_core::plan::AccountId;
use api_key_lb_core::provider::UNKNOWN;
use api_key_lb_core::wire::probe::{self, Left};

use super::text::listed;
use super::{Checked, MOST_NAME, Warning};

/// Windows that begin anew on a full hour may do so for everybody.
const HOUR_MS: u64 = 3_600_000;
/// Owners whose difference means another limit.
const LIMITED: &str = "organization";

/// Everything to say about accounts; `names` are those that are configured.
pub(super) fn warnings(
    checked: &[Checked<'_>],
    names: &BTreeMap<AccountId, String>,
) -> Vec<Warning> {
    let mut warnings = alike(checked, names);
    warnings.extend(apart(checked, names));
    warnings
}

/// One warning for each group of keys that look like one account.
fn alike(checked: &[Checked<'_>], names: &BTreeMap<AccountId, String>) -> Vec<Warning> {
    let mut grouped = vec![false; checked.len()];
    let mut warnings = Vec::new();
    for first in 0..checked.len() {
        if grouped[first] {
            continue;
        }
        let mut group = vec![first];
        let mut why = None;
        for other in first + 1..checked.len() {
            if let Some(evidence) = shared(&checked[first], &checked[other]) {
                grouped[other] = true;
                group.push(other);
                why.get_or_insert(evidence);
            }
        }
        let accounts: BTreeSet<AccountId> =
            group.iter().map(|at| checked[*at].key.account).collect();
        let Some(why) = why.filter(|_| accounts.len() > 1) else {
            continue;
        };
        let keys = labels(checked, &group);
        let name = accounts
            .iter()
            .find_map(|account| names.get(account))
            .cloned()
            .or(why.name)
            .unwrap_or_else(|| format!("account-of-{}", keys[0]));
        let text = format!(
            "{} look like one account ({}): they share its limits. Write \"account\": \"{name}\" into \
             the entry of each, such as {{\"key\": \"…\", \"label\": \"{}\", \"account\": \"{name}\"}}",
            listed(&keys),
            why.text,
            keys[0],
        );
        warnings.push(Warning {
            code: "one_account",
            keys,
            text,
        });
    }
    warnings
}

/// One warning for each configured account whose keys belong to different organizations.
fn apart(checked: &[Checked<'_>], names: &BTreeMap<AccountId, String>) -> Vec<Warning> {
    names
        .iter()
        .filter_map(|(account, name)| {
            let mut organizations = BTreeSet::new();
            let mut members = Vec::new();
            for (at, one) in checked.iter().enumerate() {
                if one.key.account != *account {
                    continue;
                }
                let owner = one.told.owners.iter().find(|owner| owner.kind == LIMITED);
                if let Some(owner) = owner {
                    organizations.insert(shown(one, &owner.id));
                    members.push(at);
                }
            }
            (organizations.len() > 1).then(|| {
                let keys = labels(checked, &members);
                let organizations: Vec<String> = organizations.into_iter().collect();
                Warning {
                    code: "several_accounts",
                    text: format!(
                        "{} are configured as one account \"{name}\" but belong to different \
                         organizations ({}): one pauses when the other is throttled. Give each its own \
                         \"account\"",
                        listed(&keys),
                        organizations.join(", ")
                    ),
                    keys,
                }
            })
        })
        .collect()
}

/// Why two keys look like one account.
struct Evidence {
    text: String,
    /// What the account may be called.
    name: Option<String>,
}

fn shared(one: &Checked<'_>, other: &Checked<'_>) -> Option<Evidence> {
    let (target, other_target) = (&one.key.target, &other.key.target);
    let same_place = if *target.provider() == UNKNOWN {
        target.host() == other_target.host()
    } else {
        target.provider() == other_target.provider()
    };
    if !same_place {
        return None;
    }
    let owner = one
        .told
        .owners
        .iter()
        .find(|owner| other.told.owners.contains(owner));
    if let Some(owner) = owner {
        let id = shown(one, &owner.id);
        return Some(Evidence {
            text: format!("the same {}, {id}", owner.kind),
            name: Some(id),
        });
    }
    one.told.left.iter().find_map(|left| {
        let what = distinctive(left)?;
        other.told.left.contains(left).then_some(Evidence {
            text: format!("{what} to the last digit"),
            name: None,
        })
    })
}

/// What two accounts hardly have in common by chance.
fn distinctive(left: &Left) -> Option<&'static str> {
    match left {
        Left::Window(window) => {
            let begins = window.reset?.unix_millis();
            (!begins.is_multiple_of(HOUR_MS) && window.percent_left < 100.0)
                .then_some("the same window")
        }
        Left::Money(money) => {
            let amount: f64 = money.amount.parse().ok()?;
            (money.name == "balance" && amount.fract() != 0.0).then_some("the same balance")
        }
        // Everybody's are full most of the time.
        Left::Bucket(_) => None,
    }
}

fn shown(of: &Checked<'_>, id: &str) -> String {
    probe::quotable(id, of.key.secret.expose(), MOST_NAME)
}

fn labels(checked: &[Checked<'_>], group: &[usize]) -> Vec<String> {
    group
        .iter()
        .map(|at| checked[*at].key.label.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use api_key_lb_core::plan::{Key, KeyId};
    use api_key_lb_core::target::Target;
    use api_key_lb_core::wire::probe::{Money, Owner, Standing, Told, Window};
    use api_key_lb_core::{Moment, Secret};

    use super::*;

    const ZAI: &str = "https://api.z.ai";

    fn key(label: &str, url: &str, account: Option<&str>) -> Key {
        let target = Arc::new(Target::parse(url).unwrap());
        let secret = Secret::new(format!("sk-secret-of-{label}"));
        let id = KeyId::of(&secret, &target);
        Key {
            id,
            label: label.into(),
            secret,
            target,
            via: None,
            account: account.map_or(AccountId::of_key(id), |name| AccountId::named("", name)),
            weight: 1,
        }
    }

    fn checked<'k>(key: &'k Key, owner: Option<&str>, left: Option<Left>) -> Checked<'k> {
        let owner = owner.map(|id| Owner {
            kind: "organization",
            id: id.into(),
        });
        Checked {
            pool: "",
            key,
            told: Told {
                owners: owner.into_iter().collect(),
                left: left.into_iter().collect(),
                ..Told::bare(Standing::Valid, None)
            },
            took: Duration::ZERO,
        }
    }

    fn window(reset: u64, percent_left: f64) -> Option<Left> {
        Some(Left::Window(Window {
            name: "5 h".into(),
            percent_left,
            reset: Some(Moment::from_unix_millis(reset)),
            decisive: true,
        }))
    }

    fn balance(amount: &str) -> Option<Left> {
        Some(Left::Money(Money {
            name: "balance",
            amount: amount.into(),
            currency: Some("USD".into()),
            of: None,
            renewed: None,
        }))
    }

    #[test]
    fn keys_of_one_organization_look_like_one_account() {
        let keys = ["a", "b", "c", "d"].map(|label| key(label, "https://api.openai.com", None));
        let all = [
            checked(&keys[0], Some("org-1"), None),
            checked(&keys[1], Some("org-2"), None),
            checked(&keys[2], Some("org-1"), None),
            checked(&keys[3], Some("org-1"), None),
        ];
        let warnings = warnings(&all, &BTreeMap::new());
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(warnings[0].keys, ["a", "c", "d"]);
        let text = &warnings[0].text;
        assert!(
            text.starts_with("a, c and d look like one account (the same organization, org-1)"),
            "{text}"
        );
        assert!(text.contains(r#""account": "org-1""#), "{text}");
    }

    #[test]
    fn keys_that_are_configured_as_one_account_are_not_warned_of() {
        let keys = ["a", "b"].map(|label| key(label, ZAI, Some("work")));
        let all = [
            checked(&keys[0], Some("org-1"), None),
            checked(&keys[1], Some("org-1"), None),
        ];
        let names = BTreeMap::from([(keys[0].account, "work".to_owned())]);
        assert_eq!(warnings(&all, &names), []);
    }

    #[test]
    fn one_configured_account_of_two_organizations_is_said() {
        let keys = ["a", "b"].map(|label| key(label, ZAI, Some("work")));
        let all = [
            checked(&keys[0], Some("org-1"), None),
            checked(&keys[1], Some("org-2"), None),
        ];
        let names = BTreeMap::from([(keys[0].account, "work".to_owned())]);
        let warnings = warnings(&all, &names);
        assert_eq!(warnings[0].code, "several_accounts");
        assert!(warnings[0].text.contains("(org-1, org-2)"), "{warnings:?}");
    }

    #[test]
    fn a_window_or_balance_in_common_to_the_last_digit_is_evidence() {
        let keys = ["a", "b"].map(|label| key(label, ZAI, None));
        let count = |one: Option<Left>, other: Option<Left>| {
            let all = [checked(&keys[0], None, one), checked(&keys[1], None, other)];
            warnings(&all, &BTreeMap::new()).len()
        };
        let odd = 1_785_207_612_345;
        assert_eq!(count(window(odd, 40.0), window(odd, 40.0)), 1);
        assert_eq!(count(window(odd, 40.0), window(odd, 41.0)), 0);
        assert_eq!(count(window(odd, 40.0), window(odd + 1, 40.0)), 0);
        assert_eq!(count(window(odd, 100.0), window(odd, 100.0)), 0, "unused");
        let hour = 1_785_207_600_000;
        assert_eq!(
            count(window(hour, 40.0), window(hour, 40.0)),
            0,
            "everybody's"
        );
        assert_eq!(count(balance("49.58894"), balance("49.58894")), 1);
        assert_eq!(count(balance("49.58894"), balance("49.58895")), 0);
        assert_eq!(
            count(balance("10.00"), balance("10.00")),
            0,
            "a usual amount"
        );
    }

    #[test]
    fn keys_of_different_hosts_are_never_compared() {
        let keys = [
            key("a", "http://one.test", None),
            key("b", "http://two.test", None),
        ];
        let all = [
            checked(&keys[0], Some("default"), None),
            checked(&keys[1], Some("default"), None),
        ];
        assert_eq!(warnings(&all, &BTreeMap::new()), []);
    }
}
