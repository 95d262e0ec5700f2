//! What training keeps of a stream of articles: embeddings, and texts and passages where views want them.

use super::TrainError;
use crate::data::Article;
use crate::heads::multi_instance::{Bags, PassageTargets};
use crate::labels::{LabelId, LabelSet};
use crate::pipeline::neighbours::KnownArticle;
use crate::pipeline::{EmbeddedChunk, titled};
use crate::text::article_passages::{ArticlePassages, Field};
use crate::views::metadata::{Values, values_of};
use ndarray::ArrayView2;

/// Labelled articles as views see them.
#[derive(Default)]
pub(crate) struct Gathered {
    keeps_texts: bool,
    paragraph_labels: Option<String>,
    metadata_columns: Vec<String>,
    /// Of those columns, for every article.
    pub(crate) metadata: Vec<Values>,
    rows: Vec<f32>,
    /// Ids and labels.
    pub(crate) known: Vec<(String, Option<Vec<String>>)>,
    titles: Vec<Option<String>>,
    pub(crate) texts: Vec<String>,
    passage_rows: Vec<f32>,
    offsets: Vec<usize>,
    /// Labels of each passage as they were read.
    passage_labels: Vec<Option<Vec<String>>>,
}

impl Gathered {
    /// `paragraph_labels`: the column with labels of paragraphs.
    pub(crate) fn new(keeps_texts: bool, paragraph_labels: Option<String>, metadata_columns: Vec<String>) -> Self {
        Self { keeps_texts, paragraph_labels, metadata_columns, ..Self::default() }
    }

    /// Adds a chunk.
    ///
    /// # Errors
    /// [`TrainError::ParagraphLabels`].
    pub(crate) fn add(&mut self, chunk: EmbeddedChunk) -> Result<(), TrainError> {
        self.rows.extend(chunk.embeddings.iter());
        if self.keeps_texts {
            self.texts.extend(chunk.articles.iter().map(|article| titled(article).joined().into_owned()));
        }
        if let Some(block) = chunk.passages {
            let n_before = self.passage_labels.len();
            if self.offsets.is_empty() {
                self.offsets.push(0);
            }
            self.offsets.extend(block.offsets.iter().skip(1).map(|offset| n_before + offset));
            self.passage_rows.extend(block.embeddings.iter());
            for (article, found) in chunk.articles.iter().zip(&block.places) {
                let own = match &self.paragraph_labels {
                    Some(column) => labels_of_passages(article, found, column)?,
                    None => vec![None; found.places.len()],
                };
                self.passage_labels.extend(own);
            }
        }
        for article in chunk.articles {
            self.metadata.push(values_of(&self.metadata_columns, &article.extra));
            self.titles.push(article.title);
            self.known.push((article.id, article.labels));
        }
        Ok(())
    }

    /// `[n_articles, hidden_size]`
    ///
    /// # Panics
    /// When the articles' embeddings have another width.
    pub(crate) fn embeddings(&self, hidden_size: usize) -> ArrayView2<'_, f32> {
        ArrayView2::from_shape((self.known.len(), hidden_size), &self.rows).expect("every article has one embedding")
    }

    /// What may be kept of the articles.
    pub(crate) fn articles(&self) -> Vec<KnownArticle> {
        let known = self.known.iter().zip(&self.titles);
        known
            .map(|((id, labels), title)| KnownArticle {
                id: id.clone(),
                title: title.clone(),
                labels: labels.clone().unwrap_or_default(),
            })
            .collect()
    }

    /// The passages, where they were embedded.
    pub(crate) fn bags(&self, hidden_size: usize) -> Option<Bags<'_>> {
        let shape = (self.passage_labels.len(), hidden_size);
        (!self.offsets.is_empty()).then(|| Bags {
            passages: ArrayView2::from_shape(shape, &self.passage_rows).expect("every passage has one embedding"),
            offsets: &self.offsets,
        })
    }

    /// Labels of passages; `None` where no passage has any.
    ///
    /// # Errors
    /// [`TrainError::ParagraphLabel`]: a label that is not in the set.
    pub(crate) fn passage_targets(&self, labels: &LabelSet) -> Result<Option<PassageTargets>, TrainError> {
        if self.passage_labels.iter().all(Option::is_none) {
            return Ok(None);
        }
        let ids = |names: &Vec<String>| -> Result<Vec<LabelId>, TrainError> {
            let mut ids = names
                .iter()
                .map(|name| labels.require(name).map_err(TrainError::ParagraphLabel))
                .collect::<Result<Vec<_>, _>>()?;
            ids.sort();
            ids.dedup();
            Ok(ids)
        };
        let known = self.passage_labels.iter().map(|names| names.as_ref().map(ids).transpose());
        Ok(Some(PassageTargets { known: known.collect::<Result<_, _>>()? }))
    }
}

/// Labels of each passage by those of its paragraph: a list of lists of names in the column, one for each paragraph. Nothing is known of
/// titles, of paragraphs behind the end of the list, and of articles without the column.
fn labels_of_passages(
    article: &Article,
    found: &ArticlePassages,
    column: &str,
) -> Result<Vec<Option<Vec<String>>>, TrainError> {
    let Some(value) = article.extra.get(column).filter(|value| !value.is_null()) else {
        return Ok(vec![None; found.places.len()]);
    };
    let wrong = || TrainError::ParagraphLabels { id: article.id.clone(), column: column.to_owned() };
    let paragraphs: Vec<Vec<String>> = value
        .as_array()
        .ok_or_else(wrong)?
        .iter()
        .map(|names| names.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect())
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    Ok(found
        .places
        .iter()
        .map(|place| match place.field {
            Field::Title => None,
            Field::Text => paragraphs.get(place.paragraph_idx).cloned(),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::text::TitledText;
    use crate::text::passages::PassageSettings;

    fn read(labels: Value) -> Result<Vec<Option<Vec<String>>>, TrainError> {
        let text = "Ships sail from Odesa again.\n\nPrices of wheat fell on Monday.\n\nIt rained all day in Kyiv.";
        let mut article = Article::new("a1", text);
        article.title = Some("Grain".into());
        article.extra.insert("gold".into(), labels);
        let found = ArticlePassages::of(TitledText { title: Some("Grain"), text }, &PassageSettings::default());
        labels_of_passages(&article, &found, "gold")
    }

    #[test]
    fn passages_have_the_labels_of_their_paragraphs() {
        let own = read(json!([["war"], []])).unwrap();
        assert_eq!(own, [None, Some(vec!["war".to_owned()]), Some(vec![]), None]);
        assert_eq!(read(Value::Null).unwrap(), [None, None, None, None]);
    }

    #[test]
    fn what_is_no_list_of_lists_is_refused() {
        for labels in [json!("war"), json!(["war"]), json!([[1]])] {
            let message = read(labels).unwrap_err().to_string();
            assert_eq!(
                message,
                "column `gold` of article a1 should be a list with a list of labels for each paragraph"
            );
        }
    }
}
