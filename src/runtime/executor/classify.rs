//! Who answered: the executor, a tunnel that has lost it, or something else.

use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};

use crate::runtime::error::{Reach, RuntimeError, RuntimeResult};
use crate::wire::API_VERSION;
use crate::wire::problem::Problem;

/// Cloudflare's statuses for an origin or tunnel that fails (520 to 530: "Cloudflare 5xx errors").
const CLOUDFLARE_GONE: std::ops::RangeInclusive<u16> = 520..=530;
/// Those of them for an origin or tunnel that cannot be reached at all.
const CLOUDFLARE_UNREACHED: [u16; 4] = [521, 522, 523, 530];
/// ngrok's codes for an endpoint without an agent, and for an agent that finds no executor.
const NGROK_UNREACHED: [&str; 2] = ["ERR_NGROK_3200", "ERR_NGROK_8012"];

/// ngrok's codes for a used-up plan: requests and bytes a month, requests a minute (ngrok.com/docs/errors).
const NGROK_LIMITED: [&str; 5] = [
    "ERR_NGROK_725",
    "ERR_NGROK_726",
    "ERR_NGROK_727",
    "ERR_NGROK_734",
    "ERR_NGROK_4027",
];

/// Passes the executor's successes on; everything else becomes an error.
pub(super) async fn reply(response: Response, address: &str) -> RuntimeResult<Response> {
    let url = || address.to_owned();
    let headers = response.headers();
    match header(headers, "x-smart-colab-api") {
        Some(API_VERSION) => {}
        Some(other) => {
            let detail =
                format!("it speaks version {other} of the API, this bridge version {API_VERSION}");
            return Err(RuntimeError::Incompatible { url: url(), detail });
        }
        None => return Err(stranger(response.status(), headers, address)),
    }
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    if status == StatusCode::UNAUTHORIZED {
        return Err(RuntimeError::Unauthorized { url: url() });
    }
    let body = response
        .bytes()
        .await
        .map_err(|source| RuntimeError::Broken { url: url(), source })?;
    Err(RuntimeError::Refused(
        serde_json::from_slice(&body).unwrap_or_else(|_| Problem {
            status: status.as_u16(),
            code: "internal".to_owned(),
            detail: format!("the executor answered {status} without saying why"),
            hint: "Look at the notebook's log, then call again.".to_owned(),
            retryable: status.is_server_error(),
        }),
    ))
}

/// Which start of an executor answered.
pub(super) fn boot_id(response: &Response) -> Option<&str> {
    header(response.headers(), "x-boot-id")
}

/// An answer that did not come from an executor.
fn stranger(status: StatusCode, headers: &HeaderMap, address: &str) -> RuntimeError {
    let url = address.to_owned();
    if let Some(code) = header(headers, "ngrok-error-code") {
        if NGROK_LIMITED.contains(&code) {
            let sign = code.to_owned();
            return RuntimeError::TunnelLimited { url, sign };
        }
        return RuntimeError::TunnelOffline {
            url,
            sign: code.to_owned(),
            reach: reach(NGROK_UNREACHED.contains(&code)),
        };
    }
    if CLOUDFLARE_GONE.contains(&status.as_u16()) || matches!(status.as_u16(), 502..=504) {
        return RuntimeError::TunnelOffline {
            url,
            sign: status.to_string(),
            reach: reach(CLOUDFLARE_UNREACHED.contains(&status.as_u16())),
        };
    }
    RuntimeError::Stranger {
        url,
        detail: format!("it answered {status} and did not name itself"),
    }
}

fn reach(is_unreached: bool) -> Reach {
    if is_unreached {
        Reach::Nowhere
    } else {
        Reach::Unknown
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
