//! Operations run on with nobody calling, and are followed and resumed by their name alone.

use smart_colab::base::fault::Fault as _;
use smart_colab::base::ids::JobId;
use smart_colab::caller::Caller;
use smart_colab::checkpoints::{CheckpointError, Name};
use smart_colab::chunked::order::Order;
use smart_colab::chunked::{Chunked, Facts};
use smart_colab::wire::job::OnError;
use tokio::time::{Instant, sleep};

use super::{Bench, failed, secs};
use crate::support::world::{Fails, Strike, When};

fn name() -> Name {
    Name::new("op").unwrap()
}

async fn run(bridge: &Chunked, order: &Order, seconds: u64) -> Result<Facts, CheckpointError> {
    let caller = Caller::until(Instant::now() + secs(seconds));
    Ok(bridge.run(order, &caller).await?.facts)
}

async fn follow(bridge: &Chunked, seconds: u64) -> Result<Facts, CheckpointError> {
    let caller = Caller::until(Instant::now() + secs(seconds));
    Ok(bridge.follow(&name(), &caller).await?.facts)
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_work_takes_two_calls_while_bridges_come_and_go() {
    let bench = Bench::new(3_600, 60);
    let facts = bench.call().await;
    assert_eq!(facts.state, "running");
    for minutes in [1, 2, 3, 5, 5, 5, 6, 6, 7, 7] {
        let bridge = bench.bridge();
        bridge.catch_up();
        sleep(secs(minutes * 60)).await;
        let done = bench.world().ended.len() as u64;
        assert!(bench.completed() + 10 > done, "it is kept as it comes");
    }
    sleep(secs(20 * 60)).await;
    let facts = follow(&bench.bridge(), 45).await.unwrap();
    bench.assert_complete(&facts);
    bench.assert_begun_again(&[]);
    assert_eq!(bench.world().accepted.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_living_bridge_resumes_on_the_next_machine_with_nobody_calling() {
    for strike in [Strike::MachineReplaced, Strike::ExecutorRestarts] {
        let bench = Bench::new(100, 10);
        let bridge = bench.bridge();
        let facts = run(&bridge, &bench.order(), 10).await.unwrap();
        assert_eq!(facts.state, "running");
        bench.world().is_down = true;
        bench.world().strike(strike);
        sleep(secs(300)).await;
        bench.world().is_down = false;
        sleep(secs(600)).await;
        assert_eq!(bench.completed(), 100);
        let facts = follow(&bridge, 45).await.unwrap();
        bench.assert_complete(&facts);
        assert_eq!(bench.world().setups, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_setup_that_fails_on_the_next_machine_stops_the_operation_and_is_reported_once() {
    let bench = Bench::new(100, 10);
    let bridge = bench.bridge();
    run(&bridge, &bench.order(), 10).await.unwrap();
    bench.world().failing_setup = Some(Fails::Once);
    bench.world().strike(Strike::MachineReplaced);
    sleep(secs(600)).await;
    let facts = follow(&bridge, 45).await.unwrap();
    failed(&facts, "failed", "python_error");
    assert!(facts.error.unwrap().starts_with("the setup failed"));
    let begun = bench.world().setups;
    // Looking again starts nothing.
    let facts = follow(&bridge, 45).await.unwrap();
    failed(&facts, "failed", "python_error");
    assert_eq!(bench.world().setups, begun);
    let facts = run(&bridge, &Order::resume(name()), 200).await.unwrap();
    bench.assert_complete(&facts);
}

#[tokio::test(start_paused = true)]
async fn its_name_alone_resumes_an_operation_that_stopped() {
    let bench = Bench::new(10, 4);
    bench.world().failing.insert(5, Fails::Once);
    failed(&bench.call().await, "failed", "python_error");
    let facts = run(&bench.bridge(), &Order::resume(name()), 45).await;
    bench.assert_complete(&facts.unwrap());
    bench.assert_begun_again(&[(5, 2)]);
    let plan = bench.report("op").await.unwrap().plan.unwrap();
    assert_eq!(plan.loop_code, bench.plan.loop_code);
    assert_eq!(plan.setup_code, bench.plan.setup_code);
}

#[tokio::test(start_paused = true)]
async fn a_name_without_a_plan_says_what_is_missing_and_runs_nothing() {
    let bench = Bench::new(10, 4);
    let error = run(&bench.bridge(), &Order::resume(name()), 45).await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), "invalid_argument");
    assert!(error.to_string().contains("loop_code and n_iterations"));
    let error = follow(&bench.bridge(), 45).await.unwrap_err();
    assert_eq!(error.code(), "not_found");
    assert_eq!(bench.world().requests, 0);
}

#[tokio::test(start_paused = true)]
async fn changed_code_goes_on_from_where_the_operation_is_when_what_is_done_is_to_count() {
    let mut bench = Bench::new(20, 5);
    let bridge = bench.bridge();
    run(&bridge, &bench.order(), 8).await.unwrap();
    let done = bench.completed();
    bench.plan.loop_code = "x * {i}".to_owned();
    let refused = run(&bridge, &bench.order(), 45).await.unwrap_err();
    assert_eq!(refused.code(), "checkpoint_mismatch");
    let order = Order {
        keep_done: true,
        ..bench.order()
    };
    let facts = run(&bridge, &order, 45).await.unwrap();
    assert_eq!((facts.state, facts.completed), ("succeeded", 20));
    let codes: Vec<String> = (bench.world().accepted.iter())
        .map(|request| request.code.clone())
        .collect();
    assert_eq!(codes.len(), 2);
    assert_eq!(codes[1], "x * {i}");
    bench.assert_results(20);
    let report = bench.report("op").await.unwrap();
    assert_eq!(report.history.len(), 1);
    assert_eq!(report.history[0].changed, ["loop_code"]);
    assert!(report.history[0].completed >= done);
    // What was under way was interrupted, and nothing else ran twice.
    let again: u32 = bench.world().begun.values().map(|times| times - 1).sum();
    assert!(again <= 1, "{again}");
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_has_ended_keeps_its_name_when_its_code_changes() {
    for cluster in [None, Some("made_by_setup".to_owned())] {
        let mut bench = Bench::new(6, 3);
        bench.plan.cluster = cluster;
        bench.plan.on_error = OnError::Skip;
        bench.world().failing.insert(4, Fails::Once);
        let bridge = bench.bridge();
        let facts = run(&bridge, &bench.order(), 45).await.unwrap();
        assert_eq!((facts.state, facts.skipped_count), ("succeeded", 1));
        bench.plan.loop_code = "x * {i}".to_owned();
        let order = Order {
            keep_done: true,
            ..bench.order()
        };
        let facts = run(&bridge, &order, 45).await.unwrap();
        assert_eq!((facts.state, facts.completed), ("succeeded", 6));
        assert_eq!(bench.world().accepted.len(), 1, "nothing ran");
        // Also for a bridge that knows what is on disk alone.
        for bridge in [bridge, bench.bridge()] {
            for order in [bench.order(), Order::resume(name())] {
                let facts = run(&bridge, &order, 45).await.unwrap();
                assert_eq!((facts.state, facts.completed), ("succeeded", 6));
            }
            assert_eq!(follow(&bridge, 45).await.unwrap().state, "succeeded");
        }
        let order = Order {
            retry_skipped: true,
            ..Order::resume(name())
        };
        let facts = run(&bench.bridge(), &order, 45).await.unwrap();
        assert_eq!((facts.state, facts.skipped_count), ("succeeded", 0));
        assert_eq!(bench.world().accepted[1].code, "x * {i}");
        let report = bench.report("op").await.unwrap();
        assert_eq!(report.plan.unwrap().loop_code, "x * {i}");
        assert_eq!(report.history[0].changed, ["loop_code"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_whose_code_is_not_kept_goes_on_with_code_that_is_given() {
    let bench = Bench::new(6, 3);
    bench.call().await;
    std::fs::remove_file(bench.file("plan.json")).unwrap();
    let resume = Order::resume(name());
    let error = run(&bench.bridge(), &resume, 45).await.unwrap_err();
    assert!(
        error.to_string().contains("is not kept any more"),
        "{error}"
    );
    let order = Order {
        keep_done: true,
        ..bench.order()
    };
    run(&bench.bridge(), &order, 45).await.unwrap();
    let facts = run(&bench.bridge(), &resume, 45).await.unwrap();
    assert_eq!(facts.state, "succeeded");
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_said_to_run_as_soon_as_it_does() {
    for cluster in [None, Some("made_by_setup".to_owned())] {
        let mut bench = Bench::new(60, 60);
        bench.plan.cluster = cluster;
        let bridge = bench.bridge();
        run(&bridge, &bench.order(), 0).await.unwrap();
        sleep(secs(5)).await;
        for _ in 0..5 {
            let facts = follow(&bridge, 2).await.unwrap();
            assert_eq!(facts.state, "running");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_done_cannot_count_for_another_number_of_iterations() {
    let bench = Bench::new(10, 4);
    bench.call().await;
    for (n_iterations, restart, code) in [
        (Some(11), false, "checkpoint_mismatch"),
        (None, true, "invalid_argument"),
    ] {
        let order = Order {
            n_iterations,
            restart,
            keep_done: true,
            ..Order::resume(name())
        };
        let error = run(&bench.bridge(), &order, 45).await.unwrap_err();
        assert_eq!(error.code(), code);
    }
    assert_eq!(bench.completed(), 10);
    assert_eq!(bench.world().accepted.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_no_larger_than_the_whole() {
    let mut bench = Bench::new(3, 1_000_000);
    bench.plan.on_error = OnError::Skip;
    bench.assert_complete(&bench.call().await);
    assert_eq!(bench.world().batches, [(0, 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_second_process_waits_for_what_the_first_one_follows() {
    let bench = Bench::new(30, 10);
    let first = bench.bridge();
    run(&first, &bench.order(), 10).await.unwrap();
    let facts = run(&bench.bridge(), &bench.order(), 10).await.unwrap();
    assert_eq!(facts.state, "running");
    assert!(facts.job_id.is_some());
    let facts = follow(&bench.bridge(), 60).await.unwrap();
    bench.assert_complete(&facts);
    bench.assert_begun_again(&[]);
    let forget = Order {
        restart: true,
        ..Order::resume(name())
    };
    run(&first, &forget, 10).await.unwrap();
    let error = run(&bench.bridge(), &forget, 10).await.unwrap_err();
    assert_eq!(error.code(), "busy");
}

#[tokio::test(start_paused = true)]
async fn two_calls_of_one_process_wait_for_the_same_operation() {
    let bench = Bench::new(10, 4);
    let (bridge, order) = (bench.bridge(), bench.order());
    let (one, other) = tokio::join!(run(&bridge, &order, 45), run(&bridge, &order, 45));
    for facts in [one, other] {
        bench.assert_complete(&facts.unwrap());
    }
    bench.assert_begun_again(&[]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_started_for_a_name_that_was_interrupted_or_lost_before_this_process() {
    for strike in [
        Strike::SessionRestarted,
        Strike::MachineReplaced,
        Strike::ExecutorRestarts,
    ] {
        let bench = Bench::new(30, 10);
        bench.call_within(secs(10)).await;
        bench.world().strike(strike);
        let bridge = bench.bridge();
        bridge.catch_up();
        sleep(secs(600)).await;
        assert_eq!(bench.world().accepted.len(), 1, "{strike:?}");
        let facts = run(&bridge, &Order::resume(name()), 60).await.unwrap();
        bench.assert_complete(&facts);
    }
}

#[tokio::test(start_paused = true)]
async fn a_kernel_that_dies_with_nobody_calling_costs_a_setup() {
    let bench = Bench::new(60, 10);
    let bridge = bench.bridge();
    run(&bridge, &bench.order(), 10).await.unwrap();
    let strike = (When::Within(40), Strike::KernelDies);
    bench.world().strikes.push(strike);
    sleep(secs(600)).await;
    bench.assert_complete(&follow(&bridge, 45).await.unwrap());
    bench.assert_begun_again(&[(40, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_comes_while_a_process_catches_up_resumes_what_was_lost() {
    for strike in [Strike::MachineReplaced, Strike::ExecutorRestarts] {
        let bench = Bench::new(30, 10);
        bench.call_within(secs(10)).await;
        bench.world().strike(strike);
        let bridge = bench.bridge();
        bridge.catch_up();
        let facts = run(&bridge, &Order::resume(name()), 60).await.unwrap();
        bench.assert_complete(&facts);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_started_on_a_machine_that_answers_later_and_does_not_know_the_job() {
    let bench = Bench::new(30, 10);
    bench.call_within(secs(10)).await;
    bench.world().strike(Strike::MachineReplaced);
    bench.world().is_down = true;
    let bridge = bench.bridge();
    bridge.catch_up();
    sleep(secs(300)).await;
    bench.world().is_down = false;
    sleep(secs(600)).await;
    assert_eq!(bench.world().accepted.len(), 1);
    let facts = run(&bridge, &Order::resume(name()), 60).await.unwrap();
    bench.assert_complete(&facts);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_still_to_be_sent_is_stopped_and_never_sent() {
    let bench = Bench::new(6, 3);
    bench.world().is_down = true;
    let bridge = bench.bridge();
    let paused = run(&bridge, &bench.order(), 5).await.unwrap();
    assert_eq!(paused.completed, 0);
    let job = bench.checkpoint()["in_flight"]["job_id"].clone();
    let job: JobId = serde_json::from_value(job).unwrap();
    assert_eq!(bridge.stop_unsent(JobId::fresh()), None);
    assert_eq!(bridge.stop_unsent(job).as_deref(), Some("main"));
    bench.world().is_down = false;
    sleep(secs(600)).await;
    assert_eq!(bench.completed(), 0);
    bench.assert_begun_again(&[]);
    assert!(bench.world().batches.is_empty());
    assert_eq!(bridge.stop_unsent(job), None, "it has ended");
    // Once it is wanted again, the next stop is another one.
    let running = run(&bridge, &bench.order(), 1).await.unwrap();
    assert_eq!(running.state, "running");
    bench.world().interrupt(job).unwrap();
    sleep(secs(600)).await;
    assert!(bench.completed() < 6, "it stays stopped");
    let resumed = run(&bridge, &bench.order(), 45).await.unwrap();
    bench.assert_complete(&resumed);
}
