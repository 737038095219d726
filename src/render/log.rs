//! Logs for reading: without terminal control sequences, each progress bar in its last state, and no other line lost.

use std::collections::HashMap;

use super::progress::replaces;

/// Last column that the cursor can be sent to.
const MAX_COLUMN: usize = 200;

/// Whether a terminal would show the text differently: lines in it are overwritten or coloured.
#[must_use]
pub fn is_for_a_terminal(text: &str) -> bool {
    let mut returns = text.match_indices('\r');
    let is_alone = |(at, _): (usize, _)| !matches!(text.as_bytes().get(at + 1), None | Some(b'\n'));
    text.contains(['\u{1b}', '\u{8}']) || returns.any(is_alone)
}

/// A log without terminal control sequences.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plain {
    pub text: String,
    /// States of progress bars that newer ones replaced.
    pub left_out: usize,
}

/// The text of a log, in the order in which it was written. A terminal would overwrite and clear lines; here only a progress bar replaces its
/// earlier state in the same row, and everything else is on lines of its own.
#[must_use]
pub fn plain(text: &str) -> Plain {
    let mut page = Page::default();
    for line in text.split_inclusive('\n') {
        page.read(line);
    }
    page.end_state();
    let kept = page.states.iter().filter(|state| !state.is_replaced);
    let lines: Vec<&str> = kept.map(|state| state.text.as_str()).collect();
    let mut shown = lines.join("\n");
    if text.ends_with('\n') && !lines.is_empty() {
        shown.push('\n');
    }
    Plain {
        text: shown,
        left_out: page.left_out,
    }
}

/// The content of a row until something else was written there.
#[derive(Debug)]
struct State {
    text: String,
    is_replaced: bool,
}

#[derive(Debug, Default)]
struct Page {
    states: Vec<State>,
    /// The newest state of each row that the cursor can find again.
    newest: HashMap<i64, usize>,
    row: i64,
    /// The line that is being written, and the cursor's column in it.
    line: Vec<char>,
    column: usize,
    /// Something was written since the last line feed.
    is_written: bool,
    /// The line of the file begins with a carriage return and does not end with one, as loops write it that show a counter.
    is_counter: bool,
    left_out: usize,
}

impl Page {
    /// Reads a line of the file. A sequence that does not end in it has no effect.
    fn read(&mut self, line: &str) {
        let said = line.strip_suffix('\n').unwrap_or(line);
        let said = said.strip_suffix('\r').unwrap_or(said);
        self.is_counter = said.starts_with('\r') && !said.ends_with('\r');
        let mut rest = said.chars();
        while let Some(c) = rest.next() {
            match c {
                '\r' => self.end_state(),
                '\u{8}' => self.go_left(1),
                '\u{1b}' => {
                    let (sequence, after) = Sequence::read(rest.as_str());
                    rest = after.chars();
                    self.obey(&sequence);
                }
                '\t' | '\u{b}' | '\u{c}' => self.put(c),
                '\0'..='\u{1f}' | '\u{7f}' => {}
                _ => self.put(c),
            }
        }
        if line.ends_with('\n') {
            self.end_state();
            // A cursor that only passes through a row leaves it as it is.
            if !self.is_written && !self.newest.contains_key(&self.row) {
                self.add(String::new());
            }
            self.row += 1;
            self.is_written = false;
        }
    }

    fn put(&mut self, c: char) {
        if self.column < self.line.len() {
            self.line[self.column] = c;
        } else {
            self.line.resize(self.column, ' ');
            self.line.push(c);
        }
        self.column += 1;
    }

    /// Moving back to the beginning ends the state of the line; moving back less corrects it in place.
    fn go_left(&mut self, columns: usize) {
        self.column = self.column.saturating_sub(columns);
        if self.column == 0 && self.line.len() > 1 {
            self.end_state();
        }
    }

    fn go_to_column(&mut self, column: usize) {
        match column {
            0 => self.end_state(),
            _ => self.column = column.min(MAX_COLUMN.max(self.line.len())),
        }
    }

    fn go_down(&mut self, rows: i64) {
        self.end_state();
        self.row = self.row.saturating_add(rows);
    }

    /// The cursor moves to an unknown row.
    fn forget_rows(&mut self) {
        self.end_state();
        self.newest.clear();
    }

    fn end_state(&mut self) {
        let text: String = self.line.drain(..).collect();
        self.column = 0;
        if !text.trim().is_empty() {
            self.add(text);
            self.is_written = true;
        }
    }

    fn add(&mut self, text: String) {
        if let Some(older) = self.newest.get(&self.row) {
            let older = &mut self.states[*older];
            let is_blank = older.text.is_empty();
            older.is_replaced = is_blank || replaces(&older.text, &text, self.is_counter);
            self.left_out += usize::from(older.is_replaced && !is_blank);
        }
        self.newest.insert(self.row, self.states.len());
        self.states.push(State {
            text,
            is_replaced: false,
        });
    }

