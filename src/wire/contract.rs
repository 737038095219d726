//! Checks that the examples of `colab/API.md` fit these types, and its limits these constants. `colab/tests/test_contract.py` checks the executor.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Deserializer, Value, json};

use super::API_VERSION;
use super::event::{Event, EventKind};
use super::files::{
    BundleLine, BundleReply, BundleRequest, FileChanges, FileList, FilePreview, FileStat, FileText,
    Upload,
};
use super::job::{
    ClusterView, ConsentRequest, EventPage, InputRequest, Job, JobRequest, KernelExit, NamesReply,
    NamesRequest, Question,
};
use super::limits::{MAX_BODY_BYTES, MAX_CODE_HEAD_CHARS, MAX_TIMEOUT_SEC, MAX_WAIT};
use super::machine::{Health, Probe};
use super::problem::Problem;
use super::session::{Cleanup, CleanupRequest, Removed, Restarted, Session, Variables, is_name};

const PAGE: &str = include_str!("../../colab/API.md");
/// Types that the bridge does not use.
const FOREIGN: [&str; 4] = ["ExecuteRequest", "Execution", "Ready", "AuditLine"];
const UNREAD: [&str; 10] = [
    "Problem.type",
    "Problem.title",
    "Probe.executor.api",
    "Probe.limits.max_code_head_chars",
    "Probe.limits.session_name",
    "Upload.path",
    "Upload.size",
    "Upload.sha256",
    // Serialized for programs only.
    "FileList.entries.executable",
    "FileChanges.entries.executable",
];

/// Each example of the page, with the name of its type.
fn examples() -> Vec<(&'static str, Value)> {
    let mut found = Vec::new();
    for block in PAGE.split("\n```json").skip(1) {
        let (name, text) = block.split_once('\n').unwrap();
        let (text, _) = text.split_once("\n```").unwrap();
        for value in Deserializer::from_str(text).into_iter() {
            found.push((name.trim(), value.unwrap()));
        }
    }
    assert!(!found.is_empty());
    found
}

fn example(name: &str) -> Value {
    let found = examples().into_iter().find(|(found, _)| *found == name);
    found.unwrap().1
}

/// Reports what is lost when an example is read as its type.
fn find_losses(name: &str, value: &Value) -> Vec<String> {
    match name {
        "Problem" => round_trip::<Problem>(name, value),
        "JobRequest" => round_trip::<JobRequest>(name, value),
        "ClusterView" => round_trip::<ClusterView>(name, value),
        "Job" => round_trip::<Job>(name, value),
        "KernelExit" => round_trip::<KernelExit>(name, value),
        "EventPage" => round_trip::<EventPage>(name, value),
        "Event" => {
            let event: Event = serde_json::from_value(value.clone()).unwrap();
            assert_ne!(event.kind, EventKind::Unknown, "{value}");
            round_trip::<Event>(name, value)
        }
        "ConsentRequest" => round_trip::<ConsentRequest>(name, value),
        "Question" => round_trip::<Question>(name, value),
        "InputRequest" => round_trip::<InputRequest>(name, value),
        "NamesRequest" => round_trip::<NamesRequest>(name, value),
        "NamesReply" => round_trip::<NamesReply>(name, value),
        "Session" => round_trip::<Session>(name, value),
        "Restarted" => round_trip::<Restarted>(name, value),
        "Removed" => round_trip::<Removed>(name, value),
        "Variables" => round_trip::<Variables>(name, value),
        "CleanupRequest" => round_trip::<CleanupRequest>(name, value),
        "Cleanup" => round_trip::<Cleanup>(name, value),
        "Health" => round_trip::<Health>(name, value),
        "Probe" => round_trip::<Probe>(name, value),
        "FileList" => round_trip::<FileList>(name, value),
        "FileChanges" => round_trip::<FileChanges>(name, value),
        "FileStat" => round_trip::<FileStat>(name, value),
        "FilePreview" => round_trip::<FilePreview>(name, value),
        "FileText" => round_trip::<FileText>(name, value),
        "Upload" => round_trip::<Upload>(name, value),
        "BundleRequest" => round_trip::<BundleRequest>(name, value),
        "BundleReply" => round_trip::<BundleReply>(name, value),
        "BundleLine" => round_trip::<BundleLine>(name, value),
        foreign if FOREIGN.contains(&foreign) => Vec::new(),
        unknown => vec![format!("{unknown} is an unknown type")],
    }
}

fn round_trip<T: DeserializeOwned + Serialize>(name: &str, value: &Value) -> Vec<String> {
    match serde_json::from_value::<T>(value.clone()) {
        Ok(read) => differences(name, value, &json!(read)),
        Err(error) => vec![format!("{name}: {error}")],
    }
}

/// Reports where `read` differs from `example`; null and absent are the same.
fn differences(path: &str, example: &Value, read: &Value) -> Vec<String> {
    if UNREAD.contains(&path) {
        return Vec::new();
    }
    match (example, read) {
        (Value::Object(fields), Value::Object(_)) => fields
            .iter()
            .flat_map(|(name, value)| differences(&format!("{path}.{name}"), value, &read[name]))
            .collect(),
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => items
            .iter()
            .zip(others)
            .flat_map(|(item, other)| differences(path, item, other))
            .collect(),
        (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64() => Vec::new(),
        _ if example == read => Vec::new(),
        _ => vec![format!("{path}: {example} was read as {read}")],
    }
}

#[test]
fn every_example_of_the_page_fits_its_type() {
    let faults: Vec<_> = examples()
        .iter()
        .flat_map(|(name, value)| find_losses(name, value))
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_limits_of_the_page_are_those_of_the_bridge() {
    let probe = example("Probe");
    assert_eq!(
        probe["limits"],
        json!({
            "max_timeout_sec": MAX_TIMEOUT_SEC,
            "max_wait_sec": MAX_WAIT.as_secs(),
            "max_body_bytes": MAX_BODY_BYTES,
            "max_code_head_chars": MAX_CODE_HEAD_CHARS,
            "session_name": "[A-Za-z0-9_-]{1,64}",
        })
    );
    assert_eq!(probe["executor"]["api"], API_VERSION);
    let longest = "a".repeat(64);
    for good in ["a", "Z", "0", "_", "-", &longest] {
        assert!(is_name(good), "{good:?}");
    }
    let too_long = "a".repeat(65);
    for bad in ["", " ", "a.b", "é", "a\n", &too_long] {
        assert!(!is_name(bad), "{bad:?}");
    }
}

#[test]
fn an_example_that_does_not_fit_its_type_is_reported() {
    for (name, value) in [
        ("Removed", json!({"ended_jobs": 1})),
        ("Removed", json!({"ended_jobs": [], "more": 1})),
        ("Removal", json!({})),
    ] {
        assert_eq!(find_losses(name, &value).len(), 1, "{name} {value}");
    }
}
