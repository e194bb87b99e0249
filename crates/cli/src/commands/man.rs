//! `api-key-lb man`: the manual pages, made of the same definition as the help.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use api_key_lb_control::config::variables;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::args::{Cli, ManArgs};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::render::count;

/// What the pages call the whole of them, in their foot.
const MANUAL: &str = "api-key-lb manual";
/// Where the files are that matter.
const FILES: &[(&str, &str)] = &[
    (
        "api-key-lb.json",
        "The configuration, if there is one in the current directory.",
    ),
    (
        "~/.config/api-key-lb/config.json",
        "The configuration otherwise; `config init --print` explains every setting.",
    ),
];

/// Runs the command.
pub(super) fn run(args: &ManArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let pages = pages()?;
    let Some(directory) = &args.directory else {
        // The last one is the program's own: commands come before what they belong to.
        let page = pages.last().map(|page| page.text.as_slice());
        printer.raw(page.unwrap_or_default())?;
        return Ok(Exit::Success);
    };
    write(directory, &pages)?;
    printer.say(format!(
        "{} written to {}",
        count(pages.len(), "page"),
        directory.display()
    ))?;
    Ok(Exit::Success)
}

/// A page and the name of its file.
struct Page {
    file: String,
    text: Vec<u8>,
}

fn write(directory: &Path, pages: &[Page]) -> anyhow::Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    for page in pages {
        let path = directory.join(&page.file);
        fs::write(&path, &page.text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// A page for each command that is no secret.
fn pages() -> io::Result<Vec<Page>> {
    // `help` would get a page, and again one for each command.
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    collect(&command, None, &mut pages)?;
    Ok(pages)
}

fn collect(command: &Command, parent: Option<&Command>, pages: &mut Vec<Page>) -> io::Result<()> {
    for inner in visible(command) {
        collect(inner, Some(command), pages)?;
    }
    pages.push(page(command, parent)?);
    Ok(())
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
}

fn page(command: &Command, parent: Option<&Command>) -> io::Result<Page> {
    let man = Man::new(command.clone())
        .source(concat!("api-key-lb ", env!("CARGO_PKG_VERSION")))
        .manual(MANUAL);
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if visible(command).next().is_some() {
        man.render_subcommands_section(&mut text)?;
    }
    let mut rest = String::new();
    if let Some(help) = command.get_after_help() {
        examples(&mut rest, &help.to_string());
    }
    if parent.is_none() {
        environment(&mut rest);
        list(&mut rest, "FILES", FILES.iter().copied());
    }
    see_also(&mut rest, command, parent);
    text.extend(rest.into_bytes());
    Ok(Page {
        file: man.get_filename(),
        text,
    })
}

/// The end of the help, line by line: what is aligned there stays so.
fn examples(page: &mut String, help: &str) {
    let help = help.strip_prefix("Examples:\n").unwrap_or(help);
    page.push_str(".SH EXAMPLES\n.nf\n");
    for line in help.lines() {
        page.push_str(&plain(line));
        page.push('\n');
    }
    page.push_str(".fi\n");
}

fn environment(page: &mut String) {
    let known = variables().map(|variable| (variable.name, variable.meaning));
    let file = (
        "API_KEY_LB_CONFIG",
        "The configuration file, unless --config names one",
    );
    list(page, "ENVIRONMENT", known.chain([file]));
}

fn list<'t>(page: &mut String, title: &str, items: impl Iterator<Item = (&'t str, &'t str)>) {
    page.push_str(&format!(".SH {title}\n"));
    for (name, meaning) in items {
        page.push_str(&format!(
            ".TP\n\\fB{}\\fR\n{}\n",
            plain(name),
            plain(meaning)
        ));
    }
}

fn see_also(page: &mut String, command: &Command, parent: Option<&Command>) {
    let name = |command: &Command| {
        let name = command.get_display_name().unwrap_or(command.get_name());
        format!("\\fB{}\\fR(1)", plain(name))
    };
    let others: Vec<String> = parent
        .into_iter()
        .chain(parent.into_iter().flat_map(visible))
        .filter(|other| other.get_name() != command.get_name())
        .map(name)
        .collect();
    if !others.is_empty() {
        page.push_str(&format!(".SH SEE ALSO\n{}\n", others.join(", ")));
    }
}

/// Text in which nothing means anything to the formatter.
fn plain(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    match text.as_bytes().first() {
        Some(b'.' | b'\'') => format!("\\&{text}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of<'p>(pages: &'p [Page], file: &str) -> &'p str {
        let page = pages.iter().find(|page| page.file == file);
        std::str::from_utf8(&page.unwrap_or_else(|| panic!("{file}")).text).unwrap()
    }

    fn names(command: &Command, prefix: &str, into: &mut Vec<String>) {
        let name = format!("{prefix}{}", command.get_name());
        for inner in command
            .get_subcommands()
            .filter(|inner| !inner.is_hide_set())
        {
            names(inner, &format!("{name}-"), into);
        }
        into.push(format!("{name}.1"));
    }

    #[test]
    fn every_command_and_order_has_a_page_and_every_page_a_command() {
        let mut expected = Vec::new();
        names(&Cli::command(), "", &mut expected);
        let made: Vec<String> = pages().unwrap().into_iter().map(|page| page.file).collect();
        assert_eq!(made, expected);
        assert!(made.contains(&"api-key-lb-config-show.1".to_owned()));
    }

    #[test]
    fn a_page_has_every_flag_and_the_examples_line_by_line() {
        let pages = pages().unwrap();
        let start = text_of(&pages, "api-key-lb-start.1");
        assert!(start.contains("\\-\\-detach"), "{start}");
        assert!(!start.contains("successor"), "{start}");
        assert!(
            start.contains("\n  api\\-key\\-lb start \\-\\-detach\n"),
            "{start}"
        );
        let whole = text_of(&pages, "api-key-lb.1");
        assert!(whole.contains("\\fBAKLB_MAX_WAIT_MS\\fR"), "{whole}");
    }

    #[test]
    fn what_means_something_to_the_formatter_is_only_text() {
        assert_eq!(plain(".SH x"), "\\&.SH x");
        assert_eq!(plain("a\\b --c"), "a\\eb \\-\\-c");
    }
}
