//! Where in a text of JSON something is put in or taken out, so that every other byte stays.

use std::ops::Range;

/// The indentation of a text that shows none.
const UNIT: &str = "  ";

/// A part of a text and what it becomes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    range: Range<usize>,
    becomes: String,
}

impl Piece {
    pub(super) fn new(range: Range<usize>, becomes: impl Into<String>) -> Self {
        Self {
            range,
            becomes: becomes.into(),
        }
    }

    fn insert(at: usize, what: impl Into<String>) -> Self {
        Self::new(at..at, what)
    }

    fn delete(range: Range<usize>) -> Self {
        Self::new(range, "")
    }
}

/// The text with these pieces in it, which do not overlap.
pub(super) fn apply(text: &str, mut pieces: Vec<Piece>) -> String {
    pieces.sort_by_key(|piece| piece.range.start);
    let mut new = String::with_capacity(text.len());
    let mut at = 0;
    for Piece { range, becomes } in pieces {
        new.push_str(&text[at..range.start]);
        new.push_str(&becomes);
        at = range.end;
    }
    new.push_str(&text[at..]);
    new
}

/// How a text is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) line_end: &'static str,
    /// One level of indentation.
    pub(super) unit: String,
    /// Whether things stand in lines of their own.
    pub(super) lines: bool,
    /// Whether there are spaces behind colons and commas.
    pub(super) spaced: bool,
}

impl Style {
    /// Of a text whose outermost object begins there.
    pub(super) fn of(text: &str, object: usize) -> Self {
        let inside = text.get(object..).unwrap_or_default();
        let first = inside
            .lines()
            .skip(1)
            .find(|line| line.trim_start().starts_with('"'));
        let unit = first.map(|line| &line[..line.len() - line.trim_start().len()]);
        Self {
            line_end: if text.contains("\r\n") { "\r\n" } else { "\n" },
            unit: unit
                .filter(|unit| !unit.is_empty())
                .unwrap_or(UNIT)
                .to_owned(),
            lines: inside.contains('\n') || !inside.contains('"'),
            spaced: inside.contains("\": ") || !inside.contains("\":"),
        }
    }

    pub(super) const fn gap(&self) -> &'static str {
        if self.spaced { " " } else { "" }
    }

    /// `"name": value`.
    pub(super) fn member(&self, name: &str, value: &str) -> String {
        format!("\"{name}\":{}{value}", self.gap())
    }

    /// An object in one line.
    pub(super) fn object(&self, members: &[String]) -> String {
        let gap = self.gap();
        format!("{{{gap}{}{gap}}}", members.join(&format!(",{gap}")))
    }

    /// A list; in lines if the text has them, below a line that is indented so.
    pub(super) fn list(&self, items: &[String], indent: &str) -> String {
        if !self.lines {
            return format!("[{}]", items.join(&format!(",{}", self.gap())));
        }
        let (end, unit) = (self.line_end, &self.unit);
        let items: Vec<String> = items
            .iter()
            .map(|item| format!("{end}{indent}{unit}{item}"))
            .collect();
        format!("[{}{end}{indent}]", items.join(","))
    }
}

/// What puts `new` behind the last of several `items`.
pub(super) fn append(text: &str, items: &[Range<usize>], new: &str, style: &Style) -> Vec<Piece> {
    let Some(last) = items.last() else {
        return Vec::new();
    };
    behind(text, last, new, style)
}

/// What puts `new` behind `item`, in a line of its own if that stands in one.
pub(super) fn behind(text: &str, item: &Range<usize>, new: &str, style: &Style) -> Vec<Piece> {
    if !begins_line(text, item.start) {
        return vec![Piece::insert(item.end, format!(",{}{new}", style.gap()))];
    }
    let indent = indentation(text, item.start);
    let comma = comma_behind(text, item.end);
    let at = behind_comments(text, comma.map_or(item.end, |comma| comma + 1));
    let line = format!("{}{indent}{new}", style.line_end);
    match comma {
        Some(_) => vec![Piece::insert(at, format!("{line},"))],
        None if at == item.end => vec![Piece::insert(at, format!(",{line}"))],
        None => vec![Piece::insert(item.end, ","), Piece::insert(at, line)],
    }
}

