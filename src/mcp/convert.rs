//! Converts results and faults to MCP. Execution tools answer in content blocks only, because clients hide text and pictures beside structured
//! content; report tools answer in structured content and the same JSON as text.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmcp::ErrorData;
use rmcp::handler::server::tool::IntoCallToolResult;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, Resource};
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::resources::address;
use super::words::{self, Worded};
use crate::base::advice::Advice;
use crate::chunked::Outcome;
use crate::jobs::keep::KeptFile;
use crate::jobs::range::LogRange;
use crate::jobs::view::{Summary, View};
use crate::render::picture::Fitted;
use crate::transfer::Look;

/// Files linked in one answer; the others are in the same folder.
const MAX_LINKS: usize = 20;

impl IntoCallToolResult for Fault {
    fn into_call_tool_result(self) -> Result<CallToolResponse, ErrorData> {
        Ok(CallToolResult::from(self).into())
    }
}

impl From<Fault> for CallToolResult {
    fn from(fault: Fault) -> Self {
        Self::error(vec![ContentBlock::text(line(&fault))])
    }
}

/// Converts an execution: text, pictures, files, and one line of facts.
pub(super) fn execution(mut view: View) -> CallToolResult {
    view.summary.notes.extend(unlinked(&view.files));
    let (facts, failed) = (line(&view.summary), view.has_failed);
    let logs = view
        .summary
        .log
        .iter()
        .map(PathBuf::from)
        .collect::<Vec<_>>();
    let links = files(&view.files, &logs).chain(log_to_come(&view.summary));
    let content = blocks(view.text, &view.pictures, links, facts);
    result(content, failed)
}

/// The log as a resource, if there is more output than the text shows and no file with it.
fn log_to_come(summary: &Summary) -> Option<Resource> {
    let runs = summary.state.is_some_and(|state| !state.is_final());
    let is_partial = runs || summary.left_out_characters.is_some();
    let id = &summary.job_id;
    (is_partial && summary.log.is_none()).then(|| {
        Resource::new(address::of_log(id), format!("{id}.log"))
            .with_title("Whole output of the job")
            .with_mime_type("text/plain")
    })
}

/// Converts a call of a chunked operation to the same form.
pub(super) fn operation(mut outcome: Outcome, has_failed: bool) -> CallToolResult {
    outcome.facts.notes.extend(unlinked(&outcome.kept.files));
    let facts = line(&outcome.facts);
    let (kept, name) = (outcome.kept, &outcome.facts.operation);
    let checkpoint = Resource::new(address::of_checkpoint(name), name)
        .with_title(format!("Checkpoint {name}"))
        .with_mime_type("application/json");
    let links = files(&kept.files, &kept.logs).chain([checkpoint]);
    let content = blocks(outcome.text, &kept.pictures, links, facts);
    result(content, has_failed)
}

/// Converts a transfer to the same form.
pub(super) fn transfer(mut look: Look) -> CallToolResult {
    for name in ["hint", "next_step"] {
        let advice = look.facts.get(name).map(Advice::deserialize);
        if let Some(Ok(advice)) = advice {
            look.facts[name] = words::say(&advice).into();
        }
    }
    let says = |name| look.facts[name].as_str().filter(|text| !text.is_empty());
    let parts = ["error", "message", "hint", "next_step"].map(says);
    let text: Vec<_> = parts.into_iter().flatten().collect();
    let (facts, failed) = (line(&look.facts), look.has_failed());
    let content = blocks(text.join(" "), &[], std::iter::empty(), facts);
    result(content, failed)
}

/// Converts a part of a log to the same form.
pub(super) fn log_range(range: LogRange) -> CallToolResult {
    let facts = line(&range.facts);
    let logs: Vec<PathBuf> = range.log.into_iter().collect();
    result(blocks(range.text, &[], files(&[], &logs), facts), false)
}

/// Converts a file's content to the same form.
pub(super) fn reading<T: Serialize>(
    text: String,
    picture: Option<Fitted>,
    facts: &T,
    failed: bool,
) -> CallToolResult {
    let pictures: Vec<Fitted> = picture.into_iter().collect();
    result(
        blocks(text, &pictures, std::iter::empty(), line(facts)),
        failed,
    )
}

fn blocks(
    text: String,
    pictures: &[Fitted],
    links: impl Iterator<Item = Resource>,
    facts: String,
) -> Vec<ContentBlock> {
    let mut content = Vec::new();
    if !text.is_empty() {
        content.push(ContentBlock::text(text));
    }
    content.extend(
        pictures
            .iter()
            .map(|picture| ContentBlock::image(STANDARD.encode(&picture.bytes), picture.mime)),
    );
    content.extend(links.map(ContentBlock::ResourceLink));
    content.push(ContentBlock::text(facts));
    content
}

/// Links kept files as resources.
fn files(files: &[KeptFile], logs: &[PathBuf]) -> impl Iterator<Item = Resource> {
    let files = files
        .iter()
        .take(MAX_LINKS)
        .map(|file| link(&file.path, &file.mime, Some(file.bytes)));
    let logs = logs.iter().map(|log| link(log, "text/plain", None));
    files.chain(logs).flatten()
}

/// Notes where the files beyond the linked ones are.
fn unlinked(files: &[KeptFile]) -> Option<Advice> {
    let more = files
        .len()
        .checked_sub(MAX_LINKS)
        .filter(|more| *more > 0)?;
    let folder = files.last()?.path.parent()?.display();
    let note = format!(
        "{more} more files are kept but not linked here: they are in {folder}, named after the job"
    );
    Some(note.into())
}

fn result(content: Vec<ContentBlock>, failed: bool) -> CallToolResult {
    if failed {
        CallToolResult::error(content)
    } else {
        CallToolResult::success(content)
    }
}

/// Serializes a value as one line of JSON, with its advice worded.
pub(super) fn line<T: Serialize>(value: &T) -> String {
    serde_json::to_string(&Worded(value))
        .unwrap_or_else(|error| format!("{{\"success\":false,\"error\":\"{error}\"}}"))
}

fn link(path: &Path, mime: &str, size: Option<u64>) -> Option<Resource> {
    let uri = address::of_file(path)?;
    let name = path.file_name()?.to_string_lossy().into_owned();
    let resource = Resource::new(uri, name).with_mime_type(mime);
    Some(match size {
        Some(size) => resource.with_size(size),
        None => resource,
    })
}
