//! The head and the tail of a text of unbounded length.

/// Longest partial line that is dropped beside a cut, so that the excerpt shows whole lines.
const MAX_SNIPPET_BYTES: usize = 400;

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

    /// Length of the part that [`Excerpt::render`] shows before the cut.
    #[must_use]
    pub fn head_bytes(&self) -> usize {
        self.kept().0.len()
    }

    /// The text; where it was cut, a line counts the characters that were left out.
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

    /// Head and tail; if text is left out between them, both are cut at a line end if one is near.
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

    use super::Excerpt;

    #[test]
    fn a_cut_leaves_whole_lines() {
        let mut excerpt = Excerpt::new(20);
        (0..9).for_each(|n| excerpt.push(&format!("line {n}\n")));
        assert_eq!(
            excerpt.render(),
            "line 0\n… [49 characters left out here] …\nline 8\n"
        );
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
