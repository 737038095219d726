//! Code that runs longer than a call, and longer than its bridge.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use super::{Caller, MIN_BUDGET, PATIENCE, Reader, executor, is_long, scaled, until};
use crate::support::chance::Chance;
use crate::support::home::Home;

/// Prints a line every tenth of a second.
fn code(lines: u64) -> String {
    format!(
        "import time\nwith open('ran', 'a') as ran: ran.write('x')\n\
         for number in range({lines}):\n    print('line', number, flush=True)\n    time.sleep(0.1)"
    )
}

fn expected(lines: u64) -> String {
    (0..lines)
        .map(|number| format!("line {number}\n"))
        .collect()
}

#[tokio::test]
async fn code_that_runs_longer_than_a_call_is_followed_to_its_end() {
    let (executor, home) = (executor().await, Home::new());
    // Ten minutes with the usual budget, or long enough that a call that waited for the end would be late.
    let lines = scaled(240, 6_000);
    let budget = if is_long() {
        Duration::from_secs(45)
    } else {
        MIN_BUDGET
    };
    let caller = Caller::start(&home, executor.address(), budget).await;
    let started = Instant::now();
    let reader = caller.run(&code(lines), "main", 1_200).await;
    let reader = caller.finish(reader).await;
    reader.assert_read(&expected(lines));
    assert!(started.elapsed() > Duration::from_secs(lines / 10));
    assert_eq!(
        fs::read_to_string(executor.root().join("ran")).unwrap(),
        "x"
    );
}

#[tokio::test]
async fn a_job_whose_bridges_are_killed_in_turn_is_read_in_full_by_the_last() {
    for round in 0..scaled(1, 5) {
        outlive(Chance::of("bridges", round)).await;
    }
}

async fn outlive(mut chance: Chance) {
    const LINES: u64 = 120;
    let (executor, home) = (executor().await, Home::new());
    let start = || Caller::start(&home, executor.address(), MIN_BUDGET);
    let (code, ran) = (code(LINES), executor.root().join("ran"));
    // The first bridge dies before it has reported the job: its call waits longer than a kernel takes to start.
    let bridge = Caller::start(&home, executor.address(), PATIENCE).await;
    let it_runs = async {
        until("the code to begin", || ran.exists()).await;
        sleep(chance.millis(0..1_000)).await;
    };
    tokio::select! {
        _ = bridge.run(&code, "main", 600) => panic!("the call returned before its bridge was killed"),
        () = it_runs => {}
    }
    bridge.client.kill().await;

    let bridge = start().await;
    let mut reader = Reader::of(&only_job(&bridge).await);
    bridge.client.leave().await;
    let end = Instant::now() + PATIENCE;
    while reader.end.is_none() && reader.next < LINES * 2 / 3 {
        assert!(Instant::now() < end, "{} events in time", reader.next);
        let bridge = start().await;
        let life = sleep(chance.millis(0..2_500));
        tokio::select! {
            () = read_on(&bridge, &mut reader) => {}
            () = life => {}
        }
        bridge.client.kill().await;
    }
    let last = start().await;
    last.finish(Reader::of(&reader.job))
        .await
        .assert_read(&expected(LINES));
    last.finish(reader).await.assert_read(&expected(LINES));
    assert_eq!(fs::read_to_string(ran).unwrap(), "x");
}

/// Reads in short calls, so that some are answered and one is cut off.
async fn read_on(bridge: &Caller, reader: &mut Reader) {
    while reader.end.is_none() {
        reader.read_page(bridge, Some(1)).await;
    }
}

/// Finds the one running job, as a new conversation would.
async fn only_job(bridge: &Caller) -> String {
    let listed = bridge.call("list_jobs", json!({"state": "running"})).await;
    let lines: Vec<&str> = listed.text.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    lines[1].split('\t').next().unwrap().to_owned()
}
