//! One tool call: its deadline, its cancellation, and the progress that its caller sees.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{CallToolRequest, ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RequestContext};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::args;
use super::server::Server;
use crate::base::text::Newest;
use crate::caller::turns::{Turn, Turns};
use crate::caller::{Caller, Progress, Report, Transferred};
use crate::runtime::{RuntimeError, RuntimeResult};
use crate::wire::job::Job;

/// Between two notifications at least, so that what changed meanwhile is one; and how often it is looked at what the connection does.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// How often a message is repeated to a caller whose work does not move.
const REPEAT_INTERVAL: Duration = Duration::from_secs(2);
/// Less than any step of what is counted.
const MIN_PROGRESS_STEP: f64 = 1e-6;
/// Clients show the last message: long lines are of no use there.
const MAX_MESSAGE_CHARS: usize = 200;
/// A line that has no end for so long is a prompt, or says what is being done.
const PROMPT_DELAY: Duration = Duration::from_secs(5);

/// Calls of these act on a session in the order in which they come.
const IN_TURN: [&str; 6] = [
    "run_code_quick",
    "run_code_long",
    "run_chunked_operation",
    "cleanup_colab",
    "restart_session",
    "interrupt_execution",
];

/// Gives a call its turn: to be done where requests are read, for later they run side by side.
pub(super) fn take_turn(turns: &Turns, call: &mut CallToolRequest) {
    let arguments = call.params.arguments.as_ref();
    let given = |name| arguments.and_then(|arguments| arguments.get(name));
    // The job that an interrupt names is there already.
    if IN_TURN.contains(&&*call.params.name) && given("job_id").is_none() {
        let session = given("session")
            .and_then(Value::as_str)
            .unwrap_or(args::MAIN);
        call.extensions.insert(Arc::new(turns.take(session)));
    }
}

/// What a tool needs to know of the call that it answers.
pub(super) struct Call {
    pub deadline: Instant,
    pub cancelled: CancellationToken,
    /// Behind which other calls it comes; none for a call whose order is of no matter.
    pub turn: Option<Arc<Turn>>,
    started: Instant,
    said: watch::Sender<Said>,
}

/// What a call has said of itself.
#[derive(Debug, Clone, Default)]
struct Said {
    step: Option<Step>,
    /// A line without an end, and since when it stands.
    begun: Option<(String, Instant)>,
}

/// How far the work is.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    done: f64,
    total: Option<f64>,
    message: String,
}

impl Call {
    /// Says that `done` of `total` is done.
    fn step(&self, done: f64, total: Option<f64>, message: &str) {
        let message = short(message);
        let step = Step {
            done,
            total,
            message,
        };
        self.said.send_modify(|said| said.step = Some(step));
    }

    /// Says that `done` of `total` things are done.
    #[expect(clippy::cast_precision_loss, reason = "for a progress bar")]
    fn count(&self, done: u64, total: u64) {
        self.step(
            done as f64,
            Some(total as f64),
            &format!("{done} of {total}"),
        );
    }

    /// Says how far a transfer is.
    #[expect(clippy::cast_precision_loss, reason = "for a progress bar")]
    fn transferred(&self, progress: &Transferred) {
        let total = progress.total_bytes.map(|bytes| bytes as f64);
        if total.is_none() && progress.done_bytes == 0 {
            return self.say(&progress.message);
        }
        self.step(progress.done_bytes as f64, total, &progress.message);
    }

    /// Says what is happening, with the seconds since the call's start as its progress.
    pub(super) fn say(&self, message: &str) {
        self.step(self.started.elapsed().as_secs_f64(), None, message);
    }

    /// The same for the floors below, which report progress by `report`: [`Call::report`], or what becomes of it.
    pub(super) fn caller<'a>(&'a self, report: &'a Report<'a>) -> Caller<'a> {
        Caller::until(self.deadline)
            .cancelled_by(&self.cancelled)
            .in_turn(self.turn.as_deref())
            .with_report(report)
    }

    /// Says how far the work is.
    pub(super) fn report(&self, progress: Progress<'_>) {
        match progress {
            Progress::Job { job, newest } => self.tell(job, newest),
            Progress::Count { done, total } => self.count(done, total),
            Progress::Transfer(transferred) => self.transferred(transferred),
        }
    }

    /// Waits for what comes before it in its session; not for long, for it may be meant to end that.
    pub(super) async fn turn_comes(&self) {
        if let Some(turn) = &self.turn {
            turn.wait_briefly(self.deadline).await;
        }
    }

    /// What to do at each page of a job.
    fn tell(&self, job: &Job, newest: &Newest) {
        match (&*newest.line, job.queue_position) {
            ("", Some(position)) => self.say(&format!(
                "waiting behind {position} other(s) in session {}",
                job.session
            )),
            ("", None) => self.say(job.state.as_str()),
            (line, _) => self.say(line),
        }
        let begun = short(&newest.unfinished);
        self.said.send_modify(|said| {
            if said.begun.as_ref().is_none_or(|(text, _)| *text != begun) {
                said.begun = (!begun.is_empty()).then(|| (begun, Instant::now()));
            }
        });
    }
}

