//! How the tools reach a runtime: lazily, so that neither start-up nor `tools/list` waits for a network or a process; and so that a runtime can be
//! exchanged for another while calls are under way.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Runtime;
use super::error::{Reach, RuntimeError, RuntimeResult};
use super::executor::Executor;
use super::local::Local;
use super::retry::{self, Next};
use super::route::{Route, Way};
use super::trouble::Troubles;
use crate::base::ids::JobId;
use crate::edge::allowance::Allowance;
use crate::edge::pairing::Pairing;
use crate::edge::settings::{Endpoint, Settings, Target};
use crate::wire::machine::Health;
use crate::wire::session::Session;

/// How long an address that is new may take to show that it is one.
pub const NEW_ADDRESS: Duration = Duration::from_secs(15);

/// How long nothing but refusals is met with patience: an executor that is being started anew is back by then.
pub const LASTING_PATIENCE: Duration = Duration::from_secs(10);

/// The one way to the runtime of this moment.
#[derive(Debug)]
pub struct Connection {
    route: Route,
    /// Where this process computes or has computed on its own machine: its jobs go on when the connection leads elsewhere.
    local: Option<Arc<Local>>,
    is_configured: bool,
    troubles: Troubles,
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
        let allowance = Arc::new(Allowance::new(settings.data_dir.join("ngrok.json")));
        let (way, local) = match &settings.target {
            Target::NotConfigured => (Way::NotConfigured, None),
            Target::Remote(endpoint) => (Way::remote(endpoint.clone(), Some(&allowance)), None),
            Target::Local => {
                let local = Arc::new(Local::new(settings));
                (Way::Local(local.clone()), Some(local))
            }
        };
        Self {
            route: Route::new(way, Some(pairing), Some(allowance)),
            local,
            is_configured: settings.target != Target::NotConfigured,
            troubles: Troubles::default(),
        }
    }

    /// Always to this runtime.
    #[must_use]
    pub fn fixed(runtime: Arc<dyn Runtime>) -> Self {
        Self {
            route: Route::new(Way::Fixed(runtime), None, None),
            local: None,
            is_configured: true,
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
        self.route.lead_to(endpoint)
    }

    /// Keeps `endpoint` for later starts, and for the other servers of this computer.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remember(&self, endpoint: &Endpoint) -> io::Result<()> {
        let pairing = self.route.pairing();
        pairing.map_or(Ok(()), |pairing| pairing.save(endpoint))
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
        let mut way = self.route.way();
        if matches!(*way, Way::NotConfigured) {
            self.route.begin();
            way = self.route.way();
        }
        match &*way {
            Way::NotConfigured => Err(RuntimeError::NotConfigured),
            Way::Remote(remote) => Ok(remote.executor()?),
            Way::Local(local) => local.runtime(deadline).await,
            Way::Fixed(runtime) => Ok(runtime.clone()),
        }
    }

    /// Asks the runtime until it answers, refuses for good, or `deadline` has come; for ten seconds only where nothing but
    /// [lasting](RuntimeError::is_lasting) errors came. Each try asks the runtime of its moment: a local executor that died comes back at
    /// another address, and a tunnel that was opened anew is found where `connect` saved it.
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
        self.ask_with(Some(LASTING_PATIENCE), deadline, question)
            .await
    }

    /// As [`Self::ask`], with this patience for lasting errors; none means until `deadline`, for what is known to be there.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn ask_with<T, F>(
        &self,
        lasting_patience: Option<Duration>,
        deadline: Instant,
        question: impl Fn(Arc<dyn Runtime>) -> F,
    ) -> RuntimeResult<T>
    where
        F: Future<Output = RuntimeResult<T>>,
    {
        let rules = Rules {
            may_repeat: RuntimeError::is_transient,
            may_go_elsewhere: |_| true,
            lasting_patience,
        };
        self.ask_by(rules, deadline, question).await.0
    }

    /// The same for what must not be done twice: repeated only while nobody was there to get it.
    ///
    /// # Errors
    /// As [`Self::ask`]; [`RuntimeError::TimedOut`] when the deadline came while a try was under way.
    pub async fn ask_once<T, F>(
        &self,
        deadline: Instant,
        question: impl Fn(Arc<dyn Runtime>) -> F,
    ) -> RuntimeResult<T>
    where
        F: Future<Output = RuntimeResult<T>>,
    {
        let rules = Rules {
            may_repeat: |error| error.is_transient() && error.reach() == Reach::Nowhere,
            may_go_elsewhere: |error| error.reach() != Reach::Unknown,
            lasting_patience: Some(LASTING_PATIENCE),
        };
        let question = &question;
        let meet_first = |runtime: Arc<dyn Runtime>| async move {
            runtime.meet().await?;
            question(runtime).await
        };
        let (answer, under_way) = self.ask_by(rules, deadline, meet_first).await;
        match (answer, under_way) {
            (Err(_), Some(url)) => Err(RuntimeError::TimedOut { url }),
            (answer, _) => answer,
        }
    }

    /// The answer; with an error that of the last try that came to an end, and the address of one that was still under way.
    async fn ask_by<T, F>(
        &self,
        rules: Rules,
        deadline: Instant,
        question: impl Fn(Arc<dyn Runtime>) -> F,
    ) -> (RuntimeResult<T>, Option<String>)
    where
        F: Future<Output = RuntimeResult<T>>,
    {
        let address = match self.runtime(deadline).await {
            Ok(runtime) => runtime.address().to_owned(),
            Err(error) => return (Err(error), None),
        };
        let (question, mut trouble) = (&question, self.troubles.begin());
        let asked: &Mutex<Option<Arc<dyn Runtime>>> = &Mutex::default();
        let take = || asked.lock().unwrap_or_else(PoisonError::into_inner).take();
        let began: &OnceLock<Instant> = &OnceLock::new();
        let (mut was_healed, mut is_lasting) = (false, true);
        let next = |error: &RuntimeError| {
            let (again, asked) = ((rules.may_repeat)(error), take());
            // Two addresses in turn are tried again only as long as each of them would be.
            let is_healed = (again || !was_healed)
                && (rules.may_go_elsewhere)(error)
                && asked.is_some_and(|asked| self.route.heal(&*asked, error));
            if !again && !is_healed {
                return Next::Stop;
            }
            trouble.met(error);
            let hurries = is_healed && !was_healed;
            was_healed |= is_healed;
            is_lasting &= error.is_lasting();
            match began.get().zip(rules.lasting_patience) {
                _ if hurries => Next::AtOnce,
                Some((began, patience)) if is_lasting => Next::PauseUntil(*began + patience),
                _ => Next::Pause,
            }
        };
        let answer = retry::as_said(deadline, &address, next, || async move {
            let runtime = self.runtime(deadline).await?;
            began.get_or_init(Instant::now);
            *asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(runtime.clone());
            question(runtime).await
        })
        .await;
        (answer, take().map(|runtime| runtime.address().to_owned()))
    }

    /// Goes over to another known address when an error of `asked` says that its own may be an old one. Says whether another is taken now.
    pub fn heal_after(&self, asked: &dyn Runtime, error: &RuntimeError) -> bool {
        self.route.heal(asked, error)
    }

    /// What the runtime says of itself, and its address: asked once, and once more where a saved connection leads elsewhere.
    ///
    /// # Errors
    /// Those of [`Self::runtime`] and of [`check`].
    pub async fn check(&self, deadline: Instant) -> RuntimeResult<(String, Checked)> {
        let runtime = self.runtime(deadline).await?;
        let (runtime, checked) = match check(&*runtime, deadline).await {
            Err(error) if self.heal_after(&*runtime, &error) => {
                let other = self.runtime(deadline).await?;
                let checked = check(&*other, deadline).await;
                (other, checked)
            }
            checked => (runtime, checked),
        };
        Ok((runtime.address().to_owned(), checked?))
    }

    /// Where code goes, for people: an address without its token, or `local`; none when nothing is configured.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        match &*self.route.way() {
            Way::NotConfigured => None,
            Way::Remote(remote) => Some(remote.address()),
            Way::Local(_) => Some("local".to_owned()),
            Way::Fixed(runtime) => Some(runtime.address().to_owned()),
        }
    }

    /// What it means that the executor does not know a job, where it is a local one and another client's knows it. Reads the disk.
    #[must_use]
    pub fn other_client(&self, job: JobId) -> Option<RuntimeError> {
        match &*self.route.way() {
            Way::Local(local) => local.other_client(job),
            Way::NotConfigured | Way::Remote(_) | Way::Fixed(_) => None,
        }
    }

    /// Which start of the executor answered last, where that is known.
    #[must_use]
    pub fn boot_id(&self) -> Option<String> {
        match &*self.route.way() {
            Way::Remote(remote) => remote.executor().ok()?.boot_id(),
            Way::Fixed(runtime) => runtime.boot_id(),
            // Its state stays at every start, and with it what it knows.
            Way::NotConfigured | Way::Local(_) => None,
        }
    }

    /// Bytes that came through ngrok to this computer in this month; none where the connection is not through ngrok.
    #[must_use]
    pub fn ngrok_month_bytes(&self) -> Option<u64> {
        match &*self.route.way() {
            Way::Remote(remote) => remote.ngrok_bytes(),
            Way::NotConfigured | Way::Local(_) | Way::Fixed(_) => None,
        }
    }

    /// What a local start, or a call that is being repeated, is busy with, for progress messages; none when all goes well.
    #[must_use]
    pub fn doing(&self) -> Option<String> {
        let starting = match &*self.route.way() {
            Way::Local(local) => local.doing(),
            Way::NotConfigured | Way::Remote(_) | Way::Fixed(_) => None,
        };
        starting.or_else(|| self.troubles.newest())
    }

    /// Ends what this connection started.
    pub async fn stop(&self) {
        if let Some(local) = &self.local {
            local.stop().await;
        }
    }
}

/// When a question is asked again, and where.
struct Rules {
    may_repeat: fn(&RuntimeError) -> bool,
    may_go_elsewhere: fn(&RuntimeError) -> bool,
    lasting_patience: Option<Duration>,
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
