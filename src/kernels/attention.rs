//! Multi-head self-attention of one window.

use std::ops::Range;

use super::dispatch::{Isa, Kernel};
use super::elementwise::{LOWEST_EXPONENT, exp2};
use super::packed::{Format, PANEL_COLUMNS, STEP_BYTES};
use super::room::Room;
use super::simd::{BLOCK, F32s, LANES, Simd, fold, load_at, map_in_place};
use super::tile::{Finish, FinishPowers, FinishScaled, MAX_TILE_ROWS, PANEL_STEP_BYTES, TileJob, Tiles};

/// Scores are exponents of two: what would be a score of 1 in the usual soft-max has to come in as this.
pub const SCORE_UNIT: f64 = std::f64::consts::LOG2_E;

/// Sums of exponentials that need no other scale. At the lower end, what was lost below the smallest normal number is less than `2⁻⁶⁰` of the
/// sum; at the upper, values of a thousand can be weighted without overflow.
const USABLE_SUMS: Range<f32> = f32::from_bits((127 - 60) << 23)..f32::from_bits((127 + 100) << 23);

/// A number that attention can read: `f32`, or the bits of a bf16.
pub trait Number: Copy + Default {
    #[doc(hidden)]
    const FORMAT: Format;

    /// Writes the nearest numbers of this kind and adds them to `sums`.
    #[doc(hidden)]
    fn store_and_add<F: F32s>(numbers: [F; 2], to: &mut [Self; BLOCK], sums: F) -> F;
}

impl Number for f32 {
    const FORMAT: Format = Format::F32;

    #[inline(always)]
    fn store_and_add<F: F32s>([a, b]: [F; 2], to: &mut [Self; BLOCK], sums: F) -> F {
        let (registers, _) = to.as_chunks_mut();
        a.store(&mut registers[0]);
        b.store(&mut registers[1]);
        sums.add(a.add(b))
    }
}

impl Number for u16 {
    const FORMAT: Format = Format::Bf16;

    #[inline(always)]
    fn store_and_add<F: F32s>([a, b]: [F; 2], to: &mut [Self; BLOCK], sums: F) -> F {
        a.store_bf16_and_add(b, to, sums)
    }
}

/// How the heads share the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    pub n_heads: usize,
    pub head_size: usize,
}

/// Which keys a query sees, and what their distance does.
#[derive(Clone, Copy, Default)]
pub struct Sight<'a> {
    /// How far, to either side; `None` for the whole window.
    pub reach: Option<usize>,
    pub bias: Option<&'a DistanceBias>,
}

/// What is added to scores by head and distance, in [`SCORE_UNIT`]s.
#[derive(Clone, Debug, PartialEq)]
pub struct DistanceBias {
    /// `[n_heads, 2 · n_positions - 1]`: a key `d` places behind its query (negative: before) reads column `d + n_positions - 1`.
    pub values: Vec<f32>,
    pub n_positions: usize,
}

impl DistanceBias {
    /// Of one head and query: a number for each key from `first_key` on.
    #[inline(always)]
    fn of_query(&self, head_idx: usize, query_idx: usize, first_key: usize) -> &[f32] {
        let n_distances = 2 * self.n_positions - 1;
        &self.values[head_idx * n_distances..][..n_distances][self.n_positions - 1 + first_key - query_idx..]
    }
}

/// Room to work in, kept from one window to the next; it grows to what the longest needs.
#[derive(Default)]
pub struct AttentionRoom<T> {
    /// Keys in panels of 32, `[n_panels, n_steps, 32, step]`.
    keys: Room<T>,
    /// Values in panels of 32 columns, `[n_panels, n_steps, 32, step]`; a step is over keys.
    values: Room<T>,
    /// Scores of a few queries, and their exponentials.
    scores: Room<f32>,
    weights: Room<T>,
    /// Weighted values of a few queries, `[n_queries, 32 · n_panels]`.
    context: Room<f32>,
}

