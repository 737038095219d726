//! Errors of mirrors.

use std::sync::Arc;

use smart_colab::mirror::MirrorError;

use super::{disk, faults, path, text, unreachable};

#[test]
fn faults_of_mirrors_are_worded_by_each_face() {
    let remote = || text("/content/out");
    insta::assert_snapshot!(faults(&[
        &MirrorError::Unnamed,
        &MirrorError::Itself {
            remote: remote(),
            path: path(),
        },
        &MirrorError::Occupied { path: path() },
        &MirrorError::Taken {
            path: path(),
            by: remote(),
        },
        &MirrorError::Busy { path: path() },
        &MirrorError::NotFound {
            remote: remote(),
            known: Vec::new(),
        },
        &MirrorError::NotFound {
            remote: remote(),
            known: vec![text("/content/runs")],
        },
        &MirrorError::OldExecutor,
        &MirrorError::Runtime {
            remote: remote(),
            source: Arc::new(unreachable()),
        },
        &MirrorError::Disk {
            path: path(),
            source: disk(),
        },
    ]));
}
