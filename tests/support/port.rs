//! Ports that are bound while nothing listens at them, so that they refuse connections and no other process gets them.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;
use tokio::time::sleep;

use super::stdio::PATIENCE;

pub(super) fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Binds the port of a closed listener. A process that another test starts shares that listener until its own program is loaded.
pub(super) async fn reserve(address: SocketAddr) -> TcpSocket {
    let end = Instant::now() + PATIENCE;
    loop {
        match bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < end => {
                sleep(Duration::from_millis(1)).await;
            }
            bound => return bound.unwrap(),
        }
    }
}
