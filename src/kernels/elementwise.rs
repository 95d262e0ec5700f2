//! What is done to every number or every row: activations, exponentials, layer normalisation.
//!
//! Every row is computed by itself, so results do not depend on the other rows. NaN in a row stays NaN.

use super::dispatch::{Isa, Kernel};
use super::rows::Norm;
use super::simd::{F32s, LANES, ROUNDER, Simd, fold, map_in_place};

/// Largest error of [`Activation::GeluRough`] below 4.25; beyond, it is off by less than a millionth of the number. The fit of
/// `scripts/fit_polynomials.py` is within 8.4e-5, to which rounding adds: the worst measured is 9.21e-5, at -4.0129.
pub const GELU_ROUGH_ERROR: f64 = 9.3e-5;

/// What a feed-forward block does between its products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x · Φ(x) = x/2 · (1 + erf(x / √2))` (Hendrycks and Gimpel 2016, arXiv:1606.08415), within rounding.
    Gelu,
    /// The same within [`GELU_ROUGH_ERROR`] at less than half the cost, for numbers that are rounded to bf16 or int8 anyway.
    GeluRough,
    /// The approximation `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`, from the same paper.
    GeluTanh,
    /// `max(x, 0)`
    Relu,
    /// `x / (1 + exp(-x))` (Elfwing et al. 2018, arXiv:1702.03118).
    Silu,
}

/// Applies the activation to every number.
pub fn activate(isa: Isa, activation: Activation, values: &mut [f32]) {
    isa.run(Activate { activation, values });
}

struct Activate<'a> {
    activation: Activation,
    values: &'a mut [f32],
}

impl Kernel for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        map_in_place!(simd, self.values, |_, x| activated(simd, self.activation, x));
    }
}

/// The activation of each lane.
#[inline(always)]
pub(super) fn activated<S: Simd>(simd: S, activation: Activation, x: S::F32) -> S::F32 {
    match activation {
        Activation::Gelu => gelu(simd, x),
        Activation::GeluRough => gelu_rough(simd, x),
        Activation::GeluTanh => gelu_tanh(simd, x),
        Activation::Relu => simd.splat(0.0).max(x),
        Activation::Silu => {
            let e = exp(simd, simd.splat(0.0).sub(x));
            x.div(simd.splat(1.0).add(e))
        }
    }
}

#[inline(always)]
fn gelu<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let positive = simd.splat(0.0).max(x);
    let magnitude = x.abs();
    // x · Φ(x) = max(x, 0) - |x| · Φ(-|x|), and Φ(-z) = erfc(z / √2) / 2: nothing cancels.
    simd.splat(-0.5).mul(magnitude).mul_add(erfc_of_sqrt_half(simd, magnitude), positive)
}

/// `x · (1/2 + c · P(c²))` with `c` the number clamped to `±END`; coefficients by `scripts/fit_polynomials.py`.
///
/// The factor at `-END` is 0 but for rounding, so the number itself stops there too: -1000 times that rounding would be more than the fit's
/// error.
#[inline(always)]
fn gelu_rough<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    const END: f32 = 4.25;
    const P: [f32; 8] = [
        -8.460_368_5e-10,
        7.570_825e-8,
        -2.938_808e-6,
        6.552_732e-5,
        -9.404_509e-4,
        9.257_845e-3,
        -6.545_356e-2,
        3.984_201e-1,
    ];
    let x = simd.splat(-END).max(x);
    let c = simd.splat(END).min(x);
    let p = polynomial(simd, &P, c.mul(c));
    x.mul(c.mul_add(p, simd.splat(0.5)))
}

#[inline(always)]
fn gelu_tanh<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    // (1 + tanh u) / 2 = 1 / (1 + exp(-2u)), and 2√(2/π) = 1.5957692
    const SCALE: f32 = -1.595_769_2;
    const CUBIC: f32 = 0.044_715;
    let inner = simd.splat(CUBIC).mul(x).mul(x).mul_add(x, x);
    x.div(simd.splat(1.0).add(exp(simd, simd.splat(SCALE).mul(inner))))
}

