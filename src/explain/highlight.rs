//! A text cut into pieces, so that each piece is evidence for the same labels from end to end.

use std::ops::Range;

use super::Explanation;
use crate::text::article_passages::Field;

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    pub text: &'a str,
    /// Positions in [`Explanation::labels`] of the labels that it is evidence for, ascending.
    pub labels: Vec<usize>,
    /// Those whose passage ends with this piece.
    pub ends: Vec<usize>,
}

impl Explanation {
    /// The title or the text, cut where evidence begins or ends; nothing where the field is empty.
    pub fn segments(&self, field: Field) -> Vec<Segment<'_>> {
        let text = match field {
            Field::Title => self.title.as_deref().unwrap_or_default(),
            Field::Text => &self.text,
        };
        let mut spans = Vec::new();
        for (label_idx, label) in self.labels.iter().enumerate() {
            let own = label.evidence.iter().filter(|evidence| evidence.field == field);
            spans.extend(own.map(|evidence| (evidence.start..evidence.end, label_idx)));
        }
        segments(text, &spans)
    }
}

/// Cuts a text at the ends of spans of characters (Unicode scalar values); what lies beyond the text is left out.
fn segments<'a>(text: &'a str, spans: &[(Range<usize>, usize)]) -> Vec<Segment<'a>> {
    let mut cuts: Vec<usize> = spans.iter().flat_map(|(span, _)| [span.start, span.end]).collect();
    cuts.push(0);
    cuts.sort_unstable();
    cuts.dedup();
    let ends_of_chars = text.char_indices().map(|(byte, _)| byte).chain([text.len()]).enumerate();
    let mut cuts = cuts.into_iter().peekable();
    let mut places: Vec<(usize, usize)> = ends_of_chars.filter(|(at, _)| cuts.next_if_eq(at).is_some()).collect();
    // Characters are only compared from here on, so any number beyond the last cut will do.
    places.push((usize::MAX, text.len()));

    let mut segments: Vec<Segment<'_>> = Vec::new();
    let mut start = 0;
    for pair in places.windows(2) {
        let [(from, from_byte), (_, to_byte)] = *pair else { continue };
        let covers = |span: &Range<usize>| span.contains(&from);
        let mut labels: Vec<usize> = spans.iter().filter(|(span, _)| covers(span)).map(|&(_, label)| label).collect();
        labels.sort_unstable();
        labels.dedup();
        match segments.last_mut() {
            Some(last) if last.labels == labels => last.text = &text[start..to_byte],
            _ if from_byte == to_byte => {}
            _ => {
                start = from_byte;
                segments.push(Segment { text: &text[from_byte..to_byte], labels, ends: Vec::new() });
            }
        }
    }
    for i in 0..segments.len() {
        let next = segments.get(i + 1).map_or(&[][..], |next| &next.labels);
        let ends = segments[i].labels.iter().filter(|label| !next.contains(label)).copied().collect();
        segments[i].ends = ends;
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{0,1:text|0}`: evidence for 0 and 1, and a passage for 0 ends.
    fn drawn(text: &str, spans: &[(Range<usize>, usize)]) -> String {
        let list = |labels: &[usize]| labels.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let found = segments(text, spans);
        assert_eq!(found.iter().map(|segment| segment.text).collect::<String>(), text, "nothing is lost");
        assert!(found.iter().all(|segment| !segment.text.is_empty()));
        let draw = |segment: &Segment<'_>| match &segment.labels[..] {
            [] => segment.text.to_owned(),
            labels => format!("{{{}:{}|{}}}", list(labels), segment.text, list(&segment.ends)),
        };
        found.iter().map(draw).collect()
    }

    #[test]
    fn pieces_have_the_labels_of_all_spans_over_them() {
        let cases: [(&str, &[(Range<usize>, usize)], &str); 12] = [
            ("", &[], ""),
            ("", &[(0..3, 0)], ""),
            ("abcdef", &[], "abcdef"),
            ("abcdef", &[(0..6, 0)], "{0:abcdef|0}"),
            ("abcdef", &[(1..3, 0)], "a{0:bc|0}def"),
            ("abcdef", &[(1..3, 1), (1..3, 0)], "a{0,1:bc|0,1}def"),
            ("abcdef", &[(0..3, 0), (2..5, 1)], "{0:ab|}{0,1:c|0}{1:de|1}f"),
            ("abcdef", &[(0..6, 0), (2..3, 1)], "{0:ab|}{0,1:c|1}{0:def|0}"),
            ("abcdef", &[(0..3, 0), (2..5, 0)], "{0:abcde|0}f"),
            ("abcdef", &[(0..3, 0), (3..6, 0)], "{0:abcdef|0}"),
            ("abcdef", &[(0..3, 0), (3..6, 1)], "{0:abc|0}{1:def|1}"),
            ("abcdef", &[(4..9, 0), (7..9, 1), (2..2, 2)], "abcd{0:ef|0}"),
        ];
        for (text, spans, expected) in cases {
            assert_eq!(drawn(text, spans), expected, "{text} {spans:?}");
        }
    }

    #[test]
    fn offsets_count_characters_and_not_bytes() {
        assert_eq!(drawn("Élan à 🚢 Одеса 港", &[(5..8, 0), (7..13, 1)]), "Élan {0:à |}{0,1:🚢|0}{1: Одес|1}а 港");
        // A letter and its accent are two characters; the cut goes where it is told to.
        assert_eq!(drawn("e\u{301}x", &[(0..2, 0)]), "{0:e\u{301}|0}x");
    }
}
