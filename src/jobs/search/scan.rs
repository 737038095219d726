//! Finds lines in a stream of bytes.

use std::collections::VecDeque;
use std::ops::Range;

use super::Search;
use crate::base::text::{Pattern, Room};
use crate::jobs::range::as_shown;

/// A longer line is searched in pieces of this size.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// What two pieces of a line have in common, so that a match is not cut.
const OVERLAP_BYTES: usize = 1024;
/// Characters shown of a line, around what was found in it.
const MAX_SHOWN_CHARS: usize = 400;

/// A search under way. A progress bar's states are lines, too.
pub(super) struct Scan<'a> {
    search: &'a Search,
    room: Room,
    /// The unfinished line.
    pending: Vec<u8>,
    /// Bytes at its beginning that were searched as the end of the piece before.
    overlap: usize,
    /// Where `pending` begins in the log.
    at: u64,
    lines: u64,
    /// The last line ended with `\r`, which a `\n` may follow.
    ended_by_return: bool,
    /// The newest lines that were not shown.
    before: VecDeque<Line>,
    /// Lines to be shown after the last match.
    after: usize,
    shown: VecDeque<Line>,
    /// The room that `shown` takes.
    taken: u64,
    matches: u64,
    /// The first match for which there was no room.
    next: Option<u64>,
}

struct Line {
    /// Counted from the beginning of the search.
    number: u64,
    at: u64,
    is_match: bool,
    text: String,
}

/// The lines found.
pub(super) struct Found {
    pub text: String,
    pub matches: u64,
    pub shown: u64,
    /// Where the first match is for which there was no room.
    pub next: Option<u64>,
    /// Where the search stopped.
    pub end: u64,
}

impl<'a> Scan<'a> {
    pub(super) fn new(search: &'a Search, room: Room, from: u64) -> Self {
        Self {
            search,
            room,
            pending: Vec::new(),
            overlap: 0,
            at: from,
            lines: 0,
            ended_by_return: false,
            before: VecDeque::new(),
            after: 0,
            shown: VecDeque::new(),
            taken: 0,
            matches: 0,
            next: None,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let mut rest = part;
            while self.pending.len() + rest.len() > MAX_LINE_BYTES {
                let (piece, more) = rest.split_at(MAX_LINE_BYTES - self.pending.len());
                self.pending.extend_from_slice(piece);
                self.take_piece();
                rest = more;
            }
            self.pending.extend_from_slice(rest);
            if rest.ends_with(b"\n") || rest.ends_with(b"\r") {
                self.take_line();
            }
        }
    }

    /// `is_end`: the log ends here, so that its last line is whole.
    pub(super) fn finish(mut self, is_end: bool) -> Found {
        if is_end && !self.pending.is_empty() {
            self.take_line();
        }
        let mut text = String::new();
        let mut last = None;
        for line in &self.shown {
            if last.is_some_and(|last| last + 1 < line.number) && self.search.context > 0 {
                text += "--\n";
            }
            last = Some(line.number);
            text += &line.text;
        }
        Found {
            text,
            matches: self.matches,
            shown: self.shown.iter().filter(|line| line.is_match).count() as u64,
            next: self.next,
            end: self.at,
        }
    }

    fn take_line(&mut self) {
        self.search_pending();
        self.at += self.pending.len() as u64;
        self.pending.clear();
        self.overlap = 0;
    }

    fn take_piece(&mut self) {
        self.search_pending();
        let searched = self.pending.len() - OVERLAP_BYTES;
        self.at += searched as u64;
        self.pending.drain(..searched);
        self.overlap = OVERLAP_BYTES;
    }

    fn search_pending(&mut self) {
        let line = String::from_utf8_lossy(&self.pending);
        let line = line.trim_end_matches(['\n', '\r']);
        let has_codes = line.contains(['\u{1b}', '\u{8}']);
        let shown = match has_codes {
            true => as_shown(line).trim_end_matches('\n').to_owned(),
            false => line.to_owned(),
        };
        let is_rest_of_end = self.pending == b"\n" && self.ended_by_return;
        self.ended_by_return = self.pending.ends_with(b"\r");
        if is_rest_of_end {
            return;
        }
        self.lines += 1;
        let found = find(&self.search.pattern, &shown, self.overlap.min(shown.len()));
        let (part, cut) = excerpt(&shown, found.clone());
        // Codes take bytes that are not shown.
        let at = self.at + if has_codes { 0 } else { cut as u64 };
        let sign = if found.is_some() { ':' } else { '-' };
        let line = Line {
            number: self.lines,
            at,
            is_match: found.is_some(),
            text: format!("{at}{sign}{part}\n"),
        };
        if line.is_match {
            self.matches += 1;
            self.after = self.search.context;
            for line in std::mem::take(&mut self.before) {
                self.show(line);
            }
            self.show(line);
        } else if self.after > 0 {
            self.after -= 1;
            self.show(line);
        } else if self.search.context > 0 {
            self.before.push_back(line);
            if self.before.len() > self.search.context {
                self.before.pop_front();
            }
        }
    }

