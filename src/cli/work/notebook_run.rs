//! `smart-colab run FILE.ipynb`: all cells of a copy of the notebook on the runtime, with their output as it comes.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::attend::Wait;
use super::gather::Gathered;
use super::run::tap;
use super::{
    Desk, End, FAILED, INTERRUPTED, TIMED_OUT, UNREACHABLE, USAGE, copy, exit_with, facts, hint,
};
use crate::base::causes::sentence;
use crate::base::fault::Fault as _;
use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::cli::words::quoted;
use crate::document::{fresh_id, session_named};
use crate::notebook_run::order::{Order, Source, check_file};
use crate::notebook_run::{
    CellState, NotebookRuns, OnError, Options, Record, Row, RunError, State,
};

/// Between two looks at how the run stands.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// For the start of a run, once the notebook is there.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// Runs the cells, one after the other, up to the first one that fails.
pub(super) async fn run(
    path: &Path,
    session: Option<String>,
    timeout_sec: u64,
    desk: &Desk<'_>,
) -> Result<End, End> {
    let file = checked(path)?;
    // With a copy and a session of its own, it meets no other run, of this file or of another one of this name.
    let id = fresh_id();
    let copy = Path::new(&file).with_extension(format!("run-{id}.ipynb"));
    let sent = copy::send(path, copy.to_string_lossy().into_owned(), desk);
    let sent = sent.await.map_err(|end| match end.code {
        INTERRUPTED => End::fault(
            INTERRUPTED,
            "cancelled",
            format!("{file} was not sent, and no cell ran"),
            "Run it again if it is still needed.",
        ),
        _ => end,
    })?;
    let order = Order {
        source: Source::Notebook(sent.remote_path),
        parameters: None,
        from_cell: None,
        restart: false,
        ends_session: session.is_none(),
        session: session.or_else(|| Some(session_named(&file, &id))),
        copy_of: Some(file.clone()),
        options: Options {
            timeout_sec,
            max_retries: 0,
            retry_on: None,
            on_error: OnError::Stop,
        },
    };
    let wait = Wait::default();
    let stop = CancellationToken::new();
    let runs = &desk.floors.notebook_runs;
    let starter = Caller::until(Instant::now() + START_TIMEOUT)
        .left_by(&wait.left)
        .at_most(Duration::ZERO);
    let started = wait.beside(desk, runs.run(order, &starter)).await;
    let mut record = started.map_err(|error| not_started(error, &file))?.record;
    let caller = Caller::until(Wait::deadline()).left_by(&wait.left);
    let id = record.id;
    let shown = async {
        let mut seen = HashSet::new();
        loop {
            show_cells(&record, &mut seen, &wait, desk).await;
            if record.state != State::Running || wait.left.is_cancelled() {
                return record;
            }
            sleep(LOOK_INTERVAL).await;
            record = look(runs, id, &caller, record).await;
        }
    };
    let stopping = async {
        stop.cancelled().await;
        runs.stop(id, &caller).await;
        std::future::pending().await
    };
    let work = async {
        tokio::select! {
            record = shown => record,
            never = stopping => never,
        }
    };
    let mut presses = 0;
    let press = || {
        presses += 1;
        if presses == 1 {
            let again = match desk.is_local {
                true => "ends the cell that runs",
                false => "leaves the cell that runs",
            };
            eprintln!("\nsmart-colab: interrupting; Ctrl-C again {again}");
            stop.cancel();
        } else {
            wait.left.cancel();
        }
    };
    let record = wait.watch(desk, work, press).await;
    Ok(wait.with_unwritten(end(&record, desk)))
}

/// The name of the notebook, which can be run as far as this computer can tell.
fn checked(path: &Path) -> Result<String, End> {
    let shown = path.display().to_string();
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        let sentence = format!("{shown} is not a Unicode name");
        return Err(End::usage(sentence, "Rename it first."));
    };
    let bytes = std::fs::read(path).map_err(|error| {
        End::usage(
            format!("{shown} cannot be read: {error}"),
            "Nothing was sent. Check the path: the file has to be on this computer.",
        )
    })?;
    check_file(&shown, bytes).map_err(|error| {
        // The others name the file.
        let sentence = match matches!(error, RunError::Invalid(_)) {
            true => format!("{shown}: {error}"),
            false => sentence(&error),
        };
        let hint = "Nothing was sent. Give a Python notebook of nbformat 4 with code in its cells; `jupyter nbconvert --to notebook` converts older ones.";
        End::fault(USAGE, error.code(), sentence, hint)
    })?;
    Ok(name.to_owned())
}

fn not_started(error: RunError, file: &str) -> End {
    let sentence = format!("no cell of {file} ran: {}", sentence(&error));
    let (name, hint) = (error.code().to_owned(), hint(&error));
    End::fault(End::from(error).code, &name, sentence, &hint)
}

async fn look(runs: &NotebookRuns, id: JobId, caller: &Caller<'_>, before: Record) -> Record {
    let report = runs
        .follow(id, &caller.clone().at_most(Duration::ZERO))
        .await;
    report.map_or(before, |report| report.record)
}

