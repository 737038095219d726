//! What can go wrong between the bridge and the code.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::wire::problem::Problem;

pub type RuntimeResult<T> = Result<T, RuntimeError>;

/// What the transport says about a failed request, whichever transport it is.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Who asks for a longer wait does not mean it.
pub(super) const LONGEST_WAIT_SEC: u64 = 24 * 3600;

/// How far a failed request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It never left, or nobody was there.
    Nowhere,
    /// Somebody got it and did nothing with it.
    Refused,
    /// It may have been done.
    Unknown,
}

/// A failed request. `Display` is a sentence for people, without its source's text.
#[derive(Debug, Error)]
pub enum RuntimeError {
    #[error("no Colab runtime is configured")]
    NotConfigured,
    #[error("the local executor is not ready yet: {doing}")]
    Starting { doing: String },
    #[error("the local executor could not be started: {detail}")]
    LocalFailed { detail: String, hint: String },
    #[error("{url} cannot be reached")]
    Unreachable {
        url: String,
        #[source]
        source: Cause,
    },
    #[error("the connection to {url} broke before the whole answer had come")]
    Broken {
        url: String,
        #[source]
        source: Cause,
    },
    #[error("{url} did not answer in time")]
    TimedOut { url: String },
    /// A tunnel answers in the executor's place; `what` says which, and what that means.
    #[error("{what} (at {url})")]
    TunnelOffline {
        url: String,
        what: String,
        reach: Reach,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    #[error("ngrok passes nothing on: a limit of its plan is used up ({sign}, at {url})")]
    TunnelLimited {
        url: String,
        sign: String,
        /// How long it asks to wait; none for a limit of the month.
        retry_after: Option<Duration>,
    },
    #[error("the call was cancelled")]
    Cancelled,
    #[error("{url} refused the token")]
    Unauthorized { url: String },
    #[error("what answers at {url} cannot be used: {detail}")]
    Incompatible {
        url: String,
        detail: String,
        hint: String,
    },
    /// Something else answers in the executor's place. Where it stands between, the executor may have got the request all the same.
    #[error("what answers at {url} is no executor: {detail}")]
    Stranger {
        url: String,
        detail: String,
        reach: Reach,
    },
    #[error("the file {path} changed while it was read")]
    Changed { path: String },
    #[error(
        "the machine that this job was sent to has been replaced by another, which does not know it"
    )]
    Replaced,
    #[error("this job was sent to {place}, and the connection leads to {now} now")]
    Elsewhere { place: String, now: String },
    #[error("this machine knows no job of that id")]
    UnknownJob,
    /// It is in the state folder of another local executor of this computer, which has not ended it as far as is known.
    #[error(
        "this job was sent to the local executor of another client on this computer, and may be running there"
    )]
    OtherClient {
        /// The file with all that it printed.
        log: PathBuf,
    },
    #[error("there is no session {name:?}")]
    UnknownSession { name: String, known: Vec<String> },
    #[error("{}", .0.detail)]
    Refused(Problem),
}

impl RuntimeError {
    /// What answers keeps to no version of the API that is known here.
    #[must_use]
    pub fn incompatible(url: &str, detail: &str) -> Self {
        Self::Incompatible {
            url: url.to_owned(),
            detail: detail.to_owned(),
            hint: "Check the address. If it is right, open this version's colab/smart_colab_executor.ipynb in Colab and run it, then call \
                 connect_colab with its line."
                .to_owned(),
        }
    }

