//! A client's config on the disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Zoned;

use super::client::Client;
use super::error::{Fault, InstallError};
use super::{Entry, edited, ours};
use crate::edge::store::{read_if_there, write_atomic};

/// A client's config as it was read.
#[derive(Debug, Clone)]
pub struct Config {
    pub client: Client,
    /// As the client names it; may be a link.
    pub path: PathBuf,
    /// None if there is no file.
    text: Option<String>,
}

impl Config {
    /// Reads a config.
    ///
    /// # Errors
    /// File system errors; text that is not UTF-8.
    pub fn read(client: Client, path: PathBuf) -> Result<Self, InstallError> {
        let text = text_of(&path)?;
        Ok(Self { client, path, text })
    }

    /// The text, empty if there is no file.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Whether our entry is in it.
    #[must_use]
    pub fn has_entry(&self) -> bool {
        !ours(self.text(), self.client).is_empty()
    }

    /// Returns the text with our entry as wanted, or without it for none.
    ///
    /// # Errors
    /// [`InstallError::Unclear`].
    pub fn edited(&self, entry: Option<&Entry>) -> Result<String, InstallError> {
        if entry.is_none() && self.text.is_none() {
            return Ok(String::new());
        }
        edited(self.text(), self.client, entry).map_err(|fault| InstallError::Unclear {
            path: self.path.clone(),
            fault,
        })
    }

    /// Replaces the file in one step, and returns the copy of the old one, if there was one. A link stays a link, and the permissions stay.
    ///
    /// # Errors
    /// File system errors, a write-protected file, one that has changed since it was read; nothing was written then.
    pub fn replace(&self, after: &str) -> Result<Option<PathBuf>, InstallError> {
        let failed = |error| InstallError::Io {
            path: self.path.clone(),
            error,
        };
        let target = target_of(&self.path).map_err(failed)?;
        if text_of(&target)? != self.text {
            return Err(InstallError::Changed(self.path.clone()));
        }
        let permissions = match fs::metadata(&target) {
            Ok(found) => Some(found.permissions()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        if permissions.as_ref().is_some_and(fs::Permissions::readonly) {
            return Err(InstallError::Protected(self.path.clone()));
        }
        let backup = match &self.text {
            Some(_) => Some(copied(&target).map_err(failed)?),
            None => None,
        };
        write_atomic(&target, after.as_bytes()).map_err(failed)?;
        if let Some(permissions) = permissions {
            fs::set_permissions(&target, permissions).map_err(failed)?;
        }
        Ok(backup)
    }
}

fn text_of(path: &Path) -> Result<Option<String>, InstallError> {
    let bytes = read_if_there(path).map_err(|error| InstallError::Io {
        path: path.to_owned(),
        error,
    })?;
    bytes
        .map(String::from_utf8)
        .transpose()
        .map_err(|_| InstallError::Unclear {
            path: path.to_owned(),
            fault: Fault::NotText,
        })
}

/// The file that a path leads to: a rename onto a link would replace the link.
fn target_of(path: &Path) -> io::Result<PathBuf> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => fs::canonicalize(path).or_else(|_| {
            // It leads to a file that does not exist yet.
            let folder = path.parent().unwrap_or(Path::new(""));
            Ok(folder.join(fs::read_link(path)?))
        }),
        Ok(_) => Ok(path.to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(error),
    }
}

/// Copies a file to a free name beside it.
fn copied(path: &Path) -> io::Result<PathBuf> {
    let stamp = Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
    let mut number = 1u32;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(match number {
            1 => format!(".backup-{stamp}"),
            _ => format!(".backup-{stamp}-{number}"),
        });
        let backup = PathBuf::from(name);
        if !backup.try_exists()? {
            fs::copy(path, &backup)?;
            return Ok(backup);
        }
        number += 1;
    }
}
