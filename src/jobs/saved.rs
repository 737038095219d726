//! Saving a session's variables to a file there, and loading them: jobs whose code calls the executor's extension of the kernel.

use std::borrow::Cow;

use serde_json::json;
use tokio::time::Instant;

use super::Jobs;
use super::view::View;
use crate::base::advice::{Advice, Step};
use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::runtime::{Machine, RuntimeResult};
use crate::wire::event::PythonError;
use crate::wire::job::JobRequest;

/// Gigabytes may go to a slow disk.
const TIMEOUT_SEC: u64 = 7_200;

/// What is done with a saved session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    Save,
    Load { overwrite: bool },
}

impl Jobs {
    /// Saves variables of a session to the file `path` below the content root or loads them from there: all, or those of these names.
    ///
    /// # Errors
    /// As [`Jobs::run`]; what the job comes to is in the view.
    pub async fn saved_session(
        &self,
        what: Saved,
        session: &str,
        path: &str,
        names: Option<&[String]>,
        caller: &Caller<'_>,
    ) -> RuntimeResult<View> {
        let root = self.root(caller.reading).await?;
        let request = JobRequest {
            code: code(what, &root, path, names),
            session: session.to_owned(),
            timeout_sec: TIMEOUT_SEC,
            iterations: None,
            kernel_id: None,
            folder: None,
            answers: false,
        };
        self.run(JobId::fresh(), &request, caller).await
    }

    async fn root(&self, deadline: Instant) -> RuntimeResult<String> {
        let probe = self.connection.until(deadline).probe(&[]).await?;
        Ok(probe.executor.root)
    }
}

/// The error's code, sentence and advice for an exception by which a session is expected not to be saved or loaded.
pub(super) fn refusal(error: &PythonError) -> Option<(&'static str, Cow<'static, str>, Advice)> {
    let advice = Advice::from("Do what the error says, and call again.");
    let (code, advice) = match error.ename.as_str() {
        "SessionNotSaved" => ("not_saved", advice),
        "SessionNotLoaded" => ("not_loaded", advice),
        "SessionPathInvalid" => ("invalid_argument", advice),
        "SavedSessionNotFound" => (
            "not_found",
            advice + " " + Step::ListFiles + " shows the files that are there.",
        ),
        "SessionVariableNotFound" => (
            "not_found",
            Advice::from("Name others, and call again. ")
                + Step::ListVariables
                + " shows those of the session.",
        ),
        "SavedVariableNotFound" => (
            "not_found",
            "Name some that the file has, and call again.".into(),
        ),
        _ => return None,
    };
    let sentence = error.sentence();
    let said = sentence.strip_prefix(&format!("{}: ", error.ename));
    Some((code, said.unwrap_or(&sentence).to_owned().into(), advice))
}

/// An expression that names nothing in the session. Texts of JSON are texts of Python too.
fn code(what: Saved, root: &str, path: &str, names: Option<&[String]>) -> String {
    let names = names.map_or("None".to_owned(), |names| json!(names).to_string());
    let (function, last) = match what {
        Saved::Save => ("save_variables", ""),
        Saved::Load { overwrite: false } => ("load_variables", ""),
        Saved::Load { overwrite: true } => ("load_variables", ", overwrite=True"),
    };
    let (root, path) = (json!(root), json!(path));
    format!("__import__(\"_smart_colab\").{function}({root}, {path}, {names}{last})")
}

#[cfg(test)]
mod tests {
    use super::{Saved, code};

    #[test]
    fn texts_are_quoted_as_python_reads_them() {
        let names = ["a".to_owned(), "é\"\\\n".to_owned()];
        assert_eq!(
            code(
                Saved::Load { overwrite: true },
                "C:\\x",
                "a 'b'",
                Some(&names)
            ),
            r#"__import__("_smart_colab").load_variables("C:\\x", "a 'b'", ["a","é\"\\\n"], overwrite=True)"#
        );
        assert_eq!(
            code(Saved::Save, "/content", "s.zip", None),
            r#"__import__("_smart_colab").save_variables("/content", "s.zip", None)"#
        );
    }
}
