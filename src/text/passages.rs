//! Groups the sentences of an article into passages, and finds the characters and tokens of each.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::sentences::{Length, Size, is_lowercase, run_sentences, runs, split_long};

/// What is shorter joins a neighbour unless the user says otherwise: by-lines, "Thank you.", "9:17 A.M. EDT" carry no
/// topic alone.
pub const DEFAULT_MIN_LENGTH: Length = Length::Words(5);

/// How sentences become passages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PassageSettings {
    /// A passage with this many sentences is complete; any number fits where `None`.
    pub max_sentences: Option<usize>,
    /// No passage is longer: it takes no further sentence, and a sentence that alone is longer is cut. Where `None`,
    /// only [`MAX_SENTENCE`](super::sentences::MAX_SENTENCE) cuts sentences.
    pub max_length: Option<Length>,
    /// A shorter passage joins the one before in its paragraph, or else takes the sentences that follow, even of the
    /// next paragraph, and beyond `max_sentences`, but not beyond `max_length`.
    pub min_length: Length,
    /// Only that many passages of an article are used, from its start; all where `None`.
    pub max_passages: Option<usize>,
}

impl Default for PassageSettings {
    fn default() -> Self {
        Self { max_sentences: Some(1), max_length: None, min_length: DEFAULT_MIN_LENGTH, max_passages: None }
    }
}

/// Why settings make no passages.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PassageError {
    #[error("passage setting `{name}` is 0, expected at least 1")]
    Zero { name: &'static str },
    #[error("passages of at least {min:?} and at most {max:?} are not possible, expected a minimum below the maximum")]
    MinAboveMax { min: Length, max: Length },
}

impl PassageSettings {
    /// Checks the settings; do so before long work.
    ///
    /// # Errors
    /// A limit of 0, or a minimum above the maximum in the same unit.
    ///
    /// ```
    /// use topicwire::text::passages::PassageSettings;
    /// assert!(PassageSettings { max_sentences: Some(0), ..Default::default() }.check().is_err());
    /// ```
    pub fn check(&self) -> Result<(), PassageError> {
        let limits = [
            ("max_sentences", self.max_sentences),
            ("max_length", self.max_length.map(Length::value)),
            ("max_passages", self.max_passages),
        ];
        if let Some(&(name, _)) = limits.iter().find(|(_, limit)| *limit == Some(0)) {
            return Err(PassageError::Zero { name });
        }
        let (min, max) = (self.min_length, self.max_length.unwrap_or(self.min_length));
        if std::mem::discriminant(&min) == std::mem::discriminant(&max) && min.value() > max.value() {
            return Err(PassageError::MinAboveMax { min, max });
        }
        Ok(())
    }
}

/// Neighbouring sentences of an article.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Bytes of the text, on character boundaries, without white space at the ends.
    pub range: Range<usize>,
    /// The paragraph that the passage's longest sentence lies in (the first such), counted from 0. Blank lines part
    /// paragraphs; in a text without any, line ends after a full stop do.
    pub paragraph_idx: usize,
    /// Sentences, or parts of one that was cut.
    pub n_sentences: usize,
}

/// The passages of one article.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passages {
    /// Ascending and disjoint.
    pub passages: Vec<Passage>,
    /// Whether some of the text is in none, because of [`PassageSettings::max_passages`].
    pub was_cut: bool,
}

/// A passage that may still grow.
struct Draft {
    passage: Passage,
    size: Size,
    first_paragraph_idx: usize,
    last_paragraph_idx: usize,
    longest_chars: usize,
}

impl Draft {
    fn new(range: Range<usize>, paragraph_idx: usize, size: Size) -> Self {
        Self {
            passage: Passage { range, paragraph_idx, n_sentences: 1 },
            size,
            first_paragraph_idx: paragraph_idx,
            last_paragraph_idx: paragraph_idx,
            longest_chars: size.in_unit_of(Length::Chars(0)),
        }
    }

    fn size_with(&self, text: &str, next: &Self) -> Size {
        self.size.plus(Size::of(&text[self.passage.range.end..next.passage.range.start])).plus(next.size)
    }

    fn append(&mut self, text: &str, next: Self) {
        self.size = self.size_with(text, &next);
        self.passage.range.end = next.passage.range.end;
        self.passage.n_sentences += next.passage.n_sentences;
        self.last_paragraph_idx = next.last_paragraph_idx;
        if next.longest_chars > self.longest_chars {
            self.longest_chars = next.longest_chars;
            self.passage.paragraph_idx = next.passage.paragraph_idx;
        }
    }
}

