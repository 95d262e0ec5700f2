//! Windows of tokens laid end to end without padding, and the plan of which windows share a batch.

use std::ops::Range;

/// The tokens of several windows, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedBatch {
    token_ids: Vec<u32>,
    /// Where each window starts; one more entry at the end holds the total. Never empty.
    offsets: Vec<usize>,
}

impl PackedBatch {
    /// Packs windows in the order given.
    pub fn new<'a>(windows: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut batch = Self { token_ids: Vec::new(), offsets: vec![0] };
        for window in windows {
            batch.token_ids.extend_from_slice(window);
            batch.offsets.push(batch.token_ids.len());
        }
        batch
    }

    /// All token ids, `[n_tokens]`.
    pub fn token_ids(&self) -> &[u32] {
        &self.token_ids
    }

    /// Number of tokens in all windows together.
    pub fn n_tokens(&self) -> usize {
        self.token_ids.len()
    }

    /// Number of windows.
    pub fn n_windows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Where the tokens of each window lie.
    pub fn windows(&self) -> impl ExactSizeIterator<Item = Range<usize>> + Clone + '_ {
        self.offsets.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// Number of tokens of the longest window.
    pub fn longest(&self) -> usize {
        self.windows().map(|range| range.len()).max().unwrap_or(0)
    }
}

/// Groups windows into batches of at most `token_budget` tokens, counted as rows × longest row, so that an executor that pads
/// holds the budget too. A window longer than the budget gets a batch of its own.
///
/// Windows are sorted by length, longest first (ties keep input order): rows of one batch are of like length, the largest batch comes first, so that memory is
/// known to suffice from the start, and the smallest come last, so that all threads finish together.
/// The plan depends on the lengths alone, never on the number of threads.
///
/// ```
/// use topicwire::text::pack::plan_batches;
/// assert_eq!(plan_batches(&[2, 7, 3], 8), vec![vec![1], vec![2, 0]]);
/// ```
pub fn plan_batches(lengths: &[usize], token_budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(lengths[i]));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut longest = 0;
    for i in order {
        match batches.last_mut() {
            Some(batch) if (batch.len() + 1) * longest <= token_budget => batch.push(i),
            _ => {
                longest = lengths[i].max(1);
                batches.push(vec![i]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_order_and_bounds() {
        let batch = PackedBatch::new([&[1, 2, 3][..], &[], &[4]]);
        assert_eq!(batch.token_ids(), [1, 2, 3, 4]);
        assert_eq!(batch.windows().collect::<Vec<_>>(), [0..3, 3..3, 3..4]);
        assert_eq!((batch.n_windows(), batch.n_tokens(), batch.longest()), (3, 4, 3));
    }

    #[test]
    fn every_window_is_in_one_batch_and_no_batch_of_several_exceeds_the_budget() {
        let lengths = [5, 300, 1, 17, 17, 0, 256, 90, 33];
        let batches = plan_batches(&lengths, 256);
        let mut seen: Vec<usize> = batches.iter().flatten().copied().collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
        for batch in &batches {
            let padded = batch.len() * batch.iter().map(|&i| lengths[i]).max().unwrap();
            assert!(batch.len() == 1 || padded <= 256, "{batch:?} takes {padded}");
        }
    }
}
