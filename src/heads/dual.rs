//! One label's regularised linear model on sparse rows, by coordinate descent on the dual.
//!
//! With `y` = ±1 and `f(x) = w·x + scale · v`, where `v` is the weight of a constant feature and `scale · v` the
//! intercept:
//!
//! `minimise ½ ‖w‖² + ½ v² + C ∑ᵢ lossᵢ`, `w = ∑ᵢ αᵢ yᵢ xᵢ` at the minimum, one `αᵢ` per row.
//!
//! * Squared hinge, `max(0, 1 − y f)²`: Hsieh, Chang, Lin, Keerthi & Sundararajan, *A Dual Coordinate Descent Method
//!   for Large-scale Linear SVM*, ICML 2008, with its shrinking: `αᵢ ≥ 0`, the quadratic in one `αᵢ`
//!   is solved exactly, and rows that stay at 0 are left out until the others have settled.
//! * Logistic, `ln(1 + exp(−y f))`: Yu, Huang & Lin, *Dual Coordinate Descent Methods for Logistic Regression and
//!   Maximum Entropy Models*, Machine Learning 85, 2011. Here each row keeps `t` with `αᵢ = C / (1 + exp(−t))` in place
//!   of `αᵢ`, which stays exact at both ends of `(0, C)` and makes the slope in `t` at least 1.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::SparseRows;

/// What a wrong or unsure answer costs in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SparseLoss {
    /// `max(0, 1 − y f)²`: a support vector machine, liblinear's solver 1.
    #[default]
    SquaredHinge,
    /// `ln(1 + exp(−y f))`: logistic regression, liblinear's solver 7.
    Logistic,
}

/// Solved exactly enough for a step in one variable: far below any tolerance on the whole.
const NEWTON_TOLERANCE: f64 = 1e-13;

/// Steps for one variable, of which two or three are usual. Halving the bracket alone narrows it by `2¹⁰⁰`.
const MAX_NEWTON_STEPS: usize = 100;

/// Where `t` starts: `α` is then a thousandth of `C`, and nearly all rows end up nearer to 0 than to `C`.
const FIRST_T: f64 = -7.0;

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// Largest violation of optimality, as a difference in `f`.
    pub(super) tolerance: f64,
    pub(super) max_epochs: usize,
}

/// The rows of a fit, the same for all labels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Training<'a> {
    pub(super) rows: &'a SparseRows,
    /// `‖xᵢ‖²` of all rows, without the constant feature.
    pub(super) squared_norms: &'a [f64],
    pub(super) row_indices: &'a [u32],
    pub(super) intercept_scale: f64,
    pub(super) loss: SparseLoss,
    pub(super) stop: Stop,
}

/// A label's model on its way to the minimum, and the dual variables that go with it.
#[derive(Clone, Debug)]
pub(super) struct Descent<'a> {
    training: Training<'a>,
    /// ±1 for each of the training rows.
    signs: Vec<f64>,
    /// `α` of the squared hinge, `t` of the logistic loss.
    dual: Vec<f64>,
    strength: f64,
    pub(super) weights: Vec<f64>,
    /// Weight of the constant feature.
    constant: f64,
    pub(super) n_epochs: usize,
    /// Whether the tolerance was reached at the last strength.
    pub(super) is_solved: bool,
    rng: ChaCha8Rng,
}

impl<'a> Descent<'a> {
    /// All weights 0; `is_positive` for each of the training rows.
    pub(super) fn new(training: Training<'a>, is_positive: &[bool], rng: ChaCha8Rng) -> Self {
        Self {
            training,
            signs: is_positive.iter().map(|&positive| if positive { 1.0 } else { -1.0 }).collect(),
            dual: Vec::new(),
            strength: 0.0,
            weights: vec![0.0; training.rows.n_columns()],
            constant: 0.0,
            n_epochs: 0,
            is_solved: false,
            rng,
        }
    }

    /// `f` at `x = 0`.
    pub(super) fn intercept(&self) -> f64 {
        self.constant * self.training.intercept_scale
    }

    /// `f` of a row.
    pub(super) fn logit(&self, row_idx: usize) -> f64 {
        let (columns, values) = self.training.rows.row(row_idx);
        dot(&self.weights, columns, values) + self.intercept()
    }

    /// Goes to the minimum at a strength above the one before, starting from where that ended.
    pub(super) fn solve(&mut self, strength: f64) {
        match self.training.loss {
            SparseLoss::SquaredHinge => self.solve_squared_hinge(strength),
            SparseLoss::Logistic => self.solve_logistic(strength),
        }
    }

