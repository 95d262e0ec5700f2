//! Shares of the labels among unlabelled articles, by their probabilities under other shares.
//!
//! EM of Saerens, Latinne & Decaestecker, *Adjusting the Outputs of a Classifier to New a Priori Probabilities* (2002), § 2.2, with a
//! Dirichlet prior: `r[i, k] ∝ π[k] exp(z[i, k])`, `π[k] = (∑ᵢ r[i, k] + α[k]) / ∑`. The prior keeps a label that a weak classifier
//! never sees from vanishing.

use ndarray::{Array1, ArrayView2, Axis};

use super::affine::softmax_rows;

/// Rounds at most, and the largest change of a share that ends them.
const MAX_ROUNDS: usize = 200;
const TOLERANCE: f64 = 1e-9;

/// Shares from `logits` `[n_rows, n_labels]`, in which all labels weigh the same; `pseudo_counts` `[n_labels]` are positive.
pub(super) fn match_shares(logits: ArrayView2<f64>, pseudo_counts: &[f64]) -> Vec<f64> {
    let prior = Array1::from(pseudo_counts.to_vec());
    let mut shares = &prior / prior.sum();
    for _ in 0..MAX_ROUNDS {
        let responsibilities = softmax_rows(&logits + &shares.mapv(f64::ln));
        let counts = responsibilities.sum_axis(Axis(0)) + &prior;
        let next = &counts / counts.sum();
        let change = next.iter().zip(&shares).fold(0.0f64, |a, (x, y)| a.max((x - y).abs()));
        shares = next;
        if change <= TOLERANCE {
            break;
        }
    }
    shares.to_vec()
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn few_shares_are_found_through_a_weak_classifier() {
        // A classifier that says 0.7 for the right label: 80 of 100 rows are of the first, which it names for 80 · 0.7 + 20 · 0.3 = 62.
        let logits =
            Array2::from_shape_fn((100, 2), |(i, k)| if (i < 62) == (k == 0) { 0.7f64.ln() } else { 0.3f64.ln() });
        let shares = match_shares(logits.view(), &[1e-6, 1e-6]);
        assert!((shares[0] - 0.8).abs() < 1e-3, "{shares:?}");
        let held = match_shares(logits.view(), &[50.0, 50.0]);
        assert!(held[0] < 0.7 && held[0] > 0.5, "{held:?}");
    }
}