/// Every token of a window attends to those it sees: per head, `softmax(Q · Kᵀ + bias) · V` (Vaswani et al. 2017, arXiv:1706.03762).
///
/// The factor `1 / √head_size` and [`SCORE_UNIT`] are the caller's, who folds them into the queries. Scores are gathered for a few queries at a
/// time; they may be of any size: where the sum of a query's exponentials is not within `2⁻⁶⁰` to `2¹⁰⁰`, they are taken
/// again, less the greatest score. With bf16, exponentials are rounded to bf16 before they are summed, so that a lone one counts in full; all sums are
/// f32.
///
/// # Shapes
/// * `qkv` `[n_tokens, 3 · hidden_size]`: queries, keys and values side by side, each with its heads side by side
/// * `out` `[n_tokens, hidden_size]`
///
/// # Panics
/// When the shapes do not match, or the bias is for other heads or fewer positions.
pub fn self_attention<T: Number>(
    isa: Isa,
    qkv: &[T],
    heads: Heads,
    sight: Sight<'_>,
    room: &mut AttentionRoom<T>,
    out: &mut [f32],
) {
    let hidden_size = heads.n_heads * heads.head_size;
    assert!(hidden_size > 0 && out.len().is_multiple_of(hidden_size), "{} values are no rows of {heads:?}", out.len());
    assert_eq!(qkv.len(), 3 * out.len(), "queries, keys and values do not fit the output");
    let n_tokens = out.len() / hidden_size;
    if let Some(bias) = sight.bias {
        assert!(n_tokens <= bias.n_positions, "the bias is for {} positions", bias.n_positions);
        assert_eq!(bias.values.len(), heads.n_heads * (2 * bias.n_positions - 1), "a number per head and distance");
    }
    if n_tokens > 0 {
        isa.run(Attention { tiles: isa.tiles(T::FORMAT), qkv, heads, n_tokens, sight, room, out });
    }
}

struct Attention<'a, T> {
    tiles: Tiles,
    qkv: &'a [T],
    heads: Heads,
    n_tokens: usize,
    sight: Sight<'a>,
    room: &'a mut AttentionRoom<T>,
    out: &'a mut [f32],
}

