//! L-BFGS for many independent smooth problems at once, convex or nearly so.
//!
//! One-vs-rest fits a hundred small problems on the same rows. Each keeps its own history and step length, but all take their steps
//! together, so that every evaluation is one matrix product over all labels; a problem that has converged drops out. Soft-max is
//! one large problem of the same kind.
//!
//! Two-loop recursion: Nocedal & Wright, *Numerical Optimization* (2006), algorithm 7.4. The initial inverse Hessian is the
//! diagonal that the objective supplies at each point, scaled as there in equation 7.20. Steps satisfy the weak Wolfe
//! conditions, found by bracketing (algorithm 3.5 without its strong form: the weak one is enough for the update to stay positive), or
//! near the optimum, where differences of values drown in rounding, the approximate ones of Hager & Zhang (2005), § 4.1.

use std::collections::VecDeque;

use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;

use super::HeadError;

/// Pairs of steps and gradient changes that are remembered; 3 to 20 are usual (Nocedal & Wright, § 7.2).
const HISTORY: usize = 10;
/// Share of the predicted decrease that a step must bring (Nocedal & Wright, § 3.1).
const ARMIJO: f64 = 1e-4;
/// Share of the slope that may remain after a step (Nocedal & Wright, § 3.1).
const CURVATURE: f64 = 0.9;
/// Halvings and doublings before a line search is given up.
const MAX_LINE_STEPS: usize = 40;
/// A new trial stays this far, as a share of the bracket, from its ends.
const BRACKET_MARGIN: f64 = 0.1;

/// Values, gradients and curvatures of some problems at one point each.
pub(crate) struct Evaluation {
    /// `[n_problems]`, bounded from below by 0.
    pub(crate) values: Vec<f64>,
    /// `[n_problems, n_params]`
    pub(crate) gradients: Array2<f64>,
    /// `[n_problems, n_params]`, a positive estimate of the inverse Hessian's diagonal.
    pub(crate) inverse_hessian: Array2<f64>,
}

/// Smooth functions without common parameters, evaluated together.
pub(crate) trait Objectives: Sync {
    /// Evaluates the problems listed in `active` at the rows of `points` `[active.len(), n_params]`.
    fn evaluate(&self, active: &[usize], points: ArrayView2<f64>) -> Evaluation;
}

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stopping {
    /// A problem is solved once the squared norm of its gradient, in the metric of the inverse Hessian, is at most this share
    /// of its value. Half of it estimates how far the value can still fall.
    pub(crate) tolerance: f64,
    /// Evaluations after which a problem is left as it is.
    pub(crate) max_evaluations: usize,
    /// Relative rise of the value that counts as rounding.
    pub(crate) noise: f64,
}

/// Where the minimisation ended.
pub(crate) struct Minimum {
    /// `[n_problems, n_params]`
    pub(crate) points: Array2<f64>,
    /// Rounds, each one evaluation of all problems not yet solved.
    pub(crate) n_evaluations: usize,
    /// Problems that ran into the limit of evaluations, or whose line search failed.
    pub(crate) n_unsolved: usize,
}

/// Minimises every problem from its row of `start` `[n_problems, n_params]`.
///
/// # Errors
/// [`HeadError::Interrupted`] as soon as `interrupted` says so, asked before every evaluation.
pub(crate) fn minimise(
    objectives: &impl Objectives,
    start: ArrayView2<f64>,
    stopping: Stopping,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<Minimum, HeadError> {
    let mut searches: Vec<Search> = start.rows().into_iter().map(Search::new).collect();
    let mut n_evaluations = 0;
    loop {
        let mut open: Vec<(usize, &mut Search)> =
            searches.iter_mut().enumerate().filter(|(_, search)| search.state == State::Searching).collect();
        if open.is_empty() {
            break;
        }
        if interrupted() {
            return Err(HeadError::Interrupted);
        }
        let mut points = Array2::zeros((open.len(), start.ncols()));
        for (mut point, (_, search)) in points.rows_mut().into_iter().zip(&open) {
            search.trial(point.as_slice_mut().expect("rows of a fresh array are contiguous"));
        }
        let active: Vec<usize> = open.iter().map(|(problem_idx, _)| *problem_idx).collect();
        let Evaluation { values, gradients, inverse_hessian } = objectives.evaluate(&active, points.view());
        n_evaluations += 1;
        open.par_iter_mut().enumerate().for_each(|(i, (_, search))| {
            search.observe(values[i], points.row(i), gradients.row(i), inverse_hessian.row(i), stopping);
        });
    }
    let mut points = Array2::zeros(start.dim());
    for (mut point, search) in points.rows_mut().into_iter().zip(&searches) {
        point.assign(&ArrayView1::from(&search.point));
    }
    let n_unsolved = searches.iter().filter(|search| search.state == State::Unsolved).count();
    Ok(Minimum { points, n_evaluations, n_unsolved })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Searching,
    Solved,
    Unsolved,
}

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    /// ⟨step, change⟩, positive.
    product: f64,
}

