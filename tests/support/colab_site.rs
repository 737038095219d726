//! Colab's site on this computer, with a page that behaves as its notebooks do.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::spawn;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

const PAGE: &str = include_str!("colab_page.html");

/// Serves the page at every address; returns the port. It listens until the end of the tests.
pub(crate) fn serve() -> u16 {
    let name = "colab.research.google.com".to_owned();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.into()], key)
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let config = config.clone();
            spawn(move || {
                let session = ServerConnection::new(config).unwrap();
                let mut stream = BufReader::new(StreamOwned::new(session, stream));
                let mut line = String::new();
                while stream.read_line(&mut line).unwrap_or(0) > 2 {
                    line.clear();
                }
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{PAGE}",
                    PAGE.len()
                );
                let stream = stream.get_mut();
                // A browser may have left.
                let _ = stream.write_all(answer.as_bytes());
                stream.conn.send_close_notify();
                let _ = stream.flush();
            });
        }
    });
    port
}
