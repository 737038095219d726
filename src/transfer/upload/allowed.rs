//! Decides which files may be uploaded: those in folders that the user named, and in the client's roots.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::error::{UploadError, UploadResult};
use super::local::Place;
use crate::edge::paths;

/// The folders that may be uploaded from.
#[derive(Debug, Clone)]
pub struct Allowed {
    /// Folders named by the user; relative paths are looked up in these in order, then in the client's roots.
    folders: Vec<PathBuf>,
    /// The client's roots.
    roots: Vec<PathBuf>,
    /// The bridge's own folder: the saved connection, with its token, is in it.
    own_state: PathBuf,
}

/// A file or folder that may be uploaded.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// Its remote name, unless the call gives another.
    pub(super) name: String,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    File(Place),
    Folder {
        folder: Arc<Dir>,
        /// Relative path of the bridge's own folder, if it is inside.
        own_state: Option<PathBuf>,
    },
}

impl Allowed {
    /// Allows `folders`, except for `own_state`.
    #[must_use]
    pub fn new(folders: Vec<PathBuf>, own_state: PathBuf) -> Self {
        Self {
            folders,
            roots: Vec::new(),
            own_state,
        }
    }

    /// Additionally allows a client's roots.
    pub(super) fn and(&self, roots: &[PathBuf]) -> Self {
        Self {
            roots: roots.to_vec(),
            ..self.clone()
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.folders.iter().chain(&self.roots)
    }

    /// Finds and checks the file or folder that a call names, and opens its allowed folder. Reads the disk.
    pub(super) fn find(&self, text: &str) -> UploadResult<Source> {
        if text.trim().is_empty() {
            let which = "local_path";
            return Err(UploadError::Empty { which });
        }
        // A name may end with a space.
        let exact = self.look_up(&paths::expand_home(text));
        let path = if fs::symlink_metadata(&exact).is_ok() {
            exact
        } else {
            self.look_up(&paths::expand_home(text.trim()))
        };
        let real = match fs::canonicalize(&path) {
            Ok(real) => real,
            Err(error) => {
                // Outside these folders, whether something exists is not disclosed.
                self.root_of(&path, &deepest(&path))?;
                return Err(UploadError::local(&path, error));
            }
        };
        let root = self.root_of(&path, &real)?;
        let failed = |error: io::Error| UploadError::local(&path, error);
        let own_state = fs::canonicalize(&self.own_state).ok();
        if let Some(own_state) = own_state.as_deref()
            && real.starts_with(own_state)
            && !self.is_set_within(own_state, &root)
        {
            return Err(UploadError::OwnState { path });
        }
        let folder = Dir::open_ambient_dir(&root, ambient_authority()).map_err(failed)?;
        let relative = real.strip_prefix(&root).unwrap_or(&real);
        let is_folder =
            relative.as_os_str().is_empty() || folder.metadata(relative).map_err(failed)?.is_dir();
        let kind = if is_folder {
            let folder = if relative.as_os_str().is_empty() {
                folder
            } else {
                folder.open_dir(relative).map_err(failed)?
            };
            let own_state = own_state
                .as_deref()
                .and_then(|own| own.strip_prefix(&real).ok());
            Kind::Folder {
                folder: Arc::new(folder),
                own_state: own_state.map(Path::to_owned),
            }
        } else {
            let relative = relative.to_owned();
            Kind::File(Place::new(Arc::new(folder), relative, path.clone()))
        };
        let name = path.file_name().or(real.file_name());
        let name = name.and_then(|name| name.to_str()).unwrap_or("files");
        Ok(Source {
            name: name.to_owned(),
            kind,
            path,
        })
    }

    /// Normalizes an absolute path; resolves a relative one in the first folder that has it.
    fn look_up(&self, path: &Path) -> PathBuf {
        let path: &Path = &path
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect::<PathBuf>();
        if path.is_absolute() {
            return path.to_owned();
        }
        // Windows has paths that are neither: joined, they leave the folder, which the later check finds.
        let candidates: Vec<_> = self.all().map(|folder| folder.join(path)).collect();
        let there = candidates
            .iter()
            .find(|path| fs::symlink_metadata(path).is_ok());
        let first = there.or(candidates.first()).cloned();
        first.unwrap_or_else(|| path.to_owned())
    }

    /// The canonical allowed folder that contains `real`.
    fn root_of(&self, path: &Path, real: &Path) -> UploadResult<PathBuf> {
        let mut roots = self
            .all()
            .filter_map(|folder| fs::canonicalize(folder).ok());
        roots
            .find(|root| real.starts_with(root))
            .ok_or_else(|| UploadError::Outside {
                path: path.to_owned(),
                allowed: self.all().map(|folder| named(folder)).collect(),
            })
    }

    /// Whether the user configured `root` inside the bridge's own folder.
    fn is_set_within(&self, own_state: &Path, root: &Path) -> bool {
        let is_set = |folder: &PathBuf| fs::canonicalize(folder).is_ok_and(|real| real == root);
        root != own_state && root.starts_with(own_state) && self.folders.iter().any(is_set)
    }
}

fn named(folder: &Path) -> String {
    let is_there = folder.is_dir();
    let note = if is_there { "" } else { " (missing)" };
    format!("{}{note}", folder.display())
}

/// Canonicalizes the existing part of `path`, and appends the rest.
fn deepest(path: &Path) -> PathBuf {
    for folder in path.ancestors().skip(1) {
        if let Ok(real) = fs::canonicalize(folder) {
            let rest = path.strip_prefix(folder).unwrap_or(path);
            let climbs = rest.components().any(|part| part == Component::ParentDir);
            // With `..` in the missing part, its place is undefined.
            return if climbs {
                PathBuf::new()
            } else {
                real.join(rest)
            };
        }
    }
    PathBuf::new()
}

#[cfg(test)]
mod tests {
    use crate::base::fault::Fault as _;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{Allowed, Kind};

