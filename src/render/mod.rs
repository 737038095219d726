//! Makes the output of programs readable for a model and a person in a chat: bytes in, text or a small picture out, bounded in size and time
//! whatever the input.
//!
//! - [`picture`]: pictures of any kind that fit a chat; `svg`: drawings among them;
//! - [`html`]: pages as text, `embedded`: words for what they embed; [`page`]: pages that open in a browser;
//! - [`text`]: bytes as text, without embedded data; [`log`]: text that was written for a terminal, `progress`: the bars in it;
//! - [`rows`]: lists as compact tables; [`table`]: CSV as an aligned table, `records` its rows; [`json`]: JSON on lines of its own; [`notebook`]: the cells of a notebook in short form.
//!
//! May import `base`; knows nothing of jobs, files or MCP, and touches no disk but for the system's fonts.

mod embedded;
pub mod html;
pub mod json;
pub mod log;
pub mod notebook;
pub mod page;
pub mod picture;
mod progress;
mod records;
pub mod rows;
mod svg;
pub mod table;
pub mod text;
