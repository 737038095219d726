//! Two clients of one computer, each with a `local` executor of its own: what one was sent, the other finds.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::next_steps::asleep;
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

/// Its rows in a list, the one row that there is.
fn row(bridge: &mut Bridge, id: &str) -> Value {
    let list = bridge.call("list_jobs", json!({}));
    let rows = list.facts["jobs"].as_array().unwrap().iter();
    let mut rows = rows.filter(|row| row["job_id"] == id);
    let row = rows.next().unwrap().clone();
    assert!(rows.next().is_none(), "{}", list.facts);
    row
}

/// Calls again while the other client's executor is still ending.
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
fn code_of_another_client_is_followed_there_and_read_here_when_that_is_closed() {
    let home = Home::new();
    let mut first = local(&home);
    let id = asleep(&mut first, "main").fact("job_id").to_owned();
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
    answer.refused("kernel_died");
    assert!(
        answer.fact("error").contains("ends with its client"),
        "{}",
        answer.facts
    );
    assert_eq!(answer.text, "asleep\n");
    let row = row(&mut second, &id);
    assert_eq!(row["state"], "lost");
    assert!(row["finished_at"].is_string(), "{row}");
}

#[test]
fn what_has_ended_in_a_client_that_lives_is_read_in_the_other_one() {
    let home = Home::new();
    let (mut first, mut second) = (local(&home), local(&home));
    let run = first.call("run_code_quick", json!({"code": "print('done')"}));
    let id = run.fact("job_id").to_owned();
    let answer = output(&mut second, &id);
    answer.succeeded();
    assert_eq!(answer.text, "done\n");
    assert_eq!(row(&mut second, &id)["state"], "succeeded");
}

/// An operation is begun in one client, which goes in its only batch, and goes on in one that was open before.
fn no_iteration_runs_twice(goes: impl FnOnce(Bridge)) {
    let home = Home::new();
    let mut stays = local(&home);
    let file = home.folder("iterations.txt");
    let body = format!(
        "with open({:?}, 'a') as file:\n    print(i, file=file)\nassert ready\ntime.sleep(0.2)",
        file.display().to_string()
    );
    let plan = json!({
        "setup_code": "import time\nready = True", "loop_code": body, "n_iterations": ITERATIONS, "batch_size": ITERATIONS,
        "checkpoint_name": "handed",
    });
    let mut leaves = local(&home);
    leaves.begin_call("run_chunked_operation", plan.clone());
    let ran = || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let numbers = text.lines().map(|line| line.parse::<u64>().unwrap());
        numbers.collect::<Vec<_>>()
    };
    let end = Instant::now() + PATIENCE;
    while ran().len() < 6 {
        assert!(Instant::now() < end, "it does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    goes(leaves);

    loop {
        let answer = once_ended(|| stays.call("run_chunked_operation", plan.clone()));
        if answer.facts["completed"] == ITERATIONS {
            break;
        }
        assert!(Instant::now() < end + PATIENCE, "{}", answer.facts);
    }
    let mut finished = ran();
    // The one that was cut off in its middle begins again.
    finished.dedup();
    assert_eq!(finished, (0..ITERATIONS).collect::<Vec<_>>());
    assert!(ran().len() <= finished.len() + 1, "{:?}", ran());
}

#[test]
fn an_operation_of_a_client_that_is_closed_goes_on_in_another() {
    no_iteration_runs_twice(|bridge| {
        bridge.leave();
    });
}

#[test]
fn an_operation_of_a_client_that_is_killed_goes_on_in_another() {
    no_iteration_runs_twice(drop);
}
