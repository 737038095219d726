//! Tracks where a job may be that was sent more than once.

use uuid::Uuid;

use super::Runtime;
use crate::base::lock::Lock;

/// The first submission of a job that may have arrived, including one in flight. It makes code run only once: a later try names the executor
/// that may have it.
#[derive(Debug, Default)]
pub struct Arrival(Lock<Option<Sent>>);

#[derive(Debug, Clone)]
struct Sent {
    address: String,
    /// The boot id of the executor there, if known.
    boot_id: Option<String>,
}

impl Arrival {
    /// Whether the job may have reached an executor.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.first().is_some()
    }

    /// The boot id that `runtime` must have to accept the job if it does not know it; none if no earlier try can have arrived. If that id is
    /// unknown, a runtime at another address must know the job or refuse it.
    #[must_use]
    pub fn expected_boot(&self, runtime: &dyn Runtime) -> Option<String> {
        let sent = self.first()?;
        let elsewhere = || runtime.address() != sent.address;
        let unknown = || elsewhere().then(|| Uuid::nil().to_string());
        sent.boot_id.clone().or_else(unknown)
    }

    /// Notes that the job is being sent to `runtime`; returns the state before.
    pub fn begin(&self, runtime: &dyn Runtime) -> Self {
        let before = self.first();
        let sent = || Sent {
            address: runtime.address().to_owned(),
            boot_id: runtime.boot_id(),
        };
        self.set(before.clone().or_else(|| Some(sent())));
        Self(Lock::new(before))
    }

    /// Restores the state `before` a try that certainly did not arrive.
    pub fn take_back(&self, before: &Self) {
        self.set(before.first());
    }

    fn first(&self) -> Option<Sent> {
        self.0.lock().clone()
    }

    fn set(&self, sent: Option<Sent>) {
        *self.0.lock() = sent;
    }
}
