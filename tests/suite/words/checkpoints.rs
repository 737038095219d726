//! Errors of results that are kept under names.

use std::io;

use smart_colab::checkpoints::CheckpointError;

use super::{faults, path, text, unreachable};

#[test]
fn faults_of_checkpoints_are_worded_by_each_face() {
    let job = "01900000-0000-7000-8000-000000000001";
    let (id, operation) = (job.parse().unwrap(), || text("op"));
    let page = faults(&[
        &CheckpointError::Invalid(text("the name is empty")),
        &CheckpointError::Mismatch {
            operation: operation(),
            differing: vec![text("loop_code")],
            completed: 3,
            total: 9,
        },
        &CheckpointError::Mismatch {
            operation: operation(),
            differing: vec![text("n_iterations (9 before, 8 now)")],
            completed: 3,
            total: 9,
        },
        &CheckpointError::Taken { name: operation() },
        &CheckpointError::Foreign { path: path() },
        &CheckpointError::OtherVersion {
            path: path(),
            version: 2,
        },
        &CheckpointError::Corrupt {
            path: path(),
            detail: text("no JSON"),
            previous: Some(3),
            is_aside: true,
        },
        &CheckpointError::Corrupt {
            path: path(),
            detail: text("no JSON"),
            previous: Some(3),
            is_aside: false,
        },
        &CheckpointError::Corrupt {
            path: path(),
            detail: text("no JSON"),
            previous: None,
            is_aside: false,
        },
        &CheckpointError::CorruptResult {
            path: path(),
            detail: text("no JSON"),
        },
        &CheckpointError::NotFound {
            operation: text(job),
            known: Vec::new(),
        },
        &CheckpointError::NotFound {
            operation: operation(),
            known: Vec::new(),
        },
        &CheckpointError::NotFound {
            operation: operation(),
            known: vec![text("other")],
        },
        &CheckpointError::Busy {
            operation: operation(),
        },
        &CheckpointError::RunsInOtherClient {
            operation: operation(),
            job: id,
        },
        &CheckpointError::StillRunning {
            operation: operation(),
            job: id,
        },
        &CheckpointError::Disk {
            path: path(),
            source: io::ErrorKind::StorageFull.into(),
        },
        &CheckpointError::Disk {
            path: path(),
            source: io::Error::other("its own words"),
        },
        &CheckpointError::Runtime(unreachable()),
    ]);
    insta::assert_snapshot!(page);
}
