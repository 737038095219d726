//! The embedded executor: real Pythons, real processes.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use smart_colab::base::fault::Fault as _;
use smart_colab::edge::env::Env;
use smart_colab::edge::settings::{Flags, Settings};
use smart_colab::provision::Provisioner;
use smart_colab::provision::local::Local;
use smart_colab::runtime::RuntimeError;
use tokio::time::{Instant, sleep};

use crate::support::executor::EXECUTOR_PID;
use crate::support::hint::Hint as _;
use crate::support::machine::{Machine, PATIENCE, folders, log, program, ready, run, until_gone};
use crate::support::python::python;

/// Not a test: the body of [`Machine::bridge`]'s process. Reports its progress, runs `TEST_CODE`, reads the job `TEST_JOB`, then waits for the end of stdin.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by other tests, as their bridge"]
async fn bridge_process() {
    let say = |line: String| writeln!(std::io::stdout(), "\n{line}").unwrap();
    let (Ok(code), env) = (std::env::var("TEST_CODE"), Env::of_process()) else {
        return;
    };
    let local = Local::new(
        &Settings::read(
            &env,
            &Flags {
                local: true,
                ..Flags::default()
            },
        )
        .unwrap(),
    );
    let runtime = loop {
        match local
            .runtime(Instant::now() + Duration::from_millis(200))
            .await
        {
            Err(RuntimeError::Starting { doing, .. }) => say(format!("doing: {doing}")),
            other => break other.unwrap(),
        }
    };
    say(format!("address: {}", runtime.address()));
    if let Ok(earlier) = std::env::var("TEST_JOB") {
        say(format!(
            "earlier: {}",
            log(&*runtime, earlier.parse().unwrap()).await
        ));
    }
    let (_, said) = run(&*runtime, &code).await;
    say(format!("said: {said}"));
    let end = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    end.await.unwrap().unwrap();
    local.stop().await;
    say("stopped".to_owned());
}

#[tokio::test]
async fn code_runs_in_the_users_workspace_and_the_executor_ends_with_the_bridge() {
    let machine = Machine::new();
    let local = Local::new(&machine.with_packages());
    let early = local.runtime(Instant::now()).await.unwrap_err();
    assert!(matches!(early, RuntimeError::Starting { .. }), "{early:?}");
    assert!(local.doing().is_some());

    let runtime = ready(&local).await;
    assert_eq!(local.doing(), None);
    run(&*runtime, "open('here.txt', 'w').write('x')").await;
    assert!(machine.folder("results/workspace/here.txt").exists());

    local.stop().await;
    until_gone(runtime.address()).await;
    let late = local.runtime(Instant::now() + PATIENCE).await.unwrap_err();
    assert!(matches!(late, RuntimeError::EndedWithClient), "{late:?}");
}

#[tokio::test]
async fn a_dropped_bridge_ends_its_executor() {
    let local = Local::new(&Machine::new().with_packages());
    let runtime = ready(&local).await;
    drop(local);
    until_gone(runtime.address()).await;
}

