//! Text to terms: word n-grams and character n-grams, each as a 64-bit hash of how it is spelled.
//!
//! Words are those of scikit-learn's `TfidfVectorizer`: the text in lower case, cut into the longest runs of at least
//! two alphanumeric characters or underscores (`(?u)\b\w\w+\b`). A word n-gram is `n` words joined by one space.
//! Character n-grams are its `char_wb`: of every piece between white space, with one space put on either side; a piece
//! shorter than `n` counts once.
//!
//! Alphanumeric is [`char::is_alphanumeric`]. Python's `\w` leaves out the vowel signs of Indic and other scripts and
//! cuts their words to pieces; here they are part of the word. Elsewhere the two agree but for a few symbols, such as
//! letters in circles.
//!
//! # Hash
//! XXH3 (64 bits, default secret) of the spelled term in UTF-8, seeded with 0 for word n-grams and [`CHARS_SEED`] for
//! character n-grams, so that the word `the` and the characters `the` inside `other` differ. XXH3's output is frozen
//! since xxHash 0.8.0 and the same on every platform; saved models depend on it. Two of `n` terms share a hash with
//! probability about `n² / 2⁶⁵`: 3·10⁻⁶ for ten million.

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use super::WordsError;

/// Longest n-gram that settings may ask for; longer ones hardly ever come twice.
pub const MAX_N: usize = 16;

/// Seed for character n-grams, `2⁶⁴` over the golden ratio. For terms of up to 8 bytes XXH3 all but XORs the seed in,
/// and seeds as near as 0 and 1 make words and characters meet (83 of 50,404 terms of the diplomacy articles); this one
/// is far from 0 in every byte.
pub const CHARS_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Lengths of n-grams, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ngrams {
    pub min: usize,
    pub max: usize,
}

/// Which terms are read from a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TermSettings {
    /// Lengths in words; 1 to 2 by default.
    pub word_ngrams: Ngrams,
    /// Lengths in characters; 3 to 5 by default.
    pub char_ngrams: Option<Ngrams>,
}

impl Default for TermSettings {
    fn default() -> Self {
        Self { word_ngrams: Ngrams { min: 1, max: 2 }, char_ngrams: Some(Ngrams { min: 3, max: 5 }) }
    }
}

impl TermSettings {
    /// Words and pairs of words alone: a quarter to half of the columns and a quarter of the time or less, for up to
    /// two and a half points of mean average precision.
    pub fn words() -> Self {
        Self { char_ngrams: None, ..Self::default() }
    }

    /// Checks that lengths are between 1 and [`MAX_N`] and in order.
    ///
    /// # Errors
    /// [`WordsError::Setting`].
    pub fn check(&self) -> Result<(), WordsError> {
        let named = [("word_ngrams", Some(self.word_ngrams)), ("char_ngrams", self.char_ngrams)];
        for (name, ngrams) in named {
            if let Some(Ngrams { min, max }) = ngrams
                && !(1 <= min && min <= max && max <= MAX_N)
            {
                let expected = "lengths from 1 to 16, the smaller one first";
                return Err(WordsError::Setting { name, found: format!("{min} to {max}"), expected });
            }
        }
        Ok(())
    }
}

/// What a term is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TermKind {
    Words,
    Chars,
}

impl TermKind {
    /// Hash of a term as it is spelled, the same on every platform and for ever.
    ///
    /// ```
    /// use topicwire::views::words::TermKind;
    /// assert_eq!(TermKind::Words.hash("trade talks"), 0xf317_9e40_9575_bb17);
    /// assert_ne!(TermKind::Words.hash("the"), TermKind::Chars.hash("the"));
    /// ```
    pub fn hash(self, spelled: &str) -> u64 {
        match self {
            TermKind::Words => XxHash3_64::oneshot(spelled.as_bytes()),
            TermKind::Chars => XxHash3_64::oneshot_with_seed(CHARS_SEED, spelled.as_bytes()),
        }
    }
}

/// Reads terms from texts; keeps its buffers from one text to the next.
#[derive(Clone, Debug)]
pub struct TermReader {
    settings: TermSettings,
    /// Words or pieces of the text, with what joins them.
    spelled: String,
    /// Bytes of `spelled` in which each word lies.
    words: Vec<(usize, usize)>,
    /// Where each character of a piece starts in `spelled`, and where the last one ends.
    starts: Vec<usize>,
}

impl TermReader {
    /// A reader for these settings.
    ///
    /// # Errors
    /// [`WordsError::Setting`].
    pub fn new(settings: &TermSettings) -> Result<Self, WordsError> {
        settings.check()?;
        Ok(Self { settings: settings.clone(), spelled: String::new(), words: Vec::new(), starts: Vec::new() })
    }

