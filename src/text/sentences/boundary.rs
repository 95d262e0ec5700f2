//! Corrections to the sentence boundaries of UAX #29: whether the place between two stretches of text ends a sentence.
//!
//! UAX #29 knows no abbreviations, so it breaks after "Mr."; English conventions are added here. The word lists are
//! this project's own.

use unicode_segmentation::UnicodeSegmentation;

/// Titles that a name follows; no sentence ends after one.
const TITLES: &str = "\
    adm amb asst brig capt cmdr col cpl dr fr ft gen gens gov govs hon lt maj messrs mgr mme mr mrs ms msgr mt pfc \
    pres prof pvt rep reps rev sen sens sgt supt";

/// Words, in any case, that something always follows.
const CONTINUED: &str = "approx ca cf e.g eg esp i.e ie incl v vs viz";

/// Words, in any case, that are abbreviations only where a number follows.
const BEFORE_NUMBERS: &str = "art arts ch fig figs no nos nr op para paras pp pt res sec secs vol vols";

/// Abbreviations, in any case, that end a sentence where a word of [`STARTERS`] follows, and only there.
const AMBIGUOUS: &str = "al dept est etc mln";

/// The same, but only with a capital: firms, months, days, and states as news agencies shorten them.
const AMBIGUOUS_NAMES: &str = "\
    assn ave blvd bros co corp dist esq inc intl jr lp ltd mfg natl plc rd sr st ste univ jan feb mar apr jun jul \
    aug sep sept oct nov dec tues wed thurs ala ariz ark calif colo conn fla ga ill ind kan ky la mass md mich minn \
    miss mo mont neb nev okla ore pa tenn tex va vt wash wis wyo";

/// Words that begin sentences and hardly ever follow an abbreviation inside of one, as part of a name.
const STARTERS: &str = "\
    a about according after all also although an another as at because before both but by despite during each \
    earlier every following for from he her here his how however i if in is it its last later many meanwhile \
    moreover most my nevertheless now on our she since so some still such that the their then there these they this \
    those through thus today two until we what when where whether which while who why with yet you your";

/// What follows "a.m." and "p.m." inside a sentence: time zones, places, days and months.
const AFTER_HOURS: &str = "\
    aest bst cat cdt cest cet ct edt eet eest est et gmt hkt ist jst kst mdt msk mst mt pdt pst pt trt utc wat \
    central eastern greenwich london moscow pacific monday tuesday wednesday thursday friday saturday sunday january \
    february march april may june july august september october november december";

/// How many bytes on either side of a place are looked at; more than any word that matters, and it keeps the work
/// linear.
const CONTEXT_BYTES: usize = 256;
/// The longest "iii." or "(12)" at the start of a list item.
const MAX_ENUMERATOR_BYTES: usize = 7;
/// A lower-case word before "end.The" must be this long: "www.Example" and "e.V" are no ends.
const MIN_WORD_BEFORE_UNSPACED: usize = 2;
/// Shorter words before a full stop inside a text of lower case alone are taken for abbreviations.
const MIN_WORD_IN_LOWERCASE_TEXT: usize = 3;

/// Brackets and quotation marks that may follow a full stop within its sentence. Many open as well, in the same
/// language or another.
const CLOSERS: &str = "\"')]}”“’‘»›«‹」』）］】〉》";
/// Brackets and quotation marks that open and, standing directly before a word, never close.
const OPENERS: &str = "([{“‘„‚«‹「『（［【〈《¿¡";
/// Signs that begin an item of a list.
const BULLETS: &str = "•●▪■◦○‣⁃►·*-–—";
/// Bullets that, standing alone between words of one line, begin an item too.
const INLINE_BULLETS: &str = "•●▪■◦‣►";

/// Whether a character may follow a full stop within its sentence; invisible ones may.
pub fn is_closer(c: char) -> bool {
    CLOSERS.contains(c) || is_invisible(c)
}

/// Whether a character, standing directly before a word, opens a quotation or a bracket.
pub fn is_opener(c: char) -> bool {
    OPENERS.contains(c)
}

