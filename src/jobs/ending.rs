//! Explains why a job ended without success, and what to do about it.

use std::borrow::Cow;

use super::{death, unanswered};
use crate::base::advice::{Advice, Step};
use crate::wire::event::PythonError;
use crate::wire::job::Job;
use crate::wire::state::Reason;

/// Explains that the code ended its own Python process, however the job ended.
pub(crate) const EXITED: &str = "the code called exit(), which skips the rest of its cell, or stopped its event loop: the Python process ended, and all variables are gone";

/// The advice on an exception of which nothing more is known.
pub(crate) const READ_TRACEBACK: &str = "Read the traceback, fix the code and run it again.";

/// Whether the job's own code ended its Python process.
pub(crate) fn has_exited(job: &Job) -> bool {
    use Reason::{Exited, Interrupted, PythonError};
    job.variables_lost && matches!(job.reason, Some(Exited | Interrupted | PythonError))
}

/// The error's code, sentence and advice for a job that did not succeed.
pub(crate) fn explain(reason: Reason, job: &Job) -> (&'static str, Cow<'static, str>, Advice) {
    let (code, sentence, advice) = match reason {
        Reason::PythonError => (
            "python_error",
            "the code raised an exception",
            "Read the traceback.".into(),
        ),
        Reason::KernelDied if job.started_at.is_none() => (
            "kernel_died",
            "no Python process could be started, so none of the code ran",
            "Follow the message above, then send the code again.".into(),
        ),
        Reason::KernelDied => return death::explain(job.kernel_exit.as_ref()),
        Reason::Timeout if job.variables_lost => (
            "timed_out",
            "the code exceeded its timeout, did not stop when interrupted, and its Python process was ended",
            Advice::from("All variables are gone. Run the setup again, and give ")
                + Step::LongerRun
                + ".",
        ),
        Reason::Timeout => (
            "timed_out",
            "the code exceeded its timeout and was interrupted; variables are kept",
            Advice::from("Give ") + Step::LongerRun + ", or do less at a time.",
        ),
        Reason::SessionRestarted | Reason::SessionDeleted | Reason::Interrupted
            if job.started_at.is_none() =>
        {
            (
                "cancelled",
                "the code was removed from its session's queue before it started: none of it ran",
                "Send it again if it is still needed. After a session restart the variables are gone: run the setup first.".into(),
            )
        }
        Reason::Interrupted if job.variables_lost => (
            "cancelled",
            "the code was interrupted",
            "All variables are gone: run the setup again.".into(),
        ),
        Reason::Interrupted => (
            "cancelled",
            "the code was interrupted; variables are kept",
            "Run it again if it is still needed.".into(),
        ),
        Reason::SessionRestarted => (
            "cancelled",
            "the session was restarted while the code ran",
            "All variables are gone: run the setup again.".into(),
        ),
        Reason::SessionDeleted => (
            "cancelled",
            "the session was deleted while the code ran",
            "All variables are gone: run the setup again.".into(),
        ),
        Reason::ExecutorStopped => (
            "kernel_died",
            "the executor was stopped while the code was running or queued (with `local` it ends with its client), or the Jupyter Server was stopped or restarted; \
             what the code had printed is kept",
            "All variables are gone. Run the setup and the code again; keep the client (for `local`) or the Jupyter Server running until the code has ended."
                .into(),
        ),
        Reason::ExecutorRestarted => (
            "kernel_died",
            "the executor was killed, or its machine restarted, while the code was running or queued; what the code had printed is kept",
            "All variables are gone. Run the setup and the code again.".into(),
        ),
        Reason::KernelReplaced => (
            "kernel_died",
            "the kernel that the code was meant for is gone, so it did not run",
            "All variables are gone. Run the setup and the code again.".into(),
        ),
        Reason::DiskFull => (
            "disk_full",
            "the machine's disk is full, so the output could not be kept and the code was stopped",
            "Delete files on the machine, then run the code again.".into(),
        ),
        Reason::Exited => (
            "python_error",
            EXITED,
            "The next call starts a new one. Remove the exit from the code, and run the setup again.".into(),
        ),
        Reason::ReplyMissing => return death::reply_missing(),
        Reason::Unknown => (
            "kernel_died",
            "the code did not finish",
            Advice::from("Check the runtime with ") + Step::CheckConnection + ", then run it again.",
        ),
    };
    (code, sentence.into(), advice)
}

