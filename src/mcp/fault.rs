//! The fields of every failed call; [`super::convert`] converts them to MCP.

use serde::{Deserialize, Serialize};

use super::words;
use crate::base::causes::sentence;
use crate::base::fault;

/// A failed call, worded for the model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Fault {
    #[serde(default)]
    success: bool,
    pub code: String,
    pub error: String,
    #[serde(default)]
    pub hint: String,
    #[serde(default)]
    pub retryable: bool,
}

impl Fault {
    pub(super) fn new(
        code: &str,
        error: impl Into<String>,
        hint: impl Into<String>,
        retryable: bool,
    ) -> Self {
        Self {
            success: false,
            code: code.to_owned(),
            error: error.into(),
            hint: hint.into(),
            retryable,
        }
    }

    /// Puts `advice` before the rest of the hint.
    pub(super) fn first(self, advice: &str) -> Self {
        let hint = format!("{advice} {}", self.hint).trim_end().to_owned();
        Self { hint, ..self }
    }

    /// A fault of the bridge itself while it was doing `what`.
    pub(super) fn internal(what: &str) -> Self {
        Self::new(
            "internal",
            format!("{what} failed inside the bridge"),
            "This is a bug in smart-colab: please report it with the log file. The runtime is not affected.",
            false,
        )
    }

    pub(super) fn invalid(error: impl Into<String>) -> Self {
        Self::new(
            "invalid_argument",
            error,
            "Correct the argument and call again. Nothing was done.",
            false,
        )
    }
}

/// The errors of all floors.
impl<E: fault::Fault> From<E> for Fault {
    fn from(error: E) -> Self {
        let hint = words::say(&error.remedy());
        Self::new(error.code(), sentence(&error), hint, error.is_retryable())
    }
}
