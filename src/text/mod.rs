//! Text to tokens, tokens to windows, windows to batches.

pub mod pack;
pub mod passages;
mod pieces;
pub mod sentences;
pub mod windows;

use std::borrow::Cow;

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
    /// Tokens of prompt, title and text without special tokens. Truncation stops counting once it has enough.
    pub n_text_tokens: usize,
    /// Whether some of the article is in no window.
    pub was_cut: bool,
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
        let room = self.room(settings)?;
        let tokenized: Vec<Result<Tokenized, TextError>> = articles
            .par_iter()
            .enumerate()
            .map(|(index, &article)| {
                let result = match settings.long_text {
                    LongText::Truncate => self.truncate(article, room),
                    LongText::Windows { overlap_tokens } => {
                        self.cut(article, room, overlap_tokens, settings.max_windows)
                    }
                };
                result.map_err(|source| TextError::Tokenize { index, source })
            })
            .collect();
        // Folded in order, so that the first article that fails is reported at any number of threads.
        tokenized.into_iter().collect()
    }

    fn truncate(&self, article: TitledText<'_>, room: usize) -> tokenizers::Result<Tokenized> {
        let joined = self.join(article);
        let mut ids = Vec::new();
        let mut parts = pieces(&joined, room * TRUNCATED_BYTES_PER_TOKEN);
        // One token more than fits tells that something is cut.
        while ids.len() <= room
            && let Some(part) = parts.next()
        {
            self.append_ids(part, &mut ids)?;
        }
        let (n_text_tokens, was_cut) = (ids.len(), ids.len() > room);
        ids.truncate(room);
        Ok(Tokenized { windows: vec![self.window(&[], &ids)], n_text_tokens, was_cut })
    }

    fn cut(
        &self,
        article: TitledText<'_>,
        room: usize,
        overlap: usize,
        max_windows: Option<usize>,
    ) -> tokenizers::Result<Tokenized> {
        let all = self.ids(&self.join(article))?;
        let n_text_tokens = all.len();
        if n_text_tokens <= room {
            return Ok(Tokenized { windows: vec![self.window(&[], &all)], n_text_tokens, was_cut: false });
        }
        // Without the white space at its end, which some vocabularies would make a token of its own.
        let head = [self.settings.prompt.as_str(), article.title.unwrap_or_default()].concat();
        let mut head = self.ids(head.trim_end())?;
        // Normally the whole begins with the tokens of its beginning; a vocabulary that merges across the line feed makes
        // an exception.
        let own_body;
        let mut body = match all.strip_prefix(head.as_slice()) {
            Some(body) => body,
            None => {
                own_body = self.ids(article.text)?;
                &own_body
            }
        };
        if article.text.trim().is_empty() {
            (head, body) = (Vec::new(), &all);
        }
        let head_was_cut = head.len() > room / 2;
        head.truncate(room / 2);
        let body_room = room - head.len();
        let (runs, body_was_cut) = runs(body.len(), body_room, overlap.min(body_room / 2), max_windows);
        let windows = runs.into_iter().map(|run| self.window(&head, &body[run])).collect();
        Ok(Tokenized { windows, n_text_tokens, was_cut: head_was_cut || body_was_cut })
    }

    fn join<'a>(&self, article: TitledText<'a>) -> Cow<'a, str> {
        let joined = article.joined();
        if self.settings.prompt.is_empty() { joined } else { Cow::Owned(self.settings.prompt.clone() + &joined) }
    }

    fn window(&self, head: &[u32], body: &[u32]) -> Vec<u32> {
        [&self.prefix, head, body, &self.suffix].concat()
    }

    fn ids(&self, text: &str) -> tokenizers::Result<Vec<u32>> {
        let mut ids = Vec::new();
        for part in pieces(text, PIECE_BYTES) {
            self.append_ids(part, &mut ids)?;
        }
        Ok(ids)
    }

    fn append_ids(&self, text: &str, ids: &mut Vec<u32>) -> tokenizers::Result<()> {
        ids.extend_from_slice(self.tokenizer.encode_fast(text, false)?.get_ids());
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
            assert_eq!(empty, Tokenized { windows: vec![frame.to_vec()], n_text_tokens: 0, was_cut: false }, "{name}");
        }
    }

    #[test]
    fn pieces_do_not_change_the_tokens() {
        let text = TEXT.repeat(3) + "<mask> [SEP] end  of\r\nit ";
        for name in TINY {
            let tokenizer = tokenizer(name, "");
            let whole = tokenizer.tokenizer.encode_fast(text.as_str(), false).unwrap().get_ids().to_vec();
            for wished in [1, 7, 30, 100] {
                let mut ids = Vec::new();
                let mut n_pieces = 0;
                for part in pieces(&text, wished) {
                    tokenizer.append_ids(part, &mut ids).unwrap();
                    n_pieces += 1;
                }
                assert!(n_pieces > 1);
                assert_eq!(ids, whole, "{name}, pieces of {wished} bytes");
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
            let joined = tokenizer.ids(&format!("passage: Sea\n{TEXT}")).unwrap();
            assert_eq!(windows.n_text_tokens, joined.len(), "{name}");
            let head = tokenizer.ids("passage: Sea").unwrap();
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
                    Tokenized { n_text_tokens: whole.len() - 2, windows: vec![whole.clone()], was_cut: false };
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
        let whole = tokenizer.ids(&text).unwrap();
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
        assert_eq!(lower.ids("The UN in Genève").unwrap(), plain.ids("the un in genève").unwrap());
        assert_ne!(lower.ids("The UN").unwrap(), plain.ids("The UN").unwrap());
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
}
