//! The work of an operation, and what makes two calls the same operation.

use std::io;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::checkpoint::{Checkpoint, CodeHashes, Flight};
use super::cluster::{self, NONE};
use super::error::CheckpointError;
use super::folder::Folder;
use super::name::Name;
use crate::base::hex::hex;
use crate::edge::store;
use crate::wire::job::{Iterations, JobRequest, OnError};
use crate::wire::session::is_name;

/// Iterations in one batch, unless the caller says otherwise.
pub const DEFAULT_BATCH_SIZE: u64 = 10;
/// Default name of an operation.
pub const DEFAULT_NAME: &str = "chunked_op";

const ITERATIONS: RangeInclusive<u64> = 1..=1_000_000_000;
const BATCH_SIZES: RangeInclusive<u64> = 1..=100_000;
/// Five minutes for the setup, and for each batch.
const STEP_TIMEOUT_SEC: u64 = 300;
/// For all that runs on a cluster, which is one step; the most that an executor allows.
const CLUSTER_TIMEOUT_SEC: u64 = 43_200;

/// An operation: a setup, and a body that runs `n_iterations` times, in batches of `batch_size`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub name: Name,
    /// Runs before the first iteration, and again whenever the kernel is a new one.
    pub setup_code: String,
    pub loop_code: String,
    pub n_iterations: u64,
    pub batch_size: u64,
    pub on_error: OnError,
    pub session: String,
    /// Where the iterations run, if not in the session's kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}

