//! What is done to every number or every row: biases, activations, soft-max, layer normalisation; all in place.
//!
//! A matrix is one slice, row after row; its width is the length of the bias or is passed along. Every row is computed by
//! itself, so results do not depend on the other rows. NaN in a row stays NaN.

use super::dispatch::{Isa, Kernel};

/// Partial sums that a row is gathered in: two AVX-512 registers, which hides most of the latency of an addition.
/// Part of the result's definition (it fixes the order of addition), so it is the same for every instruction set.
const LANES: usize = 32;

/// Adds the bias to each row: `x[i, j] += bias[j]`.
///
/// # Panics
/// When `rows` is not a whole number of rows of `bias.len()`.
pub fn add_bias(isa: Isa, rows: &mut [f32], bias: &[f32]) {
    check_rows(rows, bias.len());
    isa.run(AddBias { rows, bias });
}

/// Gaussian error linear unit, `x · Φ(x) = x/2 · (1 + erf(x / √2))`, with the exact error function
/// (Hendrycks and Gimpel 2016, arXiv:1606.08415).
pub fn gelu(isa: Isa, values: &mut [f32]) {
    isa.run(Gelu { values });
}

/// The approximation `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))` of [`gelu`], from the same paper.
pub fn gelu_tanh(isa: Isa, values: &mut [f32]) {
    isa.run(GeluTanh { values });
}

/// `max(x, 0)`.
pub fn relu(isa: Isa, values: &mut [f32]) {
    isa.run(Relu { values });
}

/// Soft-max of each row: `exp(x[i, j] - m[i]) / Σⱼ exp(x[i, j] - m[i])` with `m[i]` the row's greatest value.
///
/// `-∞` among finite values becomes (almost) 0, which serves to leave columns out.
///
/// # Panics
/// When `width` is 0 or `rows` is not a whole number of rows.
pub fn softmax(isa: Isa, rows: &mut [f32], width: usize) {
    check_rows(rows, width);
    isa.run(Softmax { rows, width });
}

/// Layer normalisation of each row: `(x - mean) / √(variance + eps) · weight + bias`, the variance being the mean of
/// `(x - mean)²` (Ba et al. 2016, arXiv:1607.06450).
///
/// # Panics
/// When `weight` and `bias` differ in length, or `rows` is not a whole number of rows of that length.
///
/// # Example
/// ```
/// use topicwire::kernels::{dispatch::Isa, elementwise::layer_norm};
/// let mut row = [1.0, 3.0];
/// layer_norm(Isa::best(), &mut row, &[1.0, 1.0], &[0.0, 5.0], 0.0);
/// assert_eq!(row, [-1.0, 6.0]);
/// ```
pub fn layer_norm(isa: Isa, rows: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    assert_eq!(weight.len(), bias.len(), "weight and bias differ in length");
    check_rows(rows, weight.len());
    isa.run(LayerNorm { rows, weight, bias, eps });
}

fn check_rows(rows: &[f32], width: usize) {
    assert!(width > 0 && rows.len().is_multiple_of(width), "{} values are no rows of {width}", rows.len());
}

struct AddBias<'a> {
    rows: &'a mut [f32],
    bias: &'a [f32],
}

impl Kernel for AddBias<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for row in self.rows.chunks_exact_mut(self.bias.len()) {
            for (x, b) in row.iter_mut().zip(self.bias) {
                *x += b;
            }
        }
    }
}

struct Gelu<'a> {
    values: &'a mut [f32],
}

impl Kernel for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for x in self.values {
            let positive = if *x < 0.0 { 0.0 } else { *x };
            let magnitude = x.abs();
            // x · Φ(x) = max(x, 0) - |x| · Φ(-|x|), and Φ(-z) = erfc(z / √2) / 2: nothing cancels.
            *x = mul_add::<FMA>(-0.5 * magnitude, erfc_of_sqrt_half::<FMA>(magnitude), positive);
        }
    }
}

struct GeluTanh<'a> {
    values: &'a mut [f32],
}

impl Kernel for GeluTanh<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        // (1 + tanh u) / 2 = 1 / (1 + exp(-2u)), and 2√(2/π) = 1.5957692
        const SCALE: f32 = -1.595_769_2;
        const CUBIC: f32 = 0.044_715;
        for x in self.values {
            let inner = mul_add::<FMA>(CUBIC * *x * *x, *x, *x);
            *x /= 1.0 + exp::<FMA>(SCALE * inner);
        }
    }
}

struct Relu<'a> {
    values: &'a mut [f32],
}

impl Kernel for Relu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for x in self.values {
            // Not `f32::max`, which would turn NaN into 0.
            *x = if *x < 0.0 { 0.0 } else { *x };
        }
    }
}

