//! `smart-colab colab selftest`: everything that needs a real account, step by step, as a report that has no secret in it. The machine is given back
//! whatever happens.

use std::fmt::Display;
use std::future::Future;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::not_passed::NotPassed;
use super::{Failure, Said};
use crate::base::fault::Fault;
use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::colab::{ColabError, Machine, Wanted};
use crate::connection::{Connection, State};
use crate::edge::env::SYSTEM;
use crate::edge::limits::Limits;
use crate::edge::settings::{Endpoint, Settings};
use crate::jobs::Jobs;
use crate::jobs::body::text_of;
use crate::jupyter::Server;
use crate::provision::colab::is_boot;
use crate::provision::remote::Remote;
use crate::shutdown;
use crate::transfer::MAX_BYTES;
use crate::transfer::download::{DownloadRequest, Downloads};
use crate::transfer::upload::{Allowed, Request, Uploads};
use crate::wire::job::JobRequest;

/// A new machine boots within minutes.
const BOOT_TIMEOUT: Duration = Duration::from_secs(240);
const STEP_TIMEOUT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Should this program be killed, whoever of us runs next ends the machine.
const MAX_HOURS: f64 = 1.0;
/// Tries to give the machine back.
const TRIES: usize = 4;
const RETRY_DELAY: Duration = Duration::from_secs(5);
const FILE_BYTES: usize = 3 * 1024 * 1024 + 7;
/// Asks Colab's page, which is not there.
const ASKING: &str = "\
try:
    from google.colab import userdata
except ImportError:
    print('skipped')
else:
    try:
        userdata.get('SMART_COLAB_SELFTEST')
        print('answered')
    except Exception as error:
        print('answered with', type(error).__name__)
";

/// A step that failed; or nobody waits any longer.
type Outcome<T> = Result<T, NotPassed>;

/// Walks through all of it.
pub(super) async fn run(
    desk: &Desk,
    wanted: Wanted,
    yes: bool,
    settings: &Settings,
) -> Result<Said, Failure> {
    let stop = shutdown::on_signal();
    let (system, processor) = SYSTEM;
    let (version, api) = (env!("CARGO_PKG_VERSION"), desk.google.api.name());
    show(&format!(
        "smart-colab {version} on {system} {processor}, by {api}"
    ));
    let walked = walk(desk, wanted, yes, settings, &stop).await;
    match walked {
        Ok(()) => Ok("All steps passed.".to_owned().into()),
        Err(failed) => Err(failed.into()),
    }
}

async fn walk(
    desk: &Desk,
    wanted: Wanted,
    yes: bool,
    settings: &Settings,
    stop: &CancellationToken,
) -> Outcome<()> {
    step(stop, "sign-in", async {
        desk.files.kind().map(str::to_owned).map_err(said)
    })
    .await?;
    step(stop, "quota", async {
        let mut quota = desk.plane.quota().await.map_err(said)?;
        // A report is passed on.
        quota.account = None;
        Ok(quota.to_string())
    })
    .await?;
    if !yes {
        agree(&wanted)?;
    }
    let longest = Limits {
        hours: Some(MAX_HOURS),
        units: None,
    };
    let limits = longest.and(settings.limits);
    let machine = assign(desk, wanted, limits, stop).await?;
    let used = use_it(desk, &machine.endpoint, settings, stop).await;
    let ended = end(desk, &machine.endpoint).await;
    used.and(ended)
}

/// Has a machine assigned. An interruption waits for Colab's answer: else a machine might be there that nobody ends.
async fn assign(
    desk: &Desk,
    wanted: Wanted,
    limits: Limits,
    stop: &CancellationToken,
) -> Outcome<Machine> {
    let started = Instant::now();
    let (plane, machines, google) = (&desk.plane, &desk.machines, desk.google.clone());
    let mut assigning = std::pin::pin!(machines.assign(&**plane, wanted, google, limits));
    let assigned = tokio::select! {
        assigned = &mut assigning => assigned,
        () = stop.cancelled() => {
            show("interrupted: waiting for Colab's answer, to give the machine back …");
            assigning.await
        }
    };
    let shown = |machine: &Machine| {
        let accelerator = machine.accelerator.as_deref().unwrap_or("no accelerator");
        format!("{} with {accelerator}", machine.endpoint)
    };
    let line = assigned.as_ref().map(shown).map_err(NotPassed::of);
    report("assign", started, line)?;
    assigned.map_err(said)
}

