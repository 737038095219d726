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
}

impl Google {
    pub(super) fn read(env: &Env) -> Self {
        Self {
            sign_in: sign_in(env),
            services: services(env),
        }
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
