//! Two clients on one computer, each with its own `local` executor: each finds the other's jobs.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::next_steps::start_sleeping;
use crate::support::home::Home;
use crate::support::python::python;
use crate::support::stdio::{Answer, Bridge};

const PATIENCE: Duration = Duration::from_secs(60);
const ITERATIONS: u64 = 24;

pub(crate) fn local(home: &Home) -> Bridge {
    let mut command = home.program(&[("SMART_COLAB_CALL_BUDGET_SEC", "5")]);
    command
        .env("COLAB_URL", "local")
        .env("SMART_COLAB_PYTHON", python());
    let mut bridge = Bridge::greeted(command);
    bridge.warm("main");
    bridge
}

fn output(bridge: &mut Bridge, id: &str) -> Answer {
    bridge.call("get_output", json!({"job_id": id, "wait_sec": 0}))
}

/// Lists jobs and returns the one row of this job.
fn row(bridge: &mut Bridge, id: &str) -> Value {
    let list = bridge.call("list_jobs", json!({}));
    let rows = list.rows().into_iter();
    let mut rows = rows.filter(|row| row["job_id"] == id);
    let row = rows.next().unwrap();
    assert!(rows.next().is_none(), "{}", list.facts);
    row
}

/// Repeats `call` while the other client's executor is still ending.
fn once_ended(mut call: impl FnMut() -> Answer) -> Answer {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = call();
        let may_run = answer.facts["error"]
            .as_str()
            .is_some_and(|error| error.contains("another client"));
        if !may_run {
            return answer;
        }
        assert!(Instant::now() < end, "{}", answer.facts);
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn another_clients_job_is_readable_once_that_client_is_closed() {
    let home = Home::new();
    let mut first = local(&home);
    let id = start_sleeping(&mut first, "main").fact("job_id").to_owned();
    let mut second = local(&home);
    let answer = output(&mut second, &id);
    answer.refused("not_found");
    for (name, said) in [
        ("error", "another client"),
        ("hint", "do not send it again"),
    ] {
        assert!(answer.fact(name).contains(said), "{}", answer.facts);
    }
    assert_eq!(row(&mut second, &id)["state"], "running");

    first.leave();
    let answer = once_ended(|| output(&mut second, &id));
    assert_eq!(answer.fact("code"), "kernel_died");
    assert!(
        answer.fact("error").contains("ends with its client"),
        "{}",
        answer.facts
    );
    assert_eq!(answer.text, "asleep\n");
    let row = row(&mut second, &id);
    assert_eq!(row["state"], "lost");
    assert!(row["source"].is_null(), "{row}");
}

#[test]
fn a_finished_job_of_a_running_client_is_readable_in_another() {
    let home = Home::new();
    let (mut first, mut second) = (local(&home), local(&home));
    let run = first.call("run_code_quick", json!({"code": "print('done')"}));
    let id = run.fact("job_id").to_owned();
    let answer = output(&mut second, &id);
    answer.succeeded();
    assert_eq!(answer.text, "done\n");
    assert_eq!(row(&mut second, &id)["state"], "succeeded");
}

/// Begins an operation in one client, ends that client by `disconnect` during the only batch, and continues in another that is already open.
fn no_iteration_runs_twice(disconnect: impl FnOnce(Bridge)) {
    let home = Home::new();
    let mut second = local(&home);
    let file = home.folder("iterations.txt");
    let body = format!(
        "with open({:?}, 'a') as file:\n    print(i, file=file)\nassert ready\ntime.sleep(0.2)",
        file.display().to_string()
    );
    let plan = json!({
        "setup_code": "import time\nready = True", "loop_code": body, "n_iterations": ITERATIONS, "batch_size": ITERATIONS,
        "checkpoint_name": "handed",
    });
    let mut first = local(&home);
    first.begin_call("run_chunked_operation", plan.clone());
    let ran = || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let numbers = text.lines().map(|line| line.parse::<u64>().unwrap());
        numbers.collect::<Vec<_>>()
    };
    let end = Instant::now() + PATIENCE;
    while ran().len() < 6 {
        assert!(Instant::now() < end, "the operation does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    disconnect(first);

    loop {
        let answer = once_ended(|| second.call("run_chunked_operation", plan.clone()));
        if answer.facts["completed"] == ITERATIONS {
            break;
        }
        assert!(Instant::now() < end + PATIENCE, "{}", answer.facts);
    }
    let mut finished = ran();
    // The iteration that was cut off begins again.
    finished.dedup();
    assert_eq!(finished, (0..ITERATIONS).collect::<Vec<_>>());
    assert!(ran().len() <= finished.len() + 1, "{:?}", ran());
}

#[test]
fn an_operation_of_a_closed_client_continues_in_another() {
    no_iteration_runs_twice(|bridge| {
        bridge.leave();
    });
}

#[test]
fn an_operation_of_a_killed_client_continues_in_another() {
    no_iteration_runs_twice(drop);
}

#[test]
fn a_job_whose_records_were_removed_was_not_lost_with_its_machine() {
    let home = Home::new();
    let mut bridge = local(&home);
    let ran = bridge.call("run_code_quick", json!({"code": "kept = 1"}));
    let id = ran.fact("job_id").to_owned();
    let states = home.folder("data").join("executor/state");
    for state in fs::read_dir(states).unwrap() {
        let _ = fs::remove_dir_all(state.unwrap().path().join("jobs"));
    }
    let gone = output(&mut bridge, &id);
    gone.refused("not_found");
    assert!(
        gone.fact("error").contains("were removed"),
        "{}",
        gone.facts
    );
    let ran = bridge.call("run_code_quick", json!({"code": "print(kept)"}));
    assert_eq!(ran.text, "1\n", "{}", ran.facts);
}
