//! Characters that a text for people can do without, since they are not seen: what comes from elsewhere must neither
//! steer a terminal nor look like something else than it is.

/// Whether it changes the direction in which the text around it is shown, so that it is not read as it is written.
#[must_use]
pub fn is_bidi_control(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// Whether it has no shape of its own, white space aside: control and format characters, fillers, and what is no
/// character. (Unicode 16: `Cc`, `Cf` without the Arabic and Syriac signs that are seen, and `Default_Ignorable`
/// without the variation selectors of the basic plane, which scripts and emoji are written with.)
#[must_use]
pub fn is_unseen(c: char) -> bool {
    c.is_control() && !c.is_whitespace()
        || is_bidi_control(c)
        || u32::from(c) & 0xfffe == 0xfffe
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{70f}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200d}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fdd0}'..='\u{fdef}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_is_told_from_what_is_not_at_both_sides_of_each_edge() {
        let seen = "a~ä\u{a0}é\u{301}\u{2010}\u{2027}\u{202f}\u{2070}→שמש نور\u{605}日本\u{fe0f}🦀\u{fffc}\u{fffd}\n\t ";
        assert_eq!(seen.chars().find(|c| is_unseen(*c)), None);
        let unseen = "\0\u{1b}\u{7f}\u{9b}\u{ad}\u{61c}\u{200b}\u{200d}\u{200e}\u{200f}\u{202a}\u{202e}\u{2060}\u{2066}\
                      \u{2069}\u{206f}\u{feff}\u{fffb}\u{fffe}\u{ffff}\u{1fffe}\u{e0001}\u{e007f}\u{10ffff}";
        assert_eq!(unseen.chars().find(|c| !is_unseen(*c)), None);
    }

    #[test]
    fn of_general_punctuation_the_same_is_unseen_that_rust_does_not_print() {
        for c in ('\u{2000}'..='\u{206f}').filter(|c| !c.is_whitespace()) {
            // The letter before it keeps Rust from escaping it as the beginning of a text.
            let is_escaped = format!("a{c}").escape_debug().count() > 2;
            assert_eq!(is_unseen(c), is_escaped, "{c:?}");
        }
    }

    #[test]
    fn the_direction_is_changed_by_twelve_characters() {
        let all = ('\0'..=char::MAX).filter(|c| is_bidi_control(*c));
        assert_eq!(all.count(), 12);
        assert!(
            !is_bidi_control('\u{200d}')
                && !is_bidi_control('\u{2029}')
                && !is_bidi_control('\u{202f}')
        );
    }
}
