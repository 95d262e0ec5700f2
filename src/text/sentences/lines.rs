//! Which line ends of a text end a sentence or a paragraph, and which are only where an editor wrapped the line.

use std::ops::Range;

use super::boundary::{is_bullet, is_enumerator, is_terminator, last_visible, starts_lowercase};

/// Blocks whose longest line lies outside of this are not wrapped text: shorter lines are lists, longer ones whole
/// paragraphs.
const WRAPPED_WIDTH_CHARS: std::ops::RangeInclusive<usize> = 40..=120;
/// Fewer lines tell nothing about a common width.
const MIN_WRAPPED_LINES: usize = 3;
/// A line this short that the next one continues in lower case is a list entry rather than a wrapped line.
const MIN_CONTINUED_CHARS: usize = 40;

/// Lines that sentences run across.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// Byte ranges of the lines, trimmed, none empty.
    pub lines: Vec<Range<usize>>,
    /// Counted from 0 over the text.
    pub paragraph_idx: usize,
}

/// One line of a block.
struct Line {
    range: Range<usize>,
    n_chars: usize,
    first_word_chars: usize,
}

/// The runs of a text, in order.
///
/// Paragraphs are parted by blank lines. In a text without any, a line that ends like a sentence and was not wrapped
/// there ends a paragraph, as in feeds that put each paragraph on one line.
pub fn runs(text: &str) -> impl Iterator<Item = Run> + '_ {
    let has_blank_lines = has_blank_lines(text);
    let mut lines = trimmed_lines(text).peekable();
    let mut n_paragraphs = 0;
    std::iter::from_fn(move || {
        while lines.next_if(Range::is_empty).is_some() {}
        let mut block = Vec::new();
        while let Some(range) = lines.next_if(|range| !range.is_empty()) {
            let line = &text[range.clone()];
            let first_word_chars = line.split_whitespace().next().unwrap_or_default().chars().count();
            block.push(Line { n_chars: line.chars().count(), first_word_chars, range });
        }
        if block.is_empty() {
            return None;
        }
        let runs = block_runs(text, &block, has_blank_lines, &mut n_paragraphs);
        n_paragraphs += 1;
        Some(runs)
    })
    .flatten()
}

/// Cuts a block at the line ends that end a sentence.
fn block_runs(text: &str, block: &[Line], has_blank_lines: bool, n_paragraphs: &mut usize) -> Vec<Run> {
    let width = block.iter().map(|line| line.n_chars).max().unwrap_or(0);
    let is_wrapped = is_wrapped(text, block, width);
    let mut runs = vec![Run { lines: vec![block[0].range.clone()], paragraph_idx: *n_paragraphs }];
    for pair in block.windows(2) {
        let (line, next) = (&pair[0], &pair[1]);
        let next_range = next.range.clone();
        match runs.last_mut() {
            Some(run) if is_soft(text, line, next, is_wrapped.then_some(width)) => run.lines.push(next_range),
            _ => {
                let ends_sentence = last_visible(&text[line.range.clone()]).is_some_and(is_terminator);
                *n_paragraphs += usize::from(!has_blank_lines && ends_sentence);
                runs.push(Run { lines: vec![next_range], paragraph_idx: *n_paragraphs });
            }
        }
    }
    runs
}

/// Whether the line was full, so that the next line's first word had to move down.
fn is_full(line: &Line, next: &Line, width: usize) -> bool {
    line.n_chars + 1 + next.first_word_chars > width
}

/// Whether a block was wrapped by an editor: most of its lines are full, and many go on in lower case, unless the block
/// has no lower case at all.
fn is_wrapped(text: &str, block: &[Line], width: usize) -> bool {
    if block.len() < MIN_WRAPPED_LINES || !WRAPPED_WIDTH_CHARS.contains(&width) {
        return false;
    }
    let n_breaks = block.len() - 1;
    let n_full = block.windows(2).filter(|pair| is_full(&pair[0], &pair[1], width)).count();
    let n_lower = block[1..].iter().filter(|line| starts_lowercase(&text[line.range.clone()])).count();
    let has_lower = || block.iter().any(|line| text[line.range.clone()].chars().any(char::is_lowercase));
    // Not all: a headline and the last lines of indented paragraphs inside the block are short.
    n_full * 5 >= n_breaks * 3 && (n_lower * 3 >= n_breaks || !has_lower())
}

