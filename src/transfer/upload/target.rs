//! Decides where an upload goes. The same call always goes to the same place: the result of an earlier one must not turn a file's or folder's
//! name into that of a folder to put it in.

use super::allowed::{Kind, Source};
use super::error::{UploadError, UploadResult};
use super::push::Push;
use crate::transfer::trouble::USUAL_DELAY;
use crate::wire::files::{FileStat, FileType};

/// A remote path.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) path: String,
    /// The kind of the existing entry there, if any.
    pub(super) there: Option<FileType>,
}

impl Push {
    /// Resolves `remote` to itself, or to a name in it: if it ends with `/`, if it is the content root, and for a file also if it is any folder.
    pub(super) async fn target(&self, source: &Source, remote: &str) -> UploadResult<Target> {
        let remote = remote.trim();
        let is_folder = matches!(source.kind, Kind::Folder { .. });
        self.meter.change(|report| report.is_folder = is_folder);
        let named_as_folder = remote.ends_with('/') || matches!(remote, "" | ".");
        let mut there = None;
        let mut goes_into = named_as_folder;
        if !named_as_folder {
            let stat = self.look(remote).await?;
            there = stat.as_ref().map(|stat| stat.kind);
            goes_into = match &stat {
                Some(stat) if stat.kind == FileType::Directory => {
                    !is_folder || self.is_root(stat).await?
                }
                _ => false,
            };
        }
        let mut path = remote.to_owned();
        if goes_into {
            path = within(remote, &source.name);
            there = self.look(&path).await?.map(|stat| stat.kind);
        }
        match (is_folder, there) {
            (true, Some(FileType::File)) => Err(UploadError::IsAFile {
                remote: path,
                path: source.path.clone(),
            }),
            (false, Some(FileType::Directory)) => Err(UploadError::IsAFolder {
                remote: path,
                path: source.path.clone(),
            }),
            _ => Ok(Target { path, there }),
        }
    }

    /// Looks up a remote path.
    async fn look(&self, remote: &str) -> UploadResult<Option<FileStat>> {
        let looked = self.ask(remote, USUAL_DELAY, |runtime| async move {
            runtime.stat(remote, None).await
        });
        match looked.await {
            Ok(stat) => Ok(Some(stat)),
            Err(UploadError::Runtime { source, .. }) if source.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn is_root(&self, folder: &FileStat) -> UploadResult<bool> {
        let root = self.look("").await?;
        Ok(root.is_some_and(|root| root.path == folder.path))
    }
}

/// Joins a name to a remote folder, with `/` as everywhere on the wire.
pub(super) fn within(folder: &str, name: &str) -> String {
    match folder {
        "" | "." => name.to_owned(),
        _ if folder.ends_with('/') => format!("{folder}{name}"),
        _ => format!("{folder}/{name}"),
    }
}
