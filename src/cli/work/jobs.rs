//! `smart-colab jobs`: what runs and what has run.

use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, RangedU64ValueParser};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;
use unicode_width::UnicodeWidthStr as _;

use super::{Common, Desk, End, facts, hint};
use crate::base::causes::sentence;
use crate::base::fault::Fault as _;
use crate::jobs::overview::{Row, Source, Wanted};
use crate::render::rows::shorten;
use crate::wire::state::JobState;

/// After this time the list is answered from this computer's records.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_CODE_CHARS: usize = 60;
const COLUMNS: usize = 7;
/// The column that is left out where all jobs are of this machine.
const WHERE: usize = 5;

const STATES: [JobState; 7] = [
    JobState::Queued,
    JobState::Running,
    JobState::Succeeded,
    JobState::Failed,
    JobState::Interrupted,
    JobState::TimedOut,
    JobState::Lost,
];

const EXAMPLES: &str = "\
Examples:
  smart-colab jobs                    what runs, then the newest others
  smart-colab jobs --state running    only what runs
  smart-colab jobs --json             for a program

Jobs of models, of other terminals and of closed clients are in it, too. If the runtime does not
answer, those are listed that were sent from this computer, in their last known states, and the
exit code is 125. Jobs that this computer sent elsewhere come last, with the place.";

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(in crate::cli) struct JobsArgs {
    /// Only jobs in this state.
    #[arg(long, value_parser = PossibleValuesParser::new(STATES.map(JobState::as_str)))]
    state: Option<String>,
    /// Only jobs of this session.
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// Rows at most.
    #[arg(short = 'n', long, value_name = "ROWS", default_value_t = 20, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    limit: usize,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Lists the jobs.
pub(super) async fn run(args: JobsArgs, desk: &Desk<'_>) -> Result<End, End> {
    let wanted = Wanted {
        state: STATES
            .into_iter()
            .find(|state| args.state.as_deref() == Some(state.as_str())),
        session: args.session,
        limit: args.limit,
    };
    let list = desk
        .floors
        .jobs
        .list(&wanted, Instant::now() + ANSWER_TIMEOUT)
        .await;
    let rows = json!({"jobs": facts(&list.rows)});
    let mut end = match list.trouble {
        None if list.rows.is_empty() => {
            let mut end = End::text(String::new(), rows);
            end.said = "There are no such jobs. `smart-colab run` starts one.".to_owned();
            return Ok(end);
        }
        None => End::text(String::new(), rows),
        Some(error) => {
            let mut said = rows;
            said["success"] = false.into();
            said["code"] = error.code().into();
            said["error"] = sentence(&error).into();
            said["hint"] = hint(&error).into();
            End {
                facts: said,
                ..End::from(error)
            }
        }
    };
    end.text = table(&list.rows);
    Ok(end)
}

/// A row a line, with aligned columns.
fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let now = Timestamp::now();
    let heading = ["ID", "STATE", "SESSION", "SENT", "TOOK", "WHERE", "CODE"].map(str::to_owned);
    let cells = rows.iter().map(|row| {
        let state = match row.source {
            Source::LastKnown => format!("{} (last known)", row.state),
            Source::Runtime | Source::Memory => row.shown_state(),
        };
        [
            row.job_id.clone(),
            state,
            row.session.clone(),
            age(&row.created_at, now),
            row.execution_time_sec.map_or_else(String::new, took),
            row.place.clone().unwrap_or_default(),
            shorten(
                &row.code_head.replace(char::is_control, " "),
                MAX_CODE_CHARS,
            ),
        ]
    });
    let mut lines: Vec<[String; COLUMNS]> = std::iter::once(heading).chain(cells).collect();
    if rows.iter().all(|row| row.place.is_none()) {
        lines[0][WHERE].clear();
    }
    let width = |at: usize| lines.iter().map(|line| line[at].width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let line = |cells: &[String; COLUMNS]| {
        let shown = cells.iter().zip(&widths).filter(|(_, width)| **width > 0);
        let padded = shown.map(|(cell, width)| {
            let gap = " ".repeat(width.saturating_sub(cell.width()));
            format!("{cell}{gap}")
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn age(created: &str, now: Timestamp) -> String {
    let Ok(created) = created.parse::<Timestamp>() else {
        return created.to_owned();
    };
    match now.duration_since(created).as_secs().max(0) {
        seconds @ ..60 => format!("{seconds} s ago"),
        seconds @ ..3_600 => format!("{} min ago", seconds / 60),
        seconds @ ..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a job's time is small"
)]
fn took(seconds: f64) -> String {
    match seconds as u64 {
        ..10 => format!("{seconds:.1} s"),
        whole @ ..60 => format!("{whole} s"),
        whole @ ..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        whole => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
    }
}
