//! Output as a terminal shows it: escape sequences are removed, `\r`, backspace and cursor movements are applied, and only a bounded excerpt is
//! kept in memory.

use std::collections::VecDeque;

use vte::{Params, Parser, Perform};

use super::{Excerpt, Newest, Room};

/// A line this long is flushed to the excerpt, so that output without line ends stays bounded.
const MAX_LINE_CHARS: usize = 64 * 1024;

/// Lines that the cursor can still reach, as on the smallest terminals; moving up further stops at the first of them.
const ROWS: usize = 24;

/// A terminal in memory: takes text piece by piece and returns an [`Excerpt`].
pub struct Screen {
    parser: Parser,
    page: Page,
}

struct Page {
    /// The newest lines; never empty.
    lines: VecDeque<Vec<char>>,
    /// The cursor's row in `lines`.
    row: usize,
    column: usize,
    /// All text before `lines`.
    excerpt: Excerpt,
    /// The last complete line that is not blank.
    last_line: String,
    /// The cursor's line as it was when the cursor last moved back in it; none for a line that was only appended to.
    drawn: Option<String>,
}

impl Screen {
    /// Keeps as much as fits.
    #[must_use]
    pub fn new(room: Room) -> Self {
        let page = Page {
            lines: VecDeque::from([Vec::new()]),
            row: 0,
            column: 0,
            excerpt: Excerpt::within(room),
            last_line: String::new(),
            drawn: None,
        };
        Self {
            parser: Parser::new(),
            page,
        }
    }

    /// Writes more text; an escape sequence may be split between two pieces.
    pub fn push(&mut self, text: &str) {
        self.parser.advance(&mut self.page, text.as_bytes());
    }

    /// Writes `text` on lines of its own, which later output does not change.
    pub fn push_block(&mut self, text: &str) {
        self.page.break_line();
        self.push(text);
        self.page.break_line();
    }

    /// Begins a new line, and returns the bytes of text before it: a place for [`Excerpt::pieces`].
    pub fn mark(&mut self) -> usize {
        self.page.break_line();
        self.page.excerpt.bytes()
    }

    /// The newest line, for progress reports.
    #[must_use]
    pub fn newest(&self) -> Newest {
        let page = &self.page;
        let (ended, current) = (page.last_line.clone(), page.line().iter().collect());
        let (line, unfinished) = match &page.drawn {
            Some(drawn) if page.column < drawn.chars().count() => (drawn.clone(), String::new()),
            Some(_) => (current, String::new()),
            None => (ended, current),
        };
        Newest { line, unfinished }
    }

    /// Characters shown so far.
    #[must_use]
    pub fn shown(&self) -> usize {
        let lines = self.page.lines.iter().map(Vec::len).sum::<usize>();
        self.page.excerpt.total() + lines + self.page.lines.len() - 1
    }

    /// The excerpt of everything so far.
    #[must_use]
    pub fn excerpt(&self) -> Excerpt {
        let mut excerpt = self.page.excerpt.clone();
        excerpt.push(&self.page.text());
        excerpt
    }

    /// The excerpt of everything that was written.
    #[must_use]
    pub fn finish(mut self) -> Excerpt {
        self.page.flush_lines();
        self.page.excerpt
    }
}

impl Page {
    /// The lines that can still change; blanks behind the cursor count as erased.
    fn text(&self) -> String {
        let is_blank = |line: &Vec<char>| line.iter().all(|c| *c == ' ');
        let written = self.lines.iter().rposition(|line| !is_blank(line));
        let end = written.unwrap_or(0).max(self.row);
        let mut text = String::new();
        for (at, line) in self.lines.iter().enumerate().take(end + 1) {
            if at > 0 {
                text.push('\n');
            }
            text.extend(if at == self.row { self.line() } else { line });
        }
        text
    }

    /// The cursor's line.
    fn line(&self) -> &[char] {
        let line = self.lines[self.row].as_slice();
        match line.split_at_checked(self.column) {
            Some((written, rest)) if rest.iter().all(|c| *c == ' ') => written,
            _ => line,
        }
    }

    /// Moves all lines to the excerpt; later output follows them.
    fn flush_lines(&mut self) {
        let text = self.text();
        self.excerpt.push(&text);
        self.lines.truncate(1);
        self.lines[0].clear();
        (self.row, self.column) = (0, 0);
        self.drawn = None;
    }