    fn solve_squared_hinge(&mut self, strength: f64) {
        let Stop { tolerance, max_epochs } = self.training.stop;
        let n_rows = self.signs.len();
        // From a smaller strength α is kept as it is, since w belongs to it.
        self.dual.resize(n_rows, 0.0);
        self.strength = strength;
        let diagonal = 0.5 / strength;
        let mut order: Vec<usize> = (0..n_rows).collect();
        let mut n_active = n_rows;
        // Rows at 0 whose gradient is above this are not coming back soon.
        let mut shrink_above = f64::INFINITY;
        self.is_solved = false;
        for _ in 0..max_epochs {
            self.n_epochs += 1;
            order[..n_active].shuffle(&mut self.rng);
            let (mut steepest, mut lowest) = (f64::NEG_INFINITY, f64::INFINITY);
            let mut position = 0;
            while position < n_active {
                let position_of_row = order[position];
                let alpha = self.dual[position_of_row];
                let sign = self.signs[position_of_row];
                let row_idx = self.training.row_indices[position_of_row] as usize;
                let gradient = sign * self.logit(row_idx) - 1.0 + alpha * diagonal;
                if alpha == 0.0 && gradient > shrink_above {
                    n_active -= 1;
                    order.swap(position, n_active);
                    continue;
                }
                position += 1;
                let projected = if alpha == 0.0 { gradient.min(0.0) } else { gradient };
                steepest = steepest.max(projected);
                lowest = lowest.min(projected);
                if projected != 0.0 {
                    let updated = (alpha - gradient / (self.squared_norm(row_idx) + diagonal)).max(0.0);
                    self.dual[position_of_row] = updated;
                    self.add(row_idx, (updated - alpha) * sign);
                }
            }
            if steepest - lowest <= tolerance {
                if n_active == n_rows {
                    self.is_solved = true;
                    return;
                }
                n_active = n_rows;
                shrink_above = f64::INFINITY;
            } else {
                shrink_above = if steepest > 0.0 { steepest } else { f64::INFINITY };
            }
        }
    }

    fn solve_logistic(&mut self, strength: f64) {
        let Stop { tolerance, max_epochs } = self.training.stop;
        let n_rows = self.signs.len();
        if self.dual.is_empty() {
            self.dual = vec![FIRST_T; n_rows];
            for position in 0..n_rows {
                let row_idx = self.training.row_indices[position] as usize;
                self.add(row_idx, strength * sigmoid(FIRST_T) * self.signs[position]);
            }
        } else if strength > self.strength {
            // The same α as a share of the larger C.
            for t in &mut self.dual {
                let share = sigmoid(*t) * (self.strength / strength);
                *t = (share / (1.0 - share)).ln();
            }
        }
        self.strength = strength;
        let mut order: Vec<usize> = (0..n_rows).collect();
        self.is_solved = false;
        for _ in 0..max_epochs {
            self.n_epochs += 1;
            order.shuffle(&mut self.rng);
            let mut worst: f64 = 0.0;
            for &position in &order {
                let sign = self.signs[position];
                let row_idx = self.training.row_indices[position] as usize;
                let margin = sign * self.logit(row_idx);
                let t = self.dual[position];
                worst = worst.max((margin + t).abs());
                let updated = logistic_step(t, margin, self.squared_norm(row_idx), strength);
                self.dual[position] = updated;
                self.add(row_idx, strength * (sigmoid(updated) - sigmoid(t)) * sign);
            }
            if worst <= tolerance {
                self.is_solved = true;
                return;
            }
        }
    }

    /// `‖x‖²` with the constant feature.
    fn squared_norm(&self, row_idx: usize) -> f64 {
        self.training.squared_norms[row_idx] + self.training.intercept_scale.powi(2)
    }

    /// `w += factor · x`, the constant feature included.
    fn add(&mut self, row_idx: usize, factor: f64) {
        let (columns, values) = self.training.rows.row(row_idx);
        for (&column, &value) in columns.iter().zip(values) {
            self.weights[column as usize] += factor * f64::from(value);
        }
        self.constant += factor * self.training.intercept_scale;
    }
}

/// `w·x`, in four sums that the processor can keep going side by side.
fn dot(weights: &[f64], columns: &[u32], values: &[f32]) -> f64 {
    let product = |column: u32, value: f32| weights[column as usize] * f64::from(value);
    let (column_blocks, last_columns) = columns.as_chunks::<4>();
    let (value_blocks, last_values) = values.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (columns, values) in column_blocks.iter().zip(value_blocks) {
        for lane in 0..4 {
            sums[lane] += product(columns[lane], values[lane]);
        }
    }
    let rest: f64 = last_columns.iter().zip(last_values).map(|(&column, &value)| product(column, value)).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

/// The `t` at which `t + margin + ‖x‖² C (σ(t) − σ(t₀)) = 0`: Newton's method inside a bracket that shrinks with every
/// step.
fn logistic_step(start: f64, margin: f64, squared_norm: f64, strength: f64) -> f64 {
    let reach = squared_norm * strength;
    let share = sigmoid(start);
    let (mut low, mut high) = (-margin - reach * (1.0 - share), -margin + reach * share);
    let mut t = start.clamp(low, high);
    for _ in 0..MAX_NEWTON_STEPS {
        let sigma = sigmoid(t);
        let slope = t + margin + reach * (sigma - share);
        if slope.abs() <= NEWTON_TOLERANCE * (1.0 + t.abs()) {
            break;
        }
        if slope > 0.0 {
            high = t;
        } else {
            low = t;
        }
        let newton = t - slope / (1.0 + reach * sigma * (1.0 - sigma));
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        if next == t {
            break;
        }
        t = next;
    }
    t
}

/// `1 / (1 + exp(−t))`
fn sigmoid(t: f64) -> f64 {
    1.0 / (1.0 + (-t).exp())
}
