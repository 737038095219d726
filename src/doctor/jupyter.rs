//! What a Jupyter Server answers. The executor there starts at its first use, which this is not.

use std::path::Path;

use super::check::{Chain, Check, Reason};
use super::executor::{no_tls, tls};
use super::way::bounded;
use crate::base::fault::Fault as _;
use crate::colab::{ColabError, Machines};
use crate::edge::settings::Endpoint;
use crate::jupyter::{JupyterError, Server};
use crate::provision::jupyter::explained;

const NOT_STARTED: &str = "the executor starts there at its first use";

/// From `tls` on, for a server at an address.
pub(super) async fn ask(
    chain: &mut Chain,
    endpoint: &Endpoint,
    is_direct: bool,
) -> Result<(), Reason> {
    let asked = bounded(endpoint, async {
        Ok(async {
            let server = Server::new(endpoint)?;
            server.probe().await?;
            server.python_kernel().await
        }
        .await)
    });
    let answer = match asked.await {
        Ok(answer) => answer,
        Err(error) => return Err(chain.fault("http", &error)),
    };
    let is_https = endpoint.url.scheme() == "https";
    let layer = match &answer {
        Err(JupyterError::Untrusted(why)) => return Err(no_tls(chain, why)),
        Err(JupyterError::Unreachable(why)) if is_direct && is_https => {
            return Err(no_tls(chain, why));
        }
        Err(JupyterError::Unauthorized) => "token",
        Err(JupyterError::NoKernels(_)) => "kernel",
        _ => "http",
    };
    tls(chain, endpoint);
    if layer != "http" || answer.is_ok() {
        chain.ok("http", "a Jupyter Server answers");
    }
    if layer == "kernel" || answer.is_ok() {
        let word = match endpoint.token.expose().is_empty() {
            true => "none is wanted",
            false => "accepted",
        };
        chain.ok("token", word);
    }
    match answer {
        Ok(name) => {
            chain.ok("kernel", format!("the server starts {name:?}"));
            Err(NOT_STARTED.to_owned())
        }
        Err(error) => Err(chain.fault(layer, &explained(error, endpoint))),
    }
}

/// `http`, for a machine of Colab that was assigned from here, whose record is in `data_dir`.
pub(super) async fn ask_machine(
    chain: &mut Chain,
    endpoint: &Endpoint,
    data_dir: &Path,
) -> Result<(), Reason> {
    for layer in ["dns", "tcp", "tls"] {
        chain.add(Check::skipped(layer, "Colab's proxy leads there"));
    }
    let name = endpoint.machine_name();
    let reaching = async {
        let plane = Machines::new(data_dir).named(name)?.plane(data_dir)?;
        let machine = plane.reach(name).await?;
        let machine = machine.ok_or_else(|| ColabError::Gone(name.to_owned()))?;
        let proxy = machine.proxy;
        proxy.ok_or_else(|| ColabError::odd("a machine without an address"))
    };
    let proxy = match bounded(endpoint, async { Ok(reaching.await) }).await {
        Ok(Ok(proxy)) => proxy,
        Ok(Err(error)) => return Err(chain.fail("http", error.to_string(), error.remedy())),
        Err(error) => return Err(chain.fault("http", &error)),
    };
    let probing = async {
        let server = Server::behind_proxy(proxy.url, &proxy.token);
        let probed = async { server?.probe().await };
        probed.await.map_err(|error| explained(error, endpoint))
    };
    match bounded(endpoint, probing).await {
        Ok(()) => {
            chain.ok("http", "the machine's Jupyter Server answers");
            Err(NOT_STARTED.to_owned())
        }
        Err(error) => Err(chain.fault("http", &error)),
    }
}
