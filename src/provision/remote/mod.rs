//! An executor at an address: the configured one, or the one that `connect` saved; each is replaced by the other if it is of no use.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::Instant;

use super::Provisioner;
use crate::base::lock::Lock;
use crate::edge::allowance::{Allowance, is_ngrok};
use crate::edge::pairing::{Pairing, Saved};
use crate::edge::settings::Endpoint;
use crate::runtime::error::Reach;
use crate::runtime::executor::Executor;
use crate::runtime::{Runtime, RuntimeError, RuntimeResult};

/// The current address, and the other known ones.
#[derive(Debug)]
pub struct Remote {
    /// None until one is known.
    address: Lock<Option<Arc<Address>>>,
    /// The configured address, to fall back to if a saved one is of no use.
    home: Option<Endpoint>,
    /// The connection that `connect` saved.
    pairing: Pairing,
    /// Counts the traffic through ngrok.
    allowance: Arc<Allowance>,
}

/// An address, with its executor from its first use on.
#[derive(Debug)]
struct Address {
    endpoint: Endpoint,
    executor: OnceLock<Arc<Executor>>,
    /// When this address became the current one.
    since: Timestamp,
}

impl Address {
    fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            executor: OnceLock::new(),
            since: Timestamp::now(),
        }
    }

    /// Whether `asked` is the executor of this address.
    fn leads_to(&self, asked: &dyn Runtime) -> bool {
        let executor = self.executor.get();
        executor.is_some_and(|executor| std::ptr::addr_eq(Arc::as_ptr(executor), asked))
    }

    fn has_answered(&self) -> bool {
        let executor = self.executor.get();
        executor.is_some_and(|executor| executor.boot_id().is_some())
    }
}

impl Remote {
    /// The executor at `endpoint`; the saved address and the traffic count are in `data_dir`.
    #[must_use]
    pub fn at(endpoint: Endpoint, data_dir: &Path) -> Self {
        Self::new(Some(endpoint), data_dir)
    }

    /// The executor at the saved address, as soon as there is one.
    #[must_use]
    pub fn saved(data_dir: &Path) -> Self {
        let remote = Self::new(None, data_dir);
        let _ = remote.address();
        remote
    }

    fn new(home: Option<Endpoint>, data_dir: &Path) -> Self {
        Self {
            address: Lock::new(home.clone().map(Address::new).map(Arc::new)),
            home,
            pairing: Pairing::new(data_dir),
            allowance: Arc::new(Allowance::new(data_dir.join("ngrok.json"))),
        }
    }

    /// The current executor.
    ///
    /// # Errors
    /// [`RuntimeError::NotConfigured`]; as [`Executor::new`].
    pub fn executor(&self) -> RuntimeResult<Arc<Executor>> {
        let address = self.address().ok_or(RuntimeError::NotConfigured)?;
        self.executor_at(&address)
    }

    fn executor_at(&self, address: &Address) -> RuntimeResult<Arc<Executor>> {
        if let Some(executor) = address.executor.get() {
            return Ok(executor.clone());
        }
        let mut made = Executor::new(&address.endpoint)?;
        if is_ngrok(&address.endpoint.url) {
            made = made.counting(self.allowance.clone());
        }
        Ok(address.executor.get_or_init(|| Arc::new(made)).clone())
    }

    /// The current address; the saved one if there is none yet.
    fn address(&self) -> Option<Arc<Address>> {
        let known = self.current();
        if known.is_none() {
            self.exchange(|now| match now {
                None => Some(self.load()?.endpoint),
                Some(_) => None,
            });
            return self.current();
        }
        known
    }

    fn current(&self) -> Option<Arc<Address>> {
        let address = self.address.lock();
        address.clone()
    }

    /// Loads the saved address. A file that cannot be used is logged and counts as none.
    fn load(&self) -> Option<Saved> {
        self.pairing.load().unwrap_or_else(|fault| {
            tracing::warn!("the saved connection cannot be used: {fault}");
            None
        })
    }

    /// Inspects the address and exchanges it in one step.
    fn exchange(&self, other: impl FnOnce(Option<&Address>) -> Option<Endpoint>) {
        let mut address = self.address.lock();
        if let Some(other) = other(address.as_deref()) {
            *address = Some(Arc::new(Address::new(other)));
        }
    }
}

