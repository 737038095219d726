//! Counts the bytes of a file that may have to be sent again.

use std::sync::MutexGuard;

use super::report::UploadReport;
use crate::base::lock::Lock;
use crate::transfer::running::Meter;

/// Bytes that one attempt to send a file has added to the report; taken back if the attempt fails.
#[derive(Debug)]
pub(super) struct Tally<'a> {
    meter: &'a Meter<UploadReport>,
    counts: Lock<(u64, u64)>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(meter: &'a Meter<UploadReport>) -> Self {
        Self {
            meter,
            counts: Lock::default(),
        }
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.set(|counts| counts.0 += bytes);
    }

    /// Sets the bytes that have arrived: those not sent by this attempt were there before, and fewer mean that sent ones were lost.
    pub(super) fn there(&self, bytes: u64) {
        self.set(|counts| {
            counts.0 = counts.0.min(bytes);
            counts.1 = bytes - counts.0;
        });
    }

    pub(super) fn take_back(&self) {
        self.set(|counts| *counts = (0, 0));
    }

    fn counts(&self) -> MutexGuard<'_, (u64, u64)> {
        self.counts.lock()
    }

    fn set(&self, change: impl FnOnce(&mut (u64, u64))) {
        let mut counts = self.counts();
        let before = *counts;
        change(&mut counts);
        let after = *counts;
        self.meter.change(|report| {
            report.sent_bytes = report.sent_bytes - before.0 + after.0;
            report.already_there_bytes = report.already_there_bytes - before.1 + after.1;
        });
    }
}
