//! What an operation is to do, and what makes two calls the same operation.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::ChunkedError;
use crate::base::hex::hex;
use crate::wire::job::{Iterations, JobRequest, OnError};
use crate::wire::session::is_name;

/// Iterations in one job, unless the caller says otherwise.
pub const DEFAULT_BATCH_SIZE: u64 = 10;
/// The operation's name, unless the caller says otherwise.
pub const DEFAULT_NAME: &str = "chunked_op";

const ITERATIONS: RangeInclusive<u64> = 1..=1_000_000_000;
const BATCH_SIZES: RangeInclusive<u64> = 1..=100_000;
/// Five minutes for the setup, and for each batch.
const TIMEOUT_SEC: u64 = 300;
/// No file on Windows can have these names, whatever follows the first dot ("Naming Files, Paths, and Namespaces", Microsoft).
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

/// A checkpoint's name: it can name a folder on every system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// # Errors
    /// [`ChunkedError::Invalid`], with the rule.
    pub fn new(text: &str) -> Result<Self, ChunkedError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let shape = (1..=64).contains(&text.len()) && text.chars().all(allowed);
        if !shape || text.starts_with('.') || text.ends_with('.') {
            let shown: String = text.chars().take(64).collect();
            return Err(ChunkedError::Invalid(format!(
                "{shown:?} cannot name a checkpoint: use 1 to 64 letters, digits, '.', '_' and '-', without a dot at either end"
            )));
        }
        let stem = text.split('.').next().unwrap_or_default().to_lowercase();
        let numbered = ["com", "lpt"].iter().any(|port| {
            stem.strip_prefix(port)
                .is_some_and(|rest| rest.len() == 1 && rest != "0" && rest.parse::<u8>().is_ok())
        });
        if RESERVED.contains(&stem.as_str()) || numbered {
            return Err(ChunkedError::Invalid(format!(
                "{text:?} cannot name a checkpoint: Windows keeps {stem:?} for a device"
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
    type Error = ChunkedError;

    fn try_from(text: String) -> Result<Self, ChunkedError> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

/// An operation: a setup, and a body that runs `n_iterations` times, `batch_size` of them in one job.
#[derive(Debug, Clone)]
pub struct Plan {
    pub name: Name,
    /// Runs before the first iteration, and again whenever the kernel is a new one.
    pub setup_code: String,
    pub loop_code: String,
    pub n_iterations: u64,
    pub batch_size: u64,
    pub on_error: OnError,
    pub session: String,
}

/// What the code of a plan is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CodeHashes {
    pub(super) setup: String,
    pub(super) body: String,
}

impl Plan {
    /// # Errors
    /// [`ChunkedError::Invalid`], with all faults in one sentence.
    pub fn validate(&self) -> Result<(), ChunkedError> {
        let mut faults = Vec::new();
        if self.loop_code.trim().is_empty() {
            faults.push("loop_code is empty".to_owned());
        }
        for (name, value, allowed) in [
            ("n_iterations", self.n_iterations, ITERATIONS),
            ("batch_size", self.batch_size, BATCH_SIZES),
        ] {
            if !allowed.contains(&value) {
                faults.push(format!(
                    "{name} is {value}: it may be {} to {}",
                    allowed.start(),
                    allowed.end()
                ));
            }
        }
        if !is_name(&self.session) {
            faults.push("session must be 1 to 64 letters, digits, '_' and '-'".to_owned());
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(ChunkedError::Invalid(faults.join("; ")))
        }
    }

    /// The same for two calls that mean the same work. How large batches are and what a failing iteration does may change on the way: what
    /// is done stays as good as it was.
    pub(super) fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        let total = self.n_iterations.to_string();
        for part in [&self.setup_code, &self.loop_code, &total, &self.session] {
            // With its length, so that no text can move from one part to the next.
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hex(&hasher.finalize())
    }

    pub(super) fn code_hashes(&self) -> CodeHashes {
        CodeHashes {
            setup: hex(&Sha256::digest(&self.setup_code)),
            body: hex(&Sha256::digest(&self.loop_code)),
        }
    }

    pub(super) fn setup(&self) -> JobRequest {
        JobRequest {
            code: self.setup_code.clone(),
            session: self.session.clone(),
            timeout_sec: TIMEOUT_SEC,
            iterations: None,
            kernel_id: None,
        }
    }

    /// Iterations that run where the setup ran, or not at all.
    pub(super) fn batch(&self, start: u64, stop: u64, kernel_id: Option<&str>) -> JobRequest {
        JobRequest {
            code: self.loop_code.clone(),
            session: self.session.clone(),
            timeout_sec: TIMEOUT_SEC,
            iterations: Some(Iterations {
                start,
                stop,
                total: self.n_iterations,
                on_error: self.on_error,
            }),
            kernel_id: kernel_id.map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Name, Plan};
    use crate::wire::job::OnError;

    fn plan() -> Plan {
        Plan {
            name: Name::new("op").unwrap(),
            setup_code: "a".to_owned(),
            loop_code: "b".to_owned(),
            n_iterations: 10,
            batch_size: 3,
            on_error: OnError::Stop,
            session: "main".to_owned(),
        }
    }

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

    #[test]
    fn all_faults_of_a_plan_are_told_together() {
        let bad = Plan {
            loop_code: " \n".to_owned(),
            n_iterations: 0,
            batch_size: 100_001,
            session: "a b".to_owned(),
            ..plan()
        };
        let sentence = bad.validate().unwrap_err().to_string();
        for word in ["loop_code", "n_iterations", "batch_size", "session"] {
            assert!(sentence.contains(word), "{sentence}");
        }
        plan().validate().unwrap();
    }

    #[test]
    fn another_work_makes_another_plan_another_way_to_do_it_does_not() {
        let same = Plan {
            batch_size: 7,
            on_error: OnError::Skip,
            ..plan()
        };
        assert_eq!(same.hash(), plan().hash());
        for other in [
            Plan {
                setup_code: "ab".to_owned(),
                loop_code: String::new(),
                ..plan()
            },
            Plan {
                loop_code: "c".to_owned(),
                ..plan()
            },
            Plan {
                n_iterations: 11,
                ..plan()
            },
            Plan {
                session: "gpu".to_owned(),
                ..plan()
            },
        ] {
            assert_ne!(other.hash(), plan().hash(), "{other:?}");
        }
    }
}
