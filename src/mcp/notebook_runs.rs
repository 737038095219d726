//! Converts runs of notebooks to MCP: a line of facts, and a row for each cell.

use rmcp::model::CallToolResult;
use serde::Serialize;

use super::clients::Client;
use super::reply::{Shown, reply};
use crate::caller::DEFAULT_CHARS;
use crate::notebook_run::{CellState, Record, Report, Row, State};
use crate::render::rows::{Rows, shorten};

/// Characters of a cell's error or last line.
const MAX_LINE_CHARS: usize = 160;
/// Notes that are shown.
const MAX_NOTES: usize = 10;

/// Members without a value are left out.
#[derive(Debug, Default, Serialize)]
struct Facts {
    success: bool,
    state: &'static str,
    /// The run's id, for `get_output` and `interrupt_execution`.
    operation: String,
    notebook: String,
    session: String,
    cells: usize,
    succeeded: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_run: Option<usize>,
    /// The cell in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<String>,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_command: Option<String>,
    /// The copy in the save folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    executed_notebook: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    /// Rows for which there is no room.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_left_out: Option<usize>,
}

/// Converts a run. Who starts it wants it to succeed; who only looks at it is told.
pub(super) fn notebook_run(report: Report, is_look: bool, client: Client) -> CallToolResult {
    let record = &report.record;
    let has_failed = matches!(record.state, State::Failed | State::Interrupted);
    let mut facts = facts(&report);
    let is_error = has_failed && !is_look;
    let room = match is_error {
        true => client.error_room(DEFAULT_CHARS).chars / 2,
        false => client.list_bytes() / 2,
    };
    let rows = table(record.rows.iter());
    let (all, mut shown) = (rows.len(), rows.fitting(room));
    let rows = if shown < all {
        // What failed counts most, then what runs.
        let mut rows: Vec<&Row> = record.rows.iter().collect();
        rows.sort_by_key(|row| rank(row.state));
        let rows = table(rows.into_iter());
        shown = rows.fitting(room);
        facts.rows_left_out = Some(all - shown);
        rows.first(shown)
    } else {
        rows
    };
    reply(&facts, Shown::text(rows.render(), is_error), client)
}

fn facts(report: &Report) -> Facts {
    let record = &report.record;
    let count = |states: &[CellState]| {
        let rows = record.rows.iter();
        rows.filter(|row| states.contains(&row.state)).count()
    };
    let some = |count: usize| Some(count).filter(|count| *count > 0);
    let seconds = record.rows.iter().filter_map(|row| row.seconds);
    // The sum of nothing would be -0.0.
    let seconds = seconds.fold(0.0, |sum, more| sum + more);
    let running = record
        .rows
        .iter()
        .find(|row| row.state == CellState::Running);
    let mut facts = Facts {
        success: matches!(record.state, State::Running | State::Succeeded),
        state: state(record.state),
        operation: record.id.to_string(),
        notebook: record.path.clone(),
        session: record.session.clone(),
        cells: record.rows.len(),
        succeeded: count(&[CellState::Succeeded]),
        failed: some(count(&[
            CellState::Failed,
            CellState::TimedOut,
            CellState::Lost,
        ])),
        skipped: some(count(&[CellState::Skipped])),
        not_run: some(count(&[CellState::NotRun])),
        running: running.map(|row| {
            let job = row.job_id.map(|id| id.to_string()).unwrap_or_default();
            format!("cell {}, attempt {}, job {job}", row.index, row.attempts)
        }),
        seconds: (seconds * 10.0).round() / 10.0,
        executed_notebook: record.home.as_ref().map(|path| path.display().to_string()),
        notes: record.notes.iter().take(MAX_NOTES).cloned().collect(),
        ..Facts::default()
    };
    if report.was_running {
        let note =
            "it was running already, and goes on with the arguments that it was started with";
        facts.notes.push(note.to_owned());
    }
    match record.state {
        State::Running => {
            facts.next_command = Some(format!(
                "get_output with job_id {} waits for more: it runs on by itself, whether or not anything calls.",
                record.id
            ));
            facts.notes.extend(report.trouble.as_ref().map(|trouble| {
                format!("the runtime does not answer now ({trouble}): the run goes on once it does")
            }));
        }
        State::Succeeded => {}
        State::Interrupted => {
            facts.code = Some("cancelled");
            facts.error = Some("the run was interrupted".to_owned());
            facts.hint = Some(resume(record));
            facts.retryable = Some(true);
        }
        State::Failed => fail(&mut facts, record),
    }
    facts
}

