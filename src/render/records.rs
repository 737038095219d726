//! CSV as records: finds its delimiter, the ends of its records, and lines that are not records.

/// Records that are sampled to find the delimiter.
const SAMPLE_RECORDS: usize = 25;
/// The first wins a tie.
const DELIMITERS: [char; 4] = [',', '\t', ';', '|'];
/// Rows with broken quotes; after so many, quotes are read as plain characters.
const MAX_BROKEN: usize = 20;

/// Some records from the head of a file.
#[derive(Debug)]
pub(super) struct Records<'a> {
    pub(super) delimiter: char,
    /// Comment lines above the first record, unchanged, each with its end in the text.
    pub(super) comments: Vec<(&'a str, usize)>,
    /// The heading first, each with its end in the text.
    pub(super) all: Vec<(Vec<String>, usize)>,
    /// Where the first record with broken quotes begins; it is read as a line, with its quotes.
    pub(super) broken: Option<usize>,
    /// The last record is the last of the file.
    pub(super) is_all: bool,
    /// A further record has quotes that are not closed in the text, and the file continues after the text.
    pub(super) is_open: bool,
}

impl<'a> Records<'a> {
    /// Reads at most `most` records from `text`, the head of a file; `is_whole` if nothing follows it. `delimiter` is the one that the file's
    /// name implies.
    pub(super) fn read(
        text: &'a str,
        delimiter: Option<char>,
        most: usize,
        is_whole: bool,
    ) -> Records<'a> {
        let (declared, start) = declared(text).unzip();
        let (mut comments, mut body) = comments(text, start.unwrap_or_default());
        let delimiter = declared.unwrap_or_else(|| choose(&text[body..], delimiter));
        if let Some((line, end)) = comments.pop() {
            // A last comment with as many columns as the row below is the heading (`#chrom  pos`).
            let columns = |text| Record::read(text, delimiter, true).fields.len();
            let below = text[body..].trim_start_matches(['\r', '\n']);
            let is_heading = columns(line) > 1 && columns(line) == columns(below);
            if below.is_empty() || is_heading {
                body = comments
                    .last()
                    .map_or(start.unwrap_or_default(), |(_, end)| *end);
            } else {
                comments.push((line, end));
            }
        }
        let mut found = Self {
            delimiter,
            comments,
            all: Vec::new(),
            broken: None,
            is_all: false,
            is_open: false,
        };
        found.fill(text, body, most, is_whole);
        found
    }

    fn fill(&mut self, text: &str, mut at: usize, most: usize, is_whole: bool) {
        let mut broken = 0;
        while self.all.len() < most && at < text.len() {
            let mut record = Record::read(&text[at..], self.delimiter, broken < MAX_BROKEN);
            if record.is_open && !is_whole {
                self.is_open = true;
                return;
            }
            if record.is_open || record.is_broken {
                self.broken = self.broken.or(Some(at));
                broken += 1;
                record = Record::read(&text[at..], self.delimiter, false);
            }
            at += record.length;
            if !record.is_blank() {
                self.all.push((record.fields, at));
            }
        }
        self.is_all = is_whole && text[at..].trim().is_empty();
    }
}

/// One record, with the state of its quotes.
#[derive(Debug)]
struct Record {
    fields: Vec<String>,
    /// Bytes, including its line end.
    length: usize,
    /// The text ends within its quotes.
    is_open: bool,
    /// It has several lines, and text follows a closing quote: the opening quote was not meant as one.
    is_broken: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Begin,
    Plain,
    Quoted,
    Closed,
}

