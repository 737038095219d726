//! One tool call: its deadline, its cancellation, and its progress notifications.

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
use super::cancellation::Cancellation;
use super::left::Left;
use super::server::Server;
use super::settle::Began;
use crate::base::text::{Newest, Room};
use crate::caller::turns::{Turn, Turns};
use crate::caller::{Caller, DEFAULT_CHARS, Progress, Report, Transferred};
use crate::runtime::{RuntimeError, RuntimeResult};
use crate::wire::job::Job;

/// Minimum interval between two notifications, which combines the changes in between, and the polling interval of the connection's state.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// Interval at which a message is repeated while the work makes no progress.
const REPEAT_INTERVAL: Duration = Duration::from_secs(2);
/// Smaller than any counted step.
const MIN_PROGRESS_STEP: f64 = 1e-6;
/// Characters of a message: clients show only the last one, on one line.
const MAX_MESSAGE_CHARS: usize = 200;
/// A line that is unfinished for this long is a prompt, or describes the current work.
const PROMPT_DELAY: Duration = Duration::from_secs(5);

/// Tools that work on notebooks, in the order of their arrival too.
const ON_NOTEBOOKS: [&str; 12] = [
    "open_colab_browser_connection",
    "call_colab_tool",
    "open_notebook",
    "get_cells",
    "add_code_cell",
    "add_text_cell",
    "update_cell",
    "delete_cell",
    "move_cell",
    "run_code_cell",
    "run_cells",
    "run_notebook",
];
/// Their place among the sessions, none of which can have this name.
const NOTEBOOKS: &str = "notebooks/";

/// Tools whose calls act on a session in the order of their arrival.
const IN_TURN: [&str; 6] = [
    "run_code_quick",
    "run_code_long",
    "run_chunked_operation",
    "cleanup_colab",
    "restart_session",
    "interrupt_execution",
];

/// Assigns a call its turn. Must be called where requests are read, because later they run concurrently.
pub(super) fn take_turn(turns: &Turns, call: &mut CallToolRequest) {
    let arguments = call.params.arguments.as_ref();
    let given = |name| arguments.and_then(|arguments| arguments.get(name));
    if ON_NOTEBOOKS.contains(&&*call.params.name) {
        call.extensions.insert(Arc::new(turns.take(NOTEBOOKS)));
    }
    // A job named by an interrupt exists already.
    if IN_TURN.contains(&&*call.params.name) && given("job_id").is_none() {
        let session = given("session")
            .and_then(Value::as_str)
            .unwrap_or(args::MAIN);
        call.extensions.insert(Arc::new(turns.take(session)));
    }
}

/// The context of a tool call.
pub(super) struct Call {
    pub deadline: Instant,
    /// The user's stop.
    pub cancelled: CancellationToken,
    /// Any other end of the client's wait.
    pub gone: CancellationToken,
    /// Its turn among the calls of its session; none if the order does not matter.
    pub turn: Option<Arc<Turn>>,
    /// How much output the reply holds, and an error.
    room: Room,
    error_room: Room,
    started: Instant,
    said: watch::Sender<Said>,
    left: Arc<Left>,
}

/// The last reported progress of a call.
#[derive(Debug, Clone, Default)]
struct Said {
    step: Option<Step>,
    /// An unfinished line, and since when it is unchanged.
    begun: Option<(String, Instant)>,
}

/// One progress report.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    done: f64,
    total: Option<f64>,
    message: String,
}

impl Call {
    /// Reports that `done` of `total` is done.
    pub(super) fn step(&self, done: f64, total: Option<f64>, message: &str) {
        let message = short(message);
        let step = Step {
            done,
            total,
            message,
        };
        self.said.send_modify(|said| said.step = Some(step));
    }

    /// Reports a number of things done.
    #[expect(clippy::cast_precision_loss, reason = "for a progress bar")]
    fn count(&self, done: u64, total: u64) {
        self.step(
            done as f64,
            Some(total as f64),
            &format!("{done} of {total}"),
        );
    }

    /// Reports the progress of a transfer.
    #[expect(clippy::cast_precision_loss, reason = "for a progress bar")]
    fn transferred(&self, progress: &Transferred) {
        let total = progress.total_bytes.map(|bytes| bytes as f64);
        if total.is_none() && progress.done_bytes == 0 {
            return self.say(&progress.message);
        }
        self.step(progress.done_bytes as f64, total, &progress.message);
    }

