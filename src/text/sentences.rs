//! Cuts a text into sentences: the boundaries of UAX #29, corrected for abbreviations, lists, wrapped lines and missing
//! punctuation.

mod boundary;
mod lengths;
mod lines;

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use boundary::{Place, is_closer, is_inline_bullet, is_opener, is_straight, is_terminator};
pub use lengths::Length;
pub(super) use lengths::{Size, split_long};
pub(super) use lines::{Run, runs, trimmed};

/// A sentence longer than this is cut: missing punctuation, tables. About 250 tokens of English, one window of a small
/// encoder.
pub const MAX_SENTENCE: Length = Length::Chars(1000);

/// After so many characters without a letter that has a case, the segmenter is started anew at the next place between
/// two letters or digits, and after so many more at any place: it looks ahead from each space after a full stop, which
/// is quadratic else.
const QUIET_CHARS: usize = 64;
const MAX_QUIET_CHARS: usize = 128;

/// Byte ranges of the sentences of a text.
///
/// Ascending, on character boundaries, trimmed of white space; every character that is not white space lies in exactly
/// one. A text of white space alone has none.
///
/// A sentence ends where [UAX #29](https://www.unicode.org/reports/tr29/#Sentence_Boundaries) puts a boundary, except
/// after abbreviations and initials ("Gen. J. Doe of the U.S. Army"; English ones), list numbers, and before a word in
/// lower case; it also ends at a missing space ("end.The"), before a bullet, and at a line end, unless the line was
/// merely wrapped there. What is longer than [`MAX_SENTENCE`] is cut into even parts, at a line end if there is one,
/// else at a semicolon, a comma, a space, or anywhere.
///
/// The work grows linearly with the text.
///
/// ```
/// use topicwire::text::sentences::sentences;
/// let text = "Mr. Fox met Gen. Ito at 9 a.m. on Jan. 5.  \"Good.\" (Laughter.)\nNEXT STEPS";
/// let found: Vec<&str> = sentences(text).map(|range| &text[range]).collect();
/// assert_eq!(found, ["Mr. Fox met Gen. Ito at 9 a.m. on Jan. 5.", "\"Good.\"", "(Laughter.)", "NEXT STEPS"]);
/// ```
pub fn sentences(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let is_lowercase_text = is_lowercase(text);
    runs(text).flat_map(move |run| run_sentences(text, &run, is_lowercase_text))
}

/// Whether a text has no upper case, so that lower case does not tell that a sentence goes on.
pub(super) fn is_lowercase(text: &str) -> bool {
    !text.chars().any(char::is_uppercase)
}

/// The sentences of one run of lines.
pub(super) fn run_sentences(text: &str, run: &Run, is_lowercase_text: bool) -> Vec<Range<usize>> {
    let mut segments = Vec::new();
    for line in &run.lines {
        for piece in pieces(text, line.clone()) {
            push_segments(text, piece, is_lowercase_text, &mut segments);
        }
    }
    let mut sentences = Vec::new();
    let mut segments = segments.into_iter();
    let Some(mut sentence) = segments.next() else {
        return sentences;
    };
    for mut next in segments {
        (sentence.end, next.start) = adjust(text, &sentence, &next);
        let place = Place {
            before: &text[sentence.clone()],
            after: &text[next.clone()],
            is_spaced: sentence.end < next.start,
            is_lowercase_text,
        };
        if !sentence.is_empty() && !next.is_empty() && place.is_boundary() {
            sentences.extend(split_long(text, sentence, MAX_SENTENCE));
            sentence = next;
        } else {
            sentence.end = next.end;
        }
    }
    sentences.extend(split_long(text, sentence, MAX_SENTENCE));
    sentences
}

/// How many brackets or quotation marks in a row change sides at a boundary; more are no punctuation.
const MAX_MOVED_MARKS: usize = 8;

