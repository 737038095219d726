//! The connection that `connect` saved, in the data folder, readable by its owner alone: it holds the token.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::jupyter;
use super::settings::{Endpoint, Kind, endpoint};
use super::store::{read_if_there, remove_if_there, set_aside, write_atomic};

const VERSION: u32 = 1;
const FILE: &str = "connection.json";

/// The file that holds the saved connection.
#[derive(Debug)]
pub struct Pairing(PathBuf);

/// A saved connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    pub endpoint: Endpoint,
    pub at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    url: String,
    token: String,
    saved_at: String,
}

/// Why the saved connection cannot be used. Never shows the token.
#[derive(Debug, Error)]
pub enum PairingError {
    #[error("{} cannot be read", .path.display())]
    Disk {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} holds no connection that this version understands", .path.display())]
    Corrupt { path: PathBuf },
    #[error("the address in {} {fault}", .path.display())]
    Unsafe { path: PathBuf, fault: String },
}

impl Pairing {
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self(data_dir.join(FILE))
    }

    /// Returns the saved connection, if there is one.
    ///
    /// # Errors
    /// If the file cannot be read or used; it is left as it is.
    pub fn load(&self) -> Result<Option<Saved>, PairingError> {
        let path = || self.0.clone();
        let bytes = read_if_there(&self.0).map_err(|source| PairingError::Disk {
            path: path(),
            source,
        })?;
        let Some(bytes) = bytes else { return Ok(None) };
        // serde's own message is dropped: it may quote the text.
        let content: Content =
            serde_json::from_slice(&bytes).map_err(|_| PairingError::Corrupt { path: path() })?;
        let at = content.saved_at.parse().ok();
        let Some(at) = at.filter(|_| content.version == VERSION) else {
            return Err(PairingError::Corrupt { path: path() });
        };
        let found = endpoint(&content.url, Some(&content.token));
        let found = found.map(|endpoint| Some(Saved { endpoint, at }));
        found.map_err(|fault| PairingError::Unsafe {
            path: path(),
            fault,
        })
    }

    /// Saves `endpoint` in place of the saved connection; a file that could not be used is kept beside it.
    ///
    /// # Errors
    /// File system errors; the saved connection stays.
    pub fn save(&self, endpoint: &Endpoint) -> io::Result<()> {
        if matches!(self.load(), Err(PairingError::Corrupt { .. })) {
            set_aside(&self.0)?;
        }
        let mark = match endpoint.kind {
            Kind::Executor | Kind::Machine => "",
            Kind::Jupyter => jupyter::PREFIX,
        };
        let content = Content {
            version: VERSION,
            url: format!("{mark}{}", endpoint.url),
            token: endpoint.token.expose().to_owned(),
            saved_at: Timestamp::now().to_string(),
        };
        // Temporary files are private to their owner from the start, and stay so under their new name.
        write_atomic(&self.0, &serde_json::to_vec_pretty(&content)?)
    }

    /// Deletes the saved connection; returns whether there was one.
    ///
    /// # Errors
    /// File system errors.
    pub fn forget(&self) -> io::Result<bool> {
        let was_there = self.0.try_exists()?;
        remove_if_there(&self.0)?;
        Ok(was_there)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{FILE, Pairing, PairingError};
    use crate::edge::settings::endpoint;

    #[test]
    fn a_saved_address_is_read_back_and_private_to_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let pairing = Pairing::new(&folder.path().join("deep"));
        assert_eq!(pairing.load().unwrap(), None);
        for text in [
            "https://there.example/#s3cret",
            "jupyter+https://there.example/user/bob/lab?token=s3cret",
            "jupyter+http://localhost:8888/",
            "colab:gpu-t4-s-1a2b",
        ] {
            let given = endpoint(text, None).unwrap();
            pairing.save(&given).unwrap();
            assert_eq!(pairing.load().unwrap().unwrap().endpoint, given);
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let metadata = fs::metadata(folder.path().join("deep").join(FILE)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        }
        assert!(pairing.forget().unwrap());
        assert!(!pairing.forget().unwrap());
        assert_eq!(pairing.load().unwrap(), None);
    }

    #[test]
    fn an_unusable_file_is_reported_without_its_text_and_kept_beside_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let (pairing, path) = (Pairing::new(folder.path()), folder.path().join(FILE));
        for text in [
            "{\"token\": \"s3cret\"",
            "{\"version\":2,\"url\":\"https://x.example\",\"token\":\"s3cret\",\"saved_at\":\"\"}",
        ] {
            fs::write(&path, text).unwrap();
            let fault = pairing.load().unwrap_err();
            assert!(matches!(fault, PairingError::Corrupt { .. }));
            assert!(!format!("{fault} {fault:?}").contains("s3cret"));
        }
        pairing
            .save(&endpoint("https://there.example/#t", None).unwrap())
            .unwrap();
        assert!(pairing.load().unwrap().is_some());
        assert!(folder.path().join(format!("{FILE}.corrupt-1")).exists());

        let unsafe_one = "{\"version\":1,\"url\":\"http://x.example\",\"token\":\"s3cret\",\"saved_at\":\"2026-11-21T10:00:00Z\"}";
        fs::write(&path, unsafe_one).unwrap();
        let fault = pairing.load().unwrap_err();
        assert!(fault.to_string().contains("https://"), "{fault}");
        assert!(!format!("{fault} {fault:?}").contains("s3cret"));
    }
}
