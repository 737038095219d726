//! Output as a terminal would show it: escape sequences gone, `\r` and backspace applied, and never more than a bounded excerpt in memory.

use vte::{Params, Parser, Perform};

/// A half line of at most so many bytes is left out beside a cut.
const LONGEST_SNIPPET: usize = 400;
/// A line is handed on once it is this long, so that output without line ends stays bounded.
const LONGEST_LINE: usize = 64 * 1024;

/// A terminal one can only read back: text goes in piece by piece, an [`Excerpt`] comes out.
pub struct Screen {
    parser: Parser,
    page: Page,
}

struct Page {
    line: Vec<char>,
    column: usize,
    excerpt: Excerpt,
    last_line: String,
}

impl Screen {
    /// Keeps at most `limit` characters.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let page = Page {
            line: Vec::new(),
            column: 0,
            excerpt: Excerpt::new(limit),
            last_line: String::new(),
        };
        Self {
            parser: Parser::new(),
            page,
        }
    }

    /// Shows more text; a sequence may be split between two pieces.
    pub fn push(&mut self, text: &str) {
        self.parser.advance(&mut self.page, text.as_bytes());
    }

    /// Shows `text` on lines of its own.
    pub fn push_block(&mut self, text: &str) {
        if !self.page.line.is_empty() {
            self.push("\n");
        }
        self.push(text);
        if !self.page.line.is_empty() {
            self.push("\n");
        }
    }

    /// The newest line that is not blank, for progress messages.
    #[must_use]
    pub fn last_line(&self) -> String {
        let current: String = self.page.line.iter().collect();
        if current.trim().is_empty() {
            self.page.last_line.clone()
        } else {
            current
        }
    }

    /// Characters shown so far.
    #[must_use]
    pub fn shown(&self) -> usize {
        self.page.excerpt.total() + self.page.line.len()
    }

    /// Characters that are left out of what was shown so far.
    #[must_use]
    pub fn left_out(&self) -> usize {
        let mut excerpt = self.page.excerpt.clone();
        excerpt.push(&self.page.line.iter().collect::<String>());
        excerpt.left_out()
    }

    /// All that was kept.
    #[must_use]
    pub fn finish(mut self) -> Excerpt {
        self.page.hand_on();
        self.page.excerpt
    }
}

impl Page {
    fn hand_on(&mut self) {
        let text: String = self.line.drain(..).collect();
        self.column = 0;
        self.excerpt.push(&text);
    }

    fn put(&mut self, c: char) {
        if self.column < self.line.len() {
            self.line[self.column] = c;
        } else {
            self.line.resize(self.column, ' ');
            self.line.push(c);
        }
        self.column += 1;
        if self.line.len() >= LONGEST_LINE {
            self.hand_on();
        }
    }
}

impl Perform for Page {
    fn print(&mut self, c: char) {
        self.put(c);
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                let line: String = self.line.iter().collect();
                if !line.trim().is_empty() {
                    self.last_line = line;
                }
                self.hand_on();
                self.excerpt.push("\n");
            }
            b'\r' => self.column = 0,
            0x08 => self.column = self.column.saturating_sub(1),
            b'\t' => self.put('\t'),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, _intermediates: &[u8], ignore: bool, action: char) {
        if ignore {
            return;
        }
        let given = params
            .iter()
            .next()
            .and_then(|group| group.first())
            .copied()
            .unwrap_or(0);
        let count = usize::from(given.max(1));
        match action {
            // Erase in line: what progress bars use to shorten themselves.
            'K' => match given {
                0 => self.line.truncate(self.column),
                1 => self
                    .line
                    .iter_mut()
                    .take(self.column + 1)
                    .for_each(|c| *c = ' '),
                _ => self.line.clear(),
            },
            'G' => self.column = count.min(LONGEST_LINE) - 1,
            'C' => self.column = (self.column + count).min(LONGEST_LINE - 1),
            'D' => self.column = self.column.saturating_sub(count),
            _ => {}
        }
    }
}

/// The head and the tail of a text, and how much lies between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    head: String,
    tail: String,
    head_room: usize,
    half: usize,
    total: usize,
    bytes: usize,
}

