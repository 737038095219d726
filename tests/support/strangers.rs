//! Servers that answer in the executor's place.

/// A server that answers in the executor's place.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stranger {
    /// ngrok without a connected agent.
    NgrokOffline,
    /// ngrok with the plan's requests used up.
    NgrokLimited,
    /// ngrok's warning page for browsers.
    NgrokInterstitial,
    /// Cloudflare with this status.
    Cloudflare(u16),
    /// ngrok with too many requests this minute.
    NgrokBusy,
    /// An executor with another API version.
    Executor(&'static str),
    /// An unrelated web service.
    Service,
    /// Status, header and body of an intermediary's page.
    Page(&'static str, &'static str, &'static str),
}

impl Stranger {
    pub(crate) fn reply(self) -> Vec<u8> {
        let (status, header, body) = match self {
            Self::NgrokOffline => (
                "404 Not Found".to_owned(),
                "Content-Type: text/html\r\nngrok-error-code: ERR_NGROK_3200",
                "<!DOCTYPE html><html><body>The endpoint is offline. ERR_NGROK_3200</body></html>",
            ),
            Self::NgrokLimited => (
                "429 Too Many Requests".to_owned(),
                "Content-Type: text/html\r\nngrok-error-code: ERR_NGROK_727",
                "<!DOCTYPE html><html><body>ERR_NGROK_727</body></html>",
            ),
            Self::NgrokBusy => (
                "429 Too Many Requests".to_owned(),
                "Content-Type: text/html\r\nngrok-error-code: ERR_NGROK_734\r\nRetry-After: 1",
                "<!DOCTYPE html><html><body>ERR_NGROK_734</body></html>",
            ),
            Self::Executor(version) => (
                format!("200 OK\r\nX-Smart-Colab-Api: {version}"),
                "Content-Type: application/json",
                r#"{"strange":true}"#,
            ),
            Self::NgrokInterstitial => (
                "200 OK".to_owned(),
                "Content-Type: text/html\r\nngrok-error-code: ERR_NGROK_6024",
                "<!DOCTYPE html><html><body>You are about to visit…</body></html>",
            ),
            Self::Cloudflare(status) => (
                format!("{status} Error"),
                "Content-Type: text/html\r\nServer: cloudflare",
                "<!DOCTYPE html><html><body>Error 1033: Cloudflare Tunnel error</body></html>",
            ),
            Self::Page(status, header, body) => (status.to_owned(), header, body),
            Self::Service => (
                "200 OK".to_owned(),
                "Content-Type: application/json",
                r#"{"status":"ok","job":null,"events":[],"next":0,"more":false}"#,
            ),
        };
        let length = body.len();
        format!("HTTP/1.1 {status}\r\n{header}\r\nContent-Length: {length}\r\n\r\n{body}").into()
    }
}
