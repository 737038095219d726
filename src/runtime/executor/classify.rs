//! Classifies what answered: the executor, a tunnel that has lost it, or another server.

use std::cmp::Ordering;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use super::body::{self, MAX_FACTS_BYTES};
use crate::base::advice::Step;
use crate::runtime::error::{MAX_RETRY_AFTER_SEC, Reach, RuntimeError, RuntimeResult};
use crate::wire::API_VERSION;
use crate::wire::problem::Problem;

/// ngrok's codes for a lost executor, their meaning, and how far the request got (<https://ngrok.com/docs/errors>).
const NGROK: [(&str, &str, Reach); 3] = [
    (
        "ERR_NGROK_3200",
        "ngrok has no agent there: the notebook's start cell has stopped, or its VM is gone",
        Reach::Nowhere,
    ),
    (
        "ERR_NGROK_8012",
        "ngrok's agent is running, but finds no executor on its machine",
        Reach::Nowhere,
    ),
    (
        "ERR_NGROK_3004",
        "ngrok got no complete response from the executor",
        Reach::Unknown,
    ),
];

/// ngrok's codes that a retry does not change.
const NGROK_PAGES: [(&str, &str); 2] = [
    (
        "ERR_NGROK_6022",
        "ngrok requires its account to be verified before it forwards anything",
    ),
    (
        "ERR_NGROK_6024",
        "ngrok shows its warning page for browsers instead of forwarding the request",
    ),
];

/// ngrok's codes for a used-up plan: requests and bytes a month, requests a minute.
const NGROK_LIMITED: [&str; 5] = [
    "ERR_NGROK_725",
    "ERR_NGROK_726",
    "ERR_NGROK_727",
    "ERR_NGROK_734",
    "ERR_NGROK_4027",
];

/// Statuses of gateways and of Cloudflare ("Cloudflare 5xx errors"), their meaning, and how far the request got.
const GATEWAYS: [(u16, &str, Reach); 15] = [
    (
        408,
        "a gateway in front of the executor gave up waiting",
        Reach::Unknown,
    ),
    (
        500,
        "a gateway in front of the executor failed",
        Reach::Unknown,
    ),
    (
        429,
        "a gateway in front of the executor reports too many requests",
        Reach::Unknown,
    ),
    (
        502,
        "the tunnel got no response from the executor",
        Reach::Unknown,
    ),
    (
        503,
        "the tunnel has no server to forward requests to",
        Reach::Unknown,
    ),
    (
        504,
        "the tunnel gave up waiting for the executor",
        Reach::Unknown,
    ),
    (
        520,
        "Cloudflare got a response that it does not understand",
        Reach::Unknown,
    ),
    (521, "the machine refused Cloudflare", Reach::Nowhere),
    (
        522,
        "Cloudflare timed out before the machine accepted the connection or the request",
        Reach::Unknown,
    ),
    (523, "Cloudflare cannot find the machine", Reach::Nowhere),
    (
        524,
        "Cloudflare gave up waiting for the machine",
        Reach::Unknown,
    ),
    (
        525,
        "Cloudflare could not agree on TLS with the machine",
        Reach::Nowhere,
    ),
    (
        526,
        "Cloudflare does not trust the machine's certificate",
        Reach::Nowhere,
    ),
    (
        527,
        "Cloudflare lost its connection to the machine",
        Reach::Unknown,
    ),
    (
        530,
        "Cloudflare has no tunnel there: the notebook's start cell has stopped, or its VM is gone",
        Reach::Nowhere,
    ),
];