    fn obey(&mut self, sequence: &Sequence) {
        let count = sequence.number.max(1);
        let rows = i64::try_from(count).unwrap_or(i64::MAX);
        match (sequence.is_control, sequence.action) {
            (true, 'A' | 'F') => self.go_down(-rows),
            (true, 'B' | 'E') => self.go_down(rows),
            (true, 'C') => self.go_to_column(self.column.saturating_add(count)),
            (true, 'D') => self.go_left(count),
            (true, 'G') => self.go_to_column(count - 1),
            (true, 'K') if sequence.number == 0 => self.line.truncate(self.column),
            (true, 'K') => self.end_state(),
            (true, 'J') if sequence.number == 0 => {}
            (true, 'H' | 'f' | 'd' | 'J' | 'L' | 'M' | 'S' | 'T' | 'u') => self.forget_rows(),
            // The alternate screen.
            (true, 'h' | 'l') if matches!(sequence.number, 47 | 1047 | 1049) => self.forget_rows(),
            (false, 'M') => self.go_down(-1),
            (false, 'D' | 'E') => self.go_down(1),
            (false, 'c' | '8') => self.forget_rows(),
            _ => {}
        }
    }
}

/// The sequence after an escape character.
#[derive(Debug, Default)]
struct Sequence {
    /// `ESC [ … action`, not `ESC action`.
    is_control: bool,
    /// The first parameter; 0 if there is none.
    number: usize,
    action: char,
}

impl Sequence {
    /// Reads a sequence, and returns the text after it.
    fn read(text: &str) -> (Self, &str) {
        let Some(kind) = text.chars().next().filter(|c| matches!(c, ' '..='~')) else {
            return (Self::default(), text);
        };
        match kind {
            '[' => Self::control(&text[1..]),
            // A window's title, a link. Without an end it is text.
            ']' | 'P' | 'X' | '^' | '_' => (Self::default(), behind_string(&text[1..])),
            _ => {
                let behind = text.trim_start_matches(|c| matches!(c, ' '..='/'));
                let plain = Self {
                    action: kind,
                    ..Self::default()
                };
                (
                    plain,
                    behind
                        .strip_prefix(|c| matches!(c, '0'..='~'))
                        .unwrap_or(behind),
                )
            }
        }
    }

    fn control(text: &str) -> (Self, &str) {
        let behind = text.trim_start_matches(|c| matches!(c, '0'..='?'));
        let parameters = &text[..text.len() - behind.len()];
        let behind = behind.trim_start_matches(|c| matches!(c, ' '..='/'));
        let Some(action) = behind.chars().next().filter(|c| matches!(c, '@'..='~')) else {
            return (Self::default(), behind);
        };
        let digits = parameters.trim_start_matches(['?', '>', '<', '=']);
        let digits = digits.split([';', ':']).next().unwrap_or_default();
        let control = Self {
            is_control: true,
            number: digits.parse().unwrap_or_default(),
            action,
        };
        (control, &behind[1..])
    }
}

