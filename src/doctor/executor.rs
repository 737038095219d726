//! What an executor answers: who is there, whether it takes the token, and how its machine is.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::check::{Chain, Check, Reason};
use super::way::bounded;
use crate::base::causes::sentence;
use crate::edge::settings::Endpoint;
use crate::machine::{Concern, concerns};
use crate::runtime::executor::Executor;
use crate::runtime::{Machine, RuntimeError, Sessions};
use crate::wire::machine::{Gpu, Probe};
use crate::wire::session::{Session, SessionState};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// HTTP's dates have whole seconds, and the answer takes its time.
const MAX_SKEW: SignedDuration = SignedDuration::from_secs(60);
/// Slower answers are felt in every call.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(2);

const UNTRUSTED: &str = "A proxy of the network may be in between. If the certificate is meant to be trusted, set SSL_CERT_FILE to its file (PEM), here and \
     in the client's config; if it is said to be out of date, look at this computer's clock.";
const PROXIED: &str = "Requests go through a proxy (HTTPS_PROXY or ALL_PROXY): look whether it works, and whether the address is right.";
const NO_TLS: &str = "Check the address: what listens there may speak http://, not https://.";

/// From `tls` on.
pub(super) async fn ask(
    chain: &mut Chain,
    endpoint: &Endpoint,
    is_direct: bool,
) -> Result<(), Reason> {
    let executor = Executor::new(endpoint).map_err(|error| chain.fault("tls", &error))?;
    let health = bounded(endpoint, executor.health()).await;
    let health = health.map_err(|error| refused(chain, endpoint, is_direct, &error))?;
    tls(chain, endpoint);
    let minutes = health.uptime_minutes;
    chain.ok(
        "http",
        format!("an executor answers, up for {minutes:.0} min"),
    );
    chain.ok(
        "version",
        match health.version == VERSION {
            true => format!("{VERSION}, as this program"),
            false => format!(
                "executor {}, this program {VERSION}: they understand each other",
                health.version
            ),
        },
    );
    time(chain, endpoint, &executor).await?;
    let sessions = bounded(endpoint, executor.sessions()).await;
    let sessions = sessions.map_err(|error| chain.fault("token", &error))?;
    chain.ok("token", "accepted");
    chain.add(kernels(&sessions));
    let probe = bounded(endpoint, executor.probe(&[])).await;
    let probe = probe.map_err(|error| chain.fault("memory", &error))?;
    machine(chain, &probe);
    Ok(())
}

/// A TLS connection was made, if there is to be one.
pub(super) fn tls(chain: &mut Chain, endpoint: &Endpoint) {
    chain.add(match endpoint.url.scheme() {
        "https" => Check::ok("tls", "the certificate is trusted"),
        _ => Check::skipped("tls", "http:// to this computer"),
    });
}

/// A TLS connection could not be made; `why` is the TLS library's.
pub(super) fn no_tls(chain: &mut Chain, why: &str) -> Reason {
    let is_untrusted = why.contains("peer certificate");
    chain.fail("tls", why, if is_untrusted { UNTRUSTED } else { NO_TLS })
}

/// Adds the layer that failed, and those below it.
fn refused(
    chain: &mut Chain,
    endpoint: &Endpoint,
    is_direct: bool,
    error: &RuntimeError,
) -> Reason {
    let is_https = endpoint.url.scheme() == "https";
    let is_unreachable = matches!(error, RuntimeError::Unreachable { .. });
    if is_unreachable && is_direct && is_https {
        return no_tls(chain, &sentence(error));
    }
    if is_unreachable && !is_direct {
        return chain.fail("http", sentence(error), PROXIED);
    }
    if !is_unreachable {
        tls(chain, endpoint);
    }
    let layer = if matches!(error, RuntimeError::Incompatible { .. }) {
        "version"
    } else if matches!(error, RuntimeError::Unauthorized { .. }) {
        "token"
    } else {
        "http"
    };
    if layer != "http" {
        chain.ok("http", "an executor answers");
    }
    chain.fault(layer, error)
}

