//! Why a transfer does not get on: what its last tries met with, for the calls that ask how far it is.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::running::{Meter, Report};
use crate::base::advice::Advice;
use crate::base::causes::sentence;
use crate::base::fault::Fault;
use crate::connection::LASTING_ERROR_TIMEOUT;
use crate::runtime::{RuntimeError, RuntimeResult};

/// How long a request is without an answer in the ordinary course; shorter than the shortest call, so that this can report it.
pub(super) const USUAL_DELAY: Duration = Duration::from_secs(3);
/// The same for one that carries a piece over a slow line.
pub(super) const BODY_DELAY: Duration = Duration::from_secs(8);
/// The same for one that the executor holds while it reads a file.
pub(super) const DIGEST_DELAY: Duration = Duration::from_secs(24);
/// A request that is without an answer for so many times the usual is given up: its connection may be dead, and the next try makes another.
const MAX_DELAYS: u32 = 5;
/// How often a silence is reported anew.
const REPEAT_INTERVAL: Duration = Duration::from_secs(1);

/// What stands in the way of a transfer that goes on trying; all null while it gets on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Trouble {
    /// The stable code of what the last try met with, while the transfer does not get on.
    pub code: Option<String>,
    /// The same in a sentence.
    pub problem: Option<String>,
    /// What to do about it.
    pub hint: Option<Advice>,
}

impl Trouble {
    fn of(error: &RuntimeError, problem: String) -> Self {
        Self {
            code: Some(error.code().to_owned()),
            problem: Some(problem),
            hint: Some(
                (error.remedy())
                    .then("The transfer goes on by itself when the executor answers again."),
            ),
        }
    }

    /// `message`, and behind it what stands in the way.
    pub(super) fn after(&self, message: String) -> String {
        match &self.problem {
            Some(problem) => format!("{message} It does not get on: {problem}."),
            None => message,
        }
    }
}

impl<R: Report> Meter<R> {
    /// How long a request is repeated where nothing but [lasting](RuntimeError::is_lasting) errors comes. None, which is as long as after any
    /// other error, once the executor has answered this transfer.
    pub(super) fn lasting_patience(&self) -> Option<Duration> {
        (!self.was_answered()).then_some(LASTING_ERROR_TIMEOUT)
    }

    /// Notes an error that another try may not meet with.
    pub(super) fn met(&self, error: &RuntimeError) {
        self.heard(Some(Trouble::of(error, sentence(error))));
    }

    /// Waits for an answer, or for a part of one, and notes what that says of the link: an error that may pass, or a silence of more than `usual`.
    pub(super) async fn hear<T>(
        &self,
        address: &str,
        usual: Duration,
        answer: impl Future<Output = RuntimeResult<T>>,
    ) -> RuntimeResult<T> {
        let (mut answer, asked) = (pin!(answer), Instant::now());
        let mut look = asked + usual;
        loop {
            if let Ok(answer) = timeout_at(look, &mut answer).await {
                match &answer {
                    Err(error) if error.is_transient() => self.met(error),
                    Ok(_) | Err(_) => self.heard(None),
                }
                return answer;
            }
            let url = || address.to_owned();
            if asked.elapsed() >= usual * MAX_DELAYS {
                return Err(RuntimeError::TimedOut { url: url() });
            }
            // Another request of the same transfer may have been answered since.
            let since = self.last_heard().max(asked);
            look = since + usual;
            if look <= Instant::now() {
                let silence = since.elapsed().as_secs();
                let problem = format!("{address} has not answered for {silence} s");
                self.stuck(Trouble::of(&RuntimeError::TimedOut { url: url() }, problem));
                look = Instant::now() + REPEAT_INTERVAL;
            }
        }
    }
}
