//! `smart-colab run`: code, with its output as it comes.

use std::future::pending;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::attend::Wait;
use super::gather::Gathered;
use super::notebook_run;
use super::questions;
use super::script::as_script;
use super::terminal::Terminal;
use super::{Common, Desk, End, INTERRUPTED, UNREACHABLE, USAGE, exit_code, hint};
use crate::base::advice::Advice;
use crate::base::causes::sentence;
use crate::base::fault::Fault as _;
use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::cli::words;
use crate::connection::State;
use crate::jobs::collect::Tap;
use crate::jobs::ending::{EXITED, READ_TRACEBACK, has_exited};
use crate::jobs::live::Ran;
use crate::runtime::{RuntimeError, RuntimeResult};
use crate::wire::job::JobRequest;
use crate::wire::limits::MAX_TIMEOUT_SEC;
use crate::wire::session::is_name;

const MAIN: &str = "main";
/// For sending code that is not waited for; the first use of `local` is not among it.
const SEND_TIMEOUT: Duration = Duration::from_secs(120);

const EXAMPLES: &str = "\
Examples:
  smart-colab run train.py                     a script
  smart-colab run train.py -- --epochs 3       with arguments, in sys.argv
  smart-colab run -c 'df.describe()'           one expression, in the variables of earlier runs
  smart-colab run -c '!nvidia-smi'             a command of the machine's shell
  smart-colab run analysis.ipynb               all cells of a notebook
  git show HEAD:probe.py | smart-colab run -   code from another program
  smart-colab run train.py --detach            start it, then: smart-colab logs -f

A script finds its name in __file__ and sys.argv, as with `python FILE`. Only the file itself is
sent: copy modules and data that it needs with `smart-colab put` first. What the code prints to
stdout and stderr comes out there; pictures are kept in LOCAL_SAVE_DIR, and shown in kitty, Ghostty,
iTerm2 and WezTerm.

Each run of a notebook has a copy of its own on the runtime, and a session of its own, which ends
with it. Its cells run up to the first one that fails; the notebook with its outputs comes back into
LOCAL_SAVE_DIR, as FILE.run.ipynb. The copy stays on the runtime.

In a terminal, input() asks there; getpass() raises an error, as input() does without a terminal.

Ctrl-C interrupts the code, a second one leaves it running. The code is sent once: if the connection
breaks, the command waits for it and shows what is missing, and never sends the code again. With
`local`, code ends with its command, and each run has variables of its own.

Exit codes:
  0    the code has ended, or was started with --detach
  1    the code raised an exception; after sys.exit(N) it is N
  2    wrong usage, a missing file: nothing was sent
  124  the code exceeded --timeout
  125  the runtime cannot be reached, or was lost
  130  the code was interrupted, or left running";

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(in crate::cli) struct RunArgs {
    /// A Python script, a notebook (.ipynb), or - for code from stdin.
    #[arg(required_unless_present = "code", conflicts_with = "code")]
    file: Option<PathBuf>,
    /// Run this code, as in a notebook cell: the value of its last expression is shown.
    #[arg(short = 'c', value_name = "CODE", allow_hyphen_values = true)]
    code: Option<String>,
    /// The session, a kernel with variables of its own, which it keeps between runs [default: main; for a notebook, a new one that ends with the run].
    #[arg(long, value_name = "NAME", value_parser = session)]
    session: Option<String>,
    /// Interrupt the code after this time, or each cell of a notebook: seconds, or as 90s, 30m, 2h; at most 12h.
    #[arg(long, value_name = "TIME", default_value = "12h", value_parser = seconds)]
    timeout: u64,
    /// Print the job's id and leave the code running; not with a notebook, and not with `local`, where code ends with its command.
    #[arg(long)]
    detach: bool,
    /// Arguments of the code, in sys.argv.
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Parses a time limit into seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let parsed = text.parse::<u64>().ok().or_else(|| {
        let time = text.parse::<SignedDuration>().ok()?;
        u64::try_from(time.as_secs()).ok()
    });
    match parsed {
        Some(seconds @ 1..=MAX_TIMEOUT_SEC) => Ok(seconds),
        Some(_) => Err("it must be between 1 s and 12 h".to_owned()),
        None => Err("it is no time: give seconds, or as 90s, 30m, 2h".to_owned()),
    }
}

fn session(text: &str) -> Result<String, String> {
    match is_name(text) {
        true => Ok(text.to_owned()),
        false => Err("it must be 1 to 64 letters, digits, _ or -".to_owned()),
    }
}

