//! `api-key-lb config init`: writes a file in which everything is explained and commented out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use api_key_lb_control::config::{Location, template};
use api_key_lb_control::{Environment, Flags, create_private, write_private};
use jiff::Timestamp;

use crate::args::InitArgs;
use crate::check;
use crate::exit::Exit;
use crate::printer::{Printer, good};

/// The date in the name of a copy, in UTC: sorted by name is sorted by time, and no colon, which Windows forbids.
const DATE: &str = "%Y%m%d-%H%M%S";

/// Runs the order.
pub(super) fn run(args: &InitArgs, env: &Environment, printer: &Printer) -> anyhow::Result<Exit> {
    let named = args.file.as_ref().or(args.config.as_ref());
    let text = template();
    if args.print || named.is_some_and(|file| file.as_os_str() == "-") {
        printer.raw(text.as_bytes())?;
        return Ok(Exit::Success);
    }
    let flags = Flags {
        config: named.cloned(),
        ..Flags::default()
    };
    let Some(Location { path, .. }) = Location::for_setup(&flags, env) else {
        printer.error(
            "there is no home directory to write to; name the file: api-key-lb config init FILE",
        );
        return Ok(Exit::Failure);
    };
    let kept = match create_private(&path, &text) {
        Ok(()) => None,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && args.force => {
            let kept = keep(&path)?;
            write_private(&path, &text)
                .with_context(|| format!("cannot write {}", path.display()))?;
            kept
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            printer.error(format!(
                "{} is there already, and stays as it is; `--print` shows what would be written, `--force` \
                 replaces the file and keeps it under another name",
                path.display()
            ));
            return Ok(Exit::Failure);
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot write {}", path.display()));
        }
    };
    printer.say(format!("{} {}", good("written"), path.display()))?;
    if let Some(kept) = kept {
        printer.say(format!("what was there is {}", kept.display()))?;
    }
    printer.say(
        "Put your keys and the provider's URL into it, then: api-key-lb config check, api-key-lb start",
    )?;
    Ok(Exit::Success)
}

/// Copies what is at `path` to a name with the date; `None` if there is nothing but a link that leads nowhere.
fn keep(path: &Path) -> anyhow::Result<Option<PathBuf>> {
    let before = match fs::read_to_string(path) {
        Ok(before) => before,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
    };
    let now = i64::try_from(check::now().unix_millis()).unwrap_or(i64::MAX);
    let date = Timestamp::from_millisecond(now)
        .unwrap_or(Timestamp::MAX)
        .strftime(DATE)
        .to_string();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut number = 1;
    loop {
        let suffix = if number == 1 {
            String::new()
        } else {
            format!("-{number}")
        };
        let copy = path.with_file_name(format!("{name}.{date}{suffix}.bak"));
        match create_private(&copy, &before) {
            Ok(()) => return Ok(Some(copy)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot keep a copy at {}", copy.display()));
            }
        }
    }
}
