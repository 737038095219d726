//! Whose variables are gone. A session's kernel has an id of its own, so a job in another kernel than the one before it ran without what
//! earlier code had left; the model is told so once.

use std::collections::BTreeMap;
use std::sync::MutexGuard;

use crate::base::lock::Lock;
use crate::wire::job::Job;

/// Sessions remembered; more than one machine runs.
const MAX_REMEMBERED: usize = 1_000;

/// The kernel of each session, as last told of.
#[derive(Debug, Default)]
pub(super) struct Kernels(Lock<BTreeMap<String, String>>);

impl Kernels {
    /// Takes note of the kernel that a new job got, and says whether its session had another one before, whose end nobody was told of.
    pub(super) fn is_replaced(&self, job: &Job) -> bool {
        let Some(kernel_id) = &job.kernel_id else {
            return false;
        };
        let mut kernels = self.lock();
        if kernels.len() >= MAX_REMEMBERED && !kernels.contains_key(&job.session) {
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

    /// All of them went with their machine, and that is told.
    pub(super) fn told_of_all(&self) {
        self.lock().clear();
    }

    /// The end of the session's kernel was asked for.
    pub(super) fn forget(&self, session: &str) {
        self.lock().remove(session);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Kernels;
    use crate::base::ids::JobId;
    use crate::wire::job::Job;

    fn job(session: &str, kernel_id: Option<&str>, variables_lost: bool) -> Job {
        serde_json::from_value(json!({
            "id": JobId::fresh(), "session": session, "state": "succeeded", "timeout_sec": 600, "created_at": "", "last_seq": 1,
            "log_bytes": 0, "kernel_id": kernel_id, "variables_lost": variables_lost,
        }))
        .unwrap()
    }

    #[test]
    fn a_new_kernel_is_told_of_once_for_each_session() {
        let kernels = Kernels::default();
        for (session, kernel_id, is_replaced) in [
            ("main", Some("a"), false),
            ("other", Some("b"), false),
            ("main", Some("a"), false),
            ("main", None, false),
            ("main", Some("c"), true),
            ("main", Some("c"), false),
            ("other", Some("d"), true),
        ] {
            let job = job(session, kernel_id, false);
            assert_eq!(
                kernels.is_replaced(&job),
                is_replaced,
                "{session} {kernel_id:?}"
            );
        }
    }

    #[test]
    fn a_kernel_whose_end_was_told_or_asked_for_is_no_news() {
        let kernels = Kernels::default();
        kernels.is_replaced(&job("main", Some("a"), false));
        kernels.told(&job("main", Some("a"), true));
        assert!(!kernels.is_replaced(&job("main", Some("b"), false)));
        kernels.forget("main");
        assert!(!kernels.is_replaced(&job("main", Some("c"), false)));
        // An old job tells nothing of the kernel that is there now.
        kernels.told(&job("main", Some("a"), true));
        assert!(kernels.is_replaced(&job("main", Some("d"), false)));
    }
}
