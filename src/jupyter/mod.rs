//! A client of Jupyter Servers and Kernel Gateways: their REST API, and one kernel's messages over its WebSocket.
//!
//! It knows nothing of executors. It always speaks the legacy framing with JSON text, the one form that a Jupyter Server, a Kernel Gateway and
//! a server with `--gateway-url` all understand. Nothing is ever sent twice. May import `base`, `edge`.

mod attachment;
mod channel;
mod contents;
mod error;
mod files;
mod kernels;
mod message;
mod meter;
mod notebooks;
mod presence;
mod room;
mod server;
mod socket;
mod trust;

pub use attachment::Attachment;
pub use channel::{Channel, Route};
pub use contents::{Entry, EntryKind};
pub use error::JupyterError;
pub use message::Incoming;
pub use notebooks::OpenNotebook;
pub use room::Room;
pub use server::Server;
