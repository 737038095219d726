//! Lines of a job's output.

use std::borrow::Cow;

use anstream::adapter::strip_str;

use crate::base::text::Pattern;
use crate::jobs::collect::{Tap, traceback};
use crate::jobs::keep::Kept;
use crate::wire::event::{PythonError, StreamName};

/// A longer line is searched as far as it has come.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// Hands on only the lines that match. The states of a progress bar are lines, too.
pub(super) struct Grep {
    pattern: Pattern,
    to: Box<dyn Tap>,
    /// The unfinished line of each stream.
    begun: [String; 2],
    /// Lines that match, to be handed on together: a terminal writes each piece at once.
    found: [String; 2],
}

impl Grep {
    pub(super) fn new(pattern: Pattern, to: Box<dyn Tap>) -> Self {
        Self {
            pattern,
            to,
            begun: Default::default(),
            found: Default::default(),
        }
    }

    fn end_line(&mut self, name: StreamName) {
        let line = std::mem::take(&mut self.begun[name as usize]);
        let plain = match line.contains('\u{1b}') {
            true => Cow::Owned(strip_str(&line).to_string()),
            false => Cow::Borrowed(line.as_str()),
        };
        if !line.is_empty() && self.pattern.find(&plain, 0).is_some() {
            self.found[name as usize] += &line;
            self.found[name as usize] += "\n";
        }
    }

    fn hand_on(&mut self, name: StreamName) {
        let found = std::mem::take(&mut self.found[name as usize]);
        if !found.is_empty() {
            self.to.stream(name, &found);
        }
    }
}

impl Tap for Grep {
    fn stream(&mut self, name: StreamName, text: &str) {
        for piece in text.split_inclusive(['\n', '\r']) {
            let part = piece.trim_end_matches(['\n', '\r']);
            self.begun[name as usize] += part;
            let is_long = self.begun[name as usize].len() > MAX_LINE_BYTES;
            if is_long || part.len() < piece.len() {
                self.end_line(name);
            }
        }
        self.hand_on(name);
    }

    fn show(&mut self, text: &str) {
        self.end_line(StreamName::Stdout);
        self.stream(StreamName::Stdout, text);
        self.end_line(StreamName::Stdout);
        self.hand_on(StreamName::Stdout);
    }

    fn raise(&mut self, error: &PythonError) {
        self.end_line(StreamName::Stderr);
        // What the code prints comes as it is; the colours of a traceback are not its own.
        let plain = strip_str(&traceback(error)).to_string();
        self.stream(StreamName::Stderr, &plain);
        self.end_line(StreamName::Stderr);
        self.hand_on(StreamName::Stderr);
    }

    fn keep(&mut self, _kept: &Kept) {}
}

impl Drop for Grep {
    fn drop(&mut self) {
        for name in [StreamName::Stdout, StreamName::Stderr] {
            self.end_line(name);
            self.hand_on(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Grep;
    use crate::base::lock::Lock;
    use crate::base::text::Pattern;
    use crate::jobs::collect::Tap;
    use crate::jobs::keep::Kept;
    use crate::wire::event::{PythonError, StreamName};

    struct Into(Arc<Lock<String>>);

    impl Tap for Into {
        fn stream(&mut self, _name: StreamName, text: &str) {
            *self.0.lock() += text;
        }
        fn show(&mut self, _text: &str) {}
        fn raise(&mut self, _error: &PythonError) {}
        fn keep(&mut self, _kept: &Kept) {}
    }

    #[test]
    fn only_whole_lines_that_match_are_handed_on_however_they_are_cut() {
        let found = Arc::<Lock<String>>::default();
        let mut grep = Grep::new(
            Pattern::new("loss [0-9]").unwrap(),
            Box::new(Into(found.clone())),
        );
        for piece in [
            "epoch 1 lo",
            "ss 3\nepoch 2\n",
            "\r 10%",
            "\r loss \u{1b}[1m5\u{1b}[0m\r",
            "tail",
        ] {
            grep.stream(StreamName::Stdout, piece);
        }
        grep.stream(StreamName::Stderr, "loss 9");
        grep.show("loss 7");
        drop(grep);
        let expected = "epoch 1 loss 3\n loss \u{1b}[1m5\u{1b}[0m\nloss 7\nloss 9\n";
        assert_eq!(*found.lock(), expected);
    }
}
