//! The executor's package in the form in which it is sent: a compressed archive whose bytes depend on its files alone.

use std::io;
use std::sync::OnceLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

use crate::base::hex::hex;
use crate::provision::embedded::{PACKAGE, sources, wheels};

/// The archive: `smart_colab_executor/` and `wheels/`. It takes half a megabyte and is seldom sent, so that only its digest stays in memory.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) sha256: &'static str,
    made: Option<Vec<u8>>,
}

/// Makes the archive at the first call.
pub(super) fn package() -> io::Result<Package> {
    static SHA256: OnceLock<String> = OnceLock::new();
    if let Some(sha256) = SHA256.get() {
        return Ok(Package { sha256, made: None });
    }
    let bytes = archive()?;
    let sha256 = SHA256.get_or_init(|| hex(&Sha256::digest(&bytes)));
    let made = Some(bytes);
    Ok(Package { sha256, made })
}

impl Package {
    pub(super) fn bytes(&mut self) -> io::Result<Vec<u8>> {
        self.made.take().map_or_else(archive, Ok)
    }
}

fn archive() -> io::Result<Vec<u8>> {
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (folder, files) in [(PACKAGE, sources()), ("wheels", wheels())] {
        for (name, data) in files {
            let mut header = Header::new_ustar();
            header.set_mode(0o644);
            header.set_size(data.len() as u64);
            archive.append_data(&mut header, format!("{folder}/{name}"), &*data)?;
        }
    }
    archive.into_inner()?.finish()
}

#[cfg(test)]
mod tests {
    use super::archive;

    #[test]
    fn the_same_files_make_the_same_archive() {
        let once = archive().unwrap();
        assert!(once == archive().unwrap());
        assert!(once.len() < 4 * 1024 * 1024, "{}", once.len());
    }
}
