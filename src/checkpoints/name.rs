//! The name of a checkpoint.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::CheckpointError;

/// No file on Windows can have these names, whatever follows the first dot ("Naming Files, Paths, and Namespaces", Microsoft).
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

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
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let shape = (1..=64).contains(&text.len()) && text.chars().all(allowed);
        if !shape || text.starts_with('.') || text.ends_with('.') {
            let shown: String = text.chars().take(64).collect();
            return Err(CheckpointError::Invalid(format!(
                "{shown:?} cannot name a checkpoint: use 1 to 64 letters, digits, '.', '_' and '-', without a dot at either end"
            )));
        }
        let stem = text.split('.').next().unwrap_or_default().to_lowercase();
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
        let long = "x".repeat(65);
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
            ("a b", false),
            ("é", false),
            ("NUL", false),
            ("con.txt", false),
            ("Com1", false),
            ("lpt9.x", false),
            (long.as_str(), false),
        ] {
            assert_eq!(Name::new(name).is_ok(), good, "{name:?}");
        }
    }
}