/// What puts the first item into a list or object that is `whole` and holds none.
pub(super) fn first(text: &str, whole: &Range<usize>, new: &str, style: &Style) -> Piece {
    let inside = whole.start + 1..whole.end - 1;
    let indent = indentation(text, whole.start);
    let line = format!("{indent}{}{new}{}", style.unit, style.line_end);
    let close = inside.end;
    if begins_line(text, close) {
        // Behind the comments that may stand there.
        return Piece::insert(line_start(text, close), line);
    }
    let has_comments = !text[inside.clone()].trim().is_empty();
    if has_comments || !style.lines {
        return Piece::insert(close, new);
    }
    Piece::new(inside, format!("{}{line}{indent}", style.line_end))
}

/// What takes the item at `place` out of `items`. A comment behind it in its line goes with it.
pub(super) fn remove(text: &str, items: &[Range<usize>], place: usize) -> Vec<Piece> {
    let Some(item) = items.get(place) else {
        return Vec::new();
    };
    let comma = comma_behind(text, item.end);
    let end = comma.map_or(item.end, |comma| comma + 1);
    let is_last = place + 1 == items.len();
    let before = place.checked_sub(1).and_then(|before| items.get(before));
    let mut pieces = Vec::new();
    // The one before is the last one now.
    let comma_before = before.and_then(|before| comma_behind(text, before.end));
    if let (true, Some(at)) = (is_last, comma_before)
        && !begins_line(text, item.start)
        && text[at + 1..item.start].trim().is_empty()
    {
        // What stands behind it, a comma perhaps, now stands behind the one before.
        return vec![Piece::delete(at..item.end)];
    }
    if let (true, None, Some(comma)) = (is_last, comma, comma_before) {
        pieces.push(Piece::delete(comma..comma + 1));
    }
    let behind = behind_comments(text, end);
    let rest = &text[behind..line_end(text, behind)];
    if begins_line(text, item.start) && rest.trim().is_empty() {
        // With the line end before it, so that what stands behind it in its line stays.
        let line = line_start(text, item.start);
        pieces.push(Piece::delete(
            line_end(text, line_start(text, line.saturating_sub(1)))..behind,
        ));
    } else if let (Some(next), true) = (items.get(place + 1), comma.is_some()) {
        // Up to the next one, or to the end of the line.
        let to = match line_end(text, end) {
            line if line < next.start => end,
            _ => next.start,
        };
        pieces.push(Piece::delete(item.start..to));
    } else {
        let from = comma_before.map_or(item.start, |comma| comma + 1);
        pieces.push(Piece::delete(gap_before(text, from, item.start)..end));
    }
    pieces
}

/// Where the gap begins that goes with an item which begins at `at`, not before `from`. Comments stay.
fn gap_before(text: &str, from: usize, at: usize) -> usize {
    let line = line_start(text, at);
    if line <= from || !begins_line(text, at) {
        return text[from..at].trim_end_matches([' ', '\t']).len() + from;
    }
    let before = line_end(text, line_start(text, line - 1));
    // What follows the item would become a part of the comment.
    let swallows = text[from.min(before)..before].contains("//");
    if swallows { at } else { before.max(from) }
}

/// The blanks that the line begins with in which `at` is.
pub(super) fn indentation(text: &str, at: usize) -> &str {
    let line = &text[line_start(text, at)..];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

/// Where the line ends, before what ends it.
fn line_end(text: &str, at: usize) -> usize {
    let line = text[at..].split('\n').next().unwrap_or_default();
    at + line.strip_suffix('\r').unwrap_or(line).len()
}

fn begins_line(text: &str, at: usize) -> bool {
    text[line_start(text, at)..at].trim().is_empty()
}

/// The comma that follows, if nothing but blanks and comments stands between.
fn comma_behind(text: &str, mut at: usize) -> Option<usize> {
    loop {
        let rest = &text[at..];
        at += rest.len() - rest.trim_start().len();
        match comment_end(text, at) {
            Some(end) => at = end,
            None => return text[at..].starts_with(',').then_some(at),
        }
    }
}

/// Behind the comments that follow in the same line.
fn behind_comments(text: &str, from: usize) -> usize {
    let mut end = from;
    loop {
        let rest = &text[end..];
        let at = end + rest.len() - rest.trim_start_matches([' ', '\t']).len();
        match comment_end(text, at) {
            Some(behind) if !text[at..behind].contains('\n') => end = behind,
            _ => return end,
        }
    }
}

/// Where the comment that begins here ends.
fn comment_end(text: &str, at: usize) -> Option<usize> {
    let rest = &text[at..];
    if rest.starts_with("//") {
        Some(line_end(text, at))
    } else if rest.starts_with("/*") {
        Some(rest.find("*/").map_or(text.len(), |end| at + end + 2))
    } else {
        None
    }
}