/// Quotation marks that look the same on both sides.
pub fn is_straight(c: char) -> bool {
    matches!(c, '"' | '\'')
}

/// Whether a character begins an item of a list.
pub fn is_bullet(c: char) -> bool {
    BULLETS.contains(c)
}

/// Whether a character begins an item of a list even inside of a line.
pub fn is_inline_bullet(c: char) -> bool {
    INLINE_BULLETS.contains(c)
}

/// Characters without a width, and controls.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
        || (c.is_control() && !c.is_whitespace())
}

/// Whether UAX #29 knows the character as one that ends sentences; an ellipsis counts too.
pub fn is_terminator(c: char) -> bool {
    match c {
        '.' | '?' | '!' | '…' => true,
        _ if c.is_ascii() || c.is_alphanumeric() || c.is_whitespace() => false,
        // The crate does not show its classes, but it breaks before the letter after a terminator.
        _ => {
            let mut buffer = [0; 5];
            let n_bytes = c.encode_utf8(&mut buffer).len();
            buffer[n_bytes] = b'A';
            str::from_utf8(&buffer[..=n_bytes]).is_ok_and(|probe| probe.split_sentence_bounds().nth(1).is_some())
        }
    }
}

/// The last character that is neither a closing mark nor invisible.
pub fn last_visible(text: &str) -> Option<char> {
    tail(text).trim_end_matches(is_closer).chars().next_back()
}

/// Whether the text goes on in lower case.
pub fn starts_lowercase(text: &str) -> bool {
    text.chars().next().is_some_and(char::is_lowercase)
}

/// Whether a word numbers an item of a list: "1." "12)" "(a)" "iv." "B.".
pub fn is_enumerator(word: &str) -> bool {
    if word.len() > MAX_ENUMERATOR_BYTES || !word.ends_with(['.', ')']) {
        return false;
    }
    let inner = word.trim_start_matches('(').trim_end_matches(['.', ')']);
    let is_roman = |c: char| matches!(c.to_ascii_lowercase(), 'i' | 'v' | 'x');
    let is_number = inner.len() <= 3 && inner.chars().all(|c| c.is_ascii_digit());
    !inner.is_empty()
        && (is_number || inner.chars().all(is_roman) || (inner.len() == 1 && inner.chars().all(char::is_alphabetic)))
}

/// What the two sides of a place look like.
pub struct Place<'a> {
    /// The sentence so far, from its start, and what follows; neither empty, both trimmed.
    pub before: &'a str,
    pub after: &'a str,
    /// Whether white space lies between.
    pub is_spaced: bool,
    /// Whether the whole text has no upper case, so that lower case says nothing.
    pub is_lowercase_text: bool,
}

