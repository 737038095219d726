//! A long way between a bridge and an executor: everything takes its time, and a connection carries only so much.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Pieces under way in one direction of a connection, of at most 16 KiB.
const UNDER_WAY: usize = 256;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    /// From one end to the other and back.
    pub round_trip: Duration,
    /// Bytes a second of one connection, each way.
    pub each: Option<f64>,
}

/// Open until it is dropped.
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    _runtime: Runtime,
}

impl Link {
    pub(crate) fn to(target: SocketAddr, way: Way) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                tokio::spawn(carry(near, target, way));
            }
        });
        Self {
            address,
            _runtime: runtime,
        }
    }
}

async fn carry(mut near: TcpStream, target: SocketAddr, way: Way) -> io::Result<()> {
    near.set_nodelay(true)?;
    // As long as shaking hands takes.
    tokio::time::sleep(way.round_trip).await;
    let mut far = TcpStream::connect(target).await?;
    far.set_nodelay(true)?;
    let (from_near, to_near) = near.split();
    let (from_far, to_far) = far.split();
    tokio::select! {
        ended = pump(from_near, to_far, way) => ended,
        ended = pump(from_far, to_near, way) => ended,
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: Way,
) -> io::Result<()> {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let taking = async {
        let mut free = Instant::now();
        loop {
            let mut piece = vec![0; 16 * 1024];
            let length = from.read(&mut piece).await?;
            if length == 0 {
                drop(sender);
                return Ok::<_, io::Error>(());
            }
            piece.truncate(length);
            free = free.max(Instant::now());
            if let Some(each) = way.each {
                free += Duration::from_secs_f64(length as f64 / each);
            }
            if sender
                .send((free + way.round_trip / 2, piece))
                .await
                .is_err()
            {
                return Ok(());
            }
        }
    };
    let giving = async {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            to.write_all(&piece).await?;
        }
        Ok::<_, io::Error>(())
    };
    tokio::try_join!(taking, giving).map(drop)
}
