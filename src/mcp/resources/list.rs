//! What there is, newest first, from what this computer knows: no network, and nothing that cannot be read spoils the rest.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::SystemTime;

use jiff::Timestamp;
use rmcp::model::{Annotations, ListResourcesResult, Resource, ResourceTemplate};

use super::fault::ResourceFault;
use super::saved::Entry;
use super::{Resources, address, on_disk};
use crate::chunked::plan::Name;
use crate::jobs::store::Record;
use crate::mcp::media;

/// In one answer: clients hand the whole of it to a model.
const PAGE: usize = 100;
/// The newest jobs whose logs are listed; the others can be read all the same.
const LOGS: usize = 50;

/// All resources of a moment, newest first.
pub(super) struct Listing(Vec<Listed>);

struct Listed {
    /// Nanoseconds since 1970, of the last change or of the sending.
    at: u128,
    resource: Resource,
}

impl Resources {
    pub(super) async fn listing(&self) -> Result<Listing, ResourceFault> {
        let (floors, saved) = (self.floors.clone(), self.saved.clone());
        on_disk(move || {
            let files = saved.list().into_iter().map(of_entry);
            let logs = floors.jobs.remembered(LOGS);
            let logs = logs.iter().map(of_record);
            let names = floors.chunked.known();
            let checkpoints = names.iter().filter_map(|name| {
                let at = floors.chunked.changed(&Name::new(name).ok()?)?;
                Some(of_checkpoint(name, at))
            });
            let mut all: Vec<Listed> = files.chain(logs).chain(checkpoints).collect();
            all.sort_by(|one, other| one.place().cmp(&other.place()));
            Listing(all)
        })
        .await
    }

    pub(super) fn templates(&self) -> Vec<ResourceTemplate> {
        let log = ResourceTemplate::new(address::LOG_TEMPLATE, "job-log")
            .with_title("Output of a job")
            .with_description(
                "All that a job printed, while it runs too. `from` and `bytes` read a part; a `from` below 0 counts from the end.",
            )
            .with_mime_type("text/plain");
        let checkpoint = ResourceTemplate::new(address::CHECKPOINT_TEMPLATE, "checkpoint")
            .with_title("Checkpoint")
            .with_description(
                "How far a chunked operation is, or the result that run_code_long kept: what get_checkpoint answers.",
            )
            .with_mime_type("application/json");
        let file = address::of_file(self.saved.root()).map(|root| {
            let template = format!("{}/{{+path}}", root.trim_end_matches('/'));
            ResourceTemplate::new(template, "saved-file")
                .with_title("Saved file")
                .with_description("A download, picture or log in the user's folder for results.")
        });
        [log, checkpoint].into_iter().chain(file).collect()
    }
}

impl Listing {
    /// What follows `cursor`, which an earlier page named.
    pub(super) fn page(
        mut self,
        cursor: Option<&str>,
    ) -> Result<ListResourcesResult, ResourceFault> {
        if let Some(cursor) = cursor {
            let last = cursor.split_once(' ');
            let last = last.and_then(|(at, uri)| Some((u128::MAX - at.parse::<u128>().ok()?, uri)));
            let last = last.ok_or_else(|| {
                ResourceFault::invalid("no page ended at this cursor: list without one")
            })?;
            let begin = self.0.partition_point(|listed| listed.place() <= last);
            self.0.drain(..begin);
        }
        let goes_on = self.0.len() > PAGE;
        self.0.truncate(PAGE);
        let end = self.0.last().filter(|_| goes_on);
        let next = end.map(|last| format!("{} {}", last.at, last.resource.uri));
        let resources = self.0.into_iter().map(|listed| listed.resource).collect();
        let mut result = ListResourcesResult::with_all_items(resources);
        result.next_cursor = next;
        Ok(result)
    }

    /// The same for the same resources, whatever was written to them.
    pub(super) fn mark(&self) -> u64 {
        let marks = self.0.iter().map(|listed| {
            let mut hasher = DefaultHasher::new();
            listed.resource.uri.hash(&mut hasher);
            hasher.finish()
        });
        marks.fold(0, u64::wrapping_add)
    }
}

impl Listed {
    fn new(at: SystemTime, resource: Resource) -> Self {
        let since = at.duration_since(SystemTime::UNIX_EPOCH);
        Self {
            at: since.map_or(0, |since| since.as_nanos()),
            resource,
        }
    }

    /// Newest first, and every resource in a place of its own: a cursor names it, and what is new comes before it.
    fn place(&self) -> (u128, &str) {
        (u128::MAX - self.at, &self.resource.uri)
    }
}

fn of_entry(entry: Entry) -> Listed {
    let resource = Resource::new(entry.uri, &entry.name)
        .with_mime_type(media::of_name(&entry.name).unwrap_or(media::BINARY))
        .with_size(entry.bytes)
        .with_annotations(changed(entry.changed));
    Listed::new(entry.changed, resource)
}

fn of_record(record: &Record) -> Listed {
    let sent: Option<Timestamp> = record.sent_at.parse().ok();
    let state = record.state.map_or("unknown", |state| state.as_str());
    let head = record.code_head.trim();
    let title = if head.is_empty() {
        "Output of a job"
    } else {
        head
    };
    let id = record.job_id.to_string();
    let resource = Resource::new(address::of_log(&id), format!("jobs/{id}/log"))
        .with_title(title)
        .with_description(format!(
            "Output of a job in session {}, sent at {}; {state} when last heard of",
            record.session, record.sent_at
        ))
        .with_mime_type("text/plain");
    let at = sent.map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
    Listed::new(at, resource)
}

fn of_checkpoint(name: &str, at: SystemTime) -> Listed {
    let resource = Resource::new(address::of_checkpoint(name), format!("checkpoints/{name}"))
        .with_title(format!("Checkpoint {name}"))
        .with_mime_type("application/json")
        .with_annotations(changed(at));
    Listed::new(at, resource)
}

fn changed(at: SystemTime) -> Annotations {
    let mut annotations = Annotations::default();
    let at = Timestamp::try_from(at).and_then(|at| at.round(jiff::Unit::Millisecond));
    annotations.last_modified = at.ok().map(|at| at.to_string());
    annotations
}
