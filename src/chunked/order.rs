//! The request of one call: arguments that it omits are taken from the earlier plan.

use super::ledger::Before;
use crate::checkpoints::folder::Folder;
use crate::checkpoints::plan::{self, DEFAULT_BATCH_SIZE, Plan};
use crate::checkpoints::{CheckpointError, Name};
use crate::wire::job::OnError;

/// Where operations run, unless the caller says otherwise.
const DEFAULT_SESSION: &str = "main";

/// The name of an operation, and what is to be other than its plan says, or all of a new one.
#[derive(Debug, Clone)]
pub struct Order {
    pub name: Name,
    pub setup_code: Option<String>,
    pub loop_code: Option<String>,
    pub n_iterations: Option<u64>,
    pub batch_size: Option<u64>,
    pub on_error: Option<OnError>,
    pub session: Option<String>,
    pub cluster: Option<String>,
    /// Forget what is done.
    pub restart: bool,
    /// Finished iterations count though the code changes.
    pub keep_done: bool,
    /// Skipped iterations run again.
    pub retry_skipped: bool,
}

impl Order {
    /// Everything as an earlier call had it.
    #[must_use]
    pub fn resume(name: Name) -> Self {
        Self {
            name,
            setup_code: None,
            loop_code: None,
            n_iterations: None,
            batch_size: None,
            on_error: None,
            session: None,
            cluster: None,
            restart: false,
            keep_done: false,
            retry_skipped: false,
        }
    }

    /// The whole plan, and what becomes of that which is done. Reads the disk.
    pub(super) fn plan(&self, folder: &Folder) -> Result<(Plan, Before), CheckpointError> {
        if self.restart && self.keep_done {
            let fault = "restart forgets what is done and keep_done keeps it: give one of them";
            return Err(CheckpointError::Invalid(fault.to_owned()));
        }
        if self.restart && self.retry_skipped {
            let fault = "restart forgets the skipped iterations and retry_skipped runs them again: give one of them";
            return Err(CheckpointError::Invalid(fault.to_owned()));
        }
        let kept = self.kept(folder)?;
        let missing: Vec<&str> = [
            ("loop_code", self.loop_code.is_none()),
            ("n_iterations", self.n_iterations.is_none()),
        ]
        .into_iter()
        .filter_map(|(name, is_missing)| (is_missing && kept.is_none()).then_some(name))
        .collect();
        if !missing.is_empty() && folder.load()?.is_some() {
            return Err(CheckpointError::Invalid(format!(
                "{} must be given, with setup_code and keep_done: true: the code of {:?} is not kept any more",
                missing.join(" and "),
                self.name.as_str(),
            )));
        }
        if !missing.is_empty() {
            return Err(CheckpointError::Incomplete {
                operation: self.name.to_string(),
                missing: missing.join(" and "),
            });
        }
        let n_iterations = (self.n_iterations)
            .or(kept.as_ref().map(|plan| plan.n_iterations))
            .unwrap_or_default();
        let batch_size = (self.batch_size)
            .or(kept.as_ref().map(|plan| plan.batch_size))
            .unwrap_or(DEFAULT_BATCH_SIZE);
        let plan = Plan {
            name: self.name.clone(),
            setup_code: either(&self.setup_code, kept.as_ref(), |plan| &plan.setup_code),
            loop_code: either(&self.loop_code, kept.as_ref(), |plan| &plan.loop_code),
            n_iterations,
            // No batch is larger than the whole.
            batch_size: batch_size.min(n_iterations.max(1)),
            on_error: (self.on_error)
                .or(kept.as_ref().map(|plan| plan.on_error))
                .unwrap_or_default(),
            cluster: (self.cluster.clone())
                .or_else(|| kept.as_ref().and_then(|plan| plan.cluster.clone())),
            session: (self.session.clone())
                .or(kept.map(|plan| plan.session))
                .unwrap_or_else(|| DEFAULT_SESSION.to_owned()),
        };
        let before = match (self.restart, self.keep_done) {
            (true, _) => Before::Forgotten,
            (false, true) => Before::Kept,
            (false, false) => Before::SamePlan,
        };
        Ok((plan, before))
    }

    /// The plan of an earlier call. A restart needs none that can be read.
    fn kept(&self, folder: &Folder) -> Result<Option<Plan>, CheckpointError> {
        match folder.load() {
            Ok(checkpoint) => Ok(checkpoint.and_then(|checkpoint| plan::kept(folder, &checkpoint))),
            Err(_) if self.restart || self.loop_code.is_some() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn either(given: &Option<String>, kept: Option<&Plan>, of: impl Fn(&Plan) -> &String) -> String {
    let kept = kept.map(of);
    given.as_ref().or(kept).cloned().unwrap_or_default()
}