impl Plan {
    /// Checks the arguments.
    ///
    /// # Errors
    /// [`CheckpointError::Invalid`], with all faults in one sentence.
    pub fn validate(&self) -> Result<(), CheckpointError> {
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
                    "{name} is {value}: it must be {} to {}",
                    allowed.start(),
                    allowed.end()
                ));
            }
        }
        if let Some(cluster) = self
            .cluster
            .as_ref()
            .filter(|name| !cluster::is_valid(name))
        {
            faults.push(format!(
                "cluster is {cluster:?}: {}",
                cluster::fault(cluster)
            ));
        }
        if !is_name(&self.session) {
            faults.push("session must be 1 to 64 letters, digits, '_' and '-'".to_owned());
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(CheckpointError::Invalid(faults.join("; ")))
        }
    }

    /// The same for two calls that mean the same work. How large batches are, where they run and what a failing iteration does may change on
    /// the way: what is done stays as good as it was.
    pub(crate) fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        let total = self.n_iterations.to_string();
        for part in [&self.setup_code, &self.loop_code, &total, &self.session] {
            // With its length, so that no text can move from one part to the next.
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hex(&hasher.finalize())
    }

    /// Whether `checkpoint` is of the same work.
    pub(crate) fn is_that_of(&self, checkpoint: &Checkpoint) -> bool {
        self.hash() == checkpoint.plan_hash
    }

    /// Whether both mean the same work, in the same order of the same iterations.
    pub(crate) fn is_same_work(&self, other: &Self) -> bool {
        self.hash() == other.hash()
    }

    /// Why an operation that is at `checkpoint` is not this plan's.
    pub(crate) fn mismatch(&self, checkpoint: &Checkpoint) -> CheckpointError {
        CheckpointError::Mismatch {
            operation: self.name.to_string(),
            differing: self.differing(checkpoint),
            completed: checkpoint.completed,
            total: checkpoint.total,
        }
    }

    /// The state of an operation of which nothing is done yet.
    pub(crate) fn begin(&self) -> Checkpoint {
        Checkpoint::new(
            self.name.clone(),
            self.session.clone(),
            self.n_iterations,
            self.hash(),
            self.code_hashes(),
        )
    }

    /// Whether what was done by the plan of `checkpoint` counts for this one too, whatever its code does.
    pub(crate) fn may_follow(&self, checkpoint: &Checkpoint) -> bool {
        self.n_iterations == checkpoint.total && self.session == checkpoint.session
    }

    /// The state of `checkpoint` under this plan: what is done stays done, and the history says by which plan it was.
    pub(crate) fn follow(&self, mut checkpoint: Checkpoint) -> Checkpoint {
        let changed = self.differing(&checkpoint);
        if changed.iter().any(|part| part.starts_with("setup_code")) {
            checkpoint.kernel_id = None;
        }
        checkpoint.note_change(changed);
        checkpoint.plan_hash = self.hash();
        checkpoint.code_hashes = Some(self.code_hashes());
        checkpoint
    }

    /// The arguments in which this plan differs from the one that `checkpoint` belongs to.
    pub(crate) fn differing(&self, checkpoint: &Checkpoint) -> Vec<String> {
        let (total, session) = (self.n_iterations, &self.session);
        let mut differing = Vec::new();
        if total != checkpoint.total {
            differing.push(format!(
                "n_iterations ({} before, {total} now)",
                checkpoint.total
            ));
        }
        if *session != checkpoint.session {
            differing.push(format!(
                "session ({} before, {session} now)",
                checkpoint.session
            ));
        }
        if let Some(old) = &checkpoint.code_hashes {
            let new = self.code_hashes();
            let texts = [
                ("setup_code", old.setup != new.setup),
                ("loop_code", old.body != new.body),
            ];
            let changed = texts.into_iter().filter(|(_, is_other)| *is_other);
            differing.extend(changed.map(|(name, _)| name.to_owned()));
        } else {
            let same_but_code = Self {
                n_iterations: checkpoint.total,
                session: checkpoint.session.clone(),
                ..self.clone()
            };
            if same_but_code.hash() != checkpoint.plan_hash {
                differing.push("setup_code or loop_code".to_owned());
            }
        }
        differing
    }

    fn code_hashes(&self) -> CodeHashes {
        CodeHashes {
            setup: hex(&Sha256::digest(&self.setup_code)),
            body: hex(&Sha256::digest(&self.loop_code)),
        }
    }

    fn cluster(&self) -> Option<&str> {
        let cluster = self.cluster.as_deref();
        cluster.filter(|name| *name != NONE)
    }

    /// Whether the setup runs in the session: on a cluster it runs on the workers, and there only to make the cluster.
    pub(crate) fn has_setup_in_session(&self) -> bool {
        self.cluster().is_none_or(cluster::is_variable)
    }

    /// Whether iterations may finish in any order.
    pub(crate) fn is_unordered(&self) -> bool {
        self.cluster().is_some()
    }

    /// One job for all that is left, for the iterations `missing` of it if there are any, or for skipped ones: in the kernel where the setup has
    /// run, or after a setup of its own.
    pub(crate) fn request(
        &self,
        checkpoint: &Checkpoint,
        flight: &Flight,
        missing: Vec<u64>,
    ) -> JobRequest {
        let cluster = self.cluster();
        let is_set_up_here = self.has_setup_in_session();
        let kernel_id = checkpoint.kernel_id.as_deref().filter(|_| is_set_up_here);
        let retry = checkpoint.retry.as_ref().filter(|_| flight.is_retry);
        let (start, stop, numbers) = match retry {
            Some(retry) => (retry.done, retry.total(), Some(retry.iterations.clone())),
            None if missing.is_empty() => (checkpoint.completed, self.n_iterations, None),
            None => (0, missing.len() as u64, Some(missing)),
        };
        JobRequest {
            code: self.loop_code.clone(),
            session: self.session.clone(),
            timeout_sec: cluster.map_or(STEP_TIMEOUT_SEC, |_| CLUSTER_TIMEOUT_SEC),
            iterations: Some(Iterations {
                start,
                stop,
                total: stop,
                on_error: self.on_error,
                batch_size: cluster.is_none().then_some(self.batch_size),
                cluster: cluster.map(str::to_owned),
                worker_setup: cluster.map(|_| self.setup_code.clone()),
                setup: (is_set_up_here && kernel_id.is_none()).then(|| self.setup_code.clone()),
                numbers,
            }),
            kernel_id: kernel_id.map(str::to_owned),
            folder: None,
            answers: false,
        }
    }
}

