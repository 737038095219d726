//! Output as a terminal would show it, bounded: ANSI gone, `\r` and backspace applied, head and tail kept.
