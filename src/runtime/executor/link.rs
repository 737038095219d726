//! The transport to an executor: one pooled, kept-alive HTTP client for one address.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, Request, RequestBuilder, Response, header};
use url::Url;

use super::body;
use crate::edge::settings::Endpoint;
use crate::runtime::error::{RuntimeError, RuntimeResult};
use crate::wire::API_VERSION;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// A stream without a byte for so long is dead.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Knows the address and the token, but nothing of the requests.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    base: Url,
    address: String,
}

impl Link {
    pub(super) fn new(endpoint: &Endpoint) -> RuntimeResult<Self> {
        let address = endpoint.address();
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", endpoint.token.expose()))
            .map_err(|_| RuntimeError::Unauthorized {
                url: address.clone(),
            })?;
        bearer.set_sensitive(true);
        let headers = HeaderMap::from_iter([
            (header::AUTHORIZATION, bearer),
            // ngrok's free plan shows browsers a page of its own unless this is there.
            (
                header::HeaderName::from_static("ngrok-skip-browser-warning"),
                HeaderValue::from_static("1"),
            ),
            (
                header::HeaderName::from_static("x-smart-colab-api"),
                HeaderValue::from(API_VERSION),
            ),
        ]);
        // Only the first call of a process has an effect.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("smart-colab/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none());
        if endpoint.is_loopback() {
            builder = builder.no_proxy();
        }
        let client = builder
            .build()
            .map_err(|source| RuntimeError::Unreachable {
                url: address.clone(),
                source: source.into(),
            })?;
        Ok(Self {
            client,
            base: endpoint.url.clone(),
            address,
        })
    }

    /// The address for people to read: no token in it.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// A request for `route`, a path without its leading slash.
    pub(super) fn request(&self, method: Method, route: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/{route}",
            self.base.path().trim_end_matches('/')
        ));
        self.client.request(method, url)
    }

    /// Sends a request and returns the head of the response, whichever server sent it.
    pub(super) async fn send(&self, request: Request) -> RuntimeResult<Response> {
        let answer = self.client.execute(request).await;
        answer.map_err(|source| body::failed(&self.address, source))
    }
}
