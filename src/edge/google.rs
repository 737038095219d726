//! Where the sign-in of Google's own tool is, as its libraries find it.

use std::path::PathBuf;

use directories::BaseDirs;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::env::{self, Env};

const FILE: &str = "application_default_credentials.json";

/// How this computer reaches a Google account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Google {
    /// Where Google's own tool keeps the sign-in of this user.
    pub sign_in: Option<PathBuf>,
    /// Google's services, where they are on this computer.
    pub services: Option<Url>,
    /// How machines are asked for.
    #[serde(default)]
    pub api: Api,
}

/// The requests by which Colab is asked for machines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// Those of Colab's own pages.
    #[default]
    Pages,
    /// Google's documented ones.
    V1beta,
}

impl Api {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pages => "the requests of Colab's pages",
            Self::V1beta => "the official API (v1beta)",
        }
    }
}

impl Google {
    pub(super) fn read(env: &Env) -> Result<Self, String> {
        Ok(Self {
            sign_in: sign_in(env),
            services: services(env),
            api: match env.get(env::MACHINE_API) {
                None => Api::Pages,
                Some("v1beta") => Api::V1beta,
                Some(text) => {
                    return Err(format!(
                        "{} is {text:?}: it must be v1beta, or not be set",
                        env::MACHINE_API
                    ));
                }
            },
        })
    }
}

/// The file of the application-default credentials; it may not be there.
fn sign_in(env: &Env) -> Option<PathBuf> {
    if let Some(path) = env.get(env::GOOGLE_CREDENTIALS) {
        return Some(PathBuf::from(path));
    }
    let folder = env.get(env::GCLOUD_CONFIG).map(PathBuf::from).or_else(|| {
        let folders = BaseDirs::new()?;
        Some(match cfg!(windows) {
            true => folders.data_dir().join("gcloud"),
            false => folders.home_dir().join(".config").join("gcloud"),
        })
    });
    Some(folder?.join(FILE))
}

/// Google's services, only where they are on this computer: a sign-in must go to nobody else.
fn services(env: &Env) -> Option<Url> {
    let url = Url::parse(env.get(env::GOOGLE_SERVICES)?).ok()?;
    let is_here = matches!(url.host(), Some(Host::Ipv4(address)) if address.is_loopback());
    is_here.then_some(url)
}