    /// Remembers the line as drawn: the cursor moved other than forward.
    fn note_drawn(&mut self) {
        let line: String = self.line().iter().collect();
        self.drawn = (!line.trim().is_empty()).then_some(line);
    }

    /// Flushes all lines and starts a new one.
    fn break_line(&mut self) {
        self.row = self.lines.len() - 1;
        if !self.lines[self.row].is_empty() {
            self.line_feed();
        }
        self.flush_lines();
    }

    fn line_feed(&mut self) {
        let line: String = self.line().iter().collect();
        let written = self.line().len();
        self.lines[self.row].truncate(written);
        if !line.trim().is_empty() {
            self.last_line = line;
        }
        self.column = 0;
        self.drawn = None;
        self.row += 1;
        if self.row == self.lines.len() {
            self.lines.push_back(Vec::new());
        }
        if self.lines.len() > ROWS
            && let Some(line) = self.lines.pop_front()
        {
            let mut line: String = line.into_iter().collect();
            line.push('\n');
            self.excerpt.push(&line);
            self.row -= 1;
        }
    }

    fn put(&mut self, c: char) {
        let line = &mut self.lines[self.row];
        if self.column < line.len() {
            line[self.column] = c;
        } else {
            line.resize(self.column, ' ');
            line.push(c);
        }
        self.column += 1;
        if line.len() >= MAX_LINE_CHARS {
            self.flush_lines();
        }
    }

    fn go_to(&mut self, row: usize) {
        self.row = row.min(ROWS - 1);
        while self.lines.len() <= self.row {
            self.lines.push_back(Vec::new());
        }
    }

    fn erase_line(&mut self, what: u16) {
        let line = &mut self.lines[self.row];
        match what {
            0 => line.truncate(self.column),
            1 => line.iter_mut().take(self.column + 1).for_each(|c| *c = ' '),
            _ => line.clear(),
        }
    }

    fn erase_lines(&mut self, what: u16) {
        match what {
            0 => self.lines.truncate(self.row + 1),
            1 => self.lines.iter_mut().take(self.row).for_each(Vec::clear),
            2 => {
                self.lines.truncate(self.row + 1);
                self.lines.iter_mut().for_each(Vec::clear);
            }
            // Lines that have scrolled off stay.
            _ => return,
        }
        self.erase_line(what);
    }
}

