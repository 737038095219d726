//! Why a job ended without success, in the words that the model sees.

use std::borrow::Cow;

use crate::wire::event::PythonError;
use crate::wire::job::{Job, KernelExit};
use crate::wire::state::Reason;

/// Code, sentence and hint for an end that is not success.
pub(crate) fn explain(
    reason: Reason,
    job: &Job,
) -> (&'static str, Cow<'static, str>, &'static str) {
    let (code, sentence, hint) = match reason {
        Reason::PythonError => (
            "python_error",
            "the code raised an exception",
            "Read the traceback above.",
        ),
        Reason::KernelDied => return explain_death(job.kernel_exit.as_ref()),
        Reason::Timeout if job.variables_lost => (
            "timed_out",
            "the code ran out of its time, did not stop when interrupted, and its Python process was ended",
            "All variables are gone. Run the setup again, and give run_code_long a larger timeout_sec.",
        ),
        Reason::Timeout => (
            "timed_out",
            "the code ran out of its time and was interrupted; variables are kept",
            "Give run_code_long a larger timeout_sec, or do less at a time.",
        ),
        Reason::Interrupted => (
            "cancelled",
            "the code was interrupted; variables are kept",
            "Run it again when it is wanted.",
        ),
        Reason::SessionRestarted => (
            "cancelled",
            "the session was restarted while the code ran",
            "All variables are gone: run the setup again.",
        ),
        Reason::SessionDeleted => (
            "cancelled",
            "the session was deleted while the code ran",
            "All variables are gone: run the setup again.",
        ),
        Reason::ExecutorRestarted => (
            "kernel_died",
            "the executor was restarted while the code ran or waited; what it had printed is above",
            "All variables are gone. Run the setup and the code again.",
        ),
        Reason::KernelReplaced => (
            "kernel_died",
            "the kernel that the code was meant for is gone, so it did not run",
            "All variables are gone. Run the setup and the code again.",
        ),
        Reason::DiskFull => (
            "disk_full",
            "the machine's disk is full, so the output could not be kept and the code was stopped",
            "Delete files there, then run the code again.",
        ),
        Reason::Unknown => (
            "kernel_died",
            "the code did not finish",
            "Check the runtime with check_colab_connection, then run it again.",
        ),
    };
    (code, sentence.into(), hint)
}

/// The same for a kernel's process that ended under the code.
fn explain_death(exit: Option<&KernelExit>) -> (&'static str, Cow<'static, str>, &'static str) {
    let signal = exit.and_then(|exit| exit.signal.as_deref());
    let sentence: Cow<'_, str> = match (signal, exit) {
        (_, Some(exit)) if exit.out_of_memory => {
            let how = signal.map_or(String::new(), |signal| format!(" ({signal})"));
            let sentence = format!(
                "the Python process was killed while the code ran{how}, probably out of memory"
            );
            return (
                "kernel_died",
                sentence.into(),
                "All variables are gone. Run the setup again, with less data at a time; probe_colab_environment shows what memory there is.",
            );
        }
        (Some(signal), _) => {
            format!("the Python process was ended by {signal} while the code ran").into()
        }
        (
            None,
            Some(KernelExit {
                code: Some(code), ..
            }),
        ) => format!("the Python process ended itself with exit code {code} while the code ran")
            .into(),
        (None, _) => {
            "the Python process ended while the code ran (often for lack of memory)".into()
        }
    };
    let hint = "All variables are gone. Run the setup again, with less data at a time if memory was short.";
    ("kernel_died", sentence, hint)
}

/// What to do about an exception of the user's code, beside reading its traceback.
pub(crate) fn advise(error: &PythonError) -> &'static str {
    match error.ename.as_str() {
        // Of `input()` and `getpass()`, in an ipykernel without a person beside it.
        "StdinNotImplementedError" => {
            "Nobody can answer input() here: put the value into the code and run it again."
        }
        "ModuleNotFoundError" => {
            "If it is a package that is missing there, install it by code (%pip install NAME; a package's name can differ from its module's), then \
             run this again."
        }
        "FileNotFoundError" => {
            "The code sees the runtime's own files: list_colab_files shows them, upload_to_colab brings one from this computer. Mend the path, or \
             install the program that is missing, and run it again."
        }
        "NameError" => {
            "list_colab_variables shows what this session holds; a new kernel and every other session begin without variables. Run the code that \
             makes it, or mend the name."
        }
        "MemoryError" => {
            "There is too little memory for it: del what is not needed any more, or take less data at a time; probe_colab_environment shows what \
             there is."
        }
        _ if is_gpu_full(error) => {
            "The accelerator's memory is full: del what is not needed any more and empty the framework's cache by code (PyTorch: \
             torch.cuda.empty_cache()), or take smaller batches. What JAX and TensorFlow hold is free after restart_session alone, which ends all \
             variables."
        }
        _ if is_gpu_lost(error) => {
            "After this the GPU is of no use to this Python process: call restart_session, run the setup again, then the mended code. With \
             CUDA_LAUNCH_BLOCKING=1 set before the first use of the GPU the traceback shows the right line."
        }
        _ => "Read the traceback above, mend the code and run it again.",
    }
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
    let said = error.evalue.lines().next().unwrap_or_default();
    said.starts_with("CUDA error") && LOST_CONTEXT.iter().any(|sign| said.contains(sign))
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
    SIGNS.iter().any(|sign| error.evalue.starts_with(sign)) || names.contains(&error.ename.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{advise, explain};
    use crate::base::ids::JobId;
    use crate::wire::event::PythonError;
    use crate::wire::job::Job;
    use crate::wire::state::Reason;

    fn died(exit: Value) -> String {
        let job: Job = serde_json::from_value(json!({
            "id": JobId::fresh(), "session": "main", "state": "failed", "reason": "kernel_died", "timeout_sec": 600, "created_at": "",
            "last_seq": 1, "log_bytes": 0, "kernel_exit": exit,
        }))
        .unwrap();
        let (code, sentence, hint) = explain(Reason::KernelDied, &job);
        assert_eq!(code, "kernel_died");
        assert!(hint.contains("variables are gone"));
        sentence.into_owned()
    }

    #[test]
    fn an_exception_is_told_with_what_helps_against_it() {
        for (ename, evalue, advice) in [
            ("ModuleNotFoundError", "No module named 'x'", "%pip install"),
            ("FileNotFoundError", "[Errno 2] …", "upload_to_colab"),
            (
                "NameError",
                "name 'x' is not defined",
                "list_colab_variables",
            ),
            ("MemoryError", "", "less data"),
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
                "restart_session",
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
            assert!(advise(&error).contains(advice), "{ename}: {evalue}");
        }
    }

    #[test]
    fn a_kernels_death_is_told_with_what_is_known_of_it() {
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
                json!({"signal": "SIGSEGV", "code": null, "out_of_memory": false}),
                "ended by SIGSEGV",
            ),
            (json!({"signal": null, "code": 3}), "exit code 3"),
            (
                json!({"signal": null, "code": null}),
                "often for lack of memory",
            ),
            (Value::Null, "often for lack of memory"),
        ] {
            let sentence = died(exit.clone());
            assert!(sentence.contains(said), "{exit}: {sentence}");
        }
    }
}
