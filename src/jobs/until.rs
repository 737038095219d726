//! Waits for a line of the output that matches a pattern.

use std::mem::take;

use vte::{Parser, Perform};

use super::display;
use super::shown::{Effect, Interpreter};
use crate::base::text::Pattern;
use crate::wire::event::Event;

/// A longer line is searched in pieces that overlap by half.
const MAX_LINE_BYTES: usize = 8 * 1024;
/// Characters of a matching line that are shown.
const MAX_SHOWN_CHARS: usize = 300;

/// Searches a job's output once, event by event, in bounded memory.
pub struct Until {
    parser: Parser,
    lines: Lines,
    interpreter: Interpreter,
}

struct Lines {
    pattern: Pattern,
    /// The unfinished line, without terminal codes.
    line: String,
    matched: Option<String>,
}

impl Until {
    #[must_use]
    pub fn new(pattern: Pattern) -> Self {
        Self {
            parser: Parser::new(),
            lines: Lines {
                pattern,
                line: String::new(),
                matched: None,
            },
            interpreter: Interpreter::default(),
        }
    }

    /// The first line that matched.
    #[must_use]
    pub fn matched(&self) -> Option<&str> {
        self.lines.matched.as_deref()
    }

    /// Searches the output of the next event.
    pub(super) fn take(&mut self, event: &Event) {
        if self.matched().is_some() {
            return;
        }
        for effect in self.interpreter.effects(event) {
            match effect {
                Effect::Print { text, .. } => self.search(text),
                Effect::Show(shown) => {
                    if let Some(text) = display::plain(shown.data) {
                        self.search_block(&text);
                    }
                }
                Effect::Raise(error) => {
                    self.search_block(&error.traceback.join("\n"));
                    self.search_block(&error.sentence());
                }
                Effect::Clear => self.lines.line.clear(),
            }
        }
    }

    fn search_block(&mut self, text: &str) {
        self.lines.end();
        self.search(text);
        self.lines.end();
    }

    fn search(&mut self, text: &str) {
        self.parser.advance(&mut self.lines, text.as_bytes());
        // A prompt, or a bar, whose line never ends.
        self.lines.search();
    }
}

impl Lines {
    fn end(&mut self) {
        self.search();
        self.line.clear();
    }

    fn push(&mut self, letter: char) {
        if self.line.len() >= MAX_LINE_BYTES {
            self.search();
            let half = self.line.len() / 2;
            let at = (half..).find(|at| self.line.is_char_boundary(*at));
            self.line.drain(..at.unwrap_or(half));
        }
        self.line.push(letter);
    }

    fn search(&mut self) {
        if self.matched.is_some() {
            return;
        }
        let Some(found) = self.pattern.find(&self.line, 0) else {
            return;
        };
        let line = take(&mut self.line);
        let chars_before = line[..found.start].chars().count();
        // From its beginning, where the match is still seen then.
        let skipped = chars_before.saturating_sub(MAX_SHOWN_CHARS / 2);
        let shown = line.chars().skip(skipped).take(MAX_SHOWN_CHARS);
        self.matched = Some(shown.collect());
    }
}

impl Perform for Lines {
    fn print(&mut self, letter: char) {
        self.push(letter);
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' | b'\r' => self.end(),
            b'\t' => self.push('\t'),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MAX_LINE_BYTES, Until};
    use crate::base::text::Pattern;

    /// The line that matches in the output of `events`.
    fn matched(pattern: &str, events: &[Value]) -> Option<String> {
        let mut until = Until::new(Pattern::new(pattern).unwrap());
        for (at, event) in events.iter().enumerate() {
            let mut event = event.clone();
            event["seq"] = json!(at + 1);
            until.take(&serde_json::from_value(event).unwrap());
        }
        until.matched().map(str::to_owned)
    }

    fn printed(pieces: &[&str]) -> Vec<Value> {
        let piece = |text| json!({"type": "stream", "name": "stdout", "text": text});
        pieces.iter().map(piece).collect()
    }

    #[test]
    fn a_line_is_found_however_it_is_cut_into_events() {
        for (pattern, pieces, line) in [
            (
                "epoch 3",
                &["epoch 1\nepo", "ch ", "3 loss 4\n"][..],
                Some("epoch 3 loss 4"),
            ),
            ("epoch 3", &["epoch ", "2\n3\n"], None),
            ("^b$", &["a\nb\nc"], Some("b")),
            (
                "100%",
                &["\r 10%\r", "\u{1b}[32m 10", "0\u{1b}", "[0m%"],
                Some(" 100%"),
            ),
            ("Password:", &["Password", ": "], Some("Password: ")),
            ("损失", &["轮次 1\n损失 2\n"], Some("损失 2")),
            ("a|b", &["x b\na\n"], Some("x b")),
        ] {
            let found = matched(pattern, &printed(pieces));
            // An unfinished line is shown as far as it has come.
            let is_found = match (&found, line) {
                (Some(found), Some(line)) => line.starts_with(found.as_str()),
                (found, line) => found.as_deref() == line,
            };
            assert!(is_found, "{pattern}: {found:?}");
        }
    }

    #[test]
    fn values_and_errors_are_output_too() {
        let value = json!({"type": "execute_result", "data": {"text/plain": "x\ndone 7"}, "execution_count": 1});
        let error =
            json!({"type": "error", "ename": "ValueError", "evalue": "no seven", "traceback": []});
        let events = [printed(&["un"]), vec![value, error]].concat();
        assert_eq!(matched("^done", &events).unwrap(), "done 7");
        assert_eq!(matched("seven$", &events).unwrap(), "ValueError: no seven");
    }

    #[test]
    fn a_line_without_end_is_searched_in_bounded_memory() {
        let piece = "x".repeat(1_000);
        let mut until = Until::new(Pattern::new("xyz").unwrap());
        for _ in 0..100 {
            until.search(&piece);
            assert!(until.lines.line.len() <= MAX_LINE_BYTES);
        }
        until.search("y");
        until.search("z");
        assert!(until.matched().unwrap().ends_with("xyz"));
    }
}
