//! The layers of a described network as candle tensors.

use candle_core::{D, DType, Device, Module, Tensor, Var};
use candle_nn::{Linear, ops};
use ndarray::{Array, Dimension};

use super::super::arch::{Activation, Architecture, Positions};
use super::super::weights::Weights;
use super::super::{EncoderError, ExecutorError};

/// Whether gradients can flow back through the network.
///
/// Candle's fused soft-max and layer norm have no backward pass; with gradients both are spelled out in elementary
/// operations (the same values to rounding, several passes over memory instead of one), and all weights are variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gradients {
    Off,
    On,
}

/// An encoder's transformer, ready to run.
pub struct Network {
    architecture: Architecture,
    device: Device,
    gradients: Gradients,
    word_embeddings: Tensor,
    position_embeddings: Tensor,
    token_type_embeddings: Tensor,
    embedding_norm: LayerNorm,
    layers: Vec<Layer>,
    variables: Vec<(String, Var)>,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
}

struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

/// Takes weights out by name and puts them on the device.
struct Loader<'a> {
    weights: Weights,
    device: &'a Device,
    gradients: Gradients,
    variables: Vec<(String, Var)>,
}

impl Loader<'_> {
    fn tensor<Dim: Dimension>(&mut self, name: String, array: Array<f32, Dim>) -> Result<Tensor, EncoderError> {
        let shape = array.shape().to_vec();
        // Freshly read arrays are contiguous from the start, so this moves.
        let (values, offset) = array.into_raw_vec_and_offset();
        debug_assert_eq!(offset.unwrap_or(0), 0);
        let tensor = Tensor::from_vec(values, shape, self.device).map_err(device_error)?;
        if self.gradients == Gradients::Off {
            return Ok(tensor);
        }
        let variable = Var::from_tensor(&tensor).map_err(device_error)?;
        let tensor = variable.as_tensor().clone();
        self.variables.push((name, variable));
        Ok(tensor)
    }

    fn matrix(&mut self, name: String, n_rows: usize, n_columns: usize) -> Result<Tensor, EncoderError> {
        let array = self.weights.take_matrix(&name, n_rows, n_columns)?;
        self.tensor(name, array)
    }

    fn vector(&mut self, name: String, length: usize) -> Result<Tensor, EncoderError> {
        let array = self.weights.take_vector(&name, length)?;
        self.tensor(name, array)
    }

    fn linear(&mut self, name: String, n_out: usize, n_in: usize) -> Result<Linear, EncoderError> {
        let weight = self.matrix(format!("{name}.weight"), n_out, n_in)?;
        Ok(Linear::new(weight, Some(self.vector(format!("{name}.bias"), n_out)?)))
    }

    fn layer_norm(&mut self, name: String, size: usize) -> Result<LayerNorm, EncoderError> {
        let weight = self.vector(format!("{name}.weight"), size)?;
        Ok(LayerNorm { weight, bias: self.vector(format!("{name}.bias"), size)? })
    }
}

impl Network {
    /// Moves the weights that the architecture names to the device.
    ///
    /// # Errors
    /// A tensor is missing or has another shape, or the device failed.
    pub fn new(
        architecture: &Architecture,
        weights: Weights,
        device: &Device,
        gradients: Gradients,
    ) -> Result<Self, EncoderError> {
        let (names, hidden) = (&architecture.names, architecture.hidden_size);
        let Positions::Learned { n_positions, .. } = architecture.positions;
        let mut loader = Loader { weights, device, gradients, variables: Vec::new() };
        let word_embeddings = loader.matrix(names.full(names.word_embeddings), architecture.vocab_size, hidden)?;
        let position_embeddings = loader.matrix(names.full(names.position_embeddings), n_positions, hidden)?;
        // The number of types is no part of the architecture, as all our tokens are of type 0; any but none will do.
        let types = names.full(names.token_type_embeddings);
        let n_types = loader.weights.shape(&types).map_or(1, |shape| shape.first().map_or(1, |&n| n.max(1)));
        let token_type_embeddings = loader.matrix(types, n_types, hidden)?;
        let embedding_norm = loader.layer_norm(names.full(names.embedding_norm), hidden)?;
        let mut layers = Vec::with_capacity(architecture.n_layers);
        for i in 0..architecture.n_layers {
            let intermediate = architecture.intermediate_size;
            layers.push(Layer {
                query: loader.linear(names.in_layer(names.query, i), hidden, hidden)?,
                key: loader.linear(names.in_layer(names.key, i), hidden, hidden)?,
                value: loader.linear(names.in_layer(names.value, i), hidden, hidden)?,
                attention_output: loader.linear(names.in_layer(names.attention_output, i), hidden, hidden)?,
                attention_norm: loader.layer_norm(names.in_layer(names.attention_norm, i), hidden)?,
                intermediate: loader.linear(names.in_layer(names.intermediate, i), intermediate, hidden)?,
                output: loader.linear(names.in_layer(names.output, i), hidden, intermediate)?,
                output_norm: loader.layer_norm(names.in_layer(names.output_norm, i), hidden)?,
            });
        }
        Ok(Self {
            architecture: architecture.clone(),
            device: device.clone(),
            gradients,
            word_embeddings,
            position_embeddings,
            token_type_embeddings,
            embedding_norm,
            layers,
            variables: loader.variables,
        })
    }

