//! Runs every agent over its fixtures: propose, edit, compare, propose again, undo.
//!
//! `fixtures/AGENT/CASE/in` holds `home` and, if the case has one, `project`; `out` only what differs
//! afterwards. `case.json`, where it is, says what is not the usual: `pools` (target and base each), `vars`
//! (`$HOME` stands for the home directory), `os`, `notes` (a part of each that must be among the proposal's),
//! `environment`, `already`, and `refused` (files that cannot be understood). Keys in fixtures contain `fake`.
//! With `BLESS=1` in the environment, `out` is written instead of compared: look at the difference then.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step fails the test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use api_key_lb_agents::agent::{self, Agent, Candidate, Document, Machine, Os};
use api_key_lb_agents::agents::called;
use api_key_lb_agents::aim::{Aim, Pool};
use serde_json::{Value, json};

const HOME: &str = "/home/ada";
const PROJECT: &str = "/srv/project";
/// What every agent here must show.
const CASES: &[&str] = &[
    "already",
    "broken",
    "commented",
    "elsewhere",
    "empty",
    "minimal",
    "several",
    "windows",
];

/// Texts of files, by the paths the agent knows.
type Texts = BTreeMap<PathBuf, String>;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn directories(of: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(of)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// The files below `directory`, as if it were the root of a machine with a home and a project.
fn read(directory: &Path) -> Texts {
    fn collect(directory: &Path, into: &Path, found: &mut Texts) {
        let Ok(entries) = fs::read_dir(directory) else {
            return;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let to = into.join(name(&path));
            if path.is_dir() {
                collect(&path, &to, found);
            } else {
                found.insert(to, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = Texts::new();
    collect(&directory.join("home"), Path::new(HOME), &mut found);
    collect(&directory.join("project"), Path::new(PROJECT), &mut found);
    found
}

fn bless(directory: &Path, texts: &Texts) {
    let _ = fs::remove_dir_all(directory);
    for (path, text) in texts {
        let to = match path.strip_prefix(HOME) {
            Ok(rest) => directory.join("home").join(rest),
            Err(_) => directory
                .join("project")
                .join(path.strip_prefix(PROJECT).unwrap()),
        };
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, text).unwrap();
    }
}

/// The agent's candidates, and what its patterns find among these files.
fn candidates(agent: &dyn Agent, machine: &Machine, texts: &Texts) -> Vec<Candidate> {
    let mut found = agent.candidates(machine);
    for pattern in agent.patterns(machine) {
        let list = |directory: &Path| {
            let mut names: Vec<_> = texts
                .keys()
                .filter_map(|path| path.strip_prefix(directory).ok()?.components().next())
                .map(|component| component.as_os_str().to_owned())
                .collect();
            names.dedup();
            names
        };
        found.extend(
            agent::expand(&pattern.path, list)
                .into_iter()
                .map(|path| Candidate {
                    path,
                    ..pattern.clone()
                }),
        );
    }
    found
}

/// Those that are there and can be read, and those that cannot.
fn documents(candidates: &[Candidate], texts: &Texts) -> (Vec<Document>, Vec<PathBuf>) {
    let (mut documents, mut refused) = (Vec::new(), Vec::new());
    for candidate in candidates {
        let Some(text) = texts.get(&candidate.path) else {
            continue;
        };
        match candidate.format.parse(text) {
            Ok(value) => documents.push(Document {
                path: candidate.path.clone(),
                format: candidate.format,
                value,
            }),
            Err(error) => {
                let says = error.to_string();
                assert!(!says.is_empty() && !says.contains("fake"), "{says}");
                refused.push(candidate.path.clone());
            }
        }
    }
    (documents, refused)
}

fn strings(value: &Value) -> Vec<String> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

fn run(agent: &dyn Agent, case: &Path) {
    let at = format!("{} {}", agent.id(), name(case));
    let says: Value = fs::read_to_string(case.join("case.json"))
        .map_or(json!({}), |text| serde_json::from_str(&text).unwrap());
    let pools = says.get("pools").cloned();
    let pools = pools.unwrap_or(json!([["https://api.z.ai", "http://127.0.0.1:4577"]]));
    let aim = Aim {
        pools: pools
            .as_array()
            .unwrap()
            .iter()
            .map(|pool| Pool {
                target: pool[0].as_str().unwrap().to_owned(),
                base: pool[1].as_str().unwrap().to_owned(),
            })
            .collect(),
        former: Vec::new(),
    };
    let texts = read(&case.join("in"));
    let machine = Machine {
        os: match says["os"].as_str() {
            Some("windows") => Os::Windows,
            Some("macos") => Os::MacOs,
            _ => Os::Linux,
        },
        home: PathBuf::from(HOME),
        project: case
            .join("in/project")
            .is_dir()
            .then(|| PathBuf::from(PROJECT)),
        vars: says["vars"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().replace("$HOME", HOME)))
            .collect(),
    };

    let known = candidates(agent, &machine, &texts);
    for path in texts.keys() {
        let is_known = known.iter().any(|candidate| candidate.path == *path);
        assert!(is_known, "{at}: {} is not a candidate", path.display());
    }
    let (before, refused) = documents(&known, &texts);
    let expected: Vec<PathBuf> = strings(&says["refused"])
        .iter()
        .map(|path| PathBuf::from(path.replace("$HOME", HOME)))
        .collect();
    assert_eq!(refused, expected, "{at}: what cannot be understood");

    let proposal = agent.propose(&aim, &machine, &before);
    assert!(
        !format!("{:?}", proposal.notes).contains("fake"),
        "{at}: a secret in a note"
    );
    for part in strings(&says["notes"]) {
        assert!(
            proposal.notes.iter().any(|note| note.contains(&part)),
            "{at}: no note says {part}: {:?}",
            proposal.notes
        );
    }
    if says["notes"].is_null() {
        assert_eq!(proposal.notes, Vec::<String>::new(), "{at}");
    }
    let environment: BTreeMap<&str, &str> = proposal
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let wanted = says["environment"].as_object().cloned().unwrap_or_default();
    assert_eq!(
        json!(environment),
        Value::Object(wanted),
        "{at}: environment"
    );
    if let Some(already) = says["already"].as_bool() {
        assert_eq!(proposal.already, already, "{at}: already");
    }

    let mut changed = Texts::new();
    for edit in &proposal.edits {
        let text = texts.get(&edit.path).map_or("", String::as_str);
        let edited = match edit.format.edit(text, &edit.changes) {
            Ok(edited) => edited,
            Err(error) => {
                assert!(refused.contains(&edit.path), "{at}: {error}");
                continue;
            }
        };
        assert_ne!(
            edited.text,
            text,
            "{at}: nothing changes in {}",
            edit.path.display()
        );
        let undone = edited.patch.undo(edit.format, &edited.text).unwrap();
        assert_eq!(undone.text, text, "{at}: undo");
        changed.insert(edit.path.clone(), edited.text);
    }
    if std::env::var_os("BLESS").is_some() {
        bless(&case.join("out"), &changed);
    }
    let out = read(&case.join("out"));
    assert_eq!(
        changed.keys().collect::<Vec<_>>(),
        out.keys().collect::<Vec<_>>(),
        "{at}: which files"
    );
    for (path, text) in &out {
        assert_eq!(changed[path], *text, "{at}: {}", path.display());
    }

    let after: Texts = texts.into_iter().chain(changed).collect();
    let known = candidates(agent, &machine, &after);
    let again = agent.propose(&aim, &machine, &documents(&known, &after).0);
    let again: Vec<_> = again
        .edits
        .iter()
        .filter(|edit| !refused.contains(&edit.path))
        .collect();
    assert!(again.is_empty(), "{at}: a second time: {again:?}");
}

#[test]
fn every_agent_changes_what_it_must_and_takes_it_back_exactly() {
    let mut wrong = Vec::new();
    for directory in directories(&fixtures()) {
        for case in directories(&directory) {
            let agent = || called(name(&directory)).expect("fixtures are named after agents");
            if std::panic::catch_unwind(|| run(agent(), &case)).is_err() {
                wrong.push(format!("{} {}", name(&directory), name(&case)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn every_fixture_set_shows_every_usual_case() {
    for directory in directories(&fixtures()) {
        for case in CASES {
            let is_there = directory.join(case).is_dir();
            assert!(is_there, "{} has no fixture {case}", name(&directory));
        }
    }
}
