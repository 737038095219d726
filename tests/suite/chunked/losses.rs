//! Losses during an operation: answers, bridges, kernels, executors, whole machines.

use std::time::Duration;

use smart_colab::base::ids::JobId;
use smart_colab::runtime::RuntimeError;
use smart_colab::wire::job::{Job, JobRequest};
use smart_colab::wire::state::JobState;
use tokio::time::{Instant, sleep};

use super::{Bench, CALL_TIMEOUT, failed, secs};
use crate::support::hint::worded;
use crate::support::world::{Fails, Mishap, Strike, When};

#[tokio::test(start_paused = true)]
async fn a_bridge_that_dies_during_a_batch_is_succeeded_by_one_that_repeats_nothing() {
    let bench = Bench::new(10, 4);
    for seconds in [1, 3, 6] {
        bench.call_and_die_after(secs(seconds)).await;
    }
    bench.assert_complete(&bench.call().await);
    bench.assert_begun_again(&[]);
}

#[tokio::test(start_paused = true)]
async fn output_read_by_a_dead_bridge_is_in_the_next_answer() {
    let bench = Bench::new(30, 30);
    bench.call_and_die_after(secs(20)).await;
    assert!(bench.completed() > 0, "a part of the batch is saved");
    let text = bench.read_within(CALL_TIMEOUT).await;
    assert_eq!(text.lines().count(), 30);
    bench.assert_results(30);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_ended_while_no_bridge_was_running_counts() {
    let bench = Bench::new(10, 10);
    bench.call_and_die_after(secs(3)).await;
    assert_eq!(bench.completed(), 0);
    sleep(secs(100)).await;
    bench.assert_complete(&bench.call_within(secs(3)).await);
    bench.assert_begun_again(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_answer_is_lost_runs_once() {
    let bench = Bench::new(6, 3);
    let lost = Some(Mishap::ReplyLost);
    let refused = Some(Mishap::Refused);
    bench
        .world()
        .mishaps
        .extend([lost, lost, refused, None, lost, lost, refused, lost]);
    bench.assert_complete(&bench.call().await);
    bench.assert_begun_again(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_recorded_but_never_sent_is_sent_by_the_next_call() {
    let bench = Bench::new(6, 6);
    bench.world().is_down = true;
    let facts = bench.call().await;
    failed(&facts, "paused", "connection_failed");
    assert!(facts.can_continue);
    let named = bench.checkpoint()["in_flight"]["job_id"].clone();
    assert!(named.is_string());
    bench.world().is_down = false;
    bench.assert_complete(&bench.call().await);
    bench.assert_begun_again(&[]);
    assert_eq!(bench.world().setups, 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_never_arrived_needs_no_new_setup() {
    let bench = Bench::new(6, 3);
    bench.world().failing.insert(3, Fails::Once);
    failed(&bench.call().await, "failed", "python_error");
    bench.world().refuses_start = Some(3);
    let facts = bench.call().await;
    failed(&facts, "paused", "connection_failed");
    assert_eq!(facts.completed, 3);
    bench.world().refuses_start = None;
    bench.assert_complete(&bench.call().await);
    bench.assert_begun_again(&[(3, 2)]);
    assert_eq!(bench.world().setups, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_to_a_silent_runtime_returns_in_time_with_what_is_done() {
    let bench = Bench::new(100, 10);
    let began = Instant::now();
    let cut = async {
        sleep(secs(8)).await;
        bench.world().is_down = true;
    };
    let (facts, ()) = tokio::join!(bench.call(), cut);
    assert!(began.elapsed() < CALL_TIMEOUT);
    failed(&facts, "running", "connection_failed");
    assert!(facts.completed > 3 && facts.can_continue);
    assert_eq!(facts.retryable, Some(true));
    assert!(worded(&facts.hint.unwrap()).starts_with("The completed iterations are kept."));
    sleep(secs(20)).await;
    bench.world().is_down = false;
    bench.call_to_the_end().await;
    bench.assert_results(100);
    bench.assert_begun_again(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_local_executor_that_ended_with_its_client_runs_nothing() {
    let bench = Bench::new(20, 10);
    let leave = async {
        sleep(secs(8)).await;
        bench.world().ended_with_client = true;
    };
    let (facts, ()) = tokio::join!(bench.call(), leave);
    failed(&facts, "paused", "connection_failed");
    assert_eq!(facts.retryable, Some(false));
    bench.world().ended_with_client = false;
    bench.call_to_the_end().await;
    bench.assert_results(20);
    bench.assert_begun_again(&[]);
}

#[tokio::test(start_paused = true)]
async fn an_executor_restart_during_a_batch_costs_only_the_current_iteration() {
    for (when, again) in [(When::Within(5), vec![(5, 2)]), (When::Before(5), vec![])] {
        let bench = Bench::new(10, 4);
        bench.world().strikes.push((when, Strike::ExecutorRestarts));
        bench.assert_complete(&bench.call().await);
        bench.assert_begun_again(&again);
        assert_eq!(bench.world().setups, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_replaced_during_a_batch_is_set_up_and_resumes_from_the_checkpoint() {
    let bench = Bench::new(10, 4);
    bench
        .world()
        .strikes
        .push((When::Within(5), Strike::MachineReplaced));
    let facts = bench.call().await;
    bench.assert_complete(&facts);
    assert_eq!(bench.world().setups, 2);
    let world = bench.world();
    for done in 0..4 {
        assert_eq!(world.begun[&done], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_replaced_between_calls_is_set_up() {
    for seconds in [4, 6, 9] {
        let bench = Bench::new(10, 4);
        let done = bench.call_within(secs(seconds)).await.completed;
        bench.world().strike(Strike::MachineReplaced);
        bench.assert_complete(&bench.call().await);
        let world = bench.world();
        assert_eq!(world.setups, 2);
        assert!((0..done).all(|i| world.begun[&i] == 1), "{:?}", world.begun);
    }
}

#[tokio::test(start_paused = true)]
async fn losing_bridge_and_machine_together_costs_a_few_seconds_of_a_long_batch() {
    let bench = Bench::new(100, 100);
    bench.call_and_die_after(secs(35)).await;
    let (saved, done) = (bench.completed(), bench.world().ended.len() as u64);
    assert!(saved <= done && saved + 8 > done, "{saved} of {done}");
    bench.world().strike(Strike::MachineReplaced);
    bench.call_to_the_end().await;
    bench.assert_results(100);
    let world = bench.world();
    assert!((0..saved).all(|i| world.begun[&i] == 1));
}

#[tokio::test(start_paused = true)]
async fn after_a_dead_kernel_the_operation_is_set_up_again_and_runs_on() {
    let bench = Bench::new(10, 4);
    bench
        .world()
        .strikes
        .push((When::Within(6), Strike::KernelDies));
    let facts = bench.call().await;
    bench.assert_complete(&facts);
    let note = worded(&facts.notes[0]);
    assert!(note.starts_with("iteration 6 did not finish"), "{note}");
    bench.assert_begun_again(&[(6, 2)]);
    assert_eq!(bench.world().setups, 2);
    assert_eq!(bench.world().accepted.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_iteration_that_kills_the_kernel_twice_stops_the_operation_until_it_is_called_again() {
    let bench = Bench::new(10, 4);
    let strike = (When::Within(6), Strike::KernelDies);
    bench.world().strikes.extend([strike; 2]);
    let facts = bench.call().await;
    failed(&facts, "failed", "kernel_died");
    assert_eq!(facts.completed, 6);
    let error = facts.error.unwrap();
    assert!(error.starts_with("iteration 6 did not finish"), "{error}");
    bench.assert_complete(&bench.call().await);
    bench.assert_begun_again(&[(6, 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_kernel_that_dies_after_the_last_iteration_of_a_batch_costs_a_setup() {
    // At the step that would end the job.
    let bench = Bench::new(8, 4);
    bench
        .world()
        .strikes
        .push((When::Before(4), Strike::KernelDies));
    bench.assert_complete(&bench.call().await);
    bench.assert_begun_again(&[]);
    assert_eq!(bench.world().setups, 2);
}

#[tokio::test(start_paused = true)]
async fn a_kernel_that_dies_after_the_very_last_iteration_costs_nothing() {
    let bench = Bench::new(8, 4);
    bench
        .world()
        .strikes
        .push((When::Before(8), Strike::KernelDies));
    bench.assert_complete(&bench.call().await);
    assert_eq!(bench.world().setups, 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_restart_stops_the_operation_until_the_next_call() {
    let bench = Bench::new(8, 4);
    bench
        .world()
        .strikes
        .push((When::Within(1), Strike::SessionRestarted));
    let facts = bench.call().await;
    failed(&facts, "interrupted", "cancelled");
    assert_eq!(facts.completed, 1);
    bench.assert_complete(&bench.call().await);
    assert_eq!(bench.world().setups, 2);
}

#[tokio::test(start_paused = true)]
async fn no_batch_runs_in_a_kernel_that_was_replaced_while_it_waited_its_turn() {
    let bench = Bench::new(8, 4);
    bench.call_within(secs(3)).await;
    // Other code is queued before the next batch, and kills the kernel.
    let other = JobRequest {
        code: "train()".to_owned(),
        session: "main".to_owned(),
        timeout_sec: 600,
        iterations: None,
        kernel_id: None,
        folder: None,
        answers: false,
    };
    bench.world().put(JobId::fresh(), &other).unwrap();
    bench.world().pace = secs(5);
    let kill = async {
        // The first batch has ended and the other code is running.
        loop {
            sleep(Duration::from_millis(100)).await;
            let mut world = bench.world();
            let is_other = |job: &Job| job.iterations.is_none() && job.state == JobState::Running;
            if world.newest().iter().any(is_other) {
                return world.strike(Strike::KernelDies);
            }
        }
    };
    tokio::join!(bench.call(), kill);
    bench.assert_complete(&bench.call_to_the_end().await);
    bench.assert_begun_again(&[]);
    assert_eq!(bench.world().setups, 2);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_lost_repeatedly_ends_the_call_with_a_report() {
    let bench = Bench::new(4, 4);
    let strike = (When::Within(2), Strike::ExecutorRestarts);
    bench.world().strikes.extend([strike; 4]);
    let facts = bench.call().await;
    failed(&facts, "paused", "runtime_replaced");
    assert_eq!((facts.completed, facts.can_continue), (2, true));
    bench.assert_complete(&bench.call().await);
    bench.assert_begun_again(&[(2, 5)]);
}

#[tokio::test(start_paused = true)]
async fn the_fate_of_a_batch_is_known_after_its_bridge_and_machine_are_gone() {
    let bench = Bench::new(4, 2);
    let batch = bench.call().await.job_id.unwrap().parse().unwrap();
    assert_eq!(
        bench.jobs().remembered(10),
        [],
        "the batch is listed as a job"
    );
    bench.world().strike(Strike::MachineReplaced);
    let deadline = Instant::now() + secs(9);
    let error = bench.jobs().poll(batch, 0, 0.0, deadline).await;
    assert!(matches!(error, Err(RuntimeError::Replaced)), "{error:?}");
}