/// Groups the sentences of a text into passages.
///
/// Every character that is not white space lies in exactly one passage, unless `max_passages` cuts the text. A passage
/// ends with its paragraph, unless it is shorter than `min_length`. Settings of 0 count as 1. The work grows linearly
/// with the text.
///
/// ```
/// use topicwire::text::passages::{PassageSettings, passages};
/// let text = "GENEVA TALKS\n\nThe ministers met on Jan. 5 in Geneva. They will meet again in spring.\n\nThank you.";
/// let found = passages(text, &PassageSettings::default());
/// let shown: Vec<&str> = found.passages.iter().map(|passage| &text[passage.range.clone()]).collect();
/// assert_eq!(shown, [
///     "GENEVA TALKS\n\nThe ministers met on Jan. 5 in Geneva.",
///     "They will meet again in spring.\n\nThank you.",
/// ]);
/// assert_eq!(found.passages[0].paragraph_idx, 1);
/// ```
pub fn passages(text: &str, settings: &PassageSettings) -> Passages {
    let max_sentences = settings.max_sentences.map_or(usize::MAX, |max| max.max(1));
    let max_passages = settings.max_passages.map_or(usize::MAX, |max| max.max(1));
    let fits = |size: Size| settings.max_length.is_none_or(|max| size.in_unit_of(max) <= max.value().max(1));
    let is_short = |draft: &Draft| draft.size.in_unit_of(settings.min_length) < settings.min_length.value();
    let is_lowercase_text = is_lowercase(text);
    let sentences = runs(text).flat_map(|run| {
        let paragraph_idx = run.paragraph_idx;
        let parts =
            run_sentences(text, &run, is_lowercase_text).into_iter().flat_map(|sentence| match settings.max_length {
                Some(max) => split_long(text, sentence, max),
                None => vec![sentence],
            });
        let parts: Vec<_> = parts.collect();
        parts.into_iter().map(move |part| {
            let size = Size::of(&text[part.clone()]);
            Draft::new(part, paragraph_idx, size)
        })
    });

    let mut done: Vec<Draft> = Vec::new();
    let mut draft: Option<Draft> = None;
    // A short passage at the end of its paragraph goes to the one before it there.
    let joins_previous = |draft: &Draft, previous: Option<&Draft>| {
        previous.is_some_and(|previous| {
            is_short(draft)
                && previous.last_paragraph_idx == draft.first_paragraph_idx
                && fits(previous.size_with(text, draft))
        })
    };
    for next in sentences {
        let Some(mut current) = draft.take() else {
            draft = Some(next);
            continue;
        };
        let is_same_paragraph = current.last_paragraph_idx == next.first_paragraph_idx;
        if !is_same_paragraph && joins_previous(&current, done.last()) {
            if let Some(previous) = done.last_mut() {
                previous.append(text, current);
            }
            draft = Some(next);
            continue;
        }
        let wants_more = is_short(&current) || (is_same_paragraph && current.passage.n_sentences < max_sentences);
        if wants_more && fits(current.size_with(text, &next)) {
            current.append(text, next);
            draft = Some(current);
            continue;
        }
        done.push(current);
        draft = Some(next);
        // One more than allowed is known to exist; with it in `draft` the last allowed one may still have to take it
        // in.
        if done.len() > max_passages {
            break;
        }
    }
    if let Some(last) = draft {
        match done.last_mut() {
            // At the end of the text there is nothing left to join but what came before, be it another paragraph.
            Some(previous) if is_short(&last) && fits(previous.size_with(text, &last)) => previous.append(text, last),
            _ => done.push(last),
        }
    }
    let was_cut = done.len() > max_passages;
    done.truncate(max_passages);
    Passages { passages: done.into_iter().map(|draft| draft.passage).collect(), was_cut }
}

/// Byte ranges as ranges of characters (Unicode scalar values, what Python's strings count), in one pass over the text.
///
/// In the order given, which may be any, though ascending ranges are fastest. A place inside a character or behind the
/// text's end counts the characters that begin before it.
///
/// ```
/// use topicwire::text::passages::char_ranges;
/// assert_eq!(char_ranges("Élysée 日本", &[0..8, 9..12]), [0..6, 7..8]);
/// ```
pub fn char_ranges(text: &str, byte_ranges: &[Range<usize>]) -> Vec<Range<usize>> {
    let ends = byte_ranges.iter().enumerate().flat_map(|(i, range)| [(range.start, i, true), (range.end, i, false)]);
    let mut ends: Vec<(usize, usize, bool)> = ends.collect();
    // Nearly free where they ascend already.
    ends.sort_by_key(|&(at, ..)| at);
    let mut chars = vec![0..0; byte_ranges.len()];
    let (mut n_bytes, mut n_chars) = (0, 0);
    for (at, i, is_start) in ends {
        let at = at.min(text.len());
        // Every byte but a continuation byte begins a character.
        n_chars += text.as_bytes()[n_bytes..at].iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
        n_bytes = at;
        if is_start {
            chars[i].start = n_chars;
        } else {
            chars[i].end = n_chars;
        }
    }
    chars
}