/// Rows that are normalised or quantised in step: what each gathers is used a while later, so that nobody waits for it.
pub(super) const ROWS_IN_STEP: usize = 4;

/// Layer normalisation of each row in place: `(x - mean) / √(variance + eps) · weight + bias`, the variance being the mean of
/// `(x - mean)²` (Ba et al. 2016, arXiv:1607.06450). At most [`ROWS_IN_STEP`] rows; returns what their new numbers span.
#[inline(always)]
pub(super) fn normalize_rows<S: Simd>(simd: S, rows: &mut [f32], norm: &Norm) -> [Span<S::F32>; ROWS_IN_STEP] {
    let n_columns = norm.weight.len();
    let (width, zero) = (n_columns as f32, simd.splat(0.0));
    let (mut means, mut scales) = ([0.0; ROWS_IN_STEP], [0.0; ROWS_IN_STEP]);
    for (row, mean) in rows.chunks_exact(n_columns).zip(&mut means) {
        let [a, b] = fold!(simd, row, 0.0, zero, |sum, x| sum.add(x));
        *mean = a.add(b).sum() / width;
    }
    for ((row, &mean), scale) in rows.chunks_exact(n_columns).zip(&means).zip(&mut scales) {
        let means = simd.splat(mean);
        // Padded with the mean, which is no deviation.
        let [a, b] = fold!(simd, row, mean, zero, |sum, x| {
            let deviation = x.sub(means);
            deviation.mul_add(deviation, sum)
        });
        *scale = 1.0 / (a.add(b).sum() / width + norm.eps).sqrt();
    }
    let mut spans = [Span::of_zero(simd); ROWS_IN_STEP];
    let (weights, weights_rest) = norm.weight.as_chunks::<LANES>();
    let (biases, biases_rest) = norm.bias.as_chunks::<LANES>();
    for (((row, span), mean), scale) in rows.chunks_exact_mut(n_columns).zip(&mut spans).zip(means).zip(scales) {
        let (means, scales) = (simd.splat(mean), simd.splat(scale));
        let mut so_far = Span::of_zero(simd);
        macro_rules! normed {
            ($x:expr, $weight:expr, $bias:expr) => {{
                let normed = simd.load($x).sub(means).mul(scales).mul_add(simd.load($weight), simd.load($bias));
                so_far = so_far.with(normed);
                normed.store($x);
            }};
        }
        let (registers, rest) = row.as_chunks_mut::<LANES>();
        for ((x, weight), bias) in registers.iter_mut().zip(weights).zip(biases) {
            normed!(x, weight, bias);
        }
        if !rest.is_empty() {
            let [mut x, mut weight, mut bias] = [[0.0; LANES]; 3];
            x[..rest.len()].copy_from_slice(rest);
            weight[..rest.len()].copy_from_slice(weights_rest);
            bias[..rest.len()].copy_from_slice(biases_rest);
            normed!(&mut x, &weight, &bias);
            rest.copy_from_slice(&x[..rest.len()]);
        }
        *span = so_far;
    }
    spans
}

/// From what to what the numbers of a row reach, 0 among them, lane by lane.
#[derive(Clone, Copy)]
pub(super) struct Span<F> {
    pub(super) low: F,
    pub(super) high: F,
    /// 0 for numbers, NaN for NaN and infinities, which must not vanish.
    pub(super) taint: F,
}

impl<F: F32s> Span<F> {
    #[inline(always)]
    pub(super) fn of_zero<S: Simd<F32 = F>>(simd: S) -> Self {
        Self { low: simd.splat(0.0), high: simd.splat(0.0), taint: simd.splat(0.0) }
    }

    #[inline(always)]
    pub(super) fn with(self, x: F) -> Self {
        let Self { low, high, taint } = self;
        Self { low: x.min(low), high: x.max(high), taint: taint.add(x.sub(x)) }
    }

    #[inline(always)]
    pub(super) fn and(self, other: Self) -> Self {
        let Self { low, high, taint } = self;
        Self { low: low.min(other.low), high: high.max(other.high), taint: taint.add(other.taint) }
    }
}