/// Everything between a machine's assignment and its end.
async fn use_it(
    desk: &Desk,
    name: &str,
    settings: &Settings,
    stop: &CancellationToken,
) -> Outcome<()> {
    let endpoint = Endpoint::machine(name)?;
    let remote = Arc::new(Remote::at(endpoint, &settings.data_dir));
    let connection = Arc::new(Connection::through(remote, &settings.data_dir));
    let folder = tempfile::tempdir()?;
    let jobs = Jobs::new(
        connection.clone(),
        folder.path().join("saved"),
        folder.path().join("jobs"),
    );
    let walked = async {
        connection.warm_up();
        step(stop, "boot", booted(&connection)).await?;
        step(stop, "executor", async {
            let (_, checked) = connection.check(within(STEP_TIMEOUT)).await.map_err(said)?;
            let milliseconds = checked.latency.as_millis();
            Ok(format!(
                "version {}, {milliseconds} ms a request",
                checked.health.version
            ))
        })
        .await?;
        step(stop, "code", async {
            match &*code(&jobs, "x = 1\nprint(x)").await? {
                "1" => Ok("x = 1".to_owned()),
                other => Err(format!("it printed {other:?}").into()),
            }
        })
        .await?;
        step(stop, "files", files(&connection, folder.path())).await?;
        step(stop, "proxy token", async {
            let found = desk.plane.reach(name).await.map_err(said)?;
            let way = found.and_then(|machine| machine.proxy);
            let way = way.ok_or_else(|| "Colab gives no way to the machine".to_owned())?;
            let server = Server::behind_proxy(way.url, &way.token)?;
            server.probe().await?;
            Ok(format!(
                "a new one opens the machine for {} s",
                way.expires_in.as_secs()
            ))
        })
        .await?;
        step(stop, "colab_request", async {
            match &*code(&jobs, ASKING).await? {
                "skipped" => Ok("skipped: the machine has no google.colab".to_owned()),
                said => Ok(said.to_owned()),
            }
        })
        .await
    };
    let walked = walked.await;
    connection.stop().await;
    walked
}

/// Gives the machine back, and looks whether it is gone.
async fn end(desk: &Desk, name: &str) -> Outcome<()> {
    let started = Instant::now();
    let mut tries = 0;
    let ended = loop {
        tries += 1;
        match desk.machines.unassign(&*desk.plane, name).await {
            Err(_) if tries < TRIES => sleep(RETRY_DELAY).await,
            ended => break ended,
        }
    };
    if ended.is_err() {
        show(&format!(
            "{name} IS STILL ASSIGNED. Run `smart-colab colab down {name}`, or use \"Manage sessions\" in Colab."
        ));
    }
    report("unassign", started, ended.map(|()| name).map_err(said))?;
    let started = Instant::now();
    let left = async {
        let listed = desk.plane.reach(name).await.map_err(said)?;
        match (listed, desk.machines.named(name)) {
            (None, Err(ColabError::Unknown(_))) => {
                Ok("Colab does not list it, and no record is kept".to_owned())
            }
            (Some(_), _) => Err("Colab still lists the machine".to_owned().into()),
            (None, _) => Err("its record is still kept".to_owned().into()),
        }
    };
    report("nothing left", started, left.await)
}

/// Waits until the machine's server answers.
async fn booted(connection: &Connection) -> Outcome<String> {
    let end = within(BOOT_TIMEOUT);
    while let State::Starting { step } = connection.state() {
        if !is_boot(&step) {
            break;
        }
        if Instant::now() > end {
            return Err(format!("still {step} after {} s", BOOT_TIMEOUT.as_secs()).into());
        }
        sleep(POLL_INTERVAL).await;
    }
    Ok("its Jupyter Server answers".to_owned())
}