/// Writes a plan down beside its checkpoint.
pub(crate) fn keep(plan: &Plan, folder: &Folder) -> Result<(), CheckpointError> {
    let path = folder.plan();
    serde_json::to_vec_pretty(plan)
        .map_err(io::Error::from)
        .and_then(|bytes| store::write_atomic(&path, &bytes))
        .map_err(CheckpointError::disk(&path))
}

/// The plan that was written down for `checkpoint`; none where there is none, or another's. Reads the disk.
pub(crate) fn kept(folder: &Folder, checkpoint: &Checkpoint) -> Option<Plan> {
    let bytes = store::read_if_there(&folder.plan()).ok()??;
    let plan: Plan = serde_json::from_slice(&bytes).ok()?;
    (plan.hash() == checkpoint.plan_hash).then_some(plan)
}

#[cfg(test)]
mod tests {
    use super::{Flight, Name, Plan};
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
            cluster: None,
        }
    }

    #[test]
    fn all_faults_of_a_plan_are_reported_together() {
        let bad = Plan {
            loop_code: " \n".to_owned(),
            n_iterations: 0,
            batch_size: 100_001,
            session: "a b".to_owned(),
            cluster: Some("local:0".to_owned()),
            ..plan()
        };
        let sentence = bad.validate().unwrap_err().to_string();
        for word in [
            "loop_code",
            "n_iterations",
            "batch_size",
            "session",
            "local:0",
        ] {
            assert!(sentence.contains(word), "{sentence}");
        }
        plan().validate().unwrap();
    }

    #[test]
    fn results_that_are_only_too_long_are_not_said_to_have_no_form_in_json() {
        let mut checkpoint = plan().begin();
        checkpoint
            .marked
            .insert("characters left out".to_owned(), 5);
        let note = checkpoint.marked_note().unwrap();
        assert_eq!(
            note,
            "some results are too long to be kept whole: characters left out (5)"
        );
        checkpoint.marked.insert("Model".to_owned(), 1);
        let note = checkpoint.marked_note().unwrap();
        assert!(note.contains("JSON cannot hold") && note.contains(": Model (1); some results"));
    }

    #[test]
    fn on_a_cluster_the_setup_runs_in_the_session_only_if_it_makes_the_cluster() {
        for (cluster, batch_size, setup, worker_setup) in [
            (None, Some(3), Some("a"), None),
            (Some("none"), Some(3), Some("a"), None),
            (Some("local"), None, None, Some("a")),
            (Some("tcp://host:1"), None, None, Some("a")),
            (Some("made"), None, Some("a"), Some("a")),
        ] {
            let plan = Plan {
                cluster: cluster.map(str::to_owned),
                ..plan()
            };
            let request = plan.request(&plan.begin(), &Flight::new(false, false), Vec::new());
            let sent = request.iterations.unwrap();
            assert_eq!(sent.batch_size, batch_size);
            assert_eq!(
                (sent.setup.as_deref(), sent.worker_setup.as_deref()),
                (setup, worker_setup)
            );
        }
    }

    #[test]
    fn a_job_runs_only_what_is_missing() {
        let mut checkpoint = plan().begin();
        checkpoint.completed = 2;
        for (missing, start, stop) in [(Vec::new(), 2, 10), (vec![2, 5], 0, 2)] {
            let request = plan().request(&checkpoint, &Flight::new(true, false), missing.clone());
            let sent = request.iterations.unwrap();
            assert_eq!((sent.start, sent.stop), (start, stop));
            assert_eq!(sent.numbers.unwrap_or_default(), missing);
        }
    }

    #[test]
    fn the_hash_depends_on_the_work_but_not_on_batching() {
        let same = Plan {
            batch_size: 7,
            on_error: OnError::Skip,
            cluster: Some("local".to_owned()),
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
