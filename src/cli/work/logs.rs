//! `smart-colab logs`: what a job printed.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::Instant;

use super::attend::Wait;
use super::gather::Gathered;
use super::grep::Grep;
use super::{Common, Desk, End, FAILED, INTERRUPTED, run};
use crate::base::ids::JobId;
use crate::base::text::{Pattern, Room};
use crate::checkpoints::CheckpointError;
use crate::jobs::live::Ran;
use crate::jobs::overview::Wanted;
use crate::runtime::RuntimeResult;

/// Digits of an id's beginning that may stand for it; all ids of a minute have the first 7 in common.
const MIN_HEAD_CHARS: usize = 8;
/// For the list of ids.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);
/// Characters read of a log that only this computer has.
const MAX_COPY_CHARS: usize = 10_000_000;

const EXAMPLES: &str = "\
Examples:
  smart-colab logs -f                     follow the newest job that was sent from this computer
  smart-colab logs ID                     all that a job printed, also one of a model or of another terminal
  smart-colab logs -f ID --grep 'loss'    only its lines that match, as they come

Ctrl-C ends the watching, not the code. With `local`, jobs of a client that is open are read once
they have ended. The exit code is 0 if the output was shown, however the code ended; --json has the
state of the job.";

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(in crate::cli) struct LogsArgs {
    /// The job's id, as `run --detach` and `jobs` print it, or the checkpoint name under which it runs [default: the newest].
    id: Option<String>,
    /// Show further output until the job has ended.
    #[arg(short, long)]
    follow: bool,
    /// Only lines that match this regular expression.
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    grep: Option<Pattern>,
    #[command(flatten)]
    pub(super) common: Common,
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| error.to_string())
}

/// Finds the job that an argument names, also by the beginning of its id.
pub(super) async fn find(id: Option<&str>, desk: &Desk<'_>) -> Result<JobId, End> {
    if let Some(id) = id {
        return match desk.floors.checkpoints.job_named(id) {
            Ok(id) => Ok(id),
            Err(CheckpointError::NotFound { .. }) if is_head(id) => begun(id, desk).await,
            Err(error) => Err(error.into()),
        };
    }
    let newest = desk.floors.jobs.remembered(1).pop();
    newest.map(|record| record.job_id).ok_or_else(|| {
        End::usage(
            "no job was sent from this computer",
            "`smart-colab jobs` lists those of the runtime.",
        )
    })
}

fn is_head(text: &str) -> bool {
    text.len() >= MIN_HEAD_CHARS
        && text
            .chars()
            .all(|char| char.is_ascii_hexdigit() || char == '-')
}

/// Finds the one job whose id begins with `head`.
async fn begun(head: &str, desk: &Desk<'_>) -> Result<JobId, End> {
    let wanted = Wanted {
        limit: usize::MAX,
        ..Wanted::default()
    };
    let list = (desk.floors.jobs)
        .list(&wanted, Instant::now() + LIST_TIMEOUT)
        .await;
    let head = head.to_ascii_lowercase();
    let mut found = list.rows.iter().map(|row| row.job_id.as_str());
    let mut found = found.by_ref().filter(|id| id.starts_with(&head));
    match (found.next().map(str::parse), found.next()) {
        (Some(Ok(id)), None) => Ok(id),
        (Some(_), _) => Err(End::usage(
            format!("more than one job's id begins with {head}"),
            "Give more of it; `smart-colab jobs` lists the ids.",
        )),
        (None, _) => Err(match list.trouble {
            Some(error) => error.into(),
            None => End::fault(
                FAILED,
                "not_found",
                format!("no job's id begins with {head}"),
                "`smart-colab jobs` lists the ids.",
            ),
        }),
    }
}

/// Shows the output.
pub(super) async fn run(args: LogsArgs, desk: &Desk<'_>) -> Result<End, End> {
    let id = find(args.id.as_deref(), desk).await?;
    let (wait, gathered) = (Wait::for_job(id), Gathered::default());
    let mut tap = run::tap(desk, &wait, &gathered);
    if let Some(pattern) = args.grep {
        tap = Box::new(Grep::new(pattern, tap));
    }
    let follows = args.follow;
    let work = {
        let (wait, jobs) = (wait.clone(), desk.floors.jobs.clone());
        async move {
            let look = async |caller: &crate::caller::Caller<'_>| {
                let caller = match follows {
                    true => caller.clone(),
                    false => caller.clone().at_most(Duration::ZERO),
                };
                jobs.look_live(id, tap, &caller).await
            };
            wait.call(look).await
        }
    };
    let left = wait.left.clone();
    let done = wait.attend(desk, work, || left.cancel()).await;
    let done: RuntimeResult<Ran> = done.ok_or_else(End::broken)?;
    let ran = match done {
        Ok(ran) => ran,
        // The machine is gone; its output may be here.
        Err(error) => {
            let room = Room::for_chars(MAX_COPY_CHARS);
            let copy = desk.floors.jobs.read_old_copy(id, room, error).await?;
            let facts = json!({"success": true, "job_id": id.to_string(), "stdout": copy.text});
            return Ok(End::text(copy.text, facts));
        }
    };
    let mut facts = gathered.facts(&ran);
    facts["success"] = ran.trouble.is_none().into();
    let code = if wait.left.is_cancelled() {
        INTERRUPTED
    } else {
        0
    };
    match ran.trouble {
        Some(error) => Err(End {
            facts,
            ..End::from(error)
        }),
        None => Ok(wait.with_unwritten(End {
            code,
            facts,
            text: String::new(),
            said: String::new(),
        })),
    }
}
