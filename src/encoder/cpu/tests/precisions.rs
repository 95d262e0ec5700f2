//! f32, bf16 and int8 on every instruction set, with a network of every kind.

use std::path::Path;

use ndarray::{Array2, ArrayView1, s};

use super::{pack, random_tensors, random_windows, small_arch};
use crate::encoder::arch::{Activation, Architecture, Positions};
use crate::encoder::config::FolderConfig;
use crate::encoder::cpu::CpuEncoder;
use crate::encoder::weights::{Checkpoint, TensorSource, Weights};
use crate::encoder::{Executor, Precision};
use crate::kernels::dispatch::Isa;
use crate::text::pack::PackedBatch;

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

/// Learned, rotary and relative positions, norms before and after, gated and plain, local attention, an odd number of layers.
const TINY: [&str; 7] = [
    "tiny-bert-cls-dense",
    "tiny-distilbert-mean",
    "tiny-gte-cls",
    "tiny-modernbert-mean",
    "tiny-mpnet-mean",
    "tiny-nomic-bert-mean",
    "tiny-xlm-roberta-mean",
];

/// Cosine of each token's hidden state with that of f32, at least; the lowest measured is 0.99952, of the tiny MPNet.
const MIN_BF16_COSINE: f64 = 0.999;
/// The same for int8; the lowest measured is 0.9964, of the tiny Nomic BERT.
const MIN_INT8_COSINE: f64 = 0.993;

/// Between the set that does not multiply and add in one step, and the others, in f32; numbers are of the order of 1 to 4, and
/// the worst measured is 6.6e-6.
const MAX_SET_DIFFERENCE: f32 = 1e-5;

/// All kinds of networks: name, description, and how to get the weights.
fn networks() -> Vec<(&'static str, Architecture, Box<dyn TensorSource>)> {
    let mut networks: Vec<(_, _, Box<dyn TensorSource>)> = Vec::new();
    for name in TINY {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name);
        let config = FolderConfig::read(&folder).unwrap();
        let mut arch = config.architecture;
        let checkpoint = Checkpoint::open(&config.transformer_folder).unwrap();
        arch.names.prefix = checkpoint.prefix_of(arch.names.word_embeddings).unwrap();
        networks.push((name, arch, Box::new(checkpoint)));
    }
    // Two groups of feed-forward columns, one of an odd number of columns; heads of an odd size.
    let arch = Architecture {
        hidden_size: 99,
        n_heads: 9,
        intermediate_size: 417,
        positions: Positions::Learned { n_positions: 300, offset: 0 },
        ..small_arch("bert", Activation::Gelu)
    };
    let weights = Weights::new(random_tensors(&arch, 2));
    networks.push(("random BERT", arch, Box::new(weights)));
    networks
}

/// Windows of awkward lengths, as far as the network reads them, more than a run has room for.
fn windows_for(arch: &Architecture) -> Vec<Vec<u32>> {
    let longest = arch.max_tokens().min(270);
    let lengths = [1, 33, 0, 7, 2, longest, 16, 3, 31, 32, 1, longest - 1, 60];
    let lengths: Vec<usize> = lengths.into_iter().filter(|&length| length <= longest).collect();
    random_windows(&lengths, arch.vocab_size as u32)
}

fn bits(states: &Array2<f32>) -> Vec<u32> {
    states.iter().map(|x| x.to_bits()).collect()
}

