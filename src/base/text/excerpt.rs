//! The head and the tail of a text of unbounded length.

use super::Room;

/// Longest partial line that is dropped beside a cut, so that the excerpt shows whole lines.
const MAX_SNIPPET_BYTES: usize = 400;

/// The head and the tail of a text, and how much lies between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    room: Room,
    head: String,
    tail: String,
    /// What is left of the head's half of the room; the rest of a text goes to the tail.
    head_room: u64,
    total: usize,
    bytes: usize,
}

impl Excerpt {
    /// Keeps at most `limit` characters.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self::within(Room::for_chars(limit))
    }

    /// Keeps as much as fits.
    #[must_use]
    pub fn within(room: Room) -> Self {
        Self {
            room,
            head: String::new(),
            tail: String::new(),
            head_room: room.capacity() - room.capacity() / 2,
            total: 0,
            bytes: 0,
        }
    }

    pub fn push(&mut self, text: &str) {
        self.total += text.chars().count();
        self.bytes += text.len();
        let cut = match self.tail.is_empty() {
            true => self.room.head_end(text, self.head_room),
            false => 0,
        };
        let (head, tail) = text.split_at(cut);
        self.head_room -= self.room.shares(head);
        self.head.push_str(head);
        self.tail.push_str(tail);
        // Trimmed only now and then, so that many small pieces stay cheap.
        if self.tail.len() > 16 * self.room.chars.max(64) {
            let start = self.room.tail_start(&self.tail, self.tail_room());
            // One character more shows that something was left out.
            let start = self.tail[..start].char_indices().next_back();
            self.tail.drain(..start.map_or(0, |(at, _)| at));
        }
    }

    /// The room for the tail.
    fn tail_room(&self) -> u64 {
        self.head_room + self.room.capacity() / 2
    }

    /// Bytes pushed so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Characters pushed so far.
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

    /// The same text in less room.
    #[must_use]
    pub fn narrowed(&self, room: Room) -> Self {
        let mut narrow = Self::within(room);
        let cut = room.head_end(&self.head, narrow.head_room);
        let (head, rest) = self.head.split_at(cut);
        let is_whole = self.head.len() + self.tail.len() == self.bytes;
        narrow.head = head.to_owned();
        narrow.head_room -= room.shares(head);
        narrow.tail = if is_whole { rest } else { "" }.to_owned() + &self.tail;
        (narrow.total, narrow.bytes) = (self.total, self.bytes);
        narrow
    }

    /// Length of the part that [`Excerpt::render`] shows before the cut.
    #[must_use]
    pub fn head_bytes(&self) -> usize {
        self.kept().0.len()
    }

    /// The text; where it was cut, a line counts the characters that were left out.
    #[must_use]
    pub fn render(&self) -> String {
        self.pieces(&[]).concat()
    }

    /// The rendered text, divided at these numbers of bytes pushed, given in order: one piece more than there are numbers.
    #[must_use]
    pub fn pieces(&self, marks: &[usize]) -> Vec<String> {
        let (head, tail) = self.kept();
        let (behind, left_out) = (self.bytes - tail.len(), self.left_out());
        let (mut pieces, mut from) = (Vec::new(), 0);
        for mark in marks.iter().copied().chain([self.bytes]) {
            let to = mark.clamp(from, self.bytes);
            let mut piece = head[from.min(head.len())..to.min(head.len())].to_owned();
            if left_out > 0 && from <= head.len() && head.len() < to {
                piece.truncate(piece.trim_end().len());
                piece += &format!("\n… [{left_out} characters left out here] …\n");
            }
            piece += &tail[from.saturating_sub(behind)..to.saturating_sub(behind)];
            pieces.push(piece);
            from = to;
        }
        pieces
    }

    /// Head and tail; if text is left out between them, both are cut at a line end if one is near.
    fn kept(&self) -> (&str, &str) {
        let start = self.room.tail_start(&self.tail, self.tail_room());
        let (head, tail) = (self.head.as_str(), &self.tail[start..]);
        if head.len() + self.tail.len() == self.bytes && start == 0 {
            return (head, tail);
        }
        let head = match head.rfind('\n') {
            Some(at) if head.len() - at <= MAX_SNIPPET_BYTES => &head[..=at],
            _ => head,
        };
        let tail = match tail.find('\n') {
            Some(at) if at < MAX_SNIPPET_BYTES => &tail[at + 1..],
            _ => tail,
        };
        (head, tail)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Excerpt, Room};

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
    fn pieces_stand_where_their_marks_were_set() {
        let mut excerpt = Excerpt::new(20);
        let mut marks = Vec::new();
        for n in 0..9 {
            excerpt.push(&format!("line {n}\n"));
            marks.push(excerpt.bytes());
        }
        let cut = "\n… [49 characters left out here] …\n";
        let mut expected = vec!["line 0\n", cut, "", "", "", "", "", "", "line 8\n", ""];
        assert_eq!(excerpt.pieces(&marks), expected);
        let mut short = Excerpt::new(20);
        short.push("a\nb");
        expected = vec!["a\n", "b", "", ""];
        assert_eq!(short.pieces(&[2, 9, 1]), expected);
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
            let narrow = excerpt.narrowed(Room::for_chars(limit / 2));
            prop_assert!(narrow.left_out() >= length - limit / 2);
            prop_assert!(narrow.render().chars().count() <= limit / 2 + 50);
            let (head, tail) = excerpt.kept();
            prop_assert!(whole.starts_with(head) && whole.ends_with(tail));
            prop_assert!(head.chars().count() + tail.chars().count() <= limit);
            prop_assert_eq!(excerpt.left_out(), length - head.chars().count() - tail.chars().count());
            let count = format!("[{} characters left out here]", excerpt.left_out());
            prop_assert!(rendered.contains(&count), "{}", rendered);
        }
    }
}
