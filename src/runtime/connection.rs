//! How the tools reach a runtime: lazily, so that neither start-up nor `tools/list` waits for a network or a process; and the one place where
//! a runtime is exchanged for another while calls are under way.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Runtime;
use super::error::{Reach, RuntimeError, RuntimeResult};
use super::executor::Executor;
use super::local::Local;
use super::retry::{self, Next};
use super::trouble::Troubles;
use crate::edge::pairing::{Pairing, Saved};
use crate::edge::settings::{Endpoint, Settings, Target};
use crate::wire::machine::Health;
use crate::wire::session::Session;

/// The one way to the runtime of this moment.
#[derive(Debug)]
pub struct Connection {
    kind: RwLock<Arc<Kind>>,
    /// The address that the settings or `connect` named, to come back to when a saved one is of no use.
    home: Mutex<Option<Endpoint>>,
    /// What `connect` saved; none where no other runtime may ever take this one's place.
    pairing: Option<Pairing>,
    /// Where this process computes or has computed on its own machine: its jobs go on when the connection leads elsewhere.
    local: Option<Arc<Local>>,
    is_configured: bool,
    troubles: Troubles,
}

#[derive(Debug)]
enum Kind {
    NotConfigured,
    Remote {
        endpoint: Endpoint,
        executor: OnceLock<Arc<Executor>>,
    },
    Local(Arc<Local>),
    Fixed(Arc<dyn Runtime>),
}

/// What a runtime that answers says of itself.
#[derive(Debug)]
pub struct Checked {
    pub health: Health,
    /// Of one request on an open connection.
    pub latency: Duration,
    pub sessions: Vec<Session>,
}

impl Connection {
    /// Connects to nothing yet. Where the settings name no address, what `connect` saved is taken.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let pairing = Pairing::new(&settings.data_dir);
        let kind = match &settings.target {
            Target::NotConfigured => {
                let saved = saved(&pairing).map(|saved| saved.endpoint);
                saved.map_or(Kind::NotConfigured, Kind::remote)
            }
            Target::Remote(endpoint) => Kind::remote(endpoint.clone()),
            Target::Local => Kind::Local(Arc::new(Local::new(settings))),
        };
        Self {
            is_configured: settings.target != Target::NotConfigured,
            ..Self::of(kind, Some(pairing))
        }
    }

    /// Always to this runtime.
    #[must_use]
    pub fn fixed(runtime: Arc<dyn Runtime>) -> Self {
        Self::of(Kind::Fixed(runtime), None)
    }

    fn of(kind: Kind, pairing: Option<Pairing>) -> Self {
        let (mut local, mut home) = (None, None);
        match &kind {
            Kind::Local(kept) => local = Some(kept.clone()),
            Kind::Remote { endpoint, .. } => home = Some(endpoint.clone()),
            Kind::NotConfigured | Kind::Fixed(_) => {}
        }
        Self {
            local,
            home: Mutex::new(home),
            is_configured: true,
            kind: RwLock::new(Arc::new(kind)),
            pairing,
            troubles: Troubles::default(),
        }
    }

    /// Begins, in the background, what takes time: the local executor's start.
    pub fn warm_up(&self) {
        if let Some(local) = &self.local {
            local.begin();
        }
    }

    /// Leads to another executor from now on, calls that are under way among them: it may be the same machine behind another tunnel.
    ///
    /// # Errors
    /// Those of [`Executor::new`]; nothing is changed then.
    pub fn connect(&self, endpoint: Endpoint) -> RuntimeResult<()> {
        let executor = OnceLock::from(Arc::new(Executor::new(&endpoint)?));
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = Some(endpoint.clone());
        self.turn(Kind::Remote { endpoint, executor });
        Ok(())
    }

    /// Keeps `endpoint` for later starts, and for the other servers of this computer.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remember(&self, endpoint: &Endpoint) -> io::Result<()> {
        self.pairing
            .as_ref()
            .map_or(Ok(()), |pairing| pairing.save(endpoint))
    }

    /// Whether the settings named where to compute: they do so again at the next start, before what is saved.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.is_configured
    }

    /// The runtime, waiting for a local one to be ready until `deadline`.
    ///
    /// # Errors
    /// `NotConfigured`; `Starting` at the deadline; `LocalFailed`.
    pub async fn runtime(&self, deadline: Instant) -> RuntimeResult<Arc<dyn Runtime>> {
        if matches!(&*self.kind(), Kind::NotConfigured) {
            self.heal();
        }
        match &*self.kind() {
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
    /// executor that died comes back at another address, and a tunnel that was opened anew is found where `connect` saved it.
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
        self.ask_while(deadline, RuntimeError::is_transient, |_| true, question)
            .await
    }

    /// The same for what must not be done twice: repeated only while nobody was there to get it.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn ask_once<T, F>(
        &self,
        deadline: Instant,
        question: impl Fn(Arc<dyn Runtime>) -> F,
    ) -> RuntimeResult<T>
    where
        F: Future<Output = RuntimeResult<T>>,
    {
        let is_unsent =
            |error: &RuntimeError| error.is_transient() && error.reach() == Reach::Nowhere;
        let was_not_done = |error: &RuntimeError| error.reach() != Reach::Unknown;
        self.ask_while(deadline, is_unsent, was_not_done, question)
            .await
    }

    async fn ask_while<T, F>(
        &self,
        deadline: Instant,
        may_repeat: impl Fn(&RuntimeError) -> bool,
        may_go_elsewhere: impl Fn(&RuntimeError) -> bool,
        question: impl Fn(Arc<dyn Runtime>) -> F,
    ) -> RuntimeResult<T>
    where
        F: Future<Output = RuntimeResult<T>>,
    {
        let address = self.runtime(deadline).await?.address().to_owned();
        let (question, mut trouble) = (&question, self.troubles.begin());
        let mut was_healed = false;
        let next = |error: &RuntimeError| {
            let is_healed = may_go_elsewhere(error) && self.heal_after(error);
            if !is_healed && !may_repeat(error) {
                return Next::Stop;
            }
            trouble.met(error);
            // Two dead addresses in turn are no reason to hurry.
            let hurries = is_healed && !was_healed;
            was_healed |= is_healed;
            if hurries { Next::AtOnce } else { Next::Pause }
        };
        retry::as_said(deadline, &address, next, || async move {
            question(self.runtime(deadline).await?).await
        })
        .await
    }

    /// What the runtime says of itself, and its address: asked once, and once more where a saved connection leads elsewhere.
    ///
    /// # Errors
    /// Those of [`Self::runtime`] and of [`check`].
    pub async fn check(&self, deadline: Instant) -> RuntimeResult<(String, Checked)> {
        let once = async || {
            let runtime = self.runtime(deadline).await?;
            let checked = check(&*runtime, deadline).await?;
            Ok((runtime.address().to_owned(), checked))
        };
        match once().await {
            Err(error) if self.heal_after(&error) => once().await,
            answer => answer,
        }
    }

    /// Where code goes, for people: an address without its token, or `local`; none when nothing is configured.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        match &*self.kind() {
            Kind::NotConfigured => None,
            Kind::Remote { endpoint, .. } => Some(endpoint.address()),
            Kind::Local(_) => Some("local".to_owned()),
            Kind::Fixed(runtime) => Some(runtime.address().to_owned()),
        }
    }

    /// What a local start, or a call that is being repeated, is busy with, for progress messages; none when all goes well.
    #[must_use]
    pub fn doing(&self) -> Option<String> {
        let starting = match &*self.kind() {
            Kind::Local(local) => local.doing(),
            Kind::NotConfigured | Kind::Remote { .. } | Kind::Fixed(_) => None,
        };
        starting.or_else(|| self.troubles.newest())
    }

    /// Ends what this connection started.
    pub async fn stop(&self) {
        if let Some(local) = &self.local {
            local.stop().await;
        }
    }

    /// Goes over to another known address when the error says that the present one may be an old one. Says whether it did.
    pub fn heal_after(&self, error: &RuntimeError) -> bool {
        error.is_stale() && self.heal()
    }

    /// Goes over to another address that is known, if that may be of use: to the saved one, unless the present one has answered since it was
    /// saved; or back from a saved one that never answered. A local executor is left only when asked to.
    fn heal(&self) -> bool {
        let kind = self.kind();
        let (now, answered_at) = match &*kind {
            Kind::NotConfigured => (None, None),
            Kind::Remote { endpoint, executor } => {
                let answered_at = executor.get().and_then(|executor| executor.answered_at());
                (Some(endpoint), answered_at)
            }
            Kind::Local(_) | Kind::Fixed(_) => return false,
        };
        let saved = self.pairing.as_ref().and_then(saved);
        let saved = saved.filter(|saved| answered_at.is_none_or(|at| saved.at > at));
        let home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        let home = home.clone().filter(|_| answered_at.is_none());
        let known = saved.map(|saved| saved.endpoint).into_iter().chain(home);
        let Some(other) = known.into_iter().find(|known| Some(known) != now) else {
            return false;
        };
        tracing::info!(
            address = other.address(),
            "going over to another known address"
        );
        self.turn(Kind::remote(other));
        true
    }

    fn kind(&self) -> Arc<Kind> {
        let kind = self.kind.read().unwrap_or_else(PoisonError::into_inner);
        kind.clone()
    }

    fn turn(&self, kind: Kind) {
        *self.kind.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(kind);
    }
}

