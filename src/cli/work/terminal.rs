//! A job's output in the terminal, as it comes.

use std::io::{self, IsTerminal, Write};

use super::attend::Wait;
use super::inline::Protocol;
use crate::base::advice::Advice;
use crate::cli::words;
use crate::edge::env::Env;
use crate::jobs::collect::{Tap, traceback};
use crate::jobs::keep::Kept;
use crate::wire::event::{PythonError, StreamName};

/// Writes what the code prints to the same stream here, unchanged; values to stdout; tracebacks and the names of files to stderr.
pub(super) struct Terminal {
    pictures: Option<Protocol>,
    wait: Wait,
    /// Whether each stream is at the beginning of a line.
    is_fresh: [bool; 2],
}

impl Terminal {
    /// Ends `wait` when the reader of stdout has gone, and tells it what else could not be written.
    pub(super) fn new(env: &Env, wait: Wait) -> Self {
        let pictures = match io::stdout().is_terminal() {
            true => Protocol::of(env),
            false => None,
        };
        Self {
            pictures,
            wait,
            is_fresh: [true; 2],
        }
    }

    fn write(&mut self, name: StreamName, bytes: &[u8]) {
        let written = match name {
            StreamName::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush())
            }
            // Without colours where they are not wanted.
            StreamName::Stderr => anstream::stderr().lock().write_all(bytes),
        };
        self.note(name, written);
        if let Some(last) = bytes.last() {
            self.is_fresh[name as usize] = *last == b'\n';
        }
    }

    fn note(&self, name: StreamName, written: io::Result<()>) {
        match (written, name) {
            (Err(error), StreamName::Stdout) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.wait.left.cancel();
            }
            (Err(error), _) => self.wait.note_unwritten(name, &error),
            (Ok(()), _) => {}
        }
    }

    /// Writes whole lines.
    fn write_lines(&mut self, name: StreamName, text: &str) {
        let begin = match self.is_fresh[name as usize] {
            true => "",
            false => "\n",
        };
        let end = if text.ends_with('\n') { "" } else { "\n" };
        self.write(name, format!("{begin}{text}{end}").as_bytes());
    }
}

impl Tap for Terminal {
    fn stream(&mut self, name: StreamName, text: &str) {
        match name {
            StreamName::Stdout => {
                let text = self.wait.without_typed(text);
                self.write(name, text.as_bytes());
            }
            StreamName::Stderr => {
                let written = io::stderr().lock().write_all(text.as_bytes());
                self.is_fresh[name as usize] = text.ends_with('\n');
                self.note(name, written);
            }
        }
    }

    fn show(&mut self, text: &str) {
        self.write_lines(StreamName::Stdout, text);
    }

    fn raise(&mut self, error: &PythonError) {
        let text = match (error.ename.as_str(), error.evalue.trim()) {
            // As Python itself shows it.
            ("SystemExit", text) if text.parse::<i64>().is_ok() => return,
            ("SystemExit", "" | "None" | "True" | "False") => return,
            ("SystemExit", text) => text.to_owned(),
            _ => traceback(error),
        };
        self.write_lines(StreamName::Stderr, &text);
    }

    fn keep(&mut self, kept: &Kept) {
        for picture in &kept.pictures {
            if let Some(shown) = self.pictures.and_then(|way| way.show(&picture.fitted)) {
                self.write_lines(StreamName::Stdout, &shown);
            }
        }
        for file in &kept.files {
            let path = file.path.display();
            self.write_lines(
                StreamName::Stderr,
                &format!("[{} kept as {path}]", file.mime),
            );
        }
        for note in &kept.notes {
            self.write_lines(StreamName::Stderr, &format!("[{}]", worded(note)));
        }
    }
}

pub(super) fn worded(note: &Advice) -> String {
    note.worded(words::word)
}
