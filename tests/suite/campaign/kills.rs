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

use super::{Caller, PATIENCE, executor, scaled};
use crate::support::chance::Chance;
use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::process;

const ITERATIONS: u64 = 300;
const MAX_BATCH: u64 = 20;
const BUDGET: Duration = Duration::from_secs(10);

const SETUP: &str = "
import os, time
with open('pid.new', 'w') as file: file.write(str(os.getpid()))
os.replace('pid.new', 'pid')
def note(number):
    with open('done', 'a') as file: file.write(f'{number} {os.getpid()}\\n')
";
/// Sleeps before and after the note, so that a kill can strike on either side of it.
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

/// KillCounts `victim` a time `after` so many iterations are noted.
#[derive(Debug)]
struct Kill {
    victim: Victim,
    noted: u64,
    after: Duration,
}

/// How often each process is killed.
#[derive(Clone, Copy)]
struct KillCounts {
    bridge: u64,
    executor: u64,
    kernel: u64,
}

impl KillCounts {
    /// Returns all kills in order, early enough that the operation cannot end before the last.
    fn schedule(self, chance: &mut Chance) -> Vec<Kill> {
        let mut kills = Vec::new();
        for (victim, count) in [
            (Victim::Bridge, self.bridge),
            (Victim::Executor, self.executor),
            (Victim::Kernel, self.kernel),
        ] {
            for _ in 0..count {
                let noted = chance.within(0..ITERATIONS - MAX_BATCH - 5);
                let after = chance.millis(0..40);
                kills.push(Kill {
                    victim,
                    noted,
                    after,
                });
            }
        }
        kills.sort_by_key(|kill| kill.noted);
        kills
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

    /// Returns every note as the iteration and the process id that ran it.
    fn notes(&self) -> Vec<(u64, u64)> {
        let text = fs::read_to_string(self.file("done")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let note = |line: &str| {
            let (number, process) = line.split_once(' ').unwrap();
            (number.parse().unwrap(), process.parse().unwrap())
        };
        whole.lines().map(note).collect()
    }

    /// Waits until `kill` is due; forever without one.
    async fn wait_until_due(&self, kill: Option<&Kill>) {
        let Some(kill) = kill else {
            return std::future::pending().await;
        };
        let is_due = || {
            // A kernel that has exited cannot be killed.
            let can_die = kill.victim != Victim::Kernel || self.file("pid").exists();
            let noted = self.notes().last().map_or(0, |(number, _)| number + 1);
            can_die && noted >= kill.noted
        };
        while !is_due() {
            sleep(Duration::from_millis(3)).await;
        }
        sleep(kill.after).await;
    }

    fn kill_executor(&mut self) {
        self.executor.kill();
        self.executor.restart();
        // The orphaned kernel ended before the new executor started to serve.
        let _ = fs::remove_file(self.file("pid"));
    }

    fn kill_kernel(&self) {
        let pid = fs::read_to_string(self.file("pid")).unwrap();
        fs::remove_file(self.file("pid")).unwrap();
        process::kill(pid.parse().unwrap());
    }

    /// Calls until the operation is complete, killing processes meanwhile.
    async fn operate(&mut self, arguments: &Value, kills: Vec<Kill>) {
        let end = Instant::now() + PATIENCE;
        let mut kills = kills.into_iter().peekable();
        let mut caller = self.bridge().await;
        loop {
            let notes = self.notes();
            assert!(
                Instant::now() < end,
                "the operation never completes: {:?}",
                notes.last()
            );
            let Some(answer) = self.call(&caller, arguments, &mut kills).await else {
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
                let to_come = kills.next();
                assert!(to_come.is_none(), "{to_come:?} did not strike");
                return;
            }
        }
    }

    /// Makes one call and the kills that are due before its answer; `None` when the bridge is to die before it.
    async fn call(
        &mut self,
        caller: &Caller,
        arguments: &Value,
        kills: &mut Peekable<IntoIter<Kill>>,
    ) -> Option<Answer> {
        let mut call = pin!(caller.call("run_chunked_operation", arguments.clone()));
        loop {
            tokio::select! {
                answer = &mut call => return Some(answer),
                () = self.wait_until_due(kills.peek()) => {}
            }
            match kills.next().map(|kill| kill.victim) {
                Some(Victim::Executor) => self.kill_executor(),
                Some(Victim::Kernel) => self.kill_kernel(),
                Some(Victim::Bridge) | None => return None,
            }
        }
    }
}

async fn survive(mut chance: Chance, counts: KillCounts) {
    let mut rig = Rig {
        executor: executor().await,
        home: Home::new(),
    };
    let arguments = json!({
        "setup_code": SETUP,
        "loop_code": BODY,
        "n_iterations": ITERATIONS,
        "batch_size": chance.within(3..MAX_BATCH + 1),
        "checkpoint_name": "operation",
    });
    let kills = counts.schedule(&mut chance);
    rig.operate(&arguments, kills).await;

    let notes = rig.notes();
    let mut again = 0;
    for pair in notes.windows(2) {
        let ((before, one), (number, other)) = (pair[0], pair[1]);
        if number == before {
            // Only the iteration in flight may run again: the last of a dead process.
            assert_ne!(one, other, "{pair:?}");
            again += 1;
        } else {
            assert_eq!(number, before + 1, "{pair:?}");
        }
    }
    assert_eq!((notes[0].0, notes[notes.len() - 1].0), (0, ITERATIONS - 1));
    assert!(again <= counts.executor + counts.kernel, "{again} again");

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
async fn killed_bridges_neither_repeat_nor_skip_an_iteration() {
    let counts = KillCounts {
        bridge: scaled(6, 20),
        executor: 0,
        kernel: 0,
    };
    for round in 0..scaled(1, 3) {
        survive(Chance::of("bridge kills", round), counts).await;
    }
}

#[tokio::test]
async fn every_finished_iteration_is_recorded_once_whatever_is_killed() {
    let counts = KillCounts {
        bridge: scaled(6, 20),
        executor: scaled(3, 10),
        kernel: scaled(3, 10),
    };
    for round in 0..scaled(1, 3) {
        survive(Chance::of("kills", round), counts).await;
    }
}
