//! What the user configured: flags over environment over defaults. All faults are reported together.

use std::ffi::OsString;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use url::{Host, Url};

use super::env::{self, Env};
use super::paths;
use super::placeholder;
use crate::base::secret::Secret;

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Settings {
    pub target: Target,
    /// Downloads, logs and pictures go here.
    pub save_dir: PathBuf,
    /// Files may be uploaded from these, beside `save_dir`.
    pub upload_dirs: Vec<PathBuf>,
    pub checkpoint_dir: PathBuf,
    /// The bridge's own state: the local executor's environment and jobs, log files.
    pub data_dir: PathBuf,
    /// How long a tool call may take; none means by the client's name.
    pub call_budget: Option<Duration>,
    /// A tracing filter (`smart_colab=debug`).
    pub log_filter: Option<String>,
    /// A Python that has the executor's packages, to use instead of an environment of our own.
    pub python: Option<PathBuf>,
    /// Where programs are looked for, in the form of `PATH`.
    pub search_path: OsString,
}

/// Where code is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// No address was given: the server starts, and its tools say how to connect.
    NotConfigured,
    /// The executor inside this binary, on this machine.
    Local,
    Remote(Endpoint),
}

/// An executor's address and the token that opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Without fragment.
    pub url: Url,
    pub token: Secret,
}

impl Endpoint {
    /// The address for people: no token, no trailing slash.
    #[must_use]
    pub fn address(&self) -> String {
        self.url.as_str().trim_end_matches('/').to_owned()
    }

    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }
}

/// What a flag may say over the environment.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--local`
    pub local: bool,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the configuration has faults:\n{}", .0.iter().map(|fault| format!("  - {fault}")).collect::<Vec<_>>().join("\n"))]
pub struct Faults(pub Vec<String>);

impl Settings {
    /// Reads and checks. Makes the folders that are named, for only so is it seen whether that can be done.
    ///
    /// # Errors
    /// [`Faults`] with every fault found.
    pub fn read(env: &Env, flags: &Flags) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let env = &without_placeholders(env, flags, &mut faults);
        let target = if flags.local {
            Target::Local
        } else {
            note(&mut faults, target(env)).unwrap_or(Target::NotConfigured)
        };
        let call_budget = note(&mut faults, call_budget(env)).flatten();
        let upload_dirs = upload_dirs(env);
        let mut folder = |name| note(&mut faults, folder(env, name)).flatten();
        let data_dir = folder(env::DATA_DIR).unwrap_or_else(|| absolute(paths::default_data_dir()));
        let settings = Self {
            target,
            save_dir: folder(env::LOCAL_SAVE_DIR)
                .unwrap_or_else(|| absolute(paths::default_save_dir())),
            upload_dirs,
            checkpoint_dir: folder(env::CHECKPOINT_DIR)
                .unwrap_or_else(|| data_dir.join("checkpoints")),
            data_dir,
            call_budget,
            log_filter: env.get(env::LOG).map(str::to_owned),
            python: env.get(env::PYTHON).map(paths::expand_home),
            search_path: paths::search_path(env),
        };
        if faults.is_empty() {
            Ok(settings)
        } else {
            Err(Faults(faults))
        }
    }
}

fn note<T>(faults: &mut Vec<String>, result: Result<T, String>) -> Option<T> {
    result.map_err(|fault| faults.push(fault)).ok()
}

/// A placeholder that nothing was put in place of is no value: what is left, with a fault for each.
fn without_placeholders(env: &Env, flags: &Flags, faults: &mut Vec<String>) -> Env {
    let is_remote = |name: &str| [env::COLAB_URL, env::COLAB_TOKEN].contains(&name);
    let placeholder = |name| placeholder::find(env.get(name)?);
    let mut names = env::SETTINGS.to_vec();
    names.retain(|name| placeholder(name).is_some() && !(flags.local && is_remote(name)));
    for name in &names {
        // What looks like one may be a part of the token.
        let shown = placeholder(name).filter(|_| !is_remote(name));
        let shown = shown.map_or_else(String::new, |placeholder| format!(" {placeholder}"));
        faults.push(format!(
            "{name} holds a placeholder{shown} that the client did not replace: write the value itself into the client's config"
        ));
    }
    env.without(&names)
}