fn fail(facts: &mut Facts, record: &Record) {
    let failed = |row: &&Row| {
        matches!(
            row.state,
            CellState::Failed | CellState::TimedOut | CellState::Lost
        )
    };
    facts.retryable = Some(false);
    let first = record.rows.iter().find(failed);
    let own = record.error.clone();
    facts.error = own.or(first.map(|row| format!("cell {}: {}", row.index, row.line)));
    facts.code = Some(match first.map(|row| row.state) {
        Some(CellState::TimedOut) => "timeout",
        Some(CellState::Lost) => "lost",
        Some(_) => "cell_failed",
        None => "not_runnable",
    });
    let Some(first) = first else {
        facts.hint = Some("Call run_notebook again once the cause is gone.".to_owned());
        return;
    };
    let read = first.job_id.map_or_else(String::new, |job| {
        format!(
            "get_output with job_id {job} shows all that cell {} printed. ",
            first.index
        )
    });
    let what = match first.state {
        CellState::TimedOut => {
            "Give it more time with timeout_sec, or make it shorter with update_cell; then"
        }
        CellState::Lost => "When the runtime is there again,",
        CellState::Failed if first.is_by_policy => {
            "Nobody is asked while a notebook runs. Run that cell with run_code_cell, which asks the user where the client can, and go on with the cell \
             after it; or ask the user to change SMART_COLAB_POLICY, then"
        }
        CellState::Failed
        | CellState::NotRun
        | CellState::Running
        | CellState::Succeeded
        | CellState::Interrupted
        | CellState::Skipped => "Fix it with update_cell, then",
    };
    let hint = match record.lost_at {
        Some(at) => format!(
            "The session's variables were lost at cell {at}. {what} call run_notebook again: all cells must run, since the variables are gone."
        ),
        None => format!("{what} {}", resume_at(first)),
    };
    facts.hint = Some(format!("{read}{hint}"));
}

fn resume(record: &Record) -> String {
    let is_open = |row: &&Row| {
        matches!(
            row.state,
            CellState::Interrupted | CellState::NotRun | CellState::Running
        )
    };
    let first = record.rows.iter().find(is_open);
    let next = first.map_or_else(|| "call run_notebook again.".to_owned(), resume_at);
    format!("What has run is in the notebook. To go on, {next}")
}

fn resume_at(row: &Row) -> String {
    let index = row.index.to_string();
    let cell = row.cell_id.as_deref().unwrap_or(&index);
    format!("call run_notebook with from_cell {cell:?}, which keeps the variables.")
}

fn rank(state: CellState) -> u8 {
    match state {
        CellState::Failed | CellState::TimedOut | CellState::Lost | CellState::Interrupted => 0,
        CellState::Running => 1,
        CellState::Skipped => 2,
        CellState::NotRun => 3,
        CellState::Succeeded => 4,
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Succeeded => "succeeded",
        State::Failed => "failed",
        State::Interrupted => "interrupted",
    }
}

fn table<'a>(rows: impl Iterator<Item = &'a Row>) -> Rows<7> {
    let row = |row: &Row| {
        let state = match row.state {
            CellState::NotRun => "not run",
            CellState::Running => "running",
            CellState::Succeeded => "succeeded",
            CellState::Failed => "failed",
            CellState::TimedOut => "timed_out",
            CellState::Interrupted => "interrupted",
            CellState::Skipped => "skipped",
            CellState::Lost => "lost",
        };
        let because = row.because.map(|cell| format!(" because of cell {cell}"));
        let number = |number: u32| {
            if number > 0 {
                number.to_string()
            } else {
                String::new()
            }
        };
        [
            row.index.to_string(),
            row.cell_id.clone().unwrap_or_default(),
            format!("{state}{}", because.unwrap_or_default()),
            number(row.attempts),
            row.seconds
                .map_or_else(String::new, |seconds| format!("{seconds:.1}")),
            shorten(&row.line, MAX_LINE_CHARS),
            row.job_id.map_or_else(String::new, |id| id.to_string()),
        ]
    };
    let heading = [
        "cell",
        "id",
        "state",
        "attempts",
        "sec",
        "last line or error",
        "job_id",
    ];
    Rows::new(heading, rows.map(row))
}
