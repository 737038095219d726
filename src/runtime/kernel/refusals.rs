//! What only an executor can do, each refused with a sentence.

use async_trait::async_trait;

use super::Kernels;
use crate::runtime::{Machine, RuntimeError, RuntimeResult};
use crate::wire::machine::{Health, Probe};
use crate::wire::problem::Problem;
use crate::wire::session::{Cleanup, CleanupRequest};

pub(super) fn refused(status: u16, code: &str, detail: String, hint: &str) -> RuntimeError {
    RuntimeError::Refused(Problem {
        status,
        code: code.to_owned(),
        detail,
        hint: hint.to_owned(),
        retryable: false,
        retry_after_sec: None,
    })
}

/// Refuses `what`, because of `reason`.
pub(super) fn unsupported(what: &str, reason: &str) -> RuntimeError {
    let instead = "Do it in code (shorter code, with a loop or open() in it)";
    unsupported_but(what, reason, instead)
}

/// Refuses `what`, because of `reason`; what can be done `instead` is without its full stop.
pub(super) fn unsupported_but(what: &str, reason: &str, instead: &str) -> RuntimeError {
    let detail = format!(
        "On this Jupyter Server, {what} need an executor beside its kernels, and none can run there. {reason}"
    );
    let hint = format!(
        "{instead}, or change on the server what the message names, and restart the client."
    );
    refused(501, "unsupported", detail, &hint)
}

#[async_trait]
impl Machine for Kernels {
    async fn health(&self) -> RuntimeResult<Health> {
        let found = self.server.probe().await;
        found.map_err(|error| self.error(error))?;
        Ok(Health {
            status: "ok".to_owned(),
            uptime_minutes: self.began.elapsed().as_secs_f64() / 60.0,
            memory_available_gb: None,
            memory_used_pct: None,
            version: "none".to_owned(),
        })
    }

    async fn probe(&self, _: &[String]) -> RuntimeResult<Probe> {
        Err(unsupported("descriptions of the machine", &self.reason))
    }

    async fn cleanup(&self, _: &CleanupRequest) -> RuntimeResult<Cleanup> {
        Err(unsupported("cleanups", &self.reason))
    }
}