impl Record {
    /// Reads the first record of a text, leniently: a quote within a field is an ordinary character.
    fn read(text: &str, delimiter: char, quoting: bool) -> Self {
        let mut record = Self {
            fields: Vec::new(),
            length: text.len(),
            is_open: false,
            is_broken: false,
        };
        let (mut field, mut at) = (String::new(), At::Begin);
        let (mut has_lines, mut has_rest) = (false, false);
        let mut chars = text.char_indices().peekable();
        while let Some((place, c)) = chars.next() {
            match (at, c) {
                (At::Quoted, '"') => match chars.next_if(|(_, next)| *next == '"') {
                    Some(_) => field.push('"'),
                    None => at = At::Closed,
                },
                (At::Quoted, c) => {
                    has_lines |= c == '\n';
                    field.push(c);
                }
                (_, '\n') => {
                    record.length = place + 1;
                    break;
                }
                (_, '\r') => {
                    let newline = chars.next_if(|(_, next)| *next == '\n');
                    record.length = place + 1 + usize::from(newline.is_some());
                    break;
                }
                (_, c) if c == delimiter => {
                    record.fields.push(std::mem::take(&mut field));
                    at = At::Begin;
                }
                (At::Begin, '"') if quoting => at = At::Quoted,
                (_, c) => {
                    has_rest |= at == At::Closed;
                    at = At::Plain;
                    field.push(c);
                }
            }
        }
        record.is_open = at == At::Quoted;
        record.is_broken = has_lines && has_rest;
        record.fields.push(field);
        record
    }

    fn is_blank(&self) -> bool {
        matches!(self.fields.as_slice(), [only] if only.is_empty())
    }
}

/// The delimiter in Excel's first line `sep=;`, and the line's length.
fn declared(text: &str) -> Option<(char, usize)> {
    let line = text.split_inclusive('\n').next()?;
    let said = line.trim_end_matches(['\r', '\n']).trim_matches('"');
    let (name, sign) = said.split_once('=')?;
    let mut signs = sign.chars();
    let only = signs.next().filter(|_| signs.next().is_none())?;
    name.eq_ignore_ascii_case("sep")
        .then_some((only, line.len()))
}

/// The lines from `start` on that begin with `#`, and their end.
fn comments(text: &str, start: usize) -> (Vec<(&str, usize)>, usize) {
    let mut end = start;
    let mut found = Vec::new();
    for line in text[start..].split_inclusive('\n') {
        if !line.starts_with('#') {
            break;
        }
        end += line.len();
        found.push((line.trim_end_matches(['\r', '\n']), end));
    }
    (found, end)
}

/// Chooses the delimiter that gives most rows the same number of columns. The one that the name implies wins if it splits any row.
fn choose(text: &str, named: Option<char>) -> char {
    let parted = |sign: &char| {
        let widths = widths(text, *sign);
        let count = |width: &usize| widths.iter().filter(|other| *other == width).count();
        let wide = widths.iter().copied().filter(|width| *width > 1);
        wide.map(|width| (count(&width), width))
            .max()
            .unwrap_or_default()
    };
    if let Some(sign) = named.filter(|sign| parted(sign).0 > 0) {
        return sign;
    }
    // The last wins a tie.
    let signs = DELIMITERS.iter().rev();
    signs.copied().max_by_key(parted).unwrap_or(',')
}