#[cfg(unix)]
#[tokio::test]
async fn an_executor_that_died_is_started_again_and_its_jobs_are_kept() {
    let machine = Machine::new();
    let local = Local::new(&machine.with_packages());
    let runtime = ready(&local).await;
    let (job, pid) = run(&*runtime, &format!("import psutil; print({EXECUTOR_PID})")).await;

    assert!(
        Command::new("kill")
            .args(["-9", &pid])
            .status()
            .unwrap()
            .success()
    );
    until_gone(runtime.address()).await;

    let end = Instant::now() + PATIENCE;
    let again = loop {
        let again = ready(&local).await;
        // The death may be noticed a moment after the port is gone.
        if again.health().await.is_ok() {
            break again;
        }
        assert!(Instant::now() < end);
        sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(log(&*again, job).await, pid);
    run(&*again, "print(1)").await;
    local.stop().await;
}

#[tokio::test]
async fn concurrent_bridges_have_an_executor_each_and_later_ones_find_their_jobs() {
    let machine = Machine::new();
    let (first, second) = (
        Local::new(&machine.with_packages()),
        Local::new(&machine.with_packages()),
    );
    let (one, two) = (ready(&first).await, ready(&second).await);
    let (job, _) = run(&*one, "print('one')").await;
    run(&*two, "print('two')").await;
    // It has ended, so it can be read there too.
    assert_eq!(log(&*two, job).await, "one");
    first.stop().await;
    drop(first);

    let third = Local::new(&machine.with_packages());
    assert_eq!(log(&*ready(&third).await, job).await, "one");
    second.stop().await;
    third.stop().await;
}

#[tokio::test]
async fn a_deleted_package_is_unpacked_again() {
    let machine = Machine::new();
    let local = Local::new(&machine.with_packages());
    ready(&local).await;
    local.stop().await;
    fs::remove_dir_all(machine.folder("data/executor/package")).unwrap();

    let local = Local::new(&machine.with_packages());
    run(&*ready(&local).await, "print(1)").await;
    local.stop().await;
}

#[tokio::test]
async fn without_python_the_error_says_how_to_get_one() {
    let machine = Machine::new();
    let empty = machine.folder("empty");
    let local = Local::new(&machine.finding_only(&empty));
    let error = local.runtime(Instant::now() + PATIENCE).await.unwrap_err();
    assert_eq!(error.code(), "connection_failed");
    assert!(error.to_string().contains("Python 3.11"), "{error}");
    assert!(error.hint().contains("python.org"), "{}", error.hint());
}

/// Creates a machine whose Python makes empty environments: its pip records each try in `tried`, then runs `pip`; the tests' Python does
/// the rest.
#[cfg(unix)]
fn with_fake_python(machine: &Machine, pip: &str) -> Settings {
    let programs = machine.folder("bin");
    fs::create_dir(&programs).unwrap();
    let (tried, real) = (machine.folder("tried"), python());
    let script = format!(
        r#"
        case "$*" in
        "-m venv "*) mkdir "$3/bin"; cp "$0" "$3/bin/python" ;;
        "-m pip "*) echo try >>{tried}; {pip} ;;
        "-c "*) echo '{{"executable":"'"$0"'","version":[3,12,1],"cpython":true,"sqlite":true,"makes_environments":true,"missing":[]}}' ;;
        *) exec {real} "$@" ;;
        esac"#,
        tried = tried.display(),
        real = real.display(),
    );
    program(&programs.join("python3"), &script);
    let mut settings = machine.finding_only(&programs);
    // For `mkdir` and `cp`.
    settings.search_path.push(":/usr/bin:/bin");
    settings
}

#[cfg(unix)]
fn tries(machine: &Machine) -> usize {
    let tried = fs::read_to_string(machine.folder("tried")).unwrap();
    tried.lines().count()
}

#[cfg(unix)]
#[tokio::test]
async fn a_pip_failure_is_reported_leaves_nothing_and_is_retried_by_the_next_call() {
    let machine = Machine::new();
    let pip = "echo 'WARNING: NewConnectionError: Connection refused' >&2; echo 'ERROR: No matching distribution' >&2; exit 1";
    let local = Local::new(&with_fake_python(&machine, pip));
    for number in 1..=2 {
        let error = local.runtime(Instant::now() + PATIENCE).await.unwrap_err();
        assert!(
            error.to_string().contains("No matching distribution"),
            "{error}"
        );
        assert!(
            error.hint().contains("cannot be reached"),
            "{}",
            error.hint()
        );
        assert_eq!(tries(&machine), number);
    }
    // A call that cannot wait reports why the previous try failed.
    let error = local.runtime(Instant::now()).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(
        error.to_string().contains("No matching distribution"),
        "{error}"
    );
    local.stop().await;
    let left = folders(&machine.folder("data/executor/environment"));
    assert_eq!(left, Vec::<PathBuf>::new());
}

