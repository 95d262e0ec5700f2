//! Kernels at the shapes of a small encoder (384 columns, 12 heads), on one thread, with the best instruction set.
//!
//! `cargo bench --bench kernels`; for matrix products and attention an "element" is one floating-point operation.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;
use rand::RngExt;
use topicwire::kernels::attention::{AttentionRoom, Heads, Number, Sight, self_attention};
use topicwire::kernels::dispatch::Isa;
use topicwire::kernels::elementwise::{Activation, activate};
use topicwire::kernels::gemm::matmul;
use topicwire::kernels::packed::{Format, PackedMatrix};
use topicwire::kernels::product::{Output, product};
use topicwire::kernels::rows::{Norm, RowBuffer, ToNormalize, round_all};
use topicwire::rng::generator;

const HIDDEN_SIZE: usize = 384;
const INTERMEDIATE_SIZE: usize = 1536;
/// Columns of the feed-forward block that the encoder computes at a time.
const FEED_FORWARD_COLUMNS: usize = 384;
const HEADS: Heads = Heads { n_heads: 12, head_size: 32 };
/// Rows that the encoder runs through its layers together.
const N_ROWS: usize = 256;
const FORMATS: [Format; 3] = [Format::F32, Format::Bf16, Format::Int8];

fn random(n_rows: usize, n_columns: usize) -> Array2<f32> {
    let mut rng = generator(1, "kernel bench");
    Array2::from_shape_simple_fn((n_rows, n_columns), || 2.0 * rng.random::<f32>() - 1.0)
}

fn products(c: &mut Criterion) {
    let isa = Isa::best();
    let mut group = c.benchmark_group("product");
    for (name, k, n) in [
        ("qkv", HIDDEN_SIZE, 3 * HIDDEN_SIZE),
        ("attention output", HIDDEN_SIZE, HIDDEN_SIZE),
        ("intermediate", HIDDEN_SIZE, FEED_FORWARD_COLUMNS),
        ("output", FEED_FORWARD_COLUMNS, HIDDEN_SIZE),
    ] {
        let (values, weight, bias) = (random(N_ROWS, k), random(n, k), vec![0.5; n]);
        let values = values.as_slice().expect("the rows are contiguous");
        group.throughput(Throughput::Elements(2 * (N_ROWS * k * n) as u64));
        for format in FORMATS {
            let packed = PackedMatrix::pack(format, weight.view(), Some(&bias));
            let mut buffer = RowBuffer::default();
            let rows = buffer.convert(isa, format, values, k);
            let (mut out, mut halves) = (vec![0.0; N_ROWS * n], vec![0; N_ROWS * n]);
            group.bench_function(BenchmarkId::new(name, format!("{format:?}")), |bencher| {
                bencher.iter(|| {
                    // What the encoder does with each.
                    let output = match (name, format) {
                        ("qkv", Format::F32) => Output::Store(&mut out),
                        ("qkv", _) => Output::StoreBf16(&mut halves),
                        ("intermediate", Format::F32) => Output::Activate(Activation::Gelu, &mut out),
                        ("intermediate", Format::Bf16) => Output::ActivateBf16(Activation::GeluRough, &mut halves),
                        ("intermediate", Format::Int8) => Output::Activate(Activation::GeluRough, &mut out),
                        _ => Output::Add(&mut out),
                    };
                    product(isa, rows, &packed, output);
                });
            });
        }
    }
}

/// Products of the heads, which are not packed.
fn unpacked_products(c: &mut Criterion) {
    let mut group = c.benchmark_group("matmul");
    for (m, k, n) in [(N_ROWS, HIDDEN_SIZE, 3 * HIDDEN_SIZE), (2048, HIDDEN_SIZE, 32)] {
        let (a, b) = (random(m, k), random(k, n));
        let mut out = Array2::zeros((m, n));
        group.throughput(Throughput::Elements(2 * (m * k * n) as u64));
        group.bench_function(format!("{m} x {k} x {n}"), |bencher| {
            bencher.iter(|| matmul(a.view(), b.view(), out.view_mut(), false));
        });
    }
}

fn attention(c: &mut Criterion) {
    let mut group = c.benchmark_group("self_attention");
    for n_tokens in [52, 249, 512] {
        let qkv = random(n_tokens, 3 * HIDDEN_SIZE).into_raw_vec_and_offset().0;
        let mut halves = vec![0; qkv.len()];
        round_all(Isa::best(), &qkv, &mut halves);
        group.throughput(Throughput::Elements(4 * (n_tokens * n_tokens * HIDDEN_SIZE) as u64));
        group.bench_function(BenchmarkId::new("f32", n_tokens), |bencher| bencher.iter(attend(&qkv)));
        group.bench_function(BenchmarkId::new("bf16", n_tokens), |bencher| bencher.iter(attend(&halves)));
    }
}

fn attend<T: Number>(qkv: &[T]) -> impl FnMut() {
    let (mut room, mut out) = (AttentionRoom::default(), vec![0.0; qkv.len() / 3]);
    move || self_attention(Isa::best(), qkv, HEADS, Sight::default(), &mut room, &mut out)
}

fn rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("rows");
    let norm = Norm { weight: vec![1.0; HIDDEN_SIZE], bias: vec![0.5; HIDDEN_SIZE], eps: 1e-12 };
    let values = random(N_ROWS, HIDDEN_SIZE).into_raw_vec_and_offset().0;
    let wide = random(N_ROWS, INTERMEDIATE_SIZE).into_raw_vec_and_offset().0;
    for isa in Isa::available() {
        group.throughput(Throughput::Elements(values.len() as u64));
        for format in FORMATS {
            let mut buffer = RowBuffer::default();
            group.bench_function(BenchmarkId::new(format!("normalize to {format:?}"), isa.name()), |bencher| {
                bencher.iter(|| buffer.normalize(isa, format, ToNormalize::Apart(&values), &norm));
            });
        }
        for format in [Format::Bf16, Format::Int8] {
            let mut buffer = RowBuffer::default();
            group.bench_function(BenchmarkId::new(format!("convert to {format:?}"), isa.name()), |bencher| {
                bencher.iter(|| buffer.convert(isa, format, &values, HIDDEN_SIZE).n_rows());
            });
        }
        group.throughput(Throughput::Elements(wide.len() as u64));
        for activation in [Activation::Gelu, Activation::GeluRough, Activation::GeluTanh, Activation::Silu] {
            let mut numbers = wide.clone();
            group.bench_function(BenchmarkId::new(format!("{activation:?}"), isa.name()), |bencher| {
                bencher.iter(|| {
                    // Copied anew, a small part of the time, lest repetition drive the numbers to a limit.
                    numbers.copy_from_slice(&wide);
                    activate(isa, activation, &mut numbers);
                });
            });
        }
    }
}

criterion_group!(benches, products, unpacked_products, attention, rows);
criterion_main!(benches);
