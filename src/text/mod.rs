//! Text to tokens, tokens to windows, windows to batches.

pub mod article_passages;
pub mod pack;
pub mod passages;
mod pieces;
pub mod sentences;
pub mod windows;

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;
use thiserror::Error;
use tokenizers::normalizers::{Lowercase, Sequence};
use tokenizers::{Encoding, NormalizerWrapper, Token, Tokenizer};

use pieces::pieces;
use windows::{LongText, WindowSettings, runs};

/// The text of one article.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TitledText<'a> {
    /// Joined with the text by a line feed; an empty title counts as none.
    pub title: Option<&'a str>,
    pub text: &'a str,
}

impl<'a> TitledText<'a> {
    /// A text without a title.
    pub fn untitled(text: &'a str) -> Self {
        Self { title: None, text }
    }

    /// Title and text, joined by a line feed.
    pub fn joined(&self) -> Cow<'a, str> {
        match self.title.filter(|title| !title.is_empty()) {
            None => Cow::Borrowed(self.text),
            Some(title) => Cow::Owned([title, "\n", self.text].concat()),
        }
    }
}

/// The windows of one article.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokenized {
    /// Token ids of each window, special tokens included; at least one window.
    pub windows: Vec<Vec<u32>>,
    /// Where the tokens of each window lie, in bytes of prompt, title, line feed and text: as many as ids, `(0, 0)` for special
    /// tokens. Empty unless [`TextTokenizer::tokenize_located`] made it.
    pub places: Vec<Vec<Place>>,
    /// Tokens of prompt, title and text without special tokens. Truncation stops counting once it has enough.
    pub n_text_tokens: usize,
    /// Whether some of the article is in no window.
    pub was_cut: bool,
}

/// Begin and end of a token, in bytes.
pub type Place = (usize, usize);

/// Tokens of a text; their places too where wanted.
#[derive(Debug, Default)]
struct Tokens {
    ids: Vec<u32>,
    places: Vec<Place>,
}

impl Tokens {
    fn len(&self) -> usize {
        self.ids.len()
    }

    fn truncate(&mut self, n_tokens: usize) {
        self.ids.truncate(n_tokens);
        self.places.truncate(n_tokens);
    }

    /// Some of them; a range of places that were not wanted stays empty.
    fn slice(&self, range: Range<usize>) -> TokenSlice<'_> {
        TokenSlice { ids: &self.ids[range.clone()], places: self.places.get(range).unwrap_or_default() }
    }
}

#[derive(Clone, Copy, Default)]
struct TokenSlice<'a> {
    ids: &'a [u32],
    places: &'a [Place],
}

/// What a tokenizer needs besides its own file.
#[derive(Clone, Debug)]
pub struct TokenizerSettings {
    /// Tokens of a window, special tokens included, unless [`WindowSettings::max_tokens`] says otherwise.
    pub max_tokens: usize,
    /// The longest window the encoder's positions allow.
    pub n_positions: usize,
    /// Stands before every text.
    pub prompt: String,
    /// Lower-case before the tokenizer's own normalisation.
    pub do_lower_case: bool,
}

/// Why texts could not be tokenised.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TextError {
    #[error("tokenizer.json cannot be read")]
    Load { source: tokenizers::Error },
    #[error("tokenizer.json puts tokens of type {found} around a single text, expected type 0 only")]
    TokenType { found: u32 },
    #[error("tokenizer.json has a post-processor that does not hold the text exactly once")]
    Template,
    #[error("text number {index} of the batch cannot be tokenised")]
    Tokenize { index: usize, source: tokenizers::Error },
    #[error(
        "windows of {found} tokens are not possible: expected {min} ({n_special} special tokens and room for the text) to {max} (the encoder's positions)"
    )]
    MaxTokens { found: usize, min: usize, max: usize, n_special: usize },
}

/// The fewest text tokens a window must have room for: a title token, an overlap token, and two to move on.
const MIN_ROOM_TOKENS: usize = 4;
/// Long texts are tokenised in pieces of about this size, so that the tokenizer's working memory (some hundred bytes per
/// character) stays small.
const PIECE_BYTES: usize = 64 * 1024;
/// With truncation, the first piece has this many bytes per token wanted: English needs four to five, so one piece nearly always is enough.
const TRUNCATED_BYTES_PER_TOKEN: usize = 8;

