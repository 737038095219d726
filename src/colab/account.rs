//! The sign-in, and access tokens made of it. A refresh token is read for each new access token and kept nowhere in memory.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

pub use super::credentials::{OAuthClient, SignInFiles};
use super::error::{ColabError, short};
use super::{Services, client};
use crate::base::secret::Secret;

/// An access token is replaced this long before its end.
const MARGIN: Duration = Duration::from_secs(120);
const TOKEN: &str = "Google's sign-in";

/// The user's Google account.
#[derive(Debug)]
pub struct Account {
    files: SignInFiles,
    token_service: Url,
    client: Client,
    access: Mutex<Option<Access>>,
}

/// An access token, and its end.
#[derive(Debug, Clone)]
struct Access {
    token: Secret,
    ends: Instant,
    email: Option<String>,
}

/// The token service's answer.
#[derive(Deserialize)]
pub(super) struct Granted {
    access_token: String,
    #[serde(default)]
    expires_in: u64,
    /// Whose it is, if the sign-in allows to know that.
    #[serde(default)]
    id_token: Option<String>,
    #[serde(default)]
    pub(super) refresh_token: Option<String>,
    #[serde(default)]
    pub(super) scope: String,
}

/// The token service's error.
#[derive(Deserialize)]
struct Denied {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Account {
    /// Reads nothing yet.
    ///
    /// # Errors
    /// If TLS cannot be set up on this system.
    pub fn new(files: SignInFiles, services: &Services) -> Result<Self, ColabError> {
        Ok(Self {
            files,
            token_service: services.token.clone(),
            client: client()?,
            access: Mutex::default(),
        })
    }

    /// Returns a token that is valid for a while; `refused` is one that is not, whatever its age.
    pub(super) async fn access(&self, refused: Option<&Secret>) -> Result<Secret, ColabError> {
        let mut access = self.access.lock().await;
        if let Some(known) = &*access
            && known.ends > Instant::now() + MARGIN
            && refused != Some(&known.token)
        {
            return Ok(known.token.clone());
        }
        let credentials = self.files.read()?;
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", &credentials.client.id),
            ("client_secret", credentials.client.secret.expose()),
            ("refresh_token", credentials.refresh_token.expose()),
        ];
        let granted = grant(&self.client, &self.token_service, &form).await?;
        tracing::debug!(file = %credentials.path.display(), "signed in to Google");
        let email = granted.id_token.as_deref().and_then(email_in);
        let token = Secret::new(granted.access_token);
        let ends = Instant::now() + Duration::from_secs(granted.expires_in);
        *access = Some(Access {
            token: token.clone(),
            ends,
            email,
        });
        Ok(token)
    }

    /// The address of the account; none if the sign-in does not say it, or was not used yet.
    pub(super) async fn email(&self) -> Option<String> {
        let access = self.access.lock().await;
        access.as_ref()?.email.clone()
    }
}

/// The address in an id token, which comes from Google itself: its signature need not be checked.
fn email_in(id_token: &str) -> Option<String> {
    let claims = id_token.split('.').nth(1)?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims["email"].as_str().map(str::to_owned)
}

/// Asks the token service.
pub(super) async fn grant(
    client: &Client,
    service: &Url,
    form: &[(&str, &str)],
) -> Result<Granted, ColabError> {
    let body: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let asked = client
        .post(service.clone())
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await;
    let answer = asked.map_err(ColabError::from_request)?;
    let status = answer.status();
    let text = answer.text().await.map_err(ColabError::from_request)?;
    if status == StatusCode::OK {
        return serde_json::from_str(&text)
            .map_err(|_| ColabError::odd("the sign-in's answer has no token"));
    }
    match serde_json::from_str::<Denied>(&text) {
        Ok(denied) if status.is_client_error() && !denied.error.is_empty() => {
            let said = short(&format!("{} {}", denied.error, denied.error_description));
            Err(ColabError::SignInEnded(said))
        }
        Ok(_) | Err(_) => Err(ColabError::refused(TOKEN, status.as_u16(), &text)),
    }
}
