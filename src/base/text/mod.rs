//! Text as a person would have seen it: [`Screen`], a terminal that one can only read back, and [`Excerpt`], the head and tail of what it showed;
//! [`counted`] and [`visible`], numbers and names in sentences.
//!
//! Imports nothing of ours.

mod excerpt;
mod newest;
mod screen;
mod words;

pub use excerpt::Excerpt;
pub use newest::Newest;
pub use screen::Screen;
pub use words::{counted, visible};
