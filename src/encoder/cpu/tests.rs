//! The packed executor against candle's models, and windows against their neighbours.

mod precisions;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{bert, xlm_roberta};
use ndarray::{Array2, ArrayD, s};
use rand::RngExt;

use super::{CpuEncoder, MICRO_BATCH_TOKENS, micro_batch_len};
use crate::encoder::arch::{
    Activation, Architecture, Biases, IntermediateNames, NormPlacement, Positions, QkvNames, bert::weight_names,
};
use crate::encoder::weights::{Weights, WeightsError};
use crate::encoder::{Executor, ExecutorError, Precision};
use crate::kernels::dispatch::Isa;
use crate::rng::generator;
use crate::text::pack::PackedBatch;

/// Largest difference from candle in any number of a last layer, whose rows have a spread of about 1.
const PARITY_TOLERANCE: f32 = 1e-5;

/// Where real weights may lie.
const REAL_ENCODER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/all-MiniLM-L6-v2");

fn small_arch(model_type: &str, activation: Activation) -> Architecture {
    let offset = if model_type == "bert" { 0 } else { 2 };
    Architecture {
        model_type: model_type.to_owned(),
        vocab_size: 101,
        hidden_size: 96,
        n_layers: 2,
        n_heads: 3,
        intermediate_size: 200,
        activation,
        layer_norm_eps: 1e-12,
        norm_placement: NormPlacement::After,
        positions: Positions::Learned { n_positions: 64 + offset, offset },
        relative_bias: None,
        local_attention: None,
        biases: Biases::ALL,
        names: weight_names(""),
    }
}

/// Random tensors under the names of the architecture; also a pooler, which the encoder must leave aside.
fn random_tensors(arch: &Architecture, n_types: usize) -> HashMap<String, ArrayD<f32>> {
    let mut rng = generator(3, "random encoder");
    let mut tensors = HashMap::new();
    let mut add = |name: String, shape: &[usize], scale: f32, shift: f32| {
        let tensor = ArrayD::from_shape_simple_fn(shape, || shift + scale * (2.0 * rng.random::<f32>() - 1.0));
        tensors.insert(name, tensor);
    };
    let (hidden_size, names) = (arch.hidden_size, &arch.names);
    let Positions::Learned { n_positions, .. } = arch.positions else { panic!("BERT's positions are learned") };
    let embeddings = [
        (Some(names.word_embeddings), arch.vocab_size),
        (names.position_embeddings, n_positions),
        (names.token_type_embeddings, n_types),
    ];
    for (name, n_rows) in embeddings {
        add(names.full(name.unwrap()), &[n_rows, hidden_size], 1.0, 0.0);
    }
    let mut add_pair = |name: String, shape: &[usize], scale: f32, shift: f32| {
        add(format!("{name}.weight"), shape, scale, shift);
        add(format!("{name}.bias"), &shape[..1], 0.2, 0.0);
    };
    add_pair(names.full(names.embedding_norm), &[hidden_size], 0.2, 1.0);
    add_pair(names.full("pooler.dense"), &[hidden_size, hidden_size], 0.1, 0.0);
    let QkvNames::Separate { query, key, value } = names.qkv else { panic!("BERT has three matrices") };
    let IntermediateNames::Plain(intermediate) = names.intermediate else { panic!("BERT has no gate") };
    for layer_idx in 0..arch.n_layers {
        let full = |name: &str| names.in_layer(name, layer_idx);
        for name in [query, key, value, names.attention_output] {
            add_pair(full(name), &[hidden_size, hidden_size], 0.2, 0.0);
        }
        add_pair(full(intermediate), &[arch.intermediate_size, hidden_size], 0.2, 0.0);
        add_pair(full(names.output), &[hidden_size, arch.intermediate_size], 0.1, 0.0);
        for name in [names.attention_norm, names.output_norm] {
            add_pair(full(name), &[hidden_size], 0.2, 1.0);
        }
    }
    tensors
}

fn encoder(arch: &Architecture) -> CpuEncoder {
    f32_encoder(arch, random_tensors(arch, 2))
}

fn f32_encoder(arch: &Architecture, tensors: HashMap<String, ArrayD<f32>>) -> CpuEncoder {
    new_encoder(arch, tensors).unwrap()
}

fn new_encoder(arch: &Architecture, tensors: HashMap<String, ArrayD<f32>>) -> Result<CpuEncoder, WeightsError> {
    CpuEncoder::new(arch, Precision::F32, Isa::best(), &mut Weights::new(tensors))
}

/// Random ids, none of which is 1, the padding token of XLM-RoBERTa (candle gives it no position).
fn random_windows(lengths: &[usize], vocab_size: u32) -> Vec<Vec<u32>> {
    let mut rng = generator(4, "random windows");
    lengths.iter().map(|&length| (0..length).map(|_| rng.random_range(2..vocab_size)).collect()).collect()
}

fn pack(windows: &[Vec<u32>]) -> PackedBatch {
    PackedBatch::new(windows.iter().map(Vec::as_slice))
}