/// The tokens of each passage, for pooling token states of the whole article ("late chunking").
///
/// `passages` are ascending byte ranges, `tokens` the byte offsets of a tokenised text, ascending; both of the same
/// text. A token belongs to each passage that it shares a byte with, so one that reaches over a passage's end belongs
/// to two. Tokens without bytes (`[CLS]`, padding) belong to none, but may lie inside of a span. A passage without
/// tokens, behind the end of a truncated text, gets an empty span.
///
/// Source: Günther et al. 2024, "Late Chunking", arXiv:2409.04701.
///
/// ```
/// use topicwire::text::passages::token_spans;
/// let tokens = [(0, 0), (0, 4), (4, 9), (9, 10), (11, 15), (0, 0)];
/// assert_eq!(token_spans(&[0..10, 11..20, 21..30], &tokens), [1..4, 4..5, 6..6]);
/// ```
pub fn token_spans(passages: &[Range<usize>], tokens: &[(usize, usize)]) -> Vec<Range<usize>> {
    let is_empty = |&(start, end): &(usize, usize)| start >= end;
    let mut first = 0;
    let spans = passages.iter().map(|passage| {
        while tokens.get(first).is_some_and(|token| is_empty(token) || token.1 <= passage.start) {
            first += 1;
        }
        let mut end = first;
        for (i, token) in tokens.iter().enumerate().skip(first).filter(|(_, token)| !is_empty(token)) {
            if token.0 >= passage.end {
                break;
            }
            end = i + 1;
        }
        first..end
    });
    spans.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown<'a>(text: &'a str, settings: &PassageSettings) -> Vec<(usize, &'a str)> {
        let found = passages(text, settings).passages;
        found.into_iter().map(|passage| (passage.paragraph_idx, &text[passage.range])).collect()
    }

    const TEXT: &str = "SUMMIT\n\nThe two ministers spoke of trade today. They also spoke of the long war. \
        Nothing was decided at all there. \
        Thank you.\n\nBy Jo Doe\n\nThe markets did not react to it. Oil was dearer by a cent.\n\nEnds";

    #[test]
    fn short_passages_join_a_neighbour() {
        assert_eq!(
            shown(TEXT, &PassageSettings::default()),
            [
                (1, "SUMMIT\n\nThe two ministers spoke of trade today."),
                (1, "They also spoke of the long war."),
                (1, "Nothing was decided at all there. Thank you."),
                (3, "By Jo Doe\n\nThe markets did not react to it."),
                (3, "Oil was dearer by a cent.\n\nEnds"),
            ]
        );
        let alone = PassageSettings { min_length: Length::Words(0), ..Default::default() };
        assert_eq!(shown(TEXT, &alone).len(), 9);
        assert_eq!(shown("Yes.", &PassageSettings::default()), [(0, "Yes.")]);
    }

    #[test]
    fn passages_end_with_their_paragraph() {
        let settings = PassageSettings { max_sentences: None, ..Default::default() };
        let found = passages(TEXT, &settings).passages;
        let shown: Vec<_> = found.iter().map(|passage| (passage.paragraph_idx, passage.n_sentences)).collect();
        assert_eq!(shown, [(1, 5), (3, 4)]);
    }

    #[test]
    fn a_length_closes_passages_and_cuts_sentences() {
        let settings = PassageSettings {
            max_sentences: Some(3),
            max_length: Some(Length::Words(6)),
            min_length: Length::Words(2),
            max_passages: None,
        };
        assert_eq!(
            shown("One two. Three four five. Six seven. Eight, nine; ten eleven twelve thirteen fourteen.", &settings),
            [
                (0, "One two. Three four five."),
                (0, "Six seven. Eight, nine;"),
                (0, "ten eleven twelve thirteen fourteen."),
            ]
        );
        let chars = PassageSettings { max_length: Some(Length::Chars(20)), max_sentences: None, ..settings };
        assert!(shown(TEXT, &chars).iter().all(|(_, passage)| passage.chars().count() <= 20));
    }

    #[test]
    fn a_cap_is_reported() {
        let capped = |max| passages(TEXT, &PassageSettings { max_passages: Some(max), ..Default::default() });
        let all = passages(TEXT, &PassageSettings::default());
        assert!(!all.was_cut);
        assert_eq!(capped(all.passages.len()), all);
        for max in 1..all.passages.len() {
            assert_eq!(capped(max), Passages { passages: all.passages[..max].to_vec(), was_cut: true });
        }
        assert_eq!(passages(" \n", &PassageSettings::default()), Passages::default());
    }

    #[test]
    fn impossible_settings_are_refused() {
        let settings = PassageSettings::default();
        assert_eq!(settings.check(), Ok(()));
        let zero = PassageSettings { max_length: Some(Length::Chars(0)), ..settings.clone() };
        assert_eq!(zero.check(), Err(PassageError::Zero { name: "max_length" }));
        let crossed = PassageSettings { max_length: Some(Length::Words(4)), ..settings };
        let expected = PassageError::MinAboveMax { min: Length::Words(5), max: Length::Words(4) };
        assert_eq!(crossed.check(), Err(expected));
    }

    #[test]
    fn settings_survive_json_and_unknown_ones_are_refused() {
        let settings = PassageSettings { max_length: Some(Length::Words(60)), ..Default::default() };
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(
            json,
            r#"{"max_sentences":1,"max_length":{"words":60},"min_length":{"words":5},"max_passages":null}"#
        );
        assert_eq!(serde_json::from_str::<PassageSettings>(&json).unwrap(), settings);
        assert!(serde_json::from_str::<PassageSettings>(r#"{"sentences": 3}"#).is_err());
    }

    #[test]
    fn characters_are_counted_in_any_order() {
        let text = "añ日b";
        let ranges = [7..7, 0..1, 1..6, 2..4, 0..99];
        assert_eq!(char_ranges(text, &ranges), [4..4, 0..1, 1..3, 2..3, 0..4]);
    }

    #[test]
    fn tokens_belong_to_the_passages_they_touch() {
        // The third token reaches over the end of the first passage; the fifth, of no bytes, lies inside of the second.
        let tokens = [(0, 3), (3, 6), (6, 12), (12, 14), (0, 0), (14, 20)];
        assert_eq!(token_spans(&[0..9, 10..20], &tokens), [0..3, 2..6]);
        assert_eq!(token_spans(&[0..1, 1..2], &[]), [0..0, 0..0]);
        assert!(token_spans(&[], &tokens).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn passages_lose_nothing(
            text in "([A-Ca-c]{1,6}|[.?!;,。…]|\"|[ ]{1,2}|\n{1,3}|日本|é\u{301}|\u{200b}){0,60}",
            max_sentences in proptest::option::of(0usize..4),
            max in proptest::option::of((proptest::bool::ANY, 0usize..30)),
            min in 0usize..5,
        ) {
            let max_length = max.map(|(in_words, max)| if in_words { Length::Words(max) } else { Length::Chars(max) });
            let min_length = Length::Words(min);
            let settings = PassageSettings { max_sentences, max_length, min_length, max_passages: None };
            let all = passages(&text, &settings);
            let mut end = 0;
            for passage in &all.passages {
                proptest::prop_assert!(text[end..passage.range.start].trim().is_empty());
                let inner = &text[passage.range.clone()];
                proptest::prop_assert!(!inner.is_empty() && inner.trim() == inner);
                let fits = |max: Length| Size::of(inner).in_unit_of(max) <= max.value().max(1);
                proptest::prop_assert!(max_length.is_none_or(fits));
                end = passage.range.end;
            }
            proptest::prop_assert!(text[end..].trim().is_empty());
            proptest::prop_assert!(all.passages.is_sorted_by_key(|passage| passage.paragraph_idx));
            for max_passages in 1..4 {
                let capped = passages(&text, &PassageSettings { max_passages: Some(max_passages), ..settings.clone() });
                proptest::prop_assert_eq!(capped.was_cut, all.passages.len() > max_passages);
                proptest::prop_assert_eq!(&capped.passages[..], &all.passages[..all.passages.len().min(max_passages)]);
            }
            let ranges: Vec<_> = all.passages.iter().map(|passage| passage.range.clone()).collect();
            for (bytes, chars) in ranges.iter().zip(char_ranges(&text, &ranges)) {
                proptest::prop_assert_eq!(chars.start, text[..bytes.start].chars().count());
                proptest::prop_assert_eq!(chars.len(), text[bytes.clone()].chars().count());
            }
            let tokens: Vec<_> = text.char_indices().map(|(at, c)| (at, at + c.len_utf8())).collect();
            for (bytes, span) in ranges.iter().zip(token_spans(&ranges, &tokens)) {
                proptest::prop_assert_eq!(tokens[span.start].0..tokens[span.end - 1].1, bytes.clone());
            }
        }
    }
}
