//! What only an executor can do, each refused with a sentence.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use super::Kernels;
use crate::runtime::{
    ByteStream, Files, ListQuery, Machine, ReadQuery, RuntimeError, RuntimeResult,
};
use crate::wire::files::{
    BundleReply, BundleRequest, FileList, FilePreview, FileStat, FileText, Upload, UploadKey,
};
use crate::wire::machine::{Health, Probe};
use crate::wire::problem::Problem;
use crate::wire::session::{Cleanup, CleanupRequest};

const FILES: &str = "reading, copying and listing files";

pub(super) fn refused(status: u16, code: &str, detail: String, hint: &str) -> RuntimeError {
    RuntimeError::Refused(Problem {
        status,
        code: code.to_owned(),
        detail,
        hint: hint.to_owned(),
        retryable: false,
        retry_after_sec: None,
    })
}

/// Refuses `what`, because of `reason`.
pub(super) fn unsupported(what: &str, reason: &str) -> RuntimeError {
    let detail = format!(
        "This Jupyter Server runs code only: {what} need an executor beside its kernels, and none can run there. {reason}"
    );
    let hint = "Do it in code (shorter code, with a loop or open() in it), or change on the server what the message names, and restart the client.";
    refused(501, "unsupported", detail, hint)
}

#[async_trait]
impl Files for Kernels {
    async fn list_files(&self, _: &ListQuery) -> RuntimeResult<FileList> {
        Err(unsupported(FILES, &self.reason))
    }

    async fn stat(&self, _: &str, _: bool) -> RuntimeResult<FileStat> {
        Err(unsupported(FILES, &self.reason))
    }

    async fn download(&self, _: &str, _: Range<u64>, _: &str) -> RuntimeResult<ByteStream> {
        Err(unsupported(FILES, &self.reason))
    }

    async fn read_file(&self, _: &ReadQuery) -> RuntimeResult<FileText> {
        Err(unsupported(FILES, &self.reason))
    }

    async fn preview(&self, _: &str, _: Option<u64>) -> RuntimeResult<FilePreview> {
        Err(unsupported(FILES, &self.reason))
    }

    async fn get_bundle(&self, _: &BundleRequest) -> RuntimeResult<ByteStream> {
        Err(unsupported(FILES, &self.reason))
    }

    async fn put_bundle(&self, _: &str, _: Bytes) -> RuntimeResult<BundleReply> {
        Err(unsupported(FILES, &self.reason))
    }

    async fn upload(&self, _: &UploadKey) -> RuntimeResult<Upload> {
        Err(unsupported(FILES, &self.reason))
    }

    async fn upload_piece(&self, _: &UploadKey, _: u64, _: Bytes) -> RuntimeResult<Upload> {
        Err(unsupported(FILES, &self.reason))
    }

    async fn finish_upload(
        &self,
        _: &UploadKey,
        _: Option<&str>,
        _: bool,
        _: Option<&str>,
    ) -> RuntimeResult<Upload> {
        Err(unsupported(FILES, &self.reason))
    }
}

#[async_trait]
impl Machine for Kernels {
    async fn health(&self) -> RuntimeResult<Health> {
        let found = self.server.probe().await;
        found.map_err(|error| self.error(error))?;
        Ok(Health {
            status: "ok".to_owned(),
            uptime_minutes: self.began.elapsed().as_secs_f64() / 60.0,
            memory_available_gb: None,
            memory_used_pct: None,
            version: "none".to_owned(),
        })
    }

    async fn probe(&self, _: &[String]) -> RuntimeResult<Probe> {
        Err(unsupported("descriptions of the machine", &self.reason))
    }

    async fn cleanup(&self, _: &CleanupRequest) -> RuntimeResult<Cleanup> {
        Err(unsupported("cleanups", &self.reason))
    }
}