    fn show(&mut self, line: Line) {
        let share = self.room.shares(&line.text) + self.room.shares("--\n");
        let Some(newest) = self.search.newest else {
            if self.next.is_none() && self.taken + share <= self.room.capacity() {
                self.taken += share;
                self.shown.push_back(line);
            } else if line.is_match {
                self.next = self.next.or(Some(line.at));
            }
            return;
        };
        self.taken += share;
        self.shown.push_back(line);
        let mut matches = self.shown.iter().filter(|line| line.is_match).count();
        while matches > newest || self.taken > self.room.capacity() {
            let Some(oldest) = self.shown.pop_front() else {
                break;
            };
            matches -= usize::from(oldest.is_match);
            self.taken -= self.room.shares(&oldest.text) + self.room.shares("--\n");
        }
        self.drop_lone_context();
    }

    /// Drops lines at the front that stood after a match that is not shown any more.
    fn drop_lone_context(&mut self) {
        let Some(first) = self.shown.iter().find(|line| line.is_match) else {
            return;
        };
        let from = first.number.saturating_sub(self.search.context as u64);
        let lone = self
            .shown
            .iter()
            .take_while(|line| line.number < from)
            .count();
        for line in self.shown.drain(..lone) {
            self.taken -= self.room.shares(&line.text) + self.room.shares("--\n");
        }
    }
}

/// The first match that was not found in the piece before.
fn find(pattern: &Pattern, text: &str, overlap: usize) -> Option<Range<usize>> {
    let first = pattern.find(text, 0)?;
    if overlap == 0 || first.end > overlap {
        return Some(first);
    }
    let from = (overlap..=text.len()).find(|at| text.is_char_boundary(*at))?;
    pattern.find(text, from)
}

/// A line, or the part of a long one around what was found; and where that begins in it.
fn excerpt(text: &str, found: Option<Range<usize>>) -> (String, usize) {
    let at = found.map_or(0, |found| found.start);
    let before = text[..at].char_indices().rev().nth(MAX_SHOWN_CHARS / 4);
    let start = before.map_or(0, |(at, _)| at);
    let end = text[start..].char_indices().nth(MAX_SHOWN_CHARS);
    let end = end.map_or(text.len(), |(at, _)| start + at);
    let (head, tail) = (
        if start > 0 { "…" } else { "" },
        if end < text.len() { "…" } else { "" },
    );
    (format!("{head}{}{tail}", &text[start..end]), start)
}

#[cfg(test)]
mod tests {
    use super::{Found, Scan};
    use crate::base::text::{Pattern, Room};
    use crate::jobs::search::Search;

    fn scan(
        log: &str,
        size: usize,
        pattern: &str,
        context: usize,
        newest: Option<usize>,
        chars: usize,
    ) -> Found {
        let pattern = Pattern::new(pattern).unwrap();
        let search = Search {
            pattern,
            context,
            newest,
        };
        let mut scan = Scan::new(&search, Room::for_chars(chars), 0);
        log.as_bytes()
            .chunks(size)
            .for_each(|bytes| scan.push(bytes));
        scan.finish(true)
    }

    #[test]
    fn lines_are_found_with_their_offsets_and_context() {
        let log = "a\nbb\nhit 1\r\n\u{1b}[31mhit 2\u{1b}[0m\ne\nf\ng\n 1%\r 2%\rhit 3";
        for size in 1..log.len() {
            let found = scan(log, size, "^hit", 1, None, 999);
            assert_eq!(
                found.text, "2-bb\n5:hit 1\n12:hit 2\n27-e\n--\n37- 2%\n41:hit 3\n",
                "{size}"
            );
            assert_eq!((found.matches, found.shown, found.next), (3, 3, None));
            assert_eq!(found.end, log.len() as u64);
        }
        assert_eq!(scan(log, 9, "no", 2, None, 999).text, "");
        assert_eq!(scan("\n\nx\n", 9, "^$", 0, None, 999).matches, 2);
    }

    #[test]
    fn what_has_no_room_is_counted_and_named() {
        let log: String = (0..100).map(|n| format!("hit {n}\n")).collect();
        let found = scan(&log, 7, "hit", 0, None, 60);
        assert_eq!(
            found.text,
            "0:hit 0\n6:hit 1\n12:hit 2\n18:hit 3\n24:hit 4\n"
        );
        assert_eq!((found.matches, found.shown, found.next), (100, 5, Some(30)));
        let last = scan(&log, 7, "hit", 0, Some(2), 60);
        assert_eq!(last.text, "676:hit 98\n683:hit 99\n");
        assert_eq!((last.matches, last.shown, last.next), (100, 2, None));
        let around = scan(&log, 7, "hit .0", 1, Some(1), 999);
        assert_eq!(around.text, "613-hit 89\n620:hit 90\n627-hit 91\n");
    }

    #[test]
    fn a_line_without_end_is_searched_in_bounded_memory() {
        for before in [0, 65_530, 65_534, 200_000] {
            let log = "x".repeat(before) + "needle" + &"y".repeat(100_000);
            let found = scan(&log, 4_096, "needle", 0, None, 999);
            assert_eq!(found.matches, 1, "{before}");
            assert!(found.text.contains("needle") && found.text.len() < 600);
            let at: usize = found.text.split(':').next().unwrap().parse().unwrap();
            assert!(at <= before && before <= at + 200, "{at} {before}");
        }
    }
}
