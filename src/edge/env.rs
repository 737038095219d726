//! The environment as a value, and every name that is read from it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::pasted::unquoted;

pub const COLAB_URL: &str = "COLAB_URL";
pub const COLAB_TOKEN: &str = "COLAB_TOKEN";
/// Belongs to the executor; never inherited, so that each local executor makes a fresh token.
pub const EXECUTOR_TOKEN: &str = "SMART_COLAB_TOKEN";
/// Belongs to the executor too; a local one serves only this machine.
pub const ALLOWED_IPS: &str = "ALLOWED_IPS";
pub const JUPYTER_URL: &str = "JUPYTER_URL";
pub const JUPYTER_TOKEN: &str = "JUPYTER_TOKEN";
/// Jupyter's own: where running servers describe themselves.
pub const JUPYTER_RUNTIME_DIR: &str = "JUPYTER_RUNTIME_DIR";
pub const JUPYTER_DATA_DIR: &str = "JUPYTER_DATA_DIR";
pub const LOCAL_SAVE_DIR: &str = "LOCAL_SAVE_DIR";
pub const UPLOAD_DIRS: &str = "UPLOAD_DIRS";
pub const CHECKPOINT_DIR: &str = "CHECKPOINT_DIR";
pub const DATA_DIR: &str = "SMART_COLAB_DATA_DIR";
pub const CALL_BUDGET_SEC: &str = "SMART_COLAB_CALL_BUDGET_SEC";
pub const CONFIRM: &str = "SMART_COLAB_CONFIRM";
pub const POLICY: &str = "SMART_COLAB_POLICY";
pub const REQUIREMENTS: &str = "SMART_COLAB_REQUIREMENTS";
pub const TOOLSETS: &str = "SMART_COLAB_TOOLSETS";
pub const LOG: &str = "SMART_COLAB_LOG";
pub const PYTHON: &str = "SMART_COLAB_PYTHON";
/// Of machines that are assigned from now on.
pub const MAX_HOURS: &str = "COLAB_MAX_HOURS";
pub const MAX_UNITS: &str = "COLAB_MAX_UNITS";
pub const MACHINE_API: &str = "COLAB_MACHINE_API";
pub const PATH: &str = "PATH";
/// Of clients: where they keep their files.
pub const CLAUDE_CONFIG_DIR: &str = "CLAUDE_CONFIG_DIR";
pub const CODEX_HOME: &str = "CODEX_HOME";
/// Of terminals: what they are.
pub const TERM: &str = "TERM";
pub const TERM_PROGRAM: &str = "TERM_PROGRAM";
pub const KITTY_WINDOW_ID: &str = "KITTY_WINDOW_ID";
pub const TMUX: &str = "TMUX";
/// The program that opens addresses, as for other programs.
pub const BROWSER: &str = "BROWSER";
/// Google's own: where its tools keep their sign-in.
pub const GOOGLE_CREDENTIALS: &str = "GOOGLE_APPLICATION_CREDENTIALS";
pub const GCLOUD_CONFIG: &str = "CLOUDSDK_CONFIG";
/// Variables that name a proxy for `https://`, as HTTP clients read them.
const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// Tests have Google's services on this computer.
pub const GOOGLE_SERVICES: &str = "GOOGLE_SERVICES_URL";
/// Of TLS libraries: further certificates to trust.
const SSL_CERT_FILE: &str = "SSL_CERT_FILE";

/// The system that this program was built for.
pub const SYSTEM: (&str, &str) = (std::env::consts::OS, std::env::consts::ARCH);

/// A variable that users set for this program, with its documentation.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub name: &'static str,
    /// In Markdown; empty where there is none.
    pub default: &'static str,
    /// In Markdown, without a full stop.
    pub meaning: &'static str,
}

