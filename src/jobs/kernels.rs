//! Detects lost variables. Each kernel has an id, so a job in a kernel other than its session's last ran without the variables of earlier code;
//! this is reported once.

use std::collections::BTreeMap;
use std::sync::MutexGuard;

use crate::base::lock::Lock;
use crate::wire::job::Job;

/// Sessions remembered: more than one machine runs at a time.
const MAX_REMEMBERED: usize = 1_000;

/// The kernel of each session, as last reported to the caller.
#[derive(Debug, Default)]
pub(super) struct Kernels(Lock<BTreeMap<String, String>>);

impl Kernels {
    /// Records a new job's kernel, and returns whether its session had another one before whose end was not reported.
    pub(super) fn record_kernel(&self, job: &Job) -> bool {
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

    /// Forgets the kernel that ended with a job: its end is reported with the job.
    pub(super) fn forget_lost(&self, job: &Job) {
        let mut kernels = self.lock();
        if job.variables_lost && kernels.get(&job.session) == job.kernel_id.as_ref() {
            kernels.remove(&job.session);
        }
    }

    /// Forgets all kernels: they ended with their machine, which is reported.
    pub(super) fn forget_all(&self) {
        self.lock().clear();
    }

    /// Forgets a session's kernel, whose end the caller requested.
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
    fn a_new_kernel_is_reported_once_for_each_session() {
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
                kernels.record_kernel(&job),
                is_replaced,
                "{session} {kernel_id:?}"
            );
        }
    }

    #[test]
    fn a_kernel_whose_end_was_reported_or_requested_is_not_reported_again() {
        let kernels = Kernels::default();
        kernels.record_kernel(&job("main", Some("a"), false));
        kernels.forget_lost(&job("main", Some("a"), true));
        assert!(!kernels.record_kernel(&job("main", Some("b"), false)));
        kernels.forget("main");
        assert!(!kernels.record_kernel(&job("main", Some("c"), false)));
        // An old job says nothing about the current kernel.
        kernels.forget_lost(&job("main", Some("a"), true));
        assert!(kernels.record_kernel(&job("main", Some("d"), false)));
    }
}
