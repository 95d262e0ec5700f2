//! Which mistakes are worth reading.

use std::collections::HashMap;

use ndarray::ArrayView1;
use serde::Serialize;

use super::{EvaluationInput, ReportError, indicator};

/// Mistakes of one kind (wrongly given or missed) on one label that are listed before others had their turn.
const MAX_OF_A_KIND: usize = 3;

/// Share of the list that is kept for close calls.
const CLOSE_SHARE: f64 = 0.25;

/// A decision is a close call this near to the threshold; for `single`, to the probability of the right label.
const CLOSE: f64 = 0.1;

/// What is wrong with a label of an article.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mistake {
    /// The article was given the label, but does not have it: a false positive.
    Extra,
    /// The article has the label, but was not given it: a false negative.
    Missing,
}

/// A wrong decision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WrongLabel {
    pub label_idx: usize,
    pub mistake: Mistake,
    pub probability: f64,
    /// Probability from which the label is assigned; none where the most probable label is taken.
    pub threshold: Option<f64>,
}

impl WrongLabel {
    /// How far the probability is from the truth, 0 to 1.
    pub fn severity(&self) -> f64 {
        match self.mistake {
            Mistake::Extra => self.probability,
            Mistake::Missing => 1.0 - self.probability,
        }
    }
}

/// An article with wrong labels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WrongArticle {
    pub row_idx: usize,
    /// The worst first.
    pub wrong: Vec<WrongLabel>,
    /// Whether a wrong decision was a close call.
    pub is_close: bool,
}

/// A training article that is like another.
#[derive(Clone, Debug, PartialEq)]
pub struct SimilarArticle {
    pub id: String,
    pub title: Option<String>,
    pub labels: Vec<String>,
    /// Cosine of the embeddings, −1 to 1.
    pub similarity: f64,
}

/// A mistake with what a reader needs to judge it.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorCase {
    pub found: WrongArticle,
    pub id: String,
    pub title: Option<String>,
    /// The beginning of the text.
    pub excerpt: String,
    /// For each wrong label the passage that speaks most for it, where it is known.
    pub passages: Vec<Option<String>>,
    pub neighbours: Vec<SimilarArticle>,
}

/// At most `max` articles with wrong labels: first those whose probabilities are furthest from the truth, few of a kind so that every
/// label has its turn, then close calls, which show where the line is drawn.
///
/// # Errors
/// A label of an article that the label set does not have.
///
/// # Panics
/// When the parts of the input do not fit each other; a report made of them has checked that.
pub fn most_instructive(input: &EvaluationInput<'_>, max: usize) -> Result<Vec<WrongArticle>, ReportError> {
    let truth = indicator(input.targets, input.labels.len())?;
    let rows = truth.rows().into_iter().zip(input.decisions.rows()).zip(input.probabilities.rows()).enumerate();
    let mut all: Vec<WrongArticle> = rows
        .filter_map(|(row_idx, ((truth, decided), probabilities))| {
            wrong_article(row_idx, truth, decided, probabilities, input.thresholds)
        })
        .collect();
    // The sort is stable: of equals the earlier comes first.
    all.sort_by(|a, b| b.wrong[0].severity().total_cmp(&a.wrong[0].severity()));

    let n_close = (max as f64 * CLOSE_SHARE) as usize;
    let mut of_a_kind: HashMap<(usize, Mistake), usize> = HashMap::new();
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for article in all {
        let n = of_a_kind.entry((article.wrong[0].label_idx, article.wrong[0].mistake)).or_default();
        *n += 1;
        let is_first = *n <= MAX_OF_A_KIND && first.len() < max - n_close;
        if is_first { first.push(article) } else { later.push(article) }
    }
    let (close, rest): (Vec<_>, Vec<_>) = later.into_iter().partition(|article| article.is_close);
    let n_close = n_close.min(close.len());
    let (taken, left) = (close[..n_close].to_vec(), &close[n_close..]);
    let fill = rest.iter().chain(left).take(max.saturating_sub(first.len() + taken.len())).cloned();
    let fill: Vec<WrongArticle> = fill.collect();
    first.extend(fill);
    first.extend(taken);
    Ok(first)
}

