//! The layers below HTTP: a name, and a port.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use url::{Host, Url};

use super::check::{Chain, Check, Reason};
use crate::base::advice::{Advice, Step};
use crate::edge::settings::{Endpoint, Kind};

/// For a name, and for a connection.
const TIMEOUT: Duration = Duration::from_secs(5);

/// `dns` and `tcp`. Returns whether a connection was made from here, without the proxy that this variable names.
pub(super) async fn layers(
    chain: &mut Chain,
    endpoint: &Endpoint,
    proxy: Option<&'static str>,
) -> Result<bool, Reason> {
    let url = &endpoint.url;
    let host = url.host_str().unwrap_or_default();
    let by_proxy = |chain: &mut Chain, names: &[&str], proxy| {
        for name in names {
            let why = format!("not from here: the proxy in {proxy} does it");
            chain.add(Check::skipped(name, why));
        }
    };
    let addresses = match (resolve(url).await, proxy) {
        (Ok(addresses), _) => addresses,
        (Err(_), Some(proxy)) => {
            by_proxy(chain, &["dns", "tcp"], proxy);
            return Ok(false);
        }
        (Err(error), None) => {
            let seen = format!("the name {host} is not known ({error})");
            let remedy = Advice::from(
                "Look whether this computer is online. If it is, the name is misspelt, or its tunnel has ended. ",
            ) + restart(endpoint);
            return Err(chain.fail("dns", seen, remedy));
        }
    };
    chain.add(match url.domain() {
        Some(name) => Check::ok("dns", format!("{name} is {}", ips(&addresses))),
        None => Check::skipped("dns", "the address has no name in it"),
    });
    match (connect(&addresses).await, proxy) {
        (Ok(address), _) => chain.ok("tcp", format!("{address} accepts connections")),
        (Err(_), Some(proxy)) => {
            by_proxy(chain, &["tcp"], proxy);
            return Ok(false);
        }
        (Err(error), None) => {
            let port = url.port_or_known_default().unwrap_or_default();
            let seen = format!("no connection to port {port} of {host} ({error})");
            let is_lost = error.kind() == io::ErrorKind::TimedOut;
            let why = match is_lost {
                true => "A firewall or a VPN may be in between, or the machine is off. ",
                false => "Nothing listens there. ",
            };
            return Err(chain.fail("tcp", seen, Advice::from(why) + check(endpoint)));
        }
    }
    Ok(true)
}

/// Whether something listens at an address.
pub(super) async fn is_open(url: &Url) -> bool {
    match resolve(url).await {
        Ok(addresses) => connect(&addresses).await.is_ok(),
        Err(_) => false,
    }
}

fn restart(endpoint: &Endpoint) -> Step {
    match endpoint.kind {
        Kind::Executor => Step::RestartExecutor,
        Kind::Jupyter | Kind::Machine => Step::CheckJupyter,
    }
}

fn check(endpoint: &Endpoint) -> Step {
    match endpoint.kind {
        Kind::Executor => Step::CheckExecutor,
        Kind::Jupyter | Kind::Machine => Step::CheckJupyter,
    }
}

fn ips(addresses: &[SocketAddr]) -> String {
    let ips = addresses.iter().map(|address| address.ip().to_string());
    ips.collect::<Vec<_>>().join(", ")
}

async fn resolve(url: &Url) -> io::Result<Vec<SocketAddr>> {
    let port = url.port_or_known_default().unwrap_or_default();
    let name = match url.host() {
        Some(Host::Domain(name)) => name,
        Some(Host::Ipv4(ip)) => return Ok(vec![(ip, port).into()]),
        Some(Host::Ipv6(ip)) => return Ok(vec![(ip, port).into()]),
        None => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let found = timeout(TIMEOUT, lookup_host((name, port)));
    let found: Vec<_> = found.await.map_err(|_| late())??.collect();
    match found.is_empty() {
        true => Err(io::ErrorKind::NotFound.into()),
        false => Ok(found),
    }
}

/// Returns the first address that accepts a connection.
async fn connect(addresses: &[SocketAddr]) -> io::Result<SocketAddr> {
    let stream = timeout(TIMEOUT, TcpStream::connect(addresses));
    stream.await.map_err(|_| late())??.peer_addr()
}

fn late() -> io::Error {
    let text = format!("no answer within {} s", TIMEOUT.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, text)
}
