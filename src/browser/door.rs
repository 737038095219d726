//! The listeners: one port of this computer, for both families of addresses, since a browser may try either.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::{Shared, request};

/// Tries to find a port that is free for both families.
const MAX_TRIES: u32 = 5;
/// Connections at a time.
const MAX_CONNECTIONS: usize = 64;
/// For a request to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// After a connection could not be accepted: there may be no room for more of them.
const ACCEPT_DELAY: Duration = Duration::from_millis(100);

/// Listens on `port`, or on any for 0, and serves until the end of the process. Returns the port.
///
/// # Errors
/// When the port is taken, or listening is not possible.
pub(super) async fn open(port: u16, shared: Arc<Shared>) -> io::Result<u16> {
    let listeners = listeners(port).await?;
    let port = listeners[0].local_addr()?.port();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    for listener in listeners {
        tokio::spawn(accept(listener, port, shared.clone(), room.clone()));
    }
    Ok(port)
}

/// At least one: without IPv6 the other family is enough.
async fn listeners(port: u16) -> io::Result<Vec<TcpListener>> {
    let mut tries = if port == 0 { MAX_TRIES } else { 1 };
    loop {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let chosen = first.local_addr()?.port();
        match TcpListener::bind((Ipv6Addr::LOCALHOST, chosen)).await {
            Ok(second) => return Ok(vec![first, second]),
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => return Ok(vec![first]),
            Err(error) => tries = tries.checked_sub(1).filter(|left| *left > 0).ok_or(error)?,
        }
    }
}

async fn accept(listener: TcpListener, port: u16, shared: Arc<Shared>, room: Arc<Semaphore>) {
    loop {
        // It is never closed.
        let Ok(place) = room.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                // Its messages are small, and waited for.
                let _ = stream.set_nodelay(true);
                let shared = shared.clone();
                tokio::spawn(async move {
                    serve(stream, port, shared).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a browser's connection could not be accepted");
                sleep(ACCEPT_DELAY).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, port: u16, shared: Arc<Shared>) {
    let has_asked = AtomicBool::new(false);
    let service = service_fn(|asked| {
        has_asked.store(true, Ordering::Relaxed);
        request::answer(asked, port, shared.clone())
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    let serving = http
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = serving.await {
        tracing::debug!(%error, "a connection to the port for tabs broke");
    }
    if !has_asked.load(Ordering::Relaxed) {
        shared.has_been_silent.store(true, Ordering::Relaxed);
    }
}
