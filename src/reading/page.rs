//! The page that shows a file once it is read.

use serde::Serialize;

use super::note::Note;
use super::opening;
use crate::base::text::Room;
use crate::render::notebook::Notebook;
use crate::render::picture::Fitted;
use crate::render::table::Table;
use crate::render::{json, log};
use crate::wire::files::FileText;
use crate::wire::problem::Problem;

/// The text or picture of a file, facts about it, and notes.
#[derive(Debug)]
pub struct Page {
    pub text: String,
    pub picture: Option<Fitted>,
    pub facts: Facts,
    /// In the order in which they are shown.
    pub notes: Vec<Note>,
    /// Why the runtime does not show what is in it.
    pub refusal: Option<Problem>,
}

/// Facts about the file, in the order in which they are shown.
#[derive(Debug, Serialize)]
pub struct Facts {
    pub path: String,
    pub size_bytes: u64,
    pub mime: String,
    pub modified_at: String,
    pub first_line: Option<u64>,
    /// None at the end.
    pub next_line: Option<u64>,
    /// None if the end was not reached.
    pub total_lines: Option<u64>,
    /// As Python's `open` takes it, unless it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// Delimiter of a table, unless it is a comma.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown_columns: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cells: Option<usize>,
    /// The names in the objects of JSON lines, with types.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<String>,
    /// The text is cut.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
}

impl Facts {
    fn of(file: &FileText) -> Self {
        Self {
            path: file.path.clone(),
            size_bytes: file.size,
            mime: file.mime.clone(),
            modified_at: file.modified_at.clone(),
            first_line: file.first_line,
            next_line: file.next_line,
            total_lines: file.total_lines,
            encoding: file.encoding.clone().filter(|name| name != "utf-8"),
            delimiter: None,
            rows: None,
            columns: None,
            shown_columns: None,
            cells: None,
            fields: None,
            is_cut: false,
        }
    }
}

impl Page {
    /// A page with only the facts.
    pub(super) fn blank(file: &FileText) -> Self {
        Self {
            text: String::new(),
            picture: None,
            facts: Facts::of(file),
            notes: Vec::new(),
            refusal: None,
        }
    }

    pub(super) fn with(mut self, note: Note) -> Self {
        self.notes.push(note);
        self
    }

    pub(super) fn binary(file: &FileText) -> Self {
        let opening = opening::opening(&file.path, &file.mime);
        Self::blank(file).with(Note::Binary {
            code: opening.code,
            is_misnamed: opening.is_misnamed,
        })
    }

    /// A page of plain lines; `why` explains why it is shown so.
    pub(super) fn lines(file: &FileText, lines: u64, why: Option<Note>, room: Room) -> Self {
        let mut page = Self::blank(file);
        let is_rendered = file.mime == "text/plain" && log::is_for_a_terminal(&file.text);
        let head = if is_rendered {
            log_head(&file.text, lines, room)
        } else {
            head(&file.text, lines, room)
        };
        let (facts, notes) = (&mut page.facts, &mut page.notes);
        if head.shown < file.text.lines().count() {
            facts.next_line = file.first_line.map(|first| first + head.shown as u64);
        }
        facts.is_cut = head.is_cut || file.is_cut;
        notes.extend(why);
        if head.left_out > 0 {
            let count = head.left_out;
            notes.push(Note::EarlierProgress { count });
        }
        if is_rendered && head.text.lines().count() != head.shown {
            notes.push(Note::OtherLines);
        }
        notes.extend(encoding_note(file));
        if facts.is_cut {
            notes.push(Note::CutLine);
        }
        if let Some(line) = facts.next_line {
            notes.push(Note::NextLine { line });
        }
        if file.text.is_empty() {
            notes.push(match file.total_lines {
                Some(0) => Note::EmptyFile,
                total => Note::NoSuchLine {
                    line: file.first_line.unwrap_or(1),
                    total,
                },
            });
        } else {
            page.text = head.text;
        }
        page
    }

    pub(super) fn table(file: &FileText, table: &Table, room: Room) -> Self {
        let mut page = Self::blank(file);
        let head = head(&table.text, u64::MAX, room);
        let left_out = table.lines.len() - head.shown;
        let (facts, notes) = (&mut page.facts, &mut page.notes);
        facts.rows = Some(table.rows.saturating_sub(left_out));
        facts.columns = Some(table.columns);
        facts.shown_columns = (table.shown_columns < table.columns).then_some(table.shown_columns);
        facts.delimiter = Some(table.delimiter).filter(|sign| *sign != ',');
        facts.is_cut = head.is_cut;
        let passed = table.lines[..head.shown]
            .last()
            .copied()
            .unwrap_or_default();
        let has_more = left_out > 0 || !table.is_all;
        facts.next_line = (file.first_line.filter(|_| has_more)).map(|first| first + passed as u64);
        notes.extend(encoding_note(file));
        notes.extend(table.unclosed_line.map(|line| Note::UnclosedQuote { line }));
        notes.extend(facts.shown_columns.map(|shown| Note::CutColumns { shown }));
        if table.has_cut_cells {
            notes.push(Note::CutCells);
        }
        if let Some(line) = facts.next_line {
            let is_endless = left_out == 0 && table.is_open;
            notes.push(Note::NextRow { line, is_endless });
        }
        page.text = head.text;
        page
    }

