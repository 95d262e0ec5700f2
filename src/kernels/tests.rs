//! Every kernel, on awkward sizes and with every instruction set this CPU has, against [`scalar`].

use ndarray::{Array2, ArrayView2, s};
use rand::RngExt;

use super::dispatch::Isa;
use super::{attention, elementwise, gemm, scalar};
use crate::rng::generator;

/// Around the widths of registers and tiles, and 0.
const AWKWARD: [usize; 12] = [0, 1, 2, 3, 5, 15, 16, 17, 31, 33, 65, 97];

/// Widths of rows: around registers, [`elementwise`]'s 32 lanes, and a real hidden size.
const WIDTHS: [usize; 9] = [1, 2, 7, 16, 31, 32, 33, 100, 384];

/// GELU and its approximation against `libm`, for `|x| ≤ 10`; the worst measured is 5.2e-7, at 4.67, where a unit in the last place is
/// 4.8e-7. Formula 7.1.26 of Abramowitz and Stegun, within 1.5e-7 of erfc, would by itself allow `|x| / 2` of that.
const GELU_TOLERANCE: f64 = 1e-6;

/// Soft-max weights lie in `[0, 1]`; the worst measured is 8.8e-8.
const SOFTMAX_TOLERANCE: f64 = 2e-7;

/// Normalised values are of the order of 1; the worst measured is 4.1e-7 where the mean is no larger than the spread.
const LAYER_NORM_TOLERANCE: f64 = 1e-6;

/// Attention averages values in `[-1, 1]`; the worst measured is 1.9e-6, at heads of 64 columns, whose scores reach ±20.
const ATTENTION_TOLERANCE: f64 = 4e-6;

fn random(n_rows: usize, n_columns: usize, scale: f32) -> Array2<f32> {
    let mut rng = generator(7, &format!("kernel test {n_rows} {n_columns} {scale}"));
    Array2::from_shape_simple_fn((n_rows, n_columns), || scale * (2.0 * rng.random::<f32>() - 1.0))
}

fn values(matrix: &mut Array2<f32>) -> &mut [f32] {
    matrix.as_slice_mut().unwrap()
}

fn assert_close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(found) - expected).abs() <= tolerance, "{what}, number {i}: {found}, expected {expected}");
    }
}

/// Rounding of a sum of `k` products in any order is at most `k · ε · Σ |a| |b|` (Higham 2002, Accuracy and Stability of Numerical
/// Algorithms, §3.1), and two more roundings for what was there before.
fn assert_product(a: ArrayView2<f32>, b: ArrayView2<f32>, before: f32, found: ArrayView2<f32>) {
    let expected = scalar::matmul(a, b);
    let magnitude = scalar::matmul(a.mapv(f32::abs).view(), b.mapv(f32::abs).view());
    let rounding = (a.ncols() + 2) as f64 * f64::from(f32::EPSILON);
    for ((index, &found), (expected, magnitude)) in found.indexed_iter().zip(expected.iter().zip(&magnitude)) {
        let expected = expected + f64::from(before);
        let tolerance = rounding * (magnitude + f64::from(before.abs()));
        let shapes = (a.dim(), b.dim());
        assert!((f64::from(found) - expected).abs() <= tolerance, "{shapes:?} at {index:?}: {found}, not {expected}");
    }
}

#[test]
fn products_agree_for_all_sizes() {
    for m in AWKWARD {
        for k in AWKWARD {
            for n in AWKWARD {
                let (a, b) = (random(m, k, 1.0), random(k, n, 2.0));
                let mut out = Array2::from_elem((m, n), f32::NAN);
                gemm::matmul(a.view(), b.view(), out.view_mut(), false);
                assert_product(a.view(), b.view(), 0.0, out.view());
                out.fill(0.5);
                gemm::matmul(a.view(), b.view(), out.view_mut(), true);
                assert_product(a.view(), b.view(), 0.5, out.view());
            }
        }
    }
}

#[test]
fn products_agree_for_large_depth() {
    let (a, b) = (random(70, 1536, 1.0), random(1536, 130, 1.0));
    let mut out = Array2::from_elem((70, 130), 0.5);
    gemm::matmul(a.view(), b.view(), out.view_mut(), true);
    assert_product(a.view(), b.view(), 0.5, out.view());
}

