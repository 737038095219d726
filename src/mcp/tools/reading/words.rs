//! The sentences about a file, beside its content.

use crate::base::text::counted;
use crate::reading::note::Note;
use crate::reading::page::Facts;
use crate::reading::{LINES, MAX_FETCHED_BYTES, python};
use crate::render::table::MAX_CELL;

/// The text above the file's own, or instead of it if there is none to show.
pub(super) fn text(note: &Note, facts: &Facts) -> Option<String> {
    Some(match note {
        Note::Binary { is_misnamed, .. } | Note::MissingPackage { is_misnamed, .. } => {
            binary(facts, *is_misnamed)
        }
        Note::Preview {
            is_misnamed: true, ..
        } => binary(facts, true),
        Note::EmptyFile => "The file is empty.".to_owned(),
        Note::EmptyNotebook => "The notebook has no cells.".to_owned(),
        Note::NoSuchLine {
            line,
            total: Some(total),
        } => format!(
            "There is no line {line}: the file has {}.",
            counted(*total, "line", "lines")
        ),
        Note::NoSuchLine { line, total: None } => {
            format!("There is no line {line}: the file ends before it.")
        }
        Note::UnreadablePicture(error) => format!("The picture is not shown: {error}."),
        Note::SlowNotebook => "The notebook is not shown: it takes too long to read.".to_owned(),
        Note::Preview { .. }
        | Note::LargePicture
        | Note::NotAsJson
        | Note::NotAsNotebook
        | Note::EarlierProgress { .. }
        | Note::OtherLines
        | Note::GuessedEncoding
        | Note::OddBytes
        | Note::CutLine
        | Note::UnclosedQuote { .. }
        | Note::CutColumns { .. }
        | Note::CutCells
        | Note::NextLine { .. }
        | Note::NextRow { .. }
        | Note::CutJson { .. }
        | Note::CutNotebook { .. } => return None,
    })
}

fn binary(facts: &Facts, is_misnamed: bool) -> String {
    let size = counted(facts.size_bytes, "byte", "bytes");
    let so = if is_misnamed {
        ", despite its name"
    } else {
        ""
    };
    format!("A binary file of type {}, {size}{so}.", facts.mime)
}

/// Explains a note, and gives the next step.
pub(super) fn hint(note: &Note, facts: &Facts) -> Option<String> {
    let path = python(&facts.path);
    Some(match note {
        Note::EmptyFile | Note::EmptyNotebook => return None,
        Note::Binary { code, .. } => format!(
            "It is not text: download_from_colab fetches it, or this code shows its content: {code}"
        ),
        Note::Preview { said, code, .. } => {
            let said = said.as_ref().map_or_else(String::new, |said| format!("{said} "));
            format!(
                "{said}This is a preview: download_from_colab fetches the file, or this code shows its content: {code}"
            )
        }
        Note::MissingPackage { package, .. } => format!(
            "The runtime's Python lacks {package}, which shows the schema and the first rows: run code, %pip install {package}, and call again. \
             download_from_colab fetches the file."
        ),
        Note::NoSuchLine {
            total: Some(total), ..
        } => format!(
            "Give a line from 1 to {total}, or -{LINES} to see its end; if the file is still being written, line {} will be the next.",
            total + 1
        ),
        Note::NoSuchLine { total: None, .. } => format!("Give line -{LINES} to see its end."),
        Note::LargePicture => format!(
            "The picture is larger than {} MB: download_from_colab fetches it, or run code that scales it down.",
            MAX_FETCHED_BYTES / 1024 / 1024
        ),
        Note::UnreadablePicture(_) => "download_from_colab fetches the unchanged file.".to_owned(),
        Note::SlowNotebook => {
            "download_from_colab fetches it; `line` shows its JSON as plain lines.".to_owned()
        }
        Note::NotAsJson => "It is not valid JSON, or too long to be indented here.".to_owned(),
        Note::NotAsNotebook => format!(
            "It is shown as text, because it is not a valid notebook, is still being written, or is larger than {} MB.",
            MAX_FETCHED_BYTES / 1024 / 1024
        ),
        Note::EarlierProgress { count } => format!(
            "Progress bars are shown only in their last state: {} omitted.",
            counted(*count as u64, "earlier one is", "earlier ones are")
        ),
        Note::OtherLines => {
            "Lines are numbered by the line feeds in the file, not by the lines shown here."
                .to_owned()
        }
        Note::GuessedEncoding => {
            "It is not UTF-8 and is read as cp1252 (Western European), which is a guess.".to_owned()
        }
        Note::OddBytes => odd_bytes(&path, facts.encoding.as_deref()),
        Note::CutLine => "The last line shown is too long and was cut: read it from code, or use download_from_colab.".to_owned(),
        Note::UnclosedQuote { line } => format!(
            "A quote opened in line {line} is never closed: such lines are shown with their quotes."
        ),
        Note::CutColumns { shown } => format!("Only the first {shown} columns are shown."),
        Note::CutCells => format!(
            "Cells are cut at {MAX_CELL} characters, and line breaks in them are shown as spaces: `line` shows them whole."
        ),
        Note::NextLine { line } => format!("To read on, call again with line {line}."),
        Note::NextRow { line, is_endless } => {
            let why = if *is_endless {
                format!("The row in line {line} is very long, or its quote is never closed")
            } else {
                "Only the first rows are shown: `lines` shows more".to_owned()
            };
            format!(
                "{why}; line {line} continues as plain lines. To compute with it, run code: {} (csv.reader where pandas is not installed).",
                read_csv(&path, facts)
            )
        }
        Note::CutJson { lines } => format!(
            "The JSON continues: its first {lines} lines are shown, indented. Read the rest from code, such as \
             import json; d = json.load(open({path})); print(type(d), len(d), str(d)[:2000])."
        ),
        Note::CutNotebook { shown_cells, cells } => format!(
            "The notebook continues: the first {shown_cells} of its {cells} cells are shown, the last one perhaps in part. get_cells with from: \
             {shown_cells} reads on; download_from_colab fetches it; `line` shows its JSON as plain lines."
        ),
    })
}

fn odd_bytes(path: &str, encoding: Option<&str>) -> String {
    match encoding {
        Some(encoding) if encoding.starts_with("utf-16") || encoding.starts_with("utf-32") => {
            format!(
                "\u{fffd} stands for an invalid character of {encoding}, such as an odd byte at the end: read the rest from code with \
                 open({path}, encoding=\"{encoding}\", errors=\"replace\")."
            )
        }
        _ => format!(
            "Some bytes are not UTF-8 and are shown as \u{fffd}: read them from code with the right encoding, open({path}, encoding=…)."
        ),
    }
}

/// Code that reads the table with pandas.
fn read_csv(path: &str, facts: &Facts) -> String {
    let mut code = format!("pandas.read_csv({path}");
    if let Some(sign) = facts.delimiter {
        code += &format!(", sep={sign:?}");
    }
    if let Some(encoding) = &facts.encoding {
        code += &format!(", encoding={encoding:?}");
    }
    code + ")"
}
