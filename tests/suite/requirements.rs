//! Packages that code requires, or that it installed on an earlier machine, are installed once on each machine before the first code runs, or no
//! code runs.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::home::Home;
use crate::support::python::python;
use crate::support::stdio::{Answer, Bridge};

/// Makes two environments that have the packages of the one that runs this, and a wheel.
const PREPARE: &str = r#"
import pathlib, sys, sysconfig, venv, zipfile
folder = pathlib.Path(sys.argv[1])
for machine in ("first", "second"):
    venv.create(folder / machine, symlinks=True)
    [site] = (folder / machine).glob("lib/python3*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))
(folder / "wheels").mkdir()
with zipfile.ZipFile(folder / "wheels" / "tiny_needed-1.0-py3-none-any.whl", "w") as wheel:
    info = "tiny_needed-1.0.dist-info/"
    wheel.writestr("tiny_needed.py", "said = 'hello'\n")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: tiny-needed\nVersion: 1.0\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "RECORD", "")
"#;

const USE: &str = "import tiny_needed\nprint(tiny_needed.said)";

/// What [`PREPARE`] makes.
struct Machines(TempDir);

impl Machines {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut prepare = Command::new(python());
        let prepared = prepare.args(["-c", PREPARE]).arg(folder.path()).status();
        assert!(prepared.unwrap().success());
        Self(folder)
    }

    /// Starts a bridge that computes in an environment, whose only packages are those of the wheels.
    fn bridge(&self, home: &Home, machine: &str, requirements: &str) -> Bridge {
        let folder = self.0.path();
        let python = folder.join(machine).join("bin/python");
        let mut command = home.program(&[
            ("COLAB_URL", "local"),
            ("SMART_COLAB_PYTHON", python.to_str().unwrap()),
            ("SMART_COLAB_REQUIREMENTS", requirements),
            ("PIP_NO_INDEX", "1"),
        ]);
        command.env("PIP_FIND_LINKS", folder.join("wheels"));
        Bridge::greeted(command)
    }
}

/// Runs code, again while packages are being installed.
fn run(bridge: &mut Bridge, code: &str) -> Answer {
    loop {
        let ran = bridge.call("run_code_quick", json!({"code": code}));
        if ran.facts["code"] != "busy" {
            return ran;
        }
    }
}

#[test]
fn packages_are_installed_once_before_code_runs_and_no_code_runs_without_them() {
    let (home, machines) = (Home::new(), Machines::new());
    let folder = machines.0.path();
    let there = folder.join("needed.txt");
    fs::write(&there, "tiny-needed==1.0\n").unwrap();
    let there = there.to_str().unwrap();
    let mut first = machines.bridge(&home, "first", there);
    let ran = run(&mut first, USE);
    assert_eq!(ran.text, "hello\n", "{ran:?}");
    let jobs = first.call("list_jobs", json!({"session": "requirements"}));
    let [installed] = &jobs.rows()[..] else {
        panic!("{jobs:?}")
    };
    let said = first.call("get_output", json!({"job_id": installed["job_id"]}));
    let success = "Successfully installed tiny-needed-1.0";
    assert!(said.text.contains(success), "{said:?}");
    drop(first);

    // On the same machine it is not asked for again: it could not be found.
    fs::remove_dir_all(folder.join("wheels")).unwrap();
    let mut second = machines.bridge(&home, "first", there);
    let ran = run(&mut second, USE);
    assert_eq!(ran.text, "hello\n", "{ran:?}");
    drop(second);

    let mut third = machines.bridge(&home, "first", "nowhere-to-be-found==9");
    let mark = folder.join("ran");
    let ran = run(&mut third, &format!("open({mark:?}, 'w').close()"));
    ran.refused("requirements_failed");
    let error = ran.fact("error");
    assert!(
        error.contains("No matching distribution found for nowhere-to-be-found==9"),
        "{error}"
    );
    assert_eq!(ran.facts["retryable"], Value::Bool(false));
    let checked = third.call("check_colab_connection", json!({}));
    let said = "Connected, but code is refused. The packages of SMART_COLAB_REQUIREMENTS";
    let suggestion = checked.fact("suggestion");
    assert!(suggestion.starts_with(said), "{checked:?}");
    let remedy = "or the file that it names, and to restart the client.";
    assert!(suggestion.contains(remedy), "{suggestion}");
    assert!(!mark.exists(), "code ran without what it requires");
}

#[test]
fn packages_that_code_installed_are_installed_on_the_next_machine_before_code_runs() {
    let (home, machines) = (Home::new(), Machines::new());
    let mut first = machines.bridge(&home, "first", "remember");
    let installed = run(&mut first, "%pip install tiny-needed");
    assert!(installed.text.contains("tiny-needed-1.0"), "{installed:?}");
    // The second code of the first machine has nothing to wait for.
    assert_eq!(run(&mut first, USE).text, "hello\n");
    let jobs = first.call("list_jobs", json!({"session": "requirements"}));
    assert!(jobs.rows().is_empty(), "{jobs:?}");
    drop(first);

    let mut second = machines.bridge(&home, "second", "remember");
    let ran = run(&mut second, USE);
    assert_eq!(ran.text, "hello\n", "{ran:?}");
    drop(second);

    let file = home.folder("data").join("requirements/local.txt");
    assert_eq!(fs::read_to_string(&file).unwrap(), "tiny-needed==1.0\n");
    fs::write(&file, "tiny-needed==9\n").unwrap();
    let mut third = machines.bridge(&home, "second", "remember");
    let refused = run(&mut third, "open('ran', 'w').close()");
    refused.refused("requirements_failed");
    let hint = refused.fact("hint");
    assert!(hint.contains(file.to_str().unwrap()), "{hint}");
    let checked = third.call("check_colab_connection", json!({}));
    let suggestion = checked.fact("suggestion");
    assert!(suggestion.contains(file.to_str().unwrap()), "{suggestion}");
    assert!(!suggestion.contains("restart the client"), "{suggestion}");
    // Once the user has removed the line, code runs again.
    fs::write(&file, "").unwrap();
    assert_eq!(run(&mut third, USE).text, "hello\n");
}
