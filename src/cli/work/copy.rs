//! `smart-colab get` and `put`: files, with a bar.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tempfile::NamedTempFile;

use super::attend::Wait;
use super::{Common, Desk, End, FAILED, facts};
use crate::base::fault::Fault;
use crate::caller::{Caller, Progress};
use crate::transfer::Skipped;
use crate::transfer::download::{DownloadReport, DownloadRequest, Downloads};
use crate::transfer::upload::{Allowed, Request, Uploads};

/// The size of what a person copies is their business.
const MAX_BYTES: u64 = u64::MAX;
/// Records of these transfers: those of the servers are of other folders.
const NOTES: &str = "copies";

const GET_EXAMPLES: &str = "\
Examples:
  smart-colab get model.pt              into the current folder
  smart-colab get /content/runs out/    a whole folder, as out/runs
  smart-colab get model.pt best.pt      under another name

A file that you name is replaced, in one step, once the new one is whole. Without a name no file
here is replaced: the new one gets another name. One with the same content is only verified. Each
file is checked by a digest. After a break or Ctrl-C, run the same command again: it resumes
where it stopped.";

const PUT_EXAMPLES: &str = "\
Examples:
  smart-colab put data.csv              into the content root, where code runs
  smart-colab put src/                  a whole folder, as src
  smart-colab put data.csv inputs/      into a folder of the runtime

Files of the same name on the runtime are replaced, and content that is there already is not sent
again. Each file is checked by a digest. After a break or Ctrl-C, run the same command again: it
resumes where it stopped.";

#[derive(Debug, Args)]
#[command(after_long_help = GET_EXAMPLES)]
pub(in crate::cli) struct GetArgs {
    /// A file or folder of the runtime: absolute, or relative to the content root (`/content` on Colab).
    remote: String,
    /// Its new path here, or the folder that it goes into [default: the current folder].
    #[arg(value_name = "LOCAL")]
    here: Option<PathBuf>,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Args)]