    /// Reports a message, with the seconds since the call's start as its progress.
    pub(super) fn say(&self, message: &str) {
        self.step(self.started.elapsed().as_secs_f64(), None, message);
    }

    /// The caller for the floors below, which report progress to `report`: [`Call::report`], or a wrapper of it.
    pub(super) fn caller<'a>(&'a self, report: &'a Report<'a>) -> Caller<'a> {
        Caller::until(self.deadline)
            .cancelled_by(&self.cancelled)
            .left_by(&self.gone)
            .in_turn(self.turn.as_deref())
            .stopping_at_questions()
            .with_room(self.room)
            .with_error_room(self.error_room)
            .with_report(report)
    }

    /// Reports progress of the floors below.
    pub(super) fn report(&self, progress: Progress<'_>) {
        match progress {
            Progress::Job { job, newest } => self.report_job(job, newest),
            Progress::Count { done, total } => self.count(done, total),
            Progress::Transfer(transferred) => self.transferred(transferred),
            Progress::Step {
                done,
                total,
                message,
            } => self.step(done, total, message),
            Progress::Left { name } => self.left.note(name),
        }
    }

    /// Waits for earlier calls of its session; not for long, because this call may be meant to end them.
    pub(super) async fn await_turn(&self) {
        if let Some(turn) = &self.turn {
            turn.wait_briefly(self.deadline).await;
        }
    }

    /// Reports the state and the newest output of a job.
    fn report_job(&self, job: &Job, newest: &Newest) {
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
    /// The unfinished line, once it has been unchanged for a while.
    fn prompt(&self) -> Option<String> {
        let begun = self.begun.as_ref();
        let standing = begun.filter(|(_, since)| since.elapsed() >= PROMPT_DELAY);
        standing.map(|(text, _)| text.clone())
    }
}

fn short(text: &str) -> String {
    text.trim().chars().take(MAX_MESSAGE_CHARS).collect()
}

/// Runs `work` and sends its progress to the client, if it gave a progress token. Nothing is sent after the work is done.
pub(super) async fn run<T, F>(
    server: &Server,
    context: &RequestContext<RoleServer>,
    budget: Duration,
    work: impl FnOnce(Call) -> F,
) -> T
where
    F: Future<Output = T>,
{
    let began = context.extensions.get().map(|Began(began)| *began);
    let started = began.unwrap_or_else(Instant::now);
    let (said, seen) = watch::channel(Said::default());
    let (cancelled, gone) = (CancellationToken::new(), CancellationToken::new());
    let client = server.client(context);
    let call = Call {
        deadline: started + budget,
        cancelled: cancelled.clone(),
        gone: gone.clone(),
        turn: context.extensions.get().cloned(),
        room: client.room(DEFAULT_CHARS),
        error_room: client.error_room(DEFAULT_CHARS),
        started,
        said,
        left: server.left.clone(),
    };
    let token = context.meta.get_progress_token();
    tokio::select! {
        biased;
        done = work(call) => done,
        never = forward_cancellation(server, context, cancelled, gone) => never,
        never = forward_progress(server, &context.peer, token, seen) => never,
    }
}

/// Like [`run`], for a request that is dropped when the client cancels.
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
        let (cancelled, gone) = (call.cancelled.clone(), call.gone.clone());
        tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(RuntimeError::Cancelled),
            () = gone.cancelled() => Err(RuntimeError::Cancelled),
            answer = question(call) => answer,
        }
    })
    .await
}

/// Ends the call when the client cancels it, with its work if the user stopped it. A client that disconnects cancels nothing: its code keeps
/// running as long as its executor does.
async fn forward_cancellation<T>(
    server: &Server,
    context: &RequestContext<RoleServer>,
    cancelled: CancellationToken,
    gone: CancellationToken,
) -> T {
    context.ct.cancelled().await;
    let cancellation = context.extensions.get::<Arc<Cancellation>>();
    let is_stop = cancellation.is_some_and(|cancellation| cancellation.is_stop());
    if !server.is_leaving() {
        if is_stop { cancelled } else { gone }.cancel();
    }
    pending().await
}

async fn forward_progress<T>(
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
                // The count has not changed, but MCP requires the progress to increase.
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
        // MCP requires the progress to increase with every notification.
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
            tracing::debug!(%error, "could not send progress");
        }
        last = Some(step);
    }
}
