//! What can be asked of Colab.

use std::fmt::{self, Debug, Display, Formatter};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use url::Url;

use super::error::ColabError;
use crate::base::secret::Secret;
use crate::edge::google::Api;

/// The kind of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    #[default]
    Cpu,
    Gpu,
    Tpu,
}

/// The machine that a person wants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wanted {
    pub variant: Variant,
    /// Colab's name of a GPU or TPU (`T4`, `V5E1`): as given, since Colab has new ones.
    pub accelerator: Option<String>,
    pub high_ram: bool,
}

/// Accelerators whose machines have one shape, and refuse to be asked for more memory.
const ONE_SHAPE: [&str; 5] = ["L4", "V28", "V5E1", "V6E1", "G4"];

impl Wanted {
    /// By the name of an accelerator: those of TPUs begin with V.
    #[must_use]
    pub fn named(accelerator: Option<String>, high_ram: bool) -> Self {
        let accelerator = accelerator.map(|name| name.to_uppercase());
        let variant = match &accelerator {
            Some(name) if name.starts_with('V') => Variant::Tpu,
            Some(_) => Variant::Gpu,
            None => Variant::Cpu,
        };
        Self {
            variant,
            accelerator,
            high_ram,
        }
    }
}

impl Wanted {
    /// Whether such machines all have the same memory.
    #[must_use]
    pub fn has_one_shape(&self) -> bool {
        let name = self.accelerator.as_deref();
        name.is_some_and(|name| ONE_SHAPE.contains(&name))
    }

    /// Says that more memory was asked for where there is none to choose.
    #[must_use]
    pub fn ignored(&self) -> Option<String> {
        let is_ignored = self.high_ram && self.has_one_shape();
        let name = self.accelerator.as_deref().unwrap_or_default();
        is_ignored.then(|| {
            format!("machines with {name} have one size of memory: more cannot be asked for")
        })
    }
}

impl Display for Wanted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (&self.accelerator, self.variant) {
            (Some(name), _) => write!(f, "a machine with {name}"),
            (None, Variant::Cpu) => f.write_str("a machine without accelerator"),
            (None, Variant::Gpu) => f.write_str("a machine with a GPU"),
            (None, Variant::Tpu) => f.write_str("a machine with a TPU"),
        }
    }
}

/// A machine that is assigned to the account.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its name at Colab.
    pub endpoint: String,
    /// As Colab names it; none for a machine without one.
    pub accelerator: Option<String>,
    pub high_ram: bool,
    /// How its Jupyter Server is reached now.
    pub proxy: Option<Proxy>,
}

/// The way to a machine's Jupyter Server.
#[derive(Debug, Clone)]
pub struct Proxy {
    pub url: Url,
    pub token: Secret,
    /// After that every path of the machine answers as if it were gone.
    pub expires_in: Duration,
}

impl Proxy {
    /// Checks the address.
    pub(super) fn new(url: &str, token: String, expires_in: Duration) -> Result<Self, ColabError> {
        let url = Url::parse(url).map_err(|_| ColabError::odd("a machine's address"))?;
        let is_loopback = url.host_str().is_some_and(|host| host == "127.0.0.1");
        if url.scheme() != "https" && !is_loopback {
            return Err(ColabError::odd("a machine's address without TLS"));
        }
        Ok(Self {
            url,
            token: Secret::new(token),
            expires_in,
        })
    }
}

/// A machine's name stands in paths.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text != "." && text != ".." && text.chars().all(plain)
}

/// What the account has left.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Quota {
    /// Compute units; none where Colab does not say.
    pub balance: Option<f64>,
    /// Compute units an hour that the assigned machines cost.
    pub hourly_rate: Option<f64>,
    pub machines: Option<u64>,
    /// None where Colab does not say, which is not the same as an empty list.
    pub gpus: Option<Vec<String>>,
    pub tpus: Option<Vec<String>>,
    /// What the account pays for, where Colab says so: `free`, `pro` …
    pub tier: Option<String>,
}

impl Display for Quota {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.balance {
            Some(balance) => write!(f, "{balance:.2} compute units left")?,
            None => f.write_str("Colab does not say how many compute units are left")?,
        }
        if let Some(rate) = self.hourly_rate {
            write!(f, ", {rate:.2} an hour now")?;
        }
        f.write_str(".")?;
        if let Some(tier) = &self.tier {
            write!(f, " Subscription: {tier}.")?;
        }
        for (kind, names) in [("GPU", &self.gpus), ("TPU", &self.tpus)] {
            match names.as_deref() {
                None => {}
                Some([]) => write!(f, " No {kind}s.")?,
                Some(names) => write!(f, " {kind}s: {}.", names.join(", "))?,
            }
        }
        Ok(())
    }
}

/// Colab, for one account.
#[async_trait]
pub trait Plane: Debug + Send + Sync {
    /// Its requests.
    fn api(&self) -> Api;

    /// Assigns a machine under `key`, or returns the one that is assigned under it: however often it is called, there is one machine a key.
    ///
    /// # Errors
    /// [`ColabError`]; after any of them [`Plane::find`] says whether there is a machine.
    async fn assign(&self, wanted: &Wanted, key: &str) -> Result<Machine, ColabError>;

    /// Returns the machine that is assigned under `key`, with a fresh way to it.
    ///
    /// # Errors
    /// [`ColabError`].
    async fn find(&self, wanted: &Wanted, key: &str) -> Result<Option<Machine>, ColabError>;

    /// Returns a machine with a fresh way to it; none once Colab has ended it.
    ///
    /// # Errors
    /// [`ColabError`].
    async fn reach(&self, endpoint: &str) -> Result<Option<Machine>, ColabError>;

    /// Returns all machines of the account, whoever had them assigned.
    ///
    /// # Errors
    /// [`ColabError`].
    async fn list(&self) -> Result<Vec<Machine>, ColabError>;

    /// Gives a machine back. One that is gone already is no error.
    ///
    /// # Errors
    /// [`ColabError`]; then it may still be there.
    async fn unassign(&self, endpoint: &str) -> Result<(), ColabError>;

    /// Tells Colab that a machine is in use.
    ///
    /// # Errors
    /// [`ColabError`].
    async fn keep_alive(&self, endpoint: &str) -> Result<(), ColabError>;

    /// Returns what the account has left.
    ///
    /// # Errors
    /// [`ColabError`].
    async fn quota(&self) -> Result<Quota, ColabError>;
}
