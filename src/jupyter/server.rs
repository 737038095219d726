//! A server: its REST API, and the WebSockets of its kernels.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Upgraded};
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use url::Url;
use uuid::Uuid;

use super::channel::Channel;
use super::error::JupyterError;
use super::trust::trust_certificates;
use crate::base::lock::Lock;
use crate::base::secret::Secret;
use crate::edge::settings::Endpoint;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// What does not stand for itself in a step of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');
/// A channel opens when the kernel answers.
const CHANNEL_TIMEOUT: Duration = Duration::from_secs(60);

/// A Jupyter Server or a Kernel Gateway. Makes a connection for each request, and keeps idle ones.
#[derive(Debug)]
pub struct Server {
    client: Client,
    base: Url,
    access: Access,
    /// The notebooks whose rooms were joined.
    pub(super) joined: Lock<HashSet<String>>,
}

/// What lets a request in.
#[derive(Debug)]
struct Access {
    header: HeaderName,
    /// None where nothing is asked for.
    value: Lock<Option<HeaderValue>>,
}

impl Server {
    /// Makes no connection yet. An empty token is not sent.
    ///
    /// # Errors
    /// If TLS cannot be set up on this system, or the token cannot stand in a header.
    pub fn new(endpoint: &Endpoint) -> Result<Self, JupyterError> {
        let token = endpoint.token.expose();
        // `Bearer` is refused by a Kernel Gateway.
        let token = Some(format!("token {token}")).filter(|_| !token.is_empty());
        let access = Access::new(header::AUTHORIZATION, token)?;
        Self::with(endpoint.url.clone(), endpoint.is_loopback(), access)
    }

    /// The server of a machine of Colab, behind Colab's proxy, which lets in who has the proxy's token. Makes no connection yet.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn behind_proxy(url: Url, token: &Secret) -> Result<Self, JupyterError> {
        let is_loopback = url.host_str() == Some("127.0.0.1");
        let header = HeaderName::from_static("x-colab-runtime-proxy-token");
        let access = Access::new(header, Some(token.expose().to_owned()))?;
        Self::with(url, is_loopback, access)
    }

    /// Replaces the proxy's token, for requests from now on.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn renew(&self, token: &Secret) -> Result<(), JupyterError> {
        let value = sensitive(token.expose())?;
        *self.access.value.lock() = Some(value);
        Ok(())
    }

    fn with(base: Url, is_loopback: bool, access: Access) -> Result<Self, JupyterError> {
        // Only the first call of a process has an effect.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("smart-colab/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            // A WebSocket begins as HTTP/1.1.
            .http1_only()
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback {
            builder = builder.no_proxy();
        }
        builder = match base.scheme() {
            "https" => trust_certificates(builder)?,
            // The system's authorities are not read for nothing: it takes milliseconds, and a megabyte.
            _ => builder.tls_certs_only([]),
        };
        let client = builder.build().map_err(JupyterError::from_request)?;
        Ok(Self {
            client,
            base,
            access,
            joined: Lock::default(),
        })
    }

    /// Finds out what answers.
    ///
    /// # Errors
    /// The error of whatever answers.
    pub async fn probe(&self) -> Result<(), JupyterError> {
        let stranger = |detail: &str| Err(JupyterError::Stranger(detail.to_owned()));
        match self.get(&["api"]).await {
            Ok(version) if version.get("version").is_some() => Ok(()),
            Ok(_) => stranger("it did not identify itself"),
            Err(JupyterError::NotFound) => stranger("it has no /api below that address"),
            Err(error) => Err(error),
        }
    }

    /// Opens a channel to a kernel. `session` is unique among the live clients of the kernel and stays the same when one comes back; `pulse` is a
    /// control request without content that the kernel answers at once.
    ///
    /// # Errors
    /// [`JupyterError::NotFound`]; the error of whatever answers.
    pub async fn open(
        &self,
        kernel: &str,
        session: &str,
        pulse: &'static str,
    ) -> Result<Channel, JupyterError> {
        let route = ["api", "kernels", kernel, "channels"];
        let stream = self.socket(&route, &[("session_id", session)]).await?;
        Ok(Channel::over(stream, session.to_owned(), pulse).await)
    }

    /// Opens a WebSocket.
    pub(super) async fn socket(
        &self,
        route: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Upgraded, JupyterError> {
        let key = BASE64_STANDARD.encode(Uuid::now_v7().as_bytes());
        let call = self
            .request(Method::GET, route)
            .query(query)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, &key);
        let opening = async {
            let response = call.send().await.map_err(JupyterError::from_request)?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                let response = accepted(Ok(response)).await?;
                let detail = format!("{} for a WebSocket", response.status());
                return Err(JupyterError::Refused(detail));
            }
            let accept = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
            if accept.is_none_or(|accept| accept != &derive_accept_key(key.as_bytes())) {
                let detail = "it answered for another WebSocket".to_owned();
                return Err(JupyterError::Stranger(detail));
            }
            response.upgrade().await.map_err(JupyterError::from_request)
        };
        let stream = timeout(CHANNEL_TIMEOUT, opening).await;
        stream.unwrap_or(Err(JupyterError::TimedOut))
    }

    /// A request for the path of these segments below the server's own.
    pub(super) fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        let mut path = url.path().trim_end_matches('/').to_owned();
        // Those would lead out of the API.
        for segment in segments.iter().filter(|step| !matches!(**step, "." | "..")) {
            path.push('/');
            // What is parsed as a URL loses its tabs and line ends.
            path.extend(utf8_percent_encode(segment, SEGMENT));
        }
        url.set_path(&path);
        let call = self.client.request(method, url);
        match &*self.access.value.lock() {
            Some(value) => call.header(&self.access.header, value),
            None => call,
        }
    }

    pub(super) async fn get(&self, segments: &[&str]) -> Result<Value, JupyterError> {
        let call = self.request(Method::GET, segments).timeout(ANSWER_TIMEOUT);
        json_of(accepted(call.send().await).await?).await
    }
}

