//! What can go wrong with Colab's own machines.

use thiserror::Error;

use crate::base::advice::{Advice, Step};
use crate::base::causes::sentence;
use crate::base::fault::Fault;

/// Characters of Google's own words.
const MAX_SAID_CHARS: usize = 300;
/// A failed request. No token is ever shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ColabError {
    #[error("nobody is signed in to Google on this computer")]
    SignedOut,
    #[error("the sign-in file {path} cannot be used: {why}")]
    BadSignIn { path: String, why: String },
    #[error("Google no longer accepts the sign-in ({0})")]
    SignInEnded(String),
    #[error("the sign-in does not allow the use of Colab ({0})")]
    ScopeMissing(String),
    #[error("the sign-in was not finished: {0}")]
    NotConfirmed(String),
    #[error("Colab does not give this account {0}")]
    NotEntitled(String),
    #[error("the account has too many machines at Colab, or was given one too recently")]
    TooMany,
    #[error("Colab has none free now: {0}")]
    NoneFree(String),
    #[error("the account's use of Colab is at its limit")]
    AtLimit,
    #[error("Colab refuses machines to this account")]
    Denied,
    #[error("Colab's API is not open to this account")]
    Closed,
    #[error(
        "Colab does not say what a machine costs, so no number of compute units can be its limit"
    )]
    CostUnknown,
    #[error("Colab wants to see that a person asks")]
    Captcha,
    #[error("{0} cannot be reached ({1})")]
    Unreachable(String, String),
    #[error("{0} did not answer in time")]
    TimedOut(String),
    #[error("{service} answered {status}: {said}")]
    Refused {
        service: String,
        status: u16,
        said: String,
    },
    /// An assignment that may have been made.
    #[error(transparent)]
    Unanswered(Box<Self>),
    #[error("Colab answered in an unknown form: {0}")]
    Odd(String),
    #[error("{path}: {why}")]
    Disk { path: String, why: String },
    #[error("Colab has ended the machine {0}")]
    Gone(String),
    #[error("no machine is named {0}")]
    Unknown(String),
    /// More than one could be meant.
    #[error("which machine is meant? There are {}", .0.join(", "))]
    Which(Vec<String>),
}

impl ColabError {
    pub(super) fn from_request(error: reqwest::Error) -> Self {
        let host = error
            .url()
            .and_then(|url| url.host_str().map(str::to_owned));
        let host = host.unwrap_or_else(|| "Google".to_owned());
        let error = error.without_url();
        if error.is_timeout() && !error.is_connect() {
            Self::TimedOut(host)
        } else {
            Self::Unreachable(host, sentence(&error))
        }
    }

    pub(crate) fn odd(said: &str) -> Self {
        Self::Odd(short(said))
    }

    pub(super) fn refused(service: &str, status: u16, said: &str) -> Self {
        let service = service.to_owned();
        let said = short(said);
        Self::Refused {
            service,
            status,
            said,
        }
    }

    /// Whether what was asked for may have been done.
    pub(super) fn may_have_arrived(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(..)
                | Self::TimedOut(_)
                | Self::Odd(_)
                | Self::Refused { status: 500.., .. }
        )
    }
}

/// Google's own words, or the beginning of a page.
pub(super) fn short(said: &str) -> String {
    let words: Vec<&str> = said.split_whitespace().collect();
    words.join(" ").chars().take(MAX_SAID_CHARS).collect()
}

impl Fault for ColabError {
    fn code(&self) -> &str {
        match self {
            Self::SignedOut => "not_signed_in",
            Self::BadSignIn { .. } | Self::SignInEnded(_) | Self::ScopeMissing(_) => "unauthorized",
            Self::NotConfirmed(_) => "cancelled",
            Self::NotEntitled(_) => "not_entitled",
            Self::TooMany => "too_many_machines",
            Self::NoneFree(_) => "none_free",
            Self::AtLimit => "at_limit",
            Self::Denied => "denied",
            Self::Closed => "not_admitted",
            Self::CostUnknown => "cost_unknown",
            Self::Captcha => "captcha",
            Self::Unreachable(..) => "connection_failed",
            Self::TimedOut(_) => "timed_out",
            Self::Refused { .. } => "refused",
            Self::Unanswered(error) => error.code(),
            Self::Odd(_) => "unexpected_reply",
            Self::Disk { .. } => "disk",
            Self::Gone(_) => "machine_gone",
            Self::Unknown(_) => "not_found",
            Self::Which(_) => "invalid_argument",
        }
    }

    /// An assignment that may have been made is no call to repeat without a look.
    fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::NoneFree(_)
                | Self::Unreachable(..)
                | Self::TimedOut(_)
                | Self::Refused {
                    status: 429 | 500..,
                    ..
                }
        )
    }

    fn remedy(&self) -> Advice {
        match self {
            Self::SignedOut | Self::BadSignIn { .. } => Step::SignIn.into(),
                        Self::SignInEnded(_) => Advice::from("The sign-in of a client that is still in \"Testing\" ends after seven days. ") + Step::SignIn,
            Self::ScopeMissing(_) => Advice::from("Leave every box of Google's page ticked. ") + Step::SignIn,
            Self::NotConfirmed(_) => "Run the command again, and confirm in the browser.".into(),
            Self::NotEntitled(_) => "Choose another accelerator, or none; the status lists those that this account has.".into(),
            Self::TooMany => "Give a machine back that is not needed, here or under \"Manage sessions\" in Colab; or wait some minutes.".into(),
            Self::NoneFree(_) => "Try again in some minutes, or choose another accelerator or none.".into(),
            Self::AtLimit => "Wait until the limit is lifted (up to a day without compute units), or buy compute units at Colab. Nothing was assigned.".into(),
            Self::Denied => "Read Colab's FAQ on limits, or write to its support. Nothing was assigned.".into(),
            Self::Closed => "Google admits accounts to the preview of this API, and the project of the sign-in has to have it enabled. Without COLAB_MACHINE_API the requests of Colab's own pages are made.".into(),
            Self::CostUnknown => "Set a limit in hours in its place. Nothing was assigned.".into(),
            Self::Captcha => "Open https://colab.research.google.com in a browser, connect a notebook once, then try again.".into(),
            Self::Unreachable(..) | Self::TimedOut(_) => "Check this computer's connection to the internet, then try again.".into(),
            Self::Refused { .. } | Self::Odd(_) => "Try again; if it stays, Colab has changed: report it with this text.".into(),
            Self::Disk { .. } => "Make the folder writable. Then list the machines before you repeat anything: one may be assigned.".into(),
            Self::Gone(_) => Advice::from("Its files and variables are lost. ") + Step::AssignMachine + " Then run the setup again.",
            Self::Unknown(_) => Advice::from("It was given back, or its name is another one. ") + Step::ListMachines,
            Self::Unanswered(_) => Advice::from("A machine may have been assigned nevertheless, and costs compute units then: look before you ask again. ") + Step::ListMachines,
            Self::Which(_) => "Name it, or give all of them back. Nothing was done.".into(),
        }
    }
}
