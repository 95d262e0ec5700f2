//! A linear head on sparse rows cut down to a size.
//!
//! A weight counts by `|w| · scale`, with the `idf` of its column as scale: what one occurrence of the term does to the
//! logit before the row is brought to length 1. The largest stay, each for itself: most columns matter to few labels.
//! Against whole columns by their norm over labels, at the same size, that keeps a higher mean average precision where
//! labels are many, and loses little where they are four.

use half::f16;

use super::{HeadError, SparseLinearHead, SparseRows};

/// Bytes of a weight: half precision, and the label as a `u16`.
pub const WEIGHT_BYTES: usize = 4;

/// Bytes of a column that the head needs itself: how many weights it has.
pub const COLUMN_BYTES: usize = 2;

/// Bytes of an intercept.
pub const INTERCEPT_BYTES: usize = 4;

/// What pruning leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct PrunedHead {
    /// Takes the columns kept alone, in the same order. Weights are rounded to half precision.
    pub head: SparseLinearHead,
    /// Columns kept, ascending, as the head before numbers them.
    pub columns: Vec<u32>,
    /// What head and columns take, at most what was allowed.
    pub n_bytes: usize,
    /// Whether weights other than 0 had to go.
    pub was_cut: bool,
}

impl SparseLinearHead {
    /// Keeps the weights that count most, as many as fit in `n_bytes`, and the columns that have any.
    ///
    /// The rows for the new head are those of the columns kept, brought to length 1 anew, as the vocabulary of these
    /// columns makes them. No refit is needed for the ranking of labels and articles; logits shrink with the weights
    /// that went, so thresholds and calibration belong after the pruning.
    ///
    /// # Shapes
    /// * `scales` `[n_columns]`, positive: the `idf` of each column
    /// * `column_bytes` `[n_columns]`: what a column takes beside its weights, its hash, `idf` and spelling
    ///
    /// # Errors
    /// [`HeadError::Setting`] when scales or sizes are not one per column or a scale is not positive, or when not even
    /// the intercepts fit.
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use topicwire::heads::{SparseLinearHead, SparseRows};
    /// use topicwire::labels::Task;
    /// let weights = SparseRows::new(2, vec![0, 2, 3, 4], vec![0, 1, 0, 1], vec![1.0, 0.5, -3.0, 0.1])?;
    /// let head = SparseLinearHead::new(Task::Multi, weights, array![0.0, 0.0])?;
    /// // Intercepts take 8 bytes, a weight in a column of its own 4 + 2 + 12.
    /// let pruned = head.prune(&[1.0; 3], &[12; 3], 44)?;
    /// assert_eq!((pruned.columns, pruned.n_bytes), (vec![0, 1], 44));
    /// assert_eq!(pruned.head.weights().values(), [1.0, -3.0]);
    /// # Ok::<(), topicwire::heads::HeadError>(())
    /// ```
    pub fn prune(&self, scales: &[f32], column_bytes: &[u32], n_bytes: usize) -> Result<PrunedHead, HeadError> {
        for (name, n_found) in [("scales", scales.len()), ("column_bytes", column_bytes.len())] {
            if n_found != self.n_columns() {
                let found = format!("{n_found} numbers for {} columns", self.n_columns());
                return Err(HeadError::Setting { name, found, expected: "one for each column" });
            }
        }
        if let Some(scale) = scales.iter().find(|scale| !(scale.is_finite() && **scale > 0.0)) {
            return Err(HeadError::Setting { name: "scales", found: scale.to_string(), expected: "positive numbers" });
        }
        let mut n_used = INTERCEPT_BYTES * self.n_labels();
        if n_bytes < n_used {
            let found = n_bytes.to_string();
            return Err(HeadError::Setting { name: "n_bytes", found, expected: "at least 4 for each label" });
        }

        let mut ranking: Vec<(f32, u32, u32)> = Vec::with_capacity(self.weights().n_entries());
        for (column_idx, &scale) in scales.iter().enumerate() {
            let (labels, weights) = self.weights().row(column_idx);
            let ranked =
                labels.iter().zip(weights).map(|(&label, &weight)| (weight.abs() * scale, column_idx as u32, label));
            ranking.extend(ranked.filter(|entry| entry.0 > 0.0));
        }
        ranking.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let mut kept: Vec<Vec<u32>> = vec![Vec::new(); self.n_columns()];
        let mut was_cut = false;
        for (_, column, label) in ranking {
            let labels = &mut kept[column as usize];
            let column_cost = COLUMN_BYTES + column_bytes[column as usize] as usize;
            let cost = WEIGHT_BYTES + if labels.is_empty() { column_cost } else { 0 };
            if n_used + cost > n_bytes {
                was_cut = true;
                break;
            }
            n_used += cost;
            labels.push(label);
        }

        let columns: Vec<u32> =
            (0..self.n_columns() as u32).filter(|&column| !kept[column as usize].is_empty()).collect();
        let rows: Vec<Vec<(u32, f32)>> = columns
            .iter()
            .map(|&column| {
                let (labels, weights) = self.weights().row(column as usize);
                let kept = &mut kept[column as usize];
                kept.sort_unstable();
                let entries = labels.iter().zip(weights).filter(|entry| kept.binary_search(entry.0).is_ok());
                entries.map(|(&label, &weight)| (label, half_precision(weight))).collect()
            })
            .collect();
        let weights = SparseRows::from_rows(self.n_labels(), &rows);
        let head = SparseLinearHead::new(self.task(), weights, self.intercepts().to_owned())?;
        Ok(PrunedHead { head, columns, n_bytes: n_used, was_cut })
    }
}

