//! A chunked operation of three hundred iterations whose bridge, executor and kernel are killed again and again.

use std::fs;
use std::iter::Peekable;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};
use std::vec::IntoIter;

use serde_json::{Value, json};
use smart_colab::mcp::client::Answer;
use tokio::time::sleep;

use super::{Caller, PATIENCE, executor, so_many};
use crate::support::chance::Chance;
use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::process;

const ITERATIONS: u64 = 300;
const LARGEST_BATCH: u64 = 20;
const BUDGET: Duration = Duration::from_secs(10);

const SETUP: &str = "
import os, time
with open('pid.new', 'w') as file: file.write(str(os.getpid()))
os.replace('pid.new', 'pid')
def note(number):
    with open('done', 'a') as file: file.write(f'{number} {os.getpid()}\\n')
";
/// Some time passes before the note and some after it, so that a death can come at either.
const BODY: &str = "
time.sleep(0.01 * (i % 3))
note(i)
time.sleep(0.01 * (i % 4))
i * i
";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Bridge,
    Executor,
    Kernel,
}

/// Who dies, when so many iterations are noted, after so long.
#[derive(Debug)]
struct Blow {
    victim: Victim,
    noted: u64,
    after: Duration,
}

/// How many of each.
#[derive(Clone, Copy)]
struct Deaths {
    bridge: u64,
    executor: u64,
    kernel: u64,
}

impl Deaths {
    /// All of them, in the order of their coming. The operation cannot be over before.
    fn blows(self, chance: &mut Chance) -> Vec<Blow> {
        let mut blows = Vec::new();
        for (victim, count) in [
            (Victim::Bridge, self.bridge),
            (Victim::Executor, self.executor),
            (Victim::Kernel, self.kernel),
        ] {
            for _ in 0..count {
                let noted = chance.within(0..ITERATIONS - LARGEST_BATCH - 5);
                let after = chance.millis(0..40);
                blows.push(Blow {
                    victim,
                    noted,
                    after,
                });
            }
        }
        blows.sort_by_key(|blow| blow.noted);
        blows
    }
}

struct Rig {
    executor: Executor,
    home: Home,
}

impl Rig {
    async fn bridge(&self) -> Caller {
        Caller::start(&self.home, self.executor.address(), BUDGET).await
    }

    fn file(&self, name: &str) -> PathBuf {
        self.executor.root().join(name)
    }

    /// Of every note: the iteration, and the process that did it.
    fn notes(&self) -> Vec<(u64, u64)> {
        let text = fs::read_to_string(self.file("done")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let note = |line: &str| {
            let (number, process) = line.split_once(' ').unwrap();
            (number.parse().unwrap(), process.parse().unwrap())
        };
        whole.lines().map(note).collect()
    }

    /// Waits for the moment of `blow`; for ever when there is none.
    async fn due(&self, blow: Option<&Blow>) {
        let Some(blow) = blow else {
            return std::future::pending().await;
        };
        let is_due = || {
            // One that has gone already cannot be killed.
            let can_die = blow.victim != Victim::Kernel || self.file("pid").exists();
            let noted = self.notes().last().map_or(0, |(number, _)| number + 1);
            can_die && noted >= blow.noted
        };
        while !is_due() {
            sleep(Duration::from_millis(3)).await;
        }
        sleep(blow.after).await;
    }

    fn kill_executor(&mut self) {
        self.executor.kill();
        self.executor.restart();
        // The kernel that was left went before the new one served.
        let _ = fs::remove_file(self.file("pid"));
    }

    fn kill_kernel(&self) {
        let pid = fs::read_to_string(self.file("pid")).unwrap();
        fs::remove_file(self.file("pid")).unwrap();
        process::kill(pid.parse().unwrap());
    }

    /// Calls until nothing is left to do, and strikes meanwhile.
    async fn operate(&mut self, arguments: &Value, blows: Vec<Blow>) {
        let end = Instant::now() + PATIENCE;
        let mut blows = blows.into_iter().peekable();
        let mut caller = self.bridge().await;
        loop {
            let notes = self.notes();
            assert!(Instant::now() < end, "it never ends: {:?}", notes.last());
            let Some(answer) = self.call(&caller, arguments, &mut blows).await else {
                caller.client.kill().await;
                caller = self.bridge().await;
                continue;
            };
            let facts = &answer.facts;
            if answer.is_error {
                assert_eq!(facts["retryable"], true, "{facts}");
                assert_eq!(facts["can_continue"], true, "{facts}");
            } else if facts["can_continue"] == false {
                assert_eq!(facts["completed"], ITERATIONS, "{facts}");
                let to_come = blows.next();
                assert!(to_come.is_none(), "{to_come:?} is still to come");
                return;
            }
        }
    }

    /// One call, and the blows that are due before its answer; none when the bridge is to die before it.
    async fn call(
        &mut self,
        caller: &Caller,
        arguments: &Value,
        blows: &mut Peekable<IntoIter<Blow>>,
    ) -> Option<Answer> {
        let mut call = pin!(caller.call("run_chunked_operation", arguments.clone()));
        loop {
            tokio::select! {
                answer = &mut call => return Some(answer),
                () = self.due(blows.peek()) => {}
            }
            match blows.next().map(|blow| blow.victim) {
                Some(Victim::Executor) => self.kill_executor(),
                Some(Victim::Kernel) => self.kill_kernel(),
                Some(Victim::Bridge) | None => return None,
            }
        }
    }
}

async fn survive(mut chance: Chance, deaths: Deaths) {
    let mut rig = Rig {
        executor: executor().await,
        home: Home::new(),
    };
    let arguments = json!({
        "setup_code": SETUP,
        "loop_code": BODY,
        "n_iterations": ITERATIONS,
        "batch_size": chance.within(3..LARGEST_BATCH + 1),
        "checkpoint_name": "operation",
    });
    let blows = deaths.blows(&mut chance);
    rig.operate(&arguments, blows).await;

    let notes = rig.notes();
    let mut again = 0;
    for pair in notes.windows(2) {
        let ((before, one), (number, other)) = (pair[0], pair[1]);
        if number == before {
            // The one in flight: the last of a process that has died.
            assert_ne!(one, other, "{pair:?}");
            again += 1;
        } else {
            assert_eq!(number, before + 1, "{pair:?}");
        }
    }
    assert_eq!((notes[0].0, notes[notes.len() - 1].0), (0, ITERATIONS - 1));
    assert!(again <= deaths.executor + deaths.kernel, "{again} again");

    let results = rig
        .home
        .folder("checkpoints")
        .join("operation/results.jsonl");
    let results = fs::read_to_string(results).unwrap();
    let results: Vec<Value> = results
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let wanted: Vec<Value> = (0..ITERATIONS)
        .map(|i| json!({"i": i, "result": i * i}))
        .collect();
    assert_eq!(results, wanted);
}

#[tokio::test]
async fn bridges_that_are_killed_repeat_no_iteration_and_skip_none() {
    let deaths = Deaths {
        bridge: so_many(6, 20),
        executor: 0,
        kernel: 0,
    };
    for round in 0..so_many(1, 3) {
        survive(Chance::of("bridge deaths", round), deaths).await;
    }
}

#[tokio::test]
async fn whatever_is_killed_each_iteration_that_finished_stands_once() {
    let deaths = Deaths {
        bridge: so_many(6, 20),
        executor: so_many(3, 10),
        kernel: so_many(3, 10),
    };
    for round in 0..so_many(1, 3) {
        survive(Chance::of("deaths", round), deaths).await;
    }
}
