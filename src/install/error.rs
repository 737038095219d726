//! Why a client's config was left as it is.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// What is wrong with a config's text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// Line and column count from 1.
    #[error("line {line}, column {column}: {what}")]
    Syntax {
        line: usize,
        column: usize,
        what: String,
    },
    #[error("{0} is there twice, and programs differ in which one they read")]
    Doubled(String),
    #[error("{0} is not a table of names and values")]
    NotATable(String),
    #[error("its entry {0} is for a server at an address; take it out first")]
    AtAnAddress(String),
    #[error("an edit here would change more than its own entry")]
    Entangled,
    #[error("it is not UTF-8 text")]
    NotText,
    #[error("its lines end in two different ways, of which an edit would keep one")]
    MixedLines,
}

/// A config could not be read or written; it is as it was.
#[derive(Debug, Error)]
pub enum InstallError {
    #[error("{} was left as it is: {fault}", path.display())]
    Unclear { path: PathBuf, fault: Fault },
    #[error("{} was left as it is: another program has changed it meanwhile", .0.display())]
    Changed(PathBuf),
    #[error("{} was left as it is: it is write-protected", .0.display())]
    Protected(PathBuf),
    #[error("{} was left as it is: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl InstallError {
    /// What the user can do.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unclear { .. } => {
                "Correct that in an editor and run this again, or put the entry in by hand: --print shows it."
            }
            Self::Changed(_) => "Run this again.",
            Self::Protected(_) => {
                "Make it writable and run this again, or put the entry in by hand: --print shows it."
            }
            Self::Io { .. } => {
                "Mend that and run this again, or put the entry in by hand: --print shows it."
            }
        }
    }
}
