//! Which errors of a cell may pass: the one table of them.

use std::time::Duration;

use uuid::Uuid;

use crate::base::text::Pattern;
use crate::wire::event::PythonError;

/// Delay before the second attempt; it doubles with each further one.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const MAX_DELAY: Duration = Duration::from_secs(30);

/// Exceptions, by their class's own name, that another attempt may not meet: of Python, requests, urllib3, http.client, httpx, aiohttp, grpc,
/// Google's and OpenAI's clients.
const PASSING: [&str; 38] = [
    "ConnectionError",
    "ConnectionResetError",
    "ConnectionRefusedError",
    "ConnectionAbortedError",
    "BrokenPipeError",
    "TimeoutError",
    "timeout",
    "Timeout",
    "ConnectTimeout",
    "ReadTimeout",
    "WriteTimeout",
    "PoolTimeout",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "NewConnectionError",
    "MaxRetryError",
    "ChunkedEncodingError",
    "IncompleteRead",
    "RemoteDisconnected",
    "ConnectError",
    "ReadError",
    "RemoteProtocolError",
    "ClientConnectorError",
    "ClientOSError",
    "ServerDisconnectedError",
    "ServerTimeoutError",
    "ResourceExhausted",
    "ServiceUnavailable",
    "DeadlineExceeded",
    "TooManyRequests",
    "InternalServerError",
    "BadGateway",
    "GatewayTimeout",
    "RateLimitError",
    "APIConnectionError",
    "APITimeoutError",
    "OverloadedError",
    "ServiceUnavailableError",
];
/// Exceptions that stand for any status of HTTP, which their messages name.
const WITH_STATUS: [&str; 8] = [
    "HTTPError",
    "HTTPStatusError",
    "HfHubHTTPError",
    "APIStatusError",
    "APIError",
    "ApiException",
    "ClientResponseError",
    "HttpError",
];
/// Statuses that may pass.
const STATUSES: [&str; 6] = ["408", "429", "500", "502", "503", "504"];

/// Why a cell is run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    MayPass,
    /// The GPU's memory is to be freed first.
    GpuMemory,
}

/// Whether another attempt may succeed after this exception.
pub(super) fn why(error: &PythonError, own: Option<&Pattern>) -> Option<Why> {
    let name = error.ename.rsplit('.').next().unwrap_or(&error.ename);
    let text = format!("{}: {}", error.ename, error.evalue);
    let is_short = name == "OutOfMemoryError" && text.contains("CUDA");
    if is_short || text.contains("CUDA out of memory") {
        return Some(Why::GpuMemory);
    }
    let has_status = || {
        let mut words = error.evalue.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| STATUSES.contains(&word))
    };
    let may_pass = PASSING.contains(&name)
        || (WITH_STATUS.contains(&name) && has_status())
        || own.is_some_and(|pattern| pattern.find(&text, 0).is_some());
    may_pass.then_some(Why::MayPass)
}

/// How long to wait after this many attempts: between half of the delay and all of it, so that several runs do not stay in step.
pub(super) fn delay(attempts: u32) -> Duration {
    let doubled = FIRST_DELAY * 2_u32.saturating_pow(attempts.saturating_sub(1).min(10));
    let chance = u32::from(Uuid::now_v7().as_bytes()[15]);
    let whole = doubled.min(MAX_DELAY);
    whole / 2 + whole / 2 * chance / 255
}

/// Frees the GPU's memory that the last exception holds.
pub(super) const FREE_GPU: &str = "def _smart_colab_free():
    import gc, sys
    for name in ('last_traceback', 'last_value', 'last_type', 'last_exc'):
        if hasattr(sys, name):
            delattr(sys, name)
    shell = get_ipython()
    if (last := shell.last_execution_result) is not None:
        last.error_before_exec = last.error_in_exec = None
    shell.InteractiveTB.tb = None
    gc.collect()
    torch = sys.modules.get('torch')
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
_smart_colab_free()
del _smart_colab_free";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Why, delay, why};
    use crate::base::text::Pattern;
    use crate::wire::event::PythonError;

    fn error(ename: &str, evalue: &str) -> PythonError {
        PythonError {
            ename: ename.to_owned(),
            evalue: evalue.to_owned(),
            traceback: Vec::new(),
        }
    }

    #[test]
    fn only_errors_that_may_pass_are_worth_another_attempt() {
        for (ename, evalue, expected) in [
            ("ConnectionError", "", Some(Why::MayPass)),
            (
                "ConnectionResetError",
                "[Errno 104] Connection reset by peer",
                Some(Why::MayPass),
            ),
            ("TimeoutError", "timed out", Some(Why::MayPass)),
            (
                "google.api_core.exceptions.ResourceExhausted",
                "429 quota",
                Some(Why::MayPass),
            ),
            (
                "HTTPError",
                "HTTP Error 503: Service Unavailable",
                Some(Why::MayPass),
            ),
            (
                "HTTPError",
                "429 Client Error: Too Many Requests",
                Some(Why::MayPass),
            ),
            ("HTTPError", "404 Client Error: Not Found", None),
            ("HTTPError", "port 8429 is closed", None),
            (
                "OutOfMemoryError",
                "CUDA out of memory. Tried to allocate 2 GiB",
                Some(Why::GpuMemory),
            ),
            ("RuntimeError", "CUDA out of memory.", Some(Why::GpuMemory)),
            ("RuntimeError", "CUDA error: device-side assert", None),
            ("MemoryError", "", None),
            ("ValueError", "status 503", None),
            ("KeyboardInterrupt", "", None),
            ("FileNotFoundError", "", None),
        ] {
            assert_eq!(why(&error(ename, evalue), None), expected, "{ename}");
        }
    }

    #[test]
    fn the_callers_pattern_is_matched_with_name_and_message() {
        let own = Pattern::new("^MyError: .*again$").unwrap();
        let mine = error("MyError", "try again");
        assert_eq!(why(&mine, Some(&own)), Some(Why::MayPass));
        assert_eq!(why(&error("MyError", "never"), Some(&own)), None);
    }

    #[test]
    fn delays_double_and_are_bounded() {
        for (attempts, least, most) in [(1, 250, 500), (2, 500, 1_000), (40, 15_000, 30_000)] {
            let delay = delay(attempts);
            assert!(
                delay >= Duration::from_millis(least) && delay <= Duration::from_millis(most),
                "{delay:?}"
            );
        }
    }
}