    /// Which terms it reads.
    pub fn settings(&self) -> &TermSettings {
        &self.settings
    }

    /// Calls `visit` with every term of a text, repeats included: its kind, its hash and how it is spelled.
    ///
    /// Word n-grams come first, by the word they start at, then character n-grams. A text without words has no terms.
    ///
    /// # Example
    /// ```
    /// use topicwire::views::words::{TermReader, TermSettings};
    /// let mut reader = TermReader::new(&TermSettings::words())?;
    /// let mut terms = Vec::new();
    /// reader.read("Grain, a grain EMBARGO", |_, _, spelled| terms.push(spelled.to_owned()));
    /// assert_eq!(terms, ["grain", "grain grain", "grain", "grain embargo", "embargo"]);
    /// # Ok::<(), topicwire::views::words::WordsError>(())
    /// ```
    pub fn read(&mut self, text: &str, mut visit: impl FnMut(TermKind, u64, &str)) {
        let lower = text.to_lowercase();
        self.read_words(&lower, &mut visit);
        if let Some(ngrams) = self.settings.char_ngrams {
            lower.split_whitespace().for_each(|piece| self.read_chars(piece, ngrams, &mut visit));
        }
    }

    fn read_words(&mut self, lower: &str, visit: &mut impl FnMut(TermKind, u64, &str)) {
        self.spelled.clear();
        self.words.clear();
        for run in runs(lower) {
            if run.len() < 2 || run.chars().nth(1).is_none() {
                continue;
            }
            if !self.spelled.is_empty() {
                self.spelled.push(' ');
            }
            let start = self.spelled.len();
            self.spelled.push_str(run);
            self.words.push((start, self.spelled.len()));
        }
        let Ngrams { min, max } = self.settings.word_ngrams;
        for (word_idx, (start, _)) in self.words.iter().enumerate() {
            let ends = self.words[word_idx..].iter().take(max).skip(min - 1);
            for (_, end) in ends {
                let term = &self.spelled[*start..*end];
                visit(TermKind::Words, TermKind::Words.hash(term), term);
            }
        }
    }

    fn read_chars(&mut self, piece: &str, ngrams: Ngrams, visit: &mut impl FnMut(TermKind, u64, &str)) {
        self.spelled.clear();
        self.spelled.extend([" ", piece, " "]);
        self.starts.clear();
        self.starts.extend(self.spelled.char_indices().map(|(start, _)| start));
        self.starts.push(self.spelled.len());
        let n_chars = self.starts.len() - 1;
        // The first length that takes in the whole piece is the last one: longer ones would be the same term again.
        for n in (ngrams.min..=ngrams.max).take_while(|&n| n == ngrams.min || n <= n_chars) {
            for window in self.starts.windows(n.min(n_chars) + 1) {
                let term = &self.spelled[window[0]..window[window.len() - 1]];
                visit(TermKind::Chars, TermKind::Chars.hash(term), term);
            }
        }
    }
}

/// Longest runs of alphanumeric characters and underscores.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut position = 0;
    std::iter::from_fn(move || {
        while position < text.len() {
            let start = position;
            let n_bytes = run_len(&text[start..]);
            if n_bytes > 0 {
                position += n_bytes;
                return Some(&text[start..position]);
            }
            position += text[start..].chars().next().map_or(1, char::len_utf8);
        }
        None
    })
}