/// All settings, in the order of the documentation.
pub const SETTINGS: [Setting; 18] = [
    Setting {
        name: COLAB_URL,
        default: "the address that `connect` saved",
        meaning: "where to compute: `https://…#TOKEN` as the notebook prints it; `local`; `jupyter+` and the address of a Jupyter Server; `jupyter` for the one that runs on this computer; or `colab:NAME` for a machine that `colab up` had assigned",
    },
    Setting {
        name: COLAB_TOKEN,
        default: "",
        meaning: "the token, if the address does not contain it",
    },
    Setting {
        name: JUPYTER_URL,
        default: "",
        meaning: "the address of a Jupyter Server, where there is no `COLAB_URL`",
    },
    Setting {
        name: JUPYTER_TOKEN,
        default: "",
        meaning: "the Jupyter Server's token, if its address does not contain it",
    },
    Setting {
        name: LOCAL_SAVE_DIR,
        default: "`~/colab_results`",
        meaning: "downloads, pictures, logs and notebooks; with `local` also the `workspace` in which code runs",
    },
    Setting {
        name: UPLOAD_DIRS,
        default: "",
        meaning: "folders that files may be uploaded from, besides `LOCAL_SAVE_DIR` and the client's own (its MCP roots); separated by `:`, on Windows by `;`",
    },
    Setting {
        name: CHECKPOINT_DIR,
        default: "in the data folder",
        meaning: "checkpoints of chunked operations; code, output and pictures of named runs",
    },
    Setting {
        name: MAX_HOURS,
        default: "",
        meaning: "a machine that Colab assigns from now on is given back after so many hours, whatever runs there; also `colab up --max-hours`",
    },
    Setting {
        name: MAX_UNITS,
        default: "",
        meaning: "the same once it has cost so many compute units, at the rate that Colab reports; also `colab up --max-units`",
    },
    Setting {
        name: MACHINE_API,
        default: "",
        meaning: "`v1beta`: machines are asked for by Google's documented API, for accounts that Google has admitted to it",
    },
    Setting {
        name: CALL_BUDGET_SEC,
        default: "45, or more for clients known to wait longer",
        meaning: "how long a call may take, 5 to 3600 seconds",
    },
    Setting {
        name: CONFIRM,
        default: "`user`",
        meaning: "whose yes counts for what costs compute units, ends running code, or the policy wants to ask about: with `user`, a client that can ask asks you each time; with `model`, the model's word is enough, and the policy refuses",
    },
    Setting {
        name: TOOLSETS,
        default: "all",
        meaning: "the toolsets that the client is offered, separated by commas, or each with a `-` those that it is not (`-machines,-browser`), of `connection`, `pairing`, `code`, `jobs`, `chunked`, `checkpoints`, `notebook`, `cells`, `cell_runs`, `browser`, `machines`, `notebook_runs`, `files`, `reading`, `uploads`, `sessions`, `variables`",
    },
    Setting {
        name: REQUIREMENTS,
        default: "",
        meaning: "packages that code needs, separated by spaces (`pandas>=2,<3 scikit-learn`), or the absolute path of a requirements file on this computer, or `remember` for those that code installed on earlier machines: installed once on each machine, by `uv` where it is, else by `pip`, before the first code runs there",
    },
    Setting {
        name: POLICY,
        default: "`warn`",
        meaning: "for `local`, what happens before code runs that deletes outside the content root (`delete`), starts other programs (`shell`), names files with credentials (`credentials`), or reaches the network (`network`): `off`, `warn`, `confirm` or `deny`, or one for each kind, as in `warn,network=deny`; only what the text of the code shows is seen",
    },
    Setting {
        name: PYTHON,
        default: "an environment of its own",
        meaning: "for `local`: a Python that has the executor's packages",
    },
    Setting {
        name: DATA_DIR,
        default: "the platform's data folder",
        meaning: "the local environment and its jobs, the saved address, records of jobs and transfers (30 days), ngrok traffic of this month, log files",
    },
    Setting {
        name: LOG,
        default: "`warn,smart_colab=info`",
        meaning: "log filter in the form of tracing's `EnvFilter`; logs go to stderr and the data folder",
    },
];

/// The names of [`SETTINGS`].
pub(super) fn setting_names() -> [&'static str; SETTINGS.len()] {
    SETTINGS.map(|setting| setting.name)
}

/// Variables by name. Tests make their own.
#[derive(Clone, Default)]
pub struct Env(BTreeMap<String, String>);

/// The file of certificates that this process is to trust beside the system's.
#[must_use]
pub fn certificates() -> Option<PathBuf> {
    Env::of_process().get(SSL_CERT_FILE).map(PathBuf::from)
}

impl Env {
    /// The process's environment; a value that is not Unicode counts as absent.
    #[must_use]
    pub fn of_process() -> Self {
        let texts = std::env::vars_os().filter_map(|(name, value)| {
            let mut name = name.into_string().ok()?;
            if cfg!(windows) {
                // Names have no case there, and `PATH` is usually spelt `Path`.
                name.make_ascii_uppercase();
            }
            Some((name, value.into_string().ok()?))
        });
        Self(texts.collect())
    }

    /// Returns a copy without these variables.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        let kept = self
            .0
            .iter()
            .filter(|(name, _)| !names.contains(&name.as_str()));
        Self(
            kept.map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    }

    /// The value without white space and quotes around it; absent and blank are the same.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(|value| unquoted(value))
            .filter(|value| !value.is_empty())
    }

    /// The environment of a program that a client starts with these variables: what is set for this program alone comes from there.
    #[must_use]
    pub fn of_client(&self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut env = self.without(&setting_names());
        env.0.extend(variables);
        env
    }

    /// The variable that names a proxy for addresses of other machines, if there is one.
    #[must_use]
    pub fn proxy(&self) -> Option<&'static str> {
        PROXIES.into_iter().find(|name| self.get(name).is_some())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Env {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }
}
