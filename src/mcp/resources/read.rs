//! One resource, whole or, of a log, in part.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{MetaObject, ReadResourceResult, ResourceContents};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::address::{Address, Part};
use super::fault::ResourceFault;
use super::saved::LARGEST;
use super::{Resources, address, on_disk};
use crate::base::ids::JobId;
use crate::chunked::plan::Name;
use crate::jobs::follow::Watch;
use crate::mcp::convert::Fault;
use crate::mcp::media::{self, Content};

/// How long the runtime is asked for a log that is kept here too.
const ASKING: Duration = Duration::from_secs(5);

/// A part of a log, and what it is a part of.
struct Piece {
    bytes: Vec<u8>,
    from: u64,
    total: u64,
    source: &'static str,
}

impl Resources {
    /// Reads by `deadline`.
    pub(super) async fn contents(
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
        let (floors, runtime) = (self.floors.clone(), Handle::current());
        // It reads the disk, and may ask the runtime in between.
        let report = on_disk(move || {
            let nobody = CancellationToken::new();
            let watch = Watch::until(deadline, &nobody, &|_, _| {}).at_most(Duration::ZERO);
            runtime.block_on(floors.chunked.checkpoint(name.as_str(), &watch))
        });
        let report = report.await?.map_err(ResourceFault::of)?;
        let text = serde_json::to_string_pretty(&report);
        let text = text.map_err(|error| ResourceFault::internal(&error))?;
        Ok(ResourceContents::text(text, uri).with_mime_type("application/json"))
    }

    async fn log(
        &self,
        uri: &str,
        id: JobId,
        part: Part,
        deadline: Instant,
    ) -> Result<ResourceContents, ResourceFault> {
        let jobs = &self.floors.jobs;
        let (copy, path) = (jobs.kept_log(id), jobs.kept_log(id));
        let kept = on_disk(move || fs::metadata(path).ok().map(|file| file.len())).await?;
        let asking = match kept {
            Some(_) => deadline.min(Instant::now() + ASKING),
            None => deadline,
        };
        let piece = match jobs.standing(id, 0, 0.0, asking).await {
            // A copy of the same length is the same: logs only grow.
            Ok(job) if kept != Some(job.log_bytes) => {
                self.fetch(id, part, job.log_bytes, deadline).await?
            }
            Err(error) if kept.is_none() => return Err(ResourceFault::of(error)),
            Ok(_) | Err(_) => {
                let read = on_disk(move || read_copy(&copy, part)).await?;
                read.map_err(|error| ResourceFault::internal(&error))?
            }
        };
        let piece = piece.ok_or_else(|| too_long(id))?;
        let mut meta = MetaObject::new();
        for (key, value) in [
            ("from", json!(piece.from)),
            ("log_bytes", json!(piece.total)),
            ("source", json!(piece.source)),
        ] {
            meta.0.insert(format!("smart-colab/{key}"), value);
        }
        Ok(ResourceContents::text(whole_characters(&piece), uri).with_meta(meta))
    }

    /// A part of a log of `total` bytes, from where its job ran; none for more than is handed out in one piece.
    async fn fetch(
        &self,
        id: JobId,
        part: Part,
        total: u64,
        deadline: Instant,
    ) -> Result<Option<Piece>, ResourceFault> {
        let (from, count) = part.within(total);
        let Some(count) = in_one_piece(count) else {
            return Ok(None);
        };
        let bytes = match count {
            0 => Vec::new(),
            count => {
                let read = self.floors.jobs.log(id, from, count, deadline).await;
                read.map_err(ResourceFault::of)?
            }
        };
        Ok(Some(Piece {
            bytes,
            from,
            total,
            source: "runtime",
        }))
    }
}

/// The same of the copy in the user's folder.
fn read_copy(path: &Path, part: Part) -> io::Result<Option<Piece>> {
    let mut file = File::open(path)?;
    let total = file.metadata()?.len();
    let (from, count) = part.within(total);
    if in_one_piece(count).is_none() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(count).read_to_end(&mut bytes)?;
    Ok(Some(Piece {
        bytes,
        from,
        total,
        source: "copy",
    }))
}

fn in_one_piece(count: u64) -> Option<usize> {
    usize::try_from(count).ok().filter(|_| count <= LARGEST)
}

/// The text, without the halves of characters that a range cuts at its ends.
fn whole_characters(piece: &Piece) -> String {
    let mut bytes = piece.bytes.as_slice();
    if piece.from > 0 {
        let is_inner = |byte: &&u8| **byte & 0b1100_0000 == 0b1000_0000;
        let inner = bytes.iter().take(3).take_while(is_inner).count();
        bytes = &bytes[inner..];
    }
    let is_cut = piece.from + (piece.bytes.len() as u64) < piece.total;
    if is_cut && let Some(last) = bytes.utf8_chunks().last() {
        bytes = &bytes[..bytes.len() - last.invalid().len()];
    }
    String::from_utf8_lossy(bytes).into_owned()
}

fn too_long(id: JobId) -> ResourceFault {
    let uri = address::of_log(&id.to_string());
    ResourceFault::failed(Fault::new(
        "invalid_argument",
        format!(
            "that is more than {} MiB of the job's log",
            LARGEST / 1024 / 1024
        ),
        format!(
            "Read a part of it: {uri}?from=-100000 is its end, {uri}?from=0&bytes=100000 its beginning."
        ),
        false,
    ))
}

#[cfg(test)]
mod tests {
    use super::{Piece, whole_characters};

    #[test]
    fn a_range_that_cuts_characters_shows_the_whole_ones() {
        let log = "aé漢😀z\u{FFFD}".as_bytes();
        for from in 0..=log.len() {
            for to in from..=log.len() {
                let text = whole_characters(&Piece {
                    bytes: log[from..to].to_vec(),
                    from: from as u64,
                    total: log.len() as u64,
                    source: "",
                });
                assert!("aé漢😀z\u{FFFD}".contains(&text), "{from}..{to}: {text}");
                assert!(text.len() + 6 >= to - from, "{from}..{to}: {text}");
            }
        }
    }
}