fn assert_same_as_candle(
    encoder: &CpuEncoder,
    windows: &[Vec<u32>],
    candle_hidden_states: impl Fn(&Tensor) -> candle_core::Result<Tensor>,
) {
    let batch = pack(windows);
    let found = encoder.hidden_states(&batch).unwrap();
    for (window, tokens) in windows.iter().zip(batch.windows()).filter(|(window, _)| !window.is_empty()) {
        let ids = Tensor::from_slice(window, (1, window.len()), &Device::Cpu).unwrap();
        let expected = candle_hidden_states(&ids).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let found = found.slice(s![tokens, ..]);
        assert_eq!(found.len(), expected.len());
        let worst = found.iter().zip(&expected).map(|(f, e)| (f - e).abs()).fold(0.0, f32::max);
        assert!(worst <= PARITY_TOLERANCE, "a window of {} tokens is off by {worst}", window.len());
        assert!(found.iter().all(|x| x.is_finite()));
    }
}

fn candle_builder(tensors: &HashMap<String, ArrayD<f32>>) -> VarBuilder<'static> {
    let to_candle = |tensor: &ArrayD<f32>| Tensor::from_slice(tensor.as_slice().unwrap(), tensor.shape(), &Device::Cpu);
    let tensors = tensors.iter().map(|(name, tensor)| (name.clone(), to_candle(tensor).unwrap())).collect();
    VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)
}

fn candle_bert(arch: &Architecture, builder: VarBuilder) -> bert::BertModel {
    let Positions::Learned { n_positions, .. } = arch.positions else { panic!("BERT's positions are learned") };
    let config = bert::Config {
        vocab_size: arch.vocab_size,
        hidden_size: arch.hidden_size,
        num_hidden_layers: arch.n_layers,
        num_attention_heads: arch.n_heads,
        intermediate_size: arch.intermediate_size,
        hidden_act: match arch.activation {
            Activation::Gelu => bert::HiddenAct::Gelu,
            Activation::GeluTanh => bert::HiddenAct::GeluApproximate,
            Activation::Relu => bert::HiddenAct::Relu,
            Activation::Silu => panic!("candle's BERT has no SiLU"),
        },
        max_position_embeddings: n_positions,
        type_vocab_size: 2,
        layer_norm_eps: arch.layer_norm_eps,
        ..bert::Config::default()
    };
    bert::BertModel::load(builder, &config).unwrap()
}

#[test]
fn bert_agrees_with_candle() {
    for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Relu] {
        let arch = small_arch("bert", activation);
        let tensors = random_tensors(&arch, 2);
        let model = candle_bert(&arch, candle_builder(&tensors));
        let encoder = f32_encoder(&arch, tensors);
        let windows = random_windows(&[5, 1, 0, 64, 2, 17, 33], 101);
        assert_same_as_candle(&encoder, &windows, |ids| model.forward(ids, &ids.zeros_like()?, None));
    }
}

#[test]
fn xlm_roberta_agrees_with_candle() {
    let arch = small_arch("xlm-roberta", Activation::Gelu);
    let tensors = random_tensors(&arch, 1);
    let Positions::Learned { n_positions, .. } = arch.positions else { panic!("BERT's positions are learned") };
    let config = xlm_roberta::Config {
        hidden_size: arch.hidden_size,
        layer_norm_eps: arch.layer_norm_eps,
        attention_probs_dropout_prob: 0.0,
        hidden_dropout_prob: 0.0,
        num_attention_heads: arch.n_heads,
        position_embedding_type: "absolute".to_owned(),
        intermediate_size: arch.intermediate_size,
        hidden_act: candle_nn::Activation::Gelu,
        num_hidden_layers: arch.n_layers,
        vocab_size: arch.vocab_size,
        max_position_embeddings: n_positions,
        type_vocab_size: 1,
        pad_token_id: 1,
    };
    let model = xlm_roberta::XLMRobertaModel::new(&config, candle_builder(&tensors)).unwrap();
    let encoder = f32_encoder(&arch, tensors);
    let windows = random_windows(&[64, 1, 12], 101);
    assert_same_as_candle(&encoder, &windows, |ids| {
        model.forward(ids, &ids.ones_like()?, &ids.zeros_like()?, None, None, None)
    });
}

#[test]
fn real_weights_agree_with_candle() {
    let folder = Path::new(REAL_ENCODER);
    if !folder.exists() {
        eprintln!("skipped: {} is missing; get it with scripts/fetch-encoder.sh", folder.display());
        return;
    }
    let arch = Architecture {
        vocab_size: 30522,
        hidden_size: 384,
        n_layers: 6,
        n_heads: 12,
        intermediate_size: 1536,
        positions: Positions::Learned { n_positions: 512, offset: 0 },
        ..small_arch("bert", Activation::Gelu)
    };
    let file = std::fs::read(folder.join("model.safetensors")).unwrap();
    let mut tensors = HashMap::new();
    for (name, tensor) in safetensors::SafeTensors::deserialize(&file).unwrap().tensors() {
        if tensor.dtype() == safetensors::Dtype::F32 {
            let values = tensor.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            tensors.insert(name, ArrayD::from_shape_vec(tensor.shape(), values).unwrap());
        }
    }
    let model = candle_bert(&arch, candle_builder(&tensors));
    let encoder = f32_encoder(&arch, tensors);
    let windows = random_windows(&[52, 249], 30522);
    assert_same_as_candle(&encoder, &windows, |ids| model.forward(ids, &ids.zeros_like()?, None));
}

