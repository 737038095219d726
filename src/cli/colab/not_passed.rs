//! Why a selftest did not pass.

use std::io;

use crate::base::advice::Advice;
use crate::base::fault::Fault;
use crate::jupyter::JupyterError;

/// For what should have passed.
const REPORT: &str = "If Colab behaves in another way than expected, report it with these lines: they hold no secret.";

/// A step did not pass.
#[derive(Debug, thiserror::Error)]
#[error("the selftest did not pass: {why}")]
pub(super) struct NotPassed {
    pub(super) why: String,
    pub(super) remedy: Advice,
}

impl NotPassed {
    pub(super) fn new(why: &str, remedy: &'static str) -> Self {
        let (why, remedy) = (why.to_owned(), remedy.into());
        Self { why, remedy }
    }

    /// For the reason that has a remedy of its own.
    pub(super) fn of(error: &impl Fault) -> Self {
        let (why, remedy) = (error.to_string(), error.remedy().then(REPORT));
        Self { why, remedy }
    }
}

impl From<String> for NotPassed {
    fn from(why: String) -> Self {
        let remedy = REPORT.into();
        Self { why, remedy }
    }
}

impl From<io::Error> for NotPassed {
    fn from(error: io::Error) -> Self {
        error.to_string().into()
    }
}

impl From<JupyterError> for NotPassed {
    fn from(error: JupyterError) -> Self {
        error.to_string().into()
    }
}

impl Fault for NotPassed {
    fn code(&self) -> &str {
        "selftest_failed"
    }

    fn is_retryable(&self) -> bool {
        false
    }

    fn remedy(&self) -> Advice {
        self.remedy.clone()
    }
}
