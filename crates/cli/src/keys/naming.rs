//! Which key a person means who does not say its value.

use api_key_lb_control::config::{Source, shown};
use api_key_lb_control::key_file::FileKey;
use api_key_lb_core::Secret;

/// How the default pool, which has no name, is called on the command line.
pub(crate) const DEFAULT_POOL: &str = "default";
/// The fewest characters by which the end of a key names it: fewer are said by accident.
const LEAST_END: usize = 4;
/// Longest name that is repeated in an error: more may be a key.
const MOST_REPEATED: usize = 16;

/// How a pool is called on the command line.
pub(crate) fn pool_name(pool: &str) -> &str {
    match pool {
        "" => DEFAULT_POOL,
        name => name,
    }
}

/// The same in a sentence.
pub(crate) fn the_pool(pool: &str) -> String {
    match pool {
        "" => "the default pool".to_owned(),
        name => format!("the pool {name}"),
    }
}

/// The pool that somebody calls so.
pub(crate) fn pool_called<'p>(pools: &'p [String], name: &str) -> Result<&'p str, String> {
    let found = pools.iter().find(|pool| pool_name(pool) == name);
    let names: Vec<&str> = pools.iter().map(|pool| pool_name(pool)).collect();
    found.map(String::as_str).ok_or_else(|| {
        format!(
            "there is no pool called `{name}` in the configuration file; there is {}",
            names.join(", ")
        )
    })
}

/// A key as it is shown to people: its label and what can be seen of it.
pub(crate) fn named(key: &FileKey) -> String {
    format!("{} ({})", key.label, shown(key.written.expose()))
}

/// Where in the file a key stands.
pub(crate) fn path(key: &FileKey) -> String {
    match key.pool.as_str() {
        "" => format!("keys[{}]", key.index),
        pool => format!("pools.{pool}.keys[{}]", key.index),
    }
}

/// Which of `keys` is meant; `pool` says which pool it is in, if that was said.
pub(crate) fn find(keys: &[FileKey], pool: Option<&str>, name: &str) -> Result<usize, String> {
    let name = name.trim();
    let in_pool = |key: &FileKey| pool.is_none_or(|pool| key.pool == pool);
    let number: Option<usize> = name.parse().ok();
    let all = || keys.iter().enumerate().filter(|(_, key)| in_pool(key));
    let exactly: Vec<usize> = all()
        .filter(|(at, key)| {
            let is_place = !matches!(Source::of(key.written.expose()), Source::Literal(_));
            key.label == name
                || number == Some(at + 1)
                || path(key) == name
                || (is_place && key.written.expose() == name)
        })
        .map(|(at, _)| at)
        .collect();
    let found = if exactly.is_empty() {
        let by_sight = all().filter(|(_, key)| looks_like(key, name));
        by_sight.map(|(at, _)| at).collect()
    } else {
        exactly
    };
    let listed = |found: &mut dyn Iterator<Item = usize>| -> String {
        let each = found.filter_map(|at| {
            let key = keys.get(at)?;
            Some(format!("\n  {:>2}  {}  {}", at + 1, named(key), path(key)))
        });
        each.collect()
    };
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(format!(
            "there is no key called {}; there are:{}",
            repeated(name),
            listed(&mut all().map(|(at, _)| at))
        )),
        several => Err(format!(
            "{} may be any of these; name one by its place, which stands last:{}",
            repeated(name),
            listed(&mut several.iter().copied())
        )),
    }
}

/// Whether what can be seen of a key is `name`, or its end is.
fn looks_like(key: &FileKey, name: &str) -> bool {
    let secret = &key.written;
    if !matches!(Source::of(secret.expose()), Source::Literal(_)) {
        return false;
    }
    let mask = name.replace('…', "...");
    mask == secret.recognisable()
        || (mask == secret.masked() && mask != "...")
        || (name.len() >= LEAST_END && secret.expose().ends_with(name))
}

fn repeated(name: &str) -> String {
    if name.chars().count() <= MOST_REPEATED {
        let name: String = name.chars().flat_map(char::escape_debug).collect();
        format!("`{name}`")
    } else {
        let masked: String = Secret::new(name.to_owned())
            .masked()
            .chars()
            .flat_map(char::escape_debug)
            .collect();
        format!("`{masked}`")
    }
}

#[cfg(test)]
mod tests {
    use api_key_lb_control::key_file::KeyFile;

    use super::*;

    const FILE: &str = r#"{
        "keys": ["sk-proj-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa0123", "sk-proj-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb4567",
                 {"key": "env:WORK", "label": "work"}, {"key": "sk-proj-cccccccccccccccccccccccccc0123", "label": "1"}],
        "pools": {"zai": {"target": "https://api.z.ai", "keys": ["short-k"]}}
    }"#;

    fn index(name: &str) -> Result<usize, String> {
        find(KeyFile::parse(FILE).unwrap().keys(), None, name)
    }

    #[test]
    fn a_key_is_named_by_label_number_place_mask_or_end() {
        for (name, at) in [
            ("key-1", 0),
            ("2", 1),
            ("keys[1]", 1),
            ("4567", 1),
            ("sk-proj-...4567", 1),
            ("sk-proj-…4567", 1),
            ("work", 2),
            ("env:WORK", 2),
            ("pools.zai.keys[0]", 4),
            ("zai-1", 4),
            ("5", 4),
            ("rt-k", 4),
        ] {
            assert_eq!(index(name), Ok(at), "{name}");
        }
    }

    #[test]
    fn a_name_of_several_keys_lists_them_with_what_tells_them_apart() {
        let why = index("0123").unwrap_err();
        assert!(why.contains("keys[0]") && why.contains("keys[3]"), "{why}");
        assert!(!why.contains("keys[1]") && !why.contains("aaaa"), "{why}");
        let why = index("1").unwrap_err();
        assert!(why.contains("keys[0]") && why.contains("keys[3]"), "{why}");
    }

    #[test]
    fn what_names_no_key_is_not_repeated_if_it_may_be_one() {
        let why = index("sk-planted-0123456789-0123456789").unwrap_err();
        assert!(!why.contains("planted") && why.contains("zai-1"), "{why}");
        assert!(
            index("hey")
                .unwrap_err()
                .starts_with("there is no key called `hey`")
        );
        assert!(index("k").is_err(), "too short for an end");
    }

    #[test]
    fn a_pool_narrows_it_down() {
        let file = KeyFile::parse(FILE).unwrap();
        assert!(find(file.keys(), Some("zai"), "work").is_err());
        assert_eq!(find(file.keys(), Some("zai"), "5"), Ok(4));
        assert!(
            pool_called(file.pools(), "x")
                .unwrap_err()
                .contains("default, zai")
        );
        assert_eq!(pool_called(file.pools(), "default"), Ok(""));
    }
}
