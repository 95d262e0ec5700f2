//! The exponential function on whole blocks of logits, in vector registers.

use crate::kernels::dispatch::{Isa, Kernel};
use crate::kernels::simd::Simd;

/// Below this the result is 0 (it would be under 1e-307, the end of normal numbers).
const LOWEST: f64 = -708.0;
/// 1.5 · 2⁵²: adding it to a small number leaves that number, rounded to an integer, in the low bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// ln 2 in two parts; the first has so few bits that its product with any exponent here is exact.
const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// 1/13! … 1/2!: on |r| ≤ ½ ln 2 the terms left out are below 1e-17.
const COEFFICIENTS: [f64; 12] = [
    1.0 / 6_227_020_800.0,
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    1.0 / 2.0,
];

/// Replaces every value, which must not be above 0 or NaN, by its exponential, within 2 units in the last place.
pub(crate) fn exponentials_of_nonpositive(values: &mut [f64]) {
    Isa::best().run(Exponentials(values));
}

struct Exponentials<'a>(&'a mut [f64]);

impl Kernel for Exponentials<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        for value in self.0 {
            *value = exponential::<S>(*value);
        }
    }
}

/// `2ᵏ · eʳ` with `k` the integer nearest to `x / ln 2`, and a polynomial for `eʳ`.
#[inline(always)]
fn exponential<S: Simd>(x: f64) -> f64 {
    let clipped = x.max(LOWEST);
    let rounded = multiply_add::<S>(clipped, std::f64::consts::LOG2_E, ROUNDER);
    let k = rounded - ROUNDER;
    let r = multiply_add::<S>(-k, LN_2_HIGH, clipped);
    let r = multiply_add::<S>(-k, LN_2_LOW, r);
    let mut polynomial = COEFFICIENTS[0];
    for coefficient in &COEFFICIENTS[1..] {
        polynomial = multiply_add::<S>(polynomial, r, *coefficient);
    }
    let polynomial = multiply_add::<S>(polynomial, r * r, r) + 1.0;
    // The low bits of `rounded` are k; shifted into the exponent they multiply by 2ᵏ.
    let power = f64::from_bits(rounded.to_bits().wrapping_add(1023) << 52);
    if x < LOWEST { 0.0 } else { polynomial * power }
}

#[inline(always)]
fn multiply_add<S: Simd>(a: f64, b: f64, c: f64) -> f64 {
    if S::FMA { a.mul_add(b, c) } else { a * b + c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_agrees_with_the_standard_library() {
        let mut inputs: Vec<f64> = (0..200_001).map(|i| -f64::from(i) * 0.003_541).filter(|x| *x >= LOWEST).collect();
        inputs.extend([0.0, -0.0, -1e-300, -f64::EPSILON, -0.5 * std::f64::consts::LN_2, LOWEST]);
        for isa in Isa::available() {
            let mut values = inputs.clone();
            isa.run(Exponentials(&mut values));
            for (x, value) in inputs.iter().zip(values) {
                let error = (value / x.exp() - 1.0).abs();
                assert!(error <= 2.0 * f64::EPSILON, "{}: exp({x}) is off by {error}", isa.name());
            }
        }
    }

    #[test]
    fn far_below_zero_there_is_nothing() {
        let mut values = [-708.5, -1e6, f64::MIN, f64::NEG_INFINITY];
        exponentials_of_nonpositive(&mut values);
        assert_eq!(values, [0.0; 4]);
    }
}