/// The folder that a setting names, made where it is not there.
fn folder(env: &Env, name: &str) -> Result<Option<PathBuf>, String> {
    let Some(path) = env.get(name).map(paths::expand_home).map(absolute) else {
        return Ok(None);
    };
    match fs::create_dir_all(&path) {
        Ok(()) => Ok(Some(path)),
        Err(error) => Err(format!(
            "{name} is {}: that folder cannot be made ({error})",
            path.display()
        )),
    }
}

/// Whether they are there is seen at each upload: a drive may be plugged in later.
fn upload_dirs(env: &Env) -> Vec<PathBuf> {
    let text = env.get(env::UPLOAD_DIRS).unwrap_or_default();
    std::env::split_paths(text)
        .filter(|path| !path.as_os_str().is_empty())
        .map(|path| absolute(paths::expand_home(&path.to_string_lossy())))
        .collect()
}

/// A client's working folder is none that its user knows, and links need whole paths.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

fn target(env: &Env) -> Result<Target, String> {
    let Some(text) = env.get(env::COLAB_URL) else {
        return Ok(Target::NotConfigured);
    };
    if text.eq_ignore_ascii_case("local") {
        return Ok(Target::Local);
    }
    let token = env.get(env::COLAB_TOKEN);
    endpoint(text, token)
        .map(Target::Remote)
        .map_err(|fault| format!("{} {fault} (or it is `local`)", env::COLAB_URL))
}

/// Reads `https://…#TOKEN`, as the notebook prints it; `token` counts where the address has none.
///
/// # Errors
/// What is wrong with the address, to be said after its name. The text itself never comes back: it may hold the token.
pub fn endpoint(text: &str, token: Option<&str>) -> Result<Endpoint, String> {
    let mut url = Url::parse(text.trim()).map_err(|error| {
        format!(
            "is not an address ({error}): it is the line that the notebook prints, https://…#TOKEN"
        )
    })?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => {
            return Err(
                "starts with http://, which would send the token in clear text: use https://"
                    .to_owned(),
            );
        }
        _ => {
            // Not with the text: what stands before a colon may be part of a token.
            return Err("does not start with https://".to_owned());
        }
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "holds a user name or password: the token belongs after a #, or beside the address"
                .to_owned(),
        );
    }
    let token = url
        .fragment()
        .or(token)
        .map(str::trim)
        .filter(|token| !token.is_empty())
        .map(Secret::new);
    let token = token.ok_or("has no token: copy the whole line that the notebook prints, with the part after #, or give the token beside it")?;
    url.set_fragment(None);
    url.set_query(None);
    Ok(Endpoint { url, token })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