/// Sends a file and fetches it again; the transfers verify its digest, and this does.
async fn files(connection: &Arc<Connection>, folder: &Path) -> Outcome<String> {
    const NAME: &str = "smart-colab-selftest.bin";
    let content: Vec<u8> = (0..FILE_BYTES).map(|at| (at * at % 251) as u8).collect();
    let path = folder.join(NAME);
    std::fs::write(&path, &content)?;
    let caller = Caller::until(within(STEP_TIMEOUT));
    let notes = folder.join("notes");
    let allowed = Allowed::new(vec![folder.to_owned()], notes.clone());
    let uploads = Uploads::new(connection.clone(), allowed, notes.clone());
    let request = Request {
        local_path: path.display().to_string(),
        remote_path: NAME.to_owned(),
        max_bytes: MAX_BYTES,
    };
    uploads.upload(&request, &[], &caller).await.map_err(said)?;
    let downloads = Downloads::new(connection.clone(), folder.join("back"), notes);
    let request = DownloadRequest {
        remote_path: NAME.to_owned(),
        local_filename: None,
        max_bytes: MAX_BYTES,
    };
    downloads.download(&request, &caller).await.map_err(said)?;
    let back = std::fs::read(folder.join("back").join(NAME))?;
    match Sha256::digest(&back) == Sha256::digest(&content) {
        true => Ok(format!("{FILE_BYTES} bytes up and down, SHA-256 equal")),
        false => Err("the file that came back is another one".to_owned().into()),
    }
}

/// Runs code, and returns what it printed.
async fn code(jobs: &Jobs, code: &str) -> Outcome<String> {
    let request = JobRequest {
        code: code.to_owned(),
        session: "selftest".to_owned(),
        timeout_sec: STEP_TIMEOUT.as_secs(),
        iterations: None,
        kernel_id: None,
        folder: None,
        answers: false,
    };
    let caller = Caller::until(within(STEP_TIMEOUT));
    let view = jobs
        .run(JobId::fresh(), &request, &caller)
        .await
        .map_err(said)?;
    let text = text_of(&view.body).trim().to_owned();
    match view.has_failed {
        true => Err(format!("the code failed: {text}").into()),
        false => Ok(text),
    }
}

/// Does a step and reports it, unless the program is interrupted.
async fn step(
    stop: &CancellationToken,
    name: &str,
    work: impl Future<Output = Outcome<String>>,
) -> Outcome<()> {
    let started = Instant::now();
    let done = tokio::select! {
        biased;
        () = stop.cancelled() => Err(NotPassed::new("interrupted", "Run it again for the steps that are left.")),
        done = work => done,
    };
    report(name, started, done)
}

/// Prints the line of a step.
fn report(name: &str, started: Instant, done: Outcome<impl Display>) -> Outcome<()> {
    let seconds = started.elapsed().as_secs_f64();
    let (mark, said, outcome) = match done {
        Ok(said) => ("ok    ", said.to_string(), Ok(())),
        Err(NotPassed { why, remedy }) => {
            let named = format!("{name}: {why}");
            ("FAILED", why, Err(NotPassed { why: named, remedy }))
        }
    };
    show(&format!("{mark} {seconds:7.1} s  {name}: {said}"));
    outcome
}

fn agree(wanted: &Wanted) -> Outcome<()> {
    if !io::stdin().is_terminal() {
        let why = format!("nobody was asked whether {wanted} may be assigned");
        return Err(NotPassed::new(
            &why,
            "It may cost compute units: run it in a terminal, which asks, or with --yes.",
        ));
    }
    eprint!(
        "{wanted} is assigned for some minutes now, which may cost compute units. Go on? [y/N] "
    );
    let _ = io::stderr().flush();
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    match line.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(NotPassed::new(
            "nothing was assigned",
            "It was not agreed to. Run it again to go on.",
        )),
    }
}

/// A reader that has gone must not leave a machine behind.
fn show(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn within(time: Duration) -> Instant {
    Instant::now() + time
}

fn said(error: impl Fault) -> NotPassed {
    NotPassed::of(&error)
}
