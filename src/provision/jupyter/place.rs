//! Where a Jupyter Server is.

use std::path::PathBuf;
use std::sync::Arc;

use super::fault::Fault;
use super::start::Say;
use crate::edge::jupyter::running;
use crate::edge::settings::Endpoint;
use crate::jupyter::{JupyterError, Server};
use crate::provision::colab::Assigned;

/// A server that is found by its file.
const RUNNING: &str = "the Jupyter Server on this computer";

#[derive(Debug)]
pub(super) enum Place {
    At(Endpoint),
    /// On this computer, as the files in this folder say.
    Running(PathBuf),
    /// On a machine of Colab.
    Machine(Assigned),
}

impl Place {
    /// For people: no token in it.
    pub(super) fn address(&self) -> String {
        match self {
            Self::At(endpoint) => endpoint.address(),
            Self::Running(_) => RUNNING.to_owned(),
            Self::Machine(machine) => machine.address(),
        }
    }

    /// Whether a token is sent, as far as is known.
    pub(super) fn has_token(&self) -> bool {
        match self {
            Self::At(endpoint) => !endpoint.token.expose().is_empty(),
            Self::Running(_) | Self::Machine(_) => true,
        }
    }

    /// Notes that a request is made.
    pub(super) fn note_use(&self) {
        if let Self::Machine(machine) = self {
            machine.note_use();
        }
    }

    /// Finds the server, and its address.
    pub(super) async fn find(&self, say: &Say<'_>) -> Result<(Arc<Server>, String), Fault> {
        let endpoints = match self {
            Self::At(endpoint) => vec![endpoint.clone()],
            Self::Running(folder) => running(folder),
            Self::Machine(machine) => return Ok((machine.server(say).await?, machine.address())),
        };
        let mut first = None;
        for endpoint in &endpoints {
            match probe(endpoint).await {
                Ok(server) => return Ok((server, endpoint.address())),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.map_or(Fault::NotRunning, Fault::Server))
    }
}

async fn probe(endpoint: &Endpoint) -> Result<Arc<Server>, JupyterError> {
    let server = Server::new(endpoint)?;
    server.probe().await?;
    Ok(Arc::new(server))
}
