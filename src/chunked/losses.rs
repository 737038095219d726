//! What went away under an operation.

/// Machines and Python processes that went away, and what was done when the last one did.
#[derive(Default)]
pub(super) struct Losses {
    completed: u64,
    pub(super) machines: u32,
    pub(super) processes: u32,
}

impl Losses {
    pub(super) fn count(&mut self, completed: u64, is_process: bool) {
        if completed > self.completed {
            *self = Self::default();
        }
        self.completed = completed;
        if is_process {
            self.processes += 1;
        } else {
            self.machines += 1;
        }
    }
}
