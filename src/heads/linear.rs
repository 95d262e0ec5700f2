//! The fitted linear classifier.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::design::BLOCK_ROWS;
use super::{Head, HeadError};
use crate::kernels::gemm::matmul_f64;
use crate::labels::Task;

/// Logits as a linear function of the embedding: `logits = x · weightsᵀ + intercepts`.
///
/// Parameters are f32, as they are saved; products and sums are f64, so a row's logits do not depend on the rows beside it
/// beyond 1e-12.
///
/// # Example
/// ```
/// use ndarray::array;
/// use topicwire::heads::{Head, LinearHead};
/// use topicwire::labels::Task;
/// let head = LinearHead::new(Task::Multi, array![[1.0, 2.0]], array![0.5])?;
/// assert_eq!(head.logits(array![[3.0, -1.0]].view())?, array![[1.5]]);
/// # Ok::<(), topicwire::heads::HeadError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LinearHead {
    task: Task,
    weights: Array2<f32>,
    intercepts: Array1<f32>,
}

impl LinearHead {
    /// Puts a head together from its parameters, `weights` `[n_labels, hidden_size]` and `intercepts` `[n_labels]`.
    ///
    /// # Errors
    /// Shapes that do not agree or are empty, and values that are not finite.
    pub fn new(task: Task, weights: Array2<f32>, intercepts: Array1<f32>) -> Result<Self, HeadError> {
        if weights.is_empty() || weights.nrows() != intercepts.len() {
            return Err(HeadError::Shape {
                weights: [weights.nrows(), weights.ncols()],
                n_intercepts: intercepts.len(),
            });
        }
        let bad_weight = weights.indexed_iter().map(|((label_idx, _), value)| ("weights", label_idx, *value));
        let bad_intercept = intercepts.iter().enumerate().map(|(label_idx, value)| ("intercepts", label_idx, *value));
        if let Some((tensor, label_idx, value)) = bad_weight.chain(bad_intercept).find(|(.., value)| !value.is_finite())
        {
            return Err(HeadError::NonFiniteParameter { tensor, label_idx, value });
        }
        Ok(Self { task, weights, intercepts })
    }

    /// `[n_labels, hidden_size]`
    pub fn weights(&self) -> ArrayView2<'_, f32> {
        self.weights.view()
    }

    /// `[n_labels]`
    pub fn intercepts(&self) -> ArrayView1<'_, f32> {
        self.intercepts.view()
    }
}

impl Head for LinearHead {
    fn task(&self) -> Task {
        self.task
    }

    fn hidden_size(&self) -> usize {
        self.weights.ncols()
    }

    fn n_labels(&self) -> usize {
        self.weights.nrows()
    }

    fn logits(&self, embeddings: ArrayView2<f32>) -> Result<Array2<f64>, HeadError> {
        if embeddings.ncols() != self.hidden_size() {
            return Err(HeadError::HiddenSize { expected: self.hidden_size(), found: embeddings.ncols() });
        }
        let weights = self.weights.mapv(f64::from);
        let intercepts = self.intercepts.mapv(f64::from);
        let mut logits = Array2::zeros((embeddings.nrows(), self.n_labels()));
        logits
            .axis_chunks_iter_mut(Axis(0), BLOCK_ROWS)
            .into_par_iter()
            .zip(embeddings.axis_chunks_iter(Axis(0), BLOCK_ROWS))
            .for_each(|(mut logits, embeddings): (ArrayViewMut2<f64>, _)| {
                logits.assign(&intercepts);
                matmul_f64(embeddings.mapv(f64::from).view(), weights.t(), logits, true);
            });
        Ok(logits)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn parameters_from_outside_are_checked() {
        let cases = [
            (Array2::zeros((0, 3)), Array1::zeros(0), "a linear head with weights [0, 3] needs as many"),
            (Array2::zeros((2, 3)), Array1::zeros(1), "a linear head with weights [2, 3] needs as many"),
            (array![[0.0], [f32::NAN]], Array1::zeros(2), "weights of the head hold NaN for label number 1"),
            (Array2::zeros((2, 3)), array![f32::INFINITY, 0.0], "intercepts of the head hold inf for label number 0"),
        ];
        for (weights, intercepts, expected) in cases {
            let message = LinearHead::new(Task::Single, weights, intercepts).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
