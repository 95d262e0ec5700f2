//! Short signatures of sets whose agreement estimates how much the sets share.

/// Values of a signature.
pub const SIGNATURE_LEN: usize = 128;

/// A signature: two sets agree at each place with a probability of their Jaccard similarity.
pub type Signature = [u32; SIGNATURE_LEN];

/// Spreads the rounds over all 64 bits (2⁶⁴ divided by the golden ratio).
const ROUND_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The signature of a set given by 64-bit hashes of its members; all zeros where it is empty.
///
/// Each round throws every member into one of the places by a hash of its own, and a place keeps the smallest hash of the
/// first round in which it gets any; from round `SIGNATURE_LEN` on all members go to the place whose turn it is. Rounds end
/// when no place is empty, so that a large set costs one hash a member and a small one about `SIGNATURE_LEN · ln SIGNATURE_LEN`
/// hashes. The estimate is unbiased, with a spread no wider than that of `SIGNATURE_LEN` independent permutations
/// (Dahlgaard, Knudsen & Thorup 2017, "Fast similarity sketching").
///
/// ```
/// use topicwire::curation::minhash::{agreement, signature};
/// let (all, half): (Vec<u64>, Vec<u64>) = ((0..400).collect(), (0..200).collect());
/// assert_eq!(agreement(&signature(&all), &signature(&all)), 1.0);
/// assert!((agreement(&signature(&all), &signature(&half)) - 0.5).abs() < 0.2);
/// ```
pub fn signature(members: &[u64]) -> Signature {
    let mut values = [0; SIGNATURE_LEN];
    let mut filled_in = [usize::MAX; SIGNATURE_LEN];
    let mut n_empty = if members.is_empty() { 0 } else { SIGNATURE_LEN };
    let mut round = 0;
    while n_empty > 0 {
        let salt = ROUND_STEP.wrapping_mul(round as u64 + 1);
        for &member in members {
            let hash = mix(member ^ salt);
            let place = match round < SIGNATURE_LEN {
                true => (hash >> 32) as usize % SIGNATURE_LEN,
                false => round - SIGNATURE_LEN,
            };
            let value = hash as u32;
            if filled_in[place] == usize::MAX {
                (filled_in[place], values[place]) = (round, value);
                n_empty -= 1;
            } else if filled_in[place] == round {
                values[place] = values[place].min(value);
            }
        }
        round += 1;
    }
    values
}

/// Share of places at which two signatures agree, an estimate of the Jaccard similarity with a standard deviation of
/// `√(J (1 − J) / SIGNATURE_LEN)`.
pub fn agreement(a: &Signature, b: &Signature) -> f64 {
    a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / SIGNATURE_LEN as f64
}

/// A bijection of 64 bits in which every bit of the input turns half of those of the output (MurmurHash3's last steps).
pub(super) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Standard deviations that the mean of many estimates may lie off.
    const MAX_DEVIATIONS: f64 = 4.0;

    #[test]
    fn estimates_are_unbiased_and_as_narrow_as_permutations_for_sets_of_every_size() {
        for (n_shared, n_own) in [(2u64, 1u64), (10, 5), (40, 60), (300, 50), (3000, 1000)] {
            let jaccard = n_shared as f64 / (n_shared + 2 * n_own) as f64;
            let n_trials = 300;
            let (mut sum, mut squares) = (0.0, 0.0);
            for trial in 0..n_trials {
                let member = |i: u64| mix(trial * 1_000_000 + i);
                let shared = 0..n_shared;
                let a: Vec<u64> = shared.clone().chain(10_000..10_000 + n_own).map(member).collect();
                let b: Vec<u64> = shared.chain(20_000..20_000 + n_own).map(member).collect();
                let estimate = agreement(&signature(&a), &signature(&b));
                sum += estimate;
                squares += (estimate - jaccard).powi(2);
            }
            let bound = (jaccard * (1.0 - jaccard) / SIGNATURE_LEN as f64).sqrt();
            let mean = sum / n_trials as f64;
            assert!(
                (mean - jaccard).abs() < MAX_DEVIATIONS * bound / (n_trials as f64).sqrt(),
                "{mean}, not {jaccard}"
            );
            let spread = (squares / n_trials as f64).sqrt();
            assert!(spread < 1.15 * bound, "{n_shared} shared: {spread}, of permutations {bound}");
        }
    }

    #[test]
    fn order_does_not_matter_and_nothing_is_a_set_too() {
        let forward: Vec<u64> = (0..70).map(mix).collect();
        let backward: Vec<u64> = forward.iter().rev().copied().collect();
        assert_eq!(signature(&forward), signature(&backward));
        assert_eq!(signature(&[]), [0; SIGNATURE_LEN]);
    }
}
