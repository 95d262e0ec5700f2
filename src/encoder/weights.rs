//! The tensors of an encoder, by name, as f32.

use std::collections::HashMap;

use ndarray::{Array1, Array2, ArrayD};
use thiserror::Error;

/// Tensors by full name.
///
/// Reading the file, checking its hash and converting f16 and bf16 happens where this is made.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    tensors: HashMap<String, ArrayD<f32>>,
}

/// What can be wrong with the tensors of an encoder.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WeightsError {
    #[error("tensor `{name}` is missing")]
    Missing { name: String },
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape { name: String, expected: Vec<usize>, found: Vec<usize> },
}

impl Weights {
    /// Keeps tensors that were made elsewhere.
    pub fn new(tensors: HashMap<String, ArrayD<f32>>) -> Self {
        Self { tensors }
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The shape of a tensor, where there is one of this name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| tensor.shape())
    }

    /// Takes a matrix out.
    ///
    /// # Errors
    /// No such tensor, or another shape.
    pub fn take_matrix(&mut self, name: &str, n_rows: usize, n_columns: usize) -> Result<Array2<f32>, WeightsError> {
        let tensor = self.take(name, &[n_rows, n_columns])?;
        Ok(tensor.into_dimensionality().expect("the shape was checked"))
    }

    /// Takes a vector out.
    ///
    /// # Errors
    /// No such tensor, or another shape.
    pub fn take_vector(&mut self, name: &str, length: usize) -> Result<Array1<f32>, WeightsError> {
        let tensor = self.take(name, &[length])?;
        Ok(tensor.into_dimensionality().expect("the shape was checked"))
    }

    fn take(&mut self, name: &str, expected: &[usize]) -> Result<ArrayD<f32>, WeightsError> {
        let tensor = self.tensors.remove(name).ok_or_else(|| WeightsError::Missing { name: name.to_owned() })?;
        if tensor.shape() != expected {
            return Err(WeightsError::Shape {
                name: name.to_owned(),
                expected: expected.to_vec(),
                found: tensor.shape().to_vec(),
            });
        }
        Ok(tensor)
    }
}
