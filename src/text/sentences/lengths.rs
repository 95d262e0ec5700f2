//! How long a stretch of text is, and how an overlong one is cut.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::lines::trimmed;

/// A length of text. Tokens are not known here: a token of English is about four characters, or three quarters of a
/// word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// Unicode scalar values, white space between words included.
    Chars(usize),
    /// Stretches between white space that hold a letter or digit; a Chinese character or Japanese kana counts as a word
    /// of its own.
    Words(usize),
}

impl Length {
    /// The number, whatever its unit.
    pub fn value(self) -> usize {
        match self {
            Length::Chars(value) | Length::Words(value) => value,
        }
    }
}

/// What a stretch of text measures. Those of neighbours add up, with that of the gap between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    n_chars: usize,
    n_words: usize,
    is_in_word: bool,
}

impl Size {
    pub fn of(text: &str) -> Self {
        let mut size = Self::default();
        text.chars().for_each(|c| size.push(c));
        size
    }

    fn push(&mut self, c: char) {
        self.n_chars += 1;
        if is_word_of_its_own(c) {
            self.n_words += 1;
            self.is_in_word = false;
        } else if c.is_whitespace() || is_wide_punctuation(c) {
            self.is_in_word = false;
        } else if !self.is_in_word && c.is_alphanumeric() {
            self.n_words += 1;
            self.is_in_word = true;
        }
    }

    pub fn plus(self, next: Self) -> Self {
        Self { n_chars: self.n_chars + next.n_chars, n_words: self.n_words + next.n_words, is_in_word: next.is_in_word }
    }

    /// In the unit of a length.
    pub fn in_unit_of(self, length: Length) -> usize {
        match length {
            Length::Chars(_) => self.n_chars,
            Length::Words(_) => self.n_words,
        }
    }
}

/// Han and kana, which are written without spaces.
fn is_word_of_its_own(c: char) -> bool {
    let is_kana = matches!(c, '\u{3041}'..='\u{30ff}');
    let is_han = matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}');
    is_kana || is_han || matches!(c, '\u{20000}'..='\u{3ffff}')
}

/// East Asian punctuation, which stands for the space after it too.
fn is_wide_punctuation(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}')
}

/// How well a text may be cut at a place, worst first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cut {
    Anywhere,
    Space,
    Comma,
    Semicolon,
    LineEnd,
}

impl Cut {
    /// Of the place between two characters; `None` inside of a word where words are counted.
    fn between(c: char, next: char, limit: Length) -> Option<Self> {
        if matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}') {
            return Some(Cut::LineEnd);
        }
        match c {
            '；' => Some(Cut::Semicolon),
            // Whatever else ends a word in `Size`.
            _ if is_wide_punctuation(c) => Some(Cut::Comma),
            ';' | '؛' if next.is_whitespace() => Some(Cut::Semicolon),
            ',' | ':' | '،' if next.is_whitespace() => Some(Cut::Comma),
            _ if next.is_whitespace() => Some(Cut::Space),
            _ if matches!(limit, Length::Chars(_)) || is_word_of_its_own(c) || is_word_of_its_own(next) => {
                Some(Cut::Anywhere)
            }
            _ => None,
        }
    }
}

/// Cuts what is longer than `limit` (0 counts as 1) into parts of about the same length, none longer; parts are trimmed
/// and not empty.
///
/// The best kind of place in reach wins, then the one that makes the parts most even. The work is linear.
pub fn split_long(text: &str, range: Range<usize>, limit: Length) -> Vec<Range<usize>> {
    let max = limit.value().max(1);
    // Neither characters nor words are more than bytes.
    if range.len() <= max {
        return vec![range];
    }
    let mut n_left = Size::of(&text[range.clone()]).in_unit_of(limit);
    let mut parts = Vec::new();
    let mut rest = range;
    while n_left > max {
        let target = n_left.div_ceil(n_left.div_ceil(max));
        let (end, n_used) = cut(&text[rest.clone()], limit, max, target);
        parts.push(trimmed(text, rest.start..rest.start + end));
        let next = trimmed(text, rest.start + end..rest.end);
        let n_gap = Size::of(&text[rest.start + end..next.start]).in_unit_of(limit);
        n_left = n_left.saturating_sub(n_used + n_gap);
        rest = next;
    }
    parts.push(rest);
    parts.retain(|part| !part.is_empty());
    parts
}