/// Returns the executor's successes; everything else becomes an error.
pub(super) async fn reply(response: Response, address: &str) -> RuntimeResult<Response> {
    let url = || address.to_owned();
    let headers = response.headers();
    match header(headers, "x-smart-colab-api") {
        Some(version) if version == API_VERSION.to_string() => {}
        Some(version) => return Err(other_version(version, address)),
        None => return Err(stranger(response.status(), headers, address)),
    }
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    if status == StatusCode::UNAUTHORIZED {
        let remedy = Step::RenewToken;
        return Err(RuntimeError::Unauthorized { url: url(), remedy });
    }
    let asked = retry_after(headers);
    let body = body::collect(response, MAX_FACTS_BYTES, address, |_| ()).await?;
    // Without a problem in its body it is not the executor's refusal: a gateway answered and kept the headers.
    let mut problem: Problem =
        serde_json::from_slice(&body).map_err(|_| RuntimeError::Stranger {
            url: url(),
            detail: format!("it answered {status} without saying why"),
            reach: Reach::Unknown,
        })?;
    problem.status = status.as_u16();
    problem.retry_after_sec = problem.retry_after_sec.or(asked.map(|time| time.as_secs()));
    Err(RuntimeError::Refused(problem))
}

/// Whether a web page follows these headers.
pub(super) fn is_page(headers: &HeaderMap) -> bool {
    header(headers, CONTENT_TYPE.as_str()).is_some_and(|kind| kind.starts_with("text/html"))
}

/// The boot id of the executor that answered.
pub(super) fn boot_id(response: &Response) -> Option<&str> {
    header(response.headers(), "x-boot-id")
}

/// The error for another version of the API; the remedy depends on which side is behind.
fn other_version(version: &str, address: &str) -> RuntimeError {
    let (age, remedy) = match version.parse::<u32>().unwrap_or(0).cmp(&API_VERSION) {
        Ordering::Greater => (
            "newer than",
            "Update smart-colab on this computer, then restart the client.".into(),
        ),
        Ordering::Less | Ordering::Equal => ("older than", Step::UpdateExecutor.into()),
    };
    let version: String = version.chars().take(20).collect();
    RuntimeError::Incompatible {
        url: address.to_owned(),
        detail: format!(
            "the executor is {age} this bridge (it speaks version {version} of the API, this bridge version {API_VERSION})"
        ),
        remedy,
    }
}

/// The error for a response that did not come from an executor.
fn stranger(status: StatusCode, headers: &HeaderMap, address: &str) -> RuntimeError {
    let url = address.to_owned();
    let retry_after = retry_after(headers);
    if let Some(code) = header(headers, "ngrok-error-code") {
        if NGROK_LIMITED.contains(&code) {
            let sign = code.to_owned();
            return RuntimeError::TunnelLimited {
                url,
                sign,
                retry_after,
            };
        }
        if let Some((_, what)) = NGROK_PAGES.iter().find(|(known, _)| *known == code) {
            let detail = format!("{what} ({code})");
            let reach = Reach::Refused;
            return RuntimeError::Stranger { url, detail, reach };
        }
        let known = NGROK.iter().find(|(known, ..)| *known == code);
        let (what, reach) = known.map_or(
            ("ngrok answers in place of the executor", Reach::Unknown),
            |(_, what, reach)| (*what, *reach),
        );
        return RuntimeError::TunnelOffline {
            url,
            what: format!("{what} ({code})"),
            reach,
            retry_after,
        };
    }
    if let Some((_, what, reach)) = GATEWAYS.iter().find(|(known, ..)| *known == status) {
        // What gateways other than Cloudflare mean by these is not known.
        let is_certain = header(headers, "server").is_some_and(|name| name == "cloudflare")
            || headers.contains_key("cf-ray");
        return RuntimeError::TunnelOffline {
            url,
            what: format!("{what} ({})", status.as_u16()),
            reach: if is_certain { *reach } else { Reach::Unknown },
            retry_after,
        };
    }
    let what = if status.is_redirection() {
        "it redirects to another address, such as a sign-in page"
    } else if is_page(headers) {
        "it serves a web page"
    } else {
        "it did not identify itself"
    };
    RuntimeError::Stranger {
        url,
        detail: format!("{what} (it answered {status})"),
        reach: Reach::Unknown,
    }
}

