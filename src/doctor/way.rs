//! The way from this computer to the executor, layer by layer.

use std::time::Duration;

use tokio::time::timeout;

use super::check::{Chain, Check, Reason};
use super::{executor, jupyter, network};
use crate::base::advice::{Advice, Step};
use crate::base::causes::sentence;
use crate::edge::allowance::{NGROK_FREE_BYTES, is_ngrok};
use crate::edge::env::Env;
use crate::edge::jupyter::running;
use crate::edge::pairing::{PairingError, Saved};
use crate::edge::settings::{Endpoint, Kind, Settings, Target};
use crate::provision::Provisioner;
use crate::provision::remote::Remote;
use crate::runtime::{RuntimeError, RuntimeResult};

const NAMES: [&str; 14] = [
    "saved_connection",
    "address",
    "dns",
    "tcp",
    "tls",
    "http",
    "version",
    "clock",
    "round_trip",
    "token",
    "kernel",
    "memory",
    "disk",
    "gpu",
];

/// For one request.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);
/// All requests together; the layers below take up to ten seconds before.
const MAX_DURATION: Duration = Duration::from_secs(15);
/// The share of ngrok's free traffic that is worth a warning.
const MAX_NGROK_SHARE: f64 = 0.9;

/// Waits for one answer.
pub(super) async fn bounded<T>(
    endpoint: &Endpoint,
    asking: impl Future<Output = RuntimeResult<T>>,
) -> RuntimeResult<T> {
    let answer = timeout(ANSWER_TIMEOUT, asking).await;
    let url = endpoint.address();
    answer.unwrap_or(Err(RuntimeError::TimedOut { url }))
}

/// The checks of [`NAMES`].
pub(super) async fn checks(
    settings: &Settings,
    faults: &[String],
    saved: &Result<Option<Saved>, PairingError>,
    env: &Env,
) -> Vec<Check> {
    let mut chain = Chain::new(&NAMES);
    let reason = if faults.is_empty() {
        match address(&mut chain, settings, saved).await {
            Ok(endpoint) => follow(&mut chain, settings, &endpoint, env).await,
            Err(reason) => reason,
        }
    } else {
        saved_connection(&mut chain, saved, false);
        "no server starts with these settings".to_owned()
    };
    chain.end(&reason)
}

/// Goes as far as possible, and returns why the rest is skipped.
async fn follow(chain: &mut Chain, settings: &Settings, endpoint: &Endpoint, env: &Env) -> Reason {
    let proxy = env.proxy().filter(|_| !endpoint.is_loopback());
    let is_direct = match endpoint.kind {
        Kind::Machine => Ok(false),
        Kind::Executor | Kind::Jupyter => network::layers(chain, endpoint, proxy).await,
    };
    let is_direct = match is_direct {
        Ok(is_direct) => is_direct,
        Err(reason) => return reason,
    };
    let asking = async {
        match endpoint.kind {
            Kind::Executor => executor::ask(chain, endpoint, is_direct).await,
            Kind::Jupyter => jupyter::ask(chain, endpoint, is_direct).await,
            Kind::Machine => jupyter::ask_machine(chain, endpoint, &settings.data_dir).await,
        }
    };
    match timeout(MAX_DURATION, asking).await {
        Ok(Ok(())) => String::new(),
        Ok(Err(reason)) => reason,
        Err(_) => {
            let url = endpoint.address();
            chain.fault(chain.next(), &RuntimeError::TimedOut { url })
        }
    }
}

/// `saved_connection` and `address`: where code is to run.
async fn address(
    chain: &mut Chain,
    settings: &Settings,
    saved: &Result<Option<Saved>, PairingError>,
) -> Result<Endpoint, Reason> {
    let is_used = settings.target == Target::NotConfigured;
    let unusable = saved_connection(chain, saved, is_used);
    let endpoint = match &settings.target {
        Target::Local => {
            chain.ok("address", "local: code runs on this machine");
            return Err("with `local` the executor starts with the client".to_owned());
        }
        Target::Remote(endpoint) => endpoint.clone(),
        Target::RunningJupyter(folder) => match newest(running(folder)).await {
            Some(endpoint) => endpoint,
            None => {
                let seen = "no Jupyter Server is running on this computer";
                return Err(chain.fail("address", seen, Step::StartJupyter));
            }
        },
        Target::NotConfigured => match saved {
            Ok(Some(saved)) => saved.endpoint.clone(),
            Ok(None) => {
                let seen = "no address is set or saved, so there is nowhere to run code";
                return Err(chain.fail("address", seen, Step::Configure));
            }
            Err(_) => return Err(unusable.unwrap_or_default()),
        },
    };
    chain.add(described(&endpoint, is_used, settings));
    Ok(endpoint)
}

/// Returns why what needs it is skipped, if it cannot be used.
fn saved_connection(
    chain: &mut Chain,
    saved: &Result<Option<Saved>, PairingError>,
    is_used: bool,
) -> Option<Reason> {
    const NAME: &str = "saved_connection";
    match saved {
        Ok(None) => chain.ok(NAME, "none"),
        Ok(Some(saved)) => {
            let address = saved.endpoint.address();
            let use_of_it = match is_used {
                true => "",
                false => "; the one that is set comes first",
            };
            chain.ok(NAME, format!("{address}{use_of_it}"));
        }
        Err(error) => {
            let remedy = Advice::from("Run ")
                + Step::Connect
                + " with the address that is meant: it is saved in its place.";
            if is_used {
                return Some(chain.fail(NAME, sentence(error), remedy));
            }
            chain.add(Check::warning(NAME, sentence(error), remedy));
        }
    }
    None
}

/// The first server that answers, otherwise the one that was started last.
async fn newest(running: Vec<Endpoint>) -> Option<Endpoint> {
    let mut first = None;
    for endpoint in running {
        if network::is_open(&endpoint.url).await {
            return Some(endpoint);
        }
        first = first.or(Some(endpoint));
    }
    first
}

/// The address, and what it says about the way.
fn described(endpoint: &Endpoint, is_saved: bool, settings: &Settings) -> Check {
    let kind = match endpoint.kind {
        Kind::Executor => "an executor",
        Kind::Jupyter => "a Jupyter Server",
        Kind::Machine => "a machine of Colab",
    };
    let from = if is_saved { "saved" } else { "set" };
    let seen = format!("{} ({kind}, {from})", endpoint.address());
    if !is_ngrok(&endpoint.url) {
        return Check::ok("address", seen);
    }
    let remote = Remote::at(endpoint.clone(), &settings.data_dir);
    let used = remote.ngrok_month_bytes().unwrap_or_default() as f64;
    let (used_gb, free_gb) = (used / 1e9, NGROK_FREE_BYTES as f64 / 1e9);
    let seen = format!(
        "{seen}, through ngrok: {used_gb:.2} GB received this month, of {free_gb:.0} GB that its free plan has"
    );
    match used_gb > free_gb * MAX_NGROK_SHARE {
        true => Check::warning(
            "address",
            seen,
            "Beyond that, ngrok's free plan forwards nothing until the next month: choose the Cloudflare tunnel in the notebook's form for large files.",
        ),
        false => Check::ok("address", seen),
    }
}
