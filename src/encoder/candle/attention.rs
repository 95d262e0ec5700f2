//! Attention as candle tensors: rotated queries and keys, and what is added to the scores.

use candle_core::{D, DType, Device, Module, Tensor};
use candle_nn::{Linear, ops, rotary_emb};

use super::super::EncoderError;
use super::super::arch::{Architecture, QkvNames, RelativeBias, Rotary};
use super::layers::{Loader, device_error};
use super::network::Gradients;

/// Added to the scores of keys that must not be seen: exp makes it an exact 0. Half of the least number, so that a key left out for two
/// reasons does not reach infinity.
const UNSEEN: f64 = f32::MIN as f64 / 2.0;

pub(super) struct Attention {
    qkv: Qkv,
    output: Linear,
    rotation: Option<Rotation>,
    reach: Reach,
    n_heads: usize,
    head_size: usize,
    gradients: Gradients,
}

/// As [`QkvNames`] has them.
enum Qkv {
    Separate { query: Linear, key: Linear, value: Linear },
    Packed(Linear),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Window,
    Neighbours,
}

impl Attention {
    pub(super) fn take(loader: &mut Loader<'_>, layer_idx: usize) -> Result<Self, EncoderError> {
        let architecture = loader.architecture;
        let &Architecture { hidden_size, n_heads, biases, .. } = architecture;
        let names = &architecture.names;
        let mut linear = |name, n_out| loader.linear((name, layer_idx), n_out, hidden_size, biases.qkv);
        let qkv = match names.qkv {
            QkvNames::Separate { query, key, value } => Qkv::Separate {
                query: linear(query, hidden_size)?,
                key: linear(key, hidden_size)?,
                value: linear(value, hidden_size)?,
            },
            QkvNames::Packed(name) => Qkv::Packed(linear(name, 3 * hidden_size)?),
        };
        let output =
            loader.linear((names.attention_output, layer_idx), hidden_size, hidden_size, biases.attention_output)?;
        let rotation = match architecture.rotary(layer_idx) {
            Some(rotary) => {
                let size = (architecture.max_tokens(), architecture.head_size());
                Some(Rotation::new(rotary, size, loader.device).map_err(device_error)?)
            }
            None => None,
        };
        let reach = if architecture.reach(layer_idx).is_some() { Reach::Neighbours } else { Reach::Window };
        let (head_size, gradients) = (architecture.head_size(), loader.gradients);
        Ok(Self { qkv, output, rotation, reach, n_heads, head_size, gradients })
    }

    /// `softmax(Q Kᵀ / √head_size + terms) V`, heads side by side, and the product behind it.
    pub(super) fn forward(&self, hidden: &Tensor, terms: &ScoreTerms) -> candle_core::Result<Tensor> {
        let (n_windows, n_tokens, hidden_size) = hidden.dims3()?;
        let heads =
            |x: Tensor| x.reshape((n_windows, n_tokens, self.n_heads, self.head_size))?.transpose(1, 2)?.contiguous();
        let [query, key, value] = match &self.qkv {
            Qkv::Separate { query, key, value } => {
                [query.forward(hidden)?, key.forward(hidden)?, value.forward(hidden)?]
            }
            Qkv::Packed(linear) => {
                let all = linear.forward(hidden)?;
                let part = |i| all.narrow(D::Minus1, i * hidden_size, hidden_size);
                [part(0)?, part(1)?, part(2)?]
            }
        };
        let (mut query, mut key, value) = (heads(query)?, heads(key)?, heads(value)?);
        if let Some(rotation) = &self.rotation {
            query = rotation.apply(&query, self.gradients)?;
            key = rotation.apply(&key, self.gradients)?;
        }
        let query = (query / (self.head_size as f64).sqrt())?;
        let mut scores = query.matmul(&key.t()?)?;
        for term in terms.of(self.reach) {
            scores = scores.broadcast_add(term)?;
        }
        let shares = match self.gradients {
            Gradients::Off => ops::softmax_last_dim(&scores)?,
            Gradients::On => ops::softmax(&scores, D::Minus1)?,
        };
        self.output.forward(&shares.matmul(&value)?.transpose(1, 2)?.reshape((n_windows, n_tokens, hidden_size))?)
    }
}

