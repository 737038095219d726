//! How much text fits.

/// Bytes of a character in JSON, at most: `\u0000`.
const MAX_JSON_BYTES: usize = 6;

/// Room for a text, limited in characters and in bytes as JSON at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub chars: usize,
    /// As part of a JSON string, in which a line feed takes two.
    pub json_bytes: usize,
}

impl Room {
    /// Room for `chars` characters of any kind.
    #[must_use]
    pub fn for_chars(chars: usize) -> Self {
        Self {
            chars,
            json_bytes: chars.saturating_mul(MAX_JSON_BYTES),
        }
    }

    /// The part of `capacity` that a character takes: of whichever limit it takes more. A text of no more than the capacity is
    /// within both limits.
    pub(super) fn share(self, c: char) -> u64 {
        let (chars, bytes) = (self.chars as u64, self.json_bytes as u64);
        bytes.max(json_bytes(c) as u64 * chars).max(1)
    }

    /// How much of [`Room::capacity`] a text takes.
    #[must_use]
    pub fn shares(self, text: &str) -> u64 {
        text.chars().map(|c| self.share(c)).sum()
    }

    /// What the shares of a text that fits add up to, at most.
    #[must_use]
    pub fn capacity(self) -> u64 {
        self.chars as u64 * self.json_bytes as u64
    }

    /// The longest beginning of `text` that fits.
    #[must_use]
    pub fn head(self, text: &str) -> &str {
        &text[..self.head_end(text, self.capacity())]
    }

    /// The longest end of `text` that fits.
    #[must_use]
    pub fn tail(self, text: &str) -> &str {
        &text[self.tail_start(text, self.capacity())..]
    }

    /// Where the longest beginning of `text` ends that takes at most `capacity`.
    pub(super) fn head_end(self, text: &str, mut capacity: u64) -> usize {
        for (at, c) in text.char_indices() {
            match capacity.checked_sub(self.share(c)) {
                Some(left) => capacity = left,
                None => return at,
            }
        }
        text.len()
    }

    /// Where the longest end of `text` begins that takes at most `capacity`.
    pub(super) fn tail_start(self, text: &str, mut capacity: u64) -> usize {
        for (at, c) in text.char_indices().rev() {
            match capacity.checked_sub(self.share(c)) {
                Some(left) => capacity = left,
                None => return at + c.len_utf8(),
            }
        }
        0
    }
}

/// Bytes of a character in a JSON string.
fn json_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => MAX_JSON_BYTES,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Room;

    fn json_bytes(text: &str) -> usize {
        serde_json::to_string(text).unwrap().len() - 2
    }

    proptest! {
        #[test]
        fn what_fits_is_within_both_limits(text in "[a-z漢é🚀\n\"\u{1}]{0,60}", chars in 0usize..60, bytes in 0usize..120) {
            let room = Room { chars, json_bytes: bytes };
            for part in [room.head(&text), room.tail(&text)] {
                prop_assert!(part.chars().count() <= chars && json_bytes(part) <= bytes, "{part:?}");
            }
            prop_assert!(text.starts_with(room.head(&text)) && text.ends_with(room.tail(&text)));
            let whole = Room::for_chars(text.chars().count());
            prop_assert_eq!(whole.head(&text), &text);
        }
    }
}