/// One problem's search.
struct Search {
    state: State,
    n_evaluations: usize,
    point: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
    history: VecDeque<Pair>,
    direction: Vec<f64>,
    /// Derivative along the direction at `point`, negative.
    slope: f64,
    line: Line,
}

/// The line search: the step looked for lies between `low` and `high`.
struct Line {
    step: f64,
    n_steps: usize,
    low: f64,
    low_value: f64,
    low_slope: f64,
    high: f64,
}

impl Search {
    fn new(point: ArrayView1<f64>) -> Self {
        let n_params = point.len();
        Self {
            state: State::Searching,
            n_evaluations: 0,
            point: point.to_vec(),
            value: f64::INFINITY,
            gradient: vec![0.0; n_params],
            history: VecDeque::with_capacity(HISTORY + 1),
            direction: vec![0.0; n_params],
            slope: 0.0,
            line: Line { step: 0.0, n_steps: 0, low: 0.0, low_value: 0.0, low_slope: 0.0, high: f64::INFINITY },
        }
    }

    /// Writes the point to be evaluated next.
    fn trial(&self, out: &mut [f64]) {
        for ((out, point), direction) in out.iter_mut().zip(&self.point).zip(&self.direction) {
            *out = point + self.line.step * direction;
        }
    }

    /// Takes in what the objective says about the trial point.
    fn observe(
        &mut self,
        value: f64,
        trial: ArrayView1<f64>,
        gradient: ArrayView1<f64>,
        inverse_hessian: ArrayView1<f64>,
        stopping: Stopping,
    ) {
        self.n_evaluations += 1;
        let trial = trial.as_slice().expect("rows of a fresh array are contiguous");
        let gradient = gradient.as_slice().expect("rows of a fresh array are contiguous");
        let first = self.n_evaluations == 1;
        if !first {
            let slope = dot(gradient, &self.direction);
            match self.line.judge(value, slope, self.value, self.slope, stopping.noise) {
                Verdict::Accept => {}
                Verdict::GiveUp => {
                    // Where rounding hides any further progress, the point found so far is as good as it gets.
                    let flat = -self.slope <= stopping.noise * self.value;
                    self.state = if flat { State::Solved } else { State::Unsolved };
                    return;
                }
                Verdict::Retry => {
                    if self.n_evaluations >= stopping.max_evaluations {
                        self.state = State::Unsolved;
                    }
                    return;
                }
            }
            self.remember(trial, gradient);
        }
        self.point.copy_from_slice(trial);
        self.gradient.copy_from_slice(gradient);
        self.value = value;
        self.aim(inverse_hessian.as_slice().expect("rows of a fresh array are contiguous"));
        if -self.slope <= stopping.tolerance * self.value {
            self.state = State::Solved;
        } else if self.n_evaluations >= stopping.max_evaluations {
            self.state = State::Unsolved;
        }
    }

    fn remember(&mut self, trial: &[f64], gradient: &[f64]) {
        let step: Vec<f64> = trial.iter().zip(&self.point).map(|(new, old)| new - old).collect();
        let change: Vec<f64> = gradient.iter().zip(&self.gradient).map(|(new, old)| new - old).collect();
        let product = dot(&step, &change);
        // Positive after a step that satisfies the Wolfe conditions, up to rounding; the recursion needs it so.
        if product > f64::EPSILON * dot(&change, &change) {
            self.history.push_back(Pair { step, change, product });
            if self.history.len() > HISTORY {
                self.history.pop_front();
            }
        }
    }

    /// Sets the direction, minus inverse Hessian times gradient, and starts a line search along it.
    fn aim(&mut self, inverse_hessian: &[f64]) {
        let mut q = self.gradient.clone();
        let mut weights = Vec::with_capacity(self.history.len());
        for pair in self.history.iter().rev() {
            let weight = dot(&pair.step, &q) / pair.product;
            add_scaled(&mut q, -weight, &pair.change);
            weights.push(weight);
        }
        let scale = self.history.back().map_or(1.0, |pair| {
            let length: f64 = pair.change.iter().zip(inverse_hessian).map(|(y, h)| y * y * h).sum();
            pair.product / length
        });
        q.iter_mut().zip(inverse_hessian).for_each(|(q, h)| *q *= scale * h);
        for (pair, weight) in self.history.iter().zip(weights.iter().rev()) {
            let correction = weight - dot(&pair.change, &q) / pair.product;
            add_scaled(&mut q, correction, &pair.step);
        }
        q.iter_mut().for_each(|q| *q = -*q);
        self.direction = q;
        self.slope = dot(&self.gradient, &self.direction);
        self.line =
            Line { step: 1.0, n_steps: 0, low: 0.0, low_value: self.value, low_slope: self.slope, high: f64::INFINITY };
    }
}

