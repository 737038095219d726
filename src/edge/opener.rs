//! Opens an address in the user's browser.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use url::Url;

/// Opens an address in `browser`, or in the default browser of this computer, without waiting for it. The address must hold no secret: other
/// users of this computer can see it.
///
/// # Errors
/// When no program for it can be started.
pub fn open(address: &Url, browser: Option<&Path>) -> io::Result<()> {
    let Some(browser) = browser else {
        return open::that_detached(address.as_str());
    };
    // stdout is the protocol's.
    let started = Command::new(browser)
        .arg(address.as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    started.map(drop)
}
