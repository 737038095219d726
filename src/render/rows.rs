//! Lists as compact tables: a heading, then a row a line, cells separated by tabs. A cell with control characters is a JSON string.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// A time that is longer ago has its year instead of its clock.
const CLOCK_AGE: SignedDuration = SignedDuration::from_hours(300 * 24);

/// Bytes of a tab and of a line feed in JSON.
const GAP_BYTES: usize = 2;

/// The rows of a list of `N` columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows<const N: usize> {
    heading: [&'static str; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Rows<N> {
    #[must_use]
    pub fn new(heading: [&'static str; N], rows: impl IntoIterator<Item = [String; N]>) -> Self {
        let plain = |cell: String| match cell.contains(char::is_control) {
            true => Value::String(cell).to_string(),
            false => cell,
        };
        let rows = rows.into_iter().map(|row| row.map(plain)).collect();
        Self { heading, rows }
    }

    /// The number of the first rows that take at most `max_bytes` as part of a JSON string, one at least if there is one.
    #[must_use]
    pub fn fitting(&self, max_bytes: usize) -> usize {
        let shown = self.shown();
        let bytes = |row: &[String; N]| {
            let cells = shown.iter().map(|at| json_bytes(&row[*at]) + GAP_BYTES);
            cells.sum::<usize>()
        };
        let ends = self.rows.iter().scan(0, |end, row| {
            *end += bytes(row);
            Some(*end)
        });
        let fitting = ends.take_while(|end| *end <= max_bytes).count();
        fitting.max(1).min(self.rows.len())
    }

    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "nothing asks")]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    #[must_use]
    pub fn first(mut self, count: usize) -> Self {
        self.rows.truncate(count);
        self
    }

    /// The table without the columns that are empty in every row; no text if there are no rows.
    #[must_use]
    pub fn render(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let shown = self.shown();
        let heading = self.heading.map(str::to_owned);
        let lines = std::iter::once(&heading).chain(&self.rows).map(|row| {
            let cells: Vec<&str> = shown.iter().map(|at| row[*at].as_str()).collect();
            cells.join("\t").trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The columns that are not empty in every row.
    fn shown(&self) -> Vec<usize> {
        let is_shown = |at: &usize| self.rows.iter().any(|row| !row[*at].is_empty());
        (0..N).filter(is_shown).collect()
    }
}

/// Bytes of a text in a JSON string.
fn json_bytes(text: &str) -> usize {
    let escaped = text.bytes().filter(|byte| matches!(byte, b'"' | b'\\'));
    text.len() + escaped.count()
}

/// Shortens a text to at most `max` characters.
#[must_use]
pub fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let head: String = text.chars().take(max.saturating_sub(1)).collect();
    head + "…"
}

/// Shortens a time in RFC 3339: to `13:10` on the day of `now`, `11-28 13:10` within months of it, otherwise `2025-03-01`, in UTC. A text that is
/// no time stays as it is.
#[must_use]
pub fn short_time(time: &str, now: Timestamp) -> String {
    let Ok(at) = time.parse::<Timestamp>() else {
        return time.to_owned();
    };
    let (local, today) = (at.to_zoned(TimeZone::UTC), now.to_zoned(TimeZone::UTC));
    let format = if local.date() == today.date() {
        "%H:%M"
    } else if now.duration_since(at).abs() < CLOCK_AGE {
        "%m-%d %H:%M"
    } else {
        "%Y-%m-%d"
    };
    local.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::{Rows, short_time, shorten};

    fn rows(cells: &[[&str; 3]]) -> Rows<3> {
        let owned = cells.iter().map(|row| row.map(str::to_owned));
        Rows::new(["name", "kind", "bytes"], owned)
    }

    #[test]
    fn columns_without_content_are_left_out_and_each_row_is_a_line() {
        let table = rows(&[["a\tb", "", "1"], ["", "", "2"], ["d", "", ""]]);
        assert_eq!(table.render(), "name\tbytes\n\"a\\tb\"\t1\n\t2\nd");
        assert_eq!(rows(&[]).render(), "");
    }

    #[test]
    fn rows_are_counted_by_the_bytes_that_they_take() {
        let table = rows(&[["aaaa", "", "1"], ["日", "", "1"], ["\"", "", "1"]]);
        for (max_bytes, count) in [(0, 1), (9, 1), (17, 2), (16, 1), (24, 3), (23, 2)] {
            assert_eq!(table.fitting(max_bytes), count, "{max_bytes}");
        }
        assert_eq!(rows(&[]).fitting(10), 0);
        assert_eq!(table.first(1).render(), "name\tbytes\naaaa\t1");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shorten("äbc", 3), "äbc");
        assert_eq!(shorten("äbcd", 3), "äb…");
    }

    #[test]
    fn times_are_as_short_as_their_age_allows() {
        let now = "2026-11-29T13:10:00Z".parse().unwrap();
        for (time, shown) in [
            ("2026-11-29T00:00:01.123Z", "00:00"),
            ("2026-11-28T23:59:59Z", "11-28 23:59"),
            ("2026-12-01T01:00:00Z", "12-01 01:00"),
            ("2025-11-29T13:10:00Z", "2025-11-29"),
            ("0001-01-01T00:00:00Z", "0001-01-01"),
            ("later", "later"),
        ] {
            assert_eq!(short_time(time, now), shown);
        }
    }
}
