//! An HTTP/1.1 proxy between bridge and executor that fails on demand, with keep-alive connections on both sides.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::port;
pub(crate) use super::strangers::Stranger;

/// The fault of one request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Closes the connection before the executor gets anything, as when an idle one was just being closed.
    Drop,
    /// The executor replies; the connection is closed instead.
    LoseReply,
    /// Sends only this share of the reply.
    CutReply(f64),
    /// Closes the connection; the request reaches the executor this much later.
    ArriveLate(Duration),
    /// Delays the reply.
    DelayReply(Duration),
    /// Does nothing and keeps the connection open.
    Silence,
    /// The executor replies; the reply is never delivered, and the connection stays open.
    SwallowReply,
    /// Another server answers; the executor gets nothing.
    Answer(Stranger),
    /// The executor replies; another server's reply is delivered instead.
    ReplaceReply(Stranger),
}

/// A request that passed the proxy.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// `PUT /jobs/…?wait=…`
    pub(crate) line: String,
    /// The head of the executor's reply, if there was one.
    pub(crate) reply: String,
}

struct Rule {
    pattern: &'static str,
    fault: Fault,
    times: usize,
}

#[derive(Default)]
struct State {
    upstream: Option<SocketAddr>,
    rules: Vec<Rule>,
    seen: Vec<Seen>,
}

/// The proxy, open until closed or dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Held while the proxy is closed, so that no other process gets the port.
    reserved: Option<TcpSocket>,
    serving: Option<AbortHandle>,
    cuts: watch::Sender<()>,
}

impl Proxy {
    pub(crate) fn to(upstream: SocketAddr) -> Self {
        let state = State {
            upstream: Some(upstream),
            ..State::default()
        };
        let reserved = port::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let mut proxy = Self {
            address: reserved.local_addr().unwrap(),
            state: Arc::new(Mutex::new(state)),
            reserved: Some(reserved),
            serving: None,
            cuts: watch::Sender::new(()),
        };
        proxy.open();
        proxy
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Applies `fault` to the next `times` requests whose `METHOD /path?query` contains `pattern`. Earlier rules take precedence.
    pub(crate) fn on(&self, pattern: &'static str, times: usize, fault: Fault) {
        self.state().rules.push(Rule {
            pattern,
            fault,
            times,
        });
    }

    /// Applies `fault` to every request from now on.
    pub(crate) fn always(&self, fault: Fault) {
        self.on("", usize::MAX, fault);
    }

    /// Removes all faults.
    pub(crate) fn heal(&self) {
        self.state().rules.clear();
    }

    /// Forwards to another executor from the next request on.
    pub(crate) fn lead_to(&self, upstream: SocketAddr) {
        self.state().upstream = Some(upstream);
    }

    /// Returns the requests so far whose line contains `pattern`.
    pub(crate) fn seen(&self, pattern: &str) -> Vec<Seen> {
        let state = self.state();
        let seen = state.seen.iter().filter(|seen| seen.line.contains(pattern));
        seen.cloned().collect()
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        self.cuts.send_replace(());
    }

    /// Cuts all connections and refuses new ones.
    pub(crate) async fn close(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            while !serving.is_finished() {
                tokio::task::yield_now().await;
            }
        }
        self.reserved = Some(port::reserve(self.address).await);
    }

    /// Accepts connections again.
    pub(crate) fn open(&mut self) {
        let listener = self.reserved.take().unwrap().listen(128).unwrap();
        let serving = tokio::spawn(serve(listener, self.state.clone(), self.cuts.subscribe()));
        self.serving = Some(serving.abort_handle());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>, mut cuts: watch::Receiver<()>) {
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (client, _) = accepted.unwrap();
                let _ = client.set_nodelay(true);
                // Broken connections are expected.
                connections.spawn(carry(client, state.clone()));
            }
            Some(_) = connections.join_next() => {}
            Ok(()) = cuts.changed() => connections.abort_all(),
        }
    }
}

