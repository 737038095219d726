//! The checkpoint on disk: damaged, of another version, or on a disk that cannot be written.

use std::fs;

use smart_colab::base::fault::Fault as _;
use smart_colab::caller::Caller;
use smart_colab::checkpoints::CheckpointError;
use smart_colab::chunked::order::Order;
use tokio::time::{Instant, sleep};

use super::{Bench, secs};
use crate::support::hint::{Hint as _, worded};

/// Eight iterations done, a batch of four in each checkpoint but the newest.
async fn half_done() -> Bench {
    let bench = Bench::new(16, 4);
    loop {
        bench.call_within(secs(3)).await;
        // A checkpoint without a job in flight is the one after a batch.
        if bench.completed() >= 8 {
            return bench;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_checkpoint_is_set_aside_and_reported_and_the_previous_one_is_used() {
    let bench = half_done().await;
    let accepted = bench.world().accepted.len();
    fs::write(bench.file("checkpoint.json"), "{\"version\": 1, \"comp").unwrap();
    let error = bench.report("op").await.unwrap_err();
    assert_eq!(error.code(), "checkpoint_corrupt");
    assert!(
        bench.file("checkpoint.json").exists(),
        "get_checkpoint changes nothing"
    );

    let error = bench.refused(false).await;
    let CheckpointError::Corrupt {
        previous: Some(known),
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(error.code(), "checkpoint_corrupt");
    assert!(error.is_retryable());
    assert_eq!(bench.world().accepted.len(), accepted, "nothing was sent");
    let aside = fs::read_to_string(bench.file("checkpoint.json.corrupt-1")).unwrap();
    assert_eq!(aside, "{\"version\": 1, \"comp");

    assert_eq!(bench.report("op").await.unwrap().completed, Some(known));
    let facts = bench.call().await;
    bench.assert_complete(&facts);
    let world = bench.world();
    assert!((0..known).all(|i| world.begun[&i] == 1));
}

#[tokio::test(start_paused = true)]
async fn after_damage_the_name_alone_goes_on_with_the_second_call() {
    for cluster in [None, Some("made_by_setup".to_owned())] {
        let mut bench = half_done().await;
        bench.plan.cluster = cluster;
        fs::write(bench.file("checkpoint.json"), "{\"ver").unwrap();
        let bridge = bench.bridge();
        let caller = || Caller::until(Instant::now() + secs(45));
        let name = bench.plan.name.clone();
        let listed = bench.checkpoints().list(9).await.0.remove(0).fault;
        for advice in [
            bridge.follow(&name, &caller()).await.unwrap_err().remedy(),
            listed.unwrap(),
        ] {
            let said = worded(&advice);
            assert!(said.contains("sets the damaged file aside"), "{said}");
            assert!(!said.contains("is set aside"), "{said}");
        }
        assert!(bench.file("checkpoint.json").exists());
        let resume = Order {
            cluster: bench.plan.cluster.clone(),
            ..Order::resume(name)
        };
        let error = bridge.run(&resume, &caller()).await.unwrap_err();
        assert!(error.hint().starts_with("The file is set aside"));
        assert!(bench.file("checkpoint.json.corrupt-1").exists());
        let facts = bridge.run(&resume, &caller()).await.unwrap().facts;
        bench.assert_complete(&facts);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_valid_checkpoint_only_a_restart_continues() {
    let bench = half_done().await;
    fs::write(bench.file("checkpoint.json"), "").unwrap();
    fs::write(bench.file("checkpoint.prev.json"), "no").unwrap();
    for _ in 0..2 {
        let error = bench.refused(false).await;
        assert!(matches!(
            error,
            CheckpointError::Corrupt { previous: None, .. }
        ));
        assert!(!error.is_retryable());
    }
    bench.assert_complete(&bench.restart().await);
    assert!(bench.file("checkpoint.json.corrupt-1").exists());
    let kept = fs::read_to_string(bench.file("checkpoint.prev.json.corrupt-1"));
    assert_eq!(kept.unwrap(), "no");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_of_another_version_is_refused_and_kept() {
    let bench = half_done().await;
    let newer = "{\"version\": 3, \"all\": \"different\"}";
    fs::write(bench.file("checkpoint.json"), newer).unwrap();
    let error = bench.refused(false).await;
    assert_eq!(error.code(), "checkpoint_mismatch");
    assert_eq!(
        bench.report("op").await.unwrap_err().code(),
        "checkpoint_mismatch"
    );
    assert_eq!(
        fs::read_to_string(bench.file("checkpoint.json")).unwrap(),
        newer
    );
    bench.assert_complete(&bench.restart().await);
    let kept = fs::read_to_string(bench.file("checkpoint.json.corrupt-1"));
    assert_eq!(kept.unwrap(), newer);
}

#[tokio::test(start_paused = true)]
async fn a_restart_ends_the_batch_that_only_the_previous_checkpoint_names() {
    let bench = Bench::new(30, 30);
    bench.call_within(secs(10)).await;
    fs::write(bench.file("checkpoint.json"), "").unwrap();
    bench.restart().await;
    assert_eq!(bench.world().interrupts, 1);
}

#[tokio::test(start_paused = true)]
async fn deleted_results_are_reported_and_the_operation_continues() {
    let bench = half_done().await;
    fs::remove_file(bench.file("results.jsonl")).unwrap();
    let facts = bench.call().await;
    assert!(facts.success && !facts.can_continue);
    assert!(
        worded(&facts.notes[0]).contains("lost some results"),
        "{:?}",
        facts.notes
    );
    bench.assert_begun_again(&[]);
}

/// Permissions do not stop root; a file in the folder's place does.
#[tokio::test(start_paused = true)]
async fn nothing_is_sent_when_the_checkpoint_cannot_be_written() {
    let bench = Bench::new(4, 4);
    fs::write(bench.disk.path().join("checkpoints"), "a file").unwrap();
    let error = bench.refused(false).await;
    assert!(matches!(error, CheckpointError::Disk { .. }), "{error:?}");
    assert!(error.hint().contains("CHECKPOINT_DIR"), "{}", error.hint());
    assert_eq!(bench.world().requests, 0);
}

#[tokio::test(start_paused = true)]
async fn a_disk_failure_ends_the_call_before_the_next_batch() {
    let bench = Bench::new(20, 4);
    let spoil = async {
        sleep(secs(6)).await;
        // From now on a folder blocks the path of the previous checkpoint.
        let previous = bench.file("checkpoint.prev.json");
        fs::remove_file(&previous).unwrap();
        fs::create_dir_all(previous.join("in the way")).unwrap();
    };
    let token = Default::default();
    let call = bench.try_call(false, super::CALL_TIMEOUT, &token);
    let (outcome, ()) = tokio::join!(call, spoil);
    let facts = outcome.unwrap().facts;
    assert!(!facts.success && facts.can_continue);
    assert_eq!(facts.code.as_deref(), Some("internal"));
    assert!(worded(&facts.hint.unwrap()).contains("CHECKPOINT_DIR"));
    fs::remove_dir_all(bench.file("checkpoint.prev.json")).unwrap();
    bench.assert_complete(&bench.call().await);
    bench.assert_begun_again(&[]);
}