    /// True when the same request may succeed if it is sent again. Whether it may be sent again is its own matter: see [`super::Runtime`].
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::TimedOut { .. }
            | Self::TunnelOffline { .. }
            | Self::Starting { .. } => true,
            Self::Refused(problem) => problem.retryable,
            Self::TunnelLimited { retry_after, .. } => retry_after.is_some(),
            Self::Stranger { reach, .. } => *reach == Reach::Unknown,
            Self::NotConfigured
            | Self::LocalFailed { .. }
            | Self::Cancelled
            | Self::Unauthorized { .. }
            | Self::Incompatible { .. }
            | Self::Replaced
            | Self::UnknownJob
            | Self::OtherClient { .. }
            | Self::UnknownSession { .. }
            | Self::Elsewhere { .. }
            | Self::Changed { .. } => false,
        }
    }

    /// True when more tries within seconds will hardly do better: nothing is there, or what is there is no executor.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Stranger { .. }
                | Self::TunnelOffline {
                    reach: Reach::Nowhere,
                    retry_after: None,
                    ..
                }
        )
    }

    /// True when something answered from which it cannot be seen whether the executor got the request.
    #[must_use]
    pub fn hides_executor(&self) -> bool {
        let is_answer = matches!(
            self,
            Self::Stranger { .. } | Self::TunnelOffline { .. } | Self::Incompatible { .. }
        );
        is_answer && self.reach() == Reach::Unknown
    }

    /// How long the other side asks to wait before the same request.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(problem) => problem
                .retry_after_sec
                .map(|seconds| Duration::from_secs(seconds.min(LONGEST_WAIT_SEC))),
            Self::TunnelOffline { retry_after, .. } | Self::TunnelLimited { retry_after, .. } => {
                *retry_after
            }
            Self::NotConfigured
            | Self::Starting { .. }
            | Self::LocalFailed { .. }
            | Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::TimedOut { .. }
            | Self::Cancelled
            | Self::Unauthorized { .. }
            | Self::Incompatible { .. }
            | Self::Stranger { .. }
            | Self::Replaced
            | Self::UnknownJob
            | Self::OtherClient { .. }
            | Self::UnknownSession { .. }
            | Self::Elsewhere { .. }
            | Self::Changed { .. } => None,
        }
    }

    /// True when the address or the token that was used may be an old one.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        match self {
            Self::NotConfigured
            | Self::Unreachable { .. }
            | Self::TunnelOffline { .. }
            | Self::TunnelLimited { .. }
            | Self::Unauthorized { .. }
            | Self::Incompatible { .. }
            | Self::Stranger { .. }
            | Self::TimedOut { .. } => true,
            Self::Starting { .. }
            | Self::LocalFailed { .. }
            | Self::Broken { .. }
            | Self::Cancelled
            | Self::Replaced
            | Self::UnknownJob
            | Self::OtherClient { .. }
            | Self::UnknownSession { .. }
            | Self::Elsewhere { .. }
            | Self::Changed { .. }
            | Self::Refused(_) => false,
        }
    }

    /// True when the executor answered that it does not know what was asked for.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Replaced | Self::UnknownJob)
            || matches!(self, Self::Refused(problem) if problem.status == 404)
    }

    /// Whether the request may have been done in spite of the error.
    #[must_use]
    pub fn reach(&self) -> Reach {
        match self {
            Self::NotConfigured
            | Self::Starting { .. }
            | Self::LocalFailed { .. }
            | Self::Unreachable { .. } => Reach::Nowhere,
            Self::TunnelOffline { reach, .. } | Self::Stranger { reach, .. } => *reach,
            Self::Refused(problem) if problem.status == 500 => Reach::Unknown,
            Self::Refused(_)
            | Self::TunnelLimited { .. }
            | Self::Unauthorized { .. }
            | Self::Replaced
            | Self::UnknownJob
            | Self::OtherClient { .. }
            | Self::UnknownSession { .. }
            | Self::Elsewhere { .. }
            | Self::Changed { .. } => Reach::Refused,
            Self::Broken { .. }
            | Self::TimedOut { .. }
            | Self::Cancelled
            | Self::Incompatible { .. } => Reach::Unknown,
        }
    }

    /// The stable code that the model sees.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::Starting { .. } => "busy",
            Self::LocalFailed { .. } | Self::Unreachable { .. } | Self::Broken { .. } => {
                "connection_failed"
            }
            Self::TimedOut { .. } => "timed_out",
            Self::TunnelOffline { .. } | Self::TunnelLimited { .. } => "tunnel_offline",
            Self::Cancelled => "cancelled",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Incompatible { .. } | Self::Stranger { .. } => "incompatible_executor",
            Self::Changed { .. } => "connection_failed",
            Self::Replaced => "runtime_replaced",
            Self::UnknownJob
            | Self::OtherClient { .. }
            | Self::UnknownSession { .. }
            | Self::Elsewhere { .. } => "not_found",
            // The same to whoever must update one of the two.
            Self::Refused(problem) if problem.code == "incompatible_bridge" => {
                "incompatible_executor"
            }
            Self::Refused(problem) => &problem.code,
        }
    }

    /// What to do next, in one or two sentences, and what becomes of code that is there already.
    #[must_use]
    pub fn hint(&self) -> String {
        let is_cut_off = matches!(
            self,
            Self::Unreachable { .. } | Self::Broken { .. } | Self::TunnelLimited { .. }
        );
        let goes_on = if is_cut_off {
            " Code that was sent before, if any, goes on running and keeps its output."
        } else {
            ""
        };
        self.when(format!("{}{goes_on}", self.advice()))
    }

    /// What to do next, and no more.
    #[must_use]
    pub fn remedy(&self) -> String {
        self.when(self.advice())
    }

    fn when(&self, advice: String) -> String {
        match self.retry_after() {
            Some(time) => format!("{advice} Call again in {} s.", time.as_secs()),
            None => advice,
        }
    }

    fn advice(&self) -> String {
        match self {
            Self::NotConfigured => "Ask the user for the line that the Colab notebook prints (https://…#TOKEN) and call connect_colab with it; or they \
                 run `smart-colab connect` in a terminal, or set COLAB_URL to that line, or to `local` to compute on this machine, in the \
                 client's config and restart the client."
                .to_owned(),
            Self::Starting { .. } => "The first use makes a Python environment, about a minute. Call again.".to_owned(),
            Self::LocalFailed { hint, .. } => hint.clone(),
            Self::Unreachable { .. } | Self::Broken { .. } => {
                "Check that the notebook's start cell (or the executor, where you run one yourself) is still running; then call again. If it prints \
                 another line now, call connect_colab with that."
                    .to_owned()
            }
            Self::TimedOut { .. } => {
                "The machine may be overloaded or the tunnel stuck. Call again; if it stays so, look at the notebook.".to_owned()
            }
            Self::TunnelLimited { sign, .. } => format!(
                "See https://ngrok.com/docs/errors/{} for when it is free again, or choose the Cloudflare tunnel in the notebook's form, run \
                 the start cell, and call connect_colab with the new line.",
                sign.to_ascii_lowercase()
            ),
            Self::Cancelled => "Call again when it is wanted.".to_owned(),
            Self::TunnelOffline { .. } => "Open the Colab notebook and run its start cell again. If it prints a new line, call \
                 connect_colab with that, or run `smart-colab connect` in a terminal."
                .to_owned(),
            Self::Unauthorized { .. } => "Call connect_colab with the whole line that the notebook prints now, with the part after \
                 #, or run `smart-colab connect` in a terminal: a new start makes a new token."
                .to_owned(),
            Self::Incompatible { hint, .. } => hint.clone(),
            Self::Stranger { .. } => "Open the address in a browser: a sign-in page of the network, a proxy or a VPN may stand between. Check that it is the one \
                 that the notebook prints now, and call connect_colab with that; if it is, run the notebook's start cell again."
                .to_owned(),
            Self::Changed { .. } => "Wait until the program that writes the file is done, then download it again.".to_owned(),
            Self::Replaced => "Variables and files of the old machine are gone; what was read of its output \
                 is in the save folder's logs. Run the setup and the code again."
                .to_owned(),
            Self::Elsewhere { place, .. } => format!(
                "Connect back to {place} with connect_colab to read it there. Send the code again only if that machine is gone."
            ),
            Self::OtherClient { log } => format!(
                "Follow it in that client, and do not send it again: when it has ended, or that client is closed, call again here to read it. \
                 What it has printed is in {}.",
                log.display()
            ),
            Self::UnknownSession { known, .. } => {
                format!("There are: {}. Running code in a new name makes it.", known.join(", "))
            }
            Self::UnknownJob => "Check the job_id. If the call that named it had no answer from this machine, the code did not run here: \
                 send it again. If the job is older, its machine has been replaced by another: run the setup and the code again."
                .to_owned(),
            Self::Refused(problem) => problem.hint.clone(),
        }
    }
}