fn call_budget(env: &Env) -> Result<Option<Duration>, String> {
    let Some(text) = env.get(env::CALL_BUDGET_SEC) else {
        return Ok(None);
    };
    match text.parse::<u64>() {
        Ok(seconds @ 5..=3600) => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(format!(
            "{} is {text:?}: it must be whole seconds from 5 to 3600",
            env::CALL_BUDGET_SEC
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{Env, Flags, Settings, Target};

    fn read<const N: usize>(pairs: [(&str, &str); N]) -> Result<Settings, Vec<String>> {
        Settings::read(&Env::from(pairs), &Flags::default()).map_err(|faults| faults.0)
    }

    #[test]
    fn the_notebooks_line_gives_address_and_token() {
        let settings = read([("COLAB_URL", " https://a-b.ngrok-free.dev/#s3cret ")]).unwrap();
        let Target::Remote(endpoint) = settings.target else {
            panic!("{:?}", settings.target)
        };
        assert_eq!(endpoint.address(), "https://a-b.ngrok-free.dev");
        assert_eq!(endpoint.token.expose(), "s3cret");
    }

    #[test]
    fn folders_are_absolute_whatever_the_client_says() {
        let settings = read([("LOCAL_SAVE_DIR", "."), ("CHECKPOINT_DIR", "src/..")]).unwrap();
        assert!(settings.save_dir.is_absolute() && settings.save_dir.is_dir());
        assert!(settings.checkpoint_dir.is_absolute() && settings.data_dir.is_absolute());
    }

    #[test]
    fn the_folders_for_uploads_are_listed_as_in_path() {
        let folder = tempfile::tempdir().unwrap();
        let (one, missing) = (folder.path().join("a b"), folder.path().join("é"));
        std::fs::create_dir(&one).unwrap();
        let joined = std::env::join_paths([&one, &std::path::PathBuf::new(), &missing]).unwrap();
        let settings = read([("UPLOAD_DIRS", joined.to_str().unwrap())]).unwrap();
        assert_eq!(settings.upload_dirs, [one, missing]);
        assert!(read([]).unwrap().upload_dirs.is_empty());
    }

    #[test]
    fn without_an_address_the_target_is_not_configured() {
        assert_eq!(
            read([("COLAB_URL", "  ")]).unwrap().target,
            Target::NotConfigured
        );
    }

    #[test]
    fn all_faults_are_reported_together_and_none_shows_the_token() {
        let folder = tempfile::tempdir().unwrap();
        let (file, made) = (folder.path().join("file"), folder.path().join("a/b"));
        std::fs::write(&file, "").unwrap();
        let below = file.join("results");
        let faults = read([
            ("COLAB_URL", "http://example.com/#s3cret"),
            ("SMART_COLAB_CALL_BUDGET_SEC", "soon"),
            ("LOCAL_SAVE_DIR", below.to_str().unwrap()),
            ("CHECKPOINT_DIR", file.to_str().unwrap()),
            ("SMART_COLAB_DATA_DIR", made.to_str().unwrap()),
            ("UPLOAD_DIRS", "/data:${HOME}/x"),
        ]);
        let faults = faults.unwrap_err();
        assert_eq!(faults.len(), 5, "{faults:?}");
        assert!(!faults.join(" ").contains("s3cret"), "{faults:?}");
        assert!(
            faults.join(" ").contains(below.to_str().unwrap()),
            "{faults:?}"
        );
        assert!(made.is_dir());
    }

    #[test]
    fn a_placeholder_that_was_not_replaced_is_a_fault_in_every_setting() {
        for name in super::env::SETTINGS {
            let faults = read([(name, "${MY_VALUE}")]).unwrap_err();
            let [fault] = faults.as_slice() else {
                panic!("{name}: {faults:?}")
            };
            assert!(
                fault.starts_with(&format!("{name} holds a placeholder")),
                "{fault}"
            );
        }
        let secret = [
            ("COLAB_TOKEN", "$ecret"),
            ("COLAB_URL", "https://a.b/#${s3cret}"),
        ];
        let faults = read(secret).unwrap_err().join(" ");
        assert!(!faults.contains("ecret"), "{faults}");
        let env = Env::from([("COLAB_URL", "${user_config.url}")]);
        assert!(Settings::read(&env, &Flags { local: true }).is_ok());
    }

    #[test]
    fn clear_text_is_allowed_on_loopback_only() {
        for (address, allowed) in [
            ("http://127.0.0.1:5000#t", true),
            ("http://[::1]:5000#t", true),
            ("http://localhost:5000#t", true),
            ("http://10.0.0.1:5000#t", false),
            ("http://localhost.example.com#t", false),
            ("ftp://127.0.0.1#t", false),
            ("https://example.com", false),
            ("https://user:pw@example.com#t", false),
        ] {
            assert_eq!(read([("COLAB_URL", address)]).is_ok(), allowed, "{address}");
        }
    }
}
