//! The face: tools, their results, progress and cancellation, over MCP on stdio.
//!
//! - [`server`]: the server's identity and capabilities, and the one place that every call passes;
//! - `tools/`: a file for each family of tools;
//! - `resources/`: logs, files and checkpoints as resources; `answers`: the requests for them; `media`: media types of files;
//! - `instructions`: what the server tells every model; `prompts`: tasks that users start by name; `completions`: of their arguments;
//! - `floors`: the floors below, for tools and resources;
//! - `arguments`: fits a call's arguments to its schema; `wanted`: to one type of it; `args`: parses single arguments;
//! - `fault`: the fields of failed calls; `convert`: results and faults in MCP's form; `reply`: facts, output and
//!   links in the bytes that a client keeps; `report`: reports and lists; `schema`: schemas that every client accepts;
//! - `call`: a call's deadline, cancellation and progress; `clients`: what each client allows; `cancellation`: the user's stop or not;
//!   `consent`: the user's agreement before what costs or destroys; `settle`: asks about what keeps a call from running;
//!   `questions`: has the user answer what the code asks;
//!   `left`: what goes on after a cancelled call;
//! - [`words`]: the advice of the floors below, in the names of the tools;
//! - `cells`, `notebook_runs`: runs of cells and of notebooks in MCP's form;
//! - `tool_news`: notifications of other tools; `roots`: the client's roots;
//! - [`transport`]: stdio, made safe against early notifications and unreadable requests; `lines`: its lines; `message`: their messages; `scan`: finds
//!   members in unparsable ones; `methods`: errors for unsupported requests.
//!
//! Architecture Invariant: beside `browser` only this room knows rmcp. May import every floor below; not `app`, not `cli`.

mod answers;
mod args;
mod arguments;
mod call;
mod cancellation;
mod cells;
pub mod client;
mod clients;
mod completions;
mod consent;
mod convert;
mod fault;
mod instructions;
mod kernels;
mod left;
mod lines;
mod media;
mod message;
mod methods;
mod notebook_runs;
mod prompts;
mod questions;
mod reply;
mod report;
mod resources;
mod roots;
mod scan;
mod schema;
pub mod serve;
pub mod server;
mod settle;
mod tool_news;
mod tools;
pub mod transport;
mod wanted;
pub mod words;
