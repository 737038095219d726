//! A new sign-in, with an OAuth client of the user's own: in the browser, which answers to a port of this computer (RFC 8252, with PKCE).

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use url::{Url, form_urlencoded};

use super::account::grant;
use super::credentials::{OAuthClient, SignInFiles};
use super::error::{ColabError, short};
use super::{Services, client};
use crate::base::secret::{Secret, random};

/// For Colab, and to say who has signed in.
const SCOPES: &str = "openid email profile https://www.googleapis.com/auth/colaboratory";
const COLAB: &str = "https://www.googleapis.com/auth/colaboratory";

/// A sign-in that waits for the person.
#[derive(Debug)]
pub struct Login {
    client: OAuthClient,
    services: Services,
    redirect: String,
    verifier: String,
    answers: mpsc::Receiver<HashMap<String, String>>,
}

impl Login {
    /// Waits on a port of this computer, from now on. Returns the address to open, too.
    ///
    /// # Errors
    /// [`ColabError::NotConfirmed`] if this computer lets no program listen.
    pub async fn begin(client: OAuthClient, services: Services) -> Result<(Self, Url), ColabError> {
        let no_port = |error: std::io::Error| {
            ColabError::NotConfirmed(format!("no port to answer to ({error})"))
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(no_port)?;
        let port = listener.local_addr().map_err(no_port)?.port();
        let (answered, answers) = mpsc::channel(1);
        let state = random();
        tokio::spawn(listen(listener, state.clone(), answered));
        let login = Self {
            redirect: format!("http://127.0.0.1:{port}"),
            // At least 43 characters.
            verifier: random() + &random(),
            client,
            services,
            answers,
        };
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&login.verifier));
        let mut consent = login.services.consent.clone();
        consent.query_pairs_mut().extend_pairs([
            ("client_id", &*login.client.id),
            ("redirect_uri", &login.redirect),
            ("response_type", "code"),
            ("scope", SCOPES),
            ("state", &state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("access_type", "offline"),
            ("prompt", "consent"),
        ]);
        Ok((login, consent))
    }

    /// Waits until the person has confirmed, and keeps the sign-in.
    ///
    /// # Errors
    /// [`ColabError`].
    pub async fn finish(mut self, files: &SignInFiles) -> Result<(), ColabError> {
        let not_confirmed = |why: &str| ColabError::NotConfirmed(short(why));
        let answer = self.answers.recv().await;
        let mut answer = answer.ok_or_else(|| not_confirmed("the port was closed"))?;
        if let Some(error) = answer.get("error") {
            return Err(not_confirmed(error));
        }
        let code = answer.remove("code");
        let code = code.ok_or_else(|| not_confirmed("no code came"))?;
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", &*self.client.id),
            ("client_secret", self.client.secret.expose()),
            ("code", &code),
            ("code_verifier", &self.verifier),
            ("redirect_uri", &self.redirect),
        ];
        let granted = grant(&client()?, &self.services.token, &form).await?;
        // Google reorders scopes and adds to them, and a person may untick one.
        if !granted.scope.split(' ').any(|scope| scope == COLAB) {
            return Err(ColabError::ScopeMissing(
                "its box was not ticked".to_owned(),
            ));
        }
        let token = granted.refresh_token;
        let token = token.ok_or_else(|| ColabError::odd("a sign-in without a refresh token"))?;
        files.save(&self.client, &Secret::new(token))
    }
}

async fn listen(
    listener: TcpListener,
    state: String,
    answered: mpsc::Sender<HashMap<String, String>>,
) {
    let answered = Arc::new(answered);
    while let Ok((stream, _)) = listener.accept().await {
        let (answered, state) = (answered.clone(), state.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &state, answered.clone()));
            let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = serving.await {
                tracing::debug!(%error, "a connection to the port of a sign-in broke");
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    state: &str,
    answered: Arc<mpsc::Sender<HashMap<String, String>>>,
) -> Result<Response<String>, Infallible> {
    let query = request.uri().query().unwrap_or_default();
    let parts: HashMap<String, String> = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    // Another page may call.
    let is_ours = parts.get("state").is_some_and(|given| given == state);
    let text = match (is_ours, parts.contains_key("code")) {
        (true, true) => {
            "thank you. Go back to the terminal: it says whether the sign-in is complete."
        }
        (true, false) => "the sign-in was refused. Go back to the terminal.",
        (false, _) => "there is nothing here",
    };
    let mut response = Response::new(format!("smart-colab: {text}\n"));
    if is_ours {
        let _ = answered.try_send(parts);
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}
