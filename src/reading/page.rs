//! What is shown of a file, and what is said of it.

use rmcp::model::CallToolResult;
use serde::Serialize;

use super::{LINES, TEXT_LIMIT, binary};
use crate::base::text::counted;
use crate::mcp::convert::reading;
use crate::render::notebook::Notebook;
use crate::render::table::{MAX_CELL, Table};
use crate::render::{json, log};
use crate::wire::files::FileText;

/// What is known of the file, in the order in which it is shown.
#[derive(Debug, Serialize)]
pub(super) struct Facts {
    success: bool,
    path: String,
    size_bytes: u64,
    mime: String,
    modified_at: String,
    first_line: Option<u64>,
    /// None at the end.
    next_line: Option<u64>,
    /// None where the end was not seen.
    total_lines: Option<u64>,
    /// As Python's `open` takes it, where it is not UTF-8 alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<String>,
    /// Of a table, where it is no comma.
    #[serde(skip_serializing_if = "Option::is_none")]
    delimiter: Option<char>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shown_columns: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cells: Option<usize>,
    /// The text does not show all of what it began to show.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_cut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
}

impl Facts {
    pub(super) fn of(file: &FileText) -> Self {
        Self {
            success: true,
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
            is_cut: false,
            hint: None,
        }
    }
}

pub(super) fn show_binary(file: &FileText) -> CallToolResult {
    let mut facts = Facts::of(file);
    let opening = binary::opening(&file.path, &file.mime);
    facts.hint = Some(format!(
        "It is not text: download_from_colab fetches it, or this code shows what is in it: {}",
        opening.code
    ));
    let size = counted(file.size, "byte", "bytes");
    let so = if opening.is_misnamed {
        ", whatever its name says"
    } else {
        ""
    };
    let text = format!("A binary file of type {}, {size}{so}.", file.mime);
    reading(text, None, &facts)
}

/// `note`: why it is shown as lines.
pub(super) fn show_lines(file: &FileText, lines: u64, note: Option<&str>) -> CallToolResult {
    let mut facts = Facts::of(file);
    let is_rendered = file.mime == "text/plain" && log::is_for_a_terminal(&file.text);
    let page = if is_rendered {
        log_head(&file.text, lines)
    } else {
        head(&file.text, lines)
    };
    let Head {
        text,
        shown,
        is_cut,
        left_out,
    } = page;
    if shown < file.text.lines().count() {
        facts.next_line = file.first_line.map(|first| first + shown as u64);
    }
    facts.is_cut = is_cut || file.is_cut;
    let mut hints: Vec<String> = note.map(str::to_owned).into_iter().collect();
    if left_out > 0 {
        hints.push(format!(
            "Of progress bars only the last state is shown: {} left out.",
            counted(left_out as u64, "earlier one is", "earlier ones are")
        ));
    }
    if is_rendered && text.lines().count() != shown {
        hints.push(
            "Lines are numbered by the line feeds in the file, not as they are shown here."
                .to_owned(),
        );
    }
    hints.extend(encoding_note(file));
    if facts.is_cut {
        hints.push("The last line shown is too long and was cut: run code that reads it, or use download_from_colab.".to_owned());
    }
    if let Some(next) = facts.next_line {
        hints.push(format!("To read on, call again with line {next}."));
    }
    let text = if file.text.is_empty() {
        let (words, hint) = no_lines(file);
        hints.extend(hint);
        words
    } else {
        text
    };
    facts.hint = (!hints.is_empty()).then(|| hints.join(" "));
    reading(text, None, &facts)
}

/// What is said where there is no line to show, and what to ask for.
fn no_lines(file: &FileText) -> (String, Option<String>) {
    let line = file.first_line.unwrap_or(1);
    match file.total_lines {
        Some(0) => ("The file is empty.".to_owned(), None),
        Some(total) => (
            format!(
                "There is no line {line}: the file has {}.",
                counted(total, "line", "lines")
            ),
            Some(format!(
                "Ask for a line from 1 to {total}, or for -{LINES} to see its end; where it is being written, line {} will be the next.",
                total + 1
            )),
        ),
        None => (
            format!("There is no line {line}: the file ends before it."),
            Some(format!("Ask for line -{LINES} to see its end.")),
        ),
    }
}

/// What is a guess, or is not readable, of how the text is written.
fn encoding_note(file: &FileText) -> Option<String> {
    let path = binary::python(&file.path);
    match file.encoding.as_deref() {
        Some("cp1252") => Some(
            "It is not UTF-8 and is read as cp1252 (Western European), which is a guess."
                .to_owned(),
        ),
        _ if !file.text.contains(char::REPLACEMENT_CHARACTER) => None,
        Some(encoding) if encoding.starts_with("utf-16") || encoding.starts_with("utf-32") => {
            Some(format!(
                "What is shown as \u{fffd} is no whole character of {encoding}, such as an odd byte at the end: code reads the rest with \
                 open({path}, encoding=\"{encoding}\", errors=\"replace\")."
            ))
        }
        _ => Some(format!(
            "Some bytes are not UTF-8 and are shown as \u{fffd}: code can read them with the right encoding, open({path}, encoding=…)."
        )),
    }
}

