//! The table of agents in docs/setup.md is that of the program.

#[path = "../../core/tests/generated/mod.rs"]
mod generated;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use api_key_lb_agents::agent::{Machine, Os};
use api_key_lb_agents::agents::AGENTS;

#[test]
fn the_documentation_names_every_agent_and_where_it_looks() {
    let machine = Machine {
        os: Os::Linux,
        home: PathBuf::from("~"),
        project: Some(PathBuf::from(".")),
        vars: BTreeMap::new(),
    };
    let mut table = "| agent | `--only` | files |\n|---|---|---|\n".to_owned();
    for agent in AGENTS {
        let mut files: Vec<String> = Vec::new();
        let candidates = agent.candidates(&machine);
        for candidate in candidates.into_iter().chain(agent.patterns(&machine)) {
            let file = format!("`{}`", candidate.path.display());
            if !files.contains(&file) {
                files.push(file);
            }
        }
        let files = match files.as_slice() {
            [] => "none: environment variables, printed".to_owned(),
            files => files.join(", "),
        };
        let _ = writeln!(table, "| {} | `{}` | {files} |", agent.name(), agent.id());
    }
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/setup.md");
    generated::check_generated(&docs, "agents", &table);
}
