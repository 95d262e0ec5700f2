//! Self-attention against the plain formula, with every reach and bias, and what must not get into it.

use half::bf16;
use ndarray::{Array2, ArrayView2, s};

use super::{assert_same_on, bits, fused_sets, numbers, random};
use crate::kernels::attention::{AttentionRoom, DistanceBias, Heads, Number, Sight, self_attention};
use crate::kernels::dispatch::Isa;
use crate::kernels::scalar;

/// Around tiles of queries, panels of keys, and windows of one and several.
const N_TOKENS: [usize; 10] = [0, 1, 2, 15, 16, 17, 31, 32, 33, 52];
/// Longer windows, for some heads alone.
const MANY_TOKENS: [usize; 2] = [257, 513];

/// Odd sizes, which bf16 has to pad, a full panel, and more than one.
const HEADS: [Heads; 5] = [heads(1, 1), heads(3, 5), heads(2, 32), heads(1, 64), heads(2, 96)];

const REACHES: [Option<usize>; 6] = [None, Some(0), Some(1), Some(7), Some(64), Some(1000)];

/// Attention averages values in `[-1, 1]`; the error grows with the scores, which are some tens here. The worst measured is 1.0e-6.
const F32_TOLERANCE: f64 = 2e-6;

/// Weights are rounded to bf16, a part in 2⁸ at most, after exponentials that are within 8e-5; with the weights of two halves off in
/// opposite directions the average of values in `[-1, 1]` moves by as much. The worst measured is 2.3e-3.
const BF16_TOLERANCE: f64 = 1.0 / 256.0 + 8e-5 + F32_TOLERANCE;

/// What large scores lose by rounding, as a part of their size. The worst measured moves a result by 7.2e-5, where 1.4e-3 is allowed.
const SCORE_ROUNDING: f64 = 2.0 * f32::EPSILON as f64;

const fn heads(n_heads: usize, head_size: usize) -> Heads {
    Heads { n_heads, head_size }
}

/// A kind of number that attention reads, in tests.
pub(super) trait Tested: Number {
    const TOLERANCE: f64;
    const NAN: Self;

    fn of(x: f32) -> Self;
    fn back(self) -> f32;
}

impl Tested for f32 {
    const TOLERANCE: f64 = F32_TOLERANCE;
    const NAN: Self = f32::NAN;

    fn of(x: f32) -> Self {
        x
    }

    fn back(self) -> f32 {
        self
    }
}

impl Tested for u16 {
    const TOLERANCE: f64 = BF16_TOLERANCE;
    const NAN: Self = bf16::NAN.to_bits();

    fn of(x: f32) -> Self {
        bf16::from_f32(x).to_bits()
    }

    fn back(self) -> f32 {
        bf16::from_bits(self).to_f32()
    }
}

/// Queries, keys and values in `[-1, 1]`, the queries scaled so that scores are of the order of `score`.
pub(super) fn random_qkv<T: Tested>(n_tokens: usize, heads: Heads, score: f32) -> Array2<T> {
    let hidden_size = heads.n_heads * heads.head_size;
    let mut qkv = random(n_tokens, 3 * hidden_size, 1.0);
    // The products' variance is 1/9 each.
    let scale = score * 3.0 / (heads.head_size as f32).sqrt();
    qkv.slice_mut(s![.., ..hidden_size]).mapv_inplace(|q| scale * q);
    qkv.mapv(T::of)
}

pub(super) fn random_bias(heads: Heads, n_positions: usize) -> DistanceBias {
    DistanceBias { values: numbers(heads.n_heads * (2 * n_positions - 1), 3.0), n_positions }
}

pub(super) fn attend<T: Tested>(
    isa: Isa,
    qkv: &Array2<T>,
    heads: Heads,
    sight: Sight<'_>,
    room: &mut AttentionRoom<T>,
) -> Vec<f32> {
    let mut out = vec![f32::NAN; qkv.len() / 3];
    self_attention(isa, qkv.as_slice().unwrap(), heads, sight, room, &mut out);
    out
}

fn fresh<T: Tested>() -> AttentionRoom<T> {
    AttentionRoom::default()
}

fn assert_agrees(found: &[f32], expected: ArrayView2<f64>, tolerance: f64, what: &str) {
    super::assert_close(found, expected.as_slice().unwrap(), tolerance, what);
}

