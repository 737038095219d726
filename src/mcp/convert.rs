//! Converts results and faults to MCP. Execution tools answer in content blocks only, because clients hide text and pictures beside structured
//! content; report tools answer in structured content and the same JSON as text.

use std::path::{Path, PathBuf};

use rmcp::ErrorData;
use rmcp::handler::server::tool::IntoCallToolResult;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, Resource};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::clients::Client;
use super::fault::Fault;
use super::reply::{Shown, line, reply, shorten};
use super::report::to_value;
use super::resources::address;
use super::words;
use crate::base::advice::Advice;
use crate::chunked::Outcome;
use crate::jobs::body::{Part, Picture};
use crate::jobs::keep::KeptFile;
use crate::jobs::range::LogRange;
use crate::jobs::summary::Summary;
use crate::jobs::view::View;
use crate::transfer::Look;

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

/// The fault of a failed call.
pub(super) fn fault_of(result: &CallToolResult) -> Option<Fault> {
    if result.is_error != Some(true) {
        return None;
    }
    let facts = result.content.first()?.as_text()?;
    serde_json::from_str(facts.text.lines().next()?).ok()
}

/// Converts an execution: one line of facts, text and pictures in order, files.
pub(super) fn execution(view: View, client: Client) -> CallToolResult {
    let logs: Vec<PathBuf> = view.summary.log.iter().map(PathBuf::from).collect();
    let links = files(&view.files, &logs).chain(log_to_come(&view.summary));
    let shown = Shown {
        links: links.collect(),
        folder: folder(&view.files),
        parts: view.body,
        has_failed: view.has_failed,
    };
    reply(&view.summary, shown, client)
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
pub(super) fn operation(outcome: Outcome, has_failed: bool, client: Client) -> CallToolResult {
    let (kept, name) = (outcome.kept, &outcome.facts.operation);
    let checkpoint = Resource::new(address::of_checkpoint(name), name)
        .with_title(format!("Checkpoint {name}"))
        .with_mime_type("application/json");
    let shown = Shown {
        links: files(&kept.files, &kept.logs).chain([checkpoint]).collect(),
        folder: folder(&kept.files),
        parts: outcome.body,
        has_failed,
    };
    reply(&outcome.facts, shown, client)
}

/// Converts the end of a transfer that the caller stopped: that it was cut short is no failure of the call.
pub(super) fn stopped_transfer(mut look: Look, client: Client) -> CallToolResult {
    if look.facts["code"] == "cancelled"
        && let Some(facts) = look.facts.as_object_mut()
    {
        facts.insert("success".to_owned(), true.into());
        facts.insert("state".to_owned(), "interrupted".into());
        if let Some(said) = facts.remove("error") {
            facts.insert("message".to_owned(), said);
        }
        facts.retain(|name, _| name != "code" && name != "retryable");
    }
    transfer(look, client)
}

/// Converts a transfer to the same form.
pub(super) fn transfer(mut look: Look, client: Client) -> CallToolResult {
    for name in ["hint", "next_step"] {
        let advice = look.facts.get(name).map(Advice::deserialize);
        if let Some(Ok(advice)) = advice {
            look.facts[name] = words::say(&advice).into();
        }
    }
    let says = |name| look.facts[name].as_str().filter(|text| !text.is_empty());
    let parts = ["error", "message", "hint", "next_step"].map(says);
    let text: Vec<_> = parts.into_iter().flatten().collect();
    let shown = Shown::text(text.join(" "), look.has_failed());
    reply(&TransferFacts(&look.facts), shown, client)
}

/// A transfer's facts: what it came to first, and without those that are absent.
struct TransferFacts<'a>(&'a Value);

impl Serialize for TransferFacts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const FIRST: [&str; 6] = ["success", "state", "status", "job_id", "code", "error"];
        let members = self.0.as_object().into_iter().flatten();
        let rest = members.filter(|(name, _)| !FIRST.contains(&name.as_str()));
        let first = FIRST.iter().map(|name| (*name, &self.0[*name]));
        let all = first.chain(rest.map(|(name, value)| (name.as_str(), value)));
        serializer.collect_map(all.filter(|(_, value)| !value.is_null()))
    }
}

/// Converts a part of a log to the same form.
pub(super) fn log_range(range: LogRange, client: Client) -> CallToolResult {
    let logs: Vec<PathBuf> = range.log.into_iter().collect();
    let shown = Shown {
        links: files(&[], &logs).collect(),
        ..Shown::text(range.text, false)
    };
    reply(&range.facts, shown, client)
}

/// Converts a file's content to the same form.
pub(super) fn reading<T: Serialize>(
    text: String,
    picture: Option<Picture>,
    facts: &T,
    has_failed: bool,
    client: Client,
) -> CallToolResult {
    let mut shown = Shown::text(text, has_failed);
    shown.parts.extend(picture.map(Part::Picture));
    reply(facts, shown, client)
}

/// Converts a report with long members to structured content, in no more bytes than the client keeps.
pub(super) fn report<T: Serialize>(report: &T, client: Client) -> CallToolResult {
    let mut value = to_value(report).unwrap_or_default();
    // Quotes and line ends take two bytes in the block of text.
    if shorten(&mut value, client.reply_bytes * 4 / 5)
        && let Some(Value::Array(notes)) = value.get_mut("notes")
    {
        notes.push("long members are cut here: the files have all of it".into());
    }
    CallToolResult::structured(value)
}

/// Links kept files as resources.
fn files(files: &[KeptFile], logs: &[PathBuf]) -> impl Iterator<Item = Resource> {
    let logs = logs.iter().map(|log| link(log, "text/plain", None));
    let files = files
        .iter()
        .map(|file| link(&file.path, &file.mime, Some(file.bytes)));
    logs.chain(files).flatten()
}

/// Where the kept files are.
fn folder(files: &[KeptFile]) -> Option<String> {
    let folder = files.last()?.path.parent()?;
    Some(folder.display().to_string())
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
