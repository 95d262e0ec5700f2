//! Tokens per second of the packed CPU executor on one thread, with random weights of the shape of all-MiniLM-L6-v2.
//!
//! `cargo bench --bench encode`; an "element" is a token.

use std::collections::HashMap;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::ArrayD;
use rand::RngExt;
use topicwire::encoder::Executor;
use topicwire::encoder::arch::{Activation, Architecture, Positions, bert::weight_names};
use topicwire::encoder::cpu::CpuEncoder;
use topicwire::encoder::weights::Weights;
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
        positions: Positions::Learned { n_positions: 512, offset: 0 },
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
    add(names.full(names.position_embeddings), &[arch.max_tokens(), hidden_size]);
    add(names.full(names.token_type_embeddings), &[2, hidden_size]);
    let mut add_pair = |name: String, weight_shape: &[usize]| {
        add(format!("{name}.weight"), weight_shape);
        add(format!("{name}.bias"), &weight_shape[..1]);
    };
    add_pair(names.full(names.embedding_norm), &[hidden_size]);
    for layer_idx in 0..arch.n_layers {
        let full = |name: &str| names.in_layer(name, layer_idx);
        for name in [names.query, names.key, names.value, names.attention_output] {
            add_pair(full(name), &[hidden_size, hidden_size]);
        }
        add_pair(full(names.intermediate), &[intermediate_size, hidden_size]);
        add_pair(full(names.output), &[hidden_size, intermediate_size]);
        add_pair(full(names.attention_norm), &[hidden_size]);
        add_pair(full(names.output_norm), &[hidden_size]);
    }
    Weights::new(tensors)
}

fn hidden_states(c: &mut Criterion) {
    let arch = minilm_arch();
    let encoder = CpuEncoder::new(&arch, random_weights(&arch)).expect("all tensors were made");
    let mut rng = generator(1, "encode bench ids");
    let mut group = c.benchmark_group("hidden_states");
    group.sample_size(10);
    for window_tokens in [52, 249] {
        let windows: Vec<Vec<u32>> = (0..BATCH_TOKENS / window_tokens)
            .map(|_| (0..window_tokens).map(|_| rng.random_range(0..arch.vocab_size as u32)).collect())
            .collect();
        let batch = PackedBatch::new(windows.iter().map(Vec::as_slice));
        group.throughput(Throughput::Elements(batch.n_tokens() as u64));
        group.bench_function(BenchmarkId::new(encoder.name(), window_tokens), |bencher| {
            bencher.iter(|| encoder.hidden_states(&batch).expect("ids and lengths are in range"));
        });
    }
}

criterion_group!(benches, hidden_states);
criterion_main!(benches);
