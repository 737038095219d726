//! Who may open a WebSocket: a page of Colab that has the token.
//!
//! The answers are those of colab-mcp, with what Chrome asks of servers on a local network (Private Network Access).

use std::convert::Infallible;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use url::form_urlencoded;

use super::page::{DOOR, is_colab};
use super::{Shared, same, wire};

const PROTOCOL: &str = "mcp";
const PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// Why a page is not let in: the status, and a sentence for the browser's console.
type Refusal = (StatusCode, &'static str);

/// Answers one request; one for a WebSocket becomes a tab.
pub(super) async fn answer(
    mut request: Request<Incoming>,
    port: u16,
    shared: Arc<Shared>,
) -> Result<Response<String>, Infallible> {
    let origin = allowed_origin(request.headers()).cloned();
    let path = request.uri().path();
    let answered = match (request.method(), path.strip_prefix(DOOR)) {
        (&Method::OPTIONS, _) => preflight(origin.as_ref()),
        (&Method::GET, Some(ticket)) => through_the_door(&shared, ticket, port),
        (&Method::GET, None) if path == "/" => match check(&request, &shared) {
            Ok(accept_key) => {
                let upgrading = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    match upgrading.await {
                        Ok(upgraded) => {
                            let socket = wire::over(TokioIo::new(upgraded)).await;
                            shared.welcome(socket).await;
                        }
                        Err(error) => tracing::debug!(%error, "a tab left while it connected"),
                    }
                });
                upgrade(&accept_key)
            }
            Err(refusal) => refuse(refusal),
        },
        _ => refuse((StatusCode::NOT_FOUND, "there is nothing here")),
    };
    let mut response = answered;
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn allowed_origin(headers: &HeaderMap) -> Option<&HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    origin.to_str().is_ok_and(is_colab).then_some(origin)
}

/// Checks who asks, and returns the key that accepts.
fn check<B>(request: &Request<B>, shared: &Shared) -> Result<String, Refusal> {
    let headers = request.headers();
    let of = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if allowed_origin(headers).is_none() {
        return Err((StatusCode::FORBIDDEN, "only Colab's pages may connect"));
    }
    let query = request.uri().query().unwrap_or_default();
    let in_query = form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "access_token")
        .map(|(_, token)| token.into_owned());
    let token = match (in_query, headers.get(header::AUTHORIZATION)) {
        (Some(token), _) => token,
        (None, None) => return Err((StatusCode::UNAUTHORIZED, "the token is missing")),
        (None, Some(given)) => {
            let given = given.to_str().ok().and_then(|given| given.split_once(' '));
            match given {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.to_owned(),
                _ => return Err((StatusCode::BAD_REQUEST, "the token has no readable form")),
            }
        }
    };
    if !same(shared.token.expose(), &token) {
        return Err((StatusCode::FORBIDDEN, "the token is another process's"));
    }
    let lists = |name, wanted: &str| {
        of(name).is_some_and(|list| {
            list.split(',')
                .any(|item| item.trim().eq_ignore_ascii_case(wanted))
        })
    };
    let is_upgrade = lists(header::UPGRADE, "websocket")
        && lists(header::CONNECTION, "upgrade")
        && of(header::SEC_WEBSOCKET_VERSION) == Some("13");
    let key = of(header::SEC_WEBSOCKET_KEY).filter(|_| is_upgrade);
    let key = key.ok_or((StatusCode::UPGRADE_REQUIRED, "this is a WebSocket"))?;
    if !lists(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return Err((StatusCode::BAD_REQUEST, "the sub-protocol is mcp"));
    }
    Ok(derive_accept_key(key.as_bytes()))
}

fn upgrade(accept_key: &str) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    let protocol = HeaderValue::from_static(PROTOCOL);
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    // Base64 stands in every header.
    if let Ok(key) = HeaderValue::from_str(accept_key) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    }
    response
}

/// What a browser asks before a page may connect to this computer.
fn preflight(origin: Option<&HeaderValue>) -> Response<String> {
    if origin.is_none() {
        return refuse((StatusCode::FORBIDDEN, "only Colab's pages may connect"));
    }
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET, OPTIONS");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    let names = HeaderValue::from_static("authorization, content-type");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
    response
}

/// Leads to the notebook, so that its token is on no command line.
fn through_the_door(shared: &Shared, ticket: &str, port: u16) -> Response<String> {
    let target = shared.redeem(ticket, port);
    let location = target.and_then(|target| HeaderValue::from_str(target.as_str()).ok());
    let Some(location) = location else {
        return refuse((
            StatusCode::GONE,
            "this page was used already: ask for the connection again",
        ));
    };
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, no_store);
    let no_referrer = HeaderValue::from_static("no-referrer");
    headers.insert(header::REFERRER_POLICY, no_referrer);
    response
}

fn refuse((status, why): Refusal) -> Response<String> {
    let mut response = Response::new(format!("smart-colab: {why}\n"));
    *response.status_mut() = status;
    response
}
