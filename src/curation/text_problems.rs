//! What is odd about single texts: length, letters lost or garbled, remains of markup.

use rayon::prelude::*;
use serde_json::Value;

use super::finding::{Finding, FindingKind, Severity};
use super::mojibake::garbled;
use super::shingles::normalized;
use crate::data::Article;
use crate::pipeline::titled;

/// Texts with fewer letters and digits say hardly anything.
const MIN_LETTERS: usize = 6;
/// A text is far longer than others from this many times the median of words on, and from this many words on.
const LONG_FACTOR: usize = 20;
const LONG_WORDS: usize = 2000;
/// Texts with fewer letters may be an abbreviation or a table.
const MIN_CASED: usize = 40;
/// Mostly upper case: from this share of the letters with a case on.
const UPPER_SHARE: f64 = 0.8;
/// Where most texts are in upper case it is their way.
const USUAL_SHARE: f64 = 0.5;
/// Mostly no letters: below this share of what is no white space, in texts of so many characters.
const LETTER_SHARE: f64 = 0.5;
const MIN_CHARS: usize = 20;
/// Titles of fewer words may well begin the text without being repeated.
const MIN_TITLE_WORDS: usize = 3;
/// Examples kept of what was found in a text.
const MAX_EXAMPLES: usize = 3;
/// Longest entity name looked for, `CounterClockwiseContourIntegral` aside.
const MAX_ENTITY: usize = 10;
/// Names of tags that are no words in angle brackets.
const TAGS: [&str; 28] = [
    "a",
    "b",
    "i",
    "u",
    "p",
    "br",
    "hr",
    "em",
    "li",
    "ul",
    "ol",
    "td",
    "tr",
    "th",
    "h1",
    "h2",
    "h3",
    "div",
    "img",
    "span",
    "font",
    "table",
    "strong",
    "script",
    "style",
    "iframe",
    "blockquote",
    "figure",
];
/// Entities that stand in text without their `&` where it was stripped.
const BARE_ENTITIES: [&str; 6] = ["quot;", "nbsp;", "apos;", "amp;", "lt;", "gt;"];