impl Place<'_> {
    /// Whether a sentence ends here.
    pub fn is_boundary(&self) -> bool {
        let (before, after) = (tail(self.before), head(self.after));
        if self.is_spaced && after.chars().next().is_some_and(is_inline_bullet) {
            return true;
        }
        let core = before.trim_end_matches(|c| is_closer(c) || c.is_whitespace());
        let Some(mark) = core.chars().next_back().filter(|&c| is_terminator(c)) else {
            return false;
        };
        let is_closed = core.len() < before.len();
        // A sentence has a word; "***" and "—" stay with what they follow, "…" with what it precedes.
        let Some(first_at) = after.find(char::is_alphanumeric) else {
            return false;
        };
        if !core.contains(char::is_alphanumeric) && before.len() == self.before.len() {
            return false;
        }
        let following = &after[first_at..];
        let first = following.chars().next().unwrap_or_default();
        if first.is_lowercase() && !self.is_lowercase_text {
            return false;
        }
        if !mark.is_ascii() && mark != '…' {
            // A Japanese quotation goes on with its particle.
            return !(is_closed && after.starts_with('と'));
        }
        if !self.is_spaced {
            return after[..first_at].chars().count() <= 1 && self.is_unspaced_boundary(before, core, following);
        }
        let words = core.trim_end_matches(['.', '…']);
        match mark {
            '?' | '!' => true,
            _ if core.ends_with('…') || core.ends_with("..") => !first.is_numeric() && !words.is_empty(),
            _ => self.ends_at_full_stop(words, following, first),
        }
    }

    /// Whether a full stop after `words`, white space, and `following` make the end of a sentence.
    fn ends_at_full_stop(&self, words: &str, following: &str, first: char) -> bool {
        // A list's "1." belongs to its item.
        if self.before.len() <= MAX_ENUMERATOR_BYTES && is_enumerator(self.before) {
            return false;
        }
        let word = words.rsplit(char::is_whitespace).next().unwrap_or_default();
        let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
        // After "U.S.-" and "pro-U.S." alike.
        let word = word.rsplit(['-', '–', '—', '/', '(']).next().unwrap_or_default();
        let may_be_name = self.is_lowercase_text || word.chars().next().is_some_and(char::is_uppercase);
        let next_word = following.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let is_number_next =
            first.is_numeric() || (next_word.len() > 1 && next_word.chars().all(|c| "IVX".contains(c)));
        if is_in(CONTINUED, word) || (may_be_name && is_in(TITLES, word)) {
            return false;
        }
        if is_in(BEFORE_NUMBERS, word) {
            return !is_number_next;
        }
        if word.eq_ignore_ascii_case("a.m") || word.eq_ignore_ascii_case("p.m") {
            return !is_number_next && !is_in(AFTER_HOURS, next_word);
        }
        if is_in(AMBIGUOUS, word) || (may_be_name && is_in(AMBIGUOUS_NAMES, word)) || is_initials(word) {
            return !is_number_next && is_in(STARTERS, next_word);
        }
        !(self.is_lowercase_text && first.is_lowercase()) || word.chars().count() >= MIN_WORD_IN_LOWERCASE_TEXT
    }

    /// Whether a sentence ends although the space is missing: "end.The", but not in addresses of the web or of mail.
    fn is_unspaced_boundary(&self, before: &str, core: &str, following: &str) -> bool {
        let token_start = before.rfind(char::is_whitespace).unwrap_or(0);
        let token_end = following.find(char::is_whitespace).unwrap_or(following.len());
        let is_address =
            |part: &str| part.contains(['@', '/', '\\', '=', '_']) || part.trim_start().starts_with("www.");
        if is_address(&before[token_start..]) || is_address(&following[..token_end]) {
            return false;
        }
        let ends_in_word = {
            let letters = core.trim_end_matches(is_terminator).chars().rev();
            letters.take_while(|c| c.is_lowercase()).count() >= MIN_WORD_BEFORE_UNSPACED
        };
        // "Mrs.Jones".
        let word = core.rsplit(char::is_whitespace).next().unwrap_or_default();
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        let is_title = is_in(TITLES, word) || is_in(CONTINUED, word);
        let mut letters = following.chars();
        let starts_word = letters.next().is_some_and(char::is_uppercase)
            && letters.next().is_none_or(|c| c.is_lowercase() || c == ' ');
        (ends_in_word || core.len() < before.len()) && !is_title && starts_word
    }
}

/// "J", "U.S", "Ph.D", "z.B": a single letter, or parts of one or two letters with full stops between.
fn is_initials(word: &str) -> bool {
    let is_part = |part: &str| matches!(part.chars().count(), 1 | 2) && part.chars().all(char::is_alphabetic);
    word.split('.').all(is_part) && (word.contains('.') || word.chars().count() == 1)
}

fn is_in(words: &str, word: &str) -> bool {
    words.split_ascii_whitespace().any(|known| known.eq_ignore_ascii_case(word))
}

/// The last [`CONTEXT_BYTES`] of a text or a few more, to a character's start.
fn tail(text: &str) -> &str {
    &text[text.floor_char_boundary(text.len().saturating_sub(CONTEXT_BYTES))..]
}

/// The first [`CONTEXT_BYTES`] of a text or a few less, to a character's end.
fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(CONTEXT_BYTES)]
}