/// The text after a control string, which ends with BEL or `ESC \`.
fn behind_string(text: &str) -> &str {
    let end = text.find(['\u{7}', '\u{1b}']);
    let Some((end, rest)) = end.and_then(|at| text.split_at_checked(at)?.1.split_at_checked(1))
    else {
        return text;
    };
    match rest.strip_prefix('\\') {
        _ if end == "\u{7}" => rest,
        Some(rest) => rest,
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{is_for_a_terminal, plain};

    fn check(text: &str, expected: &str) {
        assert_eq!(plain(text).text, expected, "{text:?}");
    }

    #[test]
    fn a_bar_is_shown_in_its_last_state() {
        for (text, expected) in [
            ("a\n 1%\r 50%\r100%\nb\r\n", "a\n100%\nb\n"),
            ("load |\rload /\rload -\rdone  \n", "load -\ndone  \n"),
            ("\rrow 1\rrow 2\rrow 3\n", "row 3\n"),
            (
                "1/10\u{8}\u{8}\u{8}\u{8}2/10\u{8}\u{8}\u{8}\u{8}3/10\n",
                "3/10\n",
            ),
            ("5 %|#\u{1b}[1G 10%|#\n", "5 %|#\n 10%|#\n"),
            (
                "Get: 1MB/3MB x\r\u{1b}[KGet: 2MB/3MB\u{1b}[K\rGet: 3MB/3MB yz\n",
                "Get: 3MB/3MB yz\n",
            ),
            ("10%|███ | a=b\r20%|████| c=de\n", "20%|████| c=de\n"),
            (
                "frame= 1 fps=9\rframe= 22 fps=9\rEnd",
                "frame= 22 fps=9\nEnd",
            ),
            ("\r1/300 [>] x\r2/300 [>] x\r3/30", "3/30"),
            ("⠋ wait\r⠙ wait\r⠹ wait.", "⠹ wait."),
            ("[=>  ]\r[==> ]\r[===>]\n", "[===>]\n"),
        ] {
            check(text, expected);
        }
        assert_eq!(plain("1/3\r2/3\r3/3\rend\n").left_out, 2);
    }

    #[test]
    fn several_bars_are_a_line_each() {
        let inner = |n: u32| format!("\n\rinner: {n}/2\u{1b}[A");
        let mut text = "begin\n\router: 0/3".to_owned();
        for outer in 1..=3 {
            let inners: String = (0..=2).map(inner).collect();
            text += &format!("{inners}\router: {outer}/3");
        }
        check(
            &(text + "\n\ndone\n"),
            "begin\ninner: 2/2\nouter: 3/3\ndone\n",
        );
        let third = |n: u32| format!("\n\n\rthird: {n}/2\u{1b}[A\u{1b}[A");
        check(
            &format!("\rfirst: 1/2{}{}", third(1), third(2)),
            "first: 1/2\n\nthird: 2/2",
        );
        let frame = |n: u32| format!("a {n}%\nb {n}%\n\u{1b}[2A\u{1b}[2K");
        check(&(frame(1) + &frame(2) + "\n\nend\n"), "a 2%\nb 2%\nend\n");
    }

    #[test]
    fn no_line_is_lost() {
        let lines = |sequence: &str| {
            (1..=50)
                .map(|n| format!("{sequence}L {n}\n"))
                .collect::<String>()
        };
        let plainly = lines("");
        for sequence in [
            "\u{1b}[2J",
            "\u{1b}[2J\u{1b}[H",
            "\u{1b}[H\u{1b}[J",
            "\u{1b}[3J",
            "\u{1b}c",
            "\u{1b}[1A",
            "\u{1b}[1A\u{1b}[2K",
            "\u{1b}[1F",
            "\u{1b}[5A\r",
            "\u{1b}[K",
            "\u{1b}[2K",
            "\u{1b}[?1049h",
            "\u{1b}[?1049l",
            "\u{1b}[10;1H",
            "\u{1b}[3L",
            "\u{1b}[2S",
            "\u{1b}M",
            "\u{1b}[31m",
            "\u{1b}]0;title\u{7}",
            "\u{1b}]8;;http://a\u{1b}\\",
            "\u{1b}(B",
            "\u{1b}7\u{1b}8",
            "\u{1b}[s\u{1b}[u",
            "\u{7}",
            "\r",
        ] {
            check(&lines(sequence), &plainly);
        }
        for (text, expected) in [
            ("L 1\rL 2\rL 3\n", "L 1\nL 2\nL 3\n"),
            ("L 1\u{1b}[1AL 2\u{1b}[2KL 3\u{1b}[2J\n", "L 1\nL 2\nL 3\n"),
            (
                "\u{1b}[31mone\u{1b}[0m\rthe other\r\nb\n",
                "one\nthe other\nb\n",
            ),
            ("12:00 a 1\r12:01 a 2\n", "12:00 a 1\n12:01 a 2\n"),
            ("1/2/24 a\r2/2/24 a\n", "1/2/24 a\n2/2/24 a\n"),
            ("\rL 1\rL 2\r\r\n", "L 1\nL 2\n"),
            ("\u{1b}[31ma\n\n \nb\n\n", "a\n\n\nb\n\n"),
            // A sequence without an end hides nothing.
            ("\u{1b}]0;a\nb\u{1b}[3\nc\u{1b}Pd\n\u{1b}", "0;a\nb\ncd"),
            (
                "\u{1b}[0mab\u{c}c\u{b}d\u{85}e\u{2028}f\tg\n",
                "ab\u{c}c\u{b}d\u{85}e\u{2028}f\tg\n",
            ),
            ("\u{1b}[1mN\u{8}NA\u{8}A _\u{8}x\n", "NA x\n"),
            (
                "a\u{1b}[5Cb\u{1b}[1D!\u{1b}[12Gc\u{1b}[9999Cd\n",
                &format!("a     !    c{}d\n", " ".repeat(188)),
            ),
            ("\u{1b}é\u{1b}[é\n", "éé\n"),
        ] {
            check(text, expected);
        }
        assert_eq!(plain(""), super::Plain::default());
    }

    #[test]
    fn control_sequences_are_recognized() {
        for (text, expected) in [
            ("a\r\nb\r\n", false),
            ("a\r", false),
            ("\ra", true),
            ("\u{1b}[31mred", true),
            ("1/2\u{8}\u{8}\u{8}2/2", true),
        ] {
            assert_eq!(is_for_a_terminal(text), expected, "{text:?}");
        }
    }
}
