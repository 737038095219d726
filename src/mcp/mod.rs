//! The face: tools, their results, progress and cancellation, over MCP on stdio.
//!
//! - [`server`]: what the client is told of us, and the one place where every call passes;
//! - `tools/`: a file for each family of tools;
//! - `resources/`: what can be read beside the tools; `answers`: the requests for it; `media`: media types of files;
//! - `floors`: the floors below, as tools and resources find them;
//! - `arguments`: a call's arguments against its schema; `args`: what they mean;
//! - `fault`: what went wrong; `convert`: results and faults as MCP shows them; `schema`: schemas as every client reads them;
//! - `call`: a call's deadline, cancellation and progress; `budget`: how long which client waits;
//! - [`words`]: what the floors below advise, in the names of the tools;
//! - `roots`: the folders that the client calls its own;
//! - [`transport`]: stdio, made safe against early notifications and unreadable requests; `lines`: its lines; `message`: what they say; `scan`: what can be
//!   found in those that no parser takes; `methods`: what is answered, in words for clients that ask for something else.
//!
//! Architecture Invariant: only this room knows rmcp. May import every floor below; not `app`, not `cli`.

mod answers;
mod args;
mod arguments;
mod budget;
mod call;
pub mod client;
mod convert;
mod fault;
pub mod floors;
mod lines;
mod media;
mod message;
mod methods;
mod resources;
mod roots;
mod scan;
mod schema;
pub mod serve;
pub mod server;
mod tools;
pub mod transport;
pub mod words;
