//! Streams that outlive the connections that carry them.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::tries::Tries;
use crate::runtime::{ByteStream, Runtime, RuntimeResult};

/// The progress of a stream, and how to fetch the rest.
struct Resumed<O> {
    tries: Tries,
    /// Opens the stream after so many bytes.
    open: O,
    current: Option<(Arc<dyn Runtime>, ByteStream)>,
    taken: u64,
}

/// Returns the bytes of a stream; whenever it breaks, `open` reopens it after the bytes received so far, until the deadline of `tries`.
pub(super) fn resumed<O>(tries: Tries, open: O) -> ByteStream
where
    O: Fn(Arc<dyn Runtime>, u64) -> BoxFuture<'static, RuntimeResult<ByteStream>> + Send + 'static,
{
    let resumed = Resumed {
        tries,
        open,
        current: None,
        taken: 0,
    };
    let pieces = stream::try_unfold(resumed, |mut resumed| async move {
        let bytes = resumed.next().await?;
        Ok(bytes.map(|bytes| (bytes, resumed)))
    });
    pieces.boxed()
}

impl<O> Resumed<O>
where
    O: Fn(Arc<dyn Runtime>, u64) -> BoxFuture<'static, RuntimeResult<ByteStream>>,
{
    async fn next(&mut self) -> RuntimeResult<Option<Bytes>> {
        loop {
            let Some((runtime, mut stream)) = self.current.take() else {
                let runtime = self.tries.runtime().await?;
                let opening = (self.open)(runtime.clone(), self.taken);
                let opened = self.tries.attempt(&*runtime, opening).await?;
                self.current = opened.map(|stream| (runtime, stream));
                continue;
            };
            let Some(bytes) = self.tries.attempt(&*runtime, stream.try_next()).await? else {
                continue;
            };
            if let Some(bytes) = &bytes {
                self.taken += bytes.len() as u64;
                self.tries.end_trouble();
                self.current = Some((runtime, stream));
            }
            return Ok(bytes);
        }
    }
}