    /// What is run.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Every weight by its full name, for an optimiser; empty with [`Gradients::Off`].
    pub fn variables(&self) -> &[(String, Var)] {
        &self.variables
    }

    /// Hidden states of the last layer.
    ///
    /// Ids must be inside the vocabulary and rows no longer than [`Architecture::max_tokens`].
    ///
    /// # Shapes
    /// * `token_ids` `[n_windows, n_tokens]`, u32
    /// * `mask` the same, u8: 1 where a token stands, 0 where padding; `None` where nothing is padded
    /// * returns `[n_windows, n_tokens, hidden_size]`
    ///
    /// # Errors
    /// The device failed.
    pub fn forward(&self, token_ids: &Tensor, mask: Option<&Tensor>) -> candle_core::Result<Tensor> {
        let (n_windows, n_tokens) = token_ids.dims2()?;
        let hidden_size = self.architecture.hidden_size;
        let Positions::Learned { offset, .. } = self.architecture.positions;
        let words = self.word_embeddings.index_select(&token_ids.flatten_all()?, 0)?;
        let words = words.reshape((n_windows, n_tokens, hidden_size))?;
        let types = self.token_type_embeddings.narrow(0, 0, 1)?;
        let positions = self.position_embeddings.narrow(0, offset, n_tokens)?;
        let hidden = words.broadcast_add(&types)?.broadcast_add(&positions)?;
        let mut hidden = self.layer_norm(&self.embedding_norm, &hidden)?;

        let penalty = match mask {
            None => None,
            Some(mask) => {
                // 0 for tokens, the most negative number for padding: exp makes it an exact 0.
                let is_padding = (1.0 - mask.to_dtype(DType::F32)?)?;
                Some((is_padding * f64::from(f32::MIN))?.reshape((n_windows, 1, 1, n_tokens))?)
            }
        };
        for layer in &self.layers {
            let attention = layer.attention_output.forward(&self.attend(layer, &hidden, penalty.as_ref())?)?;
            hidden = self.layer_norm(&layer.attention_norm, &(attention + hidden)?)?;
            let wide = layer.intermediate.forward(&hidden)?;
            let wide = match self.architecture.activation {
                Activation::Gelu => wide.gelu_erf()?,
                Activation::GeluTanh => wide.gelu()?,
                Activation::Relu => wide.relu()?,
            };
            hidden = self.layer_norm(&layer.output_norm, &(layer.output.forward(&wide)? + hidden)?)?;
        }
        Ok(hidden)
    }

    /// `softmax(Q Kᵀ / √head_size + penalty) V`, heads side by side.
    fn attend(&self, layer: &Layer, hidden: &Tensor, penalty: Option<&Tensor>) -> candle_core::Result<Tensor> {
        let (n_windows, n_tokens, hidden_size) = hidden.dims3()?;
        let (n_heads, head_size) = (self.architecture.n_heads, self.architecture.head_size());
        let heads = |linear: &Linear| {
            linear.forward(hidden)?.reshape((n_windows, n_tokens, n_heads, head_size))?.transpose(1, 2)?.contiguous()
        };
        let (query, key, value) = (heads(&layer.query)?, heads(&layer.key)?, heads(&layer.value)?);
        let query = (query / (head_size as f64).sqrt())?;
        let mut scores = query.matmul(&key.t()?)?;
        if let Some(penalty) = penalty {
            scores = scores.broadcast_add(penalty)?;
        }
        let shares = match self.gradients {
            Gradients::Off => ops::softmax_last_dim(&scores)?,
            Gradients::On => ops::softmax(&scores, D::Minus1)?,
        };
        shares.matmul(&value)?.transpose(1, 2)?.reshape((n_windows, n_tokens, hidden_size))
    }