/// Turns articles into windows of token ids, as the encoder was trained to see them.
///
/// What stands around a text (`[CLS]` …) is read from the tokenizer's post-processor; the truncation and padding that
/// `tokenizer.json` may ask for are switched off, [`WindowSettings`] rule instead.
#[derive(Clone, Debug)]
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    settings: TokenizerSettings,
    /// Special tokens before and after a text.
    prefix: Vec<u32>,
    suffix: Vec<u32>,
}

impl TextTokenizer {
    /// From the content of `tokenizer.json`.
    ///
    /// # Errors
    /// Not a tokenizer, or one that marks single texts with other token types than 0.
    pub fn new(tokenizer_json: &[u8], settings: TokenizerSettings) -> Result<Self, TextError> {
        let load_error = |source| TextError::Load { source };
        let mut tokenizer = Tokenizer::from_bytes(tokenizer_json).map_err(load_error)?;
        tokenizer.with_padding(None).with_truncation(None).map_err(load_error)?;
        if settings.do_lower_case {
            let lowercase = NormalizerWrapper::Lowercase(Lowercase);
            let own = match tokenizer.get_normalizer().cloned() {
                None => Vec::new(),
                Some(NormalizerWrapper::Sequence(sequence)) => sequence.into_iter().collect(),
                Some(single) => vec![single],
            };
            let all = std::iter::once(lowercase).chain(own).collect();
            tokenizer.with_normalizer(Some(NormalizerWrapper::Sequence(Sequence::new(all)))).map_err(load_error)?;
        }
        // A text of one token, whichever: what the post-processor adds to it are the special tokens.
        let text = Encoding::from_tokens(vec![Token::new(0, "a".to_owned(), (0, 1))], 0);
        let framed = tokenizer.post_process(text, None, true).map_err(load_error)?;
        if let Some(&found) = framed.get_type_ids().iter().find(|&&type_id| type_id != 0) {
            return Err(TextError::TokenType { found });
        }
        let is_text: Vec<bool> = framed.get_special_tokens_mask().iter().map(|&is_special| is_special == 0).collect();
        let (Some(at), 1) =
            (is_text.iter().position(|&is_text| is_text), is_text.iter().filter(|&&is_text| is_text).count())
        else {
            return Err(TextError::Template);
        };
        let prefix = framed.get_ids()[..at].to_vec();
        let suffix = framed.get_ids()[at + 1..].to_vec();
        Ok(Self { tokenizer, settings, prefix, suffix })
    }

    /// Tokens of a window, special tokens included, unless settings say otherwise.
    pub fn max_tokens(&self) -> usize {
        self.settings.max_tokens
    }

    /// What stands before every text.
    pub fn prompt(&self) -> &str {
        &self.settings.prompt
    }

