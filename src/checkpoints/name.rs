//! The name of a checkpoint.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::CheckpointError;

/// No file on Windows can have these names, whatever follows the first dot ("Naming Files, Paths, and Namespaces", Microsoft).
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

const MAX_CHARS: usize = 64;
/// File systems take 255 bytes, and a deletion needs some of its own.
const MAX_BYTES: usize = 200;

/// A checkpoint's name: it can name a folder on every system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// [`CheckpointError::Invalid`], with the rule.
    pub fn new(text: &str) -> Result<Self, CheckpointError> {
        let size = (1..=MAX_CHARS).contains(&text.chars().count()) && text.len() <= MAX_BYTES;
        let edges = |c| c == '.' || c == ' ';
        if !size
            || !text.chars().all(is_allowed)
            || text.starts_with(edges)
            || text.ends_with(edges)
        {
            let shown: String = text.chars().take(MAX_CHARS).collect();
            return Err(CheckpointError::Invalid(format!(
                "{shown:?} cannot name a checkpoint: use 1 to {MAX_CHARS} letters, digits, spaces, '.', '_' and '-' ({MAX_BYTES} bytes at \
                 most), without a dot or a space at either end"
            )));
        }
        let stem = text.split('.').next().unwrap_or_default();
        let stem = stem.trim_end().to_lowercase();
        let numbered = ["com", "lpt"].iter().any(|port| {
            stem.strip_prefix(port)
                .is_some_and(|rest| rest.len() == 1 && rest != "0" && rest.parse::<u8>().is_ok())
        });
        if RESERVED.contains(&stem.as_str()) || numbered {
            return Err(CheckpointError::Invalid(format!(
                "{text:?} cannot name a checkpoint: Windows reserves {stem:?} for a device"
            )));
        }
        Ok(Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Letters of any script with their marks; nothing that is invisible, moves other letters about, or means something in a path.
fn is_allowed(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ');
    }
    let is_invisible = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff0}'..='\u{ffff}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}');
    !c.is_control() && !c.is_whitespace() && !is_invisible
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Name {
    type Error = CheckpointError;

    fn try_from(text: String) -> Result<Self, CheckpointError> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn a_name_can_name_a_folder_on_every_system() {
        let (long, wide) = ("x".repeat(65), "𝒳".repeat(51));
        for (name, good) in [
            ("chunked_op", true),
            ("Run-2.b", true),
            ("com10", true),
            ("console", true),
            ("", false),
            (".hidden", false),
            ("dot.", false),
            ("..", false),
            ("a/b", false),
            ("a\\b", false),
            ("a b", true),
            (" a", false),
            ("a ", false),
            ("a\tb", false),
            ("é", true),
            ("训练 3", true),
            ("प्रशिक्षण", true),
            ("a\u{202e}b", false),
            ("a\u{200b}b", false),
            ("a:b", false),
            ("nul .txt", false),
            ("NUL", false),
            ("con.txt", false),
            ("Com1", false),
            ("lpt9.x", false),
            (long.as_str(), false),
            (wide.as_str(), false),
        ] {
            assert_eq!(Name::new(name).is_ok(), good, "{name:?}");
        }
    }
}
