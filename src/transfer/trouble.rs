//! Explains why a transfer is stalled: the last error or silence, for the calls that ask for its progress.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::running::{Meter, Report};
use crate::base::advice::Advice;
use crate::base::causes::sentence;
use crate::base::fault::Fault;
use crate::connection::LASTING_ERROR_TIMEOUT;
use crate::runtime::{RuntimeError, RuntimeResult};

/// Usual time to a response; shorter than the shortest call, so that the call can report a longer silence.
pub(super) const USUAL_DELAY: Duration = Duration::from_secs(3);
/// The same for a request that carries a piece over a slow link.
pub(super) const BODY_DELAY: Duration = Duration::from_secs(8);
/// The same for a request that the executor holds while it reads a file.
pub(super) const DIGEST_DELAY: Duration = Duration::from_secs(24);
/// A request is given up after this many usual delays: its connection may be dead, and the retry opens another.
const MAX_DELAYS: u32 = 5;
/// Interval between reports of the same silence.
const REPEAT_INTERVAL: Duration = Duration::from_secs(1);

/// Why a transfer is stalled while it keeps retrying; all null while it makes progress.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// The stable code of the last error.
    pub code: Option<String>,
    /// The same error as a sentence.
    pub problem: Option<String>,
    /// The remedy.
    pub hint: Option<Advice>,
}

impl Trouble {
    fn of(error: &RuntimeError, problem: String) -> Self {
        Self {
            code: Some(error.code().to_owned()),
            problem: Some(problem),
            hint: Some(
                (error.remedy())
                    .then("The transfer continues by itself once the executor answers again."),
            ),
        }
    }

    /// Appends the problem to `message`.
    pub(super) fn after(&self, message: String) -> String {
        match &self.problem {
            Some(problem) => format!("{message} It is stalled: {problem}."),
            None => message,
        }
    }
}

impl<R: Report> Meter<R> {
    /// How long to retry after [lasting](RuntimeError::is_lasting) errors. None, which is as long as after other errors, once the executor has
    /// answered this transfer.
    pub(super) fn lasting_patience(&self) -> Option<Duration> {
        (!self.was_answered()).then_some(LASTING_ERROR_TIMEOUT)
    }

    /// Records a transient error.
    pub(super) fn note_error(&self, error: &RuntimeError) {
        self.note_response(Some(Trouble::of(error, sentence(error))));
    }

    /// Waits for a response, or part of one, and records transient errors and silences of more than `usual`.
    pub(super) async fn watch<T>(
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
                    Err(error) if error.is_transient() => self.note_error(error),
                    Ok(_) | Err(_) => self.note_response(None),
                }
                return answer;
            }
            let url = || address.to_owned();
            if asked.elapsed() >= usual * MAX_DELAYS {
                return Err(RuntimeError::TimedOut { url: url() });
            }
            // Another request of the same transfer may have been answered since.
            let since = self.last_response().max(asked);
            look = since + usual;
            if look <= Instant::now() {
                let silence = since.elapsed().as_secs();
                let problem = format!("{address} has not answered for {silence} s");
                self.note_silence(Trouble::of(&RuntimeError::TimedOut { url: url() }, problem));
                look = Instant::now() + REPEAT_INTERVAL;
            }
        }
    }
}
