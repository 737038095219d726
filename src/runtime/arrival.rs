//! Where a job may be that was sent more than once.

use uuid::Uuid;

use super::Runtime;
use crate::base::lock::Lock;

/// The first try to send a job that may have arrived, the one in flight included. Code that was sent runs once because of this: a later try
/// names the executor that may have it.
#[derive(Debug, Default)]
pub struct Arrival(Lock<Option<Sent>>);

#[derive(Debug, Clone)]
struct Sent {
    address: String,
    /// Which start of the executor was there, where that was known.
    boot_id: Option<String>,
}

impl Arrival {
    /// Whether the job may be at an executor, for all that is known.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.first().is_some()
    }

    /// Which start of the executor `runtime` must be to take the job without knowing it; none where no earlier try can have arrived. Where that
    /// is not known, another address must know the job or refuse it.
    #[must_use]
    pub fn expected_boot(&self, runtime: &dyn Runtime) -> Option<String> {
        let sent = self.first()?;
        let elsewhere = || runtime.address() != sent.address;
        let unknown = || elsewhere().then(|| Uuid::nil().to_string());
        sent.boot_id.clone().or_else(unknown)
    }

    /// Notes that the job goes to `runtime` now; returns what was known before.
    pub fn begin(&self, runtime: &dyn Runtime) -> Self {
        let before = self.first();
        let sent = || Sent {
            address: runtime.address().to_owned(),
            boot_id: runtime.boot_id(),
        };
        self.set(before.clone().or_else(|| Some(sent())));
        Self(Lock::new(before))
    }

    /// The try did certainly not arrive: what was known `before` holds again.
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
