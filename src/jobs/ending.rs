//! Why a job ended without success, and what to do about it.

use std::borrow::Cow;

use super::death;
use crate::base::advice::{Advice, Step};
use crate::wire::event::PythonError;
use crate::wire::job::Job;
use crate::wire::state::Reason;

/// What becomes of a Python process whose own code ends it, however the job ended.
pub(crate) const EXITED: &str = "the code called exit(), after which nothing more of its cell runs, or stopped its event loop: the Python process ended, and all variables are gone";

/// Whether the job's own code ended its Python process.
pub(crate) fn has_exited(job: &Job) -> bool {
    use Reason::{Exited, Interrupted, PythonError};
    job.variables_lost && matches!(job.reason, Some(Exited | Interrupted | PythonError))
}

/// Code, sentence and advice for an end that is not success.
pub(crate) fn explain(reason: Reason, job: &Job) -> (&'static str, Cow<'static, str>, Advice) {
    let (code, sentence, advice) = match reason {
        Reason::PythonError => (
            "python_error",
            "the code raised an exception",
            "Read the traceback above.".into(),
        ),
        Reason::KernelDied if job.started_at.is_none() => (
            "kernel_died",
            "no Python process could be started, so none of the code ran",
            "Do what the message above says, then send the code again.".into(),
        ),
        Reason::KernelDied => return death::explain(job.kernel_exit.as_ref()),
        Reason::Timeout if job.variables_lost => (
            "timed_out",
            "the code ran out of its time, did not stop when interrupted, and its Python process was ended",
            Advice::from("All variables are gone. Run the setup again, and give ")
                + Step::RunLong
                + " a larger timeout_sec.",
        ),
        Reason::Timeout => (
            "timed_out",
            "the code ran out of its time and was interrupted; variables are kept",
            Advice::from("Give ") + Step::RunLong + " a larger timeout_sec, or do less at a time.",
        ),
        Reason::SessionRestarted | Reason::SessionDeleted | Reason::Interrupted
            if job.started_at.is_none() =>
        {
            (
                "cancelled",
                "the code was taken out of its session's queue before it began: none of it ran",
                "Send it again when it is wanted. After a restart of the session its variables are gone: run the setup first.".into(),
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
            "Run it again when it is wanted.".into(),
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
            "the executor was stopped while the code ran or waited (with `local` it ends with its client); what the code had printed is above",
            "All variables are gone. Run the setup and the code again; keep the client open until `local` code has ended.".into(),
        ),
        Reason::ExecutorRestarted => (
            "kernel_died",
            "the executor was killed, or its machine restarted, while the code ran or waited; what the code had printed is above",
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
            "Delete files there, then run the code again.".into(),
        ),
        Reason::Exited => (
            "python_error",
            EXITED,
            "The next call starts a fresh one. Take the exit out of the code, and run the setup again.".into(),
        ),
        Reason::Unknown => (
            "kernel_died",
            "the code did not finish",
            Advice::from("Check the runtime with ") + Step::CheckConnection + ", then run it again.",
        ),
    };
    (code, sentence.into(), advice)
}

/// What to do about an exception of the user's code, beside reading its traceback.
pub(crate) fn advise(error: &PythonError) -> Advice {
    let text = match error.ename.as_str() {
        "StdinNotImplementedError" => advise_unanswered(error),
        "SystemExit" if is_clean_exit(error) => {
            "The exit stopped only this cell, what stands after it did not run: the session goes on and its variables are kept. Leave it out where more code of the cell is to run."
        }
        "SystemExit" => {
            "The exit stopped only this cell, what stands after it did not run: the session goes on and its variables are kept. What was printed, and the exit's code or message, \
             say why the program gave up: mend that and run it again."
        }
        "ModuleNotFoundError" => {
            "If it is a package that is missing there, install it by code (%pip install NAME; a package's name can differ from its module's), then \
             run this again."
        }
        "FileNotFoundError" => {
            return Advice::from("The code sees the runtime's own files: ")
                + Step::ListFiles
                + " shows them, "
                + Step::Upload
                + " brings one from this computer. Mend the path, or install the program that is missing, and run it again.";
        }
        "NameError" => {
            return Advice::from(Step::ListVariables)
                + " shows what this session holds; a new kernel and every other session begin without variables. Run the code that makes it, or \
                   mend the name.";
        }
        "MemoryError" => {
            return Advice::from(
                "There is too little memory for it: del what is not needed any more, or take less data at a time; ",
            ) + Step::Probe
                + " shows what there is.";
        }
        "RuntimeError" if is_in_event_loop(error) => {
            "A cell runs inside an event loop: write `await main()` in place of `asyncio.run(main())` or `loop.run_until_complete(main())`."
        }
        _ if is_gpu_full(error) => {
            return Advice::from(
                "The accelerator's memory is full: del what is not needed any more and empty the framework's cache by code (PyTorch: \
                 torch.cuda.empty_cache()), or take smaller batches. What JAX and TensorFlow hold is free after ",
            ) + Step::RestartSession
                + " alone, which ends all variables.";
        }
        _ if is_gpu_lost(error) => {
            return Advice::from("After this the GPU is of no use to this Python process: call ")
                + Step::RestartSession
                + ", run the setup again, then the mended code. With CUDA_LAUNCH_BLOCKING=1 set before the first use of the GPU the traceback \
                   shows the right line.";
        }
        _ => "Read the traceback above, mend the code and run it again.",
    };
    text.into()
}

/// For code that waits for a person's answer: `input()`, `getpass()`, a debugger's prompt.
fn advise_unanswered(error: &PythonError) -> &'static str {
    let is_debugger = error.traceback.iter().any(|part| part.contains("cmdloop"));
    if is_debugger {
        "Nobody can type into a debugger here. Take set_trace() or %debug out (%pdb off, where %pdb is on) and run it again; print what is of \
         interest, %tb shows the last exception's traceback."
    } else if error.headline().starts_with("getpass") {
        "Nobody can answer getpass() here, and a password does not belong into the code. Ask the user to keep it where the code runs (a file, an \
         environment variable, Colab's Secrets), read it from there by code and run it again."
    } else {
        "Nobody can answer input() here: put the value into the code and run it again."
    }
}

