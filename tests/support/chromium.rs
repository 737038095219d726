//! A real Chromium without a window.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
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
        Self::start_with(&[])
    }

    /// The same with these arguments more.
    pub(crate) fn start_with(more: &[&str]) -> Self {
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
            .args(more)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, profile }
    }

    /// The port of its developer's tools.
    fn port(&self) -> String {
        let file = self.profile.path().join("DevToolsActivePort");
        let end = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(&file).unwrap_or_default();
            if let Some((port, _)) = text.split_once('\n') {
                return port.to_owned();
            }
            assert!(Instant::now() < end, "Chromium does not start");
            sleep(Duration::from_millis(50));
        }
    }

    /// Opens a page in a tab of its own.
    pub(crate) fn visit(&self, address: &str) {
        let host = format!("127.0.0.1:{}", self.port());
        let mut stream = TcpStream::connect(&host).unwrap();
        let request = format!(
            "PUT /json/new?{address} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(answer.contains("200"), "{answer}");
    }

    /// Opens a notebook of a JupyterLab, whose cells are then as the page shows them.
    pub(crate) fn open(&self, address: &str) -> Tab {
        let port = self.port();
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

/// Returns the program.
pub(crate) fn program() -> PathBuf {
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