impl<T: Number> Kernel for Attention<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { tiles, qkv, heads: Heads { n_heads, head_size }, n_tokens, sight, room, out } = self;
        let hidden_size = n_heads * head_size;
        let step_len = T::FORMAT.step_len();
        let n_padded = n_tokens.next_multiple_of(PANEL_COLUMNS);
        let n_key_steps = head_size.div_ceil(step_len);
        let n_value_steps = n_padded / step_len;
        let n_value_panels = head_size.div_ceil(PANEL_COLUMNS);
        let context_width = n_value_panels * PANEL_COLUMNS;
        let key_panel_len = n_key_steps * PANEL_COLUMNS * step_len;
        let value_panel_len = n_value_steps * PANEL_COLUMNS * step_len;
        let AttentionRoom { keys, values, scores, weights, context } = room;
        // Whatever the last window left in the padding meets a 0 or is left out, and all of it is finite or was never so.
        keys.grow(n_padded / PANEL_COLUMNS * key_panel_len);
        values.grow(n_value_panels * value_panel_len);
        scores.grow(tiles.max_rows * n_padded);
        weights.grow(tiles.max_rows * n_padded);
        context.grow(tiles.max_rows * context_width);
        let n_tiles = n_tokens.div_ceil(tiles.max_rows);
        for head_idx in 0..n_heads {
            let part = |part_idx: usize| Part {
                numbers: &qkv[part_idx * hidden_size + head_idx * head_size..],
                row_len: 3 * hidden_size,
                n_rows: n_tokens,
                width: head_size,
            };
            part(1).pack_keys(simd, keys, n_key_steps);
            part(2).pack_values(values, n_value_steps);
            for tile_idx in 0..n_tiles {
                let queries = tile_idx * n_tokens / n_tiles..(tile_idx + 1) * n_tokens / n_tiles;
                let seen = Seen::by(queries.clone(), sight.reach, n_tokens);
                let width = seen.n_panels * PANEL_COLUMNS;
                let scores = &mut scores[..queries.len() * width];
                let weights = &mut weights[..queries.len() * width];
                let mut sums = Sums([[0.0; LANES]; MAX_TILE_ROWS]);
                // All keys are seen alike: the tiles can take exponentials before scores are ever written.
                let takes_powers = tiles.can_finish && sight.reach.is_none() && sight.bias.is_none();
                let score_job = |out: *mut f32, finish| TileJob {
                    rows: part(0).numbers[queries.start * 3 * hidden_size..].as_ptr().cast(),
                    row_bytes: 3 * hidden_size * size_of::<T>(),
                    n_steps: n_key_steps,
                    panels: keys[seen.first_panel * key_panel_len..].as_ptr().cast(),
                    panel_bytes: n_key_steps * PANEL_STEP_BYTES,
                    n_panels: seen.n_panels,
                    out,
                    out_columns: width,
                    finish,
                };
                let finish = takes_powers.then(|| {
                    Finish::Powers(FinishPowers {
                        sums: sums.0.as_mut_ptr().cast(),
                        lowest: LOWEST_SCORES[width - n_tokens..].as_ptr(),
                        to: weights.as_mut_ptr().cast(),
                        row_bytes: width * size_of::<T>(),
                    })
                });
                let mut has_scores = finish.is_none();
                let job = score_job(scores.as_mut_ptr(), finish);
                // SAFETY: the queries are rows of the window; where `head_size` is odd, a row's last step reads a number of the keys beside them.
                // Panels, scores, weights and sums have the sizes that the job names.
                unsafe { (tiles.run)(queries.len(), &job) };
                if has_scores {
                    let rows = scores.chunks_exact_mut(width).zip(weights.chunks_exact_mut(width));
                    for ((query_idx, (scores, weights)), sums) in queries.clone().zip(rows).zip(&mut sums.0) {
                        look(simd, scores, query_idx, head_idx, n_tokens, &seen, sight);
                        exponentials(simd, scores, None, weights).store(sums);
                    }
                }
                let mut inverse_sums = [0.0; MAX_TILE_ROWS];
                for i in 0..queries.len() {
                    let mut sum = simd.load(&sums.0[i]).sum();
                    if !USABLE_SUMS.contains(&sum) {
                        if !has_scores {
                            // SAFETY: as above.
                            unsafe { (tiles.run)(queries.len(), &score_job(scores.as_mut_ptr(), None)) };
                            for (query_idx, scores) in queries.clone().zip(scores.chunks_exact_mut(width)) {
                                look(simd, scores, query_idx, head_idx, n_tokens, &seen, sight);
                            }
                            has_scores = true;
                        }
                        let (scores, weights) = (&scores[i * width..][..width], &mut weights[i * width..][..width]);
                        let greatest = greatest_of(simd, scores);
                        sum = exponentials(simd, scores, Some(greatest), weights).sum();
                    }
                    inverse_sums[i] = 1.0 / sum;
                }

                let context = &mut context[..queries.len() * context_width];
                let out = &mut out[queries.start * hidden_size + head_idx * head_size..];
                let out = &mut out[..(queries.len() - 1) * hidden_size + head_size];
                let finishes = tiles.can_finish && head_size == context_width;
                let context_job = TileJob {
                    rows: weights.as_ptr().cast(),
                    row_bytes: width * size_of::<T>(),
                    n_steps: width / step_len,
                    panels: values[seen.first_key() * PANEL_COLUMNS..].as_ptr().cast(),
                    panel_bytes: n_value_steps * PANEL_STEP_BYTES,
                    n_panels: n_value_panels,
                    out: context.as_mut_ptr(),
                    out_columns: context_width,
                    finish: finishes.then_some(Finish::Scaled(FinishScaled {
                        row_scales: inverse_sums.as_ptr(),
                        to: out.as_mut_ptr(),
                        row_len: hidden_size,
                    })),
                };
                // SAFETY: of each panel's `n_value_steps` steps, those of the keys seen are read; weights and context have the sizes that the
                // job names; the output has a whole number of panels for each query.
                unsafe { (tiles.run)(queries.len(), &context_job) };
                if finishes {
                    continue;
                }
                for (i, row) in context.chunks_exact(context_width).enumerate() {
                    let out = &mut out[i * hidden_size..][..head_size];
                    let inverse_sum = simd.splat(inverse_sums[i]);
                    map_in_place!(simd, out, |r, _| load_at(simd, row, r).mul(inverse_sum));
                }
            }
        }
    }
}

/// Of exponentials, lane by lane for each query; a register each, on cache lines.
#[repr(align(64))]
struct Sums([[f32; LANES]; MAX_TILE_ROWS]);

/// The panels of keys that a tile of queries needs.
struct Seen {
    first_panel: usize,
    n_panels: usize,
}

impl Seen {
    #[inline(always)]
    fn by(queries: Range<usize>, reach: Option<usize>, n_tokens: usize) -> Self {
        let first = visible(queries.start, reach, n_tokens).start / PANEL_COLUMNS;
        let end = visible(queries.end - 1, reach, n_tokens).end.div_ceil(PANEL_COLUMNS);
        Self { first_panel: first, n_panels: end - first }
    }

    #[inline(always)]
    fn first_key(&self) -> usize {
        self.first_panel * PANEL_COLUMNS
    }
}

