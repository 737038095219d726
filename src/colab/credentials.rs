//! Where sign-ins are kept: that of `smart-colab colab login`, or the application-default credentials of Google's own tool.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::ColabError;
use crate::base::secret::Secret;
use crate::edge::store::{read_if_there, remove_if_there, write_atomic};

/// Of application-default credentials, those that stand for a person.
const USER: &str = "authorized_user";
const FILE: &str = "sign-in.json";

/// A refresh token, and the client that it belongs to.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    pub(super) client: OAuthClient,
    pub(super) refresh_token: Secret,
    /// Where they were read.
    pub(super) path: PathBuf,
}

/// An OAuth client of the type "Desktop app", which is the user's own.
#[derive(Debug, Clone)]
pub struct OAuthClient {
    pub(super) id: String,
    pub(super) secret: Secret,
}

/// Google's form of application-default credentials; ours is the same.
#[derive(Serialize, Deserialize)]
struct Content {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    client_secret: String,
    #[serde(default)]
    refresh_token: String,
}

/// The file that Google's console offers for a client.
#[derive(Deserialize)]
struct ClientFile {
    installed: Option<ClientContent>,
}

#[derive(Deserialize)]
struct ClientContent {
    client_id: String,
    client_secret: String,
}

/// The files that may hold a sign-in, best first.
#[derive(Debug, Clone)]
pub struct SignInFiles {
    own: PathBuf,
    google: Option<PathBuf>,
}

impl SignInFiles {
    /// `google` is where Google's own tool keeps its credentials.
    #[must_use]
    pub fn new(data_dir: &Path, google: Option<PathBuf>) -> Self {
        Self {
            own: data_dir.join("colab").join(FILE),
            google,
        }
    }

    /// Reads the first sign-in there is.
    pub(super) fn read(&self) -> Result<Credentials, ColabError> {
        for path in std::iter::once(&self.own).chain(&self.google) {
            if let Some(bytes) = read(path)? {
                return credentials(path, &bytes);
            }
        }
        Err(ColabError::SignedOut)
    }

    /// Says whose sign-in there is.
    ///
    /// # Errors
    /// [`ColabError`] if there is none that can be used.
    pub fn kind(&self) -> Result<&'static str, ColabError> {
        Ok(match self.read()?.path == self.own {
            true => "with a client of your own",
            false => "that of Google's own tool",
        })
    }

    /// Keeps a sign-in, readable by its owner alone.
    pub(super) fn save(&self, client: &OAuthClient, token: &Secret) -> Result<(), ColabError> {
        let content = Content {
            kind: USER.to_owned(),
            client_id: client.id.clone(),
            client_secret: client.secret.expose().to_owned(),
            refresh_token: token.expose().to_owned(),
        };
        let bytes = serde_json::to_vec_pretty(&content).unwrap_or_default();
        write_atomic(&self.own, &bytes).map_err(|error| disk(&self.own, &error))
    }

    /// Forgets the sign-in that was made here, and returns whether there was one; that of Google's own tool is not ours.
    ///
    /// # Errors
    /// [`ColabError::Disk`].
    pub fn forget(&self) -> Result<bool, ColabError> {
        let failed = |error| disk(&self.own, &error);
        let was_there = self.own.try_exists().map_err(failed)?;
        remove_if_there(&self.own).map_err(failed)?;
        Ok(was_there)
    }
}

impl OAuthClient {
    /// Reads the file of a client that Google's console offers.
    ///
    /// # Errors
    /// [`ColabError::BadSignIn`], [`ColabError::Disk`].
    pub fn read(path: &Path) -> Result<Self, ColabError> {
        let bad = |why: &str| bad(path, why);
        let bytes = read(path)?.ok_or_else(|| bad("it is not there"))?;
        // serde's own message is dropped: it may quote the secret.
        let file: ClientFile =
            serde_json::from_slice(&bytes).map_err(|_| bad("it is no client's file"))?;
        let client = file
            .installed
            .ok_or_else(|| bad("it is not of the type \"Desktop app\""))?;
        Ok(Self {
            id: client.client_id,
            secret: Secret::new(client.client_secret),
        })
    }
}

fn credentials(path: &Path, bytes: &[u8]) -> Result<Credentials, ColabError> {
    let content: Content =
        serde_json::from_slice(bytes).map_err(|_| bad(path, "it is not the JSON of a sign-in"))?;
    if content.kind != USER {
        return Err(bad(path, "it is not the sign-in of a person"));
    }
    Ok(Credentials {
        client: OAuthClient {
            id: content.client_id,
            secret: Secret::new(content.client_secret),
        },
        refresh_token: Secret::new(content.refresh_token),
        path: path.to_owned(),
    })
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, ColabError> {
    read_if_there(path).map_err(|error| disk(path, &error))
}

fn bad(path: &Path, why: &str) -> ColabError {
    let (path, why) = (path.display().to_string(), why.to_owned());
    ColabError::BadSignIn { path, why }
}

pub(super) fn disk(path: &Path, error: &std::io::Error) -> ColabError {
    let (path, why) = (path.display().to_string(), error.to_string());
    ColabError::Disk { path, why }
}
