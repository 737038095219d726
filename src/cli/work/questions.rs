//! Answers what the code asks with `input()`, from the terminal.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

use super::attend::Wait;
use crate::base::ids::JobId;
use crate::jobs::Jobs;
use crate::wire::job::{InputRequest, NoAnswer};

/// How long an answer is sent again while the runtime does not answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Whether someone is there to answer.
pub(super) fn can_answer() -> bool {
    io::stdin().is_terminal()
}

/// Lines of stdin, each read when it is wanted. A read cannot be taken back: what a withdrawn question leaves is for the next one.
struct Lines {
    wanted: Sender<()>,
    read: UnboundedReceiver<Option<String>>,
    is_reading: bool,
}

impl Lines {
    fn new() -> Self {
        let (wanted, orders) = channel();
        let (lines, read) = unbounded_channel();
        // Its end is that of the process, which waits for no thread.
        std::thread::spawn(move || {
            while orders.recv().is_ok() {
                let mut line = String::new();
                let count = io::stdin().read_line(&mut line);
                let line = line.trim_end_matches(['\r', '\n']).to_owned();
                if lines
                    .send(count.is_ok_and(|count| count > 0).then_some(line))
                    .is_err()
                {
                    return;
                }
            }
        });
        Self {
            wanted,
            read,
            is_reading: false,
        }
    }

    /// The next line; none at the end, as Ctrl-D makes one.
    async fn next(&mut self) -> Option<String> {
        if !self.is_reading {
            self.is_reading = self.wanted.send(()).is_ok();
        }
        let line = self.read.recv().await.flatten();
        self.is_reading = false;
        line
    }
}

/// Answers the questions of a job as they come. Its prompts are part of the output.
pub(super) async fn answer(wait: Wait, jobs: Arc<Jobs>, id: JobId) {
    let mut asked = wait.asked.subscribe();
    let mut lines = None;
    loop {
        let question = asked.borrow_and_update().clone();
        let Some(question) = question else {
            if asked.changed().await.is_err() {
                return;
            }
            continue;
        };
        let lines = lines.get_or_insert_with(Lines::new);
        let value = tokio::select! {
            value = lines.next() => value,
            Ok(()) = asked.changed() => continue,
        };
        wait.note_typed(value.is_some());
        let number = question.number;
        let answer = InputRequest {
            number,
            reason: value.is_none().then_some(NoAnswer::End),
            value,
        };
        if let Err(error) = jobs
            .answer(id, &answer, Instant::now() + ANSWER_TIMEOUT)
            .await
        {
            eprintln!("smart-colab: the answer was not passed on ({error}); enter it again");
            continue;
        }
        // The job may be reported once more as it was before the answer.
        let is_answered = |next: &Option<_>| next.as_ref() != Some(&question);
        if asked.wait_for(is_answered).await.is_err() {
            return;
        }
    }
}
