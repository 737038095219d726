//! A file that is no text, as the runtime shows it.

use super::form::Form;
use super::note::Note;
use super::opening;
use super::page::Page;
use super::{LINES, ROWS};
use crate::base::text::Room;
use crate::render::{json, table};
use crate::wire::files::{FilePreview, FileText};

/// Makes a page of the runtime's `preview` of `file`; `rows` are those requested.
pub(super) fn page(file: &FileText, preview: FilePreview, rows: Option<u64>, room: Room) -> Page {
    let opening = opening::opening(&file.path, &file.mime);
    let is_misnamed = opening.is_misnamed;
    let Some(text) = preview.text else {
        return match preview.missing_package {
            Some(package) => Page::blank(file).with(Note::MissingPackage {
                package,
                is_misnamed,
            }),
            None => Page::binary(file),
        };
    };
    let content = FileText {
        text,
        mime: (preview.text_mime.clone()).unwrap_or_else(|| file.mime.clone()),
        first_line: Some(1),
        ..file.clone()
    };
    let mut page = match preview.text_mime {
        Some(mime) => unpacked(&content, &mime, (rows, room), preview.is_cut),
        None => Page::lines(&content, u64::MAX, None, room),
    };
    let facts = &mut page.facts;
    facts.mime.clone_from(&file.mime);
    facts.is_cut |= preview.is_cut || facts.next_line.is_some();
    // What is said of lines holds for a file that is read by lines.
    (facts.first_line, facts.next_line) = (None, None);
    page.notes
        .retain(|note| matches!(note, Note::CutColumns { .. } | Note::EarlierProgress { .. }));
    page.with(Note::Preview {
        said: preview.note,
        code: opening.code,
        is_misnamed,
    })
}

/// The beginning of a text in a compressed file, as the same text would be shown outside of it.
fn unpacked(
    content: &FileText,
    mime: &str,
    (rows, room): (Option<u64>, Room),
    is_cut: bool,
) -> Page {
    let name = (content.path.rsplit_once('.')).map_or("", |(name, _)| name);
    let lines = rows.unwrap_or(LINES);
    let form = Form::of_name(name).or_of_mime(mime);
    let shown = match form {
        Form::Table { delimiter } => {
            let rows = usize::try_from(rows.unwrap_or(ROWS)).unwrap_or(usize::MAX);
            let table = table::csv(&content.text, delimiter, rows, !is_cut);
            table.map(|table| Page::table(content, &table, room))
        }
        Form::Json if !is_cut => Page::json(content, true, room),
        Form::Json | Form::JsonLines | Form::Notebook | Form::Lines => None,
    };
    let mut page = shown.unwrap_or_else(|| Page::lines(content, lines, None, room));
    if form == Form::JsonLines {
        page.facts.fields = json::fields(&content.text);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::page;
    use crate::base::text::Room;
    use crate::reading::note::Note;
    use crate::wire::files::{FilePreview, FileText};

    const ROOM: Room = Room {
        chars: 9_999,
        json_bytes: 9_999,
    };

    fn file(path: &str, mime: &str) -> FileText {
        FileText {
            path: path.to_owned(),
            size: 9,
            modified_at: String::new(),
            mime: mime.to_owned(),
            is_text: false,
            text: String::new(),
            first_line: None,
            next_line: None,
            total_lines: None,
            is_cut: false,
            encoding: None,
        }
    }

    fn preview(text: Option<&str>) -> FilePreview {
        FilePreview {
            path: String::new(),
            size: 9,
            modified_at: String::new(),
            mime: String::new(),
            text: text.map(str::to_owned),
            text_mime: None,
            is_cut: false,
            note: None,
            missing_package: None,
        }
    }

    #[test]
    fn a_kind_without_a_preview_or_its_package_is_a_binary_file() {
        let parquet = file("a.txt", "application/vnd.apache.parquet");
        let found = page(&parquet, preview(None), None, ROOM);
        assert!(
            matches!(&found.notes[..], [Note::Binary { code, is_misnamed: true }] if code.contains("read_parquet"))
        );
        let lacking = FilePreview {
            missing_package: Some("pyarrow".to_owned()),
            ..preview(None)
        };
        let found = page(&parquet, lacking, None, ROOM);
        assert!(
            matches!(&found.notes[..], [Note::MissingPackage { package, is_misnamed: true }] if package == "pyarrow")
        );
        assert!(found.text.is_empty());
    }

    #[test]
    fn what_the_runtime_says_is_shown_as_it_is() {
        let said = FilePreview {
            note: Some("Half of it.".to_owned()),
            is_cut: true,
            ..preview(Some("a,b\n1,2\n"))
        };
        let found = page(
            &file("a.csv.db", "application/vnd.sqlite3"),
            said,
            Some(1),
            ROOM,
        );
        assert_eq!(found.text, "a,b\n1,2\n");
        assert!(found.facts.is_cut);
        assert!(
            matches!(&found.notes[..], [Note::Preview { said: Some(said), is_misnamed: false, .. }] if said == "Half of it.")
        );
    }

    #[test]
    fn a_text_in_a_compressed_file_is_shown_as_outside_of_it() {
        for (path, mime, text, shown, is_cut) in [
            (
                "a.csv.gz",
                "text/csv",
                "a,b\n1,2\n3,4\n",
                "a  b\n1  2\n",
                true,
            ),
            (
                "a.json.gz",
                "application/json",
                "{\"a\":1}",
                "{\n  \"a\": 1\n}",
                false,
            ),
            ("a.log.gz", "text/plain", "1\n2\n", "1\n", true),
            ("a.gz", "text/plain", "1\n", "1\n", false),
        ] {
            let packed = FilePreview {
                text_mime: Some(mime.to_owned()),
                ..preview(Some(text))
            };
            let found = page(&file(path, "application/gzip"), packed, Some(1), ROOM);
            assert_eq!(
                (found.text.as_str(), found.facts.is_cut),
                (shown, is_cut),
                "{path}"
            );
            assert_eq!(found.facts.mime, "application/gzip");
            assert_eq!(
                (found.facts.first_line, found.facts.next_line),
                (None, None),
                "{path}"
            );
        }
    }
}