impl Perform for Page {
    fn print(&mut self, c: char) {
        self.put(c);
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => self.line_feed(),
            b'\r' => {
                self.note_drawn();
                self.column = 0;
            }
            0x08 => {
                self.note_drawn();
                self.column = self.column.saturating_sub(1);
            }
            b'\t' => self.put('\t'),
            _ => {}
        }
    }

    /// The sequences that progress bars and displays that redraw themselves use.
    fn csi_dispatch(&mut self, params: &Params, _intermediates: &[u8], ignore: bool, action: char) {
        if ignore {
            return;
        }
        let given = |at: usize| {
            let group = params.iter().nth(at);
            group.and_then(|group| group.first()).copied().unwrap_or(0)
        };
        let count = usize::from(given(0).max(1));
        match action {
            'A' => self.row = self.row.saturating_sub(count),
            'B' => self.go_to(self.row + count),
            'C' => self.column = (self.column + count).min(MAX_LINE_CHARS - 1),
            'D' => self.column = self.column.saturating_sub(count),
            'E' => {
                self.go_to(self.row + count);
                self.column = 0;
            }
            'F' => (self.row, self.column) = (self.row.saturating_sub(count), 0),
            'G' => self.column = count.min(MAX_LINE_CHARS) - 1,
            'H' | 'f' => {
                self.go_to(count - 1);
                self.column = usize::from(given(1).max(1)).min(MAX_LINE_CHARS) - 1;
            }
            'J' => self.erase_lines(given(0)),
            'K' => self.erase_line(given(0)),
            _ => {}
        }
        if matches!(action, 'A'..='H' | 'f') {
            self.note_drawn();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Screen;
    use crate::base::text::Room;

    fn shown(pieces: &[&str]) -> String {
        let mut screen = Screen::new(Room::for_chars(1000));
        pieces.iter().for_each(|piece| screen.push(piece));
        screen.finish().render()
    }

    #[test]
    fn text_comes_out_as_a_terminal_shows_it() {
        for (pieces, expected) in [
            (&["plain\ntext\n"][..], "plain\ntext\n"),
            (&["\u{1b}[31mred\u{1b}[0m"], "red"),
            (&["\u{1b}[3", "1mred\u{1b}", "[0m"], "red"),
            (&[" 10%\r 50%\r100%\n"], "100%\n"),
            // As `print(…, end="\r")` writes a counter.
            (&["1 of 3\r", "2 of 3\r", "3 of 3\r"], "3 of 3"),
            (&["1 of 3\r", "2 of 3\r", "\n"], "2 of 3\n"),
            (&["line\r\n"], "line\n"),
            (&["abc\rX"], "Xbc"),
            (&["Downloading 99%\r\u{1b}[KDone\n"], "Done\n"),
            (&["whole\u{1b}[2K\rnew"], "new"),
            (&["ab\u{8}c"], "ac"),
            (&["a\tb"], "a\tb"),
            (&["\u{1b}]0;title\u{7}body"], "body"),
            (&["über 日本 🚀 e\u{301}"], "über 日本 🚀 e\u{301}"),
            (&["日本\r日本\n"], "日本\n"),
            (
                &["\u{1b}]8;;http://a.b\u{1b}\\link\u{1b}]8;;\u{1b}\\ after"],
                "link after",
            ),
            (&["one\ntwo\u{1b}[A\rONE\u{1b}[B\rTWO\n"], "ONE\nTWO\n"),
            (&["old\nolder\n\u{1b}[2J\u{1b}[Hnew\n"], "new\n"),
            (&["old\nolder\n\u{1b}[H\u{1b}[Jnew\n"], "new\n"),
            (&["a\nb\nc\u{1b}[2F\u{1b}[0Jx"], "x"),
            (
                &["\u{1b}[99Aup\u{1b}[999;3Hlow"],
                &format!("up{}  low", "\n".repeat(23)),
            ),
        ] {
            assert_eq!(shown(pieces), expected, "{pieces:?}");
        }
    }

    /// As tqdm 4.70 writes them, the inner bar erased at its end and left behind.
    #[test]
    fn nested_progress_bars_are_a_line_each() {
        let inner = |n: u32| format!("\n\rinner: {n}/2\u{1b}[A");
        let inners: String = (0..=2).map(inner).collect();
        let mut erased = "\router: 0/3".to_owned();
        let mut left = erased.clone();
        for outer in 1..=3 {
            erased += &format!("{inners}\n\r          \u{1b}[A\router: {outer}/3");
            left += &format!("{inners}\rinner: 2/2\n\router: {outer}/3");
        }
        assert_eq!(
            shown(&[&erased, "\router: 3/3\ndone\n"]),
            "outer: 3/3\ndone\n"
        );
        assert_eq!(
            shown(&[&left, "\router: 3/3\n"]),
            "inner: 2/2\ninner: 2/2\ninner: 2/2\nouter: 3/3\n"
        );
    }

    #[test]
    fn lines_that_scrolled_off_are_kept() {
        let mut screen = Screen::new(Room::for_chars(10_000));
        (0..100).for_each(|n| screen.push(&format!("{n}\n")));
        screen.push("\u{1b}[2J\u{1b}[Hend\n");
        let kept: String = (0..100 - (super::ROWS - 1))
            .map(|n| format!("{n}\n"))
            .collect();
        assert_eq!(screen.finish().render(), kept + "end\n");
    }

    #[test]
    fn a_block_stands_on_lines_of_its_own() {
        let mut screen = Screen::new(Room::for_chars(100));
        screen.push("a");
        screen.push_block("b");
        screen.push("c");
        assert_eq!(screen.finish().render(), "a\nb\nc");
    }

    #[test]
    fn the_unfinished_line_is_counted() {
        let mut screen = Screen::new(Room::for_chars(100));
        screen.push(&"x".repeat(130));
        assert_eq!((screen.shown(), screen.excerpt().left_out()), (130, 30));
        assert_eq!(screen.finish().left_out(), 30);
    }

    #[test]
    fn output_without_line_ends_stays_bounded() {
        let mut screen = Screen::new(Room::for_chars(100));
        for _ in 0..40 {
            screen.push(&"x".repeat(10_000));
        }
        assert!(screen.page.lines[0].len() <= super::MAX_LINE_CHARS);
        let excerpt = screen.finish();
        assert_eq!((excerpt.total(), excerpt.left_out()), (400_000, 399_900));
    }
}
