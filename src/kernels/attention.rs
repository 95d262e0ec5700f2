//! Multi-head self-attention of one window.

use ndarray::{ArrayView2, ArrayViewMut2, s};

use super::dispatch::Isa;
use super::elementwise::softmax;
use super::gemm::matmul;

/// Queries whose scores are held at a time, so that the scores of a long window take half a MiB at most; from 32 to 512 the speed
/// differs by 5 %.
const QUERY_TILE: usize = 256;

/// Rows of scores are padded to whole registers of 16 numbers, which spares the soft-max its remainder.
const SCORE_ALIGNMENT: usize = 16;

/// Every token of a window attends to every other: per head, `softmax(Q · Kᵀ) · V`.
///
/// The usual factor `1 / √head_size` is the caller's, who folds it into the queries (Vaswani et al. 2017, arXiv:1706.03762).
/// A window without tokens is done at once. Neither what `out` nor what `scores` held before matters.
///
/// # Shapes
/// * `qkv` `[n_tokens, 3 · hidden_size]`: queries, keys and values side by side, each with its heads side by side
/// * `out` `[n_tokens, hidden_size]`
/// * `scores` is room to work in; it grows to what the longest window needs and is kept by the caller
///
/// # Panics
/// When the shapes do not match, or `n_heads` does not divide `hidden_size`.
pub fn self_attention(
    isa: Isa,
    qkv: ArrayView2<f32>,
    n_heads: usize,
    scores: &mut Vec<f32>,
    mut out: ArrayViewMut2<f32>,
) {
    let (n_tokens, hidden_size) = out.dim();
    assert_eq!(qkv.dim(), (n_tokens, 3 * hidden_size), "queries, keys and values do not fit the output");
    assert!(hidden_size.is_multiple_of(n_heads), "{n_heads} heads cannot share {hidden_size} columns");
    if n_tokens == 0 {
        return;
    }
    let head_size = hidden_size / n_heads;
    let score_width = n_tokens.next_multiple_of(SCORE_ALIGNMENT);
    let n_scores = QUERY_TILE.min(n_tokens) * score_width;
    if scores.len() < n_scores {
        scores.resize(n_scores, 0.0);
    }
    for head_start in (0..hidden_size).step_by(head_size) {
        let columns = |part: usize| part * hidden_size + head_start..part * hidden_size + head_start + head_size;
        let keys = qkv.slice(s![.., columns(1)]);
        let values = qkv.slice(s![.., columns(2)]);
        for tile_start in (0..n_tokens).step_by(QUERY_TILE) {
            let tile = tile_start..n_tokens.min(tile_start + QUERY_TILE);
            let rows = &mut scores[..tile.len() * score_width];
            for row in rows.chunks_exact_mut(score_width) {
                row[n_tokens..].fill(f32::NEG_INFINITY);
            }
            let mut tile_scores = ArrayViewMut2::from_shape((tile.len(), score_width), &mut *rows)
                .expect("the slice was cut to this shape");
            let queries = qkv.slice(s![tile.clone(), columns(0)]);
            matmul(queries, keys.t(), tile_scores.slice_mut(s![.., ..n_tokens]), false);
            softmax(isa, rows, score_width);
            let weights = ArrayView2::from_shape((tile.len(), score_width), &*rows).expect("as above");
            let context = out.slice_mut(s![tile, columns(0)]);
            matmul(weights.slice(s![.., ..n_tokens]), values, context, false);
        }
    }
}
