//! Kernels at the shapes of a small encoder (384 columns, 12 heads), on one thread.
//!
//! `cargo bench --bench kernels`; for matrix products and attention an "element" is one floating-point operation.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;
use rand::RngExt;
use topicwire::kernels::attention::self_attention;
use topicwire::kernels::dispatch::Isa;
use topicwire::kernels::elementwise::{gelu, layer_norm, softmax};
use topicwire::kernels::gemm::matmul;
use topicwire::rng::generator;

const HIDDEN_SIZE: usize = 384;
const INTERMEDIATE_SIZE: usize = 1536;
const N_HEADS: usize = 12;

fn random(n_rows: usize, n_columns: usize) -> Array2<f32> {
    let mut rng = generator(1, "kernel bench");
    Array2::from_shape_simple_fn((n_rows, n_columns), || 2.0 * rng.random::<f32>() - 1.0)
}

fn matrix_products(c: &mut Criterion) {
    let mut group = c.benchmark_group("matmul");
    for (name, k, n) in [
        ("qkv", HIDDEN_SIZE, 3 * HIDDEN_SIZE),
        ("attention output", HIDDEN_SIZE, HIDDEN_SIZE),
        ("intermediate", HIDDEN_SIZE, INTERMEDIATE_SIZE),
        ("output", INTERMEDIATE_SIZE, HIDDEN_SIZE),
    ] {
        for m in [52, 256, 512, 2048] {
            let (a, b) = (random(m, k), random(k, n));
            let b_transposed = b.t().as_standard_layout().into_owned();
            let mut out = Array2::zeros((m, n));
            group.throughput(Throughput::Elements(2 * (m * k * n) as u64));
            group.bench_function(BenchmarkId::new(format!("{name}, weights [in, out]"), m), |bencher| {
                bencher.iter(|| matmul(a.view(), b.view(), out.view_mut(), false));
            });
            group.bench_function(BenchmarkId::new(format!("{name}, weights [out, in]"), m), |bencher| {
                bencher.iter(|| matmul(a.view(), b_transposed.t(), out.view_mut(), false));
            });
        }
    }
}

fn attention(c: &mut Criterion) {
    let mut group = c.benchmark_group("self_attention");
    for n_tokens in [16, 52, 249, 512] {
        let qkv = random(n_tokens, 3 * HIDDEN_SIZE);
        let (mut out, mut scores) = (Array2::zeros((n_tokens, HIDDEN_SIZE)), Vec::new());
        group.throughput(Throughput::Elements(4 * (n_tokens * n_tokens * HIDDEN_SIZE) as u64));
        group.bench_function(BenchmarkId::from_parameter(n_tokens), |bencher| {
            bencher.iter(|| self_attention(Isa::best(), qkv.view(), N_HEADS, &mut scores, out.view_mut()));
        });
    }
}

fn rows(c: &mut Criterion) {
    const N_ROWS: usize = 256;
    let mut group = c.benchmark_group("rows");
    for isa in Isa::available() {
        let mut bench = |name: &str, width: usize, kernel: &dyn Fn(&mut [f32])| {
            let original = random(N_ROWS, width).into_raw_vec_and_offset().0;
            let mut rows = original.clone();
            group.throughput(Throughput::Elements(original.len() as u64));
            group.bench_function(BenchmarkId::new(name, isa.name()), |bencher| {
                bencher.iter(|| {
                    // Copied anew, a small part of the time, lest repetition drive the numbers to a limit.
                    rows.copy_from_slice(&original);
                    kernel(&mut rows);
                });
            });
        };
        let (weight, bias) = ([1.0; HIDDEN_SIZE], [0.5; HIDDEN_SIZE]);
        bench("gelu", INTERMEDIATE_SIZE, &|rows| gelu(isa, rows));
        bench("layer_norm", HIDDEN_SIZE, &|rows| layer_norm(isa, rows, &weight, &bias, 1e-12));
        bench("softmax", 256, &|rows| softmax(isa, rows, 256));
    }
}

criterion_group!(benches, matrix_products, attention, rows);
criterion_main!(benches);
