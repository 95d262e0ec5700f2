//! What the page shows beside the report: articles, slices, settings.

use ndarray::Array2;

use super::EvaluationInput;
use super::errors::ErrorCase;
use super::slices::SliceTable;

/// Articles on the map at most.
pub const MAX_MAP_POINTS: usize = 1000;

/// All that the page can show beside the report; what is left empty has no place on it.
#[derive(Default)]
pub struct ReportExtras<'a> {
    /// What was scored; without it there are no plots.
    pub input: Option<EvaluationInput<'a>>,
    pub map: MapArticles,
    pub errors: Vec<ErrorCase>,
    /// Worst slices first.
    pub slices: &'a [SliceTable],
    /// How the run was made, in words.
    pub settings: Vec<(String, String)>,
    /// Further sections, before the settings.
    pub sections: Vec<Section>,
}

/// A section that others make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its heading, not escaped.
    pub title: String,
    /// HTML: all that comes from articles must have gone through [`super::page::escape`].
    pub html: String,
}

/// An even sample of the articles with their embeddings.
#[derive(Clone, Debug, PartialEq)]
pub struct MapArticles {
    /// Every article of this many is kept; doubled whenever there would be too many.
    stride: usize,
    n_seen: usize,
    articles: Vec<MapArticle>,
    /// One after the other.
    embeddings: Vec<f32>,
}

/// An article on the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapArticle {
    /// Its number among all.
    pub row_idx: usize,
    pub id: String,
    pub title: Option<String>,
}

impl Default for MapArticles {
    fn default() -> Self {
        Self { stride: 1, n_seen: 0, articles: Vec::new(), embeddings: Vec::new() }
    }
}

impl MapArticles {
    /// Takes the next article into account; memory does not grow with their number.
    ///
    /// `embedding` `[hidden_size]`, of the same width for all.
    pub fn push(&mut self, id: &str, title: Option<&str>, embedding: &[f32]) {
        let row_idx = self.n_seen;
        self.n_seen += 1;
        if !row_idx.is_multiple_of(self.stride) {
            return;
        }
        if self.articles.len() == MAX_MAP_POINTS {
            let mut place = 0..MAX_MAP_POINTS;
            self.articles.retain(|_| place.next().is_some_and(|place| place % 2 == 0));
            let halved = self.embeddings.chunks(embedding.len().max(1)).step_by(2).flatten().copied().collect();
            self.embeddings = halved;
            self.stride *= 2;
        }
        self.articles.push(MapArticle { row_idx, id: id.to_owned(), title: title.map(str::to_owned) });
        self.embeddings.extend(embedding);
    }

    /// Those that were kept, evenly spaced.
    pub fn articles(&self) -> &[MapArticle] {
        &self.articles
    }

    /// How many there were.
    pub fn n_seen(&self) -> usize {
        self.n_seen
    }

    /// `[n_articles, hidden_size]` of those that were kept; `None` where they are not of one width.
    pub fn embeddings(&self) -> Option<Array2<f32>> {
        let n = self.articles.len();
        let hidden_size = self.embeddings.len().checked_div(n)?;
        Array2::from_shape_vec((n, hidden_size), self.embeddings.clone()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_stays_even_and_small() {
        let mut map = MapArticles::default();
        assert!(map.embeddings().is_none());
        for i in 0..4500 {
            map.push(&format!("a{i}"), None, &[i as f32, 0.0]);
        }
        let rows: Vec<usize> = map.articles().iter().map(|article| article.row_idx).collect();
        assert_eq!(rows, (0..4500).step_by(8).collect::<Vec<_>>());
        let embeddings = map.embeddings().unwrap();
        assert_eq!((embeddings.dim(), embeddings[[3, 0]], map.n_seen()), ((563, 2), 24.0, 4500));
    }
}
