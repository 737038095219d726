//! A real Chromium without a window.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::lab_tab::Tab;
use super::stdio::PATIENCE;

/// Names of the program.
const NAMES: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
];

/// Ended on drop.
pub(crate) struct Chromium {
    child: Child,
    profile: TempDir,
}

impl Chromium {
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let child = Command::new(program())
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--no-first-run",
                "--window-size=1400,2000",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, profile }
    }

    /// Opens a notebook of a JupyterLab, whose cells are then as the page shows them.
    pub(crate) fn open(&self, address: &str) -> Tab {
        let file = self.profile.path().join("DevToolsActivePort");
        let end = Instant::now() + PATIENCE;
        let port = loop {
            let text = fs::read_to_string(&file).unwrap_or_default();
            if let Some((port, _)) = text.split_once('\n') {
                break port.to_owned();
            }
            assert!(Instant::now() < end, "Chromium does not start");
            sleep(Duration::from_millis(50));
        };
        let mut tab = Tab::start("chromium_tab.py", &[&port, address]);
        tab.until(|cells| !cells.is_empty());
        tab
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    if let Some(program) = env::var_os("SMART_COLAB_CHROMIUM") {
        return program.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut programs = env::split_paths(&path).flat_map(|folder| {
        NAMES.map(|name| folder.join(name).with_extension(env::consts::EXE_EXTENSION))
    });
    let found = programs.find(|program| program.is_file());
    found.expect("no Chromium in PATH: name one in SMART_COLAB_CHROMIUM")
}