fn check<T: Tested>(heads: Heads, n_tokens: usize) {
    let qkv = random_qkv::<T>(n_tokens, heads, 3.0);
    let as_f32 = qkv.mapv(T::back);
    // For more positions than there are tokens, too.
    let bias = random_bias(heads, n_tokens + 5);
    for reach in REACHES {
        for bias in [None, Some(&bias)] {
            let sight = Sight { reach, bias };
            let expected = scalar::self_attention(as_f32.view(), heads, sight);
            for isa in Isa::available() {
                let found = attend(isa, &qkv, heads, sight, &mut fresh());
                let bias = if bias.is_some() { "with bias" } else { "without bias" };
                let what = format!("{:?}, {heads:?}, {n_tokens} tokens, {reach:?}, {bias}, {}", T::FORMAT, isa.name());
                assert_agrees(&found, expected.view(), T::TOLERANCE, &what);
            }
        }
    }
}

#[test]
fn f32_attention_agrees() {
    HEADS.into_iter().for_each(|heads| N_TOKENS.into_iter().for_each(|n_tokens| check::<f32>(heads, n_tokens)));
}

#[test]
fn bf16_attention_agrees() {
    HEADS.into_iter().for_each(|heads| N_TOKENS.into_iter().for_each(|n_tokens| check::<u16>(heads, n_tokens)));
}

#[test]
fn f32_attention_agrees_in_long_windows() {
    MANY_TOKENS.into_iter().for_each(|n_tokens| check::<f32>(heads(2, 32), n_tokens));
}

#[test]
fn bf16_attention_agrees_in_long_windows() {
    MANY_TOKENS.into_iter().for_each(|n_tokens| check::<u16>(heads(2, 32), n_tokens));
    check::<u16>(heads(1, 5), MANY_TOKENS[0]);
}

fn check_large_scores<T: Tested>() {
    for n_tokens in [2, 40, 65] {
        let qkv = random_qkv::<T>(n_tokens, heads(1, 32), 3000.0);
        let expected = scalar::self_attention(qkv.mapv(T::back).view(), heads(1, 32), Sight::default());
        // Twice: of the score itself and of the greatest.
        let tolerance = T::TOLERANCE + 2.0 * SCORE_ROUNDING * 3000.0;
        for isa in Isa::available() {
            let found = attend(isa, &qkv, heads(1, 32), Sight::default(), &mut fresh());
            assert_agrees(&found, expected.view(), tolerance, &format!("{:?} on {}", T::FORMAT, isa.name()));
        }
    }
}

#[test]
fn scores_of_thousands_do_not_overflow() {
    check_large_scores::<f32>();
    check_large_scores::<u16>();
}

/// What may be added to all scores of a query: nothing, either side of each end of what sums may be and of what an f32 can hold.
const SHIFTS: [f32; 14] =
    [0.0, -30.0, -56.0, -64.0, -125.0, -130.0, -200.0, -2_000.0, 90.0, 104.0, 126.0, 127.5, 129.0, 2_000.0];

/// Queries whose scores are all moved by `shifts` in turn: the first column of every key is 1.
fn shifted_qkv<T: Tested>(n_tokens: usize, shifts: impl Fn(usize) -> f32) -> Array2<T> {
    let mut qkv = random_qkv::<T>(n_tokens, heads(1, 32), 3.0);
    for (i, mut row) in qkv.outer_iter_mut().enumerate() {
        row[0] = T::of(shifts(i));
        row[32] = T::of(1.0);
    }
    qkv
}

fn check_shifted_scores<T: Tested>() {
    for n_tokens in [1, 14, 33, 64, 100] {
        let qkv = shifted_qkv::<T>(n_tokens, |i| SHIFTS[i % SHIFTS.len()]);
        let expected = scalar::self_attention(qkv.mapv(T::back).view(), heads(1, 32), Sight::default());
        let tolerance = T::TOLERANCE + 2.0 * SCORE_ROUNDING * 2_000.0;
        assert_same_on(&fused_sets(), "shifted scores", |isa| {
            bits(&attend(isa, &qkv, heads(1, 32), Sight::default(), &mut fresh()))
        });
        for isa in Isa::available() {
            let found = attend(isa, &qkv, heads(1, 32), Sight::default(), &mut fresh());
            assert_agrees(&found, expected.view(), tolerance, &format!("{:?} on {}", T::FORMAT, isa.name()));
            for (i, &shift) in SHIFTS.iter().enumerate().take(n_tokens) {
                let alone = shifted_qkv::<T>(n_tokens, |other| if other == i { shift } else { 0.0 });
                let alone = attend(isa, &alone, heads(1, 32), Sight::default(), &mut fresh());
                let row = i * 32..(i + 1) * 32;
                assert_eq!(bits(&alone[row.clone()]), bits(&found[row]), "query {i} of {n_tokens} on {}", isa.name());
            }
        }
    }
}

