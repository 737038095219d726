//! The transport to an executor: one pooled, kept-alive HTTP client for one address, or a carrier.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Body, Client, ClientBuilder, Method, Request, RequestBuilder, Response, header};
use url::Url;

use super::body;
use super::carrier::{self, Carrier};
use crate::base::advice::Step;
use crate::edge::settings::Endpoint;
use crate::runtime::error::{RuntimeError, RuntimeResult};
use crate::wire::API_VERSION;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// A stream without a byte for so long is dead.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Knows the address and the token, but nothing of the requests.
#[derive(Debug)]
pub(super) struct Link {
    /// Builds requests, and sends them unless there is a carrier.
    client: Client,
    carrier: Option<Arc<dyn Carrier>>,
    base: Url,
    address: String,
}

impl Link {
    pub(super) fn new(endpoint: &Endpoint) -> RuntimeResult<Self> {
        let address = endpoint.address();
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", endpoint.token.expose()))
            .map_err(|_| RuntimeError::Unauthorized {
                url: address.clone(),
                remedy: Step::RenewToken,
            })?;
        bearer.set_sensitive(true);
        let headers = HeaderMap::from_iter([
            (header::AUTHORIZATION, bearer),
            // ngrok's free plan shows browsers a page of its own unless this is there.
            (
                HeaderName::from_static("ngrok-skip-browser-warning"),
                HeaderValue::from_static("1"),
            ),
            version(),
        ]);
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none());
        if endpoint.is_loopback() {
            builder = builder.no_proxy();
        }
        Ok(Self {
            client: build(builder, &address)?,
            carrier: None,
            base: endpoint.url.clone(),
            address,
        })
    }

    pub(super) fn through(carrier: Arc<dyn Carrier>) -> RuntimeResult<Self> {
        let address = carrier.address().to_owned();
        // Only its path is carried.
        let base = Url::parse("http://executor/")
            .map_err(|error| RuntimeError::incompatible(&address, &error.to_string()))?;
        Ok(Self {
            // It only words requests.
            client: build(Client::builder().no_proxy().tls_certs_only([]), &address)?,
            carrier: Some(carrier),
            base,
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
        if let Some(carrier) = &self.carrier {
            let request = carried(request, &self.address).await?;
            let reply = carrier.carry(request).await?;
            return received(reply, &self.address);
        }
        let answer = self.client.execute(request).await;
        answer.map_err(|source| body::failed(&self.address, source))
    }
}

const USER_AGENT: &str = concat!("smart-colab/", env!("CARGO_PKG_VERSION"));

fn version() -> (HeaderName, HeaderValue) {
    let name = HeaderName::from_static("x-smart-colab-api");
    (name, HeaderValue::from(API_VERSION))
}

fn build(builder: ClientBuilder, address: &str) -> RuntimeResult<Client> {
    // Only the first call of a process has an effect.
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder.build().map_err(|source| RuntimeError::Unreachable {
        url: address.to_owned(),
        source: source.into(),
        remedy: Step::CheckExecutor,
    })
}

/// The request in a carrier's form, with the headers that a client adds when it sends one.
async fn carried(mut request: Request, address: &str) -> RuntimeResult<carrier::Request> {
    let body = match request.body_mut().take() {
        // A stream is carried as a whole.
        Some(body) => Some(
            Response::from(http::Response::new(body))
                .bytes()
                .await
                .map_err(|source| body::failed(address, source))?,
        ),
        None => None,
    };
    let mut headers = request.headers().clone();
    headers.extend([version()]);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    let headers = headers.iter().filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    });
    let url = request.url();
    let query = url.query().map(|query| format!("?{query}"));
    Ok(carrier::Request {
        method: request.method().as_str().to_owned(),
        target: format!("{}{}", url.path(), query.unwrap_or_default()),
        headers: headers.collect(),
        body,
        timeout: request.timeout().copied(),
    })
}

fn received(reply: carrier::Reply, address: &str) -> RuntimeResult<Response> {
    let mut response = http::Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    let response = response
        .body(Body::wrap_stream(reply.body))
        .map_err(|error| RuntimeError::incompatible(address, &error.to_string()))?;
    Ok(response.into())
}
