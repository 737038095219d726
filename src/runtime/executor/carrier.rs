//! Another way than HTTP to an executor: the requests are the same, and something else brings them there.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::runtime::{ByteStream, RuntimeResult};

/// A request to an executor. The token is not among its headers: the carrier's other end knows it.
#[derive(Debug)]
pub struct Request {
    pub method: String,
    /// The path, with the query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Bytes>,
    /// For the whole response; none for one whose length is not known.
    pub timeout: Option<Duration>,
}

/// An executor's response.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: ByteStream,
}

/// Brings requests to one executor, each at most once.
#[async_trait]
pub trait Carrier: Debug + Send + Sync {
    /// The address for people to read: no token in it.
    fn address(&self) -> &str;

    /// Sends a request and returns the head of the response.
    ///
    /// # Errors
    /// Why there is none. Its [`reach`](crate::runtime::RuntimeError::reach) says whether the executor may have received the request.
    async fn carry(&self, request: Request) -> RuntimeResult<Reply>;
}