/// Whether a sentence may run across the line end; `width` only of a wrapped block.
fn is_soft(text: &str, line: &Line, next: &Line, width: Option<usize>) -> bool {
    let (before, after) = (&text[line.range.clone()], &text[next.range.clone()]);
    let ends_clause = last_visible(before).is_none_or(|c| matches!(c, '.' | '?' | '!' | ':' | ';'));
    let is_full = width.is_some_and(|width| is_full(line, next, width));
    let marker = after.split_whitespace().next().unwrap_or_default();
    // A wrapped "… on March | 12. The …" is no list; a bullet always is.
    let is_list_item = marker.chars().all(is_bullet) || (is_enumerator(marker) && (ends_clause || !is_full));
    if is_list_item {
        return false;
    }
    match width {
        Some(_) => is_full,
        None => !ends_clause && line.n_chars >= MIN_CONTINUED_CHARS && starts_lowercase(after),
    }
}

fn has_blank_lines(text: &str) -> bool {
    let mut has_text = false;
    let mut has_gap = false;
    for line in trimmed_lines(text) {
        if line.is_empty() {
            has_gap = has_text;
        } else if has_gap {
            return true;
        } else {
            has_text = true;
        }
    }
    false
}

/// Byte ranges of the lines without white space at their ends; a blank line has an empty range.
fn trimmed_lines(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start >= text.len() {
            return None;
        }
        let rest = &text[start..];
        let end = rest.find(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).unwrap_or(rest.len());
        let line = trimmed(text, start..start + end);
        let line_end =
            if rest[end..].starts_with("\r\n") { 2 } else { rest[end..].chars().next().map_or(0, char::len_utf8) };
        start += end + line_end;
        Some(line)
    })
}

/// The range without the white space at its ends; empty, and at the range's start, where there is nothing else.
pub fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let slice = &text[range.clone()];
    let end = slice.trim_end().len();
    let start = end - slice[..end].trim_start().len();
    range.start + start..range.start + end
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paragraph index and text of each run, lines joined by a slash.
    fn shown(text: &str) -> Vec<(usize, String)> {
        let show =
            |run: Run| (run.paragraph_idx, run.lines.into_iter().map(|line| &text[line]).collect::<Vec<_>>().join("/"));
        runs(text).map(show).collect()
    }

    fn expect(text: &str, expected: &[(usize, &str)]) {
        let expected: Vec<_> = expected.iter().map(|&(i, run)| (i, run.to_owned())).collect();
        assert_eq!(shown(text), expected, "{text:?}");
    }

    #[test]
    fn blank_lines_part_paragraphs() {
        expect(" a b \r\n \t\r\n\r\n c\rd\u{2028}e", &[(0, "a b"), (1, "c"), (1, "d"), (1, "e")]);
        expect("\n\nOne.\nTwo.\n\nThree.\n\n", &[(0, "One."), (0, "Two."), (1, "Three.")]);
        expect("", &[]);
        expect(" \n\t\n", &[]);
    }

    #[test]
    fn without_blank_lines_a_line_that_ends_like_a_sentence_ends_a_paragraph() {
        expect(
            "Headline\nOne.\nIt needs:\nwater;\nfood.\nTwo.\n",
            &[(0, "Headline"), (0, "One."), (1, "It needs:"), (1, "water;"), (1, "food."), (2, "Two.")],
        );
        expect("今日。\n明日", &[(0, "今日。"), (1, "明日")]);
    }

    #[test]
    fn wrapped_lines_are_joined() {
        let body = "The foreign ministers of the two states met on March\n\
            12. They agreed that the talks should be held again\n\
            in the autumn, said an official who did not wish to\nbe named.";
        let text = format!("HEADLINE\n{body}\n - a list item of the communique that they gave out");
        let item = "- a list item of the communique that they gave out";
        expect(&text, &[(0, "HEADLINE"), (0, &body.replace('\n', "/")), (1, item)]);
        let caps = "THE FOREIGN MINISTERS OF THE TWO STATES MET ON MARCH\n5 IN GENEVA AND SPOKE OF THE CEASEFIRE WHICH \
            BROKE\nDOWN. NOTHING WAS SAID ON TRADE.";
        expect(caps, &[(0, &caps.replace('\n', "/"))]);
        let two = "A long line that some mailer has wrapped at\nits end although it is alone.";
        expect(two, &[(0, &two.replace('\n', "/"))]);
    }

    #[test]
    fn lists_are_not_wrapped_text() {
        let n_runs = |text| runs(text).count();
        let list = "800 Stinger anti-aircraft systems;\n2,000 Javelin and 6,000 light anti-armor systems;\n100 drones.";
        assert_eq!(n_runs(list), 3);
        let names = "Embassy Lusaka and Consulate General Surabaya\nEmbassy Manila and Consulate General Sao Paulo\n\
            Embassy Singapore and Embassy Bridgetown";
        assert_eq!(n_runs(names), 3);
        assert_eq!(n_runs("apples\npears\nplums"), 3);
    }
}