/// Shows the output of each cell that was sent, to its end.
async fn show_cells(record: &Record, seen: &mut HashSet<JobId>, wait: &Wait, desk: &Desk<'_>) {
    if desk.is_json {
        return;
    }
    for row in &record.rows {
        let Some(job) = row.job_id.filter(|job| !seen.contains(job)) else {
            continue;
        };
        let tap = tap(desk, wait, &Gathered::default());
        let look = wait.call(async |caller| desk.floors.jobs.look_live(job, tap, caller).await);
        match look.await {
            Ok(_) => seen.insert(job),
            // It is about to be sent.
            Err(error) if error.is_not_found() && record.state == State::Running => return,
            Err(_) => seen.insert(job),
        };
    }
}

/// How the run stands. Cells are counted from 1, among those with code.
pub(super) fn end(record: &Record, desk: &Desk<'_>) -> End {
    let rows = &record.rows;
    let is_done = |row: &&Row| row.state == CellState::Succeeded;
    let (done, total) = (rows.iter().filter(is_done).count(), rows.len());
    let mut said = format!("{done} of {total} code cells succeeded");
    let mut fault = None;
    let code = match record.state {
        State::Succeeded => 0,
        State::Running | State::Interrupted => {
            let states = [CellState::Running, CellState::Interrupted];
            let at = rows.iter().position(|row| states.contains(&row.state));
            said += &match (at, record.state) {
                (Some(at), State::Running) => format!("; number {} runs", at + 1),
                (Some(at), _) => format!("; number {} was interrupted", at + 1),
                (None, State::Running) => "; the run goes on".to_owned(),
                (None, _) => "; the run was interrupted".to_owned(),
            };
            let hint = "Run the notebook again if it is still needed: all its cells run then.";
            fault = (record.state == State::Interrupted).then_some(("cancelled", hint));
            INTERRUPTED
        }
        State::Failed => {
            let (code, name, why) = failure(record);
            said += &why;
            fault = (code != 0).then(|| (name, remedy(name)));
            code
        }
    };
    let home = record.home.as_ref().map(|path| path.display().to_string());
    let mut facts = json!({
        "success": code == 0,
        "exit_code": code,
        "state": facts(&record.state),
        "job_id": record.id.to_string(),
        "session": record.session,
        "notebook": record.path,
        "executed_notebook": home,
        "cells": rows.iter().map(cell).collect::<Vec<_>>(),
        "notes": record.notes,
    });
    let file = record.copy_of.as_deref().unwrap_or(&record.path);
    let mut text = format!("smart-colab: {file}: {said}");
    if let Some((name, hint)) = fault {
        facts["code"] = name.into();
        facts["error"] = said.into();
        facts["hint"] = hint.into();
        text += &format!("\n{hint}");
    }
    for note in &record.notes {
        text += &format!("\n[{note}]");
    }
    let there = &record.path;
    text += &match (record.state, home) {
        (State::Running, _) => format!("\n{}", ways_back(record, desk)),
        (_, Some(home)) => {
            format!("\nThe notebook with its outputs is {home}, and on the runtime {there}.")
        }
        (_, None) => format!(
            "\nThe notebook with its outputs is on the runtime: `smart-colab get {}` copies it.",
            quoted(there)
        ),
    };
    End {
        code,
        facts,
        text: String::new(),
        said: text,
    }
}

/// The exit code of a run that failed, the name of the error, and what happened.
fn failure(record: &Record) -> (u8, &str, String) {
    let failed = [CellState::Failed, CellState::TimedOut, CellState::Lost];
    let mut rows = record.rows.iter().zip(1..);
    let Some((row, number)) = rows.find(|(row, _)| failed.contains(&row.state)) else {
        let why = record.error.as_deref().unwrap_or("not all cells ran");
        let name = record.error_code.as_deref().unwrap_or("not_run");
        return (FAILED, name, format!("; {why}"));
    };
    let (name, line) = (row.code.as_deref().unwrap_or("python_error"), &row.line);
    let exited = match line.strip_prefix("SystemExit") {
        Some("") => Some(""),
        Some(rest) => rest.strip_prefix(": "),
        None => None,
    };
    let code = match (row.state, exited) {
        (CellState::TimedOut, _) => TIMED_OUT,
        (CellState::Lost, _) => UNREACHABLE,
        (_, Some(argument)) if name == "python_error" => exit_with(argument),
        _ => FAILED,
    };
    let what = if code == 0 { "ended the run" } else { "failed" };
    (code, name, format!("; number {number} {what}: {line}"))
}

fn remedy(name: &str) -> &'static str {
    match name {
        "python_error" => "Correct the cell, and run the notebook again: all its cells run then.",
        "timed_out" => "Give a longer --timeout, or do less in the cell.",
        _ => {
            "Look at the runtime with `smart-colab doctor`, then run the notebook again: all its cells run then."
        }
    }
}

/// How to find a run that was left, and to end it.
fn ways_back(record: &Record, desk: &Desk<'_>) -> String {
    let mut running = record
        .rows
        .iter()
        .filter(|row| row.state == CellState::Running);
    let job = running.find_map(|row| row.job_id);
    match (job, desk.is_local) {
        (Some(job), true) => desk.ways_back(job),
        (Some(job), false) => format!(
            "`smart-colab logs -f {job}` follows the cell, `smart-colab stop {}` ends the run and fetches the notebook.",
            record.id
        ),
        (None, _) => format!(
            "`smart-colab stop {}` ends the run and fetches the notebook.",
            record.id
        ),
    }
}

fn cell(row: &Row) -> Value {
    json!({
        "index": row.index,
        "state": facts(&row.state),
        "seconds": row.seconds,
        "job_id": row.job_id.map(|id| id.to_string()),
        "line": row.line,
    })
}
