//! Passages of the articles that are fitted on, in coordinates in which L-BFGS converges fast.
//!
//! As in [`super::super::design`], columns are centred and rotated to the principal axes, which changes no optimum; but one f32
//! copy is all that is kept.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

use super::Bags;
use crate::heads::design::{MAX_PARTS, split_intercept};
use crate::heads::eigen::{SymmetricEigen, symmetric_eigen};
use crate::heads::{HeadError, LinearHead};
use crate::kernels::gemm::matmul_f64;
use crate::labels::Task;

/// Passages that are worked on at once, unless a single article has more: at 384 columns their 0.8 MB stay in the second-level cache.
const GROUP_PASSAGES: usize = 512;

/// Whole articles that are worked on at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) articles: Range<usize>,
    /// Rows of their passages.
    pub(super) rows: Range<usize>,
}

/// Passages `x` as `z = (x − mean) · basisᵀ`.
pub(super) struct Passages {
    /// `[n_rows, hidden_size]`
    rotated: Array2<f32>,
    /// Which passage of the bags each row is.
    sources: Vec<usize>,
    /// Article `i` has the rows `offsets[i]..offsets[i + 1]`.
    offsets: Vec<usize>,
    /// Sums go over parts, each folded in order, and so depend on the articles alone, never on the number of threads.
    parts: Vec<Vec<Group>>,
    /// `[hidden_size]`
    mean: Array1<f64>,
    /// `[hidden_size, hidden_size]`, orthonormal rows.
    basis: Array2<f64>,
    /// For each column, the mean square over articles of the mean over an article's passages.
    between: Vec<f64>,
    /// For each column, the mean over articles of the variance over an article's passages.
    within: Vec<f64>,
}