async fn carry(mut client: TcpStream, state: Arc<Mutex<State>>) -> io::Result<()> {
    let mut upstream: Option<(SocketAddr, TcpStream)> = None;
    loop {
        let request = message(&mut client).await?;
        let (fault, at, target) = {
            let mut state = state.lock().unwrap();
            let line = request.start_line();
            let fault = state.fault(&line);
            let reply = String::new();
            state.seen.push(Seen { line, reply });
            (fault, state.seen.len() - 1, state.upstream.unwrap())
        };
        match &fault {
            Some(Fault::Drop) => return Ok(()),
            Some(Fault::Silence) => std::future::pending().await,
            Some(Fault::Answer(stranger)) => {
                client.write_all(&stranger.reply()).await?;
                continue;
            }
            Some(Fault::ArriveLate(time)) => {
                drop(client);
                sleep(*time).await;
                let mut server = TcpStream::connect(target).await?;
                server.write_all(&request.bytes).await?;
                return message(&mut server).await.map(drop);
            }
            _ => {}
        }
        let mut server = match upstream.take() {
            Some((address, server)) if address == target => server,
            _ => TcpStream::connect(target).await?,
        };
        server.set_nodelay(true)?;
        server.write_all(&request.bytes).await?;
        let reply = message(&mut server).await?;
        state.lock().unwrap().seen[at].reply = reply.head();
        let mut bytes = reply.bytes.as_slice();
        match fault {
            Some(Fault::LoseReply) => return Ok(()),
            Some(Fault::SwallowReply) => std::future::pending().await,
            Some(Fault::CutReply(share)) => bytes = &bytes[..part(bytes.len(), share)],
            Some(Fault::DelayReply(time)) => sleep(time).await,
            Some(Fault::ReplaceReply(stranger)) => {
                client.write_all(&stranger.reply()).await?;
                continue;
            }
            _ => {}
        }
        client.write_all(bytes).await?;
        if reply.is_upgrade() {
            copy_bidirectional(&mut client, &mut server).await?;
        }
        if bytes.len() < reply.bytes.len() || reply.is_last {
            return Ok(());
        }
        upstream = Some((target, server));
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]
fn part(length: usize, share: f64) -> usize {
    (length as f64 * share) as usize
}

impl State {
    fn fault(&mut self, line: &str) -> Option<Fault> {
        let rule = self
            .rules
            .iter_mut()
            .find(|rule| rule.times > 0 && line.contains(rule.pattern))?;
        rule.times -= 1;
        Some(rule.fault.clone())
    }
}

/// A whole request or reply.
struct Message {
    bytes: Vec<u8>,
    head: usize,
    /// The connection ends after this message.
    is_last: bool,
}

impl Message {
    fn head(&self) -> String {
        String::from_utf8_lossy(&self.bytes[..self.head]).into_owned()
    }

    /// Whether a WebSocket follows.
    fn is_upgrade(&self) -> bool {
        self.bytes.starts_with(b"HTTP/1.1 101")
    }

    /// `METHOD /path?query`
    fn start_line(&self) -> String {
        let head = self.head();
        let line = head.lines().next().unwrap_or_default();
        line.trim_end_matches(" HTTP/1.1").to_owned()
    }
}

/// Reads one message to its stated length or, for a reply without one, to the connection's end.
async fn message(stream: &mut TcpStream) -> io::Result<Message> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.map(|value| value.trim().to_owned())
    };
    let has_no_body = ["http/1.1 101", "http/1.1 204"]
        .iter()
        .any(|status| text.starts_with(status));
    let is_reply = text.starts_with("http/") && !has_no_body;
    let is_chunked = field("transfer-encoding:").is_some_and(|value| value == "chunked");
    let length = field("content-length:").map(|length| length.parse::<usize>().unwrap());
    let is_last = field("connection:").is_some_and(|value| value == "close");
    match length {
        _ if is_chunked => {
            while !ends(&bytes[head..]) {
                if stream.read_buf(&mut bytes).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        None if is_reply => {
            stream.read_to_end(&mut bytes).await?;
            let is_last = true;
            return Ok(Message {
                bytes,
                head,
                is_last,
            });
        }
        length => {
            let end = head + length.unwrap_or(0);
            while bytes.len() < end {
                if stream.read_buf(&mut bytes).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
    Ok(Message {
        bytes,
        head,
        is_last,
    })
}

/// Returns whether a chunked body is complete.
fn ends(body: &[u8]) -> bool {
    let mut rest = body;
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        match rest.get(end + 2 + size + 2..) {
            Some(_) if size == 0 => return true,
            Some(more) => rest = more,
            None => return false,
        }
    }
    false
}