/// A kind of finding and its details.
type Problem = (FindingKind, Severity, Vec<(&'static str, Value)>);

/// What was measured in one text.
struct Measured {
    n_words: usize,
    is_upper: bool,
    is_title_repeated: bool,
    problems: Vec<Problem>,
}

/// Problems of texts, one finding for each article and kind; titles that texts repeat are one finding together.
pub fn text_findings(articles: &[Article]) -> Vec<Finding> {
    let measured: Vec<Measured> = articles.par_iter().map(measure).collect();
    let mut n_words: Vec<usize> = measured.iter().map(|text| text.n_words).collect();
    n_words.sort_unstable();
    let median = n_words.get(n_words.len() / 2).copied().unwrap_or(0);
    let n_upper = measured.iter().filter(|text| text.is_upper).count();
    let is_upper_usual = n_upper as f64 > USUAL_SHARE * articles.len() as f64;
    let mut findings = Vec::new();
    let repeating: Vec<usize> = (0..articles.len()).filter(|&row| measured[row].is_title_repeated).collect();
    if !repeating.is_empty() {
        let n = repeating.len();
        findings.push(Finding::new(FindingKind::TitleRepeated, Severity::Note, repeating).with("n", n));
    }
    for (row, text) in measured.into_iter().enumerate() {
        for (kind, severity, detail) in text.problems {
            if kind != FindingKind::UpperCase || !is_upper_usual {
                let finding = Finding::new(kind, severity, vec![row]);
                findings.push(detail.into_iter().fold(finding, |finding, (name, value)| finding.with(name, value)));
            }
        }
        if text.n_words >= LONG_WORDS.max(LONG_FACTOR * median) {
            let finding = Finding::new(FindingKind::TooLong, Severity::Note, vec![row]);
            findings.push(finding.with("n_words", text.n_words).with("median", median));
        }
    }
    findings
}

fn measure(article: &Article) -> Measured {
    let joined = titled(article).joined();
    let text: &str = &joined;
    let mut problems = Vec::new();
    let (mut n_chars, mut n_letters, mut n_upper, mut n_lower) = (0usize, 0usize, 0usize, 0usize);
    let (mut n_lost, mut controls) = (0usize, Vec::new());
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        n_chars += 1;
        n_letters += usize::from(c.is_alphanumeric());
        n_upper += usize::from(c.is_uppercase());
        n_lower += usize::from(c.is_lowercase());
        n_lost += usize::from(c == '\u{fffd}');
        if c.is_control() {
            controls.push(format!("U+{:04X}", c as u32));
        }
    }
    let n_digits = text.bytes().filter(u8::is_ascii_digit).count();
    if n_letters < MIN_LETTERS {
        problems.push((FindingKind::TooShort, Severity::Warning, vec![("n_letters", n_letters.into())]));
    }
    let garbled = garbled(text);
    if !garbled.is_empty() {
        let shown: Vec<String> = garbled.iter().map(|g| format!("{} for {}", g.found, g.meant)).collect();
        let detail = vec![("n", garbled.len().into()), ("examples", examples(shown))];
        problems.push((FindingKind::Mojibake, Severity::Warning, detail));
    }
    if n_lost > 0 {
        problems.push((FindingKind::ReplacementCharacter, Severity::Warning, vec![("n", n_lost.into())]));
    }
    if !controls.is_empty() {
        let detail = vec![("n", controls.len().into()), ("examples", examples(controls))];
        problems.push((FindingKind::ControlCharacter, Severity::Warning, detail));
    }
    let markup = markup(text);
    if !markup.is_empty() {
        let detail = vec![("n", markup.len().into()), ("examples", examples(markup))];
        problems.push((FindingKind::Markup, Severity::Warning, detail));
    }
    let n_cased = n_upper + n_lower;
    let is_upper = n_cased >= MIN_CASED && n_upper as f64 >= UPPER_SHARE * n_cased as f64;
    if is_upper {
        let share = n_upper as f64 / n_cased as f64;
        problems.push((FindingKind::UpperCase, Severity::Note, vec![("share", share.into())]));
    }
    let n_alphabetic = n_letters - n_digits.min(n_letters);
    if n_chars >= MIN_CHARS && (n_alphabetic as f64) < LETTER_SHARE * n_chars as f64 {
        let share = n_alphabetic as f64 / n_chars as f64;
        problems.push((FindingKind::FewLetters, Severity::Note, vec![("share", share.into())]));
    }
    let is_title_repeated = is_title_repeated(article);
    Measured { n_words: text.split_whitespace().count(), is_upper, is_title_repeated, problems }
}

/// The first of them, each once.
fn examples(found: Vec<String>) -> Value {
    let mut shown: Vec<String> = Vec::new();
    for example in found {
        if shown.len() < MAX_EXAMPLES && !shown.contains(&example) {
            shown.push(example);
        }
    }
    shown.into()
}

fn is_title_repeated(article: &Article) -> bool {
    let Some(title) = &article.title else { return false };
    if title.split_whitespace().count() < MIN_TITLE_WORDS {
        return false;
    }
    // The title and what may stand between its words; the rest of the text need not be looked at.
    let start: String = article.text.chars().take(2 * title.chars().count() + 20).collect();
    let (title, start) = (normalized(title), normalized(&start));
    start == title || start.strip_prefix(&title).is_some_and(|rest| rest.starts_with(' '))
}

/// HTML tags, entities, and entities that lost their `&`, in order.
///
/// ```
/// # use topicwire::curation::text_problems::markup;
/// assert_eq!(markup("a <br/> b &amp; c #39;s, 3 < 4 > 2 <now> AT&T; quot;so"), ["<br/>", "&amp;", "#39;", "quot;"]);
/// ```
pub fn markup(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let bytes = text.as_bytes();
    let is_word = |at: usize| bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric());
    let mut at = 0;
    while at < bytes.len() {
        let length = match bytes[at] {
            b'<' => tag_length(&text[at..], text.contains("</")),
            b'&' => entity_length(&bytes[at + 1..]).map(|length| length + 1),
            b'#' => number_length(&bytes[at..]),
            b'q' | b'n' | b'a' | b'l' | b'g' if at == 0 || !is_word(at - 1) && bytes[at - 1] != b'&' => {
                BARE_ENTITIES.iter().find(|entity| bytes[at..].starts_with(entity.as_bytes())).map(|e| e.len())
            }
            _ => None,
        };
        if let Some(length) = length {
            found.push(text[at..at + length].to_owned());
        }
        at += length.unwrap_or(1);
    }
    found
}

/// Bytes of the HTML tag that the text begins with. `<U>`, `<EM>` and other capitals are names (of shares, say) where nothing is closed.
fn tag_length(text: &str, is_closed_somewhere: bool) -> Option<usize> {
    let inner = text[1..].strip_prefix('/').unwrap_or(&text[1..]);
    let name_length = inner.find(|c: char| !c.is_ascii_alphanumeric())?;
    let name = &inner[..name_length];
    let end = text.find('>')?;
    let rest = inner[name_length..].split('>').next()?;
    let is_tag_like = match rest.trim() {
        "" | "/" => true,
        attributes => rest.starts_with(' ') && attributes.contains('=') && !attributes.contains('<'),
    };
    let is_name = name.len() <= 2 && name.bytes().all(|b| b.is_ascii_uppercase()) && !is_closed_somewhere;
    (is_tag_like && !is_name && TAGS.iter().any(|tag| name.eq_ignore_ascii_case(tag))).then_some(end + 1)
}

