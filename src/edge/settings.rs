//! The user's settings: flags override the environment, which overrides defaults. All faults are reported together.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use tracing_subscriber::filter::Targets;

pub use super::confirm::Confirm;
pub use super::endpoint::{Endpoint, Kind, endpoint};
pub use super::requirements::Required;

use super::endpoint::{self, Address};
use super::env::{self, Env};
use super::folders::{absolute, folder, upload_dirs};
use super::google::Google;
use super::limits::Limits;
use super::misspelt::{self, Odd};
use super::toolsets::Toolsets;
use super::{call_budget, jupyter, paths, placeholder, policy, python, requirements, trace};

/// Tokens with fewer random characters can be guessed; the executor makes longer ones.
const MIN_TOKEN_CHARS: usize = 22;

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Settings {
    pub target: Target,
    /// Downloads, logs and pictures go here.
    pub save_dir: PathBuf,
    /// Folders that files may be uploaded from, besides `save_dir`.
    pub upload_dirs: Vec<PathBuf>,
    pub checkpoint_dir: PathBuf,
    /// The bridge's own state: the local executor's environment and jobs, log files.
    pub data_dir: PathBuf,
    /// How long a tool call may take; none means that it depends on the client.
    pub call_budget: Option<Duration>,
    /// Whose yes counts for what costs compute units.
    pub confirm: Confirm,
    /// The tools that the client is offered.
    pub toolsets: Toolsets,
    /// For risky calls in code, where an executor is started here.
    pub policy: String,
    pub requirements: Required,
    /// Log filter (`smart_colab=debug`).
    pub log_filter: Option<Targets>,
    /// A Python that has the executor's packages, to use instead of an environment of our own.
    pub python: Option<PathBuf>,
    /// The program that opens addresses, in place of the system's.
    pub browser: Option<PathBuf>,
    /// Where tabs of Colab connect, from the start on; none for any port, once one is to connect.
    pub tab_port: Option<u16>,
    pub google: Google,
    /// Of machines that are assigned from now on.
    pub limits: Limits,
    /// Folders that are searched for programs, in the form of `PATH`.
    pub search_path: OsString,
    /// Doubtful settings that do not prevent a start.
    pub warnings: Vec<String>,
}

/// Where code is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// No address was given: the server starts, and its tools say how to connect.
    NotConfigured,
    /// The executor inside this binary, on this machine.
    Local,
    /// At an address.
    Remote(Endpoint),
    /// Through the Jupyter Server on this computer, which describes itself in this folder.
    RunningJupyter(PathBuf),
}

/// Command-line flags that override the environment.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--local`
    pub local: bool,
    /// `--port`
    pub port: Option<u16>,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the configuration has faults:\n{}", .0.iter().map(|fault| format!("  - {fault}")).collect::<Vec<_>>().join("\n"))]
pub struct Faults(pub Vec<String>);

impl Settings {
    /// Reads and checks the settings. Creates the named folders: only that shows whether it is possible.
    ///
    /// # Errors
    /// [`Faults`] with every fault found.
    pub fn read(env: &Env, flags: &Flags) -> Result<Self, Faults> {
        match Self::survey(env, flags) {
            (settings, faults) if faults.is_empty() => Ok(settings),
            (_, faults) => Err(Faults(faults)),
        }
    }

    /// As [`Self::read`], with every fault beside the settings: in place of a faulty one is its default.
    #[must_use]
    pub fn survey(env: &Env, flags: &Flags) -> (Self, Vec<String>) {
        let (mut faults, mut warnings) = (Vec::new(), Vec::new());
        let env = &placeholder::without(env, flags.local, &mut faults);
        for odd in misspelt::find(env) {
            match odd {
                Odd::Fault(fault) => faults.push(fault),
                Odd::Warning(warning) => warnings.push(warning),
            }
        }
        let target = if flags.local {
            Target::Local
        } else {
            target(env, &mut faults).unwrap_or(Target::NotConfigured)
        };
        let is_none = |names: &[&str]| names.iter().all(|name| env.get(name).is_none());
        for (token, url, enough) in [
            (
                env::COLAB_TOKEN,
                env::COLAB_URL,
                &[env::COLAB_URL, env::JUPYTER_URL][..],
            ),
            (
                env::JUPYTER_TOKEN,
                env::JUPYTER_URL,
                &[env::COLAB_URL, env::JUPYTER_URL],
            ),
        ] {
            if env.get(token).is_some() && is_none(enough) {
                warnings.push(format!("{token} has no effect without {url}"));
            }
        }
        if let Target::Remote(endpoint) = &target
            && endpoint.kind == Kind::Executor
            && !endpoint.is_loopback()
            && endpoint.token.expose().len() < MIN_TOKEN_CHARS
        {
            let is_beside = env.get(env::COLAB_TOKEN).is_some();
            warnings.push(format!(
                "{} holds a token of fewer than {MIN_TOKEN_CHARS} characters: if it was cut off when it was copied, copy the whole line that the \
                 notebook prints; if you chose it yourself, it can be guessed",
                if is_beside { env::COLAB_TOKEN } else { env::COLAB_URL }
            ));
        }
        let call_budget = collect_fault(&mut faults, call_budget::read(env)).flatten();
        let confirm = collect_fault(&mut faults, Confirm::read(env)).unwrap_or_default();
        let toolsets = collect_fault(&mut faults, Toolsets::read(env)).unwrap_or_default();
        let policy = collect_fault(&mut faults, policy::read(env)).unwrap_or_default();
        let requirements = collect_fault(&mut faults, requirements::read(env)).unwrap_or_default();
        let log_filter = collect_fault(&mut faults, trace::setting(env)).flatten();
        let upload_dirs = upload_dirs(env, &mut faults, &mut warnings);
        let search_path = paths::search_path(env);
        let python = python::setting(env, &search_path, target == Target::Local);
        let python = collect_fault(&mut faults, python).flatten();
        let google = collect_fault(&mut faults, Google::read(env)).unwrap_or_default();
        let limits = collect_fault(&mut faults, Limits::read(env)).unwrap_or_default();
        let mut folder = |name| collect_fault(&mut faults, folder(env, name)).flatten();
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
            confirm,
            toolsets,
            policy,
            requirements,
            log_filter,
            python,
            browser: env.get(env::BROWSER).map(PathBuf::from),
            tab_port: flags.port,
            google,
            limits,
            search_path,
            warnings,
        };
        (settings, faults)
    }
}