/// RFC 9110, section 10.2.3, in its form with seconds; the form with a date is not worth a clock that may be wrong.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = header(headers, RETRY_AFTER.as_str())?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(MAX_RETRY_AFTER_SEC)))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{other_version, stranger};
    use crate::base::fault::Fault as _;
    use crate::runtime::error::Reach;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter();
        let pairs = pairs.map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        pairs.collect()
    }

    #[test]
    fn each_gateway_error_names_its_sender_and_how_far_the_request_got() {
        let ngrok = |code| vec![("ngrok-error-code", code), ("content-type", "text/html")];
        for (status, given, code, words, transient, reach) in [
            (
                404,
                ngrok("ERR_NGROK_3200"),
                "tunnel_offline",
                "ngrok has no agent",
                true,
                Reach::Nowhere,
            ),
            (
                502,
                ngrok("ERR_NGROK_3004"),
                "tunnel_offline",
                "ngrok got no complete response",
                true,
                Reach::Unknown,
            ),
            (
                200,
                ngrok("ERR_NGROK_6024"),
                "incompatible_executor",
                "warning page",
                false,
                Reach::Refused,
            ),
            (
                400,
                ngrok("ERR_NGROK_9999"),
                "tunnel_offline",
                "ERR_NGROK_9999",
                true,
                Reach::Unknown,
            ),
            (
                429,
                ngrok("ERR_NGROK_727"),
                "tunnel_offline",
                "limit of its plan",
                false,
                Reach::Refused,
            ),
            (
                429,
                vec![],
                "tunnel_offline",
                "too many requests",
                true,
                Reach::Unknown,
            ),
            (
                524,
                vec![],
                "tunnel_offline",
                "Cloudflare gave up waiting",
                true,
                Reach::Unknown,
            ),
            (
                530,
                vec![("server", "cloudflare")],
                "tunnel_offline",
                "Cloudflare has no tunnel",
                true,
                Reach::Nowhere,
            ),
            (530, vec![], "tunnel_offline", "(530)", true, Reach::Unknown),
            (502, vec![], "tunnel_offline", "(502)", true, Reach::Unknown),
            (
                200,
                vec![("content-type", "text/html; charset=utf-8")],
                "incompatible_executor",
                "web page",
                true,
                Reach::Unknown,
            ),
            (
                200,
                vec![],
                "incompatible_executor",
                "did not identify itself",
                true,
                Reach::Unknown,
            ),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let error = stranger(status, &headers(&given), "https://there");
            let said = error.to_string();
            assert_eq!(error.code(), code, "{said}");
            assert!(
                said.contains(words) && said.contains("https://there"),
                "{said}"
            );
            assert_eq!(
                (error.is_transient(), error.reach()),
                (transient, reach),
                "{said}"
            );
        }
    }

    #[test]
    fn a_retry_after_header_is_read() {
        let given = headers(&[("ngrok-error-code", "ERR_NGROK_734"), ("retry-after", "7")]);
        let error = stranger(StatusCode::TOO_MANY_REQUESTS, &given, "https://there");
        assert!(error.is_transient());
        assert_eq!(error.retry_after().unwrap().as_secs(), 7);
        let remedy = format!("{:?}", error.remedy());
        assert!(remedy.contains("Retry { after_sec: 7 }"), "{remedy}");
    }

    #[test]
    fn the_side_that_is_behind_is_the_one_to_update() {
        for (version, said, remedy) in [
            ("999", "newer than", "Update smart-colab"),
            ("0", "older than", "UpdateExecutor"),
            ("one", "older than", "UpdateExecutor"),
        ] {
            let error = other_version(version, "https://there");
            assert_eq!(error.code(), "incompatible_executor");
            assert!(error.to_string().contains(said), "{error}");
            let said = format!("{:?}", error.remedy());
            assert!(said.contains(remedy), "{said}");
        }
    }
}
