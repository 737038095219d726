//! Which way leads to a runtime, and when another one is tried: the configured address, and the one that `connect` saved.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use jiff::Timestamp;

use crate::edge::allowance::{Allowance, is_ngrok};
use crate::edge::pairing::{Pairing, Saved};
use crate::edge::settings::Endpoint;
use crate::runtime::error::Reach;
use crate::runtime::executor::Executor;
use crate::runtime::local::Local;
use crate::runtime::{Runtime, RuntimeError, RuntimeResult};

/// The way of this moment, and the others that are known.
#[derive(Debug)]
pub(super) struct Route {
    way: RwLock<Arc<Way>>,
    /// The address that the settings or `connect` named, to come back to when a saved one is of no use.
    home: Mutex<Option<Endpoint>>,
    /// What `connect` saved; none where no other runtime may ever take this one's place.
    pairing: Option<Pairing>,
    /// What came through ngrok.
    allowance: Option<Arc<Allowance>>,
}

#[derive(Debug)]
pub(super) enum Way {
    NotConfigured,
    Remote(Remote),
    Local(Arc<Local>),
    Fixed(Arc<dyn Runtime>),
}

/// An executor at an address, from the first time that it is wanted.
#[derive(Debug)]
pub(super) struct Remote {
    endpoint: Endpoint,
    /// Where what comes through ngrok is counted.
    allowance: Option<Arc<Allowance>>,
    executor: OnceLock<Arc<Executor>>,
    /// When this way was taken.
    since: Timestamp,
}

impl Remote {
    pub(super) fn address(&self) -> String {
        self.endpoint.address()
    }

    pub(super) fn executor(&self) -> RuntimeResult<Arc<Executor>> {
        if let Some(executor) = self.executor.get() {
            return Ok(executor.clone());
        }
        let made = Executor::new(&self.endpoint)?;
        let made = Arc::new(match &self.allowance {
            Some(allowance) => made.counting(allowance.clone()),
            None => made,
        });
        Ok(self.executor.get_or_init(|| made).clone())
    }

    /// Bytes that came through ngrok in this month; none where the address is not one of ngrok's.
    pub(super) fn ngrok_bytes(&self) -> Option<u64> {
        self.allowance
            .as_ref()
            .map(|allowance| allowance.of_this_month())
    }

    fn has_answered(&self) -> bool {
        let executor = self.executor.get();
        executor.is_some_and(|executor| executor.boot_id().is_some())
    }
}

impl Way {
    /// What comes from one of ngrok's addresses is counted in `allowance`.
    pub(super) fn remote(endpoint: Endpoint, allowance: Option<&Arc<Allowance>>) -> Self {
        Self::Remote(Remote {
            allowance: allowance.filter(|_| is_ngrok(&endpoint.url)).cloned(),
            endpoint,
            executor: OnceLock::new(),
            since: Timestamp::now(),
        })
    }

    /// Whether `asked` is what this way leads to.
    fn leads_to(&self, asked: &dyn Runtime) -> bool {
        match self {
            Self::Remote(remote) => remote
                .executor
                .get()
                .is_some_and(|executor| std::ptr::addr_eq(Arc::as_ptr(executor), asked)),
            Self::NotConfigured => false,
            Self::Local(_) | Self::Fixed(_) => true,
        }
    }
}

impl Route {
    /// Where `way` leads nowhere, what was saved is taken.
    pub(super) fn new(
        way: Way,
        pairing: Option<Pairing>,
        allowance: Option<Arc<Allowance>>,
    ) -> Self {
        let home = match &way {
            Way::Remote(remote) => Some(remote.endpoint.clone()),
            Way::NotConfigured | Way::Local(_) | Way::Fixed(_) => None,
        };
        let route = Self {
            way: RwLock::new(Arc::new(way)),
            home: Mutex::new(home),
            pairing,
            allowance,
        };
        route.begin();
        route
    }

    fn remote(&self, endpoint: Endpoint) -> Way {
        Way::remote(endpoint, self.allowance.as_ref())
    }

    pub(super) fn pairing(&self) -> Option<&Pairing> {
        self.pairing.as_ref()
    }

    pub(super) fn way(&self) -> Arc<Way> {
        let way = self.way.read().unwrap_or_else(PoisonError::into_inner);
        way.clone()
    }

    /// Leads to `endpoint` from now on.
    ///
    /// # Errors
    /// Those of [`Executor::new`]; nothing is changed then.
    pub(super) fn lead_to(&self, endpoint: Endpoint) -> RuntimeResult<()> {
        let way = self.remote(endpoint.clone());
        if let Way::Remote(remote) = &way {
            remote.executor()?;
        }
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = Some(endpoint);
        self.turn(|_| Some(way));
        Ok(())
    }

