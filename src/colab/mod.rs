//! Google Colab's own machines: the account, and what is assigned to it.
//!
//! - [`account`]: the sign-in, and access tokens made of it; `credentials`: where sign-ins are kept; [`login`]: a new one, in the browser;
//! - [`plane`]: what can be asked of Colab, as a trait, and its types; `tun`: the way that Colab's own pages and extensions take; `official`: Google's
//!   documented API; `web`: their requests;
//! - [`machines`]: the machines that this computer has had assigned, each known before it is asked for, so that none is forgotten; [`kept`]: their records;
//! - `error`: what can go wrong.
//!
//! Nothing here was run against Google: the requests follow its published clients (colab-vscode 0.9, google-colab-cli 0.7).
//!
//! May import `base`, `edge`, `render`.

pub mod account;
mod credentials;
mod error;
pub mod kept;
pub mod login;
pub mod machines;
mod official;
pub mod plane;
mod tun;
mod web;

pub use account::{Account, SignInFiles};
pub use error::ColabError;
pub use kept::Kept;
pub use machines::Machines;
pub use plane::{Machine, Plane, Proxy, Quota, Variant, Wanted};

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use url::Url;

use crate::edge::google::{Api, Google};

/// For Google to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Where Google's services are; tests have their own.
#[derive(Debug, Clone)]
pub struct Services {
    pub control: Url,
    pub official: Url,
    pub token: Url,
    pub consent: Url,
}

impl Services {
    /// Google's, or all of them below one address of this computer.
    #[must_use]
    #[expect(clippy::expect_used, reason = "constants")]
    pub fn at(base: Option<&Url>) -> Self {
        let constant = |text| Url::parse(text).expect("it is an address");
        match base {
            Some(base) => Self {
                control: base.clone(),
                official: base.clone(),
                token: base.join("token").expect("it is a path"),
                consent: base.join("auth").expect("it is a path"),
            },
            None => Self {
                control: constant("https://colab.research.google.com/"),
                official: constant("https://colaboratory.googleapis.com/"),
                token: constant("https://oauth2.googleapis.com/token"),
                consent: constant("https://accounts.google.com/o/oauth2/v2/auth"),
            },
        }
    }
}

/// What can be asked of Colab for an account, in the way that its settings name. A sign-in that was made here is in `data_dir`.
///
/// # Errors
/// If TLS cannot be set up on this system.
pub fn plane(google: &Google, data_dir: &Path) -> Result<Arc<dyn Plane>, ColabError> {
    let services = Services::at(google.services.as_ref());
    let files = SignInFiles::new(data_dir, google.sign_in.clone());
    let account = Arc::new(Account::new(files, &services)?);
    Ok(match google.api {
        Api::Pages => Arc::new(tun::Tun::new(account, services.control)),
        Api::V1beta => Arc::new(official::Official::new(account, services.official)),
    })
}

fn client() -> Result<Client, ColabError> {
    // Only the first call of a process has an effect.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("smart-colab/", env!("CARGO_PKG_VERSION")))
        .timeout(ANSWER_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(ColabError::from_request)
}
