//! A job's output for `--json`: one text for each stream.

use std::sync::Arc;

use serde_json::{Value, json};

use super::terminal::worded;
use super::{UNREACHABLE, exit_code, hint};
use crate::base::causes::sentence;
use crate::base::fault::Fault as _;
use crate::base::lock::Lock;
use crate::cli::words;
use crate::jobs::collect::{Tap, traceback};
use crate::jobs::keep::Kept;
use crate::jobs::live::Ran;
use crate::wire::event::{PythonError, StreamName};

/// All output so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Gathered(Arc<Lock<Parts>>);

#[derive(Debug, Default)]
struct Parts {
    stdout: String,
    stderr: String,
    traceback: Option<String>,
    files: Vec<Value>,
    notes: Vec<String>,
}

impl Tap for Gathered {
    fn stream(&mut self, name: StreamName, text: &str) {
        let mut parts = self.0.lock();
        match name {
            StreamName::Stdout => parts.stdout += text,
            StreamName::Stderr => parts.stderr += text,
        }
    }

    fn show(&mut self, text: &str) {
        let mut parts = self.0.lock();
        if !parts.stdout.is_empty() && !parts.stdout.ends_with('\n') {
            parts.stdout.push('\n');
        }
        parts.stdout += text.trim_end_matches('\n');
        parts.stdout.push('\n');
    }

    fn raise(&mut self, error: &PythonError) {
        let text = traceback(error);
        let plain = anstream::adapter::strip_str(&text).to_string();
        self.0.lock().traceback = Some(plain);
    }

    fn keep(&mut self, kept: &Kept) {
        let mut parts = self.0.lock();
        parts.files.extend(
            kept.files
                .iter()
                .map(|file| json!({"path": file.path, "mime": file.mime, "bytes": file.bytes})),
        );
        parts.notes.extend(kept.notes.iter().map(worded));
    }
}

impl Gathered {
    /// The output and the end of a job.
    pub(super) fn facts(&self, ran: &Ran) -> Value {
        let parts = std::mem::take(&mut *self.0.lock());
        let job = ran.job.as_ref();
        let exit = match ran.trouble {
            Some(_) => UNREACHABLE,
            None => exit_code(ran),
        };
        let mut said = json!({
            "success": ran.trouble.is_none() && exit == 0,
            "job_id": ran.id.to_string(),
            "state": ran.state(),
            "exit_code": exit,
            "session": job.map(|job| &job.session),
            "execution_time_sec": job.and_then(|job| job.execution_time_sec),
            "stdout": parts.stdout,
            "stderr": parts.stderr,
            "files": parts.files,
        });
        if let Some(traceback) = parts.traceback {
            said["traceback"] = traceback.into();
        }
        if !parts.notes.is_empty() {
            said["notes"] = json!(parts.notes);
        }
        if let Some(error) = &ran.trouble {
            said["code"] = error.code().into();
            said["error"] = sentence(error).into();
            said["hint"] = hint(error).into();
        } else if let Some((code, sentence, advice)) = ran.fault().filter(|_| exit != 0) {
            said["code"] = code.into();
            said["error"] = sentence.into();
            said["hint"] = advice.worded(words::word).into();
        }
        said
    }
}