/// The nearest number that half precision holds; what is beyond its range becomes the largest one.
fn half_precision(weight: f32) -> f32 {
    f16::from_f32(weight).clamp(f16::MIN, f16::MAX).to_f32()
}

#[cfg(test)]
mod tests {
    use ndarray::Array1;

    use super::*;
    use crate::labels::Task;

    fn head() -> SparseLinearHead {
        let weights = SparseRows::new(2, vec![0, 2, 3, 3, 4], vec![0, 1, 1, 0], vec![0.1, -2.0, 0.5, 1e9]).unwrap();
        SparseLinearHead::new(Task::Multi, weights, Array1::from(vec![0.25, -0.5])).unwrap()
    }

    #[test]
    fn every_size_is_kept_to_and_a_larger_one_never_holds_less() {
        let mut before = 0;
        for n_bytes in 8..=80 {
            let pruned = head().prune(&[1.0; 4], &[12; 4], n_bytes).unwrap();
            assert!(pruned.n_bytes <= n_bytes);
            let n_entries = pruned.head.weights().n_entries();
            let expected = 8 + pruned.columns.len() * 14 + n_entries * 4;
            assert_eq!(pruned.n_bytes, expected);
            assert!(n_entries >= before);
            before = n_entries;
        }
        assert_eq!(before, 4);
    }

    #[test]
    fn the_scale_decides_and_a_pruned_head_predicts() {
        // Beside the largest weight, one more in a column of its own.
        let n_bytes = 8 + 2 * 18;
        let by_weight = head().prune(&[1.0; 4], &[12; 4], n_bytes).unwrap();
        assert_eq!(by_weight.columns, [0, 3]);
        let scaled = head().prune(&[1.0, 9.0, 1.0, 1.0], &[12; 4], n_bytes).unwrap();
        assert_eq!(scaled.columns, [1, 3]);
        let rows = SparseRows::new(2, vec![0, 0, 1], vec![0], vec![0.5]).unwrap();
        let logits = scaled.head.logits(&rows).unwrap();
        assert_eq!(logits, ndarray::array![[0.25, -0.5], [0.25, -0.25]]);
    }

    #[test]
    fn weights_beyond_half_precision_stay_finite() {
        let pruned = head().prune(&[1.0; 4], &[12; 4], 1000).unwrap();
        assert_eq!(pruned.columns, [0, 1, 3]);
        assert_eq!(pruned.head.weights().row(2).1, [65504.0]);
        let error = (pruned.head.weights().row(0).1[0] - 0.1).abs();
        assert!(error < 1e-4, "rounding error {error}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let cases: [(&[f32], &[u32], usize, &str); 4] = [
            (&[1.0; 3], &[12; 4], 100, "head setting `scales` is 3 numbers for 4 columns, expected one for each"),
            (&[1.0; 4], &[12; 5], 100, "head setting `column_bytes` is 5 numbers for 4 columns"),
            (&[1.0, f32::NAN, 1.0, 1.0], &[12; 4], 100, "head setting `scales` is NaN, expected positive numbers"),
            (&[1.0; 4], &[12; 4], 7, "head setting `n_bytes` is 7, expected at least 4 for each label"),
        ];
        for (scales, column_bytes, n_bytes, expected) in cases {
            let message = head().prune(scales, column_bytes, n_bytes).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