/// Cosines and sines, `[n_positions, head_size / 2]` each.
struct Rotation {
    cos: Tensor,
    sin: Tensor,
}

impl Rotation {
    fn new(rotary: Rotary, (n_positions, head_size): (usize, usize), device: &Device) -> candle_core::Result<Self> {
        let frequencies = rotary.frequencies(head_size);
        let table = |function: fn(f64) -> f64| {
            let angles = (0..n_positions).flat_map(|i| frequencies.iter().map(move |frequency| i as f64 * frequency));
            let values: Vec<f32> = angles.map(|angle| function(angle) as f32).collect();
            Tensor::from_vec(values, (n_positions, frequencies.len()), device)
        };
        Ok(Self { cos: table(f64::cos)?, sin: table(f64::sin)? })
    }

    fn apply(&self, heads: &Tensor, gradients: Gradients) -> candle_core::Result<Tensor> {
        let n_tokens = heads.dim(2)?;
        let (cos, sin) = (self.cos.narrow(0, 0, n_tokens)?, self.sin.narrow(0, 0, n_tokens)?);
        match gradients {
            Gradients::Off => rotary_emb::rope(heads, &cos, &sin),
            Gradients::On => rotary_emb::rope_slow(heads, &cos, &sin),
        }
    }
}

/// What is added to the scores `[n_windows, n_heads, n_tokens, n_tokens]` of a batch; layers share it.
pub(super) struct ScoreTerms {
    /// In order: what all layers add, then what local ones add too.
    terms: Vec<Tensor>,
    n_everywhere: usize,
}

impl ScoreTerms {
    /// `mask` is that of [`super::network::Network::forward`], `bias_table` `[n_buckets, n_heads]`.
    pub(super) fn new(
        architecture: &Architecture,
        (n_tokens, device): (usize, &Device),
        mask: Option<&Tensor>,
        bias_table: Option<&Tensor>,
    ) -> candle_core::Result<Self> {
        let mut terms = Vec::new();
        if let Some(mask) = mask {
            let is_padding = (1.0 - mask.to_dtype(DType::F32)?)?;
            terms.push((is_padding * UNSEEN)?.reshape((mask.dim(0)?, 1, 1, n_tokens))?);
        }
        if let (Some(relative_bias), Some(table)) = (architecture.relative_bias, bias_table) {
            terms.push(by_distance(relative_bias, table, n_tokens)?);
        }
        let n_everywhere = terms.len();
        if let Some(local) = architecture.local_attention
            && n_tokens > local.reach + 1
        {
            let places = Tensor::arange(0f32, n_tokens as f32, device)?;
            let distances = places.unsqueeze(1)?.broadcast_sub(&places.unsqueeze(0)?)?.abs()?;
            let is_far = distances.gt(local.reach as f64)?.to_dtype(DType::F32)?;
            terms.push((is_far * UNSEEN)?);
        }
        Ok(Self { terms, n_everywhere })
    }

    fn of(&self, reach: Reach) -> &[Tensor] {
        match reach {
            Reach::Window => &self.terms[..self.n_everywhere],
            Reach::Neighbours => &self.terms,
        }
    }
}

/// `[n_heads, n_tokens, n_tokens]`: query, key.
fn by_distance(relative_bias: RelativeBias, table: &Tensor, n_tokens: usize) -> candle_core::Result<Tensor> {
    let n = n_tokens as isize;
    let distances = (0..n).flat_map(|query| (0..n).map(move |key| key - query));
    let buckets: Vec<u32> = distances.map(|distance| relative_bias.bucket(distance) as u32).collect();
    let buckets = Tensor::from_vec(buckets, n_tokens * n_tokens, table.device())?;
    let biases = table.index_select(&buckets, 0)?;
    biases.reshape((n_tokens, n_tokens, table.dim(1)?))?.permute((2, 0, 1))?.contiguous()
}