enum Verdict {
    Accept,
    Retry,
    GiveUp,
}

impl Line {
    /// Judges the value and slope at the current step against those at the line's start, and sets the next step.
    fn judge(&mut self, value: f64, slope: f64, start_value: f64, start_slope: f64, noise: f64) -> Verdict {
        self.n_steps += 1;
        let steep_enough = slope >= CURVATURE * start_slope;
        let falls = value <= start_value + ARMIJO * self.step * start_slope;
        let flat = value <= start_value * (1.0 + noise) && slope <= (2.0 * ARMIJO - 1.0) * start_slope;
        if steep_enough && (falls || flat) {
            return Verdict::Accept;
        }
        if self.n_steps >= MAX_LINE_STEPS {
            return Verdict::GiveUp;
        }
        if falls {
            (self.low, self.low_value, self.low_slope) = (self.step, value, slope);
        } else {
            self.high = self.step;
        }
        self.step = if self.high.is_infinite() {
            2.0 * self.step
        } else {
            let width = self.high - self.low;
            let share = if falls || !value.is_finite() {
                0.5
            } else {
                // Minimum of the parabola through both ends with the slope at the lower one.
                let bend = value - self.low_value - self.low_slope * width;
                (-self.low_slope * width / (2.0 * bend)).clamp(BRACKET_MARGIN, 1.0 - BRACKET_MARGIN)
            };
            self.low + share * width
        };
        Verdict::Retry
    }
}

/// Sum of products in eight running sums, which the compiler may keep in vector registers.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

fn add_scaled(out: &mut [f64], factor: f64, values: &[f64]) {
    for (out, value) in out.iter_mut().zip(values) {
        *out += factor * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `∑ⱼ (log cosh)(sⱼ (xⱼ − cⱼ)) + 1`, badly scaled, with its optimum known: every problem has another `c`.
    struct Valleys {
        scales: Vec<f64>,
        n_calls: std::sync::Mutex<Vec<usize>>,
    }

    impl Valleys {
        fn centre(problem_idx: usize, j: usize) -> f64 {
            (problem_idx as f64 + 1.0) * (j as f64 - 2.0)
        }
    }

    impl Objectives for Valleys {
        fn evaluate(&self, active: &[usize], points: ArrayView2<f64>) -> Evaluation {
            self.n_calls.lock().unwrap().push(active.len());
            let mut values = vec![1.0; active.len()];
            let mut gradients = Array2::zeros(points.dim());
            for (i, &problem_idx) in active.iter().enumerate() {
                for (j, scale) in self.scales.iter().enumerate() {
                    let u = scale * (points[[i, j]] - Self::centre(problem_idx, j));
                    values[i] += u.abs() + (-2.0 * u.abs()).exp().ln_1p() - std::f64::consts::LN_2;
                    gradients[[i, j]] = scale * u.tanh();
                }
            }
            Evaluation { values, gradients, inverse_hessian: Array2::ones(points.dim()) }
        }
    }

    #[test]
    fn independent_problems_reach_their_own_optimum_and_drop_out() {
        let valleys = Valleys { scales: vec![1.0, 10.0, 0.3, 3.0, 0.05], n_calls: Default::default() };
        let mut start = Array2::zeros((3, 5));
        start.row_mut(1).assign(&ndarray::Array1::from_shape_fn(5, |j| Valleys::centre(1, j)));
        let stopping = Stopping { tolerance: 1e-20, max_evaluations: 1_000, noise: 1e-15 };
        let minimum = minimise(&valleys, start.view(), stopping, &|| false).unwrap();
        for ((problem_idx, j), &x) in minimum.points.indexed_iter() {
            assert!((x - Valleys::centre(problem_idx, j)).abs() < 1e-6, "problem {problem_idx}, parameter {j}: {x}");
        }
        assert_eq!(minimum.n_unsolved, 0);
        let calls = valleys.n_calls.into_inner().unwrap();
        assert_eq!(calls[..2], [3, 2], "the problem that starts at its optimum is evaluated once");
        assert_eq!(calls.len(), minimum.n_evaluations);
    }

    #[test]
    fn limits_and_interruptions_are_reported() {
        let valleys = Valleys { scales: vec![1.0; 5], n_calls: Default::default() };
        let start = Array2::zeros((2, 5));
        let stopping = Stopping { tolerance: 0.0, max_evaluations: 2, noise: 1e-15 };
        assert_eq!(minimise(&valleys, start.view(), stopping, &|| false).unwrap().n_unsolved, 2);
        assert!(matches!(minimise(&valleys, start.view(), stopping, &|| true), Err(HeadError::Interrupted)));
    }
}
