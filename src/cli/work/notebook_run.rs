//! `smart-colab run FILE.ipynb`: all cells of a copy of the notebook on the runtime, with their output as it comes.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::attend::Wait;
use super::gather::Gathered;
use super::run::tap;
use super::{Desk, End, FAILED, INTERRUPTED, TIMED_OUT, UNREACHABLE, copy, facts};
use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::notebook_run::order::{Order, Source};
use crate::notebook_run::{CellState, NotebookRuns, OnError, Options, Record, Row, State};

/// Between two looks at how the run stands.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Runs the cells, one after the other, up to the first one that fails.
pub(super) async fn run(
    path: &Path,
    session: Option<String>,
    timeout_sec: u64,
    desk: &Desk<'_>,
) -> Result<End, End> {
    let Some(stem) = path.file_stem() else {
        return Err(End::usage("the notebook has no name", "Nothing was sent."));
    };
    // The runtime's own notebook of this name may have been edited there.
    let copy = format!("{}.run.ipynb", stem.to_string_lossy());
    let sent = copy::send(path, copy, desk).await?;
    let order = Order {
        source: Source::Notebook(sent.remote_path),
        parameters: None,
        from_cell: None,
        restart: false,
        session,
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
    let caller = Caller::until(Wait::deadline()).left_by(&wait.left);
    let looker = caller.clone().at_most(Duration::ZERO);
    let started = wait.beside(desk, runs.run(order, &looker)).await?;
    let mut record = started.record;
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
            eprintln!("\nsmart-colab: interrupting; Ctrl-C again leaves the cell that runs");
            stop.cancel();
        } else {
            wait.left.cancel();
        }
    };
    let record = wait.watch(desk, work, press).await;
    Ok(end(&record))
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

/// How the run stands.
pub(super) fn end(record: &Record) -> End {
    let rows: Vec<Value> = record.rows.iter().map(cell).collect();
    let failed = record.rows.iter().find(|row| {
        matches!(
            row.state,
            CellState::Failed | CellState::TimedOut | CellState::Lost
        )
    });
    let code = match (record.state, failed.map(|row| row.state)) {
        (State::Succeeded, _) => 0,
        (State::Interrupted | State::Running, _) => INTERRUPTED,
        (State::Failed, Some(CellState::TimedOut)) => TIMED_OUT,
        (State::Failed, Some(CellState::Lost)) => UNREACHABLE,
        (State::Failed, _) => FAILED,
    };
    let error =
        (record.error.clone()).or(failed.map(|row| format!("cell {}: {}", row.index, row.line)));
    let home = record.home.as_ref().map(|path| path.display().to_string());
    let done = record
        .rows
        .iter()
        .filter(|row| row.state == CellState::Succeeded)
        .count();
    let mut said = format!("smart-colab: {done} of {} cells ran", record.rows.len());
    if let Some(error) = &error {
        said += &format!("; {error}");
    } else if code == INTERRUPTED {
        said += "; the run was interrupted";
    }
    let there = &record.path;
    said += &match &home {
        Some(home) => {
            format!("\nThe notebook with its outputs is {home}, and {there} on the runtime.")
        }
        None => format!(
            "\nThe notebook with its outputs is {there} on the runtime: `smart-colab get {there}` copies it."
        ),
    };
    let facts = json!({
        "success": code == 0,
        "exit_code": code,
        "state": facts(&record.state),
        "job_id": record.id.to_string(),
        "session": record.session,
        "notebook": record.path,
        "executed_notebook": home,
        "cells": rows,
        "error": error,
        "notes": record.notes,
    });
    End {
        code,
        facts,
        text: String::new(),
        said,
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
