//! Tokens per second of the packed CPU executor on one thread, in every precision, with random
//! weights of the shape of all-MiniLM-L6-v2.
//!
//! `cargo bench --bench encode`; an "element" is a token.

use std::collections::HashMap;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::ArrayD;
use rand::RngExt;
use topicwire::encoder::arch::{
    Activation, Architecture, Biases, IntermediateNames, NormPlacement, Positions, QkvNames, bert::weight_names,
};
use topicwire::encoder::cpu::CpuEncoder;
use topicwire::encoder::weights::Weights;
use topicwire::encoder::{Executor, Precision};
use topicwire::kernels::dispatch::Isa;
use topicwire::rng::generator;
use topicwire::text::pack::PackedBatch;

/// Tokens of each call, give or take a window.
const BATCH_TOKENS: usize = 2048;

fn minilm_arch() -> Architecture {
    Architecture {
        model_type: "bert".to_owned(),
        vocab_size: 30522,
        hidden_size: 384,
        n_layers: 6,
        n_heads: 12,
        intermediate_size: 1536,
        activation: Activation::Gelu,
        layer_norm_eps: 1e-12,
        norm_placement: NormPlacement::After,
        positions: Positions::Learned { n_positions: 512, offset: 0 },
        relative_bias: None,
        local_attention: None,
        biases: Biases::ALL,
        names: weight_names(""),
    }
}

fn random_weights(arch: &Architecture) -> Weights {
    let mut rng = generator(1, "encode bench");
    let mut tensors = HashMap::new();
    let mut add = |name: String, shape: &[usize]| {
        let tensor = ArrayD::from_shape_simple_fn(shape, || 0.1 * (2.0 * rng.random::<f32>() - 1.0));
        tensors.insert(name, tensor);
    };
    let (names, hidden_size, intermediate_size) = (&arch.names, arch.hidden_size, arch.intermediate_size);
    add(names.full(names.word_embeddings), &[arch.vocab_size, hidden_size]);
    for (name, n_rows) in [(names.position_embeddings, arch.max_tokens()), (names.token_type_embeddings, 2)] {
        add(names.full(name.expect("BERT has both tables")), &[n_rows, hidden_size]);
    }
    let mut add_pair = |name: String, weight_shape: &[usize]| {
        add(format!("{name}.weight"), weight_shape);
        add(format!("{name}.bias"), &weight_shape[..1]);
    };
    add_pair(names.full(names.embedding_norm), &[hidden_size]);
    let QkvNames::Separate { query, key, value } = names.qkv else { panic!("BERT has three matrices") };
    let IntermediateNames::Plain(intermediate) = names.intermediate else { panic!("BERT has no gate") };
    for layer_idx in 0..arch.n_layers {
        let full = |name: &str| names.in_layer(name, layer_idx);
        for name in [query, key, value, names.attention_output] {
            add_pair(full(name), &[hidden_size, hidden_size]);
        }
        add_pair(full(intermediate), &[intermediate_size, hidden_size]);
        add_pair(full(names.output), &[hidden_size, intermediate_size]);
        add_pair(full(names.attention_norm), &[hidden_size]);
        add_pair(full(names.output_norm), &[hidden_size]);
    }
    Weights::new(tensors)
}

fn hidden_states(c: &mut Criterion) {
    let arch = minilm_arch();
    let mut weights = random_weights(&arch);
    let encoders = [Precision::F32, Precision::Bf16, Precision::Int8]
        .map(|precision| CpuEncoder::new(&arch, precision, Isa::best(), &mut weights).expect("all tensors were made"));
    let mut rng = generator(1, "encode bench ids");
    let mut group = c.benchmark_group("hidden_states");
    group.sample_size(10);
    for window_tokens in [52, 249] {
        let windows: Vec<Vec<u32>> = (0..BATCH_TOKENS / window_tokens)
            .map(|_| (0..window_tokens).map(|_| rng.random_range(0..arch.vocab_size as u32)).collect())
            .collect();
        let batch = PackedBatch::new(windows.iter().map(Vec::as_slice));
        group.throughput(Throughput::Elements(batch.n_tokens() as u64));
        for encoder in &encoders {
            group.bench_function(BenchmarkId::new(encoder.name(), window_tokens), |bencher| {
                bencher.iter(|| encoder.hidden_states(&batch).expect("ids and lengths are in range"));
            });
        }
    }
}

criterion_group!(benches, hidden_states);
criterion_main!(benches);
