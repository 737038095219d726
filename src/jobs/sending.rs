//! Sends jobs, once what their code requires is there.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Jobs;
use super::follow::{self, Followed, Reader};
use super::store::{Record, Store};
use crate::base::ids::JobId;
use crate::caller::{Caller, Progress};
use crate::runtime::RuntimeResult;
use crate::wire::job::JobRequest;

impl Jobs {
    /// Sends a job with code of the user's.
    pub(super) async fn submit(
        &self,
        store: &Store,
        id: JobId,
        request: &JobRequest,
        caller: &Caller<'_>,
        reader: &mut dyn Reader,
    ) -> RuntimeResult<Followed> {
        self.install_requirements(request, caller).await?;
        self.send(store, id, request, caller, reader).await
    }

    /// Records a job in `store` before it is sent, and again once it is known to run.
    pub(super) async fn send(
        &self,
        store: &Store,
        id: JobId,
        request: &JobRequest,
        caller: &Caller<'_>,
        reader: &mut dyn Reader,
    ) -> RuntimeResult<Followed> {
        if let Some(place) = self.connection.place() {
            let boot_id = self.connection.boot_id();
            store.note(&Record::of_request(id, request, &place, boot_id));
        }
        let is_noted = AtomicBool::new(false);
        let report = |progress: Progress<'_>| {
            // Once, in case this bridge ends mid-job; a finished job is recorded by the caller.
            if let Progress::Job { job, .. } = progress
                && !job.state.is_final()
                && !is_noted.swap(true, Ordering::Relaxed)
            {
                self.note_job(store, job, 0);
            }
            (caller.report)(progress);
        };
        let caller = &caller.clone().with_report(&report);
        let submitted = follow::submit(&self.connection, id, request, caller, reader).await;
        submitted.inspect_err(|_| store.forget(id))
    }
}
