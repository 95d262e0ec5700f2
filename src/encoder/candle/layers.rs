//! The parts of a layer as candle tensors, and how they are taken out of the weights.

use candle_core::{Device, Module, Tensor, Var};
use candle_nn::{Linear, ops};
use ndarray::{Array, Dimension};

use super::super::arch::{Activation, Architecture, IntermediateNames, NormPlacement};
use super::super::weights::Weights;
use super::super::{EncoderError, ExecutorError};
use super::attention::{Attention, ScoreTerms};
use super::network::Gradients;

/// Takes weights out by name and puts them on the device.
pub(super) struct Loader<'a> {
    pub architecture: &'a Architecture,
    pub weights: Weights,
    pub device: &'a Device,
    pub gradients: Gradients,
    pub variables: Vec<(String, Var)>,
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

    pub(super) fn matrix(&mut self, name: String, n_rows: usize, n_columns: usize) -> Result<Tensor, EncoderError> {
        let array = self.weights.take_matrix(&name, n_rows, n_columns)?;
        self.tensor(name, array)
    }

    fn vector(&mut self, name: String, length: usize) -> Result<Tensor, EncoderError> {
        let array = self.weights.take_vector(&name, length)?;
        self.tensor(name, array)
    }

    /// The linear map of a layer.
    pub(super) fn linear(
        &mut self,
        (name, layer_idx): (&str, usize),
        n_out: usize,
        n_in: usize,
        has_bias: bool,
    ) -> Result<Linear, EncoderError> {
        let name = self.architecture.names.in_layer(name, layer_idx);
        let weight = self.matrix(format!("{name}.weight"), n_out, n_in)?;
        let bias = if has_bias { Some(self.vector(format!("{name}.bias"), n_out)?) } else { None };
        Ok(Linear::new(weight, bias))
    }

    /// A norm by its full name.
    pub(super) fn layer_norm(&mut self, name: String) -> Result<LayerNorm, EncoderError> {
        let hidden_size = self.architecture.hidden_size;
        let weight = self.vector(format!("{name}.weight"), hidden_size)?;
        let bias = match self.architecture.biases.norms {
            true => self.vector(format!("{name}.bias"), hidden_size)?,
            false => weight.zeros_like().map_err(device_error)?,
        };
        Ok(LayerNorm { weight, bias, eps: self.architecture.layer_norm_eps as f32, gradients: self.gradients })
    }
}

pub(super) fn device_error(source: candle_core::Error) -> EncoderError {
    EncoderError::Executor(ExecutorError::Device { source: Box::new(source) })
}

pub(super) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f32,
    gradients: Gradients,
}

impl LayerNorm {
    pub(super) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self.gradients {
            Gradients::Off => ops::layer_norm(&x.contiguous()?, &self.weight, &self.bias, self.eps),
            Gradients::On => ops::layer_norm_slow(x, &self.weight, &self.bias, self.eps),
        }
    }
}

/// Attention and a feed-forward block, each with its norm and its residual connection.
pub(super) struct Layer {
    attention: Attention,
    feed_forward: FeedForward,
    norms: Norms,
}

/// The norms of a layer by their place.
enum Norms {
    After {
        attention: LayerNorm,
        output: LayerNorm,
    },
    Before {
        /// None in a first layer, whose input is normalised already.
        attention: Option<LayerNorm>,
        output: LayerNorm,
    },
}

impl Layer {
    pub(super) fn take(loader: &mut Loader<'_>, layer_idx: usize) -> Result<Self, EncoderError> {
        let architecture = loader.architecture;
        let names = &architecture.names;
        let attention = Attention::take(loader, layer_idx)?;
        let feed_forward = FeedForward::take(loader, layer_idx)?;
        let mut norm = |name| loader.layer_norm(names.in_layer(name, layer_idx));
        let output = norm(names.output_norm)?;
        let norms = match architecture.norm_placement {
            NormPlacement::After => Norms::After { attention: norm(names.attention_norm)?, output },
            NormPlacement::Before => {
                let has_norm = architecture.has_attention_norm(layer_idx);
                let attention = if has_norm { Some(norm(names.attention_norm)?) } else { None };
                Norms::Before { attention, output }
            }
        };
        Ok(Self { attention, feed_forward, norms })
    }

    pub(super) fn forward(&self, hidden: &Tensor, terms: &ScoreTerms) -> candle_core::Result<Tensor> {
        match &self.norms {
            Norms::After { attention, output } => {
                let hidden = attention.forward(&(self.attention.forward(hidden, terms)? + hidden)?)?;
                output.forward(&(self.feed_forward.forward(&hidden)? + &hidden)?)
            }
            Norms::Before { attention, output } => {
                let attended = match attention {
                    Some(norm) => self.attention.forward(&norm.forward(hidden)?, terms)?,
                    None => self.attention.forward(hidden, terms)?,
                };
                let hidden = (attended + hidden)?;
                self.feed_forward.forward(&output.forward(&hidden)?)? + hidden
            }
        }
    }
}

struct FeedForward {
    intermediate: Intermediate,
    activation: Activation,
    output: Linear,
}

/// As [`IntermediateNames`] has them.
enum Intermediate {
    Plain(Linear),
    Gated { gate: Linear, up: Linear },
    GateUp(Linear),
    UpGate(Linear),
}

impl FeedForward {
    fn take(loader: &mut Loader<'_>, layer_idx: usize) -> Result<Self, EncoderError> {
        let &Architecture { hidden_size, intermediate_size, biases, activation, .. } = loader.architecture;
        let names = &loader.architecture.names;
        let mut linear = |name, n_out| loader.linear((name, layer_idx), n_out, hidden_size, biases.intermediate);
        let intermediate = match names.intermediate {
            IntermediateNames::Plain(name) => Intermediate::Plain(linear(name, intermediate_size)?),
            IntermediateNames::Gated { gate, up } => {
                Intermediate::Gated { gate: linear(gate, intermediate_size)?, up: linear(up, intermediate_size)? }
            }
            IntermediateNames::GateUp(name) => Intermediate::GateUp(linear(name, 2 * intermediate_size)?),
            IntermediateNames::UpGate(name) => Intermediate::UpGate(linear(name, 2 * intermediate_size)?),
        };
        let output = loader.linear((names.output, layer_idx), hidden_size, intermediate_size, biases.output)?;
        Ok(Self { intermediate, activation, output })
    }

    fn forward(&self, hidden: &Tensor) -> candle_core::Result<Tensor> {
        let halves = |linear: &Linear| {
            let both = linear.forward(hidden)?.chunk(2, candle_core::D::Minus1)?;
            let [first, second] = both.try_into().expect("an even number of columns has two halves");
            Ok::<(Tensor, Tensor), candle_core::Error>((first, second))
        };
        let wide = match &self.intermediate {
            Intermediate::Plain(linear) => self.activate(&linear.forward(hidden)?)?,
            Intermediate::Gated { gate, up } => (self.activate(&gate.forward(hidden)?)? * up.forward(hidden)?)?,
            Intermediate::GateUp(linear) => {
                let (gate, up) = halves(linear)?;
                (self.activate(&gate)? * up)?
            }
            Intermediate::UpGate(linear) => {
                let (up, gate) = halves(linear)?;
                (self.activate(&gate)? * up)?
            }
        };
        self.output.forward(&wide)
    }

    fn activate(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self.activation {
            Activation::Gelu => x.gelu_erf(),
            Activation::GeluTanh => x.gelu(),
            Activation::Relu => x.relu(),
            Activation::Silu => x.silu(),
        }
    }
}
