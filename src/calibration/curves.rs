//! A curve per label, whatever its kind.

use ndarray::{Array2, ArrayView2};

use super::CalibrationError;
use super::beta::Beta;
use super::isotonic::Isotonic;
use super::platt::Platt;

/// Log-odds of a soft-max are kept within this: beyond it, a probability or what it lacks to 1 is no 64-bit number any more.
const MAX_LOG_ODDS: f64 = 700.0;

/// Curves that never fall, one for each label, from logits to calibrated logits.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Curves {
    /// Lines.
    Platt(Platt),
    /// Any rising curve.
    Isotonic(Isotonic),
    /// Lines with a bend at 0.
    Beta(Beta),
}

impl Curves {
    /// Calibrated logits of every label on its own, same shape as `logits` `[n_articles, n_labels]`.
    ///
    /// # Errors
    /// [`CalibrationError::NLabels`].
    pub fn logits(&self, logits: ArrayView2<f64>) -> Result<Array2<f64>, CalibrationError> {
        match self {
            Self::Platt(platt) => platt.logits(logits),
            Self::Isotonic(isotonic) => isotonic.logits(logits),
            Self::Beta(beta) => beta.logits(logits),
        }
    }

    /// How steep the curve of a label is: of an isotonic one, the line that is nearest to it; of a beta curve, at 0.
    ///
    /// # Panics
    /// When there is no such label.
    pub fn slope(&self, label_idx: usize) -> f64 {
        match self {
            Self::Platt(platt) => platt.slopes()[label_idx],
            Self::Isotonic(isotonic) => isotonic.lines().slopes()[label_idx],
            Self::Beta(beta) => {
                let curve = beta.curves()[label_idx];
                0.5 * (curve.below + curve.above)
            }
        }
    }
}

/// Log-odds of each label by the soft-max of its row: `z_k − ln Σ_{j≠k} exp(z_j)`, within ±700. What is added to all logits of a row, which
/// a soft-max does not see, falls out.
pub(super) fn log_odds(logits: ArrayView2<f64>) -> Array2<f64> {
    let mut odds = logits.to_owned();
    for mut row in odds.rows_mut() {
        let best = (0..row.len()).fold(0, |best, place| if row[place] > row[best] { place } else { best });
        let Some(&peak) = row.get(best) else { continue };
        // All but the best, whose own share may leave nothing of 1 to see.
        let others = row.iter().enumerate().filter(|(place, _)| *place != best).map(|(_, z)| (z - peak).exp());
        let others: f64 = others.sum();
        let total = (1.0 + others).ln();
        for (place, value) in row.iter_mut().enumerate() {
            let log_probability = *value - peak - total;
            let log_rest = if place == best { others.ln() - total } else { (-log_probability.exp()).ln_1p() };
            *value = (log_probability - log_rest).clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS);
        }
    }
    odds
}

/// `ln σ(z)`, without overflow.
pub(super) fn log_sigmoid(z: f64) -> f64 {
    z.min(0.0) - (-z.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn log_odds_are_those_of_the_soft_max() {
        let logits = array![[1.0, 2.0, 0.5], [0.0, 0.0, 0.0], [-3.0, 4.0, 4.0]];
        let found = log_odds(logits.view());
        for ((row_idx, label_idx), &odds) in found.indexed_iter() {
            let others: f64 =
                (0..3).filter(|other| *other != label_idx).map(|other| logits[[row_idx, other]].exp()).sum();
            let expected = logits[[row_idx, label_idx]] - others.ln();
            assert!((odds - expected).abs() < 1e-12, "{odds}, expected {expected}");
        }
        // Far out, where 1 − p is 0 to the last digit.
        let far = log_odds(array![[100.0, 0.0], [-100.0, 100.0], [1e308, -1e308]].view());
        assert_eq!(far, array![[100.0, -100.0], [-200.0, 200.0], [700.0, -700.0]]);
        assert_eq!(log_odds(array![[3.0]].view()), array![[700.0]]);
        assert_eq!(log_odds(Array2::zeros((2, 0)).view()).dim(), (2, 0));
    }

    #[test]
    fn log_sigmoids_keep_their_digits() {
        for (z, expected) in [(0.0, -std::f64::consts::LN_2), (-800.0, -800.0), (40.0, -(-40.0f64).exp())] {
            assert!((log_sigmoid(z) - expected).abs() <= 1e-15 * f64::abs(expected), "{z}");
        }
    }
}
