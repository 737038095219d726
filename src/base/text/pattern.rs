//! Regular expressions that a caller gives.

use std::ops::Range;

use regex::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use thiserror::Error;

/// Characters of a pattern, at most.
const MAX_PATTERN_CHARS: usize = 1_000;
/// Memory of a compiled pattern, and of the states that a search keeps.
const MAX_COMPILED_BYTES: usize = 2 * 1024 * 1024;
/// Nested groups, at most.
const MAX_NESTING: u32 = 50;
/// Characters quoted from where a pattern is at fault.
const MAX_QUOTED_CHARS: usize = 20;

/// A regular expression, which takes time linear in the text.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

/// Why a text is no pattern, as the end of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    #[error("it is empty")]
    Empty,
    #[error("it has more than {MAX_PATTERN_CHARS} characters")]
    TooLong,
    #[error("{what} at character {at}, at {quoted:?}")]
    Invalid {
        what: String,
        /// Counted from 1.
        at: usize,
        quoted: String,
    },
    #[error("it takes too much memory: use smaller repetitions")]
    TooLarge,
}

impl Pattern {
    /// Compiles a pattern in the syntax of the crate `regex`: Perl's, without look-around and back references.
    ///
    /// # Errors
    /// If it is no pattern, or too large.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.chars().nth(MAX_PATTERN_CHARS).is_some() {
            return Err(PatternError::TooLong);
        }
        let mut parser = ParserBuilder::new();
        parser.nest_limit(MAX_NESTING);
        parser
            .build()
            .parse(text)
            .map_err(|error| fault(text, &error))?;
        let mut builder = RegexBuilder::new(text);
        builder
            .nest_limit(MAX_NESTING)
            .size_limit(MAX_COMPILED_BYTES)
            .dfa_size_limit(MAX_COMPILED_BYTES);
        builder
            .build()
            .map(Self)
            .map_err(|_| PatternError::TooLarge)
    }

    /// The first match in `text` that begins at byte `from` or behind.
    #[must_use]
    pub fn find(&self, text: &str, from: usize) -> Option<Range<usize>> {
        self.0.find_at(text, from).map(|found| found.range())
    }
}

fn fault(text: &str, error: &regex_syntax::Error) -> PatternError {
    let (what, span) = match error {
        regex_syntax::Error::Parse(error) => (error.kind().to_string(), error.span()),
        regex_syntax::Error::Translate(error) => (error.kind().to_string(), error.span()),
        _ => return PatternError::TooLarge,
    };
    let start = span.start.offset.min(text.len());
    PatternError::Invalid {
        what,
        at: text[..start].chars().count() + 1,
        quoted: text[start..].chars().take(MAX_QUOTED_CHARS).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, PatternError};

    #[test]
    fn a_fault_names_its_place() {
        for (text, at, quoted) in [
            ("(", 1, "("),
            ("é[z-a]", 3, "z-a]"),
            ("a{2,1}", 2, "{2,1}"),
            ("*", 1, "*"),
            (r"ab\", 3, r"\"),
            ("(?=a)", 1, "(?="),
        ] {
            let PatternError::Invalid {
                at: found,
                quoted: said,
                ..
            } = Pattern::new(text).unwrap_err()
            else {
                panic!("{text}");
            };
            assert_eq!(found, at, "{text}");
            assert!(said.starts_with(quoted), "{text}: {said}");
        }
    }

    #[test]
    fn a_pattern_that_would_take_much_memory_is_refused() {
        assert_eq!(Pattern::new("").unwrap_err(), PatternError::Empty);
        for text in ["(a{1000}){1000}", r"(\w{900}){9}"] {
            assert_eq!(Pattern::new(text).unwrap_err(), PatternError::TooLarge);
        }
        let long = "a".repeat(1_001);
        assert_eq!(Pattern::new(&long).unwrap_err(), PatternError::TooLong);
        assert!(Pattern::new(&"(".repeat(500)).is_err());
    }

    #[test]
    fn letters_of_all_scripts_are_letters() {
        let pattern = Pattern::new(r"(?i)\bÉPOQUE \d+: 损失\w").unwrap();
        assert_eq!(pattern.find("x époque 3: 损失值", 0).unwrap().start, 2);
    }
}