impl Access {
    fn new(header: HeaderName, value: Option<String>) -> Result<Self, JupyterError> {
        let value = value.as_deref().map(sensitive).transpose()?;
        Ok(Self {
            header,
            value: Lock::new(value),
        })
    }
}

fn sensitive(text: &str) -> Result<HeaderValue, JupyterError> {
    let value = HeaderValue::from_str(text);
    let mut value = value.map_err(|_| JupyterError::Unauthorized)?;
    value.set_sensitive(true);
    Ok(value)
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        HeaderName::from_static("ngrok-skip-browser-warning"),
        HeaderValue::from_static("1"),
    );
    // A server without a token asks for this proof that no other site's page sent the request: a header that repeats a cookie.
    headers.insert(
        HeaderName::from_static("x-xsrftoken"),
        HeaderValue::from_static("smart-colab"),
    );
    headers.insert(
        header::COOKIE,
        HeaderValue::from_static("_xsrf=smart-colab"),
    );
    headers
}

/// Returns successes; everything else becomes an error.
pub(super) async fn accepted(
    answer: Result<Response, reqwest::Error>,
) -> Result<Response, JupyterError> {
    let response = answer.map_err(JupyterError::from_request)?;
    let (status, headers) = (response.status(), response.headers());
    let is_page = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/html"));
    let is_hub = headers.contains_key("x-jupyterhub-version");
    Err(match status.as_u16() {
        200..300 if is_page => JupyterError::Stranger("it serves a web page".to_owned()),
        200..300 => return Ok(response),
        101 => return Ok(response),
        300..=399 => JupyterError::Stranger(
            "it redirects to another address, such as a sign-in page".to_owned(),
        ),
        401 | 403 => JupyterError::Unauthorized,
        424 => JupyterError::Stopped(424),
        503 if is_hub => JupyterError::Stopped(503),
        404 => JupyterError::NotFound,
        502..=504 | 520..=530 => {
            JupyterError::Unreachable(format!("a gateway in front of it answers {status}"))
        }
        _ => JupyterError::Refused(refusal(status, response).await),
    })
}

/// The server's own words, if it has some.
async fn refusal(status: StatusCode, response: Response) -> String {
    let body = response.json::<Value>().await.unwrap_or_default();
    let text = body["message"].as_str().unwrap_or_default();
    let text: String = text.chars().take(500).collect();
    format!("{status} {text}").trim_end().to_owned()
}