#[test]
fn products_take_any_strides() {
    let (a, b) = (random(80, 120, 1.0), random(100, 90, 1.0));
    let a_views = [a.slice(s![..34, 3..40]), a.slice(s![..;2, ..37]), a.slice(s![6..40, 3..40;-1])];
    let a_views = a_views.map(|view| view.slice_move(s![..34, ..37]));
    let first_row = b.slice(s![..1, ..19]);
    let repeated = first_row.broadcast((37, 19)).unwrap();
    let b_t = b.t();
    let b_views = [b.slice(s![..37, 5..24]), b_t.slice(s![7..44, ..19]), b.slice(s![..37;-1, ..38;2]), repeated];
    for a in a_views {
        for b in &b_views {
            let mut room = Array2::from_elem((200, 200), 9.0);
            for reversed in [false, true] {
                let mut out = room.slice_mut(s![3..71;2, 1..58;3]);
                if reversed {
                    out.invert_axis(ndarray::Axis(0));
                    out.invert_axis(ndarray::Axis(1));
                }
                gemm::matmul(a, b.view(), out.view_mut(), false);
                assert_product(a, b.view(), 0.0, out.view());
            }
            let mut transposed = Array2::from_elem((19, 34), f32::NAN);
            gemm::matmul(a, b.view(), transposed.view_mut().reversed_axes(), false);
            assert_product(a, b.view(), 0.0, transposed.t());
            let n_untouched = room.iter().filter(|&&x| x == 9.0).count();
            assert_eq!(n_untouched, 200 * 200 - 34 * 19, "something outside of the result was written");
        }
    }
}

#[test]
fn products_in_double_precision_agree() {
    for (m, k, n) in [(1, 1, 1), (3, 0, 2), (1, 40, 7), (17, 33, 9), (70, 600, 65)] {
        let (a, b) = (random(m, k, 1.0).mapv(f64::from), random(k, n, 1.0).mapv(f64::from));
        let mut out = Array2::from_elem((m, n), f64::NAN);
        gemm::matmul_f64(a.view(), b.view(), out.view_mut(), false);
        let tolerance = 2.0 * (k + 1) as f64 * k as f64 * f64::EPSILON; // both sides round
        for (found, expected) in out.iter().zip(&scalar::matmul(a.view(), b.view())) {
            assert!((found - expected).abs() <= tolerance, "{found}, expected {expected}");
        }
    }
}

#[test]
fn products_are_the_same_on_every_run_and_row_by_row() {
    let (a, b) = (random(97, 384, 1.0), random(384, 130, 1.0));
    let product = |a: ArrayView2<f32>| {
        let mut out = Array2::zeros((a.nrows(), 130));
        gemm::matmul(a, b.view(), out.view_mut(), false);
        out
    };
    let whole = product(a.view());
    assert_eq!(whole, product(a.view()));
    for (start, end) in [(0, 2), (5, 8), (11, 60), (48, 97)] {
        assert_eq!(product(a.slice(s![start..end, ..])), whole.slice(s![start..end, ..]), "rows {start} to {end}");
    }
}

#[test]
#[should_panic(expected = "out must be [2, 4]")]
fn a_product_refuses_an_output_of_another_shape() {
    let mut out = Array2::zeros((4, 2));
    gemm::matmul(random(2, 3, 1.0).view(), random(3, 4, 1.0).view(), out.view_mut(), false);
}

#[test]
fn activations_agree() {
    type Activation = (fn(Isa, &mut [f32]), fn(f64) -> f64, f64);
    let activations: [Activation; 3] = [
        (elementwise::gelu, scalar::gelu, GELU_TOLERANCE),
        (elementwise::gelu_tanh, scalar::gelu_tanh, GELU_TOLERANCE),
        (elementwise::relu, scalar::relu, 0.0),
    ];
    let inputs: Vec<f32> = (-100_000..=100_000).map(|i| i as f32 * 1e-4).collect();
    let large = [-1e6, -1000.0, -100.0, -40.0, -0.0, f32::MIN_POSITIVE, 40.0, 1000.0, 1e6];
    for isa in Isa::available() {
        for (fast, slow, tolerance) in activations {
            for n in (0..40).chain([inputs.len()]) {
                let mut found = inputs[..n].to_vec();
                fast(isa, &mut found);
                let expected: Vec<f64> = inputs[..n].iter().map(|&x| slow(f64::from(x))).collect();
                assert_close(&found, &expected, tolerance, isa.name());
            }
            let mut found = large;
            fast(isa, &mut found);
            for (x, found) in large.into_iter().zip(found) {
                // Exponentials beyond the range of f32 stop at its ends.
                assert!((found - x.max(0.0)).abs() <= 1e-30, "{x} gives {found}");
            }
            let mut nan = [f32::NAN; 17];
            fast(isa, &mut nan);
            assert!(nan.iter().all(|x| x.is_nan()), "NaN must not vanish");
        }
    }
}

