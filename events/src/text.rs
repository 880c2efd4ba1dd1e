//! Text from outside made fit for people: what moves a terminal's cursor, changes its colours or title, or turns the order of
//! letters around is shown and not done. Once where it enters, and once more where it is printed.

use std::borrow::Cow;

/// Whether a character does something to a terminal or to the reading of a line, in place of being shown.
pub fn is_hidden(c: char) -> bool {
    // C0, DEL and C1; separators of lines that are none here; what changes the direction of writing (CVE-2021-42574).
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with such characters written out as JSON writes them, `\u001b`, so that it stays JSON if it was; ends of lines and
/// tabs stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| is_hidden(c) && !matches!(c, '\n' | '\t');
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hidden(c) {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_do_is_shown() {
        assert!(matches!(visible("grüße, 世界\n\tx"), Cow::Borrowed(_)));
        assert_eq!(visible("a\u{1b}]0;title\u{7}b\u{9b}31m"), "a\\u001b]0;title\\u0007b\\u009b31m");
        assert_eq!(visible("\r\u{7f}\u{202e}x\u{2066}\0"), "\\u000d\\u007f\\u202ex\\u2066\\u0000");
        assert!(!visible("\u{1b}\u{85}\u{2028}").contains(is_hidden));
    }
}
