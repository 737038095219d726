//! The URIs of resources.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

use super::fault::ResourceFault;
use crate::base::fault::Fault as _;
use crate::base::ids::JobId;
use crate::checkpoints::Name;
use crate::mcp::words;

const SCHEME: &str = "smart-colab";
pub(super) const LOG_TEMPLATE: &str = "smart-colab://jobs/{job_id}/log{?from,bytes}";
pub(super) const CHECKPOINT_TEMPLATE: &str = "smart-colab://checkpoints/{name}";

/// All but the unreserved characters (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The resource that a URI names; it may not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Log(JobId, Part),
    Checkpoint(Name),
    /// Any file; `Saved` decides which ones are resources.
    File(PathBuf),
}

/// A part of a log, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// Where it begins; negative counts from the end. None for the beginning.
    pub from: Option<i64>,
    /// Its length; none for everything.
    pub bytes: Option<u64>,
}

/// The URI of a job's log.
pub(in crate::mcp) fn of_log(job_id: &str) -> String {
    format!("{SCHEME}://jobs/{job_id}/log")
}

/// The URI of a checkpoint.
pub(in crate::mcp) fn of_checkpoint(name: &str) -> String {
    let name = utf8_percent_encode(name, RESERVED);
    format!("{SCHEME}://checkpoints/{name}")
}

/// The URI of a file; none for a path that is not absolute.
pub(in crate::mcp) fn of_file(path: &Path) -> Option<String> {
    Url::from_file_path(path).ok().map(String::from)
}

impl Address {
    pub(super) fn parse(uri: &str) -> Result<Self, ResourceFault> {
        let unknown = || {
            ResourceFault::missing(
                "this server has no resource of that form",
                "resources/list and resources/templates/list show the existing ones.",
            )
        };
        let url = Url::parse(uri).map_err(|_| unknown())?;
        if url.fragment().is_some() {
            return Err(unknown());
        }
        if url.scheme() == "file" && url.query().is_none() {
            return url.to_file_path().map(Self::File).map_err(|()| unknown());
        }
        if url.scheme() != SCHEME || url.port().is_some() || !url.username().is_empty() {
            return Err(unknown());
        }
        let parts: Vec<&str> = url.path_segments().into_iter().flatten().collect();
        match (url.host_str(), parts.as_slice()) {
            (Some("jobs"), [id, "log"]) => {
                let id = id.parse().map_err(|_| {
                    ResourceFault::missing(
                        "that is not a job's id",
                        "Give the UUID from an earlier answer or from list_jobs.",
                    )
                })?;
                Ok(Self::Log(id, part(&url)?))
            }
            (Some("checkpoints"), [name]) if url.query().is_none() => {
                let name = percent_decode_str(name).decode_utf8_lossy();
                let name = Name::new(&name).map_err(|error| {
                    ResourceFault::missing(error.to_string(), words::say(&error.remedy()))
                })?;
                Ok(Self::Checkpoint(name))
            }
            _ => Err(unknown()),
        }
    }
}

fn part(url: &Url) -> Result<Part, ResourceFault> {
    let mut part = Part::default();
    for (key, value) in url.query_pairs() {
        let fault = |what| ResourceFault::invalid(format!("{key}={value}: {what}"));
        match key.as_ref() {
            "from" if part.from.is_none() => {
                let from = value.parse();
                let why = "it must be a number of bytes, negative to count from the end";
                part.from = Some(from.map_err(|_| fault(why))?);
            }
            "bytes" if part.bytes.is_none() => {
                let bytes = value.parse().ok().filter(|bytes| *bytes > 0);
                part.bytes =
                    Some(bytes.ok_or_else(|| fault("it must be a number of bytes, 1 or more"))?);
            }
            _ => return Err(fault("a log's URI takes from and bytes, each once")),
        }
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::{Address, Part, of_checkpoint, of_log};
    use crate::base::ids::JobId;
    use crate::checkpoints::Name;

    #[test]
    fn every_linked_uri_can_be_parsed() {
        let id = JobId::fresh();
        let uri = of_log(&id.to_string());
        for (query, from, bytes) in [
            ("", None, None),
            ("?from=0", Some(0), None),
            ("?from=-7&bytes=5", Some(-7), Some(5)),
            ("?bytes=5&from=3", Some(3), Some(5)),
        ] {
            let address = Address::parse(&format!("{uri}{query}")).unwrap();
            assert_eq!(address, Address::Log(id, Part { from, bytes }), "{query}");
        }
        let name = Name::new("Run_1.b").unwrap();
        let address = Address::parse(&of_checkpoint("Run_1.b")).unwrap();
        assert_eq!(address, Address::Checkpoint(name));
    }

    #[test]
    fn foreign_uris_are_not_resources() {
        let id = JobId::fresh();
        for uri in [
            "".to_owned(),
            "notes".to_owned(),
            "https://example.com/a".to_owned(),
            "C:\\Windows\\win.ini".to_owned(),
            "smart-colab://jobs".to_owned(),
            "smart-colab://jobs/1/log".to_owned(),
            format!("smart-colab://jobs/{id}"),
            format!("smart-colab://jobs/{id}/log/x"),
            format!("smart-colab://jobs/{id}/log#a"),
            format!("smart-colab://jobs:80/{id}/log"),
            format!("smart-colab://someone@jobs/{id}/log"),
            format!("smart-colab://jobs/{id}/log?from=x"),
            format!("smart-colab://jobs/{id}/log?from=1&from=2"),
            format!("smart-colab://jobs/{id}/log?bytes=0"),
            format!("smart-colab://jobs/{id}/log?bytes=-1"),
            format!("smart-colab://jobs/{id}/log?lines=1"),
            "smart-colab://checkpoints/".to_owned(),
            "smart-colab://checkpoints/..".to_owned(),
            "smart-colab://checkpoints/%2e%2e".to_owned(),
            "smart-colab://checkpoints/a/b".to_owned(),
            "smart-colab://checkpoints/a?b=c".to_owned(),
            "file:///a?b".to_owned(),
            "file:///a#b".to_owned(),
        ] {
            assert!(Address::parse(&uri).is_err(), "{uri}");
        }
    }
}
