//! Lists the resources, newest first, from this computer alone: without network, and skipping unreadable ones.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rmcp::model::{Annotations, ListResourcesResult, Resource, ResourceTemplate};

use super::address::Address;
use super::fault::ResourceFault;
use super::saved::Entry;
use super::{Resources, address, on_disk};
use crate::checkpoints::Name;
use crate::jobs::store::Record;
use crate::mcp::media;
use crate::wire::state::JobState;

/// Resources in one answer: clients pass all of it to a model.
const PAGE_SIZE: usize = 100;
/// Jobs whose logs are listed, the newest ones; the others can still be read.
const MAX_LOGS: usize = 50;

/// A snapshot of all resources, newest first. There may be thousands, so each is small until its page is requested.
pub(super) struct Listing(Vec<Listed>);

struct Listed {
    /// Time of the last change, or of sending.
    at: SystemTime,
    /// A file's path, or the URI.
    key: PathBuf,
    what: What,
}

enum What {
    File { bytes: u64 },
    Log(Box<Record>),
    Checkpoint(String),
}

impl Resources {
    pub(super) async fn listing(&self) -> Result<Listing, ResourceFault> {
        let (floors, saved) = (self.floors.clone(), self.saved.clone());
        on_disk(move || {
            let files = saved.list().into_iter().map(Listed::of_entry);
            let logs = floors.jobs.remembered(MAX_LOGS);
            let logs = logs.into_iter().map(Listed::of_record);
            let names = floors.checkpoints.known();
            let checkpoints = names.into_iter().filter_map(|name| {
                let at = floors.checkpoints.changed(&Name::new(&name).ok()?)?;
                Some(Listed::of_checkpoint(name, at))
            });
            let mut all: Vec<Listed> = files.chain(logs).chain(checkpoints).collect();
            all.sort_unstable_by(|one, other| one.place().cmp(&other.place()));
            Listing(all)
        })
        .await
    }

    /// The page after `cursor`, which an earlier page returned.
    pub(super) fn page(
        &self,
        listing: Listing,
        cursor: Option<&str>,
    ) -> Result<ListResourcesResult, ResourceFault> {
        let mut rest = listing.0;
        if let Some(cursor) = cursor {
            let (at, key) = parse(cursor).ok_or_else(|| {
                ResourceFault::invalid("no page ended at this cursor: list without a cursor")
            })?;
            let begin =
                rest.partition_point(|listed| listed.place() <= (Reverse(at), key.as_os_str()));
            rest.drain(..begin);
        }
        let next = rest.get(PAGE_SIZE - 1).filter(|_| rest.len() > PAGE_SIZE);
        let next = next.map(Listed::cursor);
        rest.truncate(PAGE_SIZE);
        let resources = rest.into_iter().filter_map(|listed| self.describe(listed));
        let mut result = ListResourcesResult::with_all_items(resources.collect());
        result.next_cursor = next;
        Ok(result)
    }

    /// Describes a resource; none for a file whose path no URI can represent.
    fn describe(&self, listed: Listed) -> Option<Resource> {
        let uri = listed.uri()?;
        let at = listed.at;
        Some(match listed.what {
            What::File { bytes } => {
                let name = self.saved.name_of(&listed.key);
                Resource::new(uri, &name)
                    .with_mime_type(media::of_name(&name).unwrap_or(media::BINARY))
                    .with_size(bytes)
                    .with_annotations(changed(at))
            }
            What::Log(record) => {
                let state = record.state.map_or("unknown", JobState::as_str);
                let stop = if record.state.is_some_and(JobState::is_final) {
                    ""
                } else {
                    ", interrupt_execution stops it"
                };
                let head = record.code_head.trim();
                let title = if head.is_empty() {
                    "Output of a job"
                } else {
                    head
                };
                Resource::new(uri, format!("jobs/{}/log", record.job_id))
                    .with_title(title)
                    .with_description(format!(
                        "Output of a job in session {}, sent at {}; last known state: {state}{stop}",
                        record.session, record.sent_at
                    ))
                    .with_mime_type("text/plain")
            }
            What::Checkpoint(name) => Resource::new(uri, format!("checkpoints/{name}"))
                .with_title(format!("Checkpoint {name}"))
                .with_mime_type("application/json")
                .with_annotations(changed(at)),
        })
    }

    pub(in crate::mcp) fn templates(&self) -> Vec<ResourceTemplate> {
        let log = ResourceTemplate::new(address::LOG_TEMPLATE, "job-log")
            .with_title("Output of a job")
            .with_description(
                "Everything that a job printed, also while it runs. `from` and `bytes` select a part; a negative `from` counts from the end.",
            )
            .with_mime_type("text/plain");
        let checkpoint = ResourceTemplate::new(address::CHECKPOINT_TEMPLATE, "checkpoint")
            .with_title("Checkpoint")
            .with_description(
                "Progress of a chunked operation, or the result that run_code_long kept, as get_checkpoint returns it.",
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
    /// A value that is equal for the same set of resources, whatever their content.
    pub(super) fn mark(&self) -> u64 {
        let marks = self.0.iter().map(|listed| {
            let mut hasher = DefaultHasher::new();
            listed.key.as_os_str().hash(&mut hasher);
            hasher.finish()
        });
        marks.fold(0, u64::wrapping_add)
    }
}

impl Listed {
    fn of_entry(entry: Entry) -> Self {
        Self {
            at: entry.changed,
            key: entry.path,
            what: What::File { bytes: entry.bytes },
        }
    }

    fn of_record(record: Record) -> Self {
        let sent: Option<Timestamp> = record.sent_at.parse().ok();
        Self {
            at: sent.map_or(SystemTime::UNIX_EPOCH, SystemTime::from),
            key: address::of_log(&record.job_id.to_string()).into(),
            what: What::Log(Box::new(record)),
        }
    }

    fn of_checkpoint(name: String, at: SystemTime) -> Self {
        Self {
            at,
            key: address::of_checkpoint(&name).into(),
            what: What::Checkpoint(name),
        }
    }

    /// The sort key: newest first, and unique, so that a cursor can name it and newer resources come before it.
    fn place(&self) -> (Reverse<SystemTime>, &OsStr) {
        (Reverse(self.at), self.key.as_os_str())
    }

    fn uri(&self) -> Option<String> {
        match &self.what {
            What::File { .. } => address::of_file(&self.key),
            What::Log(_) | What::Checkpoint(_) => self.key.to_str().map(str::to_owned),
        }
    }

    fn cursor(&self) -> String {
        let since = self.at.duration_since(SystemTime::UNIX_EPOCH);
        let nanoseconds = since.map_or(0, |since| since.as_nanos());
        format!("{nanoseconds} {}", self.uri().unwrap_or_default())
    }
}

/// Parses the cursor written by [`Listed::cursor`].
fn parse(cursor: &str) -> Option<(SystemTime, PathBuf)> {
    let (nanoseconds, uri) = cursor.split_once(' ')?;
    let since = Duration::from_nanos(nanoseconds.parse().ok()?);
    let key = match Address::parse(uri).ok()? {
        Address::File(path) => path,
        Address::Log(..) | Address::Checkpoint(_) => uri.into(),
    };
    Some((SystemTime::UNIX_EPOCH.checked_add(since)?, key))
}

fn changed(at: SystemTime) -> Annotations {
    let mut annotations = Annotations::default();
    let at = Timestamp::try_from(at).and_then(|at| at.round(jiff::Unit::Millisecond));
    annotations.last_modified = at.ok().map(|at| at.to_string());
    annotations
}