/// The keys that one query sees.
#[inline(always)]
fn visible(query_idx: usize, reach: Option<usize>, n_tokens: usize) -> Range<usize> {
    match reach {
        None => 0..n_tokens,
        Some(reach) => query_idx.saturating_sub(reach)..n_tokens.min(query_idx + reach + 1),
    }
}

/// Queries, keys or values of one head.
struct Part<'a, T> {
    numbers: &'a [T],
    row_len: usize,
    n_rows: usize,
    width: usize,
}

impl<T: Number> Part<'_, T> {
    #[inline(always)]
    fn row(&self, row_idx: usize) -> &[T] {
        &self.numbers[row_idx * self.row_len..][..self.width]
    }

    /// Transposes keys into panels. Columns beyond the last key hold whatever: their scores are left out.
    #[inline(always)]
    fn pack_keys<S: Simd>(&self, simd: S, panels: &mut [T], n_steps: usize) {
        let step_len = T::FORMAT.step_len();
        let step_width = PANEL_COLUMNS * step_len;
        if self.width.is_multiple_of(LANES * step_len) {
            for first_row in (0..self.n_rows).step_by(LANES) {
                let n_rows = LANES.min(self.n_rows - first_row);
                let start = first_row / PANEL_COLUMNS * n_steps * step_width + first_row % PANEL_COLUMNS * step_len;
                for first_step in (0..n_steps).step_by(LANES) {
                    let rows = &self.numbers[first_row * self.row_len + first_step * step_len..];
                    let out =
                        &mut panels[start + first_step * step_width..][..(LANES - 1) * step_width + LANES * step_len];
                    assert!(rows.len() >= (n_rows - 1) * self.row_len + LANES * step_len, "rows end early");
                    // SAFETY: both slices were checked to hold the last row's last word.
                    unsafe {
                        simd.transpose_words(
                            rows.as_ptr().cast(),
                            self.row_len * size_of::<T>(),
                            n_rows,
                            out.as_mut_ptr().cast(),
                            PANEL_STEP_BYTES,
                        );
                    }
                }
            }
            return;
        }
        for row_idx in 0..self.n_rows {
            let start = row_idx / PANEL_COLUMNS * n_steps * step_width + row_idx % PANEL_COLUMNS * step_len;
            for (numbers, out) in self.row(row_idx).chunks(step_len).zip(panels[start..].chunks_mut(step_width)) {
                out[..step_len].fill(T::default());
                out[..numbers.len()].copy_from_slice(numbers);
            }
        }
    }

    /// Interleaves values into panels; rows beyond the last are 0, columns beyond the head's keep what they held.
    #[inline(always)]
    fn pack_values(&self, panels: &mut [T], n_steps: usize) {
        let step_len = T::FORMAT.step_len();
        let step_width = PANEL_COLUMNS * step_len;
        for (panel_idx, panel) in panels.chunks_exact_mut(n_steps * step_width).enumerate() {
            let first_column = panel_idx * PANEL_COLUMNS;
            if first_column >= self.width {
                break;
            }
            let columns = first_column..self.width.min(first_column + PANEL_COLUMNS);
            for (step_idx, step) in panel.chunks_exact_mut(step_width).enumerate() {
                let row_idx = step_idx * step_len;
                if row_idx >= self.n_rows {
                    step.fill(T::default());
                } else if step_len == 1 {
                    step[..columns.len()].copy_from_slice(&self.row(row_idx)[columns.clone()]);
                } else if row_idx + 1 < self.n_rows {
                    let (a, b) = (&self.row(row_idx)[columns.clone()], &self.row(row_idx + 1)[columns.clone()]);
                    for ((out, a), b) in step.as_chunks_mut::<2>().0.iter_mut().zip(a).zip(b) {
                        *out = [*a, *b];
                    }
                } else {
                    for (out, a) in step.as_chunks_mut::<2>().0.iter_mut().zip(&self.row(row_idx)[columns.clone()]) {
                        *out = [*a, T::default()];
                    }
                }
            }
        }
    }
}

/// The least scores that count: from the `i`-th number on 32 that leave out the last `i`.
static LOWEST_SCORES: [f32; 2 * PANEL_COLUMNS] = {
    let mut lowest = [LOWEST_EXPONENT; 2 * PANEL_COLUMNS];
    let mut i = PANEL_COLUMNS;
    while i < 2 * PANEL_COLUMNS {
        lowest[i] = f32::INFINITY;
        i += 1;
    }
    lowest
};

