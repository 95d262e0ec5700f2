//! The objective: losses on logits pooled over the passages of an article, and on those of passages with known labels.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

use super::passages::{Group, Passages};
use crate::heads::design::{BLOCK_ROWS, split_intercept};
use crate::heads::exponential::exponentials_of_nonpositive;
use crate::heads::lbfgs::{Evaluation, Objectives};
use crate::heads::objective::{MIN_CURVATURE, Products, RowLoss, Sums};
use crate::kernels::gemm::{matmul, matmul_f64};

/// `∑ loss(P, y) + ∑ loss(zᵢ, gᵢ) + ‖w‖² / (2 · strength)`, see [`super`]. Parameters of a problem: for each of its labels the
/// weights, then the intercept.
pub(super) struct PooledObjectives<'a, L> {
    pub(super) passages: &'a Passages,
    /// Its rows are the articles; each must weigh 1.
    pub(super) on_articles: L,
    /// Its rows are the passages with known labels.
    pub(super) on_passages: L,
    /// Rows of the passages with known labels, ascending.
    pub(super) known_rows: Vec<usize>,
    pub(super) n_problems: usize,
    pub(super) strength: f64,
    pub(super) products: Products,
}

/// Sums over some groups.
struct Totals {
    on_articles: Sums,
    on_passages: Sums,
    /// `[n_columns]`, second derivatives by the pooled logits, each times `∑ᵢ aᵢ²` over the attention `a` to its passages.
    attended: Vec<f64>,
    /// `[n_columns, hidden_size]`, by the weights.
    gradient: Array2<f64>,
}

impl Totals {
    fn new(n_active: usize, weights: (usize, usize)) -> Self {
        Self {
            on_articles: Sums::new(n_active, weights.0),
            on_passages: Sums::new(n_active, weights.0),
            attended: vec![0.0; weights.0],
            gradient: Array2::zeros(weights),
        }
    }

    fn add(&mut self, other: &Totals) {
        self.on_articles.add(&other.on_articles);
        self.on_passages.add(&other.on_passages);
        self.attended.iter_mut().zip(&other.attended).for_each(|(total, part)| *total += part);
        self.gradient += &other.gradient;
    }
}

