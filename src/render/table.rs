//! CSV as an aligned table.

use csv::{ReaderBuilder, StringRecord};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns of characters in a cell; what is longer is cut.
const WIDEST_CELL: usize = 40;
/// And in a line: columns beyond are counted, not shown.
const WIDEST_LINE: usize = 240;
const GAP: &str = "  ";

/// The head of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub text: String,
    /// In `text`, without the heading.
    pub rows: usize,
    /// In the file's widest row.
    pub columns: usize,
    pub shown_columns: usize,
}

/// Reads the first `rows` rows below a heading from `text`, the head of a file; `is_whole` when nothing follows it. Rows may differ in length.
/// None when there is not even a heading.
#[must_use]
pub fn csv(text: &str, delimiter: u8, rows: usize, is_whole: bool) -> Option<Table> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut records = Vec::new();
    let mut record = StringRecord::new();
    while records.len() <= rows && reader.read_record(&mut record).unwrap_or(false) {
        // A row whose quotes are not closed goes on behind the end of the text.
        let is_last = usize::try_from(reader.position().byte()).is_ok_and(|at| at >= text.len());
        let is_open = is_last && !is_whole && text.matches('"').count() % 2 == 1;
        if !is_open {
            records.push(record.iter().map(cell).collect::<Vec<_>>());
        }
    }
    let columns = records.iter().map(Vec::len).max()?;
    let widths = (0..columns).map(|at| {
        let width = |record: &Vec<String>| record.get(at).map_or(0, |cell| cell.width());
        records.iter().map(width).max().unwrap_or(0)
    });
    let mut room = WIDEST_LINE;
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
    Some(Table {
        text: records.iter().map(line).collect(),
        rows: records.len() - 1,
        columns,
        shown_columns: shown.len(),
    })
}

/// What parts the columns: the one that the heading holds most of.
#[must_use]
pub fn delimiter(text: &str) -> u8 {
    let heading = text.lines().next().unwrap_or_default().as_bytes();
    let count = |sign: &u8| heading.iter().filter(|byte| *byte == sign).count();
    // Of equals the last is taken: the comma.
    let signs = [b'|', b';', b'\t', b','];
    signs.into_iter().max_by_key(count).unwrap_or(b',')
}

/// On one line, and not too long.
fn cell(field: &str) -> String {
    let mut cell = String::new();
    let mut width = 0;
    for c in field.chars() {
        let c = if c.is_control() { ' ' } else { c };
        width += c.width().unwrap_or(0);
        if width > WIDEST_CELL {
            while cell.width() >= WIDEST_CELL {
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
    use super::{csv, delimiter};

    #[test]
    fn columns_are_aligned_and_numbers_to_the_right() {
        let table = csv("name,n\nä,1\n\"b, c\",200.5\n日本,\n", b',', 20, true).unwrap();
        assert_eq!(table.text, "name      n\nä         1\nb, c  200.5\n日本\n");
        assert_eq!((table.rows, table.columns), (3, 2));
    }

    #[test]
    fn ragged_rows_and_stray_quotes_are_shown_as_they_are() {
        let table = csv("a,b\n1\n1,2,3\nsay \"x\",4\n", b',', 20, true).unwrap();
        assert_eq!(table.columns, 3);
        assert_eq!(table.text.lines().count(), 4);
        assert!(table.text.contains("say \"x\""), "{}", table.text);
    }

    #[test]
    fn a_row_that_the_text_cuts_is_left_out() {
        let text = "a,b\n1,\"x\ny\"\n2,\"cut";
        let table = csv(text, b',', 20, false).unwrap();
        assert_eq!(table.text, "a  b\n1  x y\n");
        assert_eq!(csv(text, b',', 20, true).unwrap().rows, 2);
    }

    #[test]
    fn what_is_too_wide_is_cut_and_counted() {
        let heading: Vec<String> = (0..200).map(|n| format!("column-{n}")).collect();
        let table = csv(&heading.join(","), b',', 20, true).unwrap();
        assert_eq!((table.rows, table.columns), (0, 200));
        assert!((10..40).contains(&table.shown_columns));
        assert!(table.text.chars().count() <= super::WIDEST_LINE + 1);
        let table = csv(
            &format!("{}\n{}", "x".repeat(99), "日".repeat(99)),
            b',',
            1,
            true,
        );
        assert!(table.unwrap().text.lines().all(|line| line.ends_with('…')));
    }

    #[test]
    fn the_delimiter_is_seen_in_the_heading() {
        for (text, expected) in [
            ("a,b;c,d\n", b','),
            ("a;b;c", b';'),
            ("a\tb", b'\t'),
            ("a", b','),
        ] {
            assert_eq!(delimiter(text), expected, "{text}");
        }
        assert!(csv("", b',', 20, true).is_none());
    }
}