/// `sys.exit()`, `sys.exit(0)` and their kin: the program was done.
fn is_clean_exit(error: &PythonError) -> bool {
    matches!(error.headline(), "" | "0" | "None" | "False")
}

/// What the driver says when a process's context on the GPU is broken until the process ends.
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

/// Whether nothing more runs on the GPU in this Python process.
pub(crate) fn is_gpu_lost(error: &PythonError) -> bool {
    // What follows is advice, which speaks of device-side assertions every time.
    let said = error.headline();
    said.starts_with("CUDA error") && LOST_CONTEXT.iter().any(|sign| said.contains(sign))
}

/// Whether the machine's or the GPU's memory was too small for it.
pub(crate) fn is_memory_short(error: &PythonError) -> bool {
    error.ename == "MemoryError" || is_gpu_full(error)
}

/// As PyTorch, JAX, CuPy and TensorFlow say it.
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

/// What `asyncio.run` and `loop.run_until_complete` say in a cell.
fn is_in_event_loop(error: &PythonError) -> bool {
    ["running event loop", "event loop is already running"]
        .iter()
        .any(|sign| error.evalue.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::advise;
    use crate::wire::event::PythonError;

    #[test]
    fn an_exception_is_told_with_what_helps_against_it() {
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
            let error = PythonError {
                ename: ename.to_owned(),
                evalue: evalue.to_owned(),
                traceback: Vec::new(),
            };
            assert!(
                format!("{:?}", advise(&error)).contains(advice),
                "{ename}: {evalue}"
            );
        }
    }

    #[test]
    fn code_that_waits_for_an_answer_is_advised_by_what_asks() {
        let stack = "File cmd.py:126, in Cmd.cmdloop(self, intro)";
        for (said, traceback, wanted, unwanted) in [
            (
                "raw_input was called, but …",
                "cell",
                "answer input()",
                "debugger",
            ),
            (
                "getpass was called, but …",
                "cell",
                "answer getpass()",
                "into the code and",
            ),
            ("raw_input was called, but …", stack, "debugger", "input()"),
        ] {
            let error = PythonError {
                ename: "StdinNotImplementedError".to_owned(),
                evalue: said.to_owned(),
                traceback: vec![traceback.to_owned()],
            };
            let advice = format!("{:?}", advise(&error));
            assert!(advice.contains(wanted), "{advice}");
            assert!(!advice.contains(unwanted), "{advice}");
        }
    }

    #[test]
    fn an_exit_is_known_to_stop_its_cell_alone() {
        for (said, is_fault) in [
            ("", false),
            ("0", false),
            ("None", false),
            ("1", true),
            ("no data", true),
        ] {
            let error = PythonError {
                ename: "SystemExit".to_owned(),
                evalue: said.to_owned(),
                traceback: Vec::new(),
            };
            let advice = format!("{:?}", advise(&error));
            assert!(advice.contains("variables are kept"), "{advice}");
            assert_eq!(advice.contains("mend"), is_fault, "{said}: {advice}");
        }
    }
}