impl<L: RowLoss> PooledObjectives<'_, L> {
    fn evaluate_part(
        &self,
        groups: &[Group],
        n_active: usize,
        slots: &[Option<usize>],
        coefficients: ArrayView2<f64>,
    ) -> Totals {
        let (weights, intercepts) = split_intercept(coefficients);
        let n_columns = weights.nrows();
        let mut totals = Totals::new(n_active, weights.dim());
        let n_buffered = groups.iter().map(|group| group.rows.len()).max().unwrap_or(0);
        let mut buffer = Array2::zeros((n_buffered, n_columns));
        let (rounded_weights, mut rounded_gradient, mut rounded_buffer) = match self.products {
            Products::F32 => (
                weights.mapv(|value| value as f32),
                Array2::zeros(weights.dim()),
                Array2::<f32>::zeros((n_buffered, n_columns)),
            ),
            Products::F64 => Default::default(),
        };
        for group in groups {
            let rows = self.passages.rows(&group.rows);
            let mut logits = buffer.slice_mut(s![..group.rows.len(), ..]);
            logits.assign(&intercepts);
            match self.products {
                Products::F64 => {
                    let rows = rows.mapv(f64::from);
                    matmul_f64(rows.view(), weights.t(), logits.view_mut(), true);
                    self.differentiate(group, slots, logits.view_mut(), &mut totals);
                    matmul_f64(logits.t(), rows.view(), totals.gradient.view_mut(), true);
                }
                Products::F32 => {
                    let mut rounded = rounded_buffer.slice_mut(s![..group.rows.len(), ..]);
                    matmul(rows, rounded_weights.t(), rounded.view_mut(), false);
                    logits.zip_mut_with(&rounded, |logit, product| *logit += f64::from(*product));
                    self.differentiate(group, slots, logits.view_mut(), &mut totals);
                    rounded.zip_mut_with(&logits, |rounded, derivative| *rounded = *derivative as f32);
                    matmul(rounded.t(), rows, rounded_gradient.view_mut(), false);
                    totals.gradient.zip_mut_with(&rounded_gradient, |sum, part| *sum += f64::from(*part));
                }
            }
        }
        totals
    }

    /// Replaces the logits of a group's passages by the derivatives of the losses, and adds to the sums.
    fn differentiate(
        &self,
        group: &Group,
        slots: &[Option<usize>],
        mut logits: ArrayViewMut2<f64>,
        totals: &mut Totals,
    ) {
        let n_columns = logits.ncols();
        let known = self.known_within(&group.rows);
        let known_rows: Vec<usize> =
            self.known_rows[known.clone()].iter().map(|row_idx| row_idx - group.rows.start).collect();
        let mut own = logits.select(Axis(0), &known_rows);
        differentiate_rows(&self.on_passages, known.start, slots, own.view_mut(), &mut totals.on_passages);

        let block = logits.as_slice_mut().expect("the rows of a group are contiguous");
        let mut pooled = Array2::zeros((group.articles.len(), n_columns));
        let mut concentrations = Array2::zeros(pooled.dim());
        let mut rest = &mut *block;
        for (article_idx, n_passages) in self.passages.bag_sizes(group).enumerate() {
            let (bag, after) = rest.split_at_mut(n_passages * n_columns);
            let mut pooled = pooled.row_mut(article_idx);
            let mut concentrations = concentrations.row_mut(article_idx);
            pool(
                bag,
                pooled.as_slice_mut().expect("rows of a fresh array are contiguous"),
                concentrations.as_slice_mut().expect("rows of a fresh array are contiguous"),
            );
            rest = after;
        }
        let first_article = group.articles.start;
        differentiate_rows(&self.on_articles, first_article, slots, pooled.view_mut(), &mut totals.on_articles);

        let mut rest = block;
        for (article_idx, n_passages) in self.passages.bag_sizes(group).enumerate() {
            let (bag, after) = rest.split_at_mut(n_passages * n_columns);
            let derivatives = pooled.row(article_idx);
            for row in bag.chunks_exact_mut(n_columns) {
                row.iter_mut().zip(derivatives).for_each(|(value, derivative)| *value *= derivative);
            }
            let columns = totals.attended.iter_mut().zip(derivatives).zip(concentrations.row(article_idx));
            for ((sum, derivative), concentration) in columns {
                // p (1 − p), since the derivative is p or p − 1.
                *sum += derivative.abs() * (1.0 - derivative.abs()) * concentration;
            }
            rest = after;
        }
        for (derivatives, row_idx) in own.rows().into_iter().zip(known_rows) {
            let mut row = logits.row_mut(row_idx);
            row += &derivatives;
        }
    }

    /// Which of the passages with known labels are among `rows`.
    fn known_within(&self, rows: &Range<usize>) -> Range<usize> {
        let before = |bound: usize| self.known_rows.partition_point(|row_idx| *row_idx < bound);
        before(rows.start)..before(rows.end)
    }
}

impl<L: RowLoss> Objectives for PooledObjectives<'_, L> {
    fn evaluate(&self, active: &[usize], points: ArrayView2<f64>) -> Evaluation {
        let (width, hidden_size) = (self.on_articles.labels_per_problem(), self.passages.hidden_size());
        let coefficients = points
            .to_shape((active.len() * width, hidden_size + 1))
            .expect("a problem's parameters are its labels' weights and intercepts");
        let mut slots = vec![None; self.n_problems];
        for (slot, &problem_idx) in active.iter().enumerate() {
            slots[problem_idx] = Some(slot);
        }
        let parts: Vec<Totals> = self
            .passages
            .parts()
            .par_iter()
            .map(|groups| self.evaluate_part(groups, active.len(), &slots, coefficients.view()))
            .collect();
        let mut totals = Totals::new(active.len(), (active.len() * width, hidden_size));
        parts.iter().for_each(|part| totals.add(part));

        let Totals { on_articles, on_passages, attended, gradient: weight_gradient } = totals;
        let mut values: Vec<f64> = on_articles.losses.iter().zip(&on_passages.losses).map(|(a, b)| a + b).collect();
        let mut gradients = Array2::zeros(coefficients.dim());
        let mut inverse_hessian = Array2::zeros(coefficients.dim());
        let penalty = 1.0 / self.strength;
        for (column, weights) in coefficients.rows().into_iter().enumerate() {
            let (of_articles, of_passages) = (on_articles.curvatures[column], on_passages.curvatures[column]);
            let mut gradient = gradients.row_mut(column);
            let mut inverse = inverse_hessian.row_mut(column);
            for (j, (between, within)) in self.passages.variances().enumerate() {
                values[column / width] += 0.5 * penalty * weights[j] * weights[j];
                gradient[j] = weight_gradient[[column, j]] + penalty * weights[j];
                // Of the curvature p (1 − p) (∑ᵢ aᵢ xᵢ)², the mean square with passages taken as independent within an article.
                // That attention moves is left out: it can only lower the curvature where the label holds.
                let curvature = of_articles * between + attended[column] * within + of_passages * (between + within);
                inverse[j] = 1.0 / (curvature + penalty);
            }
            gradient[hidden_size] = on_articles.residuals[column] + on_passages.residuals[column];
            inverse[hidden_size] = 1.0 / (of_articles + of_passages).max(MIN_CURVATURE);
        }
        let shape = points.dim();
        let reshape =
            |array: Array2<f64>| array.into_shape_with_order(shape).expect("the same elements, row after row");
        Evaluation { values, gradients: reshape(gradients), inverse_hessian: reshape(inverse_hessian) }
    }
}

