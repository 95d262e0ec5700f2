//! Penalised losses of linear classifiers, evaluated in blocks of rows on all threads.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};
use rayon::prelude::*;

use super::design::{BLOCK_ROWS, Design, parts, split_intercept};
use super::lbfgs::{Evaluation, Objectives};
use crate::kernels::gemm::{matmul, matmul_f64};

/// Lower end of the mean curvature, which only keeps the inverse finite where a float holds every probability as 0 or 1.
pub(super) const MIN_CURVATURE: f64 = 1e-12;

/// Number format of the two matrix products of an evaluation; all else is f64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Products {
    /// Half the time; losses and gradients carry relative errors around 1e-6, so it is for tolerances well above.
    F32,
    F64,
}

impl Products {
    /// Relative error of values below which a difference means nothing: f64 leaves nearly all of its 16 digits, f32 some of its
    /// 7 in every row, most of which cancel in the sum.
    pub(crate) fn noise(self) -> f64 {
        match self {
            Self::F32 => 1e-8,
            Self::F64 => 1e-13,
        }
    }
}

/// A convex loss on logits, in problems of equally many labels each.
pub(crate) trait RowLoss: Sync {
    /// Labels, and so columns of logits, of each problem.
    fn labels_per_problem(&self) -> usize;

    /// Sum of the weights of all rows, as this problem weighs them.
    fn total_weight(&self, problem_idx: usize) -> f64;

    /// Replaces the logits of the rows from `first_row` on, `[n_rows, n_active · labels_per_problem]`, by the derivatives
    /// of their weighted losses, and adds up losses, derivatives and second derivatives. `slots[problem_idx]` is the place of
    /// a problem among the active ones, if it is.
    fn differentiate(&self, first_row: usize, slots: &[Option<usize>], logits: ArrayViewMut2<f64>, sums: &mut Sums);
}

/// Sums over rows.
pub(crate) struct Sums {
    /// `[n_active]`
    pub(crate) losses: Vec<f64>,
    /// `[n_columns]`, first derivatives by the logits.
    pub(crate) residuals: Vec<f64>,
    /// `[n_columns]`, second derivatives by the logits.
    pub(crate) curvatures: Vec<f64>,
}

impl Sums {
    pub(super) fn new(n_active: usize, n_columns: usize) -> Self {
        Self { losses: vec![0.0; n_active], residuals: vec![0.0; n_columns], curvatures: vec![0.0; n_columns] }
    }

    pub(super) fn add(&mut self, other: &Sums) {
        let pairs = [
            (&mut self.losses, &other.losses),
            (&mut self.residuals, &other.residuals),
            (&mut self.curvatures, &other.curvatures),
        ];
        for (total, part) in pairs {
            total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
        }
    }
}

/// `F(w, b) = (∑ᵢ lossᵢ(zᵢ·w + b) + ‖w‖² / (2 · strength)) / total weight`: the objective of scikit-learn, divided by
/// `strength · total weight`. Parameters of a problem: for each of its labels the weights, then the intercept.
pub(crate) struct LinearObjectives<'a, L> {
    design: &'a Design,
    parts: Vec<Vec<Range<usize>>>,
    loss: L,
    n_problems: usize,
    strength: f64,
    products: Products,
}

