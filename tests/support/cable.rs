//! A TCP link between a bridge and an executor that breaks at any byte, in either direction.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::port;

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ToExecutor,
    ToBridge,
}

/// A connection's fault at one byte.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Break {
    /// Both ends see the connection closed.
    Cut,
    /// Both ends see a reset, as from a router that dropped the connection.
    Reset,
    /// The bytes wait.
    Delay(Duration),
    /// Nothing more arrives in this direction; the connection stays open.
    Swallow,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Breaks the connection that carries the byte at this offset from now, in this direction.
    At(Way, u64, Break),
    /// Ends all connections and refuses new ones for this time.
    Refuse(Duration),
    /// Accepts connections but moves no byte for this time.
    Silence(Duration),
}

struct Armed {
    /// `None` is either direction.
    way: Option<Way>,
    left: u64,
    what: Break,
}

struct State {
    target: SocketAddr,
    armed: Mutex<Option<Armed>>,
    /// Counts breaks so far.
    struck: watch::Sender<u64>,
    /// Bytes received from the executor.
    carried: watch::Sender<u64>,
    is_silent: watch::Sender<bool>,
}

/// Open until it is dropped.
pub(crate) struct Cable {
    address: SocketAddr,
    state: Arc<State>,
    serving: AbortHandle,
}

impl Cable {
    pub(crate) fn to(target: SocketAddr) -> Self {
        let socket = port::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = socket.local_addr().unwrap();
        let state = Arc::new(State {
            target,
            armed: Mutex::default(),
            struck: watch::Sender::new(0),
            carried: watch::Sender::new(0),
            is_silent: watch::Sender::new(false),
        });
        let serving = open(socket, &state);
        Self {
            address,
            state,
            serving,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Watches the bytes received from the executor.
    pub(crate) fn carried(&self) -> watch::Receiver<u64> {
        self.state.carried.subscribe()
    }

    /// Applies a fault and returns when it is over. A break that sees no traffic for `patience` strikes at the next byte in either direction.
    pub(crate) async fn strike(&mut self, fault: Fault, patience: Duration) {
        match fault {
            Fault::At(way, left, what) => {
                let mut struck = self.state.struck.subscribe();
                self.state.arm(Some(way), left, what);
                if timeout(patience, struck.changed()).await.is_err() {
                    self.state.strike_next_byte();
                    struck.changed().await.unwrap();
                }
            }
            Fault::Refuse(time) => {
                self.serving.abort();
                while !self.serving.is_finished() {
                    tokio::task::yield_now().await;
                }
                // Held, so that no other process gets the port.
                let socket = port::reserve(self.address).await;
                sleep(time).await;
                self.serving = open(socket, &self.state);
            }
            Fault::Silence(time) => {
                self.state.is_silent.send_replace(true);
                sleep(time).await;
                self.state.is_silent.send_replace(false);
            }
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn open(socket: TcpSocket, state: &Arc<State>) -> AbortHandle {
    let listener = socket.listen(128).unwrap();
    tokio::spawn(serve(listener, state.clone())).abort_handle()
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (bridge, _) = accepted.unwrap();
                connections.spawn(carry(bridge, state.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries bytes until either side ends or the connection breaks.
async fn carry(mut bridge: TcpStream, state: Arc<State>) -> io::Result<()> {
    let mut executor = TcpStream::connect(state.target).await?;
    bridge.set_nodelay(true)?;
    executor.set_nodelay(true)?;
    let (from_bridge, to_bridge) = bridge.split();
    let (from_executor, to_executor) = executor.split();
    let ended = tokio::select! {
        ended = pump(from_bridge, to_executor, Way::ToExecutor, &state) => ended,
        ended = pump(from_executor, to_bridge, Way::ToBridge, &state) => ended,
    };
    if matches!(&ended, Err(error) if error.kind() == io::ErrorKind::ConnectionReset) {
        bridge.set_zero_linger()?;
        executor.set_zero_linger()?;
    }
    ended
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: Way,
    state: &State,
) -> io::Result<()> {
    let mut silence = state.is_silent.subscribe();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let _ = silence.wait_for(|is_silent| !is_silent).await;
        if way == Way::ToBridge {
            state.carried.send_modify(|bytes| *bytes += length as u64);
        }
        let mut rest = &buffer[..length];
        while let Some((passing, what)) = state.take(way, rest.len()) {
            to.write_all(&rest[..passing]).await?;
            rest = &rest[passing..];
            match what {
                Break::Cut => return Ok(()),
                Break::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
                Break::Delay(time) => sleep(time).await,
                Break::Swallow => {
                    while from.read(&mut buffer).await? > 0 {}
                    return Ok(());
                }
            }
        }
        to.write_all(rest).await?;
    }
}

impl State {
    fn arm(&self, way: Option<Way>, left: u64, what: Break) {
        *self.armed.lock().unwrap() = Some(Armed { way, left, what });
    }

    /// Moves a pending break to the next byte.
    fn strike_next_byte(&self) {
        if let Some(armed) = self.armed.lock().unwrap().as_mut() {
            (armed.way, armed.left) = (None, 0);
        }
    }

    /// Takes the break due within the next `length` bytes, with its offset.
    fn take(&self, way: Way, length: usize) -> Option<(usize, Break)> {
        let mut armed = self.armed.lock().unwrap();
        let coming = armed
            .as_mut()
            .filter(|coming| coming.way.is_none_or(|its| its == way))?;
        let passing = usize::try_from(coming.left).unwrap();
        if passing >= length {
            coming.left -= length as u64;
            return None;
        }
        let what = coming.what;
        *armed = None;
        self.struck.send_modify(|count| *count += 1);
        Some((passing, what))
    }
}
