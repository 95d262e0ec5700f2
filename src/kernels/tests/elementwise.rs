//! Activations and exponentials.

use super::{ACTIVATIONS, UNIT_ROUNDOFF, bits};
use crate::kernels::dispatch::{Isa, Kernel};
use crate::kernels::elementwise::{Activation, LOWEST_EXPONENT, activate, exp2};
use crate::kernels::scalar;
use crate::kernels::simd::{F32s, Simd, map_in_place};

/// Far from 0 the rough GELU is the number itself, but for this part of it.
const GELU_ROUGH_PART: f64 = 1e-6;

/// `exp2` against `libm`, in units in the last place.
const EXP2_ULP: f64 = 2.0;

/// The rough `exp2` against `libm`, as a part of the number.
const ROUGH_EXP2_ERROR: f64 = 8e-5;

/// How far a result may be off: by rounding, far from 0 by a part of the number too.
fn tolerance(activation: Activation, at_most: f64, x: f32) -> f64 {
    let of_number = if activation == Activation::GeluRough { GELU_ROUGH_PART } else { 4.0 * UNIT_ROUNDOFF };
    at_most + of_number * f64::from(x.max(0.0))
}

fn assert_activations_agree(inputs: &[f32]) {
    for isa in Isa::available() {
        for (activation, slow, at_most) in ACTIVATIONS {
            let mut found = inputs.to_vec();
            activate(isa, activation, &mut found);
            for (&x, &found) in inputs.iter().zip(&found) {
                let error = (f64::from(found) - slow(f64::from(x))).abs();
                let what = format!("{activation:?} of {x:e} on {}", isa.name());
                assert!(error <= tolerance(activation, at_most, x), "{what}: {found:e} is off by {error:e}");
            }
        }
    }
}

#[test]
fn activations_agree_on_a_dense_grid() {
    let inputs: Vec<f32> = (-100_000..=100_000).map(|i| i as f32 * 1.2e-4).collect();
    assert_activations_agree(&inputs);
}

#[test]
fn activations_agree_at_all_magnitudes() {
    // 16 numbers for every exponent of f32 up to 2¹⁰⁰, both signs, and numbers that are not normal.
    let inputs: Vec<f32> = (0..(127 + 100) * 16).map(|i| f32::from_bits(i << 19)).flat_map(|x| [x, -x]).collect();
    assert_activations_agree(&inputs);
}

#[test]
fn activations_take_slices_of_any_length() {
    for isa in Isa::available() {
        for (activation, ..) in ACTIVATIONS {
            let inputs: Vec<f32> = (0..100).map(|i| i as f32 * 0.1 - 5.0).collect();
            let mut whole = inputs.clone();
            activate(isa, activation, &mut whole);
            for n in 0..100 {
                let mut found = inputs[..n].to_vec();
                activate(isa, activation, &mut found);
                assert_eq!(bits(&found), bits(&whole[..n]), "{activation:?} of {n} numbers on {}", isa.name());
            }
        }
    }
}

#[test]
fn activations_keep_nan_and_large_numbers() {
    for isa in Isa::available() {
        for (activation, ..) in ACTIVATIONS {
            for n in [1, 8, 17, 33] {
                let mut nan = vec![f32::NAN; n];
                activate(isa, activation, &mut nan);
                assert!(nan.iter().all(|x| x.is_nan()), "{activation:?} on {}: NaN must not vanish", isa.name());
                let mut infinite = vec![f32::INFINITY; n];
                activate(isa, activation, &mut infinite);
                assert!(infinite.iter().all(|x| !x.is_finite()), "{activation:?} on {}: {infinite:?}", isa.name());
            }
            if activation != Activation::GeluRough {
                let mut large = [40.0, 1000.0, 1e6, 1e30, f32::MAX];
                activate(isa, activation, &mut large);
                assert_eq!(large, [40.0, 1000.0, 1e6, 1e30, f32::MAX], "{activation:?} on {}", isa.name());
            }
        }
    }
}

struct Exp2<'a, const ROUGH: bool>(&'a mut [f32]);

impl<const ROUGH: bool> Kernel for Exp2<'_, ROUGH> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let lowest = simd.splat(LOWEST_EXPONENT);
        map_in_place!(simd, self.0, |_, x| exp2::<S, ROUGH>(simd, x, lowest));
    }
}

#[test]
fn powers_of_two_agree() {
    let inputs: Vec<f32> = (-130_000..=127_000).map(|i| i as f32 * 1e-3).collect();
    for isa in Isa::available() {
        let (mut exact, mut rough) = (inputs.clone(), inputs.clone());
        isa.run(Exp2::<false>(&mut exact));
        isa.run(Exp2::<true>(&mut rough));
        for ((&x, &exact), &rough) in inputs.iter().zip(&exact).zip(&rough) {
            if x < -126.0 {
                assert_eq!((exact, rough), (0.0, 0.0), "2^{x} on {}", isa.name());
                continue;
            }
            let expected = f64::from(x).exp2();
            let ulp = 2.0 * UNIT_ROUNDOFF * expected.log2().floor().exp2();
            let error = (f64::from(exact) - expected).abs() / ulp;
            assert!(error <= EXP2_ULP, "2^{x} on {}: off by {error} ULP", isa.name());
            let error = (f64::from(rough) / expected - 1.0).abs();
            assert!(error <= ROUGH_EXP2_ERROR, "2^{x} on {}: off by {error:e}", isa.name());
        }
        for x in [f32::NEG_INFINITY, f32::MIN, -1e6] {
            let (mut exact, mut rough) = ([x; 20], [x; 20]);
            isa.run(Exp2::<false>(&mut exact));
            isa.run(Exp2::<true>(&mut rough));
            assert_eq!((exact, rough), ([0.0; 20], [0.0; 20]), "2^{x} on {}", isa.name());
        }
        for x in [f32::NAN, -f32::NAN] {
            let (mut exact, mut rough) = ([x; 20], [x; 20]);
            isa.run(Exp2::<false>(&mut exact));
            isa.run(Exp2::<true>(&mut rough));
            assert!(exact.iter().chain(&rough).all(|x| x.is_nan()), "NaN must not vanish on {}", isa.name());
        }
    }
}

#[test]
fn the_judge_knows_the_ends() {
    assert_eq!([scalar::gelu(0.0), scalar::silu(0.0), scalar::relu(-1.0)], [0.0; 3]);
    assert!((scalar::gelu(1.0) - 0.841_344_746_068_543).abs() < 1e-15); // Φ(1)
    assert!((scalar::silu(1.0) - 0.731_058_578_630_005).abs() < 1e-15); // 1 / (1 + 1/e)
}