/// [`RowLoss::differentiate`] in blocks of the size it can take.
fn differentiate_rows<L: RowLoss>(
    loss: &L,
    first_row: usize,
    slots: &[Option<usize>],
    mut logits: ArrayViewMut2<f64>,
    sums: &mut Sums,
) {
    for (block_idx, block) in logits.axis_chunks_iter_mut(Axis(0), BLOCK_ROWS).enumerate() {
        loss.differentiate(first_row + block_idx * BLOCK_ROWS, slots, block, sums);
    }
}

/// Pools the logits of one article, `[n_passages, n_columns]` row after row.
///
/// They are replaced by `aᵢ = exp zᵢ / ∑ exp z`, the derivatives of the pooled ones; `concentrations`, which must hold zeros, become
/// `∑ᵢ aᵢ²`, from 1 over the number of passages up to 1.
fn pool(logits: &mut [f64], pooled: &mut [f64], concentrations: &mut [f64]) {
    let n_columns = pooled.len();
    let n_passages = logits.len() / n_columns;
    let mut peaks = vec![f64::NEG_INFINITY; n_columns];
    for row in logits.chunks_exact(n_columns) {
        peaks.iter_mut().zip(row).for_each(|(peak, logit)| *peak = peak.max(*logit));
    }
    for row in logits.chunks_exact_mut(n_columns) {
        row.iter_mut().zip(&peaks).for_each(|(logit, peak)| *logit -= peak);
    }
    exponentials_of_nonpositive(logits);
    let mut totals = vec![0.0; n_columns];
    for row in logits.chunks_exact(n_columns) {
        totals.iter_mut().zip(row).for_each(|(total, value)| *total += value);
    }
    for ((pooled, peak), total) in pooled.iter_mut().zip(peaks).zip(&mut totals) {
        *pooled = peak + (*total / n_passages as f64).ln();
        *total = 1.0 / *total;
    }
    for row in logits.chunks_exact_mut(n_columns) {
        for ((value, inverse), concentration) in row.iter_mut().zip(&totals).zip(&mut *concentrations) {
            *value *= inverse;
            *concentration += *value * *value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooled_logits_are_exact_far_from_zero() {
        let ln_2 = std::f64::consts::LN_2;
        // (logits of the passages, pooled, attention, concentration), by hand.
        let cases: [(&[f64], f64, &[f64], f64); 5] = [
            (&[-100.0], -100.0, &[1.0], 1.0),
            (&[1e3, -1e3], 1e3 - ln_2, &[1.0, 0.0], 1.0),
            (&[-1e3, -1e3], -1e3, &[0.5, 0.5], 0.5),
            (&[0.0, ln_2], (1.5f64).ln(), &[1.0 / 3.0, 2.0 / 3.0], 5.0 / 9.0),
            (&[100.0, 0.0, 100.0, 0.0], 100.0 - ln_2, &[0.5, 0.0, 0.5, 0.0], 0.5),
        ];
        for (logits, expected, attention, concentration) in cases {
            let mut block = logits.to_vec();
            let (mut pooled, mut concentrations) = ([0.0], [0.0]);
            pool(&mut block, &mut pooled, &mut concentrations);
            assert!((pooled[0] - expected).abs() <= 1e-15 * expected.abs().max(1.0), "{logits:?}: {}", pooled[0]);
            assert!((concentrations[0] - concentration).abs() < 1e-15, "{logits:?}: {}", concentrations[0]);
            for (found, expected) in block.iter().zip(attention) {
                assert!((found - expected).abs() < 1e-15, "{logits:?}: {found}, expected {expected}");
            }
        }
    }
}
