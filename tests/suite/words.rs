//! Every error and every step in the words of each face, and the command line's help. `INSTA_UPDATE=always` accepts changes.

mod checkpoints;
mod mirrors;
mod notebooks;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use smart_colab::base::advice::Step;
use smart_colab::base::causes::sentence;
use smart_colab::base::fault::Fault;
use smart_colab::cli;
use smart_colab::mcp;
use smart_colab::notebook::NotebookError;
use smart_colab::runtime::RuntimeError;
use smart_colab::runtime::error::Reach;
use smart_colab::transfer::TransferError;
use smart_colab::transfer::upload::UploadError;
use smart_colab::wire::problem::Problem;

use crate::support::home::Home;

fn text(text: &str) -> String {
    text.to_owned()
}

fn url() -> String {
    text("https://there")
}

fn path() -> PathBuf {
    PathBuf::from("/saved/a.bin")
}

fn disk() -> Arc<io::Error> {
    Arc::new(io::Error::other("the disk's own words"))
}

/// Renders an entry, once if the faces agree.
fn entry(heading: &str, word: impl Fn(fn(&Step) -> Cow<'static, str>) -> String) -> String {
    let (tools, commands) = (word(mcp::words::word), word(cli::words::word));
    if tools == commands {
        format!("{heading}\n    {tools}\n")
    } else {
        format!("{heading}\n    MCP: {tools}\n    CLI: {commands}\n")
    }
}

fn faults(all: &[&dyn Fault]) -> String {
    let mut page = String::new();
    for fault in all {
        let retry = if fault.is_retryable() {
            ", retryable"
        } else {
            ""
        };
        let heading = format!("{}{retry}: {}", fault.code(), sentence(fault));
        page += &entry(&heading, |word| fault.remedy().worded(word));
    }
    page
}

fn unreachable() -> RuntimeError {
    let source = "connection refused".into();
    RuntimeError::Unreachable {
        url: url(),
        source,
        remedy: Step::CheckExecutor,
    }
}

#[test]
fn faults_of_the_runtime_are_worded_by_each_face() {
    let source = || "reset".into();
    let retry_after = Some(Duration::from_secs(7));
    let problem = Problem {
        status: 503,
        code: text("busy"),
        detail: text("the executor's own sentence"),
        hint: text("Its own hint."),
        retryable: true,
        retry_after_sec: Some(7),
    };
    let page = faults(&[
        &RuntimeError::NotConfigured,
        &RuntimeError::Starting {
            what: "the local executor",
            doing: text("installing"),
            remedy: Step::AwaitEnvironment.into(),
        },
        &RuntimeError::StartFailed {
            what: "the local executor",
            detail: text("no Python"),
            remedy: "Install it.".into(),
        },
        &RuntimeError::EndedWithClient,
        &unreachable(),
        &RuntimeError::Broken {
            url: url(),
            source: source(),
            remedy: Step::CheckExecutor,
        },
        &RuntimeError::Broken {
            url: url(),
            source: source(),
            remedy: Step::CheckJupyter,
        },
        &RuntimeError::TimedOut { url: url() },
        &RuntimeError::TunnelOffline {
            url: url(),
            what: text("no agent"),
            reach: Reach::Nowhere,
            retry_after: None,
        },
        &RuntimeError::TunnelLimited {
            url: url(),
            sign: text("ERR_NGROK_734"),
            retry_after,
        },
        &RuntimeError::Cancelled,
        &RuntimeError::Unauthorized {
            url: url(),
            remedy: Step::RenewToken,
        },
        &RuntimeError::Unreachable {
            url: url(),
            source: source(),
            remedy: Step::CheckJupyter,
        },
        &RuntimeError::Unreachable {
            url: url(),
            source: source(),
            remedy: Step::StartJupyter,
        },
        &RuntimeError::Unauthorized {
            url: url(),
            remedy: Step::RenewJupyterToken,
        },
        &RuntimeError::Unauthorized {
            url: url(),
            remedy: Step::GiveJupyterToken,
        },
        &RuntimeError::incompatible(&url(), "no JSON"),
        &RuntimeError::Incompatible {
            url: url(),
            detail: text("an older one"),
            remedy: Step::UpdateExecutor.into(),
        },
        &RuntimeError::Stranger {
            url: url(),
            detail: text("a web page"),
            reach: Reach::Unknown,
        },
        &RuntimeError::Changed {
            path: text("/content/a"),
        },
        &RuntimeError::Replaced,
        &RuntimeError::Elsewhere {
            place: url(),
            now: text("local"),
        },
        &RuntimeError::UnknownJob,
        &RuntimeError::OtherClient { log: path() },
        &RuntimeError::UnknownKernel {
            id: text("0199"),
            known: vec![text("notebook:a.ipynb")],
        },
        &RuntimeError::UnknownKernel {
            id: text("0199"),
            known: Vec::new(),
        },
        &RuntimeError::UnknownSession {
            name: text("b"),
            known: vec![text("main")],
        },
        &RuntimeError::Refused(problem),
    ]);
    insta::assert_snapshot!(page);
}

#[test]
fn faults_of_downloads_and_exports_are_worded_by_each_face() {
    let (remote, name) = (|| text("/content/a"), || text("a/b"));
    let source = || Arc::new(unreachable());
    let space = || TransferError::DiskFull {
        path: path(),
        source: disk(),
    };
    let page = faults(&[
        &TransferError::OutsideSaveDir {
            name: name(),
            why: "it has ..",
        },
        &TransferError::NoRemotePath,
        &TransferError::UnusableName {
            name: name(),
            why: "it is empty",
        },
        &TransferError::NotAFile { remote: remote() },
        &TransferError::TooLarge {
            remote: remote(),
            bytes: 9,
            files: None,
            max_bytes: 8,
        },
        &TransferError::Runtime {
            remote: remote(),
            source: source(),
        },
        &TransferError::Damaged {
            remote: remote(),
            expected: text("A"),
            received: text("B"),
        },
        &space(),
        &TransferError::Disk {
            path: path(),
            source: disk(),
        },
        &TransferError::Cancelled { remote: remote() },
        &NotebookError::Empty {
            session: text("main"),
        },
        &NotebookError::Gone {
            session: text("main"),
            jobs: 3,
        },
        &NotebookError::Place(TransferError::UnusableName {
            name: name(),
            why: "it is empty",
        }),
        &NotebookError::Place(space()),
        &NotebookError::Runtime(unreachable()),
    ]);
    insta::assert_snapshot!(page);
}

#[test]
fn faults_of_uploads_are_worded_by_each_face() {
    let remote = || text("/content/a");
    let source = || Arc::new(unreachable());
    let page = faults(&[
        &UploadError::Outside {
            path: path(),
            allowed: vec![text("/saved")],
        },
        &UploadError::OwnState { path: path() },
        &UploadError::NotFound { path: path() },
        &UploadError::NotAFile { path: path() },
        &UploadError::Unreadable {
            path: path(),
            source: disk(),
        },
        &UploadError::Changed { path: path() },
        &UploadError::TooLarge {
            path: path(),
            size: 9,
            files: 1,
            most: 8,
        },
        &UploadError::TooMany {
            path: path(),
            most: 8,
        },
        &UploadError::Empty {
            which: "local_path",
        },
        &UploadError::IsAFile {
            remote: remote(),
            path: path(),
        },
        &UploadError::IsAFolder {
            remote: remote(),
            path: path(),
        },
        &UploadError::Runtime {
            remote: remote(),
            source: source(),
        },
        &UploadError::RemoteFull {
            detail: text("full"),
            free: Some(0.1),
        },
        &UploadError::Damaged { remote: remote() },
        &UploadError::Lost { remote: remote() },
        &UploadError::ById {
            cause: Box::new(UploadError::NotFound { path: path() }),
        },
        &UploadError::Cancelled { remote: remote() },
    ]);
    insta::assert_snapshot!(page);
}

/// Covers the steps' names; their sentences are in the runtime's errors.
#[test]
fn steps_are_named_by_each_face() {
    let mut page = String::new();
    for step in [
        Step::CheckConnection,
        Step::Connect,
        Step::Probe,
        Step::RunQuick,
        Step::RunLong,
        Step::SignIn,
        Step::AssignMachine,
        Step::Install { client: None },
        Step::Install {
            client: Some(text("cursor")),
        },
        Step::ListMachines,
        Step::RunChunked,
        Step::ListJobs,
        Step::Output { job: None },
        Step::output(7),
        Step::Interrupt { job: None },
        Step::interrupt(7),
        Step::RestartSession,
        Step::ListVariables,
        Step::ListFiles,
        Step::Upload,
        Step::Download,
        Step::ListCheckpoints,
        Step::GetCheckpoint,
        Step::DeleteCheckpoint,
        Step::OpenNotebook,
        Step::GetCells,
        Step::OpenTab,
    ] {
        page += &entry(&format!("{step:?}"), |word| word(&step).into_owned());
    }
    insta::assert_snapshot!(page);
}

/// Leaves out the settings, which have a page of their own.
#[test]
fn help_says_what_each_command_does() {
    let mut page = String::new();
    for arguments in [
        &["-h"] as &[_],
        &["run", "--help"],
        &["jobs", "--help"],
        &["logs", "--help"],
        &["stop", "--help"],
        &["get", "--help"],
        &["put", "--help"],
        &["notebook", "--help"],
        &["completions", "--help"],
        &["man", "--help"],
        &["install", "--help"],
        &["connect", "--help"],
        &["doctor", "--help"],
        &["ui", "--help"],
        &["try", "--help"],
    ] {
        let output = Home::new().program(&[]).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stdout)
            .unwrap()
            .replace(".exe", "");
        writeln!(page, "$ smart-colab {}\n{said}", arguments.join(" ")).unwrap();
    }
    insta::assert_snapshot!(page);
}