impl Kind {
    fn remote(endpoint: Endpoint) -> Self {
        Self::Remote {
            endpoint,
            executor: OnceLock::new(),
        }
    }
}

/// A file that cannot be used is as good as none; who saves anew is told of it.
fn saved(pairing: &Pairing) -> Option<Saved> {
    pairing.load().unwrap_or_else(|fault| {
        tracing::warn!("the saved connection cannot be used: {fault}");
        None
    })
}

/// Asks an executor at `endpoint`, without connecting to it for good.
///
/// # Errors
/// Those of [`check`], and [`RuntimeError::TimedOut`] after `deadline`.
pub async fn check_endpoint(endpoint: &Endpoint, deadline: Instant) -> RuntimeResult<Checked> {
    check(&Executor::new(endpoint)?, deadline).await
}

/// `/sessions` because it tells whether the token is right, `/health` for the latency.
///
/// # Errors
/// Those of the runtime; [`RuntimeError::TimedOut`] after `deadline`.
pub async fn check(runtime: &dyn Runtime, deadline: Instant) -> RuntimeResult<Checked> {
    let asking = async {
        let sessions = match runtime.sessions().await {
            // An idle connection may have been closed just then: that says nothing about the next one.
            Err(RuntimeError::Broken { .. }) => runtime.sessions().await?,
            sessions => sessions?,
        };
        let started = Instant::now();
        let health = runtime.health().await?;
        Ok(Checked {
            health,
            latency: started.elapsed(),
            sessions,
        })
    };
    let timed_out = |_| RuntimeError::TimedOut {
        url: runtime.address().to_owned(),
    };
    timeout_at(deadline, asking).await.map_err(timed_out)?
}
