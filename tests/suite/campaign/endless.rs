//! Code that never ends.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Caller, MARGIN, Reader, executor};
use crate::support::home::Home;

const TIMEOUT_SEC: u64 = 5;
/// The timeout, the grace period after the interrupt, and the time to end the process.
const MAX_RUN_SEC: f64 = 12.0;

/// Prints the processor seconds that all kernels and their children use in two seconds.
const MEASURE_CPU: &str = "
import os, time, psutil
def burnt():
    total = 0
    for process in psutil.Process(os.getppid()).children(recursive=True):
        try: total += sum(process.cpu_times()[:2])
        except psutil.Error: pass
    return total
before = burnt()
time.sleep(2)
print(burnt() - before)
";

#[tokio::test]
async fn code_that_never_ends_is_killed_in_time_and_leaves_the_processor_idle() {
    let (executor, home) = (executor().await, Home::new());
    let caller = Caller::start(&home, executor.address(), Duration::from_secs(30)).await;
    for session in ["python", "c", "watch"] {
        caller.quick("kept = 5", session).await;
    }
    for (session, code, keeps_variables) in [
        ("python", "while True: pass", true),
        // One call into C, which never checks for interrupts and never releases the GIL.
        ("c", "sum(range(10**12))", false),
    ] {
        let started = Instant::now();
        let arguments = json!({"code": code, "session": session, "timeout_sec": TIMEOUT_SEC});
        let answer = caller.call("run_code_long", arguments).await;
        let took = started.elapsed();
        let facts = &answer.facts;
        assert_eq!(facts["state"], "timed_out", "{facts}");
        assert_eq!(facts["code"], "timed_out", "{facts}");
        let ran = facts["execution_time_sec"].as_f64().unwrap();
        assert!(ran < MAX_RUN_SEC, "{facts}");
        assert!(
            took < Duration::from_secs_f64(MAX_RUN_SEC) + MARGIN,
            "{took:?}"
        );
        assert_eq!(facts["variables_lost"] != true, keeps_variables, "{facts}");

        let next = caller.quick("print('kept' in dir())", session).await;
        next.assert_read(if keeps_variables { "True\n" } else { "False\n" });
        if cfg!(unix) {
            let burnt: Reader = caller.quick(MEASURE_CPU, "watch").await;
            let burnt: f64 = burnt.text.trim().parse().unwrap();
            assert!(
                burnt < 1.0,
                "{session}: {burnt} s of processor time in two seconds"
            );
        }
    }
}
