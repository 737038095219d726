//! Paths of the server's files, and why one cannot be used.

use super::Kernels;
use super::refusals::{refused, unsupported};
use crate::jupyter::JupyterError;
use crate::runtime::{RuntimeError, RuntimeResult};

/// In the name of an upload that is not complete, and of the file that it replaces, until it has.
const OURS: &str = ".smart-colab-";
const PARTIAL: &str = ".partial";
/// Bytes of such a name: what file systems take, less what the server puts before the name of what it writes.
const MAX_NAME: usize = 250;
/// Digits of the digest in such a name.
const DIGITS: usize = 12;
/// What the server says of a full disk, and of a quota that is used up.
const NO_ROOM: [&str; 3] = ["[Errno 28]", "[Errno 69]", "[Errno 122]"];

/// Returns the path below the server's root, without steps that lead nowhere; empty for the root. As everywhere, `/content` is the root.
///
/// # Errors
/// If it leads out of the root, or can be no path.
pub fn below_root(path: &str) -> RuntimeResult<String> {
    let outside = |what: &str| {
        let detail = format!(
            "{path:?} is {what}: the Jupyter Server has the files below its own root folder only."
        );
        let hint = "Give the path relative to the folder that the server shows first, as data.csv or runs/a.txt.";
        Err(refused(403, "outside_root", detail, hint))
    };
    if path.contains('\0') {
        let detail = format!("{path:?} has a NUL character, which no file's name can have.");
        let hint = "Give the path without it.";
        return Err(refused(400, "invalid_argument", detail, hint));
    }
    let below = match path.strip_prefix("/content") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        Some(_) | None if path.starts_with('/') && path != "/" => {
            return outside("absolute, and not in /content");
        }
        Some(_) | None => path,
    };
    let mut steps = Vec::new();
    for step in below.split('/') {
        match step {
            "" | "." => {}
            ".." if steps.pop().is_none() => return outside("outside the root"),
            ".." => {}
            _ => steps.push(step),
        }
    }
    Ok(steps.join("/"))
}

/// Where an upload of a file grows. The name says what of, so that the next process resumes it.
pub(super) fn partial_of(path: &str, sha256: &str) -> String {
    beside(path, sha256, PARTIAL)
}

/// Where the file that an upload replaces is kept meanwhile.
pub(super) fn replaced_of(path: &str, sha256: &str) -> String {
    beside(path, sha256, ".replaced")
}

fn beside(path: &str, sha256: &str, ending: &str) -> String {
    let own = format!("{OURS}{}{ending}", sha256.get(..DIGITS).unwrap_or(sha256));
    let name = path.rfind('/').map_or(0, |at| at + 1);
    let mut end = path.len().min(name + MAX_NAME - own.len());
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{own}", &path[..end])
}

/// Whether it is an upload that is not complete, which listings leave out.
pub(super) fn is_partial(name: &str) -> bool {
    name.ends_with(PARTIAL) && name.contains(OURS)
}

fn is_hidden(path: &str) -> bool {
    path.split('/').any(|step| step.starts_with('.'))
}

impl Kernels {
    /// Whether the server has files at all: a Kernel Gateway has none.
    async fn has_files(&self) -> Result<bool, JupyterError> {
        match self.server.look("").await {
            Ok(root) => Ok(root.is_some()),
            // Whether the token is right, its kernels show.
            Err(JupyterError::Unauthorized) => self.server.python_kernel().await.map(|_| false),
            Err(error) => Err(error),
        }
    }

    /// The error for a file or folder that the server does not have.
    pub(super) async fn missing(&self, path: &str) -> RuntimeError {
        match self.has_files().await {
            Err(error) => return self.error(error),
            Ok(false) => {
                let what = "files (this one is a Kernel Gateway, or another server without the Contents API)";
                return unsupported(what, &self.reason);
            }
            Ok(true) => {}
        }
        if is_hidden(path) {
            return hidden(path);
        }
        let detail = format!("The Jupyter Server has no file or folder {path}.");
        let hint = "List its folder to see what there is: paths begin at the server's root folder.";
        refused(404, "not_found", detail, hint)
    }

    /// The error of a request about the file or folder at `path`.
    pub(super) async fn fault(&self, path: &str, error: JupyterError) -> RuntimeError {
        let said = match error {
            JupyterError::NotFound => return self.missing(path).await,
            JupyterError::Unauthorized => {
                return match self.has_files().await {
                    Ok(true) => {
                        let detail =
                            format!("The Jupyter Server is not permitted to do this with {path}.");
                        let hint = "Change the permissions of the file or its folder on the server, or give another path.";
                        refused(400, "invalid_argument", detail, hint)
                    }
                    Ok(false) => self.missing(path).await,
                    Err(error) => self.error(error),
                };
            }
            JupyterError::Refused(said) => said,
            error @ (JupyterError::Unreachable(_)
            | JupyterError::TimedOut
            | JupyterError::Broken(_)
            | JupyterError::Untrusted(_)
            | JupyterError::Stopped(_)
            | JupyterError::Stranger(_)
            | JupyterError::NoKernels(_)) => return self.error(error),
        };
        let detail = format!("The Jupyter Server answered {said} for {path:?}.");
        if NO_ROOM.iter().any(|sign| said.contains(sign)) {
            let hint = "Remove files on the server's disk that are not needed, then send it again.";
            return refused(507, "disk_full", detail, hint);
        }
        if said.starts_with("413") {
            let hint = "A proxy in front of the server refuses requests of 6 MB: raise its limit, or write the file from code.";
            return refused(413, "too_large", detail, hint);
        }
        if said.contains("File name too long") {
            let hint = "Give it a shorter name: most file systems take 255 bytes.";
            return refused(400, "invalid_argument", detail, hint);
        }
        if said.starts_with('4') && is_hidden(path) {
            return hidden(path);
        }
        let hint =
            "Check that its folder is one and can be written to; the server's log has the reason.";
        refused(400, "invalid_argument", detail, hint)
    }
}

fn hidden(path: &str) -> RuntimeError {
    let detail =
        format!("{path} has a name that begins with a dot, and the Jupyter Server hides those.");
    let hint = "Give it another name, from code if it exists; or have the server show such files (ContentsManager.allow_hidden).";
    refused(404, "not_found", detail, hint)
}

#[cfg(test)]
mod tests {
    use super::{below_root, is_partial, partial_of};
    use crate::base::fault::Fault as _;

    #[test]
    fn paths_end_below_the_root_or_are_refused() {
        for (path, expected) in [
            ("", Some("")),
            ("/", Some("")),
            ("./", Some("")),
            ("/content", Some("")),
            ("/content/a/../b.txt", Some("b.txt")),
            ("a//./b/", Some("a/b")),
            ("content/a", Some("content/a")),
            ("/contents/a", None),
            ("/home/me/a", None),
            ("../a", None),
            ("a/../../b", None),
            ("/content/..", None),
        ] {
            let found = below_root(path);
            if let Err(error) = &found {
                assert_eq!(error.code(), "outside_root");
            }
            assert_eq!(found.ok().as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_partial_is_known_by_its_name() {
        let partial = partial_of("a/b.bin", &"0123456789abcdef".repeat(4));
        assert_eq!(partial, "a/b.bin.smart-colab-0123456789ab.partial");
        assert!(is_partial("b.bin.smart-colab-0123456789ab.partial"));
        assert!(!is_partial("b.bin.partial"));
        let long = partial_of(&format!("é/a{}", "é".repeat(127)), "0123456789abcdef");
        let name = long.strip_prefix("é/").unwrap();
        assert!(name.len() <= 250 && is_partial(name), "{name}");
    }
}
