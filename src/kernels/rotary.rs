//! Rotation of queries and keys by position (Su et al. 2021, arXiv:2104.09864).

use super::attention::Heads;
use super::dispatch::{Isa, Kernel};
use super::simd::Simd;

/// Cosines and sines of every position.
#[derive(Clone, Debug, PartialEq)]
pub struct RotaryTable {
    /// `[n_positions, n_pairs]`
    cosines: Vec<f32>,
    sines: Vec<f32>,
    n_pairs: usize,
}

impl RotaryTable {
    /// From the radians per position of each pair of columns, `[head_size / 2]`.
    pub fn new(frequencies: &[f64], n_positions: usize) -> Self {
        let angles = (0..n_positions).flat_map(|position| frequencies.iter().map(move |f| position as f64 * f));
        let (cosines, sines) = angles.map(|angle| (angle.cos() as f32, angle.sin() as f32)).unzip();
        Self { cosines, sines, n_pairs: frequencies.len() }
    }
}

/// Rotates queries and keys of one window in place: of each head, columns `i` and `i + head_size / 2` are a pair, turned by its angle at the
/// row's position.
///
/// # Shapes
/// * `qkv` `[n_tokens, 3 · hidden_size]`; the values are left alone
///
/// # Panics
/// When the shapes do not match, or the table has fewer positions.
pub fn rotate(isa: Isa, table: &RotaryTable, heads: Heads, qkv: &mut [f32]) {
    let hidden_size = heads.n_heads * heads.head_size;
    assert_eq!(2 * table.n_pairs, heads.head_size, "columns of a head");
    assert!(qkv.len().is_multiple_of(3 * hidden_size), "queries, keys and values side by side");
    assert!(qkv.len() / (3 * hidden_size) * table.n_pairs <= table.cosines.len(), "more tokens than positions");
    isa.run(Rotate { table, hidden_size, qkv });
}

struct Rotate<'a> {
    table: &'a RotaryTable,
    hidden_size: usize,
    qkv: &'a mut [f32],
}

impl Kernel for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let n_pairs = self.table.n_pairs;
        let angles = self.table.cosines.chunks_exact(n_pairs).zip(self.table.sines.chunks_exact(n_pairs));
        for (row, (cosines, sines)) in self.qkv.chunks_exact_mut(3 * self.hidden_size).zip(angles) {
            for head in row[..2 * self.hidden_size].chunks_exact_mut(2 * n_pairs) {
                let (left, right) = head.split_at_mut(n_pairs);
                for i in 0..n_pairs {
                    let (a, b) = (left[i], right[i]);
                    left[i] = mul_add::<S>(a, cosines[i], -b * sines[i]);
                    right[i] = mul_add::<S>(b, cosines[i], a * sines[i]);
                }
            }
        }
    }
}

/// `a · b + c`, in one instruction where there is one.
#[inline(always)]
fn mul_add<S: Simd>(a: f32, b: f32, c: f32) -> f32 {
    if S::FMA { a.mul_add(b, c) } else { a * b + c }
}