    /// `inside`, which is allowed, beside `outside`, which is not, and `state` of the bridge.
    fn setting() -> (tempfile::TempDir, Allowed) {
        let folder = tempfile::tempdir().unwrap();
        for name in ["inside/deep", "outside", "state"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        for name in [
            "inside/a.txt",
            "inside/deep/b.txt",
            "outside/secret.txt",
            "state/token",
        ] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let at = |name: &str| folder.path().join(name);
        let allowed = Allowed::new(vec![at("inside")], at("state"));
        (folder, allowed)
    }

    fn code(allowed: &Allowed, path: impl AsRef<Path>) -> String {
        match allowed.find(path.as_ref().to_str().unwrap()) {
            Ok(source) => match source.kind {
                Kind::File(place) => place.open().map_or_else(
                    |error| error.code().to_owned(),
                    |_| format!("file {}", source.name),
                ),
                Kind::Folder { .. } => format!("folder {}", source.name),
            },
            Err(error) => error.code().to_owned(),
        }
    }

    #[test]
    fn files_in_allowed_folders_are_found() {
        let (folder, allowed) = setting();
        let inside = folder.path().join("inside");
        assert_eq!(code(&allowed, "a.txt"), "file a.txt");
        assert_eq!(code(&allowed, " ./deep/../a.txt "), "file a.txt");
        assert_eq!(code(&allowed, inside.join("deep/b.txt")), "file b.txt");
        assert_eq!(code(&allowed, "deep"), "folder deep");
        assert_eq!(code(&allowed, "."), "folder inside");
        assert_eq!(code(&allowed, &inside), "folder inside");
        assert_eq!(code(&allowed, "none.txt"), "not_found");
        assert_eq!(code(&allowed, ""), "invalid_argument");
    }

    #[test]
    fn paths_outside_allowed_folders_are_refused_in_every_spelling() {
        let (folder, allowed) = setting();
        let at = |name: &str| folder.path().join(name);
        for path in [
            at("outside/secret.txt"),
            at("outside/none.txt"),
            at("outside"),
            at("inside/../outside/secret.txt"),
            at("inside/deep/../../outside/secret.txt"),
            at("inside/none/../../outside/secret.txt"),
            at("inside2/a.txt"),
            at(""),
            PathBuf::from("../outside/secret.txt"),
            PathBuf::from("../outside/none.txt"),
            PathBuf::from("deep/../../outside/secret.txt"),
            PathBuf::from("/"),
            PathBuf::from("/etc/passwd"),
            PathBuf::from("//etc/passwd"),
            PathBuf::from("~"),
            PathBuf::from("~/.ssh/id_rsa"),
        ] {
            assert_eq!(code(&allowed, &path), "outside_upload_dirs", "{path:?}");
        }
    }

    #[test]
    fn the_bridges_own_folder_is_never_uploaded() {
        let (folder, allowed) = setting();
        let wider = allowed.and(&[folder.path().to_owned()]);
        for name in ["state/token", "state", "inside/../state/token"] {
            let path = folder.path().join(name);
            assert_eq!(code(&wider, path), "outside_upload_dirs", "{name}");
        }
        let own = folder.path().join("state");
        let opened_there = allowed.and(&[own.clone(), own.join("deep")]);
        assert_eq!(
            code(&opened_there, own.join("token")),
            "outside_upload_dirs"
        );
        let Kind::Folder { own_state, .. } =
            wider.find(folder.path().to_str().unwrap()).unwrap().kind
        else {
            panic!("a folder")
        };
        assert_eq!(own_state.as_deref(), Some(Path::new("state")));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_inside_only() {
        use std::os::unix::fs::symlink;
        let (folder, allowed) = setting();
        let at = |name: &str| folder.path().join(name);
        symlink(at("outside/secret.txt"), at("inside/out")).unwrap();
        symlink(at("outside"), at("inside/outer")).unwrap();
        symlink("deep/b.txt", at("inside/in")).unwrap();
        symlink(at("inside"), at("door")).unwrap();
        symlink("circle", at("inside/circle")).unwrap();
        assert_eq!(code(&allowed, "out"), "outside_upload_dirs");
        assert_eq!(code(&allowed, "outer/secret.txt"), "outside_upload_dirs");
        assert_eq!(code(&allowed, "in"), "file in");
        assert_eq!(code(&allowed, at("door/a.txt")), "file a.txt");
        assert_eq!(code(&allowed, "circle"), "unreadable");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_replaced_by_a_link_after_the_check_does_not_open() {
        let (folder, allowed) = setting();
        let at = |name: &str| folder.path().join(name);
        let Kind::File(file) = allowed.find("a.txt").unwrap().kind else {
            panic!("a file")
        };
        let Kind::File(deep) = allowed.find("deep/b.txt").unwrap().kind else {
            panic!("a file")
        };
        fs::remove_file(at("inside/a.txt")).unwrap();
        std::os::unix::fs::symlink(at("outside/secret.txt"), at("inside/a.txt")).unwrap();
        fs::remove_dir_all(at("inside/deep")).unwrap();
        fs::write(at("outside/b.txt"), "secret").unwrap();
        std::os::unix::fs::symlink(at("outside"), at("inside/deep")).unwrap();
        assert_eq!(file.open().unwrap_err().code(), "unreadable");
        assert_eq!(deep.open().unwrap_err().code(), "unreadable");
    }

    #[cfg(unix)]
    #[test]
    fn special_files_are_reported_and_not_opened() {
        let (_folder, allowed) = setting();
        let allowed = allowed.and(&[PathBuf::from("/dev")]);
        assert_eq!(code(&allowed, "/dev/zero"), "invalid_argument");
    }
}