    /// Takes the saved way where there is none.
    pub(super) fn begin(&self) {
        self.turn(|now| match now {
            Way::NotConfigured => Some(self.remote(self.saved()?.endpoint)),
            Way::Remote(_) | Way::Local(_) | Way::Fixed(_) => None,
        });
    }

    /// After an error of `asked`: whether there is another way now than the one that led to it. Another one is taken when the error says that the
    /// address or the token may be an old one, and
    /// - one was saved since this one was taken, or
    /// - this one has never answered, and the error leaves no doubt.
    ///
    /// A local executor is left only when asked to.
    pub(super) fn heal(&self, asked: &dyn Runtime, error: &RuntimeError) -> bool {
        if !error.is_stale() {
            return false;
        }
        let is_definite = error.reach() != Reach::Unknown
            || matches!(
                error,
                RuntimeError::Incompatible { .. } | RuntimeError::Stranger { .. }
            );
        let mut is_other = false;
        self.turn(|now| {
            if !now.leads_to(asked) {
                // Another call has seen to it.
                is_other = true;
                return None;
            }
            let Way::Remote(remote) = now else {
                return None;
            };
            let is_hopeless = is_definite && !remote.has_answered();
            let saved = self.saved();
            let saved = saved.filter(|saved| is_hopeless || saved.at > remote.since);
            let home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
            let home = home.clone().filter(|_| is_hopeless);
            let mut known = saved.map(|saved| saved.endpoint).into_iter().chain(home);
            let other = known.find(|known| *known != remote.endpoint)?;
            tracing::info!(
                address = other.address(),
                "going over to another known address"
            );
            is_other = true;
            Some(self.remote(other))
        });
        is_other
    }

    /// A file that cannot be used is as good as none; who saves anew is told of it.
    fn saved(&self) -> Option<Saved> {
        let loaded = self.pairing.as_ref()?.load();
        loaded.unwrap_or_else(|fault| {
            tracing::warn!("the saved connection cannot be used: {fault}");
            None
        })
    }

    /// Looks at the way and exchanges it, as one step.
    fn turn(&self, other: impl FnOnce(&Way) -> Option<Way>) {
        let mut way = self.way.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = other(&way) {
            *way = Arc::new(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Route, Way};
    use crate::edge::pairing::Pairing;
    use crate::edge::settings::{Endpoint, endpoint};
    use crate::runtime::executor::Executor;
    use crate::runtime::{Runtime, RuntimeError};

    fn at(address: &str) -> Endpoint {
        endpoint(&format!("{address}/#t0ken"), None).unwrap()
    }

    /// What the way leads to now.
    fn asked(route: &Route) -> std::sync::Arc<Executor> {
        match &*route.way() {
            Way::Remote(remote) => remote.executor().unwrap(),
            Way::NotConfigured | Way::Local(_) | Way::Fixed(_) => panic!("no way"),
        }
    }

    fn place(route: &Route) -> String {
        asked(route).address().to_owned()
    }

    fn refused() -> RuntimeError {
        RuntimeError::Unauthorized { url: String::new() }
    }

    fn silent() -> RuntimeError {
        RuntimeError::TimedOut { url: String::new() }
    }

    #[test]
    fn of_calls_that_fail_together_one_goes_over_and_the_others_follow() {
        let folder = tempfile::tempdir().unwrap();
        let pairing = Pairing::new(folder.path());
        pairing.save(&at("https://saved.example")).unwrap();
        let route = Route::new(
            Way::remote(at("https://home.example"), None),
            Some(pairing),
            None,
        );
        let first = asked(&route);
        assert!(route.heal(&*first, &refused()));
        assert_eq!(place(&route), "https://saved.example");
        // An error of the first address, told late.
        assert!(route.heal(&*first, &refused()));
        assert_eq!(place(&route), "https://saved.example");
        // The saved one is of no use either.
        assert!(route.heal(&*asked(&route), &refused()));
        assert_eq!(place(&route), "https://home.example");
    }

    #[test]
    fn silence_alone_leads_only_to_what_was_saved_since() {
        let folder = tempfile::tempdir().unwrap();
        let pairing = Pairing::new(folder.path());
        pairing.save(&at("https://old.example")).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        let route = Route::new(
            Way::remote(at("https://home.example"), None),
            Some(pairing),
            None,
        );
        assert!(!route.heal(&*asked(&route), &silent()));
        Pairing::new(folder.path())
            .save(&at("https://new.example"))
            .unwrap();
        assert!(route.heal(&*asked(&route), &silent()));
        assert_eq!(place(&route), "https://new.example");
    }

    #[test]
    fn where_nothing_is_configured_the_saved_way_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let pairing = Pairing::new(folder.path());
        let route = Route::new(Way::NotConfigured, Some(Pairing::new(folder.path())), None);
        assert!(matches!(&*route.way(), Way::NotConfigured));
        pairing.save(&at("https://saved.example")).unwrap();
        route.begin();
        assert_eq!(place(&route), "https://saved.example");
    }
}