fn wrong_article(
    row_idx: usize,
    truth: ArrayView1<bool>,
    decided: ArrayView1<bool>,
    probabilities: ArrayView1<f64>,
    thresholds: Option<&[f64]>,
) -> Option<WrongArticle> {
    let mut wrong: Vec<WrongLabel> = (0..truth.len())
        .filter(|&label_idx| truth[label_idx] != decided[label_idx])
        .map(|label_idx| WrongLabel {
            label_idx,
            mistake: if decided[label_idx] { Mistake::Extra } else { Mistake::Missing },
            probability: probabilities[label_idx],
            threshold: thresholds.map(|thresholds| thresholds[label_idx]).filter(|threshold| threshold.is_finite()),
        })
        .collect();
    wrong.sort_by(|a, b| b.severity().total_cmp(&a.severity()));
    let worst = wrong.first()?;
    let is_close = match worst.threshold {
        Some(_) => wrong.iter().any(|own| own.threshold.is_some_and(|t| (own.probability - t).abs() <= CLOSE)),
        None => {
            let of = |mistake| wrong.iter().find(|own| own.mistake == mistake).map(|own| own.probability);
            of(Mistake::Extra).zip(of(Mistake::Missing)).is_some_and(|(given, right)| given - right <= CLOSE)
        }
    };
    Some(WrongArticle { row_idx, wrong, is_close })
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::labels::{LabelId, LabelSet, Targets};

    #[test]
    fn confident_mistakes_come_first_and_close_calls_last() {
        let labels = LabelSet::from_names(["a", "b"]).unwrap();
        let targets = Targets::Multi(vec![vec![], vec![LabelId(0)], vec![LabelId(1)], vec![LabelId(0)]]);
        let probabilities = array![[0.55, 0.1], [0.05, 0.9], [0.1, 0.9], [0.3, 0.2]];
        let decisions = probabilities.mapv(|p| p >= 0.5);
        let input = EvaluationInput {
            labels: &labels,
            targets: &targets,
            probabilities: probabilities.view(),
            decisions: decisions.view(),
            thresholds: Some(&[0.5, 0.5]),
        };
        let found = most_instructive(&input, 40).unwrap();
        assert_eq!(found.iter().map(|article| article.row_idx).collect::<Vec<_>>(), [1, 3, 0]);
        assert_eq!(found.iter().map(|article| article.is_close).collect::<Vec<_>>(), [false, false, true]);
        let (missing, extra) = (&found[0].wrong[0], &found[0].wrong[1]);
        assert_eq!((missing.label_idx, missing.mistake, missing.severity()), (0, Mistake::Missing, 0.95));
        assert_eq!((extra.label_idx, extra.mistake, extra.severity()), (1, Mistake::Extra, 0.9));
    }

    #[test]
    fn one_kind_does_not_take_all_places_while_others_wait() {
        let labels = LabelSet::from_names(["a", "b"]).unwrap();
        // Twenty sure mistakes on a, one less sure on b, ten close calls.
        let of = |row: usize| match row {
            0..20 => [0.99, 0.0],
            20 => [0.0, 0.8],
            _ => [0.51, 0.0],
        };
        let probabilities = Array2::from_shape_fn((31, 2), |(row, label)| of(row)[label]);
        let decisions = probabilities.mapv(|p| p >= 0.5);
        let targets = Targets::Multi(vec![vec![]; 31]);
        let input = EvaluationInput {
            labels: &labels,
            targets: &targets,
            probabilities: probabilities.view(),
            decisions: decisions.view(),
            thresholds: Some(&[0.5, 0.5]),
        };
        let rows = |max| most_instructive(&input, max).unwrap().iter().map(|found| found.row_idx).collect::<Vec<_>>();
        assert_eq!(rows(8), [0, 1, 2, 20, 3, 4, 21, 22]);
        assert_eq!(rows(40).len(), 31);
        assert_eq!(rows(0), [0usize; 0]);
    }

    #[test]
    fn single_labels_are_close_where_the_right_one_nearly_won() {
        let labels = LabelSet::from_names(["a", "b"]).unwrap();
        let targets = Targets::Single(vec![LabelId(0), LabelId(0), LabelId(0)]);
        let probabilities = array![[0.48, 0.52], [0.1, 0.9], [0.9, 0.1]];
        let decisions = array![[false, true], [false, true], [true, false]];
        let input = EvaluationInput {
            labels: &labels,
            targets: &targets,
            probabilities: probabilities.view(),
            decisions: decisions.view(),
            thresholds: None,
        };
        let found = most_instructive(&input, 40).unwrap();
        assert_eq!(found.iter().map(|own| (own.row_idx, own.is_close)).collect::<Vec<_>>(), [(1, false), (0, true)]);
        assert_eq!(found[0].wrong.len(), 2);
    }
}
