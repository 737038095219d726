//! CSV as an aligned table.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::records::Records;

/// Width of a cell in terminal columns; longer ones are cut.
pub const MAX_CELL: usize = 40;
/// Width of a line; columns beyond it are counted, not shown.
const MAX_LINE_CHARS: usize = 240;
const GAP: &str = "  ";

/// The head of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Comments above the table, the heading, and the rows, each on a line of its own.
    pub text: String,
    /// For each line of `text`, the lines of the file that it and those before it take.
    pub lines: Vec<usize>,
    /// Rows in `text`, without the heading.
    pub rows: usize,
    /// Columns of the widest row.
    pub columns: usize,
    pub shown_columns: usize,
    pub delimiter: char,
    /// Some cells are too long to be shown whole.
    pub has_cut_cells: bool,
    /// Nothing of the file follows the last row.
    pub is_all: bool,
    /// A row follows that does not end in the text.
    pub is_open: bool,
    /// The first line of the file that opens a quote and does not close it; it is shown with its quotes.
    pub unclosed_line: Option<usize>,
}

/// Reads the first `rows` rows below a heading from `text`, the head of a file; `is_whole` if nothing follows it. Rows may differ in length.
/// `delimiter` is the one that the file's name implies. None if there is not even a heading.
#[must_use]
pub fn csv(text: &str, delimiter: Option<char>, rows: usize, is_whole: bool) -> Option<Table> {
    let found = Records::read(text, delimiter, rows.saturating_add(1), is_whole);
    let ends = found.comments.iter().map(|(_, end)| *end);
    let ends = ends.chain(found.all.iter().map(|(_, end)| *end));
    let lines = ends
        .scan((0, 0), |(start, lines), end| {
            let part = &text[*start..end];
            let is_line = part.is_empty() || part.ends_with(['\n', '\r']);
            *lines += part.matches('\n').count() + usize::from(!is_line);
            *start = end;
            Some(*lines)
        })
        .collect();
    let records: Vec<Vec<String>> = found
        .all
        .iter()
        .map(|(record, _)| record.iter().map(|field| cell(field)).collect())
        .collect();
    let columns = records.iter().map(Vec::len).max()?;
    let widths = (0..columns).map(|at| {
        let width = |record: &Vec<String>| record.get(at).map_or(0, |cell| cell.width());
        records.iter().map(width).max().unwrap_or(0)
    });
    let mut room = MAX_LINE_CHARS;
    let shown: Vec<usize> = widths
        .take_while(|width| {
            let fits = *width <= room;
            room = room.saturating_sub(width + GAP.len());
            fits
        })
        .collect();
    let is_number: Vec<bool> = (0..shown.len())
        .map(|at| {
            let mut cells = records.iter().skip(1).filter_map(|record| record.get(at));
            cells.all(|cell| cell.is_empty() || cell.parse::<f64>().is_ok())
        })
        .collect();
    let line = |record: &Vec<String>| {
        let mut line = String::new();
        for (at, width) in shown.iter().enumerate() {
            let cell = record.get(at).map_or("", String::as_str);
            let pad = " ".repeat(width - cell.width());
            let gap = if at == 0 { "" } else { GAP };
            line += gap;
            if is_number[at] {
                line += &pad;
                line += cell;
            } else {
                line += cell;
                line += &pad;
            }
        }
        line.truncate(line.trim_end().len());
        line + "\n"
    };
    let comments = found.comments.iter().map(|(line, _)| format!("{line}\n"));
    Some(Table {
        text: comments.chain(records.iter().map(line)).collect(),
        lines,
        rows: records.len() - 1,
        columns,
        shown_columns: shown.len(),
        delimiter: found.delimiter,
        has_cut_cells: (found.all.iter())
            .any(|(fields, _)| fields.iter().any(|field| field.width() > MAX_CELL)),
        is_all: found.is_all,
        is_open: found.is_open,
        unclosed_line: (found.broken).map(|start| text[..start].matches('\n').count() + 1),
    })
}

/// A field on one line, cut to [`MAX_CELL`].
fn cell(field: &str) -> String {
    let mut cell = String::new();
    let mut width = 0;
    for c in field.chars() {
        let c = if c.is_control() { ' ' } else { c };
        width += c.width().unwrap_or(0);
        if width > MAX_CELL {
            while cell.width() >= MAX_CELL {
                cell.pop();
            }
            cell.push('…');
            break;
        }
        cell.push(c);
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::csv;

    #[test]
    fn columns_are_aligned_and_numbers_to_the_right() {
        let table = csv("name,n\nä,1\n\"b, c\",200.5\n日本,\n", Some(','), 20, true).unwrap();
        assert_eq!(table.text, "name      n\nä         1\nb, c  200.5\n日本\n");
        assert_eq!((table.rows, table.columns), (3, 2));
    }

    #[test]
    fn ragged_rows_and_stray_quotes_are_shown_as_they_are() {
        let table = csv("a,b\n1\n1,2,3\nsay \"x\",4\n", Some(','), 20, true).unwrap();
        assert_eq!(table.columns, 3);
        assert_eq!(table.text.lines().count(), 4);
        assert!(table.text.contains("say \"x\""), "{}", table.text);
    }

    #[test]
    fn an_incomplete_last_row_is_left_out() {
        let text = "a,b\n1,\"x\ny\"\n2,\"cut";
        let table = csv(text, Some(','), 20, false).unwrap();
        assert_eq!(table.text, "a  b\n1  x y\n");
        assert_eq!(csv(text, Some(','), 20, true).unwrap().rows, 2);
    }

    #[test]
    fn wide_tables_are_cut_and_their_columns_counted() {
        let heading: Vec<String> = (0..200).map(|n| format!("column-{n}")).collect();
        let table = csv(&heading.join(","), Some(','), 20, true).unwrap();
        assert_eq!((table.rows, table.columns), (0, 200));
        assert!((10..40).contains(&table.shown_columns));
        assert!(table.text.chars().count() <= super::MAX_LINE_CHARS + 1);
        let table = csv(
            &format!("{}\n{}", "x".repeat(99), "日".repeat(99)),
            None,
            1,
            true,
        );
        assert!(table.unwrap().text.lines().all(|line| line.ends_with('…')));
    }

    #[test]
    fn each_line_says_how_many_lines_of_the_file_it_takes() {
        let text = "sep=;\n# note\na;b\n1;\"x\ny\"\n\n2;z";
        let table = csv(text, None, 20, true).unwrap();
        assert_eq!(table.text, "# note\na  b\n1  x y\n2  z\n");
        assert_eq!(table.lines, [2, 3, 5, 7]);
        assert_eq!((table.delimiter, table.is_all, table.rows), (';', true, 2));
        let table = csv(text, None, 1, true).unwrap();
        assert_eq!((table.lines.last(), table.is_all), (Some(&5), false));
        assert!(csv("", None, 20, true).is_none());
    }

    #[test]
    fn a_quote_that_is_never_closed_is_named() {
        let table = csv("a,b\n1,\"x\n2,y\n", None, 20, true).unwrap();
        assert_eq!(table.text, "a  b\n1  \"x\n2  y\n");
        assert_eq!(table.unclosed_line, Some(2));
    }
}