fn cosine(a: ArrayView1<f32>, b: ArrayView1<f32>) -> f64 {
    let dot = |a: ArrayView1<f32>, b: ArrayView1<f32>| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Runs the check for every network and precision with an encoder for each instruction set.
fn for_all(check: impl Fn(&str, &Architecture, Precision, &[CpuEncoder])) {
    for (name, arch, mut weights) in networks() {
        for precision in PRECISIONS {
            let encoders: Vec<_> = Isa::available()
                .into_iter()
                .map(|isa| CpuEncoder::new(&arch, precision, isa, &mut *weights).unwrap())
                .collect();
            check(&format!("{name} in {precision}"), &arch, precision, &encoders);
        }
    }
}

#[test]
fn a_window_is_the_same_to_the_bit_in_any_company_and_order() {
    for_all(|what, arch, _, encoders| {
        let windows = windows_for(arch);
        for encoder in encoders {
            let states = |windows: &[Vec<u32>]| encoder.hidden_states(&pack(windows)).unwrap();
            let alone: Vec<_> = windows.iter().map(|window| bits(&states(std::slice::from_ref(window)))).collect();
            let mut order: Vec<usize> = (0..windows.len()).collect();
            for n_places in [5, 2] {
                order.reverse();
                order.rotate_left(n_places);
                let batch = PackedBatch::new(order.iter().map(|&i| windows[i].as_slice()));
                let together = encoder.hidden_states(&batch).unwrap();
                for (&i, tokens) in order.iter().zip(batch.windows()) {
                    let found = together.slice(s![tokens, ..]).to_owned();
                    let length = windows[i].len();
                    assert!(bits(&found) == alone[i], "{what}, {}: {length} tokens", encoder.name());
                }
            }
        }
    });
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for_all(|what, arch, _, encoders| {
        let windows = windows_for(arch);
        let batches: Vec<PackedBatch> = windows.chunks(2).map(pack).collect();
        for encoder in encoders {
            let states = |batch: &PackedBatch| bits(&encoder.hidden_states(batch).unwrap());
            let expected: Vec<_> = batches.iter().map(states).collect();
            for n_threads in [2, 5] {
                let mut found = vec![Vec::new(); batches.len()];
                std::thread::scope(|scope| {
                    let mut handles = Vec::new();
                    for thread_idx in 0..n_threads {
                        let batches = batches.iter().enumerate().skip(thread_idx).step_by(n_threads);
                        let states = &states;
                        handles.push(scope.spawn(move || batches.map(|(i, b)| (i, states(b))).collect::<Vec<_>>()));
                    }
                    handles.into_iter().flat_map(|handle| handle.join().unwrap()).for_each(|(i, bits)| found[i] = bits);
                });
                assert!(found == expected, "{what}, {} on {n_threads} threads", encoder.name());
            }
        }
    });
}

#[test]
fn hidden_states_are_the_same_to_the_bit_on_all_sets_that_fuse() {
    for_all(|what, arch, precision, encoders| {
        let batch = pack(&windows_for(arch));
        let (portable, fused) = encoders.split_first().unwrap();
        let states: Vec<_> = fused.iter().map(|encoder| encoder.hidden_states(&batch).unwrap()).collect();
        let Some((first, others)) = states.split_first() else { return };
        for (encoder, states) in fused[1..].iter().zip(others) {
            assert!(bits(states) == bits(first), "{what}: {} and {} differ", encoder.name(), fused[0].name());
        }
        if precision == Precision::F32 {
            let worst = (portable.hidden_states(&batch).unwrap() - first).fold(0.0f32, |worst, x| worst.max(x.abs()));
            assert!(worst <= MAX_SET_DIFFERENCE, "{what}: {} is off by {worst}", portable.name());
        }
    });
}

#[test]
fn lower_precisions_stay_close_to_f32() {
    for (name, arch, mut weights) in networks() {
        let batch = pack(&windows_for(&arch));
        let mut encoder = |precision, isa| CpuEncoder::new(&arch, precision, isa, &mut *weights).unwrap();
        let exact = encoder(Precision::F32, Isa::best()).hidden_states(&batch).unwrap();
        for (precision, at_least) in [(Precision::Bf16, MIN_BF16_COSINE), (Precision::Int8, MIN_INT8_COSINE)] {
            for isa in Isa::available() {
                let found = encoder(precision, isa).hidden_states(&batch).unwrap();
                assert!(found.iter().all(|x| x.is_finite()), "{name} in {precision} on {}", isa.name());
                let cosines = found.outer_iter().zip(exact.outer_iter()).map(|(a, b)| cosine(a, b));
                let lowest = cosines.fold(1.0, f64::min);
                assert!(lowest >= at_least, "{name} in {precision} on {}: cosine {lowest}", isa.name());
            }
        }
    }
}
