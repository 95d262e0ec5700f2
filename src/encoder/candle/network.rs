//! The layers of a described network as candle tensors.

use candle_core::{Device, Tensor, Var};

use super::super::EncoderError;
use super::super::arch::{Architecture, Positions};
use super::super::weights::Weights;
use super::attention::ScoreTerms;
use super::layers::{Layer, LayerNorm, Loader};

/// Whether gradients can flow back through the network.
///
/// Candle's fused soft-max, layer norm and rotation have no backward pass; with gradients they are spelled out in elementary
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
    word_embeddings: Tensor,
    position_embeddings: Option<Tensor>,
    token_type_embeddings: Option<Tensor>,
    /// `[n_buckets, n_heads]`
    relative_bias: Option<Tensor>,
    embedding_norm: LayerNorm,
    layers: Vec<Layer>,
    final_norm: Option<LayerNorm>,
    variables: Vec<(String, Var)>,
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
        let (names, hidden_size) = (&architecture.names, architecture.hidden_size);
        let mut loader = Loader { architecture, weights, device, gradients, variables: Vec::new() };
        let word_embeddings = loader.matrix(names.full(names.word_embeddings), architecture.vocab_size, hidden_size)?;
        let position_embeddings = match architecture.positions {
            Positions::Learned { n_positions, .. } => {
                let name = names.position_embeddings.expect("learned positions have a table");
                Some(loader.matrix(names.full(name), n_positions, hidden_size)?)
            }
            Positions::Rotary { .. } => None,
        };
        let token_type_embeddings = match names.token_type_embeddings {
            Some(name) => {
                let name = names.full(name);
                // The number of types is no part of the architecture, as all our tokens are of type 0; any but none will do.
                let n_types = loader.weights.shape(&name).map_or(1, |shape| shape.first().map_or(1, |&n| n.max(1)));
                Some(loader.matrix(name, n_types, hidden_size)?)
            }
            None => None,
        };
        let relative_bias = match architecture.relative_bias {
            Some(bias) => {
                let name = names.relative_bias.expect("a bias by distance has a table");
                Some(loader.matrix(names.full(name), bias.n_buckets, architecture.n_heads)?)
            }
            None => None,
        };
        let embedding_norm = loader.layer_norm(names.full(names.embedding_norm))?;
        let layers = (0..architecture.n_layers).map(|i| Layer::take(&mut loader, i)).collect::<Result<_, _>>()?;
        let final_norm = match names.final_norm {
            Some(name) => Some(loader.layer_norm(names.full(name))?),
            None => None,
        };
        Ok(Self {
            architecture: architecture.clone(),
            device: device.clone(),
            word_embeddings,
            position_embeddings,
            token_type_embeddings,
            relative_bias,
            embedding_norm,
            layers,
            final_norm,
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
        let words = self.word_embeddings.index_select(&token_ids.flatten_all()?, 0)?;
        let mut hidden = words.reshape((n_windows, n_tokens, self.architecture.hidden_size))?;
        if let Some(types) = &self.token_type_embeddings {
            hidden = hidden.broadcast_add(&types.narrow(0, 0, 1)?)?;
        }
        if let (Positions::Learned { offset, .. }, Some(table)) =
            (self.architecture.positions, &self.position_embeddings)
        {
            hidden = hidden.broadcast_add(&table.narrow(0, offset, n_tokens)?)?;
        }
        let mut hidden = self.embedding_norm.forward(&hidden)?;
        let extent = (n_tokens, &self.device);
        let terms = ScoreTerms::new(&self.architecture, extent, mask, self.relative_bias.as_ref())?;
        for layer in &self.layers {
            hidden = layer.forward(&hidden, &terms)?;
        }
        match &self.final_norm {
            Some(norm) => norm.forward(&hidden),
            None => Ok(hidden),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::config::FolderConfig;
    use crate::encoder::weights::{Checkpoint, WeightsError};
    use std::path::Path;

    /// One tiny encoder of each architecture.
    const TINY: [&str; 6] = [
        "tiny-bert-cls-dense",
        "tiny-distilbert-mean",
        "tiny-gte-cls",
        "tiny-modernbert-mean",
        "tiny-mpnet-mean",
        "tiny-nomic-bert-mean",
    ];

    fn load(name: &str) -> (Architecture, Weights) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name);
        let mut architecture = FolderConfig::read(&folder).unwrap().architecture;
        let checkpoint = Checkpoint::open(&folder).unwrap();
        architecture.names.prefix = checkpoint.prefix_of(architecture.names.word_embeddings).unwrap();
        let weights = checkpoint.read(|name| architecture.names.is_wanted(name)).unwrap();
        (architecture, weights)
    }

    #[test]
    fn with_gradients_the_values_are_the_same_and_every_used_weight_gets_one() {
        for name in TINY {
            let (architecture, weights) = load(name);
            let plain = Network::new(&architecture, weights.clone(), &Device::Cpu, Gradients::Off).unwrap();
            let trainable = Network::new(&architecture, weights.clone(), &Device::Cpu, Gradients::On).unwrap();
            let token_ids = Tensor::arange(0u32, 60, &Device::Cpu).unwrap().reshape((2, 30)).unwrap();
            // The second window ends after 12 tokens.
            let mask = (0..60).map(|i| u8::from(i < 42)).collect::<Vec<_>>();
            let mask = Tensor::from_vec(mask, (2, 30), &Device::Cpu).unwrap();
            let a = plain.forward(&token_ids, Some(&mask)).unwrap();
            let b = trainable.forward(&token_ids, Some(&mask)).unwrap();
            let difference = (a - &b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(difference < 1e-5, "{name}: {difference}");

            assert!(plain.variables().is_empty());
            let n_values: usize = trainable.variables().iter().map(|(_, variable)| variable.elem_count()).sum();
            assert_eq!(n_values, weights.n_parameters(), "{name}: all that is read is used");
            let gradients = b.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            for (weight, variable) in trainable.variables() {
                let gradient = gradients.get(variable).unwrap_or_else(|| panic!("{name}: no gradient for {weight}"));
                let size = gradient.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
                // The soft-max does not see a constant added to all scores, so the key's bias has the gradient 0 up to rounding.
                let is_key_bias = ["key.bias", "k_lin.bias", "attn.k.bias"].iter().any(|end| weight.ends_with(end));
                assert!(size > 1e-4 || is_key_bias, "{name}: {weight}: {size}");
            }
        }
    }

    #[test]
    fn a_missing_or_misshapen_weight_is_named() {
        let (architecture, mut weights) = load("tiny-bert-cls-dense");
        let name = "encoder.layer.1.output.dense.weight";
        weights.take_matrix(name, 32, 64).unwrap();
        let error = Network::new(&architecture, weights, &Device::Cpu, Gradients::Off).err().unwrap();
        assert!(matches!(&error, EncoderError::Weights(WeightsError::Missing { name: found }) if found == name));
        let (mut architecture, weights) = load("tiny-bert-cls-dense");
        architecture.vocab_size = 12;
        let error = Network::new(&architecture, weights, &Device::Cpu, Gradients::Off).err().unwrap();
        assert!(matches!(error, EncoderError::Weights(WeightsError::Shape { .. })));
    }
}