/// Bytes of the run that a text starts with.
fn run_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut position = 0;
    loop {
        // Nearly all of most texts is ASCII, of which no character need be decoded.
        while position < bytes.len() && (bytes[position].is_ascii_alphanumeric() || bytes[position] == b'_') {
            position += 1;
        }
        match text[position..].chars().next() {
            Some(character) if !character.is_ascii() && character.is_alphanumeric() => {
                position += character.len_utf8();
            }
            _ => return position,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn terms(text: &str, settings: &TermSettings, wanted: TermKind) -> Vec<String> {
        let mut terms = Vec::new();
        TermReader::new(settings).unwrap().read(text, |kind, hash, spelled| {
            assert_eq!(hash, kind.hash(spelled));
            if kind == wanted {
                terms.push(spelled.to_owned());
            }
        });
        terms
    }

    #[test]
    fn words_are_cut_where_the_pattern_cuts_them() {
        let settings = TermSettings { word_ngrams: Ngrams { min: 1, max: 1 }, char_ngrams: None };
        let cases: [(&str, &[&str]); 10] = [
            ("", &[]),
            (" a . I ! é", &[]),
            ("U.S. troops' 3.5% rise", &["troops", "rise"]),
            ("snake_case __ _x 10 7", &["snake_case", "__", "_x", "10"]),
            ("ÉCOLE Straße ÖL", &["école", "straße", "öl"]),
            ("ΟΔΥΣΣΕΥΣ", &["οδυσσευς"]),
            ("İzmir", &["zmir"]),
            ("停戦を求めた。a国", &["停戦を求めた", "a国"]),
            ("हिन्दी", &["हिन", "दी"]),
            ("x\u{200b}yz\u{ad}ab", &["yz", "ab"]),
        ];
        for (text, expected) in cases {
            assert_eq!(terms(text, &settings, TermKind::Words), expected, "{text:?}");
        }
    }

    #[test]
    fn word_ngrams_have_every_length_asked_for() {
        let settings = TermSettings { word_ngrams: Ngrams { min: 2, max: 3 }, char_ngrams: None };
        let expected = ["ab cd", "ab cd ef", "cd ef"];
        assert_eq!(terms("ab, cd: EF", &settings, TermKind::Words), expected);
        assert!(terms("ab", &settings, TermKind::Words).is_empty());
    }

    #[test]
    fn character_ngrams_stay_within_a_piece_and_short_pieces_count_once() {
        let settings = TermSettings { char_ngrams: Some(Ngrams { min: 3, max: 5 }), ..TermSettings::default() };
        assert_eq!(terms(" É ", &settings, TermKind::Chars), [" é "]);
        assert_eq!(terms("Ab c", &settings, TermKind::Chars), [" ab", "ab ", " ab ", " c "]);
        let longer = TermSettings { char_ngrams: Some(Ngrams { min: 4, max: 16 }), ..TermSettings::default() };
        assert_eq!(terms("a\u{3000}bc", &longer, TermKind::Chars), [" a ", " bc "]);
    }

    #[test]
    fn hashes_are_those_of_the_reference_implementation() {
        // By xxHash 0.8.4, in Python `xxhash.xxh3_64_hexdigest(term, seed)`; the lengths take different paths of the
        // algorithm.
        let long = "x".repeat(300);
        let cases = [
            ("ab", 0xa873_719c_24d5_735c, 0x3984_f294_885f_8404),
            ("trade", 0xbb01_fc5f_d002_159d, 0x7e42_e408_ba3b_757a),
            ("trade talks", 0xf317_9e40_9575_bb17, 0xab3e_87b7_aafc_04dd),
            ("停戦を求めた", 0x5f77_73bd_864b_bcb3, 0xd421_4135_7d77_d8e1),
            ("hauptversammlung beschließt", 0x9f1d_a654_6860_eb36, 0xf640_196c_815e_4cbe),
            (&long, 0xa5d1_b460_7dc8_3554, 0xd7aa_4e08_1cbf_1f58),
        ];
        for (spelled, words, chars) in cases {
            assert_eq!((TermKind::Words.hash(spelled), TermKind::Chars.hash(spelled)), (words, chars), "{spelled:?}");
        }
    }

    #[test]
    fn lengths_out_of_range_are_named() {
        for (min, max) in [(0, 1), (2, 1), (1, 17)] {
            let ngrams = Ngrams { min, max };
            let words = TermSettings { word_ngrams: ngrams, ..TermSettings::default() };
            let chars = TermSettings { char_ngrams: Some(ngrams), ..TermSettings::default() };
            for (settings, name) in [(words, "word_ngrams"), (chars, "char_ngrams")] {
                let message = TermReader::new(&settings).unwrap_err().to_string();
                assert!(message.starts_with(&format!("words setting `{name}` is {min} to {max}")), "{message}");
            }
        }
    }

    proptest! {
        /// Against the definition, a character at a time.
        #[test]
        fn any_text_is_read_as_the_definition_says(text in "([a-zA-Z_0-9 .,é中]|\\PC|\\s){0,60}") {
            let lower = text.to_lowercase();
            let words: Vec<String> = lower
                .split(|character: char| !(character.is_alphanumeric() || character == '_'))
                .filter(|word| word.chars().count() >= 2)
                .map(str::to_owned)
                .collect();
            let unigrams = TermSettings { word_ngrams: Ngrams { min: 1, max: 1 }, char_ngrams: None };
            prop_assert_eq!(&terms(&text, &unigrams, TermKind::Words), &words);
            let bigrams = TermSettings { word_ngrams: Ngrams { min: 2, max: 2 }, char_ngrams: None };
            let pairs: Vec<String> = words.windows(2).map(|pair| pair.join(" ")).collect();
            prop_assert_eq!(terms(&text, &bigrams, TermKind::Words), pairs);
            let trigrams = TermSettings { char_ngrams: Some(Ngrams { min: 3, max: 3 }), ..TermSettings::words() };
            let expected: usize = lower.split_whitespace().map(|piece| piece.chars().count()).sum();
            prop_assert_eq!(terms(&text, &trigrams, TermKind::Chars).len(), expected);
        }
    }
}
