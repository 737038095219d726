//! Converts cells of notebooks, and their runs, to MCP.

use rmcp::model::CallToolResult;
use serde::Serialize;

use super::clients::Client;
use super::convert::execution;
use super::fault::Fault;
use super::reply::{self, Shown, reply};
use crate::base::causes::sentence;
use crate::base::fault::Fault as _;
use crate::base::text::Room;
use crate::caller::DEFAULT_CHARS;
use crate::document::{
    CellRun, DocumentError, Notice, Page, RunReport, TAB, TabRun, Written, names,
};
use crate::jobs::body::Part;

/// A run of a cell in the tab of Colab.
#[derive(Serialize)]
struct TabRunFacts {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    state: &'static str,
    notebook: &'static str,
    cell_index: usize,
    cell_id: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

/// Converts some cells of a notebook.
pub(super) fn page(page: Page, client: Client) -> CallToolResult {
    let shown = Shown {
        parts: page.parts,
        ..Shown::default()
    };
    reply(&page.facts, shown, client)
}

/// Converts the run of a cell in the tab of Colab.
pub(super) fn tab_run(run: TabRun, client: Client) -> CallToolResult {
    let has_failed = run.error.is_some();
    let state = match (run.is_running, has_failed) {
        (true, _) => "running",
        (false, true) => "failed",
        (false, false) => "succeeded",
    };
    let failed =
        has_failed.then_some("The traceback is in the output. Mend the cell and run it again.");
    let hint = run.is_running.then_some(
        "The cell runs on in the user's tab. Call get_cells to see its outputs when it has ended. To stop it, ask the user to interrupt it there.",
    );
    let facts = TabRunFacts {
        success: !has_failed,
        code: has_failed.then_some("python_error"),
        error: run.error,
        state,
        notebook: TAB,
        cell_index: run.index,
        cell_id: run.id,
        version: run.version,
        hint: hint.or(failed),
    };
    let shown = Shown {
        parts: run.parts,
        has_failed,
        ..Shown::default()
    };
    reply(&facts, shown, client)
}

/// Converts runs of cells: like the run of the last one, after the output of those before it.
pub(super) fn runs(mut report: RunReport, client: Client) -> Result<CallToolResult, Fault> {
    let Some(mut last) = report.runs.pop() else {
        return match report.error {
            Some(error) => Err(Fault::from(error).first("Nothing was run.")),
            None => {
                let facts =
                    serde_json::json!({"success": true, "notebook": report.path, "cells_run": 0});
                let text = "There is no code in these cells.".to_owned();
                Ok(reply(&facts, Shown::text(text, false), client))
            }
        };
    };
    let cells_run = report.runs.len() + 1;
    let outputs = written(&report.runs, &last);
    if cells_run > 1 {
        let own = std::mem::take(&mut last.view.body);
        let mut left = client.room(DEFAULT_CHARS).capacity();
        let room = client.room(DEFAULT_CHARS);
        // What is newest counts most.
        let mut parts = with_heading(&last, own, room, &mut left);
        for mut run in report.runs.into_iter().rev() {
            let body = std::mem::take(&mut run.view.body);
            let mut before = with_heading(&run, body, room, &mut left);
            before.append(&mut parts);
            parts = before;
            last.view.files.append(&mut run.view.files);
        }
        last.view.body = parts;
    }
    let heading = heading(&last);
    // The last cell has succeeded, and yet the run has failed.
    if let Some(error) = &report.error {
        last.view.has_failed = true;
        let summary = &mut last.view.summary;
        summary.success = false;
        summary.code = Some(error.code().to_owned());
        summary.error = Some(sentence(error));
        summary.retryable = Some(error.is_retryable());
        summary.hint = Some(error.remedy());
    }
    last.view.summary.session = Some(report.session);
    let mut result = execution(last.view, client);
    reply::note(&mut result, "notebook", report.path);
    reply::note(&mut result, "cell", heading);
    reply::note(&mut result, "outputs", outputs);
    if cells_run > 1 || !report.rest.is_empty() {
        reply::note(&mut result, "cells_run", cells_run);
    }
    let rest = names(&report.rest);
    if report.goes_on {
        let said = format!("{rest}: after this one; get_cells shows how they stand");
        reply::note(&mut result, "waiting", said);
    } else if !rest.is_empty() {
        reply::note(&mut result, "not_run", rest);
    }
    Ok(result)
}

fn heading(run: &CellRun) -> String {
    let id = run.id.as_ref().map(|id| format!(" id={id}"));
    format!(
        "[{}]{} version={}",
        run.index,
        id.unwrap_or_default(),
        run.version
    )
}

/// A cell's output below a heading, or the heading alone where there is no room left.
fn with_heading(run: &CellRun, body: Vec<Part>, room: Room, left: &mut u64) -> Vec<Part> {
    let state = run
        .view
        .summary
        .state
        .map_or("unknown", |state| state.as_str());
    let mut heading = format!("--- {} {state} ---\n", heading(run));
    let taken = body.iter().map(|part| match part {
        Part::Text(text) => room.shares(text),
        Part::Picture(_) => 0,
    });
    match left.checked_sub(taken.sum::<u64>() + room.shares(&heading)) {
        Some(rest) => {
            *left = rest;
            [Part::Text(heading)].into_iter().chain(body).collect()
        }
        None => {
            *left = left.saturating_sub(room.shares(&heading));
            heading += "[… its output is in the notebook …]\n";
            vec![Part::Text(heading)]
        }
    }
}

/// Where the outputs are.
fn written(before: &[CellRun], last: &CellRun) -> String {
    let mut said = match &last.written {
        Written::Yes(notice) => {
            let notice = notice.map(|notice| format!("; {}", warning(notice)));
            "written into the cell".to_owned() + &notice.unwrap_or_default()
        }
        Written::Later => "will be written into the cell when it has ended".to_owned(),
        Written::Unrun => "as they were: none of the code ran".to_owned(),
        Written::Gone => "not written: the machine no longer has them".to_owned(),
        Written::No(error) => not_written(error),
    };
    for run in before {
        if let Written::No(error) = &run.written {
            said += &format!("; those of [{}] {}", run.index, not_written(error));
        }
    }
    said
}

/// What to know of an edit that was made.
pub(super) fn warning(notice: Notice) -> &'static str {
    match notice {
        Notice::NotSaved => {
            "it is in the notebook as it is open in JupyterLab, but the server has not saved it yet: if that lasts, look at the server's log"
        }
        Notice::Deleted => {
            "the notebook's file was deleted or renamed, and this is only in the document that the server still shares with open tabs: open_notebook with create: true writes it to this path again"
        }
        Notice::Overtaken => {
            "the notebook no longer has this as it was made: another program wrote its file meanwhile, or somebody edited the same cell. Look with get_cells"
        }
        Notice::OpenElsewhere => {
            "a browser's tab has the notebook open and may overwrite this: reload it there"
        }
    }
}

fn not_written(error: &DocumentError) -> String {
    let why = error.why_unwritten();
    format!("not written into the cell: {why}")
}
