//! Explains why a kernel's process ended while code ran, and what to do about it.

use std::borrow::Cow;

use crate::base::advice::{Advice, Step};
use crate::wire::job::KernelExit;

/// Signals by which the system ends a process after a fault in its native code.
const NATIVE_CRASHES: [&str; 7] = [
    "SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS",
];
/// On Windows, exit codes from here on are exceptions such as an access violation (0xC0000005).
const FIRST_WINDOWS_EXCEPTION: i64 = 0xC000_0000;

/// Completed by the step that shows how much memory there is.
const OUT_OF_MEMORY: &str = "Process less data at a time; ";
const PERHAPS_MEMORY: &str = "If memory was short, process less data at a time.";
const NATIVE_CRASH: &str = "A library's native code crashed, most likely in the last call that the code made: run the code in smaller steps, after \
    `import faulthandler; faulthandler.enable()`, to see which. Check that the versions of the packages fit each other and the machine.";
const SHORT_OF_SHARED_MEMORY: &str = "Often /dev/shm is full (fewer worker processes need less of it), or a mapped file was truncated while in use. \
    Otherwise a library's native code crashed in the last call: `import faulthandler; faulthandler.enable()` shows where; check the packages' versions.";
const ENDED_ITSELF: &str = "The code, or a library that it called, ended the process (os._exit() does that) or replaced it with another program (os.exec*()): \
    remove that call, and start programs with subprocess.";
const ORPHANED: &str = "The other sessions have lost their variables, too. Something outside of this code killed it; new sessions start without it.";
const ENDED_BY_SIGNAL: &str = "Something sent that signal on purpose: the code itself, another program, or the machine's shutdown.";

/// The error's code, sentence and advice for a kernel that died.
pub(super) fn explain(exit: Option<&KernelExit>) -> (&'static str, Cow<'static, str>, Advice) {
    let advice = Advice::from("All variables are gone: run the setup again.").then(advise(exit));
    ("kernel_died", causes(exit).0, advice)
}

/// The same for code whose reply is lost, where no executor runs.
pub(super) fn reply_missing() -> (&'static str, Cow<'static, str>, Advice) {
    let sentence = "the connection broke while the code ran, and the kernel's reply is lost: the code was sent once, and has run wholly, in part or not at all";
    let advice = "It is not sent again by itself. Look at its effects (variables, files) before you send it again.";
    ("reply_missing", sentence.into(), advice.into())
}

/// Advises how to keep it from happening again.
pub(crate) fn advise(exit: Option<&KernelExit>) -> Advice {
    match causes(exit).1 {
        OUT_OF_MEMORY => {
            Advice::from(OUT_OF_MEMORY) + Step::Probe + " shows how much memory there is."
        }
        advice => advice.into(),
    }
}

/// Whether the same code may succeed when run again: something other than the code and its use of memory may have ended the process.
pub(crate) fn may_succeed_again(exit: Option<&KernelExit>) -> bool {
    exit.is_none_or(|exit| !exit.out_of_memory)
        && [PERHAPS_MEMORY, ORPHANED, ENDED_BY_SIGNAL].contains(&causes(exit).1)
}

fn causes(exit: Option<&KernelExit>) -> (Cow<'static, str>, &'static str) {
    let signal = exit.and_then(|exit| exit.signal.as_deref());
    let code = exit.and_then(|exit| exit.code);
    let by = |how: &str| format!("the Python process {how} while the code ran").into();
    match (signal, code) {
        _ if exit.is_some_and(|exit| exit.out_of_memory) => {
            let how = signal.map_or(String::new(), |signal| format!(" ({signal})"));
            let sentence = format!(
                "the Python process was killed while the code ran{how}, probably out of memory"
            );
            (sentence.into(), OUT_OF_MEMORY)
        }
        _ if exit.is_some_and(|exit| exit.orphaned) => (
            "the process from which all sessions' Python processes are forked was killed while the code ran, and they ended with it"
                .into(),
            ORPHANED,
        ),
        (Some("SIGBUS"), _) => (
            by("crashed in native code, ended by SIGBUS,"),
            SHORT_OF_SHARED_MEMORY,
        ),
        (Some(signal), _) if NATIVE_CRASHES.contains(&signal) => (
            by(&format!("crashed in native code, ended by {signal},")),
            NATIVE_CRASH,
        ),
        // The out-of-memory killer sends it too.
        (Some("SIGKILL"), _) => (by("was ended by SIGKILL"), PERHAPS_MEMORY),
        (Some(signal), _) => (by(&format!("was ended by {signal}")), ENDED_BY_SIGNAL),
        (None, Some(code)) if code >= FIRST_WINDOWS_EXCEPTION => (
            by(&format!("crashed in native code, with {code:#X},")),
            NATIVE_CRASH,
        ),
        (None, Some(code)) => (
            by(&format!("ended itself with exit code {code}")),
            ENDED_ITSELF,
        ),
        (None, None) => (
            "the Python process ended while the code ran (often for lack of memory)".into(),
            PERHAPS_MEMORY,
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::explain;

    fn explained(exit: &Value) -> String {
        let exit = serde_json::from_value::<Option<_>>(exit.clone()).unwrap();
        let (code, sentence, advice) = explain(exit.as_ref());
        assert_eq!(code, "kernel_died");
        let advice = advice.worded(|step| format!("{step:?}").into());
        assert!(advice.contains("variables are gone"));
        format!("{sentence}. {advice}")
    }

    #[test]
    fn a_death_is_explained_by_its_signal_and_exit_code() {
        for (exit, said) in [
            (
                json!({"signal": "SIGKILL", "code": null, "out_of_memory": true}),
                "(SIGKILL), probably out of memory",
            ),
            (
                json!({"signal": null, "code": null, "out_of_memory": true}),
                "ran, probably out of memory",
            ),
            (
                json!({"signal": "SIGKILL", "code": null}),
                "If memory was short",
            ),
            (
                json!({"signal": null, "code": null, "orphaned": true}),
                "ended with it. All variables",
            ),
            (json!({"signal": "SIGTERM", "code": null}), "on purpose"),
            (json!({"signal": "SIGINT", "code": null}), "on purpose"),
            (json!({"signal": "SIGBUS", "code": null}), "/dev/shm"),
            (json!({"signal": null, "code": 3}), "exit code 3"),
            (json!({"signal": null, "code": 0}), "os._exit()"),
            (
                json!({"signal": null, "code": 0xC000_0005_i64}),
                "0xC0000005",
            ),
            (
                json!({"signal": null, "code": null}),
                "often for lack of memory",
            ),
            (Value::Null, "often for lack of memory"),
        ] {
            let explained = explained(&exit);
            assert!(explained.contains(said), "{exit}: {explained}");
        }
    }

    #[test]
    fn less_data_is_advised_only_where_memory_may_be_the_cause() {
        for signal in [
            "SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGTERM", "SIGINT",
        ] {
            let explained = explained(&json!({"signal": signal, "code": null}));
            assert!(explained.contains(signal), "{explained}");
            assert!(!explained.contains("less data"), "{explained}");
            let is_crash = !["SIGTERM", "SIGINT"].contains(&signal);
            assert_eq!(explained.contains("faulthandler"), is_crash, "{explained}");
            assert_eq!(explained.contains("versions"), is_crash, "{explained}");
        }
        let left = explained(&json!({"signal": null, "code": 0}));
        assert!(!left.contains("memory"), "{left}");
    }
}