/// Advises on an exception of the user's code, beyond reading its traceback.
pub(crate) fn advise(error: &PythonError) -> Advice {
    if let Some(note) = module_note(error) {
        return format!("{note}, then run this again.").into();
    }
    let text = match error.ename.as_str() {
        "StdinNotImplementedError" => unanswered::advise(error),
        "SystemExit" if is_clean_exit(error) => {
            "The exit stopped only this cell, and the code after it did not run: the session and its variables are kept. Remove the exit if the rest of the cell should run."
        }
        "SystemExit" => {
            "The exit stopped only this cell, and the code after it did not run: the session and its variables are kept. The output, and the exit's code or message, \
             say why the program gave up: fix that and run it again."
        }
        "ModuleNotFoundError" => {
            "If a package is missing on the runtime, install it from code (%pip install NAME; a package's name can differ from its module's), then \
             run this again."
        }
        "FileNotFoundError" => {
            return Advice::from("The code sees the runtime's own files: ")
                + Step::ListFiles
                + " shows them, "
                + Step::Upload
                + " sends one from this computer. Fix the path, or install the missing program, and run the code again.";
        }
        "NameError" => {
            return Advice::from(Step::ListVariables)
                + " shows what this session holds; a new kernel and every other session start without variables. Run the code that defines the name, or \
                   fix it.";
        }
        "MemoryError" => {
            return Advice::from(
                "There is not enough memory: del what is no longer needed, or process less data at a time; ",
            ) + Step::Probe
                + " shows how much there is.";
        }
        "RuntimeError" if is_in_event_loop(error) => {
            "A cell runs inside an event loop: write `await main()` instead of `asyncio.run(main())` or `loop.run_until_complete(main())`."
        }
        _ if is_gpu_full(error) => {
            return Advice::from(
                "The accelerator's memory is full: del what is no longer needed and empty the framework's cache from code (PyTorch: \
                 torch.cuda.empty_cache()), or use smaller batches. Memory that JAX and TensorFlow hold is released only by ",
            ) + Step::RestartSession
                + ", which loses all variables.";
        }
        _ if is_gpu_lost(error) => {
            return Advice::from(
                "After this error the Python process can no longer use the GPU: call ",
            ) + Step::RestartSession
                + ", run the setup again, then the fixed code. With CUDA_LAUNCH_BLOCKING=1 set before the first use of the GPU the traceback \
                   shows the right line.";
        }
        _ => READ_TRACEBACK,
    };
    text.into()
}

/// The note that the executor adds to a traceback about the user's own modules: one that lies elsewhere, is hidden or has changed.
fn module_note(error: &PythonError) -> Option<&str> {
    let last = error.traceback.last()?;
    let note = last.strip_prefix('[')?.strip_suffix(']')?;
    let is_ours = note.ends_with(": rename it")
        || (note.contains(": run import ") && note.ends_with(" first"));
    is_ours.then_some(note)
}

/// Whether the program exited without failure, as `sys.exit()` and `sys.exit(0)` do.
fn is_clean_exit(error: &PythonError) -> bool {
    matches!(error.headline(), "" | "0" | "None" | "False")
}

/// Driver messages after which a process's GPU context is unusable until the process ends.
const LOST_CONTEXT: [&str; 8] = [
    "device-side assert",
    "illegal memory access",
    "illegal instruction",
    "misaligned address",
    "unspecified launch failure",
    "launch timed out",
    "uncorrectable ECC error",
    "hardware stack error",
];

/// Whether this Python process can no longer use the GPU.
pub(crate) fn is_gpu_lost(error: &PythonError) -> bool {
    // Only the headline: the advice after it mentions device-side assertions every time.
    let said = error.headline();
    said.starts_with("CUDA error") && LOST_CONTEXT.iter().any(|sign| said.contains(sign))
}

/// Whether the machine's or the GPU's memory was exhausted.
pub(crate) fn is_memory_short(error: &PythonError) -> bool {
    error.ename == "MemoryError" || is_gpu_full(error)
}

