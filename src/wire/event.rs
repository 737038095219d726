//! The events of a job, in Jupyter's names and shapes.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::state::{JobState, Reason};

/// One event. `seq` is dense from 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub seq: u64,
    #[serde(default)]
    pub at: String,
    /// Model id of the Output widget that shows the event instead of the cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub widget: Option<String>,
    /// Where in the log its text begins, in bytes; none for an event without text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_at: Option<u64>,
    #[serde(flatten)]
    pub kind: EventKind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventKind {
    Started {
        kernel_id: String,
        #[serde(default)]
        execution_count: Option<u64>,
    },
    Stream {
        name: StreamName,
        text: String,
    },
    DisplayData {
        data: Map<String, Value>,
        #[serde(default)]
        metadata: Map<String, Value>,
        /// Replaces an earlier output.
        #[serde(default)]
        update: bool,
        /// The id that later updates refer to, if the code gave it one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        display_id: Option<String>,
        /// Still changing, such as an unfinished progress bar; the output is sent again once it is final.
        #[serde(default)]
        live: bool,
    },
    ExecuteResult {
        data: Map<String, Value>,
        #[serde(default)]
        metadata: Map<String, Value>,
        #[serde(default)]
        execution_count: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        display_id: Option<String>,
        #[serde(default)]
        live: bool,
    },
    /// The widgets that changed in the job, by model id, in the form of a notebook's metadata.
    Widgets {
        states: Value,
    },
    /// Earlier output is cleared: now or, with `wait`, when the next output arrives.
    ClearOutput {
        #[serde(default)]
        wait: bool,
    },
    Error(PythonError),
    /// A loop's iterations from `start` to before `stop` begin; what comes before the first batch is the setup's.
    Batch {
        start: u64,
        stop: u64,
    },
    Progress(Progress),
    Finished(Finished),
    /// An event that only newer executors send.
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamName {
    Stdout,
    Stderr,
}

/// An exception in the user's code. `traceback` has ANSI colours as Jupyter makes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonError {
    pub ename: String,
    pub evalue: String,
    #[serde(default)]
    pub traceback: Vec<String>,
}

/// Fits in an answer's line of facts.
const MAX_SENTENCE_CHARS: usize = 300;

impl PythonError {
    /// The first line of the message with words in it, or else the first that is not blank.
    #[must_use]
    pub fn headline(&self) -> &str {
        let lines = || self.evalue.lines().map(str::trim);
        let worded = lines().find(|line| line.contains(char::is_alphanumeric));
        let line = worded.or_else(|| lines().find(|line| !line.is_empty()));
        line.unwrap_or_default()
    }

    /// The exception in one line of bounded length.
    #[must_use]
    pub fn sentence(&self) -> String {
        let sentence = match self.headline() {
            "" => self.ename.clone(),
            line => format!("{}: {line}", self.ename),
        };
        match sentence.char_indices().nth(MAX_SENTENCE_CHARS) {
            Some((end, _)) => format!("{}…", &sentence[..end]),
            None => sentence,
        }
    }
}

/// The end of one iteration of a loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Iterations before this number are done; on a cluster, as many are reported.
    pub completed: u64,
    pub total: u64,
    pub message: Option<String>,
    pub iteration: Option<u64>,
    /// The value of the body's last expression, where JSON can hold it.
    #[serde(default)]
    pub result: Value,
    /// How often each type is marked in the result, or how much is left out of it.
    #[serde(default)]
    pub marked: Option<BTreeMap<String, u64>>,
    /// The error of an iteration that was skipped.
    pub error: Option<PythonError>,
}

/// The last event of every job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    pub state: JobState,
    pub reason: Option<Reason>,
    pub execution_time_sec: Option<f64>,
    #[serde(default)]
    pub variables_lost: bool,
    /// Exit code of the last `!command` that failed; minus the signal that ended it.
    #[serde(default)]
    pub exit_code: Option<i64>,
    /// For a loop on a cluster.
    #[serde(default)]
    pub reruns: Option<Reruns>,
    /// Memory available on the machine before the job.
    pub memory_before_gb: Option<f64>,
    pub memory_after_gb: Option<f64>,
    /// Increase of the kernel process's memory; negative if it freed some.
    pub memory_delta_mb: Option<f64>,
    pub warning: Option<String>,
    /// The packages that have changed on the machine since the executor started, by name: what an installer takes to get the same one; none for
    /// one that is gone, or that comes from a file of the machine now.
    #[serde(default)]
    pub packages: BTreeMap<String, Option<String>>,
}

/// Iterations of a loop on a cluster that ran more than once, or in vain: at most these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reruns {
    /// A worker began them though another had before.
    pub began_again: u64,
    /// They ran, or were running at the end, and were not reported.
    pub uncounted: u64,
}

impl Reruns {
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for Reruns {
    fn add_assign(&mut self, other: Self) {
        self.began_again += other.began_again;
        self.uncounted += other.uncounted;
    }
}

/// A value of `data` that is stored at `/jobs/{id}/blobs/{blob}` instead of in the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct BlobRef {
    pub blob: u64,
    pub bytes: u64,
}

impl BlobRef {
    /// The reference in a `data` value, if it is one.
    #[must_use]
    pub fn of(value: &Value) -> Option<Self> {
        Self::deserialize(value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::PythonError;

    #[test]
    fn a_sentence_has_the_first_words_of_the_message_and_a_bounded_length() {
        let long = "x".repeat(5_000_000);
        for (said, sentence) in [
            ("no\nmore", "E: no"),
            (
                "\n----\nException encountered at …",
                "E: Exception encountered at …",
            ),
            ("\n!!\n", "E: !!"),
            ("\r\n  \n\t why \n", "E: why"),
            ("", "E"),
            (" \n\n", "E"),
            (&long, &format!("E: {}…", &long[..297])),
        ] {
            let error = PythonError {
                ename: "E".to_owned(),
                evalue: said.to_owned(),
                traceback: Vec::new(),
            };
            assert_eq!(error.sentence(), sentence);
        }
    }
}