/// Where the first part of a text ends, and its length: between half of `target` and `max`. The whole text, of any length, where it can
/// be cut nowhere.
fn cut(text: &str, limit: Length, max: usize, target: usize) -> (usize, usize) {
    let mut size = Size::default();
    let mut best: Option<(Cut, usize, usize, usize)> = None;
    let mut chars = text.char_indices().peekable();
    while let Some((_, c)) = chars.next() {
        size.push(c);
        let n_used = size.in_unit_of(limit);
        let Some(&(end, next)) = chars.peek().filter(|_| n_used <= max) else {
            break;
        };
        let distance = n_used.abs_diff(target);
        let Some(kind) = Cut::between(c, next, limit).filter(|_| n_used * 2 >= target) else {
            continue;
        };
        if best.is_none_or(|(kind_so_far, distance_so_far, ..)| {
            kind > kind_so_far || (kind == kind_so_far && distance < distance_so_far)
        }) {
            best = Some((kind, distance, end, n_used));
        }
    }
    best.map_or((text.len(), usize::MAX), |(_, _, end, n_used)| (end, n_used))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, limit: Length) -> Vec<&str> {
        split_long(text, 0..text.len(), limit).into_iter().map(|part| &text[part]).collect()
    }

    #[test]
    fn words_are_counted_between_spaces_and_by_character_in_chinese() {
        for (text, n_chars, n_words) in
            [("", 0, 0), (" a  b-c — d. ", 13, 3), ("北京 and 上海", 9, 5), ("l’État, c’est", 13, 2)]
        {
            let size = Size::of(text);
            assert_eq!((size.n_chars, size.n_words), (n_chars, n_words), "{text:?}");
        }
    }

    #[test]
    fn the_best_place_in_reach_wins() {
        let words = Length::Words(6);
        assert_eq!(split("a b c, d e f g h; i j k l", words), ["a b c,", "d e f g h;", "i j k l"]);
        assert_eq!(split("a b c\nd e, f g; h i", words), ["a b c", "d e, f g; h i"]);
        assert_eq!(split("a b c d, e f; g h", words), ["a b c d, e f;", "g h"]);
        assert_eq!(split("a b c d e f g h", words), ["a b c d", "e f g h"]);
        assert_eq!(split("1,000;2,000:3,000 x", Length::Chars(18)), ["1,000;2,000:3,000", "x"]);
        assert_eq!(split("北京上海，天津", Length::Chars(6)), ["北京上海，", "天津"]);
        assert_eq!(split("北京上海天津", Length::Words(3)), ["北京上", "海天津"]);
        assert_eq!(split("abcdefgh", Length::Chars(3)), ["abc", "def", "gh"]);
        assert_eq!(split("abcdefgh", Length::Words(1)), ["abcdefgh"]);
        assert_eq!(split("ab", Length::Chars(0)), ["a", "b"]);
        // Words that no space parts.
        assert_eq!(split("a。b。c（d", Length::Words(1)), ["a。", "b。", "c（", "d"]);
    }

    proptest::proptest! {
        #[test]
        fn parts_keep_the_limit_and_lose_nothing(text in "[ab ,;.\n北，。（…]{0,80}", max in 0usize..12, in_words: bool) {
            let limit = if in_words { Length::Words(max) } else { Length::Chars(max) };
            let parts = split_long(&text, trimmed(&text, 0..text.len()), limit);
            let squeeze = |text: &str| text.split_whitespace().collect::<String>();
            let joined: String = parts.iter().map(|part| squeeze(&text[part.clone()])).collect();
            proptest::prop_assert_eq!(joined, squeeze(&text));
            for part in &parts {
                proptest::prop_assert!(Size::of(&text[part.clone()]).in_unit_of(limit) <= max.max(1), "{:?}", parts);
            }
        }
    }
}