/// `clock` and `round_trip`, by a request on an open connection.
async fn time(chain: &mut Chain, endpoint: &Endpoint, executor: &Executor) -> Result<(), Reason> {
    let started = Instant::now();
    let time = bounded(endpoint, executor.time()).await;
    let time = time.map_err(|error| chain.fault("round_trip", &error))?;
    let taken = started.elapsed();
    chain.add(match time {
        Some(there) => clock(Timestamp::now().duration_since(there)),
        None => Check::skipped("clock", "the response has no date"),
    });
    let seen = format!("{:.0} ms a request", taken.as_secs_f64() * 1e3);
    chain.add(match taken > MAX_ROUND_TRIP {
        true => Check::warning(
            "round_trip",
            seen,
            "The network or the tunnel is slow, or the machine overloaded: calls take that much longer.",
        ),
        false => Check::ok("round_trip", seen),
    });
    Ok(())
}

/// Of this computer, ahead of the other.
fn clock(ahead: SignedDuration) -> Check {
    if ahead.abs() <= MAX_SKEW {
        return Check::ok("clock", "agrees with the other side's");
    }
    let word = if ahead.is_positive() {
        "ahead of"
    } else {
        "behind"
    };
    Check::warning(
        "clock",
        format!(
            "this computer's is {:#} {word} the other side's",
            ahead.abs()
        ),
        "Have this computer set its clock by the network: with a wrong one, certificates and sign-ins are refused.",
    )
}

fn kernels(sessions: &[Session]) -> Check {
    let word = |session: &Session| {
        let state = match session.state {
            SessionState::Starting => "starting",
            SessionState::Idle => "idle",
            SessionState::Busy => "busy",
            SessionState::Dead => "without a kernel",
        };
        match session.queued_jobs {
            0 => format!("{} {state}", session.name),
            waiting => format!("{} {state}, {waiting} waiting", session.name),
        }
    };
    let shown: Vec<_> = sessions.iter().map(word).collect();
    let is_dead =
        |session: &Session| session.state == SessionState::Dead && session.queued_jobs > 0;
    let seen = match shown.is_empty() {
        true => "none yet: the first code starts one".to_owned(),
        false => shown.join("; "),
    };
    match sessions.iter().any(is_dead) {
        true => Check::warning(
            "kernel",
            seen,
            "Jobs wait for a kernel that does not start: look at the executor's log.",
        ),
        false => Check::ok("kernel", seen),
    }
}

/// `memory`, `disk` and `gpu`.
fn machine(chain: &mut Chain, probe: &Probe) {
    let concerns = concerns(probe);
    let is_any = |is_it: fn(&Concern) -> bool| concerns.iter().any(is_it);
    let state = |name, seen, is_short, remedy| match is_short {
        true => Check::warning(name, seen, remedy),
        false => Check::ok(name, seen),
    };
    let compute = &probe.compute;
    chain.add(state(
        "memory",
        format!(
            "{:.1} of {:.1} GB free",
            compute.memory_available_gb, compute.memory_total_gb
        ),
        is_any(|concern| matches!(concern, Concern::LittleMemory { .. })),
        "Delete large variables, restart sessions that are not needed, or take a machine with more memory.",
    ));
    let storage = probe.storage.iter().map(|disk| {
        let (free, total) = (disk.free_gb, disk.total_gb);
        format!("{free:.1} of {total:.1} GB free on {}", disk.path)
    });
    chain.add(state(
        "disk",
        storage.collect::<Vec<_>>().join("; "),
        is_any(|concern| matches!(concern, Concern::LittleDisk { .. })),
        "Delete files on that machine: results, logs and uploads need space there.",
    ));
    let gpus = probe.gpu.iter().map(gpu).collect::<Vec<_>>().join("; ");
    let why = probe.gpu_note.as_deref().unwrap_or("none was found");
    let none = format!("none ({why})");
    chain.add(state(
        "gpu",
        if gpus.is_empty() { none } else { gpus },
        is_any(|concern| matches!(concern, Concern::FullGpu { .. })),
        "Restart the session that holds the GPU's memory, or delete its large variables.",
    ));
}

fn gpu(gpu: &Gpu) -> String {
    match (gpu.memory_used_gb, gpu.memory_total_gb) {
        (Some(used), Some(total)) => format!("{}, {used:.1} of {total:.1} GB used", gpu.name),
        _ => gpu.name.clone(),
    }
}