    /// One more than the largest token id.
    pub fn n_token_ids(&self) -> usize {
        self.tokenizer.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1)
    }

    /// The text of a token as the vocabulary spells it, with its marks for word ends (`##`, `Ġ`, `▁`); `None` where there is no such token.
    pub fn token(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }

    /// Tokens that stand for no text: `[CLS]`, `<mask>` …
    pub fn special_tokens(&self) -> Vec<u32> {
        let added = self.tokenizer.get_added_vocabulary().get_added_tokens_decoder();
        let special = added.iter().filter(|(_, token)| token.special).map(|(&id, _)| id);
        let mut ids: Vec<u32> = special.chain(self.prefix.iter().chain(&self.suffix).copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Number of special tokens in each window.
    pub fn n_special_tokens(&self) -> usize {
        self.prefix.len() + self.suffix.len()
    }

    /// Checks that the settings suit this encoder; do so before long work.
    ///
    /// # Errors
    /// [`TextError::MaxTokens`] where windows would leave no room for the text or exceed the positions.
    pub fn check(&self, settings: &WindowSettings) -> Result<(), TextError> {
        self.room(settings).map(|_| ())
    }

    /// Text tokens that one window has room for.
    fn room(&self, settings: &WindowSettings) -> Result<usize, TextError> {
        let n_special = self.n_special_tokens();
        let found = settings.max_tokens.unwrap_or(self.settings.max_tokens);
        let (min, max) = (n_special + MIN_ROOM_TOKENS, self.settings.n_positions);
        if (min..=max).contains(&found) {
            Ok(found - n_special)
        } else {
            Err(TextError::MaxTokens { found, min, max, n_special })
        }
    }

    /// Windows of every article, in the order of the articles.
    ///
    /// An article that fits has one window, with the ids that sentence-transformers gives `prompt + title + "\n" + text`. A longer
    /// one has several: each holds prompt and title (at most half of its room) and a run of the text, see [`LongText`].
    ///
    /// Works on all threads of the current rayon pool; the result does not depend on their number.
    ///
    /// # Errors
    /// Impossible settings, or a text that the tokenizer refuses (a vocabulary without an unknown token).
    pub fn tokenize(
        &self,
        articles: &[TitledText<'_>],
        settings: &WindowSettings,
    ) -> Result<Vec<Tokenized>, TextError> {
        self.tokenize_all(articles, settings, false)
    }

    /// The same, with the places of all tokens.
    ///
    /// # Errors
    /// As [`TextTokenizer::tokenize`].
    pub fn tokenize_located(
        &self,
        articles: &[TitledText<'_>],
        settings: &WindowSettings,
    ) -> Result<Vec<Tokenized>, TextError> {
        self.tokenize_all(articles, settings, true)
    }

    fn tokenize_all(
        &self,
        articles: &[TitledText<'_>],
        settings: &WindowSettings,
        located: bool,
    ) -> Result<Vec<Tokenized>, TextError> {
        let room = self.room(settings)?;
        let tokenized: Vec<Result<Tokenized, TextError>> = articles
            .par_iter()
            .enumerate()
            .map(|(index, &article)| {
                let result = match settings.long_text {
                    LongText::Truncate => self.truncate(article, room, located),
                    LongText::Windows { overlap_tokens } => {
                        self.cut(article, room, overlap_tokens, settings.max_windows, located)
                    }
                };
                result.map_err(|source| TextError::Tokenize { index, source })
            })
            .collect();
        // Folded in order, so that the first article that fails is reported at any number of threads.
        tokenized.into_iter().collect()
    }

    fn truncate(&self, article: TitledText<'_>, room: usize, located: bool) -> tokenizers::Result<Tokenized> {
        let joined = self.join(article);
        let mut tokens = Tokens::default();
        let mut parts = pieces(&joined, room * TRUNCATED_BYTES_PER_TOKEN);
        let mut start = 0;
        // One token more than fits tells that something is cut.
        while tokens.len() <= room
            && let Some(part) = parts.next()
        {
            self.append(part, start, located, &mut tokens)?;
            start += part.len();
        }
        let (n_text_tokens, was_cut) = (tokens.len(), tokens.len() > room);
        tokens.truncate(room);
        Ok(self.windows([(TokenSlice::default(), tokens.slice(0..tokens.len()))], n_text_tokens, was_cut))
    }

    fn cut(
        &self,
        article: TitledText<'_>,
        room: usize,
        overlap: usize,
        max_windows: Option<usize>,
        located: bool,
    ) -> tokenizers::Result<Tokenized> {
        let joined = self.join(article);
        let all = self.tokens(&joined, 0, located)?;
        let n_text_tokens = all.len();
        if n_text_tokens <= room {
            return Ok(self.windows([(TokenSlice::default(), all.slice(0..all.len()))], n_text_tokens, false));
        }
        // Without the white space at its end, which some vocabularies would make a token of its own.
        let head = [self.settings.prompt.as_str(), article.title.unwrap_or_default()].concat();
        let mut head = self.tokens(head.trim_end(), 0, located)?;
        // Normally the whole begins with the tokens of its beginning; a vocabulary that merges across the line feed makes
        // an exception.
        let own_body;
        let mut body = if all.ids.starts_with(&head.ids) {
            all.slice(head.len()..all.len())
        } else {
            own_body = self.tokens(article.text, joined.len() - article.text.len(), located)?;
            own_body.slice(0..own_body.len())
        };
        if article.text.trim().is_empty() {
            (head, body) = (Tokens::default(), all.slice(0..all.len()));
        }
        let head_was_cut = head.len() > room / 2;
        head.truncate(room / 2);
        let body_room = room - head.len();
        let (runs, body_was_cut) = runs(body.ids.len(), body_room, overlap.min(body_room / 2), max_windows);
        let part = |run: Range<usize>| TokenSlice {
            ids: &body.ids[run.clone()],
            places: body.places.get(run).unwrap_or_default(),
        };
        let windows = runs.into_iter().map(|run| (head.slice(0..head.len()), part(run)));
        Ok(self.windows(windows, n_text_tokens, head_was_cut || body_was_cut))
    }

    fn join<'a>(&self, article: TitledText<'a>) -> Cow<'a, str> {
        let joined = article.joined();
        if self.settings.prompt.is_empty() { joined } else { Cow::Owned(self.settings.prompt.clone() + &joined) }
    }

    /// Windows of a head and a run of the text each.
    fn windows<'a>(
        &self,
        parts: impl IntoIterator<Item = (TokenSlice<'a>, TokenSlice<'a>)>,
        n_text_tokens: usize,
        was_cut: bool,
    ) -> Tokenized {
        let mut tokenized = Tokenized { n_text_tokens, was_cut, ..Tokenized::default() };
        for (head, body) in parts {
            tokenized.windows.push([&self.prefix, head.ids, body.ids, &self.suffix].concat());
            if head.places.len() + body.places.len() > 0 {
                let (before, behind) = (vec![(0, 0); self.prefix.len()], vec![(0, 0); self.suffix.len()]);
                tokenized.places.push([&before, head.places, body.places, &behind].concat());
            }
        }
        tokenized
    }

    /// `start`: where the text begins in what places are counted in.
    fn tokens(&self, text: &str, mut start: usize, located: bool) -> tokenizers::Result<Tokens> {
        let mut tokens = Tokens::default();
        for part in pieces(text, PIECE_BYTES) {
            self.append(part, start, located, &mut tokens)?;
            start += part.len();
        }
        Ok(tokens)
    }

    fn append(&self, text: &str, start: usize, located: bool, tokens: &mut Tokens) -> tokenizers::Result<()> {
        if !located {
            tokens.ids.extend_from_slice(self.tokenizer.encode_fast(text, false)?.get_ids());
            return Ok(());
        }
        let encoding = self.tokenizer.encode(text, false)?;
        tokens.ids.extend_from_slice(encoding.get_ids());
        tokens.places.extend(encoding.get_offsets().iter().map(|&(begin, end)| (start + begin, start + end)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: [&str; 3] = ["tiny-bert-cls-dense", "tiny-xlm-roberta-mean", "tiny-roberta-shards"];

    fn tokenizer(name: &str, prompt: &str) -> TextTokenizer {
        let path = format!("{}/models/{name}/tokenizer.json", env!("CARGO_MANIFEST_DIR"));
        let settings =
            TokenizerSettings { max_tokens: 20, n_positions: 40, prompt: prompt.to_owned(), do_lower_case: false };
        TextTokenizer::new(&std::fs::read(path).unwrap(), settings).unwrap()
    }

    fn ids(tokenizer: &TextTokenizer, text: &str) -> Vec<u32> {
        tokenizer.tokens(text, 0, false).unwrap().ids
    }

    fn one(tokenizer: &TextTokenizer, article: TitledText<'_>, settings: &WindowSettings) -> Tokenized {
        tokenizer.tokenize(&[article], settings).unwrap().remove(0)
    }

    const TEXT: &str = "The minister flew to Geneva on Monday. Talks about the ceasefire went on until late at night, \
        said two diplomats; «nothing is agreed», wrote a third. Élysée officials declined to comment. 日本の外務大臣 too.";

    #[test]
    fn special_tokens_come_from_the_post_processor() {
        // [CLS] and [SEP] of the WordPiece vocabulary, <s> and </s> of the two others.
        for (name, frame) in TINY.iter().zip([[2, 3], [0, 2], [0, 2]]) {
            let tokenizer = tokenizer(name, "");
            let empty = one(&tokenizer, TitledText::untitled(""), &WindowSettings::default());
            assert_eq!(empty, Tokenized { windows: vec![frame.to_vec()], ..Tokenized::default() }, "{name}");
        }
    }

    #[test]
    fn pieces_do_not_change_the_tokens() {
        let text = TEXT.repeat(3) + "<mask> [SEP] end  of\r\nit ";
        for name in TINY {
            let tokenizer = tokenizer(name, "");
            let whole = tokenizer.tokenizer.encode_fast(text.as_str(), false).unwrap().get_ids().to_vec();
            for wished in [1, 7, 30, 100] {
                let mut tokens = Tokens::default();
                let mut n_pieces = 0;
                for part in pieces(&text, wished) {
                    tokenizer.append(part, 0, false, &mut tokens).unwrap();
                    n_pieces += 1;
                }
                assert!(n_pieces > 1);
                assert_eq!(tokens.ids, whole, "{name}, pieces of {wished} bytes");
            }
        }
    }

    #[test]
    fn windows_keep_prompt_and_title_and_cover_the_text() {
        let settings = WindowSettings { long_text: LongText::Windows { overlap_tokens: 3 }, ..Default::default() };
        for name in TINY {
            let tokenizer = tokenizer(name, "passage: ");
            let title = Some("Sea");
            let article = TitledText { title, text: TEXT };
            let windows = one(&tokenizer, article, &settings);
            assert!(!windows.was_cut && windows.windows.len() > 3, "{name}: {windows:?}");
            let joined = ids(&tokenizer, &format!("passage: Sea\n{TEXT}"));
            assert_eq!(windows.n_text_tokens, joined.len(), "{name}");
            let head = ids(&tokenizer, "passage: Sea");
            assert!(head.len() <= 9, "{name}: the head must fit for this test, has {}", head.len());
            let mut rebuilt = head.clone();
            for (i, window) in windows.windows.iter().enumerate() {
                assert!(window.len() <= 20, "{name}");
                let inner = window.strip_prefix(tokenizer.prefix.as_slice()).unwrap();
                let inner = inner.strip_suffix(tokenizer.suffix.as_slice()).unwrap();
                let body = inner.strip_prefix(head.as_slice()).unwrap();
                rebuilt.extend_from_slice(&body[if i == 0 { 0 } else { 3 }..]);
            }
            assert_eq!(rebuilt, joined, "{name}");

            let two = WindowSettings { max_windows: Some(2), ..settings.clone() };
            let two = one(&tokenizer, article, &two);
            assert_eq!((two.windows.len(), two.was_cut), (2, true), "{name}");

            let long_title = TEXT.repeat(2);
            let article = TitledText { title: Some(&long_title), text: TEXT };
            let windows = one(&tokenizer, article, &settings);
            assert!(windows.was_cut && windows.windows.len() > 3, "{name}: only the title was cut");
            let article = TitledText { title: Some(&long_title), text: " " };
            let windows = one(&tokenizer, article, &settings);
            assert!(
                !windows.was_cut && windows.windows.len() > 3,
                "{name}: a title alone is cut into windows like a text"
            );
        }
    }

    #[test]
    fn an_article_that_fits_is_tokenised_as_a_whole() {
        for name in TINY {
            let tokenizer = tokenizer(name, "");
            let article = TitledText { title: Some("UN"), text: "peace" };
            let whole = tokenizer.tokenizer.encode_fast("UN\npeace", true).unwrap().get_ids().to_vec();
            for long_text in [LongText::default(), LongText::Truncate] {
                let settings = WindowSettings { long_text, ..Default::default() };
                let expected =
                    Tokenized { n_text_tokens: whole.len() - 2, windows: vec![whole.clone()], ..Tokenized::default() };
                assert_eq!(one(&tokenizer, article, &settings), expected, "{name}");
            }
        }
    }

    #[test]
    fn truncation_keeps_the_start_and_reads_no_further_than_needed() {
        let settings = WindowSettings { long_text: LongText::Truncate, max_tokens: Some(12), ..Default::default() };
        let tokenizer = tokenizer("tiny-bert-cls-dense", "");
        let text = TEXT.repeat(1000);
        let truncated = one(&tokenizer, TitledText::untitled(&text), &settings);
        let whole = ids(&tokenizer, &text);
        assert_eq!(truncated.windows, vec![[&[2], &whole[..10], &[3]].concat()]);
        assert!(truncated.was_cut);
        assert!((11..200).contains(&truncated.n_text_tokens), "{}", truncated.n_text_tokens);
    }

    #[test]
    fn lower_casing_stands_before_the_tokenizers_own_normalisation() {
        let path = format!("{}/models/tiny-roberta-shards/tokenizer.json", env!("CARGO_MANIFEST_DIR"));
        let settings =
            TokenizerSettings { max_tokens: 40, n_positions: 40, prompt: String::new(), do_lower_case: true };
        let lower = TextTokenizer::new(&std::fs::read(path).unwrap(), settings).unwrap();
        let plain = tokenizer("tiny-roberta-shards", "");
        assert_eq!(ids(&lower, "The UN in Genève"), ids(&plain, "the un in genève"));
        assert_ne!(ids(&lower, "The UN"), ids(&plain, "The UN"));
    }

    #[test]
    fn windows_outside_the_possible_are_refused() {
        let tokenizer = tokenizer("tiny-bert-cls-dense", "");
        for (max_tokens, is_possible) in [(5, false), (6, true), (40, true), (41, false)] {
            let settings = WindowSettings { max_tokens: Some(max_tokens), ..Default::default() };
            assert_eq!(tokenizer.check(&settings).is_ok(), is_possible, "{max_tokens}");
        }
        let settings = WindowSettings { max_tokens: Some(41), ..Default::default() };
        let message = tokenizer.check(&settings).unwrap_err().to_string();
        assert!(message.contains("windows of 41 tokens") && message.contains("to 40"), "{message}");
    }

    #[test]
    fn millions_of_tokens_take_linear_time() {
        let tokenizer = tokenizer("tiny-bert-cls-dense", "");
        let n = 400_000;
        let text = "the ".repeat(n);
        let windows = one(&tokenizer, TitledText::untitled(&text), &WindowSettings::default());
        assert_eq!((windows.n_text_tokens, windows.was_cut), (n, false));
    }

    #[test]
    fn a_tokenizer_that_is_none_is_refused() {
        let settings =
            TokenizerSettings { max_tokens: 40, n_positions: 40, prompt: String::new(), do_lower_case: true };
        let error = TextTokenizer::new(b"{}", settings).unwrap_err();
        assert!(matches!(error, TextError::Load { .. }));
    }

    #[test]
    fn places_are_where_the_tokens_stand() {
        for name in TINY {
            let tokenizer = tokenizer(name, "note: ");
            let text = "Grain ships leave the port of Odesa again, and ministers speak of peace. ".repeat(3);
            let article = TitledText { title: Some("Grain talks"), text: &text };
            let joined = format!("note: Grain talks\n{text}");
            for long_text in [LongText::Truncate, LongText::Windows { overlap_tokens: 3 }] {
                let settings = WindowSettings { long_text, ..WindowSettings::default() };
                let located = tokenizer.tokenize_located(&[article], &settings).unwrap().remove(0);
                let plain = one(&tokenizer, article, &settings);
                assert_eq!(located.windows, plain.windows, "{name}");
                assert_eq!(plain.places, Vec::<Vec<Place>>::new());
                let mut seen = vec![false; joined.len()];
                for (ids, places) in located.windows.iter().zip(&located.places) {
                    assert_eq!(ids.len(), places.len());
                    for &(begin, end) in places {
                        assert!(joined.is_char_boundary(begin) && joined.is_char_boundary(end));
                        seen[begin..end].fill(true);
                    }
                }
                // Nearly every letter is in a token, unless cut off; some vocabularies take the first of a word for its mark.
                let letters = joined.bytes().zip(&seen).filter(|(byte, _)| byte.is_ascii_alphanumeric());
                let (n_letters, n_missing) =
                    letters.fold((0, 0), |(n, missing), (_, seen)| (n + 1, missing + usize::from(!*seen)));
                assert_eq!(20 * n_missing < n_letters, long_text != LongText::Truncate, "{name}: {n_missing}");
            }
        }
    }
}
