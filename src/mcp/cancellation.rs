//! A client's cancellation of a call: the user's stop ends the work, anything else only the wait for it. Clients also cancel calls that
//! exceed their own timeouts, and only the reason tells these apart.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use rmcp::model::{CallToolRequest, CancelledNotificationParam, RequestId};

/// Claude Code's reason for the user's stop.
const REMOTE_CANCEL: &str = "remote-cancel";

/// The calls in progress, by the ids of their requests.
#[derive(Debug, Default)]
pub(super) struct Cancellations(HashMap<RequestId, Weak<Cancellation>>);

/// The cancellation of one call, which may still come.
#[derive(Debug, Default)]
pub(super) struct Cancellation {
    is_stop: AtomicBool,
}

impl Cancellations {
    /// Prepares a call for its cancellation.
    pub(super) fn expect(&mut self, id: &RequestId, call: &mut CallToolRequest) {
        let cancellation = Arc::new(Cancellation::default());
        self.0.retain(|_, call| call.strong_count() > 0);
        self.0.insert(id.clone(), Arc::downgrade(&cancellation));
        call.extensions.insert(cancellation);
    }

    /// Records the reason. Must be called before rmcp has the notification and cancels the call's token.
    pub(super) fn note(&self, cancelled: &CancelledNotificationParam) {
        let id = cancelled.request_id.as_ref();
        let call = id.and_then(|id| self.0.get(id)).and_then(Weak::upgrade);
        if let Some(call) = call {
            let is_stop = is_stop(cancelled.reason.as_deref());
            call.is_stop.store(is_stop, Ordering::Release);
        }
    }
}

impl Cancellation {
    /// Whether the user wants the work to end.
    pub(super) fn is_stop(&self) -> bool {
        self.is_stop.load(Ordering::Acquire)
    }
}

/// Whether a reason names the user. Where that is in doubt, the work goes on: it can still be stopped, but not be brought back.
fn is_stop(reason: Option<&str>) -> bool {
    let reason = reason.unwrap_or_default().to_lowercase();
    let mut words = reason.split(|letter: char| !letter.is_alphanumeric());
    let names_user = reason.contains(REMOTE_CANCEL) || words.any(|word| word == "user");
    let is_timeout = ["timeout", "timed out"].map(|word| reason.contains(word));
    names_user && !is_timeout.contains(&true)
}

#[cfg(test)]
mod tests {
    use super::is_stop;

    #[test]
    fn only_a_reason_that_names_the_user_is_a_stop() {
        for (reason, expected) in [
            (Some("AbortError: remote-cancel"), true),
            (Some("User requested cancellation"), true),
            (Some("cancelled by the user"), true),
            (Some("SdkError: Request timed out"), false),
            (Some("McpError: MCP error -32001: Request timed out"), false),
            (Some("the user's timeout"), false),
            (Some("MCP request cancelled by caller"), false),
            (Some("AbortError: This operation was aborted"), false),
            (Some("superuser left"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(is_stop(reason), expected, "{reason:?}");
        }
    }
}