/// Recognizes the messages of PyTorch, JAX, CuPy and TensorFlow.
fn is_gpu_full(error: &PythonError) -> bool {
    const SIGNS: [&str; 4] = [
        "CUDA out of memory",
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED",
        "RESOURCE_EXHAUSTED",
    ];
    let names = ["OutOfMemoryError", "ResourceExhaustedError"];
    SIGNS.iter().any(|sign| error.headline().starts_with(sign))
        || names.contains(&error.ename.as_str())
}

/// Recognizes the errors of `asyncio.run` and `loop.run_until_complete` in a cell.
fn is_in_event_loop(error: &PythonError) -> bool {
    ["running event loop", "event loop is already running"]
        .iter()
        .any(|sign| error.evalue.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::advise;
    use crate::wire::event::PythonError;

    fn exception(ename: &str, evalue: &str, traceback: &[&str]) -> PythonError {
        PythonError {
            ename: ename.to_owned(),
            evalue: evalue.to_owned(),
            traceback: traceback.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn an_exception_comes_with_advice_for_its_cause() {
        for (ename, evalue, advice) in [
            ("ModuleNotFoundError", "No module named 'x'", "%pip install"),
            ("FileNotFoundError", "[Errno 2] …", "Upload"),
            ("NameError", "name 'x' is not defined", "ListVariables"),
            ("MemoryError", "", "less data"),
            (
                "RuntimeError",
                "asyncio.run() cannot be called from a running event loop",
                "await main()",
            ),
            (
                "RuntimeError",
                "This event loop is already running",
                "await main()",
            ),
            (
                "OutOfMemoryError",
                "CUDA out of memory. Tried to allocate 2.00 GiB.",
                "smaller batches",
            ),
            (
                "RuntimeError",
                "CUDA error: out of memory\nCUDA kernel errors …",
                "smaller batches",
            ),
            (
                "XlaRuntimeError",
                "RESOURCE_EXHAUSTED: Out of memory while …",
                "smaller batches",
            ),
            (
                "ResourceExhaustedError",
                "{{function_node …}} OOM when …",
                "smaller batches",
            ),
            (
                "AcceleratorError",
                "CUDA error: device-side assert triggered",
                "RestartSession",
            ),
            (
                "RuntimeError",
                "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
                "smaller batches",
            ),
            (
                "AcceleratorError",
                "CUDA error: invalid device ordinal\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.",
                "traceback",
            ),
            (
                "RuntimeError",
                "mat1 and mat2 shapes cannot be multiplied",
                "traceback",
            ),
        ] {
            let error = exception(ename, evalue, &[]);
            assert!(
                format!("{:?}", advise(&error)).contains(advice),
                "{ename}: {evalue}"
            );
        }
    }

    #[test]
    fn what_the_executor_knows_of_the_users_modules_comes_before_all_other_advice() {
        for (ename, last, wanted) in [
            (
                "ModuleNotFoundError",
                "[/content/src/a.py is not where Python looks: run import sys; sys.path.insert(0, '/content/src') first]",
                "sys.path.insert(0, '/content/src') first, then run this again.",
            ),
            (
                "ZeroDivisionError",
                "[/content/a.py changed after the import: run import importlib, a; importlib.reload(a) first]",
                "importlib.reload(a) first, then run this again.",
            ),
            (
                "AttributeError",
                "[/content/random.py is hidden by another module of that name: rename it]",
                "rename it, then run this again.",
            ),
            (
                "ModuleNotFoundError",
                "[No module named 'a']",
                "%pip install",
            ),
            ("ModuleNotFoundError", "No module named 'a'", "%pip install"),
        ] {
            let error = exception(ename, "No module named 'a'", &["---", last]);
            let advice = format!("{:?}", advise(&error));
            assert!(advice.contains(wanted), "{advice}");
            assert_eq!(
                advice.contains("%pip"),
                wanted == "%pip install",
                "{advice}"
            );
        }
    }

    #[test]
    fn an_exit_is_reported_as_stopping_only_its_cell() {
        for (said, is_fault) in [
            ("", false),
            ("0", false),
            ("None", false),
            ("1", true),
            ("no data", true),
        ] {
            let error = exception("SystemExit", said, &[]);
            let advice = format!("{:?}", advise(&error));
            assert!(advice.contains("variables are kept"), "{advice}");
            assert_eq!(advice.contains("fix"), is_fault, "{said}: {advice}");
        }
    }
}