#[cfg(unix)]
#[tokio::test]
async fn concurrent_bridges_make_one_environment_and_remove_half_made_ones() {
    let machine = Machine::new();
    let settings = with_fake_python(&machine, "sleep 1");
    let (first, second) = (Local::new(&settings), Local::new(&settings));
    let (one, two) = tokio::join!(ready(&first), ready(&second));
    assert_ne!(one.address(), two.address());
    assert_eq!(tries(&machine), 1);
    first.stop().await;
    second.stop().await;

    let environments = machine.folder("data/executor/environment");
    let made = folders(&environments);
    assert_eq!(made.len(), 1);
    let name = made[0].to_str().unwrap();
    let (prefix, _) = name.rsplit_once('-').unwrap();
    fs::create_dir(format!("{prefix}-abandoned")).unwrap();
    let third = Local::new(&settings);
    ready(&third).await;
    assert_eq!(folders(&environments), made);
    third.stop().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_damaged_environment_is_rebuilt() {
    let machine = Machine::new();
    let settings = with_fake_python(&machine, "true");
    let local = Local::new(&settings);
    ready(&local).await;
    local.stop().await;
    for environment in folders(&machine.folder("data/executor/environment")) {
        fs::remove_dir_all(environment.join("bin")).unwrap();
    }

    let local = Local::new(&settings);
    run(&*ready(&local).await, "print(1)").await;
    assert_eq!(tries(&machine), 2);
    local.stop().await;
}

#[cfg(unix)]
#[tokio::test]
async fn the_executor_of_a_killed_bridge_ends() {
    let machine = Machine::new();
    let mut bridge = machine.bridge(
        "print('up')",
        &[("SMART_COLAB_PYTHON", python().to_str().unwrap())],
    );
    let address = bridge.wait_for_line("address: ");
    assert_eq!(bridge.wait_for_line("said: "), "up");
    bridge.child.kill().unwrap();
    until_gone(&address).await;
}

/// The only test that installs packages: from nothing, over a half-made environment, then without any network.
#[tokio::test(flavor = "multi_thread")]
async fn an_environment_is_made_once_and_then_used_offline() {
    let machine = Machine::new();
    let environments = machine.folder("data/executor/environment");

    let mut killed = machine.bridge("print('never')", &[]);
    while !killed
        .wait_for_line("doing: ")
        .starts_with("installing packages")
    {}
    drop(killed);
    let half_made = folders(&environments);
    assert_eq!(half_made.len(), 1);

    let local = Local::new(&machine.settings());
    let started = Instant::now();
    let runtime = ready(&local).await;
    eprintln!("first start: {:.1} s", started.elapsed().as_secs_f64());
    let (job, said) = run(&*runtime, "import sys; print(sys.prefix)").await;
    local.stop().await;
    drop(local);
    // The killed bridge's installer may still run, but not in the environment in use.
    assert!(folders(&environments).contains(&PathBuf::from(&said)));
    assert_ne!(half_made, [PathBuf::from(&said)]);

    let dead = "http://127.0.0.1:9";
    let misleading = machine.folder("misleading");
    fs::create_dir(&misleading).unwrap();
    fs::write(
        misleading.join("flask.py"),
        "raise SystemExit('not this one')",
    )
    .unwrap();
    let misleading = misleading.to_str().unwrap();
    let job = job.to_string();
    let started = Instant::now();
    let mut offline = machine.bridge(
        "import os, numpy; print(numpy.arange(3).sum(), [name for name in os.environ if name.endswith('_TOKEN')])",
        &[
            ("TEST_JOB", &job),
            ("PIP_INDEX_URL", dead),
            ("UV_INDEX_URL", dead),
            ("HTTPS_PROXY", dead),
            ("PYTHONHOME", misleading),
            ("PYTHONPATH", misleading),
            ("VIRTUAL_ENV", misleading),
            ("COLAB_TOKEN", "s3cret"),
            ("SMART_COLAB_TOKEN", "s3cret"),
        ],
    );
    let address = offline.wait_for_line("address: ");
    eprintln!("second start: {:.1} s", started.elapsed().as_secs_f64());
    assert_eq!(offline.wait_for_line("earlier: "), said);
    assert_eq!(offline.wait_for_line("said: "), "3 []");
    drop(offline.child.stdin.take());
    offline.wait_for_line("stopped");
    until_gone(&address).await;
}