#[test]
fn softmax_agrees() {
    for isa in Isa::available() {
        for width in WIDTHS {
            for scale in [1.0, 30.0, 1e4] {
                let mut found = random(3, width, scale);
                let expected: Vec<f64> =
                    found.outer_iter().flat_map(|row| scalar::softmax(&row.mapv(f64::from).to_vec())).collect();
                elementwise::softmax(isa, values(&mut found), width);
                assert_close(values(&mut found), &expected, SOFTMAX_TOLERANCE, isa.name());
            }
        }
        let mut row = [f32::NEG_INFINITY, 2.0, f32::NEG_INFINITY, 2.0];
        elementwise::softmax(isa, &mut row, 4);
        assert_close(&row, &[0.0, 0.5, 0.0, 0.5], f64::from(f32::MIN_POSITIVE), "columns left out");
        let mut row = [1.0, f32::NAN, 2.0];
        elementwise::softmax(isa, &mut row, 3);
        assert!(row.iter().all(|x| x.is_nan()), "NaN must not vanish: {row:?}");
    }
}

#[test]
fn layer_norm_agrees() {
    const EPS: f64 = 1e-5;
    for isa in Isa::available() {
        for width in WIDTHS {
            let (weight, bias) = (random(1, width, 2.0), random(1, width, 0.5));
            let (weight, bias) = (weight.as_slice().unwrap(), bias.as_slice().unwrap());
            for (scale, shift) in [(1.0, 0.0), (0.01, 3.0), (100.0, -50.0)] {
                let mut found = random(3, width, scale) + shift;
                let expected: Vec<f64> =
                    found.outer_iter().flat_map(|row| scalar::layer_norm(&row.to_vec(), weight, bias, EPS)).collect();
                elementwise::layer_norm(isa, values(&mut found), weight, bias, EPS as f32);
                // What the subtraction of the mean loses grows with the mean's size relative to the spread.
                let tolerance = LAYER_NORM_TOLERANCE * (1.0 + f64::from(shift.abs() / scale));
                assert_close(values(&mut found), &expected, tolerance, isa.name());
            }
        }
        let mut constant = [3.0; 20];
        elementwise::layer_norm(isa, &mut constant, &[2.0; 20], &[0.25; 20], EPS as f32);
        assert_eq!(constant, [0.25; 20], "a row without spread becomes the bias");
    }
}

#[test]
fn biases_are_added_to_every_row() {
    for isa in Isa::available() {
        for width in WIDTHS {
            let (mut found, bias) = (random(3, width, 1.0), random(1, width, 3.0));
            let expected = &found + &bias;
            elementwise::add_bias(isa, values(&mut found), bias.as_slice().unwrap());
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn attention_agrees() {
    for isa in Isa::available() {
        for (n_heads, head_size) in [(1, 1), (3, 5), (2, 32), (1, 64)] {
            // The last is longer than a tile of queries, and leaves one query to the second tile.
            for n_tokens in [0, 1, 2, 3, 15, 16, 17, 52, 257] {
                let hidden_size = n_heads * head_size;
                let mut qkv = random(n_tokens, 3 * hidden_size, 1.0);
                qkv.slice_mut(s![.., ..hidden_size]).mapv_inplace(|q| 2.0 * q);
                let mut out = Array2::from_elem((n_tokens, hidden_size), f32::NAN);
                let mut scores = vec![f32::NAN; 10];
                attention::self_attention(isa, qkv.view(), n_heads, &mut scores, out.view_mut());
                let expected = scalar::self_attention(qkv.view(), n_heads);
                let what = format!("{}, {n_heads} heads of {head_size}, {n_tokens} tokens", isa.name());
                assert_close(values(&mut out), expected.as_slice().unwrap(), ATTENTION_TOLERANCE, &what);
            }
        }
    }
}

#[test]
fn attention_bears_large_scores() {
    for isa in Isa::available() {
        let mut qkv = random(40, 3 * 32, 1.0);
        qkv.slice_mut(s![.., ..32]).mapv_inplace(|q| 1000.0 * q);
        let mut out = Array2::zeros((40, 32));
        attention::self_attention(isa, qkv.view(), 1, &mut Vec::new(), out.view_mut());
        let expected = scalar::self_attention(qkv.view(), 1);
        // Scores of some thousands: the greatest takes all the weight, and nothing overflows.
        assert_close(values(&mut out), expected.as_slice().unwrap(), ATTENTION_TOLERANCE, isa.name());
    }
}
