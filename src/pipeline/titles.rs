//! Titles that count for more: the embedding of an article mixed with that of its title alone.

use ndarray::Array2;

use super::PipelineError;
use super::embed::{EmbedCounts, EmbedSettings, encode_articles, tokenize_articles};
use super::stored::{Shelf, StoredArticle};
use crate::data::Article;
use crate::encoder::Encoder;
use crate::encoder::store::Key;
use crate::progress::{Progress, Quiet};
use crate::text::TitledText;

/// Titles are encoded as articles of their own, and kept like these.
pub(super) struct Titles<'a> {
    encoder: &'a Encoder,
    weight: f64,
    settings: EmbedSettings,
    shelf: Option<Shelf<'a>>,
}

impl<'a> Titles<'a> {
    /// `None` where titles have no weight of their own.
    ///
    /// # Errors
    /// A weight outside of 0 to 1; as [`Shelf::open`].
    pub(super) fn open(encoder: &'a Encoder, settings: &EmbedSettings) -> Result<Option<Self>, PipelineError> {
        let weight = match settings.title_weight {
            None => return Ok(None),
            Some(weight) => check_title_weight(weight)?,
        };
        let settings = EmbedSettings { title_weight: None, passages: None, ..settings.clone() };
        let shelf = Shelf::open(encoder, &settings)?;
        Ok((weight > 0.0).then_some(Self { encoder, weight, settings, shelf }))
    }

    /// Mixes the rows of articles that have a title; `embeddings` `[articles.len(), hidden_size]`.
    ///
    /// # Errors
    /// As the encoder.
    pub(super) fn mix_into(
        &self,
        embeddings: &mut Array2<f32>,
        articles: &[Article],
        counts: &mut EmbedCounts,
        progress: &dyn Progress,
    ) -> Result<(), PipelineError> {
        let (places, texts): (Vec<usize>, Vec<TitledText<'_>>) =
            articles.iter().enumerate().filter_map(|(i, article)| Some((i, title_of(article)?))).unzip();
        for (i, own) in places.into_iter().zip(self.encode(&texts, progress)?) {
            counts.n_windows += u64::from(own.n_all_windows);
            counts.n_tokens += u64::from(own.n_tokens);
            let mut row = embeddings.row_mut(i);
            for (whole, title) in row.iter_mut().zip(own.embedding) {
                *whole = ((1.0 - self.weight) * f64::from(*whole) + self.weight * f64::from(title)) as f32;
            }
            if self.encoder.info().normalizes {
                let norm = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
                // Opposite vectors of equal weight have no direction: they stay zeros.
                if norm > 0.0 {
                    row.mapv_inplace(|x| (f64::from(x) / norm) as f32);
                }
            }
        }
        Ok(())
    }

    fn encode(&self, texts: &[TitledText<'_>], progress: &dyn Progress) -> Result<Vec<StoredArticle>, PipelineError> {
        // Their windows are no articles, which is what progress counts.
        let quiet = Quiet(progress);
        let keys: Vec<Key> = self.shelf.as_ref().map_or_else(Vec::new, |shelf| shelf.keys(texts));
        let known = match &self.shelf {
            None => vec![None; texts.len()],
            Some(shelf) => shelf.get(&keys, &vec![0; texts.len()], progress),
        };
        let unknown: Vec<usize> = (0..texts.len()).filter(|&i| known[i].is_none()).collect();
        let fresh_texts: Vec<TitledText<'_>> = unknown.iter().map(|&i| texts[i]).collect();
        let tokens = tokenize_articles(self.encoder, &self.settings, &fresh_texts, &[])?;
        let fresh = encode_articles(self.encoder, &self.settings, tokens, &quiet)?;
        if let Some(shelf) = &self.shelf {
            let fresh_keys: Vec<Key> = unknown.iter().map(|&i| keys[i]).collect();
            shelf.put(&fresh_keys, &fresh, progress);
        }
        let mut fresh = fresh.into_iter();
        Ok(known
            .into_iter()
            .map(|known| known.unwrap_or_else(|| fresh.next().expect("what is not known was encoded")))
            .collect())
    }
}

fn title_of(article: &Article) -> Option<TitledText<'_>> {
    article.title.as_deref().filter(|title| !title.is_empty()).map(TitledText::untitled)
}

/// The weight, if it is one.
///
/// # Errors
/// [`PipelineError::TitleWeight`].
fn check_title_weight(weight: f64) -> Result<f64, PipelineError> {
    if (0.0..=1.0).contains(&weight) { Ok(weight) } else { Err(PipelineError::TitleWeight { found: weight }) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::pipeline::embed_stream;
    use crate::progress::Silent;

    fn embed(encoder: &Encoder, articles: &[Article], title_weight: Option<f64>) -> (Array2<f32>, EmbedCounts) {
        let settings = EmbedSettings { title_weight, ..EmbedSettings::default() };
        let mut found = Array2::zeros((0, encoder.hidden_size()));
        let owned: Vec<_> = articles.iter().cloned().map(Ok).collect();
        let counts = embed_stream(encoder, &settings, owned, &Silent, |chunk| {
            found.append(ndarray::Axis(0), chunk.embeddings.view()).expect("rows of one width");
            Ok(())
        });
        (found, counts.unwrap())
    }

    /// `f64` sums of the formula against those of the encoder's rows.
    const TOLERANCE: f64 = 1e-6;

    #[test]
    fn titles_are_mixed_in_by_the_formula() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny-bert-cls-dense");
        let encoder = Encoder::open(folder.to_str().unwrap()).unwrap();
        let mut titled = Article::new("a", "The ministers met for an hour and then left.");
        titled.title = Some("Trade talks".into());
        let articles = [titled, Article::new("b", "Trade talks"), Article::new("c", "No title at all.")];
        let (plain, n_plain) = embed(&encoder, &articles, None);
        let (mixed, n_mixed) = embed(&encoder, &articles, Some(0.25));
        // Those without a title stay as they are, to the bit.
        assert_eq!(plain.slice(ndarray::s![1.., ..]), mixed.slice(ndarray::s![1.., ..]));
        assert_eq!((n_mixed.n_articles, n_mixed.n_windows), (3, n_plain.n_windows + 1));
        // The second article's text is the first one's title.
        let sum: Vec<f64> =
            (0..plain.ncols()).map(|j| 0.75 * f64::from(plain[[0, j]]) + 0.25 * f64::from(plain[[1, j]])).collect();
        let norm = if encoder.info().normalizes { sum.iter().map(|x| x * x).sum::<f64>().sqrt() } else { 1.0 };
        for (found, expected) in mixed.row(0).iter().zip(sum) {
            assert!((f64::from(*found) - expected / norm).abs() < TOLERANCE, "{found}, expected {}", expected / norm);
        }
        assert_eq!(embed(&encoder, &articles, Some(0.0)).0, plain);
        let only = embed(&encoder, &articles, Some(1.0)).0;
        assert!(only.row(0).iter().zip(plain.row(1)).all(|(a, b)| (a - b).abs() < TOLERANCE as f32));
        for weight in [-0.1, 1.5, f64::NAN] {
            let settings = EmbedSettings { title_weight: Some(weight), ..EmbedSettings::default() };
            let refused = embed_stream(&encoder, &settings, Vec::new(), &Silent, |_| Ok(()));
            assert!(matches!(refused, Err(PipelineError::TitleWeight { .. })), "{weight}");
        }
    }
}
