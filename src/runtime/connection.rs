//! How the tools reach a runtime: lazily, so that neither start-up nor `tools/list` waits for a network or a process.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use super::Runtime;
use super::error::{RuntimeError, RuntimeResult};
use super::executor::Executor;
use super::local::Local;
use super::retry;
use crate::edge::settings::{Endpoint, Settings, Target};

/// The one way to the configured runtime.
#[derive(Debug)]
pub struct Connection(Kind);

#[derive(Debug)]
enum Kind {
    NotConfigured,
    Remote {
        endpoint: Endpoint,
        executor: OnceLock<Arc<Executor>>,
    },
    Local(Local),
    Fixed(Arc<dyn Runtime>),
}

impl Connection {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self(match &settings.target {
            Target::NotConfigured => Kind::NotConfigured,
            Target::Remote(endpoint) => Kind::Remote {
                endpoint: endpoint.clone(),
                executor: OnceLock::new(),
            },
            Target::Local => Kind::Local(Local::new(settings)),
        })
    }

    /// Always to this runtime.
    #[must_use]
    pub fn fixed(runtime: Arc<dyn Runtime>) -> Self {
        Self(Kind::Fixed(runtime))
    }

    /// Begins, in the background, what takes time: the local executor's start.
    pub fn warm_up(&self) {
        if let Kind::Local(local) = &self.0 {
            local.begin();
        }
    }

    /// The runtime, waiting for a local one to be ready until `deadline`.
    ///
    /// # Errors
    /// `NotConfigured`; `Starting` at the deadline; `LocalFailed`.
    pub async fn runtime(&self, deadline: Instant) -> RuntimeResult<Arc<dyn Runtime>> {
        match &self.0 {
            Kind::NotConfigured => Err(RuntimeError::NotConfigured),
            Kind::Remote { endpoint, executor } => match executor.get() {
                Some(executor) => Ok(executor.clone()),
                None => {
                    let made = Arc::new(Executor::new(endpoint)?);
                    Ok(executor.get_or_init(|| made).clone())
                }
            },
            Kind::Local(local) => local.runtime(deadline).await,
            Kind::Fixed(runtime) => Ok(runtime.clone()),
        }
    }

    /// Asks the runtime until it answers, refuses for good, or `deadline` has come. Each try asks the runtime of its moment: a local
    /// executor that died comes back at another address.
    ///
    /// # Errors
    /// Those of [`Self::runtime`] and of [`retry::until`].
    pub async fn ask<T, F>(
        &self,
        deadline: Instant,
        question: impl Fn(Arc<dyn Runtime>) -> F,
    ) -> RuntimeResult<T>
    where
        F: Future<Output = RuntimeResult<T>>,
    {
        let address = self.runtime(deadline).await?.address().to_owned();
        let question = &question;
        retry::until(deadline, &address, || async move {
            question(self.runtime(deadline).await?).await
        })
        .await
    }

    /// Where code goes, for people: an address without its token, or `local`; none when nothing is configured.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        match &self.0 {
            Kind::NotConfigured => None,
            Kind::Remote { endpoint, .. } => Some(endpoint.address()),
            Kind::Local(_) => Some("local".to_owned()),
            Kind::Fixed(runtime) => Some(runtime.address().to_owned()),
        }
    }

    /// What a local start is busy with, for progress messages; none when nothing is awaited.
    #[must_use]
    pub fn doing(&self) -> Option<String> {
        match &self.0 {
            Kind::Local(local) => local.doing(),
            Kind::NotConfigured | Kind::Remote { .. } | Kind::Fixed(_) => None,
        }
    }

    /// Ends what this connection started.
    pub async fn stop(&self) {
        if let Kind::Local(local) = &self.0 {
            local.stop().await;
        }
    }
}
