//! Reads one resource, or a part of a log.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{MetaObject, ReadResourceResult, ResourceContents};
use serde_json::json;
use tokio::time::Instant;

use super::address::{Address, Part};
use super::fault::ResourceFault;
use super::saved::MAX_BYTES;
use super::{Resources, address, on_disk};
use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::checkpoints::Name;
use crate::jobs::range::Source;
use crate::mcp::fault::Fault;
use crate::mcp::media::{self, Content};
use crate::mcp::report::to_value;

impl Resources {
    /// Reads the resource `uri` by `deadline`.
    pub(in crate::mcp) async fn contents(
        &self,
        uri: &str,
        deadline: Instant,
    ) -> Result<ReadResourceResult, ResourceFault> {
        let read = match Address::parse(uri) {
            Ok(Address::Log(id, part)) => self.log(uri, id, part, deadline).await,
            Ok(Address::Checkpoint(name)) => self.checkpoint(uri, name, deadline).await,
            Ok(Address::File(path)) => self.file(uri, path).await,
            Err(fault) => Err(fault),
        };
        read.map(|contents| ReadResourceResult::new(vec![contents]))
    }

    async fn file(&self, uri: &str, path: PathBuf) -> Result<ResourceContents, ResourceFault> {
        let (saved, uri) = (self.saved.clone(), uri.to_owned());
        on_disk(move || {
            let bytes = saved.read(&path)?;
            let name = path.file_name().unwrap_or_default();
            let (content, mime) = media::content(&name.to_string_lossy(), bytes);
            let contents = match content {
                Content::Text(text) => ResourceContents::text(text, uri),
                Content::Blob(bytes) => ResourceContents::blob(STANDARD.encode(bytes), uri),
            };
            Ok(contents.with_mime_type(mime))
        })
        .await?
    }

    async fn checkpoint(
        &self,
        uri: &str,
        name: Name,
        deadline: Instant,
    ) -> Result<ResourceContents, ResourceFault> {
        let caller = Caller::until(deadline).at_most(Duration::ZERO);
        let report = self.floors.checkpoints.get(name.as_str(), &caller).await;
        let report = report.map_err(ResourceFault::of)?;
        let report = to_value(report).map_err(|error| ResourceFault::internal(&error))?;
        let text = format!("{report:#}");
        Ok(ResourceContents::text(text, uri).with_mime_type("application/json"))
    }

    async fn log(
        &self,
        uri: &str,
        id: JobId,
        part: Part,
        deadline: Instant,
    ) -> Result<ResourceContents, ResourceFault> {
        let wanted = |left: u64| part.bytes.map_or(left, |bytes| bytes.min(left));
        let is_too_long = |left: u64| wanted(left) > MAX_BYTES;
        let count = |left: u64| if is_too_long(left) { 0 } else { wanted(left) };
        let from = part.from.unwrap_or(0);
        let jobs = &self.floors.jobs;
        let piece = jobs.log_piece(id, from, &count, deadline).await;
        let piece = piece.map_err(ResourceFault::of)?;
        if is_too_long(piece.log_bytes - piece.from) {
            return Err(too_long(id));
        }
        let source = match piece.source {
            Source::Runtime => "runtime",
            Source::Copy | Source::OldCopy(_) => "copy",
        };
        let mut meta = MetaObject::new();
        for (key, value) in [
            ("from", json!(piece.from)),
            ("log_bytes", json!(piece.log_bytes)),
            ("source", json!(source)),
        ] {
            meta.0.insert(format!("smart-colab/{key}"), value);
        }
        let (_, text) = piece.whole_characters();
        let text = String::from_utf8_lossy(text);
        Ok(ResourceContents::text(text, uri).with_meta(meta))
    }
}

fn too_long(id: JobId) -> ResourceFault {
    let uri = address::of_log(&id.to_string());
    ResourceFault::failed(Fault::new(
        "invalid_argument",
        format!(
            "the requested part of the job's log is longer than {} MiB",
            MAX_BYTES / 1024 / 1024
        ),
        format!(
            "Read a smaller part: {uri}?from=-100000 is the end, {uri}?from=0&bytes=100000 the beginning."
        ),
        false,
    ))
}