/// Numbers of columns of the first records.
fn widths(text: &str, delimiter: char) -> Vec<usize> {
    let mut rest = text;
    let records = std::iter::from_fn(|| {
        let record = (!rest.is_empty()).then(|| Record::read(rest, delimiter, true))?;
        rest = &rest[record.length..];
        Some(record)
    });
    let records = records.filter(|record| !record.is_blank());
    records
        .take(SAMPLE_RECORDS)
        .map(|record| record.fields.len())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Records;

    fn rows(text: &str) -> Vec<Vec<String>> {
        let records = Records::read(text, None, 100, true);
        records.all.into_iter().map(|(fields, _)| fields).collect()
    }

    #[test]
    fn the_rows_decide_the_delimiter() {
        for (text, expected) in [
            ("a,b;c,d\n", ','),
            ("a;b;c", ';'),
            ("a\tb", '\t'),
            ("a", ','),
            ("", ','),
            ("a,b;d\n1;2\n", ';'),
            ("a;b,c\n1,2\n3,4\n", ','),
            ("price;name\n1,5;x\n2,5;y\n", ';'),
            ("name,text\nx,\"a;b;c\"\ny,\"d;e;f\"\n", ','),
            ("a|b\n1,5|2\n", '|'),
            ("a\tb\n1,5\t2,5\n", '\t'),
            ("\"a;b\",c\n\"1;2\",3\n", ','),
            ("Title\na;b\n1;2\n", ';'),
            ("# made, by, us\na;b\n1;2\n", ';'),
            ("sep=|\na,b|c\n1,2|3\n", '|'),
            ("\"sep=;\"\r\na,b;c\r\n", ';'),
            ("SEP=\t\na,b\tc\n", '\t'),
        ] {
            let delimiter = Records::read(text, None, 100, true).delimiter;
            assert_eq!(delimiter, expected, "{text:?}");
        }
        let named = |text: &str| Records::read(text, Some('\t'), 9, true).delimiter;
        assert_eq!((named("a,b\tc\n1\n"), named("a,b\n1,2\n")), ('\t', ','));
    }

    #[test]
    fn comments_stand_above_the_heading() {
        let records = Records::read("# one\n#two, three\nx,y\n1,2\n#3,4\n", None, 100, true);
        let comments: Vec<_> = records.comments.iter().map(|(line, _)| *line).collect();
        assert_eq!((comments, records.all.len()), (vec!["# one"], 4));
        assert_eq!(rows("#a,b\n1,2\n"), [["#a", "b"], ["1", "2"]]);
        assert_eq!(rows("#only\n"), [["#only"]]);
        assert_eq!(rows("# one\n# two\n\na,b\n1,2\n"), [["a", "b"], ["1", "2"]]);
    }

    #[test]
    fn a_quote_that_is_never_closed_hides_nothing() {
        for end in ["4,\"w\"\n5,\"m\nn\"\n", "4,\"w, x\"\n", "4,w\n"] {
            let text = format!("a,b\n1,\"x\ny\"\n2,\"open\n3,z\n{end}");
            let records = Records::read(&text, None, 100, true);
            assert_eq!((records.broken, records.is_all), (text.find("2,"), true));
            let rows = rows(&text);
            assert_eq!(rows[1..4], [["1", "x\ny"], ["2", "\"open"], ["3", "z"]]);
            assert!(rows[4][1].starts_with('w'), "{rows:?}");
            assert_eq!(rows.len(), if end.contains('5') { 6 } else { 5 });
        }
        let cut = Records::read("a,b\n1,2\n3,\"open\n", None, 100, false);
        assert_eq!((cut.all.len(), cut.broken, cut.is_all), (2, None, false));
        let many = "1,\"x\n".repeat(100);
        assert_eq!(rows(&many).len(), 100);
    }

    #[test]
    fn quotes_are_read_leniently() {
        assert_eq!(rows("a,b\nsay \"x\",4\n"), [["a", "b"], ["say \"x\"", "4"]]);
        assert_eq!(rows("\"a \"\"b\"\"\",\"\"\r\n"), [["a \"b\"", ""]]);
        assert_eq!(rows("\"a\" x,b\r1,2\r"), [["a x", "b"], ["1", "2"]]);
        assert_eq!(Records::read("a\n5\" pipe\n", None, 9, false).all.len(), 2);
    }

    #[test]
    fn records_end_where_their_lines_do() {
        for newline in ["\n", "\r\n"] {
            let text = ["a,b", "1,\"x", "y\"\"\"", "", "2,z", ""].join(newline);
            for most in 1..=4 {
                let records = Records::read(&text, None, most, true);
                let ends: Vec<_> = records
                    .all
                    .iter()
                    .map(|(_, end)| text[..*end].matches('\n').count())
                    .collect();
                assert_eq!(ends, [1, 3, 5][..most.min(3)]);
                assert_eq!(records.is_all, most >= 3);
            }
        }
        // A quote within a field opens nothing.
        assert!(!Records::read("a\n5\" pipe\n", None, 9, true).all.is_empty());
        assert_eq!(Records::read("a\n5\" pipe\n", None, 9, false).all.len(), 2);
    }
}