/// Bytes of the rest of an entity behind its `&`: a number, or a name that does not end in a capital as that of a firm might.
fn entity_length(bytes: &[u8]) -> Option<usize> {
    if bytes.first() == Some(&b'#') {
        return number_length(bytes);
    }
    let length = bytes.iter().take(MAX_ENTITY).take_while(|b| b.is_ascii_alphanumeric()).count();
    let is_name = length > 1 && bytes[0].is_ascii_alphabetic() && !bytes[length - 1].is_ascii_uppercase();
    (is_name && bytes.get(length) == Some(&b';')).then_some(length + 1)
}

/// Bytes of `#39;` or `#x27;`.
fn number_length(bytes: &[u8]) -> Option<usize> {
    let start = if bytes.get(1) == Some(&b'x') { 2 } else { 1 };
    let digits = bytes[start.min(bytes.len())..].iter().take(MAX_ENTITY).take_while(|b| b.is_ascii_hexdigit()).count();
    (digits > 1 && bytes.get(start + digits) == Some(&b';')).then_some(start + digits + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<FindingKind> {
        text_findings(&[Article::new("1", text)]).iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn each_problem_is_told_from_healthy_text() {
        let healthy = "The port authority said on Monday that 12 ships carrying grain had left the harbour of Odesa.";
        assert_eq!(kinds(healthy), []);
        for (text, kind) in [
            ("grain", FindingKind::TooShort),
            ("The minister said itâ€™s a deal", FindingKind::Mojibake),
            ("The minister\u{fffd}s deal on grain", FindingKind::ReplacementCharacter),
            ("The minister\u{97}he of grain\u{0}", FindingKind::ControlCharacter),
            ("The minister &amp; the deal on grain", FindingKind::Markup),
            ("THE PORT AUTHORITY SAID ON MONDAY THAT SHIPS CARRYING GRAIN HAD LEFT", FindingKind::UpperCase),
            ("3.1 4.5 2.7 9.8 -- 12.4 31.5 wheat 44.1 55.2 corn", FindingKind::FewLetters),
        ] {
            // One text alone: upper case would be the way of the whole.
            let both = text_findings(&[Article::new("1", healthy), Article::new("2", text)]);
            let found: Vec<(FindingKind, &[usize])> = both.iter().map(|f| (f.kind, &f.rows[..])).collect();
            assert_eq!(found, [(kind, &[1][..])], "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_markup_is_left_alone() {
        for text in [
            "Union Carbide <U> up 3",
            "<B and R Inc.>",
            "a < b > c",
            "AT&T; BP",
            "R&D",
            "number #5; then",
            "a quote; b",
            "<now>",
            "at&quot",
        ] {
            assert_eq!(markup(text), Vec::<String>::new(), "{text}");
        }
        assert_eq!(markup("<P>Old<BR></P> <a href=\"x\">y</a>"), ["<P>", "<BR>", "</P>", "<a href=\"x\">", "</a>"]);
        assert_eq!(markup("it#39;s &frac12; quot;well&nbsp;"), ["#39;", "&frac12;", "quot;", "&nbsp;"]);
    }

    #[test]
    fn long_ones_stand_out_from_the_others_only() {
        let texts = |n_words: usize| Article::new("x", "grain ".repeat(n_words));
        let mut articles: Vec<Article> = (0..9).map(|_| texts(50)).collect();
        articles.push(texts(2000));
        let found = text_findings(&articles);
        assert_eq!(
            found.iter().map(|f| (f.kind, f.rows.clone())).collect::<Vec<_>>(),
            [(FindingKind::TooLong, vec![9])]
        );
        assert_eq!(text_findings(&vec![texts(2000); 5]), []);
    }

    #[test]
    fn a_title_at_the_start_of_the_text_counts_twice() {
        let mut article = Article::new("1", "Grain ships leave Odesa - The port authority said so on Monday.");
        article.title = Some("GRAIN SHIPS LEAVE ODESA".into());
        assert_eq!(text_findings(std::slice::from_ref(&article))[0].kind, FindingKind::TitleRepeated);
        article.title = Some("Grain ships leave Odes".into());
        assert_eq!(text_findings(std::slice::from_ref(&article)), []);
    }
}