struct Softmax<'a> {
    rows: &'a mut [f32],
    width: usize,
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for row in self.rows.chunks_exact_mut(self.width) {
            let greatest = fold_lanes(row, f32::NEG_INFINITY, |x| x, |most, x| if x > most { x } else { most });
            for x in row.iter_mut() {
                *x = exp::<FMA>(*x - greatest);
            }
            let scale = 1.0 / fold_lanes(row, 0.0, |x| x, |sum, x| sum + x);
            for x in row.iter_mut() {
                *x *= scale;
            }
        }
    }
}

struct LayerNorm<'a> {
    rows: &'a mut [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f32,
}

impl Kernel for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let width = self.weight.len();
        for row in self.rows.chunks_exact_mut(width) {
            let mean = fold_lanes(row, 0.0, |x| x, |sum, x| sum + x) / width as f32;
            for x in row.iter_mut() {
                *x -= mean;
            }
            let variance = fold_lanes(row, 0.0, |x| x * x, |sum, square| sum + square) / width as f32;
            let scale = 1.0 / (variance + self.eps).sqrt();
            for ((x, w), b) in row.iter_mut().zip(self.weight).zip(self.bias) {
                *x = mul_add::<FMA>(*x * scale, *w, *b);
            }
        }
    }
}

/// `a · b + c`, in one instruction where there is one.
#[inline(always)]
fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Maps the values of a row and folds them by an operation that may be done in any order: in [`LANES`] parts, then the parts
/// by halves.
#[inline(always)]
fn fold_lanes(row: &[f32], start: f32, map: impl Fn(f32) -> f32, fold: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = fold(*lane, map(*x));
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = fold(*lane, map(*x));
    }
    let mut n_parts = LANES;
    while n_parts > 1 {
        n_parts /= 2;
        for i in 0..n_parts {
            lanes[i] = fold(lanes[i], lanes[i + n_parts]);
        }
    }
    lanes[0]
}

/// `eˣ` within 2 ULP from `-87.3` to `88.3`, and the value at the nearer end beyond; NaN for NaN.
///
/// `x = n · ln 2 + r` with whole `n` and `|r| ≤ ln 2 / 2`; `eʳ` by the polynomial of `expf` in the Cephes library
/// (Moshier 1992, netlib.org/cephes), `2ⁿ` by writing the exponent's bits.
#[inline(always)]
fn exp<const FMA: bool>(x: f32) -> f32 {
    /// `ln 2⁻¹²⁶`: below, `2ⁿ` would not be a normal number.
    const LOWEST: f32 = -87.336_54;
    /// `127.5 · ln 2`: above, `n` would be 128.
    const HIGHEST: f32 = 88.376_26;
    /// `1.5 · 2²³`: a number this large has no bits after the point, so adding it rounds, and leaves `n` in the lowest bits.
    const ROUNDER: f32 = 12_582_912.0;
    /// `ln 2` in two parts, the first with few enough bits that `n · LN_2_HIGH` is exact.
    const LN_2_HIGH: f32 = 355.0 / 512.0;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const MANTISSA_BITS: u32 = 23;

    // Comparisons with NaN are false, which keeps it.
    let x = if x < LOWEST { LOWEST } else { x };
    let x = if x > HIGHEST { HIGHEST } else { x };
    let rounded = mul_add::<FMA>(x, std::f32::consts::LOG2_E, ROUNDER);
    let n = rounded - ROUNDER;
    let r = mul_add::<FMA>(n, -LN_2_LOW, mul_add::<FMA>(n, -LN_2_HIGH, x));
    let mut p = 1.987_569_1e-4;
    p = mul_add::<FMA>(p, r, 1.398_199_9e-3);
    p = mul_add::<FMA>(p, r, 8.333_452e-3);
    p = mul_add::<FMA>(p, r, 4.166_579_6e-2);
    p = mul_add::<FMA>(p, r, 0.166_666_65);
    p = mul_add::<FMA>(p, r, 0.5);
    let exp_r = mul_add::<FMA>(p, r * r, r) + 1.0;
    exp_r * f32::from_bits((rounded.to_bits() << MANTISSA_BITS).wrapping_add(1.0f32.to_bits()))
}

/// `erfc(z / √2)` for `z ≥ 0`, within 1.5e-7 and rounding: Abramowitz and Stegun 1964, formula 7.1.26.
#[inline(always)]
fn erfc_of_sqrt_half<const FMA: bool>(z: f32) -> f32 {
    /// The formula's `p = 0.3275911`, divided by √2.
    const P: f32 = 0.231_641_89;
    let t = 1.0 / mul_add::<FMA>(P, z, 1.0);
    let mut a = 1.061_405_4;
    a = mul_add::<FMA>(a, t, -1.453_152);
    a = mul_add::<FMA>(a, t, 1.421_413_8);
    a = mul_add::<FMA>(a, t, -0.284_496_73);
    a = mul_add::<FMA>(a, t, 0.254_829_6);
    a * t * exp::<FMA>(-0.5 * z * z)
}
