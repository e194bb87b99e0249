//! A table of texts, aligned; colours do not count as width.

/// Between two columns.
const GAP: &str = "  ";
/// Before the first one.
const INDENT: &str = "  ";

/// On which side the words of a column begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// One field.
#[derive(Debug)]
pub(super) struct Cell {
    plain: String,
    style: Option<fn(String) -> String>,
}

impl Cell {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self {
            plain: text.into(),
            style: None,
        }
    }

    pub(super) fn styled(text: impl Into<String>, style: fn(String) -> String) -> Self {
        Self {
            plain: text.into(),
            style: Some(style),
        }
    }

    fn width(&self) -> usize {
        self.plain.chars().count()
    }
}

/// A row, or a note that belongs to the one before.
#[derive(Debug)]
enum Row {
    Cells(Vec<Cell>),
    Note(String),
}

/// The table.
#[derive(Debug)]
pub(super) struct Table {
    aligns: Vec<Align>,
    rows: Vec<Row>,
}

impl Table {
    pub(super) fn new(columns: &[(&str, Align)]) -> Self {
        let heads = columns.iter();
        let heads = heads.map(|(name, _)| Cell::styled(*name, super::strong));
        Self {
            aligns: columns.iter().map(|(_, align)| *align).collect(),
            rows: vec![Row::Cells(heads.collect())],
        }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(Row::Cells(cells.into_iter().collect()));
    }

    pub(super) fn note(&mut self, text: String) {
        self.rows.push(Row::Note(text));
    }

    pub(super) fn text(self) -> String {
        let mut widths = vec![0; self.aligns.len()];
        for row in &self.rows {
            if let Row::Cells(cells) = row {
                for (width, cell) in widths.iter_mut().zip(cells) {
                    *width = cell.width().max(*width);
                }
            }
        }
        let mut text = String::new();
        for row in self.rows {
            text.push_str(INDENT);
            match row {
                Row::Note(note) => {
                    text.push_str(GAP);
                    text.push_str(&note);
                }
                Row::Cells(cells) => {
                    let last = cells.len().saturating_sub(1);
                    let places = widths.iter().zip(&self.aligns);
                    for (at, (cell, (width, align))) in cells.into_iter().zip(places).enumerate() {
                        let pad = " ".repeat(width.saturating_sub(cell.width()));
                        let words = match cell.style {
                            Some(style) => style(cell.plain),
                            None => cell.plain,
                        };
                        match align {
                            Align::Right => text.extend([pad.as_str(), &words]),
                            Align::Left if at == last => text.push_str(&words),
                            Align::Left => text.extend([words.as_str(), &pad]),
                        }
                        if at < last {
                            text.push_str(GAP);
                        }
                    }
                }
            }
            text.push('\n');
        }
        text
    }
}
