use std::fs;

use serde_json::{Value, json};

use super::{Before, Claim, Ledger};
use crate::checkpoints::Name;
use crate::checkpoints::checkpoint::Flight;
use crate::checkpoints::folder::Folder;
use crate::checkpoints::plan::Plan;
use crate::wire::event::Progress;
use crate::wire::job::OnError;

fn open(disk: &tempfile::TempDir) -> Ledger {
    let plan = Plan {
        name: Name::new("op").unwrap(),
        setup_code: String::new(),
        loop_code: "i".to_owned(),
        n_iterations: 6,
        batch_size: 6,
        on_error: OnError::Stop,
        session: "main".to_owned(),
        cluster: None,
    };
    let folder = Folder::new(disk.path(), &plan.name);
    let claim = Claim::take(folder, &plan, Before::SamePlan).unwrap();
    claim.open().unwrap()
}

fn flying(disk: &tempfile::TempDir, is_unordered: bool) -> Ledger {
    let mut ledger = open(disk);
    ledger.launch(&Flight::new(false, false)).unwrap();
    ledger.bound(is_unordered, None).unwrap();
    ledger
}

fn report(iteration: u64, message: Option<&str>) -> Progress {
    let report = json!({
        "completed": 1, "total": 6, "message": message, "iteration": iteration, "result": 0.1, "error": null,
    });
    serde_json::from_value(report).unwrap()
}

fn credit(ledger: &mut Ledger, iterations: &[u64]) -> Vec<bool> {
    let reports = iterations.iter().map(|i| report(*i, None));
    reports.map(|one| ledger.credit(&one).unwrap()).collect()
}

fn results(ledger: &mut Ledger) -> Vec<u64> {
    ledger.save().unwrap();
    let text = fs::read_to_string(ledger.folder().results()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .map(|line: Value| line["i"].as_u64().unwrap())
        .collect()
}

#[test]
fn reports_in_any_order_are_counted_once_each_in_their_own_order() {
    let disk = tempfile::tempdir().unwrap();
    let mut ledger = flying(&disk, true);
    let counted = credit(&mut ledger, &[2, 2, 6, u64::MAX, 0, 0, 4, 2]);
    let wanted = [true, false, false, false, true, false, true, false];
    assert_eq!(counted, wanted);
    assert_eq!(results(&mut ledger), [0]);
    assert_eq!(
        (ledger.checkpoint.completed, ledger.checkpoint.ahead),
        (1, 2)
    );
    assert_eq!(
        (ledger.checkpoint.remaining(), ledger.missing()),
        (3, vec![1, 3, 5])
    );
    drop(ledger);

    // Another process reads the same reports again.
    let mut ledger = flying(&disk, true);
    let counted = credit(&mut ledger, &[2, 0, 4, 1, 5, 3]);
    assert_eq!(counted, [false, false, false, true, true, true]);
    assert_eq!(results(&mut ledger), [0, 1, 2, 3, 4, 5]);
    assert!(ledger.checkpoint.is_finished());
    assert!(!ledger.folder().ahead().exists());
}

#[test]
fn in_a_session_only_the_next_iteration_counts_and_nothing_new_is_written() {
    let disk = tempfile::tempdir().unwrap();
    let mut ledger = flying(&disk, false);
    assert_eq!(
        credit(&mut ledger, &[1, 0, 2, 0, 1]),
        [false, true, false, false, true]
    );
    assert_eq!(results(&mut ledger), [0, 1]);
    assert!(ledger.missing().is_empty());
    let checkpoint = fs::read_to_string(ledger.folder().checkpoint()).unwrap();
    for word in ["ahead", "reruns", "until", "unordered"] {
        assert!(!checkpoint.contains(word), "{checkpoint}");
    }
}

#[test]
fn what_finished_after_a_break_does_not_count() {
    let disk = tempfile::tempdir().unwrap();
    let mut ledger = flying(&disk, true);
    credit(&mut ledger, &[3, 4, 0]);
    assert!(ledger.credit(&report(1, Some("break"))).unwrap());
    assert_eq!(results(&mut ledger), [0, 1]);
    assert!(ledger.checkpoint.is_finished() && !ledger.folder().ahead().exists());
}

#[test]
fn iterations_that_the_file_has_lost_run_again_and_are_named() {
    let disk = tempfile::tempdir().unwrap();
    let mut ledger = flying(&disk, true);
    credit(&mut ledger, &[2, 3]);
    ledger.save().unwrap();
    fs::write(ledger.folder().ahead(), "torn").unwrap();
    drop(ledger);
    let ledger = open(&disk);
    assert!(
        ledger.notes[0].ends_with("run again: 2"),
        "{:?}",
        ledger.notes
    );
    assert_eq!((ledger.checkpoint.ahead, ledger.missing()), (0, Vec::new()));
}

#[test]
fn progress_is_rounded_and_100_only_at_the_end() {
    let disk = tempfile::tempdir().unwrap();
    let mut checkpoint = open(&disk).checkpoint.clone();
    for (completed, total, percent) in [
        (6, 30, 20.0),
        (27, 60, 45.0),
        (1, 3, 33.3),
        (2, 3, 66.7),
        (9_999, 10_000, 99.9),
        (10_000, 10_000, 100.0),
    ] {
        (checkpoint.completed, checkpoint.total) = (completed, total);
        let progress = checkpoint.progress_pct();
        assert!((progress - percent).abs() < 1e-9, "{progress}");
    }
}
