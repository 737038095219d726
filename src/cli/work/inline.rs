//! Pictures in terminals that show them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::edge::env::{self, Env};
use crate::render::picture::Fitted;

/// Bytes of base64 in one escape sequence, by kitty's protocol.
const KITTY_PIECE_BYTES: usize = 4096;

/// How a terminal is sent a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// <https://sw.kovidgoyal.net/kitty/graphics-protocol/>
    Kitty,
    /// <https://iterm2.com/documentation-images.html>
    Iterm,
}

impl Protocol {
    /// The one that this process's terminal says it speaks.
    pub(super) fn of(env: &Env) -> Option<Self> {
        // Takes neither from the programs in it.
        if env.get(env::TMUX).is_some() {
            return None;
        }
        let term = env.get(env::TERM).unwrap_or_default();
        let is_kitty = matches!(term, "xterm-kitty" | "xterm-ghostty");
        if is_kitty || env.get(env::KITTY_WINDOW_ID).is_some() {
            return Some(Self::Kitty);
        }
        let program = env.get(env::TERM_PROGRAM).unwrap_or_default();
        matches!(program, "iTerm.app" | "WezTerm").then_some(Self::Iterm)
    }

    /// The picture as escape sequences; none for a type that the terminal does not take.
    pub(super) fn show(self, picture: &Fitted) -> Option<String> {
        let text = STANDARD.encode(&picture.bytes);
        match self {
            Self::Iterm => {
                let size = picture.bytes.len();
                Some(format!("\x1b]1337;File=inline=1;size={size}:{text}\x07"))
            }
            Self::Kitty if picture.mime == "image/png" => Some(kitty(&text)),
            Self::Kitty => None,
        }
    }
}

fn kitty(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    let mut control = "a=T,f=100,";
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(rest.len().min(KITTY_PIECE_BYTES));
        let more = u8::from(!later.is_empty());
        shown += &format!("\x1b_G{control}m={more};{piece}\x1b\\");
        (rest, control) = (later, "");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{KITTY_PIECE_BYTES, Protocol};
    use crate::edge::env::Env;
    use crate::render::picture::Fitted;

    #[test]
    fn a_terminal_is_sent_pictures_only_in_the_way_that_it_takes_them() {
        for (variables, expected) in [
            (
                [("TERM", "xterm-kitty"), ("TERM_PROGRAM", "")],
                Some(Protocol::Kitty),
            ),
            (
                [("TERM", "xterm"), ("KITTY_WINDOW_ID", "1")],
                Some(Protocol::Kitty),
            ),
            (
                [("TERM", "xterm"), ("TERM_PROGRAM", "iTerm.app")],
                Some(Protocol::Iterm),
            ),
            ([("TMUX", "/tmp/1"), ("TERM_PROGRAM", "iTerm.app")], None),
            ([("TERM", "xterm-256color"), ("TERM_PROGRAM", "vt")], None),
        ] {
            let env = Env::from(variables);
            assert_eq!(Protocol::of(&env), expected, "{variables:?}");
        }
    }

    #[test]
    fn a_long_picture_is_sent_to_kitty_in_pieces() {
        let picture = |mime| Fitted {
            mime,
            bytes: vec![7; 2 * KITTY_PIECE_BYTES],
        };
        let shown = Protocol::Kitty.show(&picture("image/png")).unwrap();
        let pieces: Vec<_> = shown.split_terminator("\x1b\\").collect();
        assert_eq!(pieces.len(), 3);
        assert!(
            pieces[0].starts_with("\x1b_Ga=T,f=100,m=1;"),
            "{}",
            pieces[0]
        );
        assert!(pieces[1].starts_with("\x1b_Gm=1;") && pieces[2].starts_with("\x1b_Gm=0;"));
        assert!(
            pieces
                .iter()
                .all(|piece| piece.len() < KITTY_PIECE_BYTES + 32)
        );
        assert_eq!(Protocol::Kitty.show(&picture("image/jpeg")), None);
    }
}
