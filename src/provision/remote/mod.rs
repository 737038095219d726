//! What is at an address: the configured one, or the one that `connect` saved; each is replaced by the other if it is of no use.

mod address;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Host, Provisioner};
use crate::base::ids::JobId;
use crate::base::lock::Lock;
use crate::edge::pairing::{Pairing, Saved};
use crate::edge::settings::Endpoint;
use crate::jupyter::OpenNotebook;
use crate::runtime::error::Reach;
use crate::runtime::{Runtime, RuntimeError, RuntimeResult};
pub use address::Address;

/// The current address, and the other known ones.
#[derive(Debug)]
pub struct Remote {
    /// None until one is known.
    address: Lock<Option<Arc<Address>>>,
    /// The configured address, to fall back to if a saved one is of no use.
    home: Option<Endpoint>,
    data_dir: PathBuf,
}

impl Remote {
    /// What is at `endpoint`; the saved address is in `data_dir`.
    #[must_use]
    pub fn at(endpoint: Endpoint, data_dir: &Path) -> Self {
        Self::through(Address::new(endpoint, data_dir), data_dir)
    }

    /// As [`Self::at`], at an address that is in use.
    #[must_use]
    pub fn through(address: Address, data_dir: &Path) -> Self {
        let home = Some(address.endpoint.clone());
        Self::new(home, Some(address), data_dir)
    }

    /// What is at the saved address, as soon as there is one.
    #[must_use]
    pub fn saved(data_dir: &Path) -> Self {
        let remote = Self::new(None, None, data_dir);
        let _ = remote.address();
        remote
    }

    fn new(home: Option<Endpoint>, address: Option<Address>, data_dir: &Path) -> Self {
        Self {
            address: Lock::new(address.map(Arc::new)),
            home,
            data_dir: data_dir.to_owned(),
        }
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
        let saved = Pairing::new(&self.data_dir).load();
        saved.unwrap_or_else(|fault| {
            tracing::warn!("the saved connection cannot be used: {fault}");
            None
        })
    }

    /// Inspects the address and exchanges it in one step.
    fn exchange(&self, other: impl FnOnce(Option<&Address>) -> Option<Endpoint>) {
        let mut address = self.address.lock();
        let other = other(address.as_deref());
        let other = other.map(|other| Arc::new(Address::new(other, &self.data_dir)));
        // The former one is dropped outside the lock: it may still write to the disk.
        let _former = other.and_then(|other| address.replace(other));
        drop(address);
    }

    /// Switches to another address after `error` of one that may be outdated, and returns whether another one is in use now:
    /// - another one was saved since this one became current, or
    /// - this one has never answered, and the error leaves no doubt.
    fn switch(&self, is_failed: impl FnOnce(&Address) -> bool, error: &RuntimeError) -> bool {
        let is_definite = error.reach() != Reach::Unknown
            || matches!(
                error,
                RuntimeError::Incompatible { .. } | RuntimeError::Stranger { .. }
            );
        let mut is_other = false;
        self.exchange(|now| {
            let now = now?;
            if !is_failed(now) {
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
}

#[async_trait]
impl Provisioner for Remote {
    fn begin(&self) {
        if let Some(address) = self.current() {
            address.way.begin();
        }
    }

    /// Where an executor has to be started first, it may be this that fails, and another address that helps.
    async fn runtime(&self, deadline: Instant) -> RuntimeResult<Arc<dyn Runtime>> {
        let first = self.address().ok_or(RuntimeError::NotConfigured)?;
        let error = match first.runtime(deadline).await {
            Err(error) if !matches!(error, RuntimeError::Starting { .. }) => error,
            answer => return answer,
        };
        let is_first = |now: &Address| std::ptr::eq(now, &*first);
        if !self.switch(is_first, &error) {
            return Err(error);
        }
        let other = self.current().ok_or(RuntimeError::NotConfigured)?;
        other.runtime(deadline).await
    }

    fn doing(&self) -> Option<String> {
        self.current()?.way.doing()
    }

    fn heal(&self, asked: &dyn Runtime, error: &RuntimeError) -> bool {
        error.is_stale() && self.switch(|now| now.leads_to(asked), error)
    }

    async fn stop(&self) {
        if let Some(address) = self.current() {
            address.way.stop().await;
        }
    }

    fn place(&self) -> Option<String> {
        self.current()?.way.place()
    }

    fn boot_id(&self) -> Option<String> {
        self.current()?.way.boot_id()
    }

    fn machine_age(&self) -> Option<Duration> {
        self.current()?.way.machine_age()
    }

    async fn jupyter(&self, deadline: Instant) -> RuntimeResult<Option<Host>> {
        match self.current() {
            Some(address) => address.way.jupyter(deadline).await,
            None => Ok(None),
        }
    }

    fn explain_missing(&self, job: JobId) -> Option<RuntimeError> {
        self.current()?.way.explain_missing(job)
    }

    async fn notebooks(&self) -> RuntimeResult<Vec<OpenNotebook>> {
        match self.current() {
            Some(address) => address.way.notebooks().await,
            None => Ok(Vec::new()),
        }
    }

    fn ngrok_month_bytes(&self) -> Option<u64> {
        self.current()?.way.ngrok_month_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use tokio::time::Instant;

    use super::Remote;
    use crate::base::advice::Step;
    use crate::edge::pairing::Pairing;
    use crate::edge::settings::{Endpoint, endpoint};
    use crate::provision::Provisioner;
    use crate::runtime::{Runtime, RuntimeError};

    fn at(address: &str) -> Endpoint {
        endpoint(&format!("{address}/#t0ken"), None).unwrap()
    }

    /// No executor is started at these addresses: the runtime is there at once.
    fn runtime(remote: &Remote) -> Arc<dyn Runtime> {
        let found = remote.runtime(Instant::now()).now_or_never();
        found.unwrap().unwrap()
    }

    fn place(remote: &Remote) -> String {
        runtime(remote).address().to_owned()
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
        let first = runtime(&remote);
        assert!(remote.heal(&*first, &refused()));
        assert_eq!(place(&remote), "https://saved.example");
        // A late error of the first address.
        assert!(remote.heal(&*first, &refused()));
        assert_eq!(place(&remote), "https://saved.example");
        // The saved one is of no use either.
        assert!(remote.heal(&*runtime(&remote), &refused()));
        assert_eq!(place(&remote), "https://home.example");
    }

    #[test]
    fn a_timeout_alone_leads_only_to_an_address_saved_since() {
        let folder = tempfile::tempdir().unwrap();
        let pairing = Pairing::new(folder.path());
        pairing.save(&at("https://old.example")).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        let remote = Remote::at(at("https://home.example"), folder.path());
        assert!(!remote.heal(&*runtime(&remote), &silent()));
        Pairing::new(folder.path())
            .save(&at("https://new.example"))
            .unwrap();
        assert!(remote.heal(&*runtime(&remote), &silent()));
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
