//! The log of a service of systemd: asked of `journalctl`, without what it adds to lines.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::exit::Exit;

use super::View;

/// The program that tells.
const PROGRAM: &str = "journalctl";
/// How it says up to where it has told.
const CURSOR: &str = "-- cursor: ";

/// Whose log it is.
pub(super) struct Unit {
    pub(super) name: String,
    /// Whether the user's own manager runs it.
    pub(super) user: bool,
}

pub(super) fn show(unit: &Unit, view: &View<'_>) -> anyhow::Result<Exit> {
    // With a filter nobody knows how many lines back the last wanted ones are.
    let lines = if view.filter.is_open() {
        view.lines.to_string()
    } else {
        "all".to_owned()
    };
    let (mut last, mut cursor) = (VecDeque::new(), None);
    let exit = ask(unit, &["--show-cursor", "--lines", &lines], |line| {
        match line.strip_prefix(CURSOR) {
            Some(told) => cursor = Some(told.to_owned()),
            None => view.keep(&mut last, line),
        }
        Ok(())
    })?;
    view.print(last)?;
    if !view.follow || exit != Exit::Success {
        return Ok(exit);
    }
    let after = cursor.map(|cursor| format!("--after-cursor={cursor}"));
    let from = after.as_deref().unwrap_or("--lines=0");
    ask(unit, &["--follow", "--no-tail", from], |line| {
        Ok(view.print(view.filter.wants(&line).then_some(line))?)
    })
}

fn ask(
    unit: &Unit,
    args: &[&str],
    mut each: impl FnMut(String) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    // Not `--user --unit`: where journals are not kept on disk, users have none of their own.
    let of = if unit.user { "--user-unit" } else { "--unit" };
    let mut child = Command::new(PROGRAM)
        .args([of, &unit.name, "--output=cat", "--quiet", "--no-pager"])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{PROGRAM}`"))?;
    let told = child.stdout.take().context("it has no output")?;
    let mut done = Ok(());
    for line in BufReader::new(told).split(b'\n') {
        done = line
            .map_err(anyhow::Error::from)
            .and_then(|line| each(String::from_utf8_lossy(&line).into_owned()));
        if done.is_err() {
            break;
        }
    }
    if done.is_err() {
        // Nobody wants to hear the rest.
        let _ = child.kill();
    }
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for `{PROGRAM}`"))?;
    done.map(|()| status.into())
}