/// What a score is at most, so that a mask for any number of hidden columns at either end begins somewhere in it.
const MASKS: [f32; 3 * LANES] = {
    let mut masks = [f32::NEG_INFINITY; 3 * LANES];
    let mut i = LANES;
    while i < 2 * LANES {
        masks[i] = f32::INFINITY;
        i += 1;
    }
    masks
};

/// Makes the scores `-∞` of the keys that a query does not see, whatever they are.
#[inline(always)]
fn hide<S: Simd>(simd: S, scores: &mut [f32], visible: Range<usize>) {
    let (registers, _) = scores.as_chunks_mut::<LANES>();
    let (n_left, first_right) = (visible.start.div_ceil(LANES), visible.end / LANES);
    for (r, register) in registers[..n_left].iter_mut().enumerate() {
        let n_hidden = (visible.start - r * LANES).min(LANES);
        simd.load(register).min(load_at(simd, &MASKS[LANES - n_hidden..], 0)).store(register);
    }
    for (i, register) in registers[first_right..].iter_mut().enumerate() {
        let n_visible = visible.end.saturating_sub((first_right + i) * LANES).min(LANES);
        simd.load(register).min(load_at(simd, &MASKS[2 * LANES - n_visible..], 0)).store(register);
    }
}

/// The greatest score of a row; NaN does not count.
#[inline(always)]
fn greatest_of<S: Simd>(simd: S, scores: &[f32]) -> f32 {
    let lowest = simd.splat(f32::NEG_INFINITY);
    let [a, b] = fold!(simd, scores, f32::NEG_INFINITY, lowest, |most, x| x.max(most));
    a.max(b).greatest()
}

/// Makes scores those of the keys that a query sees, at their distance.
#[inline(always)]
fn look<S: Simd>(
    simd: S,
    scores: &mut [f32],
    query_idx: usize,
    head_idx: usize,
    n_tokens: usize,
    seen: &Seen,
    sight: Sight<'_>,
) {
    let visible = visible(query_idx, sight.reach, n_tokens);
    let columns = visible.start - seen.first_key()..visible.end - seen.first_key();
    hide(simd, scores, columns.clone());
    if let Some(bias) = sight.bias {
        let bias = bias.of_query(head_idx, query_idx, visible.start);
        for (score, bias) in scores[columns].iter_mut().zip(bias) {
            *score += bias;
        }
    }
}

/// Writes `2^score`, or `2^(score - greatest)`, and returns the sums of the lanes. The row is a whole number of panels long.
#[inline(always)]
fn exponentials<S: Simd, T: Number>(simd: S, scores: &[f32], greatest: Option<f32>, weights: &mut [T]) -> S::F32 {
    const { assert!(PANEL_COLUMNS == BLOCK) };
    let lowest = simd.splat(LOWEST_EXPONENT);
    let mut sums = simd.splat(0.0);
    macro_rules! gather {
        (|$x:ident| $power:expr) => {
            for (scores, weights) in scores.as_chunks::<BLOCK>().0.iter().zip(weights.as_chunks_mut::<BLOCK>().0) {
                let (registers, _) = scores.as_chunks::<LANES>();
                let powers = [
                    {
                        let $x = simd.load(&registers[0]);
                        $power
                    },
                    {
                        let $x = simd.load(&registers[1]);
                        $power
                    },
                ];
                sums = T::store_and_add(powers, weights, sums);
            }
        };
    }
    match (T::FORMAT, greatest.map(|greatest| simd.splat(greatest))) {
        (Format::F32, None) => gather!(|x| power::<S, false>(simd, x, lowest)),
        (Format::F32, Some(greatest)) => gather!(|x| exp2::<S, false>(simd, x.sub(greatest), lowest)),
        (Format::Bf16 | Format::Int8, None) => gather!(|x| power::<S, true>(simd, x, lowest)),
        (Format::Bf16 | Format::Int8, Some(greatest)) => gather!(|x| exp2::<S, true>(simd, x.sub(greatest), lowest)),
    }
    sums
}

/// `2ˣ`, 0 below `lowest`; more than any usable sum, or NaN, where it has no place in an f32 or `x` is NaN.
#[inline(always)]
pub(super) fn power<S: Simd, const ROUGH: bool>(simd: S, x: S::F32, lowest: S::F32) -> S::F32 {
    const TOO_LARGE: f32 = 128.0;
    exp2::<S, ROUGH>(simd, x.min(simd.splat(TOO_LARGE)), lowest)
}

const _: () = assert!(size_of::<f32>() == STEP_BYTES && 2 * size_of::<u16>() == STEP_BYTES);
