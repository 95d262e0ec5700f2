//! Cuts very long texts into pieces that are tokenised one after the other, so that memory does not grow with the text and
//! truncation need not read to the end.
//!
//! Tokenizers of our kinds split at white space first, so a cut between two words changes no token.

/// How far behind the wished-for end a cut between words is looked for, before a cut inside a word is accepted.
const MAX_SEARCH_BYTES: usize = 256 * 1024;

/// Splits `text` into pieces of about `wished_bytes`; joined, they are the text.
///
/// A piece ends before a space that stands between two ASCII letters or digits: no normalisation reaches across it, and the
/// space stays with the word it introduces, as SentencePiece and byte-level vocabularies expect. In a text with no such place for
/// 256 KiB the cut falls between any two characters, and one token may differ there.
pub fn pieces(text: &str, wished_bytes: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = rest.split_at(cut(rest, wished_bytes.max(1)));
        rest = after;
        Some(piece)
    })
}

/// Where the first piece ends; never 0.
fn cut(text: &str, wished_bytes: usize) -> usize {
    let bytes = text.as_bytes();
    let limit = wished_bytes.saturating_add(MAX_SEARCH_BYTES);
    let is_between_words = |&at: &usize| {
        bytes[at] == b' ' && bytes[at - 1].is_ascii_alphanumeric() && bytes[at + 1].is_ascii_alphanumeric()
    };
    // Both neighbours must exist.
    let last = limit.min(bytes.len().saturating_sub(1));
    if let Some(at) = (wished_bytes..last).find(is_between_words) {
        return at;
    }
    if bytes.len() <= limit {
        return bytes.len();
    }
    (limit..bytes.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, wished: usize) -> Vec<&str> {
        pieces(text, wished).collect()
    }

    #[test]
    fn cuts_fall_between_words_only() {
        assert_eq!(split("one two three", 1), ["one", " two", " three"]);
        assert_eq!(split("one two three", 4), ["one two", " three"]);
        assert_eq!(split("one two three", 100), ["one two three"]);
        // Never beside punctuation, more spaces, or letters that marks could join.
        assert_eq!(split("a.  b, é c d\u{301} e ", 1), ["a.  b, é c", " d\u{301} e "]);
        assert_eq!(split("", 1), Vec::<&str>::new());
        assert_eq!(split("a ", 1), ["a "]);
    }

    #[test]
    fn a_text_without_spaces_is_cut_between_characters() {
        let text = "語".repeat(200_000);
        let parts = split(&text, 10);
        assert!(parts.len() > 1);
        assert_eq!(parts.concat(), text);
    }

    proptest::proptest! {
        #[test]
        fn pieces_add_up_to_the_text(text in "[a-c é\u{301}。\n]{0,60}", wished in 0usize..20) {
            let parts = split(&text, wished);
            proptest::prop_assert_eq!(parts.concat(), text.as_str());
            proptest::prop_assert!(parts.iter().all(|part| !part.is_empty()));
        }
    }
}