    /// A page of indented JSON; none if it is not JSON, or longer than an answer and already on several lines.
    pub(super) fn json(file: &FileText, is_whole: bool, room: Room) -> Option<Self> {
        let text = if is_whole {
            json::pretty(&file.text)?
        } else {
            let is_one_line = file.is_cut && file.first_line == Some(1) && file.next_line.is_none();
            (is_one_line && file.text.starts_with(['{', '[']))
                .then(|| json::indented(&file.text))?
        };
        let mut page = Self::blank(file);
        let head = head(&text, u64::MAX, room);
        page.facts.is_cut = !is_whole || head.is_cut || head.text.len() < text.len();
        if page.facts.is_cut && file.text.lines().count() > 1 {
            return None;
        }
        if page.facts.is_cut {
            // These count lines of the file, not of the page.
            (page.facts.first_line, page.facts.next_line) = (None, None);
            page.notes.push(Note::CutJson { lines: head.shown });
        }
        page.text = head.text;
        Some(page)
    }

    pub(super) fn notebook(file: &FileText, notebook: &Notebook, room: Room) -> Self {
        let mut page = Self::blank(file);
        let head = head(&notebook.text, u64::MAX, room);
        let (facts, notes) = (&mut page.facts, &mut page.notes);
        // These count lines of the JSON, not of the page.
        (facts.first_line, facts.next_line) = (None, None);
        facts.cells = Some(notebook.cells);
        facts.is_cut = head.is_cut || notebook.is_cut || head.text.len() < notebook.text.len();
        if facts.is_cut {
            notes.push(Note::CutNotebook {
                shown_cells: notebook.shown_cells,
                cells: notebook.cells,
            });
        }
        if notebook.cells == 0 {
            notes.push(Note::EmptyNotebook);
        } else {
            page.text = head.text;
        }
        page
    }
}

/// Notes a guessed encoding, or bytes that are not valid in it.
fn encoding_note(file: &FileText) -> Option<Note> {
    match file.encoding.as_deref() {
        Some("cp1252") => Some(Note::GuessedEncoding),
        _ => (file.text.contains(char::REPLACEMENT_CHARACTER)).then_some(Note::OddBytes),
    }
}

/// The part of a text that fits in an answer.
struct Head {
    text: String,
    /// Lines of the file.
    shown: usize,
    /// The only line shown is incomplete.
    is_cut: bool,
    /// States of progress bars that were left out.
    left_out: usize,
}

/// Like [`head`], for lines that were written for a terminal.
fn log_head(text: &str, lines: u64, room: Room) -> Head {
    let lines = usize::try_from(lines).unwrap_or(usize::MAX);
    let mut wanted: Vec<&str> = text.split_inclusive('\n').take(lines).collect();
    loop {
        let plain = log::plain(&wanted.concat());
        if room.shares(&plain.text) <= room.capacity() {
            return Head {
                text: plain.text,
                shown: wanted.len(),
                is_cut: false,
                left_out: plain.left_out,
            };
        }
        if wanted.len() == 1 {
            return Head {
                text: room.head(&plain.text).to_owned(),
                shown: 1,
                is_cut: true,
                left_out: plain.left_out,
            };
        }
        wanted.truncate(wanted.len() * 3 / 4);
    }
}

/// Takes as many whole lines as fit in an answer.
fn head(text: &str, lines: u64, room: Room) -> Head {
    let lines = usize::try_from(lines).unwrap_or(usize::MAX);
    let (mut end, mut shown, mut taken) = (0, 0, 0);
    for line in text.split_inclusive('\n').take(lines) {
        taken += room.shares(line);
        if taken > room.capacity() {
            break;
        }
        (end, shown) = (end + line.len(), shown + 1);
    }
    let is_cut = shown == 0 && !text.is_empty();
    let text = match is_cut {
        true => room.head(text).to_owned(),
        false => text[..end].to_owned(),
    };
    Head {
        text,
        shown: shown.max(usize::from(is_cut)),
        is_cut,
        left_out: 0,
    }
}
