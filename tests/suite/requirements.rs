//! Packages that code requires are installed once on each machine before the first code runs, or no code runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::home::Home;
use crate::support::python::python;
use crate::support::stdio::{Answer, Bridge};

/// Makes an environment that has the packages of the one that runs this, and a wheel.
const PREPARE: &str = r#"
import pathlib, sys, sysconfig, venv, zipfile
folder = pathlib.Path(sys.argv[1])
venv.create(folder / "venv", symlinks=True)
[site] = (folder / "venv").glob("lib/python3*/site-packages")
(site / "others.pth").write_text(sysconfig.get_path("purelib"))
(folder / "wheels").mkdir()
with zipfile.ZipFile(folder / "wheels" / "tiny_needed-1.0-py3-none-any.whl", "w") as wheel:
    info = "tiny_needed-1.0.dist-info/"
    wheel.writestr("tiny_needed.py", "said = 'hello'\n")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: tiny-needed\nVersion: 1.0\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "RECORD", "")
"#;

fn bridge(home: &Home, folder: &Path, requirements: &Path) -> Bridge {
    let python = folder.join("venv/bin/python");
    Bridge::greeted(home.program(&[
        ("COLAB_URL", "local"),
        ("SMART_COLAB_PYTHON", python.to_str().unwrap()),
        ("SMART_COLAB_REQUIREMENTS", requirements.to_str().unwrap()),
    ]))
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

fn needed(folder: &Path, package: &str) -> PathBuf {
    let file = folder.join(format!("{package}.txt"));
    let wheels = folder.join("wheels");
    let text = format!("--no-index\n--find-links {}\n{package}\n", wheels.display());
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn packages_are_installed_once_before_code_runs_and_no_code_runs_without_them() {
    let (home, folder) = (Home::new(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    let mut prepare = Command::new(python());
    let prepared = prepare.args(["-c", PREPARE]).arg(folder).status();
    assert!(prepared.unwrap().success());
    let there = needed(folder, "tiny-needed==1.0");
    let code = "import tiny_needed\nprint(tiny_needed.said)";
    let mut first = bridge(&home, folder, &there);
    let ran = run(&mut first, code);
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
    let mut second = bridge(&home, folder, &there);
    let ran = run(&mut second, code);
    assert_eq!(ran.text, "hello\n", "{ran:?}");
    drop(second);

    let nowhere = needed(folder, "nowhere-to-be-found==9");
    let mut third = bridge(&home, folder, &nowhere);
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
    assert!(checked.fact("suggestion").starts_with(said), "{checked:?}");
    assert!(!mark.exists(), "code ran without what it requires");
}