#[test]
fn scores_too_large_or_small_for_powers_change_their_own_query_alone() {
    check_shifted_scores::<f32>();
    check_shifted_scores::<u16>();
}

/// Poisons one number and tells which results must be NaN; the others must be what they were.
fn check_nan<T: Tested>(n_tokens: usize, heads: Heads) {
    let hidden_size = heads.n_heads * heads.head_size;
    let (poisoned_token, head_idx, column) = (n_tokens / 2, heads.n_heads - 1, heads.head_size - 1);
    for isa in Isa::available() {
        for part_idx in 0..3 {
            let mut qkv = random_qkv::<T>(n_tokens, heads, 3.0);
            let sound = attend(isa, &qkv, heads, Sight::default(), &mut fresh());
            let place = part_idx * hidden_size + head_idx * heads.head_size + column;
            qkv[[poisoned_token, place]] = T::NAN;
            let found = attend(isa, &qkv, heads, Sight::default(), &mut fresh());
            for (i, (found, sound)) in found.iter().zip(&sound).enumerate() {
                let (token, of_head) = (i / hidden_size, (i % hidden_size).checked_sub(head_idx * heads.head_size));
                let is_poisoned = of_head.is_some_and(|of_head| match part_idx {
                    0 => token == poisoned_token,
                    1 => true,
                    _ => of_head == column,
                });
                let what = format!("{:?}, {heads:?}, part {part_idx}, number {i} on {}", T::FORMAT, isa.name());
                if is_poisoned {
                    assert!(found.is_nan(), "{what}: NaN vanished");
                } else {
                    assert_eq!(found.to_bits(), sound.to_bits(), "{what}");
                }
            }
        }
    }
}

#[test]
fn nan_reaches_those_who_see_it_and_no_others() {
    for n_tokens in [1, 20, 40, 77] {
        for heads in [heads(2, 4), heads(2, 32), heads(1, 33), heads(3, 48)] {
            check_nan::<f32>(n_tokens, heads);
            check_nan::<u16>(n_tokens, heads);
        }
    }
}

/// Runs windows of NaN, infinities and huge numbers in a room, then others.
fn check_used_room<T: Tested>() {
    for isa in Isa::available() {
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            for before in [heads(3, 40), heads(1, 7), heads(1, 97)] {
                let mut room = fresh();
                let longest = Array2::from_elem((130, 3 * before.n_heads * before.head_size), T::of(poison));
                for heads in HEADS.into_iter().chain([heads(2, 33), heads(1, 7)]) {
                    attend(isa, &longest, before, Sight::default(), &mut room);
                    for n_tokens in [52, 33, 1, 17, 2] {
                        let qkv = random_qkv::<T>(n_tokens, heads, 3.0);
                        let bias = random_bias(heads, 60);
                        for sight in [Sight::default(), Sight { reach: Some(3), bias: Some(&bias) }] {
                            let expected = attend(isa, &qkv, heads, sight, &mut fresh());
                            let found = attend(isa, &qkv, heads, sight, &mut room);
                            let what = format!("{poison}, {before:?}, then {heads:?}, {n_tokens} tokens");
                            assert!(expected.iter().all(|x| x.is_finite()), "{what}");
                            assert!(bits(&found) == bits(&expected), "{what} on {}: the room remembers", isa.name());
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn what_a_room_held_before_does_not_matter_in_f32() {
    check_used_room::<f32>();
}

#[test]
fn what_a_room_held_before_does_not_matter_in_bf16() {
    check_used_room::<u16>();
}

#[test]
#[should_panic(expected = "the bias is for 3 positions")]
fn a_bias_for_fewer_positions_is_refused() {
    let bias = random_bias(heads(1, 2), 3);
    let sight = Sight { bias: Some(&bias), ..Sight::default() };
    attend(Isa::best(), &random_qkv::<f32>(4, heads(1, 2), 1.0), heads(1, 2), sight, &mut fresh());
}
