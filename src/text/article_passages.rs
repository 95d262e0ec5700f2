//! The passages of an article with a title, and the tokens of each.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::passages::{PassageSettings, passages, token_spans};
use super::{Place, TitledText};

/// Where a passage stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    Title,
    Text,
}

/// A passage of an article.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassagePlace {
    pub field: Field,
    /// Bytes of that field, on character boundaries.
    pub range: Range<usize>,
    /// The paragraph of the text it lies in, from 0; 0 for a title.
    pub paragraph_idx: usize,
}

/// The passages of one article: its title, if it has one, then those of its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArticlePassages {
    pub places: Vec<PassagePlace>,
    /// Whether some of the text is in none, because of [`PassageSettings::max_passages`].
    pub was_cut: bool,
}

impl ArticlePassages {
    /// Finds the passages of an article.
    pub fn of(article: TitledText<'_>, settings: &PassageSettings) -> Self {
        let title = article.title.map(str::trim).filter(|title| !title.is_empty());
        let title = title.zip(article.title).map(|(trimmed, title)| {
            let start = title.len() - title.trim_start().len();
            PassagePlace { field: Field::Title, range: start..start + trimmed.len(), paragraph_idx: 0 }
        });
        let found = passages(article.text, settings);
        let text = found.passages.into_iter().map(|passage| PassagePlace {
            field: Field::Text,
            range: passage.range,
            paragraph_idx: passage.paragraph_idx,
        });
        Self { places: title.into_iter().chain(text).collect(), was_cut: found.was_cut }
    }

    /// The words of a passage.
    pub fn words<'a>(&self, article: TitledText<'a>, passage_idx: usize) -> &'a str {
        let place = &self.places[passage_idx];
        match place.field {
            Field::Title => &article.title.unwrap_or_default()[place.range.clone()],
            Field::Text => &article.text[place.range.clone()],
        }
    }

    /// The tokens of each passage in one window whose tokens lie at `places`, counted in prompt, title, line feed and text:
    /// as many ranges as passages, empty for those that the window does not reach.
    pub fn spans(&self, article: TitledText<'_>, prompt: &str, places: &[Place]) -> Vec<Range<usize>> {
        let title_len = article.title.filter(|title| !title.is_empty()).map_or(0, |title| title.len() + 1);
        let ranges: Vec<Range<usize>> = self
            .places
            .iter()
            .map(|place| {
                let start = match place.field {
                    Field::Title => prompt.len(),
                    Field::Text => prompt.len() + title_len,
                };
                start + place.range.start..start + place.range.end
            })
            .collect();
        token_spans(&ranges, places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_a_passage_of_its_own() {
        let article = TitledText {
            title: Some(" Grain deal "),
            text: "Ships sail from Odesa again.\n\nPrices of wheat fell on Monday.",
        };
        let found = ArticlePassages::of(article, &PassageSettings::default());
        let words: Vec<&str> = (0..found.places.len()).map(|passage_idx| found.words(article, passage_idx)).collect();
        assert_eq!(words, ["Grain deal", "Ships sail from Odesa again.", "Prices of wheat fell on Monday."]);
        assert_eq!(found.places[2].paragraph_idx, 1);
        let none = ArticlePassages::of(TitledText { title: Some("  "), text: " " }, &PassageSettings::default());
        assert_eq!(none, ArticlePassages::default());
    }

    #[test]
    fn spans_are_counted_behind_prompt_and_title() {
        let article = TitledText { title: Some("Deal"), text: "Ships sail from Odesa again." };
        let found = ArticlePassages::of(article, &PassageSettings::default());
        // [CLS] "p" "Deal" "Ships" … "again." [SEP], of "p:Deal\nShips…".
        let places = [(0, 0), (0, 2), (2, 6), (7, 12), (13, 17), (29, 35), (0, 0)];
        assert_eq!(found.spans(article, "p:", &places), [2..3, 3..6]);
    }
}
