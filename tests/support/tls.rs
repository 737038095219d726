//! TLS in front of a server, with a certificate as `openssl req -x509` makes it: signed by itself, and an authority.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// Open until it is dropped.
pub(crate) struct Tls {
    pub(crate) address: SocketAddr,
    folder: TempDir,
    _runtime: Runtime,
}

impl Tls {
    pub(crate) fn to(target: SocketAddr) -> Self {
        let mut asked = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        asked.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = asked.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("own.pem"), certificate.pem()).unwrap();
        let key = key.serialize_der().try_into().unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(mut near) = acceptor.accept(near).await
                        && let Ok(mut far) = TcpStream::connect(target).await
                    {
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Self {
            address,
            folder,
            _runtime: runtime,
        }
    }

    /// The certificate, for `SSL_CERT_FILE`.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("own.pem")
    }
}
