//! Response bodies: read whole, decompressed, and no longer than their route can need.

use bytes::{Bytes, BytesMut};
use reqwest::Response;

use crate::base::advice::Step;
use crate::runtime::error::{RuntimeError, RuntimeResult};

const MIB: usize = 1024 * 1024;

/// Responses whose size does not depend on the user's code, and every refusal.
pub(super) const MAX_FACTS_BYTES: usize = MIB;
/// Lists, and text of at most 4 MiB: JSON may take six bytes for one.
pub(super) const MAX_LIST_BYTES: usize = 64 * MIB;
/// A page has at least one event, and nothing bounds an exception's message.
pub(super) const MAX_EVENTS_BYTES: usize = 128 * MIB;
/// A picture, a page, or another output that came as one.
pub(super) const MAX_BLOB_BYTES: usize = 256 * MIB;

/// Reads a response of at most `limit` bytes, counted after decompression.
pub(super) async fn collect(
    mut response: Response,
    limit: usize,
    address: &str,
    count: impl Fn(usize),
) -> RuntimeResult<Bytes> {
    let mut body = BytesMut::new();
    let announced = response.content_length().unwrap_or(0);
    if announced > limit as u64 {
        return Err(too_long(address, limit));
    }
    while let Some(piece) = (response.chunk().await).map_err(|source| failed(address, source))? {
        count(piece.len());
        if body.len() + piece.len() > limit {
            return Err(too_long(address, limit));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

fn too_long(address: &str, limit: usize) -> RuntimeError {
    let detail = format!(
        "its response is longer than the {} MiB that this request can need",
        limit / MIB
    );
    RuntimeError::incompatible(address, &detail)
}

/// The error for a response that is missing or incomplete.
pub(super) fn failed(address: &str, source: reqwest::Error) -> RuntimeError {
    let url = address.to_owned();
    if source.is_connect() {
        let source = source.into();
        let remedy = Step::CheckExecutor;
        RuntimeError::Unreachable {
            url,
            source,
            remedy,
        }
    } else if source.is_timeout() {
        RuntimeError::TimedOut { url }
    } else {
        let source = source.into();
        let remedy = Step::CheckExecutor;
        RuntimeError::Broken {
            url,
            source,
            remedy,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use url::Url;

    use super::MAX_FACTS_BYTES;
    use crate::base::fault::Fault as _;
    use crate::base::secret::Secret;
    use crate::edge::settings::{Endpoint, Kind};
    use crate::runtime::executor::Executor;
    use crate::runtime::{Machine, RuntimeError};
    use crate::wire::machine::Health;

    /// Requests `/health` from a server that sends this response.
    async fn health(head: &str, body: &[u8]) -> Result<Health, RuntimeError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint {
            kind: Kind::Executor,
            url: Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap(),
            token: Secret::new("token"),
        };
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            let head =
                format!("HTTP/1.1 {head}\r\nX-Smart-Colab-Api: 2\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            // A client that has read enough hangs up.
            let _ = stream.write_all(body).await;
            let _ = stream.shutdown().await;
        };
        let executor = Executor::new(&endpoint).unwrap();
        tokio::join!(executor.health(), serving).0
    }

    /// A valid response of this length.
    fn answer(length: usize) -> Vec<u8> {
        let mut body =
            br#"{"status":"ok","uptime_minutes":1,"version":"1","memory_available_gb":1,"memory_used_pct":1}"#.to_vec();
        body.resize(length, b' ');
        body
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packing = GzEncoder::new(Vec::new(), Compression::best());
        packing.write_all(bytes).unwrap();
        packing.finish().unwrap()
    }

    #[tokio::test]
    async fn a_response_is_read_up_to_the_limit_of_its_route() {
        let fits = answer(MAX_FACTS_BYTES);
        let gzip = "200 OK\r\nContent-Encoding: gzip";
        health("200 OK", &fits).await.unwrap();
        health(gzip, &packed(&fits)).await.unwrap();

        let longer = answer(MAX_FACTS_BYTES + 1);
        let (bomb, endless) = (packed(&longer), "200 OK\r\nContent-Length: 1000000000000");
        assert!(bomb.len() < 10_000, "{}", bomb.len());
        for (head, body) in [
            ("200 OK", &*longer),
            (gzip, &bomb),
            (endless, b"{"),
            ("400 Bad Request", &longer),
            ("500 Oh\r\nContent-Encoding: gzip", &bomb),
        ] {
            let error = health(head, body).await.unwrap_err();
            assert_eq!(error.code(), "incompatible_executor", "{head}: {error:?}");
            assert!(
                error.to_string().contains("longer than the 1 MiB"),
                "{error}"
            );
            assert!(!error.is_transient());
        }
    }

    #[tokio::test]
    async fn the_sentences_of_a_refusal_are_bounded() {
        let long = "é".repeat(100_000);
        let body = format!(r#"{{"status":400,"code":"{long}","detail":"{long}","hint":"{long}"}}"#);
        let error = health("400 Bad Request", body.as_bytes())
            .await
            .unwrap_err();
        let hint = error.remedy().worded(|_| "".into());
        for (text, limit) in [
            (error.code(), 100),
            (&error.to_string(), 2000),
            (&hint, 2000),
        ] {
            assert_eq!(text.chars().count(), limit + 1);
            assert!(text.ends_with("é…"), "{text}");
        }
    }
}
