//! Whose variables are gone. A session's kernel has an id of its own, so a job in another kernel than the one before it ran without what
//! earlier code had left; the model is told so once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::wire::job::Job;

/// Sessions remembered; more than one machine runs.
const MOST: usize = 1_000;

/// The kernel of each session, as last told of.
#[derive(Debug, Default)]
pub(super) struct Kernels(Mutex<BTreeMap<String, String>>);

impl Kernels {
    /// Takes note of the kernel that a new job got, and says whether its session had another one before, whose end nobody was told of.
    pub(super) fn is_replaced(&self, job: &Job) -> bool {
        let Some(kernel_id) = &job.kernel_id else {
            return false;
        };
        let mut kernels = self.lock();
        if kernels.len() >= MOST && !kernels.contains_key(&job.session) {
            kernels.clear();
        }
        let before = kernels.insert(job.session.clone(), kernel_id.clone());
        before.is_some_and(|before| before != *kernel_id)
    }

    /// The end of the kernel that a job took with it, or went with, is told with the job.
    pub(super) fn told(&self, job: &Job) {
        let mut kernels = self.lock();
        if job.variables_lost && kernels.get(&job.session) == job.kernel_id.as_ref() {
            kernels.remove(&job.session);
        }
    }

    /// The end of the session's kernel was asked for.
    pub(super) fn forget(&self, session: &str) {
        self.lock().remove(session);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