    fn layer_norm(&self, norm: &LayerNorm, x: &Tensor) -> candle_core::Result<Tensor> {
        let eps = self.architecture.layer_norm_eps as f32;
        match self.gradients {
            Gradients::Off => ops::layer_norm(&x.contiguous()?, &norm.weight, &norm.bias, eps),
            Gradients::On => ops::layer_norm_slow(x, &norm.weight, &norm.bias, eps),
        }
    }
}

fn device_error(source: candle_core::Error) -> EncoderError {
    EncoderError::Executor(ExecutorError::Device { source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::arch::bert;
    use crate::encoder::weights::WeightsError;
    use crate::rng::generator;
    use rand::RngExt;
    use std::collections::HashMap;

    fn tiny() -> (Architecture, Weights) {
        let architecture = Architecture {
            model_type: "bert".to_owned(),
            vocab_size: 11,
            hidden_size: 8,
            n_layers: 2,
            n_heads: 2,
            intermediate_size: 12,
            activation: Activation::Gelu,
            layer_norm_eps: 1e-12,
            positions: Positions::Learned { n_positions: 6, offset: 0 },
            names: bert::weight_names("bert."),
        };
        let mut random = generator(0, "tiny network");
        let mut tensors = HashMap::new();
        let names = &architecture.names;
        let mut add = |name: String, shape: &[usize]| {
            let values = ndarray::ArrayD::from_shape_simple_fn(shape, || random.random_range(-0.5f32..0.5));
            tensors.insert(name, values);
        };
        add(names.full(names.word_embeddings), &[11, 8]);
        add(names.full(names.position_embeddings), &[6, 8]);
        add(names.full(names.token_type_embeddings), &[2, 8]);
        let blocks = [
            (names.query, 8, 8),
            (names.key, 8, 8),
            (names.value, 8, 8),
            (names.attention_output, 8, 8),
            (names.intermediate, 12, 8),
            (names.output, 8, 12),
        ];
        for layer_idx in 0..2 {
            for (name, n_out, n_in) in blocks {
                add(names.in_layer(name, layer_idx) + ".weight", &[n_out, n_in]);
                add(names.in_layer(name, layer_idx) + ".bias", &[n_out]);
            }
            for name in [names.attention_norm, names.output_norm] {
                add(names.in_layer(name, layer_idx) + ".weight", &[8]);
                add(names.in_layer(name, layer_idx) + ".bias", &[8]);
            }
        }
        add(names.full(names.embedding_norm) + ".weight", &[8]);
        add(names.full(names.embedding_norm) + ".bias", &[8]);
        (architecture, Weights::new(tensors))
    }

    #[test]
    fn with_gradients_the_values_are_the_same_and_every_used_weight_gets_one() {
        let (architecture, weights) = tiny();
        let plain = Network::new(&architecture, weights.clone(), &Device::Cpu, Gradients::Off).unwrap();
        let trainable = Network::new(&architecture, weights, &Device::Cpu, Gradients::On).unwrap();
        let token_ids = Tensor::new(&[[1u32, 2, 3], [4, 5, 0]], &Device::Cpu).unwrap();
        let mask = Tensor::new(&[[1u8, 1, 1], [1, 1, 0]], &Device::Cpu).unwrap();
        let a = plain.forward(&token_ids, Some(&mask)).unwrap();
        let b = trainable.forward(&token_ids, Some(&mask)).unwrap();
        let difference = (a - &b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(difference < 1e-6, "{difference}");

        assert!(plain.variables().is_empty());
        let gradients = b.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        for (name, variable) in trainable.variables() {
            let gradient = gradients.get(variable).unwrap_or_else(|| panic!("no gradient for {name}"));
            let size = gradient.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            // The soft-max does not see a constant added to all scores, so the key's bias has the gradient 0 up to rounding.
            assert!(size > 1e-4 || name.ends_with("key.bias"), "{name}: {size}");
        }
    }

    #[test]
    fn a_missing_or_misshapen_weight_is_named() {
        let (architecture, mut weights) = tiny();
        let name = "bert.encoder.layer.1.output.dense.weight";
        weights.take_matrix(name, 8, 12).unwrap();
        let error = Network::new(&architecture, weights, &Device::Cpu, Gradients::Off).err().unwrap();
        assert!(matches!(&error, EncoderError::Weights(WeightsError::Missing { name: found }) if found == name));
        let (mut architecture, weights) = tiny();
        architecture.vocab_size = 12;
        let error = Network::new(&architecture, weights, &Device::Cpu, Gradients::Off).err().unwrap();
        assert!(matches!(error, EncoderError::Weights(WeightsError::Shape { .. })));
    }
}
