//! Python environments: one for all tests, with the executor's packages and those of its own tests.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

/// Returns a Python with everything in `colab/requirements-dev.txt`, created once for a target folder, by one of the test processes.
pub(crate) fn python() -> PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(ready).clone()
}

fn ready() -> PathBuf {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("colab/requirements-dev.txt");
    let text = fs::read_to_string(&requirements).unwrap();
    // What the file lacks is left out on purpose: `rfc3987-syntax` builds a grammar for half of a Jupyter Server's start.
    let packages = [
        OsStr::new("--no-deps"),
        OsStr::new("-r"),
        requirements.as_ref(),
    ];
    environment("test-python", &text, None, packages)
}

/// Returns a Python with these arguments of `pip install` installed, created in the build folder once for each `text` that names them all, from the
/// Python of this name if any will not do.
pub(crate) fn environment(
    folder: &str,
    text: &str,
    base: Option<&str>,
    packages: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> PathBuf {
    let digest = Sha256::digest(text);
    let name: String = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(folder);
    fs::create_dir_all(&folder).unwrap();

    let lock = File::create(folder.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let place = folder.join(&name);
    let python = place.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    });
    let complete = place.join("complete");
    if !complete.exists() {
        let _ = fs::remove_dir_all(&place);
        let base = base.map_or_else(any_base, str::to_owned);
        make(&base, &place, &python, packages);
        fs::write(&complete, "").unwrap();
    }
    python
}

fn make(
    base: &str,
    place: &Path,
    python: &Path,
    packages: impl IntoIterator<Item = impl AsRef<OsStr>>,
) {
    if which::which("uv").is_ok() {
        let mut venv = Command::new("uv");
        succeed(
            venv.args(["venv", "--seed", "--no-project", "--python", base])
                .arg(place),
        );
        let mut install = Command::new("uv");
        install.args(["pip", "install", "--python"]).arg(python);
        succeed(install.args(packages));
    } else {
        succeed(Command::new(base).args(["-m", "venv"]).arg(place));
        let mut install = Command::new(python);
        install.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]);
        succeed(install.args(packages));
    }
}

fn any_base() -> String {
    const NAMES: [&str; 6] = [
        "python3",
        "python3.13",
        "python3.12",
        "python3.14",
        "python3.11",
        "python",
    ];
    let suits = |name: &&str| {
        let check = "import sys, ensurepip; sys.exit(sys.version_info < (3, 11))";
        Command::new(name)
            .args(["-c", check])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let found = NAMES.into_iter().find(suits);
    found
        .expect("tests need Python 3.11 or newer on PATH")
        .to_owned()
}

/// Runs a program, which must succeed, and returns what it printed.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{errors}\n{said}");
    said.into_owned()
}