#[async_trait]
impl Provisioner for Remote {
    async fn runtime(&self, _: Instant) -> RuntimeResult<Arc<dyn Runtime>> {
        Ok(self.executor()?)
    }

    /// Switches to another address if the error suggests that this one or its token is outdated, and
    /// - another one was saved since this one became current, or
    /// - this one has never answered, and the error leaves no doubt.
    fn heal(&self, asked: &dyn Runtime, error: &RuntimeError) -> bool {
        if !error.is_stale() {
            return false;
        }
        let is_definite = error.reach() != Reach::Unknown
            || matches!(
                error,
                RuntimeError::Incompatible { .. } | RuntimeError::Stranger { .. }
            );
        let mut is_other = false;
        self.exchange(|now| {
            let now = now?;
            if !now.leads_to(asked) {
                // Another call has switched already.
                is_other = true;
                return None;
            }
            let is_hopeless = is_definite && !now.has_answered();
            let saved = self.load();
            let saved = saved.filter(|saved| is_hopeless || saved.at > now.since);
            let home = self.home.clone().filter(|_| is_hopeless);
            let mut others = saved.map(|saved| saved.endpoint).into_iter().chain(home);
            let other = others.find(|other| *other != now.endpoint)?;
            tracing::info!(
                address = other.address(),
                "switching to another known address"
            );
            is_other = true;
            Some(other)
        });
        is_other
    }

    fn place(&self) -> Option<String> {
        Some(self.current()?.endpoint.address())
    }

    fn boot_id(&self) -> Option<String> {
        self.executor_at(&*self.current()?).ok()?.boot_id()
    }

    fn ngrok_month_bytes(&self) -> Option<u64> {
        let is_counted = is_ngrok(&self.current()?.endpoint.url);
        is_counted.then(|| self.allowance.of_this_month())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Remote;
    use crate::base::advice::Step;
    use crate::edge::pairing::Pairing;
    use crate::edge::settings::{Endpoint, endpoint};
    use crate::provision::Provisioner;
    use crate::runtime::{Runtime, RuntimeError};

    fn at(address: &str) -> Endpoint {
        endpoint(&format!("{address}/#t0ken"), None).unwrap()
    }

    fn place(remote: &Remote) -> String {
        remote.executor().unwrap().address().to_owned()
    }

    fn refused() -> RuntimeError {
        RuntimeError::Unauthorized {
            url: String::new(),
            remedy: Step::RenewToken,
        }
    }

    fn silent() -> RuntimeError {
        RuntimeError::TimedOut { url: String::new() }
    }

    #[test]
    fn concurrent_failures_switch_the_address_once() {
        let folder = tempfile::tempdir().unwrap();
        let pairing = Pairing::new(folder.path());
        pairing.save(&at("https://saved.example")).unwrap();
        let remote = Remote::at(at("https://home.example"), folder.path());
        let first = remote.executor().unwrap();
        assert!(remote.heal(&*first, &refused()));
        assert_eq!(place(&remote), "https://saved.example");
        // A late error of the first address.
        assert!(remote.heal(&*first, &refused()));
        assert_eq!(place(&remote), "https://saved.example");
        // The saved one is of no use either.
        assert!(remote.heal(&*remote.executor().unwrap(), &refused()));
        assert_eq!(place(&remote), "https://home.example");
    }

    #[test]
    fn a_timeout_alone_leads_only_to_an_address_saved_since() {
        let folder = tempfile::tempdir().unwrap();
        let pairing = Pairing::new(folder.path());
        pairing.save(&at("https://old.example")).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        let remote = Remote::at(at("https://home.example"), folder.path());
        assert!(!remote.heal(&*remote.executor().unwrap(), &silent()));
        Pairing::new(folder.path())
            .save(&at("https://new.example"))
            .unwrap();
        assert!(remote.heal(&*remote.executor().unwrap(), &silent()));
        assert_eq!(place(&remote), "https://new.example");
    }

    #[test]
    fn without_a_configured_address_the_saved_one_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let remote = Remote::saved(folder.path());
        assert_eq!(remote.place(), None);
        let pairing = Pairing::new(folder.path());
        pairing.save(&at("https://saved.example")).unwrap();
        assert_eq!(place(&remote), "https://saved.example");
    }
}