impl<'a, L: RowLoss> LinearObjectives<'a, L> {
    pub(crate) fn new(
        design: &'a Design,
        rows: &[Range<usize>],
        loss: L,
        n_problems: usize,
        strength: f64,
        products: Products,
    ) -> LinearObjectives<'a, L> {
        Self { design, parts: parts(rows), loss, n_problems, strength, products }
    }

    /// Sums over one part of the rows, and the gradient by the weights `[n_columns, rank]`.
    fn evaluate_part(
        &self,
        blocks: &[Range<usize>],
        n_active: usize,
        slots: &[Option<usize>],
        coefficients: ArrayView2<f64>,
    ) -> (Sums, Array2<f64>) {
        let (weights, intercepts) = split_intercept(coefficients);
        let n_columns = weights.nrows();
        let mut sums = Sums::new(n_active, n_columns);
        let mut gradient = Array2::zeros(weights.dim());
        let mut buffer = Array2::zeros((BLOCK_ROWS, n_columns));
        let (rounded_weights, mut rounded_gradient, mut rounded_buffer) = match self.products {
            Products::F32 => (
                weights.mapv(|value| value as f32),
                Array2::zeros(weights.dim()),
                Array2::<f32>::zeros((BLOCK_ROWS, n_columns)),
            ),
            Products::F64 => Default::default(),
        };
        for block in blocks {
            let n_rows = block.len();
            let mut logits = buffer.slice_mut(s![..n_rows, ..]);
            logits.assign(&intercepts);
            match self.products {
                Products::F64 => {
                    let rows = self.design.rows(block.clone());
                    matmul_f64(rows, weights.t(), logits.view_mut(), true);
                    self.loss.differentiate(block.start, slots, logits.view_mut(), &mut sums);
                    matmul_f64(logits.t(), rows, gradient.view_mut(), true);
                }
                Products::F32 => {
                    let rows = self.design.rounded_rows(block.clone());
                    let mut rounded = rounded_buffer.slice_mut(s![..n_rows, ..]);
                    matmul(rows, rounded_weights.t(), rounded.view_mut(), false);
                    logits.zip_mut_with(&rounded, |logit, product| *logit += f64::from(*product));
                    self.loss.differentiate(block.start, slots, logits.view_mut(), &mut sums);
                    rounded.zip_mut_with(&logits, |rounded, residual| *rounded = *residual as f32);
                    matmul(rounded.t(), rows, rounded_gradient.view_mut(), false);
                    gradient.zip_mut_with(&rounded_gradient, |sum, part| *sum += f64::from(*part));
                }
            }
        }
        (sums, gradient)
    }
}

impl<L: RowLoss> Objectives for LinearObjectives<'_, L> {
    fn evaluate(&self, active: &[usize], points: ArrayView2<f64>) -> Evaluation {
        let (width, rank) = (self.loss.labels_per_problem(), self.design.rank());
        let coefficients = points
            .to_shape((active.len() * width, rank + 1))
            .expect("a problem's parameters are its labels' weights and intercepts");
        let mut slots = vec![None; self.n_problems];
        for (slot, &problem_idx) in active.iter().enumerate() {
            slots[problem_idx] = Some(slot);
        }
        let parts: Vec<_> = self
            .parts
            .par_iter()
            .map(|blocks| self.evaluate_part(blocks, active.len(), &slots, coefficients.view()))
            .collect();
        let mut sums = Sums::new(active.len(), active.len() * width);
        let mut weight_gradient = Array2::zeros((active.len() * width, rank));
        for (part_sums, part_gradient) in &parts {
            sums.add(part_sums);
            weight_gradient += part_gradient;
        }

        let mut values = sums.losses;
        let mut gradients = Array2::zeros(coefficients.dim());
        let mut inverse_hessian = Array2::zeros(coefficients.dim());
        for (column, weights) in coefficients.rows().into_iter().enumerate() {
            let slot = column / width;
            let share = 1.0 / self.loss.total_weight(active[slot]);
            let penalty = 1.0 / self.strength;
            let curvature = (share * sums.curvatures[column]).max(MIN_CURVATURE);
            let mut gradient = gradients.row_mut(column);
            let mut inverse = inverse_hessian.row_mut(column);
            for (j, variance) in self.design.variances().iter().enumerate() {
                values[slot] += 0.5 * penalty * weights[j] * weights[j];
                gradient[j] = share * (weight_gradient[[column, j]] + penalty * weights[j]);
                inverse[j] = 1.0 / (curvature * variance + share * penalty);
            }
            gradient[rank] = share * sums.residuals[column];
            inverse[rank] = 1.0 / curvature;
        }
        for (value, &problem_idx) in values.iter_mut().zip(active) {
            *value /= self.loss.total_weight(problem_idx);
        }
        let shape = points.dim();
        let reshape =
            |array: Array2<f64>| array.into_shape_with_order(shape).expect("the same elements, row after row");
        Evaluation { values, gradients: reshape(gradients), inverse_hessian: reshape(inverse_hessian) }
    }
}
