//! Text as a person would have seen it: [`Screen`], a terminal that one can only read back, and [`Excerpt`], the head and tail of what it showed.
//!
//! Imports nothing of ours.

mod excerpt;
mod newest;
mod screen;

pub use excerpt::Excerpt;
pub use newest::Newest;
pub use screen::Screen;