impl Excerpt {
    /// Keeps at most `limit` characters.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let half = limit / 2;
        Self {
            head: String::new(),
            tail: String::new(),
            head_room: limit - half,
            half,
            total: 0,
            bytes: 0,
        }
    }

    pub fn push(&mut self, text: &str) {
        self.total += text.chars().count();
        self.bytes += text.len();
        let cut = text
            .char_indices()
            .nth(self.head_room)
            .map_or(text.len(), |(at, _)| at);
        let (head, tail) = text.split_at(cut);
        self.head_room -= head.chars().count();
        self.head.push_str(head);
        self.tail.push_str(tail);
        // Trimmed only now and then, so that many small pieces stay cheap.
        if self.tail.len() > 16 * self.half.max(64) {
            let start = self.tail.char_indices().rev().nth(self.half);
            self.tail.drain(..start.map_or(0, |(at, _)| at));
        }
    }

    /// Characters pushed.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// Characters that [`Excerpt::render`] leaves out.
    #[must_use]
    pub fn left_out(&self) -> usize {
        let (head, tail) = self.kept();
        self.total - head.chars().count() - tail.chars().count()
    }

    /// The length of what [`Excerpt::render`] shows before the first thing that it leaves out.
    #[must_use]
    pub fn head_bytes(&self) -> usize {
        self.kept().0.len()
    }

    /// The text, with a line that counts what was left out in its middle.
    #[must_use]
    pub fn render(&self) -> String {
        let (head, tail) = self.kept();
        match self.left_out() {
            0 => format!("{head}{tail}"),
            n => format!(
                "{}\n… [{n} characters left out here] …\n{tail}",
                head.trim_end()
            ),
        }
    }

    /// Head and tail; where something is missing between them, both end at a whole line if one is near.
    fn kept(&self) -> (&str, &str) {
        let start = match self.half {
            0 => self.tail.len(),
            half => (self.tail.char_indices().rev().nth(half - 1)).map_or(0, |(at, _)| at),
        };
        let (head, tail) = (self.head.as_str(), &self.tail[start..]);
        if head.len() + self.tail.len() == self.bytes && start == 0 {
            return (head, tail);
        }
        let head = match head.rfind('\n') {
            Some(at) if head.len() - at <= LONGEST_SNIPPET => &head[..=at],
            _ => head,
        };
        let tail = match tail.find('\n') {
            Some(at) if at < LONGEST_SNIPPET => &tail[at + 1..],
            _ => tail,
        };
        (head, tail)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Excerpt, Screen};

    fn shown(pieces: &[&str]) -> String {
        let mut screen = Screen::new(1000);
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
            (&["line\r\n"], "line\n"),
            (&["abc\rX"], "Xbc"),
            (&["Downloading 99%\r\u{1b}[KDone\n"], "Done\n"),
            (&["whole\u{1b}[2K\rnew"], "new"),
            (&["ab\u{8}c"], "ac"),
            (&["a\tb"], "a\tb"),
            (&["\u{1b}]0;title\u{7}body"], "body"),
            (&["über 日本 🚀"], "über 日本 🚀"),
        ] {
            assert_eq!(shown(pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn a_block_stands_on_lines_of_its_own() {
        let mut screen = Screen::new(100);
        screen.push("a");
        screen.push_block("b");
        screen.push("c");
        assert_eq!(screen.finish().render(), "a\nb\nc");
    }

    #[test]
    fn the_last_line_is_the_newest_that_is_not_blank() {
        let mut screen = Screen::new(100);
        screen.push("one\ntwo\n\n");
        assert_eq!(screen.last_line(), "two");
        screen.push("three");
        assert_eq!(screen.last_line(), "three");
    }

    #[test]
    fn a_cut_leaves_whole_lines() {
        let mut excerpt = Excerpt::new(20);
        (0..9).for_each(|n| excerpt.push(&format!("line {n}\n")));
        assert_eq!(
            excerpt.render(),
            "line 0\n… [49 characters left out here] …\nline 8\n"
        );
    }

    #[test]
    fn the_line_that_is_being_written_counts() {
        let mut screen = Screen::new(100);
        screen.push(&"x".repeat(130));
        assert_eq!((screen.shown(), screen.left_out()), (130, 30));
        assert_eq!(screen.finish().left_out(), 30);
    }

    #[test]
    fn output_without_line_ends_stays_bounded() {
        let mut screen = Screen::new(100);
        for _ in 0..40 {
            screen.push(&"x".repeat(10_000));
        }
        assert!(screen.page.line.len() <= super::LONGEST_LINE);
        let excerpt = screen.finish();
        assert_eq!((excerpt.total(), excerpt.left_out()), (400_000, 399_900));
    }

    proptest! {
        #[test]
        fn an_excerpt_keeps_head_and_tail_and_counts_the_rest(pieces in prop::collection::vec("[a-zé🚀\n]{0,40}", 0..40), limit in 0usize..60) {
            let whole = pieces.concat();
            let length = whole.chars().count();
            let mut excerpt = Excerpt::new(limit);
            pieces.iter().for_each(|piece| excerpt.push(piece));
            let rendered = excerpt.render();
            if length <= limit {
                prop_assert_eq!(rendered, whole);
                return Ok(());
            }
            let (head, tail) = excerpt.kept();
            prop_assert!(whole.starts_with(head) && whole.ends_with(tail));
            prop_assert!(head.chars().count() + tail.chars().count() <= limit);
            prop_assert_eq!(excerpt.left_out(), length - head.chars().count() - tail.chars().count());
            let count = format!("[{} characters left out here]", excerpt.left_out());
            prop_assert!(rendered.contains(&count), "{}", rendered);
        }
    }
}