fn collect_fault<T>(faults: &mut Vec<String>, result: Result<T, String>) -> Option<T> {
    result.map_err(|fault| faults.push(fault)).ok()
}

fn target(env: &Env, faults: &mut Vec<String>) -> Option<Target> {
    let token = env
        .get(env::COLAB_TOKEN)
        .map(|token| endpoint::read_token(token, endpoint::NOTEBOOK))
        .transpose();
    let token = token.map_err(|fault| format!("{} {fault}", env::COLAB_TOKEN));
    let token = collect_fault(faults, token);
    let Some(text) = env.get(env::COLAB_URL) else {
        let found = jupyter::endpoint(env.get(env::JUPYTER_URL)?, jupyter::tokens(env));
        let found = found.map_err(|fault| format!("{} {fault}", env::JUPYTER_URL));
        return collect_fault(faults, found).map(Target::Remote);
    };
    if text.eq_ignore_ascii_case("local") {
        return Some(Target::Local);
    }
    if let Some(folder) = jupyter::running_in(text, env) {
        return Some(Target::RunningJupyter(folder));
    }
    let is_jupyter = jupyter::is_jupyter(text);
    let found = match endpoint::machine_name(text) {
        Some(name) => Some(Endpoint::machine(name)),
        None => is_jupyter.then(|| jupyter::endpoint(text, jupyter::tokens(env))),
    };
    if let Some(found) = found {
        let found = found.map_err(|fault| format!("{} {fault}", env::COLAB_URL));
        return collect_fault(faults, found).map(Target::Remote);
    }
    let address = Address::read(text);
    let found = match token {
        Some(token) => address.and_then(|address| address.with(token)).map(Some),
        // The token's fault is noted; whether the address needs it is unknown.
        None => address.map(|_| None),
    };
    let found = found.map_err(|fault| format!("{} {fault} (or it is `local`)", env::COLAB_URL));
    collect_fault(faults, found).flatten().map(Target::Remote)
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
    fn relative_paths_are_faults_in_every_setting() {
        for name in [
            "LOCAL_SAVE_DIR",
            "CHECKPOINT_DIR",
            "SMART_COLAB_DATA_DIR",
            "UPLOAD_DIRS",
            "SMART_COLAB_PYTHON",
        ] {
            for path in ["rel/here", "./rel", "~someone/rel"] {
                let faults = read([(name, path)]).unwrap_err();
                let [fault] = faults.as_slice() else {
                    panic!("{name}: {faults:?}")
                };
                assert!(
                    fault.starts_with(name) && fault.contains("absolute path"),
                    "{fault}"
                );
            }
        }
        assert!(read([]).unwrap().data_dir.is_absolute());
    }

    #[test]
    fn the_folders_for_uploads_are_listed_as_in_path() {
        let folder = tempfile::tempdir().unwrap();
        let (one, missing) = (folder.path().join("a b"), folder.path().join("é"));
        std::fs::create_dir(&one).unwrap();
        let joined = std::env::join_paths([&one, &std::path::PathBuf::new(), &missing]).unwrap();
        let settings = read([("UPLOAD_DIRS", joined.to_str().unwrap())]).unwrap();
        assert_eq!(settings.upload_dirs, [one, missing.clone()]);
        let [warning] = settings.warnings.as_slice() else {
            panic!("{:?}", settings.warnings)
        };
        assert!(warning.contains(missing.to_str().unwrap()), "{warning}");
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
        for name in super::env::setting_names() {
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
        let flags = Flags {
            local: true,
            port: None,
        };
        assert!(Settings::read(&env, &flags).is_ok());
    }

    #[test]
    fn a_token_without_an_address_is_named() {
        for (token, url) in [
            ("COLAB_TOKEN", "COLAB_URL"),
            ("JUPYTER_TOKEN", "JUPYTER_URL"),
        ] {
            let [warning] = &*read([(token, "s3cret")]).unwrap().warnings else {
                panic!("{token}")
            };
            assert!(
                warning.starts_with(token) && warning.contains(url),
                "{warning}"
            );
            let both = [(token, "s3cret"), ("JUPYTER_URL", "http://localhost:8888")];
            let Target::Remote(_) = read(both).unwrap().target else {
                panic!("{token}")
            };
        }
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
