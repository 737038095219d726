//! Text as a terminal shows it: [`Screen`], a terminal in memory, and [`Excerpt`], the head and tail of its output; [`counted`] and [`visible`],
//! numbers and names in sentences.
//!
//! Imports no other module of this crate.

mod excerpt;
mod newest;
mod screen;
mod words;

pub use excerpt::Excerpt;
pub use newest::Newest;
pub use screen::Screen;
pub use words::{counted, visible};