pub(super) fn show_table(file: &FileText, table: &Table) -> CallToolResult {
    let mut facts = Facts::of(file);
    let Head {
        text,
        shown,
        is_cut,
        ..
    } = head(&table.text, u64::MAX);
    let left_out = table.lines.len() - shown;
    facts.rows = Some(table.rows.saturating_sub(left_out));
    facts.columns = Some(table.columns);
    facts.shown_columns = (table.shown_columns < table.columns).then_some(table.shown_columns);
    facts.delimiter = Some(table.delimiter).filter(|sign| *sign != ',');
    facts.is_cut = is_cut;
    let passed = table.lines[..shown].last().copied().unwrap_or_default();
    let has_more = left_out > 0 || !table.is_all;
    facts.next_line = (file.first_line.filter(|_| has_more)).map(|first| first + passed as u64);
    let mut hints: Vec<String> = encoding_note(file).into_iter().collect();
    if let Some(line) = table.unclosed_line {
        hints.push(format!(
            "A quote that line {line} opens is never closed: such lines are shown with their quotes."
        ));
    }
    if let Some(columns) = facts.shown_columns {
        hints.push(format!("Only the first {columns} columns are shown."));
    }
    if table.has_cut_cells {
        hints.push(format!(
            "Cells are cut at {MAX_CELL} characters, and line breaks in them are blanks: `line` shows them whole."
        ));
    }
    if let Some(next) = facts.next_line {
        let why = if left_out == 0 && table.is_open {
            format!("The row in line {next} goes on for long, or its quote is never closed")
        } else {
            "Only the first rows: `lines` shows more of them".to_owned()
        };
        hints.push(format!(
            "{why}; line {next} reads on as plain lines. To compute with it, run code: {}.",
            read_csv(file, &facts)
        ));
    }
    facts.hint = (!hints.is_empty()).then(|| hints.join(" "));
    reading(text, None, &facts)
}

/// How pandas reads the table.
fn read_csv(file: &FileText, facts: &Facts) -> String {
    let mut code = format!("pandas.read_csv({}", binary::python(&file.path));
    if let Some(sign) = facts.delimiter {
        code += &format!(", sep={sign:?}");
    }
    if let Some(encoding) = &facts.encoding {
        code += &format!(", encoding={encoding:?}");
    }
    code + ")"
}

/// None when it is no JSON, or longer than an answer and has lines of its own.
pub(super) fn show_json(file: &FileText, is_whole: bool) -> Option<CallToolResult> {
    let text = if is_whole {
        json::pretty(&file.text)?
    } else {
        let is_one_line = file.is_cut && file.first_line == Some(1) && file.next_line.is_none();
        (is_one_line && file.text.starts_with(['{', '['])).then(|| json::indented(&file.text))?
    };
    let mut facts = Facts::of(file);
    let page = head(&text, u64::MAX);
    facts.is_cut = !is_whole || page.is_cut || page.text.len() < text.len();
    if facts.is_cut && file.text.lines().count() > 1 {
        return None;
    }
    if facts.is_cut {
        // Of the line that it is, not of what is shown.
        (facts.first_line, facts.next_line) = (None, None);
        facts.hint = Some(format!(
            "The JSON goes on: its first {} lines are shown, indented. Code reads the rest, such as \
             import json; d = json.load(open({})); print(type(d), len(d), str(d)[:2000]).",
            page.shown,
            binary::python(&file.path)
        ));
    }
    Some(reading(page.text, None, &facts))
}

pub(super) fn show_notebook(file: &FileText, notebook: &Notebook) -> CallToolResult {
    let Head { text, is_cut, .. } = head(&notebook.text, u64::MAX);
    let mut facts = Facts::of(file);
    // Of the JSON that it is, not of what is shown.
    (facts.first_line, facts.next_line) = (None, None);
    facts.cells = Some(notebook.cells);
    facts.is_cut = is_cut || notebook.is_cut || text.len() < notebook.text.len();
    facts.hint = facts.is_cut.then(|| {
        let (shown, cells) = (notebook.shown_cells, notebook.cells);
        let path = binary::python(&file.path);
        format!(
            "The notebook goes on: it is shown as far as into cell {shown} of {cells}. Code reads a later one, import json; \
             print(json.load(open({path}))[\"cells\"][{shown}]); download_from_colab fetches it; `line` shows its JSON as plain lines."
        )
    });
    let text = if notebook.cells == 0 {
        "The notebook has no cells.".to_owned()
    } else {
        text
    };
    reading(text, None, &facts)
}

/// What an answer holds of a text.
struct Head {
    text: String,
    /// Lines of the file.
    shown: usize,
    /// The only line that is shown is not whole.
    is_cut: bool,
    /// States of progress bars.
    left_out: usize,
}

/// The same as [`head`], of lines that were written for a terminal.
fn log_head(text: &str, lines: u64) -> Head {
    let lines = usize::try_from(lines).unwrap_or(usize::MAX);
    let mut wanted: Vec<&str> = text.split_inclusive('\n').take(lines).collect();
    loop {
        let plain = log::plain(&wanted.concat());
        if plain.text.chars().nth(TEXT_LIMIT).is_none() {
            return Head {
                text: plain.text,
                shown: wanted.len(),
                is_cut: false,
                left_out: plain.left_out,
            };
        }
        if wanted.len() == 1 {
            return Head {
                text: plain.text.chars().take(TEXT_LIMIT).collect(),
                shown: 1,
                is_cut: true,
                left_out: plain.left_out,
            };
        }
        wanted.truncate(wanted.len() * 3 / 4);
    }
}

/// As many whole lines as an answer holds.
fn head(text: &str, lines: u64) -> Head {
    let lines = usize::try_from(lines).unwrap_or(usize::MAX);
    let (mut end, mut shown, mut characters) = (0, 0, 0);
    for line in text.split_inclusive('\n').take(lines) {
        characters += line.chars().count();
        if characters > TEXT_LIMIT {
            break;
        }
        (end, shown) = (end + line.len(), shown + 1);
    }
    let is_cut = shown == 0 && !text.is_empty();
    let text = match is_cut {
        true => text.chars().take(TEXT_LIMIT).collect(),
        false => text[..end].to_owned(),
    };
    Head {
        text,
        shown: shown.max(usize::from(is_cut)),
        is_cut,
        left_out: 0,
    }
}