impl Passages {
    /// The passages of `articles`, in that order; each must have one, and there must be one article.
    ///
    /// # Errors
    /// [`HeadError::NonFinite`].
    pub(super) fn new(bags: Bags, articles: &[usize]) -> Result<Self, HeadError> {
        let mut sources = Vec::new();
        let mut offsets = vec![0];
        for &article_idx in articles {
            sources.extend(bags.offsets[article_idx]..bags.offsets[article_idx + 1]);
            offsets.push(sources.len());
        }
        let (n_rows, hidden_size) = (sources.len(), bags.passages.ncols());
        let mut mean = Array1::<f64>::zeros(hidden_size);
        for &row_idx in &sources {
            let row = bags.passages.row(row_idx);
            if let Some((column_idx, &value)) = row.iter().enumerate().find(|(_, value)| !value.is_finite()) {
                return Err(HeadError::NonFinite { row_idx, column_idx, value });
            }
            mean.zip_mut_with(&row, |sum, &value| *sum += f64::from(value));
        }
        mean /= n_rows as f64;

        let parts = parts(&offsets);
        let centred = |rows: &Range<usize>| {
            let mut centred = bags.passages.select(Axis(0), &sources[rows.clone()]).mapv(f64::from);
            centred -= &mean;
            centred
        };
        let grams: Vec<Array2<f64>> = parts
            .par_iter()
            .map(|groups| {
                let mut sum = Array2::zeros((hidden_size, hidden_size));
                for group in groups {
                    let block = centred(&group.rows);
                    matmul_f64(block.t(), block.view(), sum.view_mut(), true);
                }
                sum
            })
            .collect();
        let gram = grams.into_iter().fold(Array2::zeros((hidden_size, hidden_size)), |total, sum| total + sum);
        let SymmetricEigen { vectors: basis, .. } = symmetric_eigen(gram);

        let mut rotated = Array2::<f32>::zeros((n_rows, hidden_size));
        let mut places = Vec::new();
        let mut rest = rotated.view_mut();
        for group in parts.iter().flatten() {
            let (place, after) = rest.split_at(Axis(0), group.rows.len());
            places.push((group, place));
            rest = after;
        }
        let squares: Vec<[Array1<f64>; 2]> = places
            .into_par_iter()
            .map(|(group, mut place)| {
                let mut block = Array2::zeros((group.rows.len(), hidden_size));
                matmul_f64(centred(&group.rows).view(), basis.t(), block.view_mut(), false);
                place.zip_mut_with(&block, |rounded, &value| *rounded = value as f32);
                let [mut between, mut within] = [Array1::zeros(hidden_size), Array1::zeros(hidden_size)];
                for article_idx in group.articles.clone() {
                    let rows = offsets[article_idx] - group.rows.start..offsets[article_idx + 1] - group.rows.start;
                    let passages = block.slice(s![rows, ..]);
                    let n_passages = passages.nrows() as f64;
                    let article_mean = passages.sum_axis(Axis(0)) / n_passages;
                    for passage in passages.rows() {
                        within += &(&passage - &article_mean).mapv(|distance| distance * distance / n_passages);
                    }
                    between += &article_mean.mapv(|value| value * value);
                }
                [between, within]
            })
            .collect();
        let [mut between, mut within] = [vec![0.0; hidden_size], vec![0.0; hidden_size]];
        for [group_between, group_within] in squares {
            for (sums, parts) in [(&mut between, group_between), (&mut within, group_within)] {
                sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part / articles.len() as f64);
            }
        }
        Ok(Self { rotated, sources, offsets, parts, mean, basis, between, within })
    }

    pub(super) fn hidden_size(&self) -> usize {
        self.rotated.ncols()
    }

    pub(super) fn sources(&self) -> &[usize] {
        &self.sources
    }

    pub(super) fn parts(&self) -> &[Vec<Group>] {
        &self.parts
    }

    /// Some rows, `[n, hidden_size]`.
    pub(super) fn rows(&self, rows: &Range<usize>) -> ArrayView2<'_, f32> {
        self.rotated.slice(s![rows.clone(), ..])
    }

    /// Number of passages of each article of a group.
    pub(super) fn bag_sizes(&self, group: &Group) -> impl Iterator<Item = usize> {
        self.offsets[group.articles.start..=group.articles.end].windows(2).map(|bounds| bounds[1] - bounds[0])
    }

    /// Mean squares of the columns between articles and within them.
    pub(super) fn variances(&self) -> impl Iterator<Item = (f64, f64)> {
        self.between.iter().copied().zip(self.within.iter().copied())
    }

    /// The same classifier on embeddings; `coefficients` `[n_labels, hidden_size + 1]` end in the intercept.
    pub(super) fn head(&self, task: Task, coefficients: ArrayView2<f64>) -> Result<LinearHead, HeadError> {
        let (weights, intercepts) = split_intercept(coefficients);
        let weights = weights.dot(&self.basis);
        let intercepts = &intercepts - &weights.dot(&self.mean);
        LinearHead::new(task, weights.mapv(|value| value as f32), intercepts.mapv(|value| value as f32))
    }
}

/// Cuts articles into groups of at most [`GROUP_PASSAGES`] where they can be, and these into at most [`MAX_PARTS`] parts.
fn parts(offsets: &[usize]) -> Vec<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    for (article_idx, bounds) in offsets.windows(2).enumerate() {
        match groups.last_mut() {
            Some(group) if bounds[1] - group.rows.start <= GROUP_PASSAGES => {
                (group.articles.end, group.rows.end) = (article_idx + 1, bounds[1]);
            }
            _ => groups.push(Group { articles: article_idx..article_idx + 1, rows: bounds[0]..bounds[1] }),
        }
    }
    groups.chunks(groups.len().div_ceil(MAX_PARTS).max(1)).map(<[_]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_keep_articles_whole() {
        let group = |articles: Range<usize>, rows: Range<usize>| Group { articles, rows };
        let cases = [
            (vec![0, 200, 512, 513], vec![group(0..2, 0..512), group(2..3, 512..513)]),
            (vec![0, 700, 701, 702], vec![group(0..1, 0..700), group(1..3, 700..702)]),
            (vec![0, 1, 701], vec![group(0..1, 0..1), group(1..2, 1..701)]),
        ];
        for (offsets, expected) in cases {
            assert_eq!(parts(&offsets).concat(), expected, "{offsets:?}");
        }
        let many: Vec<usize> = (0..40).map(|i| i * 400).collect();
        assert_eq!(parts(&many).len(), 13);
        assert_eq!(parts(&many).concat().len(), 39);
    }
}
