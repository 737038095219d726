//! Killing processes and checking whether they run.

use std::process::Command;

/// Kills the process `pid` by SIGKILL, as the OOM killer does. The caller must have started it.
pub(crate) fn kill(pid: u32) {
    let pid = pid.to_string();
    let mut command = if cfg!(windows) {
        let mut command = Command::new("taskkill");
        command.args(["/F", "/PID", &pid]);
        command
    } else {
        let mut command = Command::new("kill");
        command.args(["-9", &pid]);
        command
    };
    let output = command.output().unwrap();
    assert!(output.status.success(), "{pid}: {output:?}");
}

/// Returns whether the process `pid` runs; a zombie does not.
#[cfg(unix)]
pub(crate) fn is_running(pid: &str) -> bool {
    let output = Command::new("ps")
        .args(["-o", "stat=", "-p", pid])
        .output()
        .unwrap();
    let state = String::from_utf8(output.stdout).unwrap();
    !state.trim().is_empty() && !state.starts_with('Z')
}
