//! The parts of a transformer layer: their weights as the kernels like them, and one function each.

use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, s};

use crate::encoder::arch::Architecture;
use crate::encoder::weights::{Weights, WeightsError};
use crate::kernels::dispatch::Isa;
use crate::kernels::{elementwise, gemm};

/// `x · W + b`.
pub(super) struct Linear {
    /// `[n_in, n_out]`, row-major: what the `gemm` crate reads without transposing. PyTorch's `[n_out, n_in]` is slower by 1–5 % at
    /// 512 rows and by 15–20 % at 52, and for 1536 → 384 columns by 15 % and three times.
    weight: Array2<f32>,
    bias: Array1<f32>,
}

impl Linear {
    /// Takes `name.weight` `[n_out, n_in]` and `name.bias` `[n_out]`.
    pub(super) fn take(weights: &mut Weights, name: &str, n_in: usize, n_out: usize) -> Result<Self, WeightsError> {
        let weight = weights.take_matrix(&format!("{name}.weight"), n_out, n_in)?;
        let bias = weights.take_vector(&format!("{name}.bias"), n_out)?;
        Ok(Self { weight: weight.t().as_standard_layout().into_owned(), bias })
    }

    /// Takes queries, keys and values as one product, `[hidden_size, 3 · hidden_size]`, the queries already multiplied by
    /// `1 / √head_size`.
    pub(super) fn take_qkv(weights: &mut Weights, arch: &Architecture, layer_idx: usize) -> Result<Self, WeightsError> {
        let hidden_size = arch.hidden_size;
        let mut weight = Array2::zeros((hidden_size, 3 * hidden_size));
        let mut bias = Array1::zeros(3 * hidden_size);
        let query_scale = 1.0 / (arch.head_size() as f32).sqrt();
        let parts = [(arch.names.query, query_scale), (arch.names.key, 1.0), (arch.names.value, 1.0)];
        for (part_idx, (name, scale)) in parts.into_iter().enumerate() {
            let part = Self::take(weights, &arch.names.in_layer(name, layer_idx), hidden_size, hidden_size)?;
            let columns = part_idx * hidden_size..(part_idx + 1) * hidden_size;
            weight.slice_mut(s![.., columns.clone()]).assign(&(part.weight * scale));
            bias.slice_mut(s![columns]).assign(&(part.bias * scale));
        }
        Ok(Self { weight, bias })
    }

    /// Columns of the result.
    pub(super) fn n_out(&self) -> usize {
        self.bias.len()
    }

    /// `out = x · W + b`.
    pub(super) fn apply(&self, x: &[f32], out: &mut [f32]) {
        let bias = self.bias.as_slice().expect("a vector of our own is contiguous");
        for row in out.chunks_exact_mut(bias.len()) {
            row.copy_from_slice(bias);
        }
        gemm::matmul(rows(x, self.weight.nrows()), self.weight.view(), rows_mut(out, self.n_out()), true);
    }

    /// `out += x · W + b`: the residual connection costs nothing, since the product can start from it.
    pub(super) fn add_to(&self, isa: Isa, x: &[f32], out: &mut [f32]) {
        elementwise::add_bias(isa, out, self.bias.as_slice().expect("a vector of our own is contiguous"));
        gemm::matmul(rows(x, self.weight.nrows()), self.weight.view(), rows_mut(out, self.n_out()), true);
    }
}

/// Layer normalisation with its weights.
pub(super) struct LayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    eps: f32,
}

impl LayerNorm {
    /// Takes `name.weight` and `name.bias`, `[hidden_size]` each.
    pub(super) fn take(weights: &mut Weights, name: &str, arch: &Architecture) -> Result<Self, WeightsError> {
        let mut take = |part: &str| weights.take_vector(&format!("{name}.{part}"), arch.hidden_size);
        Ok(Self { weight: take("weight")?.to_vec(), bias: take("bias")?.to_vec(), eps: arch.layer_norm_eps as f32 })
    }

    /// Normalises each row in place.
    pub(super) fn apply(&self, isa: Isa, rows: &mut [f32]) {
        elementwise::layer_norm(isa, rows, &self.weight, &self.bias, self.eps);
    }
}

/// One layer of the network.
pub(super) struct Layer {
    pub(super) qkv: Linear,
    pub(super) attention_output: Linear,
    pub(super) attention_norm: LayerNorm,
    pub(super) intermediate: Linear,
    pub(super) output: Linear,
    pub(super) output_norm: LayerNorm,
}

impl Layer {
    pub(super) fn take(weights: &mut Weights, arch: &Architecture, layer_idx: usize) -> Result<Self, WeightsError> {
        let (hidden_size, intermediate_size) = (arch.hidden_size, arch.intermediate_size);
        let full = |name: &str| arch.names.in_layer(name, layer_idx);
        Ok(Self {
            qkv: Linear::take_qkv(weights, arch, layer_idx)?,
            attention_output: Linear::take(weights, &full(arch.names.attention_output), hidden_size, hidden_size)?,
            attention_norm: LayerNorm::take(weights, &full(arch.names.attention_norm), arch)?,
            intermediate: Linear::take(weights, &full(arch.names.intermediate), hidden_size, intermediate_size)?,
            output: Linear::take(weights, &full(arch.names.output), intermediate_size, hidden_size)?,
            output_norm: LayerNorm::take(weights, &full(arch.names.output_norm), arch)?,
        })
    }
}

/// Rows that lie one after the other, as a matrix.
pub(super) fn rows(values: &[f32], width: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((values.len() / width, width), values).expect("a whole number of rows")
}

/// As [`rows`], to be written.
pub(super) fn rows_mut(values: &mut [f32], width: usize) -> ArrayViewMut2<'_, f32> {
    ArrayViewMut2::from_shape((values.len() / width, width), values).expect("a whole number of rows")
}