impl Said {
    /// The line without an end, once it has stood for a while.
    fn prompt(&self) -> Option<String> {
        let begun = self.begun.as_ref();
        let standing = begun.filter(|(_, since)| since.elapsed() >= PROMPT_DELAY);
        standing.map(|(text, _)| text.clone())
    }
}

fn short(text: &str) -> String {
    text.trim().chars().take(MAX_MESSAGE_CHARS).collect()
}

/// Runs `work` and sends its progress to the caller, who asked for it by a token. Nothing is sent after the work is done.
pub(super) async fn run<T, F>(
    server: &Server,
    context: &RequestContext<RoleServer>,
    budget: Duration,
    work: impl FnOnce(Call) -> F,
) -> T
where
    F: Future<Output = T>,
{
    let started = Instant::now();
    let (said, seen) = watch::channel(Said::default());
    let cancelled = CancellationToken::new();
    let call = Call {
        deadline: started + budget,
        cancelled: cancelled.clone(),
        turn: context.extensions.get().cloned(),
        started,
        said,
    };
    let token = context.meta.get_progress_token();
    tokio::select! {
        biased;
        done = work(call) => done,
        never = pass_on(server, &context.ct, cancelled) => never,
        never = forward(server, &context.peer, token, seen) => never,
    }
}

/// The same for a question that is given up when its caller cancels.
pub(super) async fn ask<T, F>(
    server: &Server,
    context: &RequestContext<RoleServer>,
    budget: Duration,
    question: impl FnOnce(Call) -> F,
) -> RuntimeResult<T>
where
    F: Future<Output = RuntimeResult<T>>,
{
    run(server, context, budget, async |call| {
        let cancelled = call.cancelled.clone();
        tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(RuntimeError::Cancelled),
            answer = question(call) => answer,
        }
    })
    .await
}

/// Cancels the call when its caller does. A client that leaves cancels nothing: its code goes on, where its executor does.
async fn pass_on<T>(server: &Server, asked: &CancellationToken, cancelled: CancellationToken) -> T {
    asked.cancelled().await;
    if !server.is_leaving() {
        cancelled.cancel();
    }
    pending().await
}

async fn forward<T>(
    server: &Server,
    peer: &Peer<RoleServer>,
    token: Option<ProgressToken>,
    mut seen: watch::Receiver<Said>,
) -> T {
    let Some(token) = token else {
        return pending().await;
    };
    let (mut last, mut sent) = (None::<Step>, Instant::now());
    loop {
        tokio::select! {
            Ok(()) = seen.changed() => sleep_until(sent + PROGRESS_INTERVAL).await,
            () = sleep(PROGRESS_INTERVAL) => {}
        }
        let said = seen.borrow_and_update().clone();
        let shown_instead = server
            .connection()
            .state()
            .message()
            .or_else(|| said.prompt());
        let (step, is_said) = match (shown_instead, said.step) {
            (Some(message), said) => {
                // What is counted has not moved, and MCP wants a number that has.
                let done = last.as_ref().map_or(0.0, |last| last.done) + MIN_PROGRESS_STEP;
                let total = said.and_then(|said| said.total);
                let step = Step {
                    done,
                    total,
                    message,
                };
                (step, false)
            }
            (None, Some(said)) => (said, true),
            (None, None) => continue,
        };
        // MCP wants progress to grow with every notification.
        let is_news = |last: &Step| {
            let says_more = step.message != last.message || sent.elapsed() >= REPEAT_INTERVAL;
            step.done > last.done && (is_said || says_more)
        };
        if !last.as_ref().is_none_or(is_news) {
            continue;
        }
        sent = Instant::now();
        let mut param = ProgressNotificationParam::new(token.clone(), step.done)
            .with_message(step.message.clone());
        param.total = step.total;
        if let Err(error) = peer.notify_progress(param).await {
            tracing::debug!(%error, "progress could not be sent");
        }
        last = Some(step);
    }
}
