//! Text as a terminal shows it: [`Screen`], a terminal in memory, and [`Excerpt`], the head and tail of its output, within a [`Room`];
//! [`Pattern`], a regular expression; [`counted`] and [`visible`], numbers and names in sentences;
//! [`ends_with_path`], names of files.
//!
//! Imports no other module of this crate.

mod excerpt;
mod newest;
mod path;
mod pattern;
mod room;
mod screen;
mod words;

pub use excerpt::Excerpt;
pub use newest::Newest;
pub use path::ends_with_path;
pub use pattern::{Pattern, PatternError};
pub use room::Room;
pub use screen::Screen;
pub use words::{counted, visible};