/// Runs the code to its end.
pub(super) async fn run(args: RunArgs, desk: &Desk<'_>) -> Result<End, End> {
    if args.detach && desk.is_local {
        return Err(End::usage(
            "code on this machine ends with the command that runs it, so it cannot be detached",
            "Leave out --detach, and let your shell run the command in the background; or connect to a machine that runs on, with \
             `smart-colab connect`.",
        ));
    }
    let is_notebook = |path: &Path| {
        path.extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("ipynb"))
    };
    if let Some(path) = args.file.as_deref().filter(|path| is_notebook(path)) {
        if args.detach {
            return Err(End::usage(
                "a notebook cannot be detached: this command sends its cells one after the other",
                "Leave out --detach, and let your shell run the command in the background.",
            ));
        }
        if !args.arguments.is_empty() {
            return Err(End::usage(
                "a notebook takes no arguments",
                "Leave them out.",
            ));
        }
        return notebook_run::run(path, args.session, args.timeout, desk).await;
    }
    let code = source(args.file.as_deref(), args.code)?;
    if code.trim().is_empty() {
        return Err(End::usage("there is no code to run", "Nothing was sent."));
    }
    let request = JobRequest {
        code: as_script(code, args.file.as_deref(), &args.arguments)?,
        session: args.session.unwrap_or_else(|| MAIN.to_owned()),
        timeout_sec: args.timeout,
        iterations: None,
        kernel_id: None,
        folder: None,
        answers: questions::can_answer() && !desk.is_json && !args.detach,
    };
    match args.detach {
        true => detach(&request, desk).await,
        false => attend(request, desk).await,
    }
}

/// The code to run.
fn source(file: Option<&Path>, code: Option<String>) -> Result<String, End> {
    let Some(path) = file else {
        return Ok(code.unwrap_or_default());
    };
    let is_stdin = path == Path::new("-");
    let read = if is_stdin {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let shown = if is_stdin {
        "stdin".into()
    } else {
        path.to_string_lossy()
    };
    let bytes = read.map_err(|error| {
        let hint = match error.kind() == io::ErrorKind::NotFound {
            true => "Nothing was sent. Check the path: the file has to be on this computer.",
            false => "Nothing was sent. Give a Python file, or - for code from stdin.",
        };
        End::usage(format!("{shown} cannot be read: {error}"), hint)
    })?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned()),
        Err(_) => Err(End::usage(
            format!("{shown} is not UTF-8 text"),
            "Nothing was sent. Give a Python file in UTF-8.",
        )),
    }
}

/// Sends the code, and leaves it.
async fn detach(request: &JobRequest, desk: &Desk<'_>) -> Result<End, End> {
    let id = JobId::fresh();
    let deadline = tokio::time::Instant::now() + SEND_TIMEOUT;
    let caller = Caller::until(deadline).at_most(Duration::ZERO);
    let jobs = &desk.floors.jobs;
    let tap = Box::new(Gathered::default());
    let ran = jobs.run_live(id, request, tap, &caller).await;
    let ran = ran.map_err(|error| did_not_run(&error))?;
    if let Some(error) = &ran.trouble {
        return Err(lost(error, id, desk));
    }
    let facts = json!({"success": true, "job_id": id.to_string(), "state": ran.state(), "session": request.session});
    let mut end = End::text(id.to_string(), facts);
    end.said = desk.ways_back(id);
    Ok(end)
}

/// Runs the code in the foreground.
async fn attend(request: JobRequest, desk: &Desk<'_>) -> Result<End, End> {
    let id = JobId::fresh();
    let wait = Wait::for_job(id);
    let gathered = Gathered::default();
    let tap = tap(desk, &wait, &gathered);
    let work = {
        let (wait, jobs) = (wait.clone(), desk.floors.jobs.clone());
        async move {
            let run = wait.call(async |caller| jobs.run_live(id, &request, tap, caller).await);
            tokio::select! {
                ran = run => ran,
                () = questions::answer(wait.clone(), jobs.clone(), id) => pending().await,
            }
        }
    };
    let interrupt = || {
        let again = if desk.is_local {
            "ends it"
        } else {
            "leaves it running"
        };
        let what = match desk.floors.connection.state() {
            State::Lost { .. } => "the interrupt is sent when the runtime answers again",
            State::NotConfigured | State::Starting { .. } | State::Ready => "interrupting",
        };
        eprintln!("\nsmart-colab: {what}; Ctrl-C again {again}");
        desk.floors.jobs.interrupt_until(id, Wait::deadline());
    };
    let done = wait.attend(desk, work, interrupt).await;
    let done: RuntimeResult<Ran> = done.ok_or_else(End::broken)?;
    let ran = done.map_err(|error| did_not_run(&error))?;
    Ok(wait.with_unwritten(end(&ran, &wait, &gathered, desk)))
}

