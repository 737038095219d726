//! Numbers and names in sentences.

/// `1 file` or `2 files`.
#[must_use]
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A path in a sentence, its control characters as escapes.
#[must_use]
pub fn visible(path: &str) -> String {
    let mut shown = String::with_capacity(path.len());
    for c in path.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{counted, visible};

    #[test]
    fn only_one_takes_the_singular() {
        for (count, expected) in [(0, "0 files"), (1, "1 file"), (2, "2 files")] {
            assert_eq!(counted(count, "file", "files"), expected);
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(visible("a\n\u{1b}é/\\"), "a\\n\\u{1b}é/\\");
    }
}
