//! Errors of tasks.

use thiserror::Error;

use crate::base::advice::{Advice, Step};
use crate::base::fault::Fault;
use crate::runtime::RuntimeError;
use crate::transfer::TransferError;
use crate::transfer::upload::UploadError;

/// A task could not be followed or ended.
#[derive(Debug, Error)]
pub enum TaskError {
    #[error(
        "this download or upload is not run by this smart-colab process, so it cannot be stopped here"
    )]
    NotHere,
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error(transparent)]
    Download(#[from] TransferError),
    #[error(transparent)]
    Upload(#[from] UploadError),
}

impl Fault for TaskError {
    fn code(&self) -> &str {
        match self {
            Self::NotHere => "not_found",
            Self::Runtime(error) => error.code(),
            Self::Download(error) => error.code(),
            Self::Upload(error) => error.code(),
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::NotHere => false,
            Self::Runtime(error) => error.is_retryable(),
            Self::Download(error) => error.is_retryable(),
            Self::Upload(error) => error.is_retryable(),
        }
    }

    fn remedy(&self) -> Advice {
        match self {
            Self::NotHere => {
                Advice::from(Step::Output { job: None })
                    + " with this job_id shows it. The client that started it can stop it."
            }
            Self::Runtime(error) => error.remedy(),
            Self::Download(error) => error.remedy(),
            Self::Upload(error) => error.remedy(),
        }
    }
}
