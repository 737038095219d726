//! The errors of calls that are being retried, for their progress messages.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};

use crate::base::lock::Lock;
use crate::runtime::RuntimeError;

/// The troubles of all calls in flight.
#[derive(Debug, Clone, Default)]
pub(super) struct Troubles(Arc<Lock<State>>);

#[derive(Debug, Default)]
struct State {
    begun: u64,
    met: BTreeMap<u64, (String, u32)>,
}

/// One call's trouble; over when this is dropped.
pub(super) struct Trouble {
    troubles: Troubles,
    number: u64,
    tries: u32,
}

impl Troubles {
    pub(super) fn begin(&self) -> Trouble {
        let mut state = self.lock();
        state.begun += 1;
        Trouble {
            troubles: self.clone(),
            number: state.begun,
            tries: 1,
        }
    }

    /// The last error of the newest call that has one, and the number of its next try.
    pub(super) fn newest(&self) -> Option<(String, u32)> {
        self.lock().met.values().next_back().cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl Trouble {
    pub(super) fn record(&mut self, error: &RuntimeError) {
        self.tries += 1;
        let met = (error.to_string(), self.tries);
        self.troubles.lock().met.insert(self.number, met);
    }

    /// Ends the trouble: data is arriving again.
    pub(super) fn end(&mut self) {
        self.troubles.lock().met.remove(&self.number);
    }
}

impl Drop for Trouble {
    fn drop(&mut self) {
        self.end();
    }
}