/// Where the output goes.
pub(super) fn tap(desk: &Desk<'_>, wait: &Wait, gathered: &Gathered) -> Box<dyn Tap> {
    match desk.is_json {
        true => Box::new(gathered.clone()),
        false => Box::new(Terminal::new(desk.env, wait.clone())),
    }
}

/// How code ended, or was left.
pub(super) fn end(ran: &Ran, wait: &Wait, gathered: &Gathered, desk: &Desk<'_>) -> End {
    let id = ran.id;
    let facts = gathered.facts(ran);
    if let Some(error) = &ran.trouble {
        return End {
            facts,
            ..lost(error, id, desk)
        };
    }
    let is_over = ran.state().is_some_and(|state| state.is_final());
    let (code, said) = if !is_over && wait.left.is_cancelled() {
        let what = match (&ran.job, desk.is_local) {
            (None, _) => {
                "left before the runtime had answered: whether the code was sent is not known"
            }
            (Some(_), true) => "left, and the code ends",
            (Some(_), false) => "left, and the code runs on",
        };
        let said = format!(
            "smart-colab: {what}. It is job {id}. {}",
            desk.ways_back(id)
        );
        (INTERRUPTED, said)
    } else {
        (exit_code(ran), said(ran, desk))
    };
    End {
        code,
        facts: with_exit(facts, code),
        text: String::new(),
        said,
    }
}

fn with_exit(mut facts: Value, code: u8) -> Value {
    facts["exit_code"] = code.into();
    facts["success"] = (code == 0).into();
    facts
}

/// Why code that has ended did not succeed; its traceback was shown.
fn said(ran: &Ran, desk: &Desk<'_>) -> String {
    // The next command has another process anyway.
    if ran.job.as_ref().is_some_and(has_exited) && !desk.is_local {
        return format!("smart-colab: {EXITED}");
    }
    let is_known = |advice: &Advice| *advice != READ_TRACEBACK.into();
    let is_exit = ran
        .error
        .as_ref()
        .is_some_and(|error| error.ename == "SystemExit");
    match ran.fault().filter(|_| !is_exit) {
        None => String::new(),
        Some(("python_error", _, advice)) if is_known(&advice) => {
            format!("smart-colab: {}", advice.worded(words::word))
        }
        Some(("python_error", ..)) => String::new(),
        Some((_, sentence, advice)) => {
            format!("smart-colab: {sentence}\n{}", advice.worded(words::word))
        }
    }
}

/// The code certainly did not start.
fn did_not_run(error: &RuntimeError) -> End {
    let (said, next) = if matches!(error, RuntimeError::Cancelled) {
        ("left before the code was sent".to_owned(), String::new())
    } else {
        let next = error.next_step().worded(words::word);
        (sentence(error), next)
    };
    let hint = format!("The code did not run. {next}");
    let code = match error.code() {
        "cancelled" => INTERRUPTED,
        "invalid_argument" => USAGE,
        _ => UNREACHABLE,
    };
    End::fault(code, error.code(), said, hint.trim_end())
}

/// The runtime is gone, and the code may run on.
fn lost(error: &RuntimeError, id: JobId, desk: &Desk<'_>) -> End {
    let hint = hint(error);
    let back = match error.is_not_found() {
        true => String::new(),
        false => format!(
            " The code is job {id}, and is not sent again. {}",
            desk.ways_back(id)
        ),
    };
    End::fault(
        UNREACHABLE,
        error.code(),
        sentence(error),
        &format!("{hint}{back}"),
    )
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn time_limits_are_seconds_or_have_units() {
        for (text, expected) in [
            ("90", Some(90)),
            ("90s", Some(90)),
            ("30m", Some(1800)),
            ("2h", Some(7200)),
            ("1h 30m", Some(5400)),
            ("12h", Some(43_200)),
            ("13h", None),
            ("0", None),
            ("-5", None),
            ("soon", None),
        ] {
            assert_eq!(seconds(text).ok(), expected, "{text}");
        }
    }
}