#[command(after_long_help = PUT_EXAMPLES)]
pub(in crate::cli) struct PutArgs {
    /// A file or folder of this computer.
    #[arg(value_name = "LOCAL")]
    here: PathBuf,
    /// Its path on the runtime, absolute or relative to the content root; with a / at its end the folder that it goes into.
    #[arg(default_value = "./", hide_default_value = true)]
    remote: String,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Downloads a file or folder.
pub(super) async fn get(args: GetArgs, desk: &Desk<'_>) -> Result<End, End> {
    let (folder, name) = place(args.here.as_deref())?;
    let named = name.as_ref().map(|name| folder.join(name));
    if let Some(path) = &named
        && std::fs::metadata(path).is_ok_and(|there| !there.is_file())
    {
        return Err(End::usage(
            format!("{} is no regular file", path.display()),
            "Nothing was copied. Name a file, or a folder that the file goes into.",
        ));
    }
    let request = DownloadRequest {
        remote_path: args.remote,
        local_filename: name,
        max_bytes: MAX_BYTES,
    };
    let downloads = Downloads::new(desk.floors.connection.clone(), folder, notes(desk));
    let copied = copy(desk, async move |caller| {
        downloads.download(&request, caller).await
    });
    let mut report = copied.await?;
    if let Some(path) = named.filter(|_| !report.is_folder) {
        replace(&mut report, &path)?;
    }
    Ok(done(&report.message, facts(&report), &report.skipped))
}

/// Replaces the file that the person has named by the one that got another name beside it, in one step.
fn replace(report: &mut DownloadReport, path: &Path) -> Result<(), End> {
    let there = report.local_path.as_deref().map(PathBuf::from);
    let Some(there) = there.filter(|there| there != path) else {
        return Ok(());
    };
    // One that was here before is kept, too.
    let replaced = match report.verified {
        true => copied(&there, path),
        false => std::fs::rename(&there, path),
    };
    replaced.map_err(|error| {
        End::fault(
            FAILED,
            "disk_failed",
            format!("{} cannot be replaced: {error}", path.display()),
            &format!("The file that was received is {}.", there.display()),
        )
    })?;
    report.moved_to(path);
    Ok(())
}

fn copied(from: &Path, to: &Path) -> io::Result<()> {
    let new = NamedTempFile::new_in(to.parent().unwrap_or(Path::new(".")))?;
    std::fs::copy(from, new.path())?;
    new.persist(to)?;
    Ok(())
}

fn done(message: &str, facts: serde_json::Value, skipped: &[Skipped]) -> End {
    let lines = skipped
        .iter()
        .map(|entry| format!("smart-colab: skipped {}: {}", entry.name, entry.reason));
    let said = lines.collect::<Vec<_>>().join("\n");
    End {
        said,
        ..End::text(message.to_owned(), facts)
    }
}

/// Uploads a file or folder.
pub(super) async fn put(args: PutArgs, desk: &Desk<'_>) -> Result<End, End> {
    let report = send(&args.here, args.remote, desk).await?;
    Ok(done(&report.message, facts(&report), &report.skipped))
}

/// Uploads to `remote`.
pub(super) async fn send(
    local: &Path,
    remote: String,
    desk: &Desk<'_>,
) -> Result<crate::transfer::upload::UploadReport, End> {
    let path = absolute(local)?;
    let Some(text) = path.to_str() else {
        return Err(End::usage(
            format!("{} is not a Unicode name", path.display()),
            "Rename it first.",
        ));
    };
    if let Err(error) = std::fs::symlink_metadata(&path) {
        return Err(End::usage(
            format!("{} cannot be read: {error}", path.display()),
            "Nothing was sent. Check the path: the file or folder has to be on this computer.",
        ));
    }
    // Whoever names a file here may read it, where it really is, too.
    let real = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
    let folders = [&path, &real].map(|path| match path.is_dir() {
        true => path.clone(),
        false => path.parent().unwrap_or(path).to_owned(),
    });
    let allowed = Allowed::new(folders.to_vec(), desk.settings.data_dir.clone());
    let request = Request {
        local_path: text.to_owned(),
        remote_path: remote,
        max_bytes: MAX_BYTES,
    };
    let uploads = Uploads::new(desk.floors.connection.clone(), allowed, notes(desk));
    copy(desk, async move |caller| {
        uploads.upload(&request, &[], caller).await
    })
    .await
}

fn notes(desk: &Desk<'_>) -> PathBuf {
    desk.settings.data_dir.join(NOTES)
}

/// The folder of a download, and its name there.
fn place(local: Option<&Path>) -> Result<(PathBuf, Option<String>), End> {
    let local = local.unwrap_or(Path::new("."));
    let path = absolute(local)?;
    // A path's own form forgets the slash.
    let is_folder = path.is_dir()
        || local
            .to_string_lossy()
            .ends_with(['/', std::path::MAIN_SEPARATOR]);
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if !is_folder => match name.to_str() {
            Some(name) => Ok((parent.to_owned(), Some(name.to_owned()))),
            None => Err(End::usage(
                format!("{} is not a Unicode name", path.display()),
                "Give another one.",
            )),
        },
        _ => Ok((path, None)),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, End> {
    std::path::absolute(path).map_err(|error| {
        let sentence = format!("{} is no path: {error}", path.display());
        End::usage(sentence, "Nothing was copied.")
    })
}

/// Does the copying in the foreground, with a bar where stderr is a terminal. Ctrl-C stops it, and what has arrived is kept.
async fn copy<T, E>(
    desk: &Desk<'_>,
    work: impl AsyncFnOnce(&Caller<'_>) -> Result<T, E>,
) -> Result<T, End>
where
    E: Fault,
{
    let bar = ProgressBar::no_length();
    let style =
        "{wide_msg} {bytes:>10} / {total_bytes:<10} {binary_bytes_per_sec:>12} {eta:>4} [{bar:24}]";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    let report = |progress: Progress<'_>| {
        if let Progress::Transfer(done) = progress {
            bar.set_message(done.message.clone());
            bar.set_position(done.done_bytes);
            if let Some(total) = done.total_bytes {
                bar.set_length(total);
            }
        }
    };
    let wait = Wait::default();
    let caller = Caller::until(Wait::deadline())
        .cancelled_by(&wait.left)
        .with_report(&report);
    let copied = wait.beside(desk, work(&caller)).await;
    bar.finish_and_clear();
    copied.map_err(|error| match error.code() {
        "cancelled" => End::fault(
            super::INTERRUPTED,
            "cancelled",
            "the copying was stopped; what has arrived is kept".to_owned(),
            "Run the same command again to resume it.",
        ),
        _ => End::from(error),
    })
}
