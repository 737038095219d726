//! A long link between a bridge and an executor, as through a tunnel: it has latency and capped bandwidth, and
//! TLS ends at its far end.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional, duplex, split,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::support::executor::TOKEN;

const PIECE: usize = 16 * 1024;
/// Pieces in flight in one direction of a connection.
const MAX_IN_FLIGHT: usize = 256;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    /// Time to the other end and back.
    pub round_trip: Duration,
    /// Bytes per second of one connection, in each direction.
    pub each: Option<f64>,
    /// Bytes per second of all connections together.
    pub all: Option<f64>,
}

impl Way {
    pub(crate) const FAR: Self = Self {
        round_trip: Duration::from_millis(80),
        each: None,
        all: None,
    };
}

/// Open until it is dropped.
pub(crate) struct Link {
    pub address: SocketAddr,
    /// The certificate, with TLS.
    certificate: Option<(TempDir, PathBuf)>,
    _runtime: Runtime,
}

/// Until when each direction is busy, shared by a link's connections.
type Taken = Arc<[Mutex<Option<Instant>>; 2]>;

impl Link {
    pub(crate) fn to(target: SocketAddr, way: Way) -> Self {
        Self::open(target, way, None, None)
    }

    pub(crate) fn tls_to(target: SocketAddr, way: Way) -> Self {
        let names = vec![Ipv4Addr::LOCALHOST.to_string()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("certificate.pem");
        std::fs::write(&path, cert.pem()).unwrap();
        let key = signing_key.serialize_der().try_into().unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::open(target, way, Some(acceptor), Some((folder, path)))
    }

    fn open(
        target: SocketAddr,
        way: Way,
        tls: Option<TlsAcceptor>,
        certificate: Option<(TempDir, PathBuf)>,
    ) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Taken::default();
        runtime.spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                tokio::spawn(carry(near, target, way, tls.clone(), taken.clone()));
            }
        });
        Self {
            address,
            certificate,
            _runtime: runtime,
        }
    }

    pub(crate) fn url(&self) -> String {
        let scheme = self.certificate.as_ref().map_or("http", |_| "https");
        format!("{scheme}://{}", self.address)
    }

    /// Returns the value for `COLAB_URL`.
    pub(crate) fn line(&self) -> String {
        format!("{}#{TOKEN}", self.url())
    }

    /// Returns the certificate's path, for `SSL_CERT_FILE`.
    pub(crate) fn certificate(&self) -> &Path {
        &self.certificate.as_ref().expect("a link with TLS").1
    }
}

async fn carry(
    mut near: TcpStream,
    target: SocketAddr,
    way: Way,
    tls: Option<TlsAcceptor>,
    taken: Taken,
) -> io::Result<()> {
    near.set_nodelay(true)?;
    // The time of a TCP handshake.
    sleep(way.round_trip).await;
    let (link, mut end) = duplex(PIECE * MAX_IN_FLIGHT);
    let delayed = async {
        let (from_near, to_near) = near.split();
        let (from_end, to_end) = split(link);
        tokio::select! {
            ended = pump(from_near, to_end, way, &taken[0]) => ended,
            ended = pump(from_end, to_near, way, &taken[1]) => ended,
        }
    };
    let arriving = async {
        let mut far = TcpStream::connect(target).await?;
        far.set_nodelay(true)?;
        match tls {
            Some(tls) => copy_bidirectional(&mut tls.accept(end).await?, &mut far).await,
            None => copy_bidirectional(&mut end, &mut far).await,
        }
    };
    tokio::try_join!(delayed, arriving).map(drop)
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: Way,
    taken: &Mutex<Option<Instant>>,
) -> io::Result<()> {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(MAX_IN_FLIGHT);
    let taking = async {
        let mut free = Instant::now();
        loop {
            let mut piece = vec![0; PIECE];
            let length = from.read(&mut piece).await?;
            if length == 0 {
                drop(sender);
                return Ok::<_, io::Error>(());
            }
            piece.truncate(length);
            let now = Instant::now();
            if let Some(each) = way.each {
                free = free.max(now) + Duration::from_secs_f64(length as f64 / each);
            }
            if let Some(all) = way.all {
                let mut taken = taken.lock().unwrap();
                let until = taken.map_or(now, |until| until.max(now));
                *taken = Some(until + Duration::from_secs_f64(length as f64 / all));
                free = free.max(until);
            }
            let due = free.max(now) + way.round_trip / 2;
            if sender.send((due, piece)).await.is_err() {
                return Ok(());
            }
        }
    };
    let giving = async {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            to.write_all(&piece).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(taking, giving).map(drop)
}
