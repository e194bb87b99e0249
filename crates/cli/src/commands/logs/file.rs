//! A log that is a file, with those of before it; read on while it grows, is moved or emptied.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::exit::Exit;
use crate::output;

use super::View;

/// How often one looks for more.
const POLL: Duration = Duration::from_millis(200);
/// How many files of before are looked for.
const MOST_FILES: u32 = 100;

pub(super) fn show(path: &Path, view: &View<'_>) -> anyhow::Result<Exit> {
    let failed = || format!("cannot read the log {}", path.display());
    let mut file = File::open(path).with_context(failed)?;
    let mut last = VecDeque::new();
    let (mut read, mut rest) = (0, Vec::new());
    BufReader::new(&mut file)
        .read_to_end_of_lines(&mut |line, ends| {
            read += line.len() as u64;
            if ends {
                view.keep(&mut last, text(line));
            } else {
                rest = line.to_vec();
            }
        })
        .with_context(failed)?;
    before(path, view, &mut last);
    view.print(last)?;
    if !view.follow {
        view.print((!rest.is_empty()).then(|| text(&rest)))?;
        return Ok(Exit::Success);
    }
    let mut growing = Growing { file, read, rest };
    loop {
        std::thread::sleep(POLL);
        // First this, then the rest of the old one: what comes after is in the new one.
        let moved = !is_same(&growing.file, path);
        let mut lines = growing.more().with_context(failed)?;
        if moved && let Ok(file) = File::open(path) {
            growing = Growing {
                file,
                read: 0,
                rest: Vec::new(),
            };
            lines.extend(growing.more().with_context(failed)?);
        }
        view.print(lines.into_iter().filter(|line| view.filter.wants(line)))?;
    }
}

/// Puts lines of older files before the ones that are there, until there are enough.
fn before(path: &Path, view: &View<'_>, last: &mut VecDeque<String>) {
    for number in 1..=MOST_FILES {
        if last.len() >= view.lines {
            return;
        }
        let Ok(file) = File::open(output::numbered(path, number)) else {
            return;
        };
        let mut older = VecDeque::new();
        let read = BufReader::new(file).read_to_end_of_lines(&mut |line, _| {
            view.keep(&mut older, text(line));
        });
        // What could be read of it is better than nothing.
        drop(read);
        let room = view.lines - last.len();
        for line in older.into_iter().rev().take(room) {
            last.push_front(line);
        }
    }
}

/// A file that is read on.
struct Growing {
    file: File,
    read: u64,
    /// The beginning of a line whose end is not there yet.
    rest: Vec<u8>,
}

impl Growing {
    /// The lines that have come.
    fn more(&mut self) -> io::Result<Vec<String>> {
        if self.file.metadata()?.len() < self.read {
            // Somebody has emptied it.
            self.read = 0;
            self.rest.clear();
        }
        self.file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = std::mem::take(&mut self.rest);
        self.read += self.file.read_to_end(&mut bytes)? as u64;
        let end = bytes.iter().rposition(|byte| *byte == b'\n');
        let rest = bytes.split_off(end.map_or(0, |end| end + 1));
        self.rest = rest;
        Ok(bytes
            .split_inclusive(|byte| *byte == b'\n')
            .map(text)
            .collect())
    }
}

/// Lines as bytes, which need not be text.
trait Lines {
    /// Calls back with each line, and whether it has an end.
    fn read_to_end_of_lines(self, line: &mut dyn FnMut(&[u8], bool)) -> io::Result<()>;
}

impl<R: io::Read> Lines for BufReader<R> {
    fn read_to_end_of_lines(mut self, line: &mut dyn FnMut(&[u8], bool)) -> io::Result<()> {
        let mut bytes = Vec::new();
        while self.read_until(b'\n', &mut bytes)? > 0 {
            line(&bytes, bytes.ends_with(b"\n"));
            bytes.clear();
        }
        Ok(())
    }
}

fn text(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end_matches(['\n', '\r']).to_owned()
}

#[cfg(unix)]
fn is_same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let which = |file: fs::Metadata| (file.dev(), file.ino());
    // One that is gone will be there again.
    fs::metadata(path).map_or(true, |there| {
        file.metadata()
            .is_ok_and(|ours| which(ours) == which(there))
    })
}

#[cfg(not(unix))]
fn is_same(_file: &File, _path: &Path) -> bool {
    true
}
