//! Training articles that are most like another: why a classifier thinks what it does, by example.

use half::f16;
use ndarray::{Array2, ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A training article, as far as it is kept: no text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownArticle {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    pub labels: Vec<String>,
}

/// One embedding for each article is what they need.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{n_articles} training articles, but embeddings of {n_embeddings}")]
pub struct NeighboursError {
    pub n_articles: usize,
    pub n_embeddings: usize,
}

/// Training articles and their embeddings in half precision.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    articles: Vec<KnownArticle>,
    /// `[n_articles, hidden_size]`
    embeddings: Array2<f16>,
}

impl Neighbours {
    /// Puts them together from their parts, as they were saved.
    ///
    /// # Errors
    /// [`NeighboursError`].
    pub fn new(articles: Vec<KnownArticle>, embeddings: Array2<f16>) -> Result<Self, NeighboursError> {
        let (n_articles, n_embeddings) = (articles.len(), embeddings.nrows());
        if n_articles == n_embeddings {
            Ok(Self { articles, embeddings })
        } else {
            Err(NeighboursError { n_articles, n_embeddings })
        }
    }

    /// Of these articles at most `max`, evenly spaced.
    ///
    /// # Panics
    /// When there are fewer embeddings than articles.
    pub fn sample(articles: &[KnownArticle], embeddings: ArrayView2<f32>, max: usize) -> Self {
        let n = articles.len();
        let kept: Vec<usize> = (0..n.min(max)).map(|i| i * n / n.min(max)).collect();
        Self {
            articles: kept.iter().map(|&i| articles[i].clone()).collect(),
            embeddings: Array2::from_shape_fn((kept.len(), embeddings.ncols()), |(i, j)| {
                f16::from_f32(embeddings[[kept[i], j]])
            }),
        }
    }

    /// The articles.
    pub fn articles(&self) -> &[KnownArticle] {
        &self.articles
    }

    /// Their embeddings, `[n_articles, hidden_size]`.
    pub fn embeddings(&self) -> ArrayView2<'_, f16> {
        self.embeddings.view()
    }

    /// The `n` articles with the largest cosine similarity to an embedding `[hidden_size]`, best first; of equals the earlier.
    ///
    /// # Panics
    /// When the embedding has another width.
    pub fn nearest(&self, embedding: ArrayView1<f32>, n: usize) -> Vec<(&KnownArticle, f64)> {
        assert_eq!(embedding.len(), self.embeddings.ncols(), "as wide as those kept");
        let norm = |squares: f64| squares.sqrt().max(f64::MIN_POSITIVE);
        let own = norm(embedding.iter().map(|&x| f64::from(x).powi(2)).sum());
        let mut found: Vec<(usize, f64)> = self
            .embeddings
            .rows()
            .into_iter()
            .map(|row| {
                let (mut product, mut squares) = (0.0, 0.0);
                for (&x, &y) in row.iter().zip(&embedding) {
                    product += f64::from(x) * f64::from(y);
                    squares += f64::from(x).powi(2);
                }
                product / (norm(squares) * own)
            })
            .enumerate()
            .collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        found.into_iter().take(n).map(|(i, similarity)| (&self.articles[i], similarity)).collect()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_most_similar_come_first() {
        let articles: Vec<KnownArticle> =
            (0..4).map(|i| KnownArticle { id: format!("a{i}"), title: None, labels: vec![] }).collect();
        let embeddings = array![[1.0, 0.0], [0.0, 2.0], [0.6, 0.8], [0.0, 0.0]];
        let all = Neighbours::sample(&articles, embeddings.view(), 9);
        let ids = |found: Vec<(&KnownArticle, f64)>| found.iter().map(|(a, _)| a.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(all.nearest(array![0.0, 1.0].view(), 3)), ["a1", "a2", "a0"]);
        assert!((all.nearest(array![0.0, 5.0].view(), 1)[0].1 - 1.0).abs() < 1e-6);
        let half = Neighbours::sample(&articles, embeddings.view(), 2);
        assert_eq!(half.articles().iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), ["a0", "a2"]);
        assert!(Neighbours::new(articles, Array2::zeros((3, 2))).is_err());
    }
}