#[test]
fn a_window_is_the_same_to_the_bit_in_any_company() {
    // Wide enough that all products take the same path as a real encoder's.
    let arch = Architecture {
        hidden_size: 128,
        n_heads: 4,
        intermediate_size: 600,
        positions: Positions::Learned { n_positions: 512, offset: 0 },
        ..small_arch("bert", Activation::Gelu)
    };
    let encoder = encoder(&arch);
    let lengths = [1, 52, 0, 7, 249, 2, 512, 3, 16, 1, 60, 61];
    let windows = random_windows(&lengths, 101);
    let alone: Vec<Array2<f32>> =
        windows.iter().map(|window| encoder.hidden_states(&pack(std::slice::from_ref(window))).unwrap()).collect();
    let mut order: Vec<usize> = (0..windows.len()).collect();
    for rotation in 0..4 {
        order.rotate_left(rotation);
        let batch = PackedBatch::new(order.iter().map(|&i| windows[i].as_slice()));
        let together = encoder.hidden_states(&batch).unwrap();
        for (&i, tokens) in order.iter().zip(batch.windows()) {
            assert_eq!(together.slice(s![tokens, ..]), alone[i], "the window of {} tokens", lengths[i]);
        }
    }
}

#[test]
fn threads_share_one_encoder() {
    let encoder = encoder(&small_arch("bert", Activation::Gelu));
    let batches: Vec<PackedBatch> = (1..9).map(|n| pack(&random_windows(&[n, 3 * n, 60], 101))).collect();
    let one_by_one: Vec<_> = batches.iter().map(|batch| encoder.hidden_states(batch).unwrap()).collect();
    std::thread::scope(|scope| {
        let (encoder, batches) = (&encoder, &batches);
        let handles: Vec<_> = (0..3)
            .map(|_| scope.spawn(move || batches.iter().map(|b| encoder.hidden_states(b).unwrap()).collect::<Vec<_>>()))
            .collect();
        for handle in handles {
            assert_eq!(handle.join().unwrap(), one_by_one);
        }
    });
    assert!((1..=4).contains(&encoder.idle_buffers().len()), "buffers are kept and used again");
}

#[test]
fn batches_without_tokens_have_no_rows() {
    let encoder = encoder(&small_arch("bert", Activation::Gelu));
    for windows in [vec![], vec![vec![]], vec![vec![], vec![]]] {
        assert_eq!(encoder.hidden_states(&pack(&windows)).unwrap().dim(), (0, 96));
    }
}

#[test]
fn ids_and_lengths_are_checked_first() {
    let encoder = encoder(&small_arch("xlm-roberta", Activation::Gelu));
    let error = encoder.hidden_states(&pack(&[vec![3], vec![4, 101]])).unwrap_err();
    assert!(matches!(error, ExecutorError::TokenOutOfRange { token_id: 101, vocab_size: 101 }), "{error}");
    assert!(encoder.hidden_states(&pack(&[vec![3; 64]])).is_ok());
    let error = encoder.hidden_states(&pack(&[vec![3; 65]])).unwrap_err();
    assert!(matches!(error, ExecutorError::WindowTooLong { n_tokens: 65, max_tokens: 64 }), "{error}");
}

#[test]
fn missing_and_misshapen_tensors_are_named() {
    let arch = small_arch("bert", Activation::Gelu);
    let names = random_tensors(&arch, 2).into_keys().filter(|name| !name.starts_with("pooler"));
    for name in names {
        let mut tensors = random_tensors(&arch, 2);
        let tensor = tensors.remove(&name).unwrap();
        let error = new_encoder(&arch, tensors.clone()).err().unwrap();
        assert!(matches!(&error, WeightsError::Missing { name: missing } if *missing == name), "{error}");
        let mut too_many_axes = tensor.shape().to_vec();
        too_many_axes.push(1);
        tensors.insert(name.clone(), tensor.into_shape_with_order(too_many_axes).unwrap());
        let error = new_encoder(&arch, tensors).err().unwrap();
        assert!(matches!(&error, WeightsError::Shape { name: misshapen, .. } if *misshapen == name), "{error}");
    }
}

#[test]
fn runs_hold_whole_windows_up_to_the_limit() {
    let full = MICRO_BATCH_TOKENS;
    let windows = |ends: &[usize]| ends.windows(2).map(|pair| pair[0]..pair[1]).collect::<Vec<_>>();
    for (ends, expected) in [
        (vec![7, 7 + full, 8 + full], 1),
        (vec![0, 3 * full, 3 * full + 1], 1),
        (vec![9, 10, 9 + full, 9 + full, 10 + full], 3),
        (vec![0, 0], 1),
    ] {
        assert_eq!(micro_batch_len(&windows(&ends)), expected, "{ends:?}");
    }
}
