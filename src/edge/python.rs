//! Checks the Python that a setting names before it is needed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{MAIN_SEPARATOR_STR, Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use which::which_in_global;

use super::env::{self, COLAB_TOKEN, COLAB_URL, Env};
use super::paths;

/// The oldest version that runs the executor.
pub const MIN_VERSION: (u32, u32) = (3, 11);
/// A slower Python is checked when it is needed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// Runs on every Python, even 2.7.
const PROBE: &str = "import sys; print('%d.%d' % sys.version_info[:2])";

/// The Python that is to run the executor; it is run as a check if it is certain to be needed.
pub(super) fn setting(
    env: &Env,
    search_path: &OsStr,
    is_needed: bool,
) -> Result<Option<PathBuf>, String> {
    let Some(text) = env.get(env::PYTHON) else {
        return Ok(None);
    };
    let found = program(text, search_path);
    let checked = found.and_then(|path| if is_needed { check(&path) } else { Ok(()) });
    checked.map_err(|fault| {
        let (name, (major, minor)) = (env::PYTHON, MIN_VERSION);
        format!(
            "{name} is {text}: {fault}. Set it to a Python {major}.{minor} or newer that has the executor's packages, or remove it: then \
             smart-colab makes its own environment"
        )
    })?;
    Ok(Some(paths::expand_home(text)))
}

/// The program that `text` names.
///
/// # Errors
/// The fault, worded to follow the text.
fn program(text: &str, search_path: &OsStr) -> Result<PathBuf, String> {
    let path = paths::expand_home(text);
    let found = || which_in_global(&path, Some(search_path)).ok()?.next();
    if !path.is_absolute() {
        let is_path = text.contains(['/', MAIN_SEPARATOR_STR.chars().next().unwrap_or('/')]);
        return match found() {
            Some(found) if !is_path => Ok(found),
            _ if is_path => Err(paths::RELATIVE_PATH_FAULT.to_owned()),
            _ => Err("no program of that name is on PATH: give its absolute path".to_owned()),
        };
    }
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err("there is no such program".to_owned())
        }
        Err(error) => Err(format!("it cannot be accessed ({error})")),
        Ok(metadata) if metadata.is_dir() => Err(describe_folder(&path)),
        Ok(_) => found().ok_or_else(|| "it is not executable".to_owned()),
    }
}

/// The fault of a folder, with the program in it if there is one.
fn describe_folder(folder: &Path) -> String {
    let names = [
        "bin/python",
        "bin/python3",
        "Scripts\\python.exe",
        "python.exe",
    ];
    let inner = names.map(|name| folder.join(name));
    inner.iter().find(|path| path.is_file()).map_or_else(
        || "it is a folder: name the program itself".to_owned(),
        |path| format!("it is a folder: the program in it is {}", path.display()),
    )
}

/// Runs the program to check that it is a suitable Python.
///
/// # Errors
/// The fault, worded to follow the program's name. A program that does not answer in time passes.
fn check(program: &Path) -> Result<(), String> {
    let answer = run(program).map_err(|error| format!("it does not run ({error})"))?;
    let Some((status, said, complaint)) = answer else {
        return Ok(());
    };
    if !status.success() {
        let why = complaint.lines().rfind(|line| !line.trim().is_empty());
        return Err(format!(
            "it does not run ({status}: {})",
            why.unwrap_or("no output")
        ));
    }
    // A site hook may print before it.
    let version = said.lines().last().unwrap_or_default().trim();
    let numbers = version.split_once('.');
    match numbers.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?))) {
        None => Err("it is not a Python".to_owned()),
        Some(found) if found < MIN_VERSION => {
            let (major, minor) = MIN_VERSION;
            Err(format!(
                "it is {version}, but {major}.{minor} is the oldest supported version"
            ))
        }
        Some(_) => Ok(()),
    }
}

/// Returns the program's status, stdout and stderr; none if it takes too long.
fn run(program: &Path) -> io::Result<Option<(ExitStatus, String, String)>> {
    // No pipes: a child of its own could hold them open.
    let (mut said, mut complaint) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let mut command = Command::new(program);
    command
        .args(["-E", "-S", "-c", PROBE])
        .env_remove(COLAB_URL)
        .env_remove(COLAB_TOKEN)
        .stdin(Stdio::null())
        .stdout(said.try_clone()?)
        .stderr(complaint.try_clone()?);
    #[cfg(windows)]
    {
        use std::os::windows::process::CommandExt;
        const CREATE_NO_WINDOW: u32 = 0x0800_0000;
        command.creation_flags(CREATE_NO_WINDOW);
    }
    let mut child = command.spawn()?;
    let end = Instant::now() + ANSWER_TIMEOUT;
    while Instant::now() < end {
        if let Some(status) = child.try_wait()? {
            return Ok(Some((status, text(&mut said)?, text(&mut complaint)?)));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn text(file: &mut File) -> io::Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(64 * 1024).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