pub(super) async fn json_of(response: Response) -> Result<Value, JupyterError> {
    let bytes = response.bytes().await.map_err(JupyterError::from_request)?;
    let stranger = |_| JupyterError::Stranger("its answer is not JSON".to_owned());
    serde_json::from_slice(&bytes).map_err(stranger)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use url::Url;

    use super::Server;
    use crate::base::secret::Secret;
    use crate::edge::settings::{Endpoint, Kind};
    use crate::jupyter::JupyterError;

    /// Asks a server that answers everything like this which kernel it has, and what it is.
    async fn ask(answer: &str) -> (Result<(), JupyterError>, Result<String, JupyterError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint {
            kind: Kind::Jupyter,
            url: Url::parse(&format!("http://{}/x", listener.local_addr().unwrap())).unwrap(),
            token: Secret::new("token"),
        };
        let server = Server::new(&endpoint).unwrap();
        let answering = async {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await.unwrap();
                let reply = format!("HTTP/1.1 {answer}");
                let (head, body) = reply.split_once("\r\n\r\n").unwrap();
                let length = body.len();
                let reply = format!(
                    "{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(reply.as_bytes()).await;
            }
        };
        tokio::select! {
            () = answering => unreachable!(),
            found = async { (server.probe().await, server.python_kernel().await) } => found,
        }
    }

    #[tokio::test]
    async fn what_answers_in_place_of_a_server_is_named() {
        for (answer, words) in [
            (
                "200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html>",
                "is not a Jupyter Server: it serves a web page",
            ),
            ("302 Found\r\nLocation: /hub/login\r\n\r\n", "sign-in page"),
            (
                "503 Unavailable\r\nX-JupyterHub-Version: 5.2\r\n\r\n",
                "is stopped: its JupyterHub answers 503",
            ),
            (
                "424 Failed\r\n\r\n",
                "is stopped: its JupyterHub answers 424",
            ),
            ("503 Unavailable\r\n\r\n", "cannot be reached"),
            ("403 Forbidden\r\n\r\n", "refused the token"),
            ("200 OK\r\n\r\n[1]", "did not identify itself"),
            ("200 OK\r\n\r\n<?xml", "its answer is not JSON"),
            (
                "500 Oh\r\n\r\n{\"message\": \"no disk\"}",
                "answered 500 Internal Server Error no disk",
            ),
        ] {
            let error = ask(answer).await.0.unwrap_err();
            assert!(error.to_string().contains(words), "{answer}: {error}");
        }
    }

    #[tokio::test]
    async fn a_server_without_tls_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint {
            kind: Kind::Jupyter,
            url: Url::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap(),
            token: Secret::new("token"),
        };
        let server = Server::new(&endpoint).unwrap();
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            std::future::pending().await
        };
        let error = tokio::select! {
            () = answering => unreachable!(),
            found = server.probe() => found.unwrap_err(),
        };
        assert!(error.to_string().contains("http://"), "{error}");
    }

    #[tokio::test]
    async fn python_is_run_by_the_default_kernel_or_the_first_that_can() {
        let specs = |default: &str, kernels: &str| {
            format!("200 OK\r\n\r\n{{\"default\": \"{default}\", \"kernelspecs\": {{{kernels}}}}}")
        };
        let kernel = |name: &str, language: &str| {
            format!("\"{name}\": {{\"spec\": {{\"language\": \"{language}\"}}}}")
        };
        let both = [
            kernel("ir", "R"),
            kernel("py", "python"),
            kernel("q", "Python"),
        ]
        .join(",");
        for (default, kernels, found) in [
            ("q", &*both, Ok("q")),
            ("ir", &both, Ok("py")),
            ("ir", &kernel("ir", "R"), Err("none for Python, only ir")),
            ("", "", Err("is empty")),
        ] {
            let chosen = ask(&specs(default, kernels)).await.1;
            match (chosen, found) {
                (Ok(chosen), Ok(name)) => assert_eq!(chosen, name),
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
                (chosen, found) => panic!("{chosen:?} in place of {found:?}"),
            }
        }
    }
}