/// Moves the place between two segments of UAX #29 over marks that belong to the other side: returns the new end and
/// start.
///
/// "end.(" | "Note)" opens before the break, and "« Oui. " | "» Puis" closes after it.
fn adjust(text: &str, sentence: &Range<usize>, next: &Range<usize>) -> (usize, usize) {
    let (before, after) = (&text[sentence.clone()], &text[next.clone()]);
    let closing = after.chars().take(MAX_MOVED_MARKS).take_while(|&c| is_closer(c) && !is_opener(c) && !is_straight(c));
    let n_closing: usize = closing.map(char::len_utf8).sum();
    let rest = &after[n_closing..];
    if n_closing > 0 && rest.chars().next().is_none_or(char::is_whitespace) {
        let n_spaces = rest.len() - rest.trim_start().len();
        return (next.start + n_closing, next.start + n_closing + n_spaces);
    }
    if sentence.end == next.start {
        let opening = before.chars().rev().take(MAX_MOVED_MARKS).take_while(|&c| is_opener(c));
        let n_opening: usize = opening.map(char::len_utf8).sum();
        let end = sentence.start + before[..before.len() - n_opening].trim_end().len();
        return (end, next.start - n_opening);
    }
    (sentence.end, next.start)
}

/// Cuts a line where the segmenter need not see both sides at once, see [`QUIET_CHARS`].
fn pieces(text: &str, line: Range<usize>) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = line.start;
    std::iter::from_fn(move || {
        let rest = &text[start..line.end];
        let mut n_quiet = 0;
        let mut was_alphanumeric = false;
        let at = rest.char_indices().find_map(|(at, c)| {
            let is_alphanumeric = c.is_alphanumeric();
            let may_cut = n_quiet >= MAX_QUIET_CHARS || (n_quiet >= QUIET_CHARS && is_alphanumeric && was_alphanumeric);
            let stops_the_search = c.is_ascii_alphabetic() || (!c.is_ascii() && (c.is_lowercase() || c.is_uppercase()));
            n_quiet = if stops_the_search || matches!(c, '.' | '?' | '!') { 0 } else { n_quiet + 1 };
            was_alphanumeric = is_alphanumeric;
            (may_cut && at > 0).then_some(at)
        });
        let piece = start..at.map_or(line.end, |at| start + at);
        start = piece.end;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Appends the stretches between places that may end a sentence, trimmed: the breaks of UAX #29 and those it lacks.
fn push_segments(text: &str, piece: Range<usize>, is_lowercase_text: bool, segments: &mut Vec<Range<usize>>) {
    let mut push = |segment: Range<usize>| {
        let segment = trimmed(text, segment);
        if !segment.is_empty() {
            segments.push(segment);
        }
    };
    for (at, slice) in text[piece.clone()].split_sentence_bound_indices() {
        let slice_start = piece.start + at;
        let mut start = slice_start;
        for extra in missed_breaks(slice, is_lowercase_text) {
            push(start..slice_start + extra);
            start = slice_start + extra;
        }
        push(start..slice_start + slice.len());
    }
}

/// Where a stretch without a break of UAX #29 may yet be cut: at "end.The", "end. 12", "end… The", a bullet, and "end.
/// the" in a text of lower case alone.
fn missed_breaks(slice: &str, is_lowercase_text: bool) -> impl Iterator<Item = usize> + '_ {
    /// A terminator, and what came between it and the present character.
    #[derive(Clone, Copy)]
    struct End {
        is_after_lowercase: bool,
        is_ellipsis: bool,
        is_spaced: bool,
        opener_at: Option<usize>,
    }
    let mut previous = ' ';
    let mut end: Option<End> = None;
    slice.char_indices().filter_map(move |(at, c)| {
        let before = std::mem::replace(&mut previous, c);
        if c == '…' || (c.is_ascii() && is_terminator(c)) {
            let is_after_lowercase =
                before.is_lowercase() || end.is_some_and(|end| end.is_after_lowercase && !end.is_spaced);
            end = Some(End { is_after_lowercase, is_ellipsis: c == '…', is_spaced: false, opener_at: None });
            return None;
        }
        if is_inline_bullet(c) && before.is_whitespace() && at > 0 {
            end = None;
            return Some(at);
        }
        let state = end.as_mut()?;
        if c.is_whitespace() {
            state.is_spaced = true;
            return None;
        }
        if is_closer(c) && !state.is_spaced {
            return None;
        }
        if is_opener(c) || (state.is_spaced && is_straight(c)) {
            state.opener_at.get_or_insert(at);
            return None;
        }
        let is_candidate = if state.is_spaced {
            c.is_numeric() || (state.is_ellipsis && c.is_uppercase()) || (is_lowercase_text && c.is_lowercase())
        } else {
            state.is_after_lowercase && c.is_uppercase()
        };
        let break_at = state.opener_at.unwrap_or(at);
        end = None;
        is_candidate.then_some(break_at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        sentences(text).map(|range| &text[range]).collect()
    }

    /// Each case is its sentences, with `|` between; the bar is taken out before.
    fn check(cases: &[&str]) {
        for case in cases {
            let text = case.replace('|', "");
            let expected: Vec<&str> = case.split('|').map(str::trim).collect();
            assert_eq!(found(&text), expected);
        }
    }

    #[test]
    fn abbreviations_and_initials_end_no_sentence() {
        check(&[
            "The U.S. Senate voted.| Troops left the U.S. |The vote was close.| It is U.S. policy.",
            "Mr. Fox, Gen. Ito and Lt. Col. J. R. Doe met Dr. Roe.| Sens. Ng and Po did not.",
            "He lives at No. 5 Downing St. in London.| No. |We do not.| See Art. 5 and Sec. 2, pp. 3-4.",
            "It begins at 9 a.m. on Jan. 5.| It ends at 5 p.m. |Ministers left.| At 7:40 P.M. KST they ate.",
            "It begins at 8 p.m. Monday, too.",
            "Some states, e.g. Mali, i.e. the Sahel, vs. France, approx. 5 of them, etc. |They left.",
            "Acme Inc. Chief Jo Roe sold Foo Corp. shares.| She left Acme Inc. |The rest is in St. Petersburg.",
            "She holds a Ph.D. from Yale and a J.D. from D.C. schools.| Harry S. Truman and J.R.R. Tolkien.",
            "In Washington, D.C. |They met Joe Biden Jr. |He spoke.",
            "Vol. II and vitamin C are out.| He fell ill. |Police came.| Brown v. Board stands.",
            "The EU-U.S. Council and the pro-U.S. Party met.",
            "Das gilt z.B. Deutschland.",
        ]);
    }

    #[test]
    fn numbers_and_ellipses() {
        check(&[
            "Prices rose 3.5 percent to $1.25 in 2020. |The fall came later.| In 2021. |12 people fell ill.",
            "Wait... |What?| He said... nothing. |“Well…” |She paused… |Then she left… and returned.",
            "It grew . . . slowly. ... |And then?",
        ]);
    }

    #[test]
    fn quotes_and_brackets() {
        check(&[
            "\"We go.\" |\"Why?\" he asked.| \"Stop!\" she cried.| (He laughed.)| “All is well.” |‘Yes.’ |They left.",
            "Thank you.| (Laughter.)| The group (formed in 2001!) is new.| [Applause.] |Good.",
            "Il dit : « Oui. » |Puis il part.| „Nein.“ |Dann ging er.| »Ja.« |Gut.",
            "He said so. ” |Then he left.",
            "That is the end.|(Reuters) Now this.",
        ]);
    }

    #[test]
    fn lists_and_headlines() {
        check(&[
            "MINISTERS MEET IN GENEVA|\nThe talks began.|\n- food aid|\n- water|\n• shelter; and|\n* seeds",
            "1. First item.|\n2) Second item|\n(a) third",
            "The package includes:|\n800 systems;|\n25,000 helmets.",
            "It needs: |• food |• water |• shelter",
            "Steps: 1. |Go home.| 2. Stay there.",
            "1. Go home.| 2. Stay there.| IV. America is free.",
        ]);
    }

    #[test]
    fn capitals_and_lower_case() {
        check(&[
            "ANKARA, Nov. 5 (AA) — Talks began.| WASHINGTON, D.C. — They ended.| PARIS (AP) -- It rained.",
            "GEN. ITO OF THE U.S. ARMY MET MR. FOX AT NO. 5. |NOTHING WAS SAID.| THE U.S. SENATE MEETS AT 9 A.M. EDT.",
            "hello there. |how are you? |fine, e.g. good... |okay. |bye",
            "Yahoo! shares fell.| Oh! |Really?",
        ]);
    }

    #[test]
    fn briefings() {
        check(&[
            "Q: Mr. President, why?| A: I don't know.| Q How so?| MS. PSAKI: That’s it.",
            "Q. Why now? |A. We think it is time.",
            "THE PRESIDENT: Yes.| Not —|\nQ When?|\nTHE PRESIDENT: I — my sense is soon.",
        ]);
    }

    #[test]
    fn other_scripts() {
        check(&[
            "今日は晴れです。|明日は？|雨！|「はい。」と彼は言った。|終わり",
            "هل وصل الوزير؟ |نعم، وصل أمس. |قال د. محمد ذلك.",
            "Bakan geldi mi? |Evet, geldi. |No. 5'te kaldı.",
            "क्या हुआ? |कुछ नहीं। |ठीक है।",
        ]);
    }

    #[test]
    fn addresses_and_missing_spaces() {
        check(&[
            "See https://example.com/Foo?Bar=1.Baz and www.Example.Com for more.| Mail Jo.Doe@state.gov.| Thanks.",
            "That is the end.|The next begins.|“Good.”|Then Mrs.Jones said more.",
            "Version v1.Beta stays, and so does e.V. here.",
            "Contact us at info@state.gov . |Thank you.",
        ]);
    }

    #[test]
    fn line_ends_and_controls() {
        check(&[
            "One.|\r\nTwo|\r\n\r\nThree|\n \t\nFour.| Five.",
            "\u{feff}One.\u{200b} |Two.\0 |Three\u{7}.",
            "The ministers said on Monday that they would not sign\nthe treaty.| They left.",
        ]);
        assert_eq!(found(""), Vec::<&str>::new());
        assert_eq!(found(" \r\n\t\u{3000}\u{2028}"), Vec::<&str>::new());
        assert_eq!(found("..."), ["..."]);
    }

    #[test]
    fn overlong_runs_are_cut_where_it_hurts_least() {
        let words = "word ".repeat(600);
        let parts = found(&words);
        assert_eq!(parts.len(), 3);
        assert!(parts.iter().all(|part| (900..=1000).contains(&part.len()) && part.ends_with("word")), "{parts:?}");
        let clauses = format!("{}; {}, {}", "a ".repeat(350), "b ".repeat(100), "c ".repeat(250));
        assert!(found(&clauses)[0].ends_with("a ;"), "{:?}", found(&clauses));
        assert_eq!(
            found(&"語".repeat(2500)).iter().map(|part| part.chars().count()).collect::<Vec<_>>(),
            [834, 833, 833]
        );
    }

    /// Texts that would take minutes if any step were quadratic in their length.
    #[test]
    fn the_work_is_linear() {
        let n = 1 << 20;
        let units = [
            "a", "a ", " ", ". ", ".", "? ", "1 ", "\"", "(", "» ", "A. ", "e.g. ", "\n", "\r\n\r\n", "a\n", "…", "。",
            "語", "\u{93f} ", "\u{200b}", "• ",
        ];
        for unit in units {
            for start in ["", "End. ", "End.", "End.\""] {
                let text = format!("{start}{} Then", unit.repeat(n / unit.len()));
                let mut end = 0;
                for range in sentences(&text) {
                    assert!(range.start >= end && range.end > range.start, "{unit:?}");
                    end = range.end;
                }
                assert_eq!(end, text.len(), "{unit:?}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn every_character_is_in_one_sentence(
            text in "([A-Ca-c]{1,6}|U\\.S\\.|Mr\\.|[.?!;:,。…]{1,3}|[\"'()«»“”]|[ \t]{1,3}|(\r?\n){1,3}\
                |[0-9]{1,3}|日本|é\u{301}|\u{200b}|•){0,60}",
        ) {
            let mut end = 0;
            for range in sentences(&text) {
                proptest::prop_assert!(text[end..range.start].trim().is_empty(), "lost {:?}", &text[end..range.start]);
                let sentence = &text[range.clone()];
                proptest::prop_assert!(!sentence.is_empty() && sentence.trim() == sentence);
                end = range.end;
            }
            proptest::prop_assert!(text[end..].trim().is_empty());
        }

        #[test]
        fn any_text_is_covered(text in "\\PC{0,80}|[\\x00-\\u{ff}\u{2000}-\u{206f}\u{3000}-\u{3020}]{0,80}") {
            let covered: String = sentences(&text).map(|range| text[range].to_owned()).collect();
            let squeeze = |text: &str| text.split_whitespace().collect::<String>();
            proptest::prop_assert_eq!(squeeze(&covered), squeeze(&text));
        }
    }
}