/// Highest power first.
#[inline(always)]
fn polynomial<S: Simd>(simd: S, coefficients: &[f32], x: S::F32) -> S::F32 {
    let mut p = simd.splat(coefficients[0]);
    for coefficient in &coefficients[1..] {
        p = p.mul_add(x, simd.splat(*coefficient));
    }
    p
}

/// Below, a power of two is not a normal number.
pub(super) const LOWEST_EXPONENT: f32 = -126.0;

/// `2ˣ` for `x` up to 127, within 2 ULP, or with `ROUGH` within 8e-5 of it (for numbers that are rounded to bf16 anyway); 0 below `lowest`,
/// which is at least [`LOWEST_EXPONENT`]; NaN for NaN. Coefficients by `scripts/fit_polynomials.py`.
#[inline(always)]
pub(super) fn exp2<S: Simd, const ROUGH: bool>(simd: S, x: S::F32, lowest: S::F32) -> S::F32 {
    const ROUGH_P: [f32; 4] = [5.517_177_3e-2, 2.426_113_8e-1, 6.932_61e-1, 9.999_28e-1];
    const P: [f32; 7] =
        [1.492_021_3e-4, 1.339_183_9e-3, 9.620_063e-3, 5.550_360_7e-2, 2.402_263_4e-1, 6.931_472e-1, 1.0];
    let rounded = x.add(simd.splat(ROUNDER));
    let fraction = x.sub(rounded.sub(simd.splat(ROUNDER)));
    let p = if ROUGH { polynomial(simd, &ROUGH_P, fraction) } else { polynomial(simd, &P, fraction) };
    p.times_power(rounded).zero_where_less(x, lowest)
}

/// `eˣ` within 2 ULP from `-87.3` to `88.3`, and the value at the nearer end beyond; NaN for NaN.
///
/// `x = n · ln 2 + r` with whole `n` and `|r| ≤ ln 2 / 2`; `eʳ` by the polynomial of `expf` in the Cephes library
/// (Moshier 1992, netlib.org/cephes), `2ⁿ` by writing the exponent's bits.
#[inline(always)]
fn exp<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    /// `ln 2⁻¹²⁶`: below, `2ⁿ` would not be a normal number.
    const LOWEST: f32 = -87.336_54;
    /// `127.5 · ln 2`: above, `n` would be 128.
    const HIGHEST: f32 = 88.376_26;
    /// `ln 2` in two parts, the first with few enough bits that `n · LN_2_HIGH` is exact.
    const LN_2_HIGH: f32 = 355.0 / 512.0;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const P: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5];

    let x = simd.splat(HIGHEST).min(simd.splat(LOWEST).max(x));
    let rounder = simd.splat(ROUNDER);
    let rounded = x.mul_add(simd.splat(std::f32::consts::LOG2_E), rounder);
    let n = rounded.sub(rounder);
    let r = n.mul_add(simd.splat(-LN_2_LOW), n.mul_add(simd.splat(-LN_2_HIGH), x));
    let exp_r = polynomial(simd, &P, r).mul_add(r.mul(r), r).add(simd.splat(1.0));
    exp_r.times_power(rounded)
}

/// `erfc(z / √2)` for `z ≥ 0`, within 1.5e-7 and rounding: Abramowitz and Stegun 1964, formula 7.1.26.
#[inline(always)]
fn erfc_of_sqrt_half<S: Simd>(simd: S, z: S::F32) -> S::F32 {
    /// The formula's `p = 0.3275911`, divided by √2.
    const P: f32 = 0.231_641_89;
    const A: [f32; 5] = [1.061_405_4, -1.453_152, 1.421_413_8, -0.284_496_73, 0.254_829_6];
    let one = simd.splat(1.0);
    let t = one.div(simd.splat(P).mul_add(z, one));
    polynomial(simd, &A, t).mul(t).mul(exp(simd, simd.splat(-0.5).mul(z).mul(z)))
}
