//! The code of each error, and what to do about it.

use super::RuntimeError;
use crate::base::advice::{Advice, Step};
use crate::base::fault::Fault;

impl RuntimeError {
    /// The next step, without the fate of code that was sent before.
    #[must_use]
    pub fn next_step(&self) -> Advice {
        self.advice().then(self.retry_step())
    }

    /// What becomes of code that runs there, if that depends on what has happened.
    #[must_use]
    pub fn uncertain_fate(&self) -> Option<&'static str> {
        let (Self::Unreachable { remedy, .. } | Self::Broken { remedy, .. }) = self else {
            return None;
        };
        // Its executor is a process of the server's.
        matches!(remedy, Step::CheckJupyter | Step::StartJupyter).then_some(
            "If only the connection is lost, code that was sent before keeps running; if the server was stopped, it ended with it. \
             Its output up to then is kept.",
        )
    }

    fn retry_step(&self) -> Advice {
        let after = self.retry_after().map(|time| time.as_secs());
        after.map_or_else(Advice::default, |after_sec| {
            Step::Retry { after_sec }.into()
        })
    }

    fn advice(&self) -> Advice {
        match self {
            Self::NotConfigured => Step::Configure.into(),
            Self::Unreachable { remedy, .. }
            | Self::Broken { remedy, .. }
            | Self::Unauthorized { remedy, .. } => remedy.clone().into(),
            Self::TimedOut { .. } => Step::CheckLoad.into(),
            Self::TunnelLimited { sign, .. } => Step::ChangeTunnel { sign: sign.clone() }.into(),
            Self::Cancelled => "Call again if it is still wanted.".into(),
            Self::TunnelOffline { .. } => Step::RestartExecutor.into(),
            Self::Starting { remedy, .. }
            | Self::StartFailed { remedy, .. }
            | Self::Incompatible { remedy, .. } => remedy.clone(),
            Self::EndedWithClient => "Restart the client.".into(),
            Self::Stranger { .. } => Step::CheckAddress.into(),
            Self::Changed { .. } => "Wait until the program that writes the file is done, then download it again.".into(),
            Self::Replaced => "Variables and files of the old machine are gone; the output that was read \
                 is in the save folder's logs. Run the setup and the code again."
                .into(),
            Self::Removed => "If it was running, its code may have run to its end. The output that was read is in the save folder's logs; the rest is gone. \
                 Look at its effects (variables, files) before you run it again."
                .into(),
            Self::Elsewhere { place, .. } => Advice::from(Step::ConnectBack { place: place.clone() })
                .then("Send the code again only if that machine is gone."),
            Self::OtherClient { log } => format!(
                "Follow it in that client, and do not send it again: when it has ended, or that client is closed, call again here to read it. \
                 Its output so far is in {}.",
                log.display()
            )
            .into(),
            Self::UnknownSession { known, .. } => {
                format!("The sessions are: {}. Running code under a new name creates one.", known.join(", ")).into()
            }
            Self::UnknownNotebook { known, .. } if known.is_empty() => "Where code runs on a Jupyter Server, open the notebook there and run a cell; \
                 then call again. Without a session of a notebook, code runs in a session of its own."
                .into(),
            Self::UnknownNotebook { known, .. } => {
                format!("Open it on the Jupyter Server and run a cell, then call again. Those with a kernel are: {}.", known.join(", ")).into()
            }
            Self::UnknownKernel { known, .. } => {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                format!("It has ended, or the id is wrong. The sessions of notebooks there are: {known}.").into()
            }
            Self::UnknownJob => "Check the job_id. If the call that named it got no answer from this machine, the code did not run here: \
                 send it again. If the job is older, its machine has been replaced by another: run the setup and the code again."
                .into(),
            Self::Refused(problem) => problem.hint.clone().into(),
        }
    }
}

impl Fault for RuntimeError {
    fn code(&self) -> &str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::Starting { .. } => "busy",
            Self::StartFailed { .. }
            | Self::EndedWithClient
            | Self::Unreachable { .. }
            | Self::Broken { .. } => "connection_failed",
            Self::TimedOut { .. } => "timed_out",
            Self::TunnelOffline { .. } | Self::TunnelLimited { .. } => "tunnel_offline",
            Self::Cancelled => "cancelled",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Incompatible { .. } | Self::Stranger { .. } => "incompatible_executor",
            Self::Changed { .. } => "file_changed",
            Self::Replaced => "runtime_replaced",
            Self::Removed
            | Self::UnknownJob
            | Self::OtherClient { .. }
            | Self::UnknownSession { .. }
            | Self::UnknownNotebook { .. }
            | Self::UnknownKernel { .. }
            | Self::Elsewhere { .. } => "not_found",
            // In both cases the user has to update one of the two sides.
            Self::Refused(problem) if problem.code == "incompatible_bridge" => {
                "incompatible_executor"
            }
            Self::Refused(problem) => &problem.code,
        }
    }

    fn is_retryable(&self) -> bool {
        self.is_transient()
    }

    /// Includes the fate of code that was sent before.
    fn remedy(&self) -> Advice {
        let is_cut_off = matches!(
            self,
            Self::Unreachable { .. } | Self::Broken { .. } | Self::TunnelLimited { .. }
        );
        let certain = "Code that was sent before, if any, keeps running, and its output is kept.";
        let fate = self.uncertain_fate().unwrap_or(certain);
        let fate = if is_cut_off { fate } else { "" };
        self.advice().then(fate).then(self.retry_step())
    }
}
