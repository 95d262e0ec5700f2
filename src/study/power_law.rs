//! An inverse power law through points of a learning curve.

use serde::{Deserialize, Serialize};

/// Exponents that are looked at. Measured ones lie between 0.1 and 1 (Viering & Loog 2022, section 4); beyond these bounds a curve
/// through a handful of points is a straight line or a step.
const EXPONENTS: [f64; 2] = [0.02, 2.0];

/// Exponents of the first, coarse search.
const N_COARSE: usize = 100;

/// Steps of the golden section: the exponent to 1e-9 of the first search's spacing.
const N_GOLDEN: usize = 44;

/// An error that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Labelled articles.
    pub n: f64,
    /// Mean error, 0 to 1.
    pub error: f64,
    /// What it counts in the fit, positive: the inverse of its variance.
    pub weight: f64,
}

/// `error(n) = floor + scale · n^−exponent`, with `floor, scale ≥ 0`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PowerLaw {
    /// The error that no number of articles would undercut.
    pub floor: f64,
    pub scale: f64,
    pub exponent: f64,
}

impl PowerLaw {
    /// The law with the smallest weighted sum of squared residuals; `None` with fewer than three different `n`, or numbers that are not
    /// finite and positive.
    ///
    /// For each exponent floor and scale are a linear problem, solved in closed form with both kept from being negative; the exponent is
    /// found by a search from 0.02 to 2.
    ///
    /// Source: Viering & Loog (2022), *The Shape of Learning Curves: a Review*, arXiv:2103.10948, equation 5 (the `POW3` law).
    ///
    /// # Example
    /// ```
    /// use topicwire::study::power_law::{CurvePoint, PowerLaw};
    /// let points = [100.0, 200.0, 400.0, 800.0f64].map(|n| CurvePoint { n, error: 0.1 + 2.0 / n.sqrt(), weight: 1.0 });
    /// let law = PowerLaw::fit(&points).expect("four points");
    /// assert!((law.exponent - 0.5).abs() < 1e-6 && (law.error(1600.0) - 0.15).abs() < 1e-6);
    /// ```
    pub fn fit(points: &[CurvePoint]) -> Option<Self> {
        let is_usable = |point: &CurvePoint| {
            point.n.is_finite()
                && point.n > 0.0
                && point.error.is_finite()
                && point.weight.is_finite()
                && point.weight > 0.0
        };
        let mut sizes: Vec<f64> = points.iter().map(|point| point.n).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        if sizes.len() < 3 || !points.iter().all(is_usable) {
            return None;
        }
        // Powers of n / unit stay near 1.
        let unit = sizes[sizes.len() / 2];
        let [lowest, highest] = EXPONENTS;
        let step = (highest - lowest) / (N_COARSE - 1) as f64;
        let loss = |exponent: f64| linear_part(points, unit, exponent).1;
        let best = (0..N_COARSE)
            .map(|i| lowest + step * i as f64)
            .min_by(|&a, &b| loss(a).total_cmp(&loss(b)))
            .unwrap_or(lowest);
        let exponent = golden_section(loss, (best - step).max(lowest), (best + step).min(highest));
        let ([floor, scale], _) = linear_part(points, unit, exponent);
        Some(Self { floor, scale: scale * unit.powf(exponent), exponent })
    }

    /// The error with `n` labelled articles.
    pub fn error(&self, n: f64) -> f64 {
        self.floor + self.scale * n.powf(-self.exponent)
    }
}

/// Floor, scale of `(n / unit)^−exponent`, and the sum of squares that is left.
fn linear_part(points: &[CurvePoint], unit: f64, exponent: f64) -> ([f64; 2], f64) {
    let rows = || points.iter().map(|point| ((point.n / unit).powf(-exponent), point.error, point.weight));
    let sum = |part: fn((f64, f64, f64)) -> f64| rows().map(part).sum::<f64>();
    let (w, wx, wy) = (sum(|(_, _, w)| w), sum(|(x, _, w)| w * x), sum(|(_, y, w)| w * y));
    let (mean_x, mean_y) = (wx / w, wy / w);
    let covariance: f64 = rows().map(|(x, y, w)| w * (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = rows().map(|(x, _, w)| w * (x - mean_x).powi(2)).sum();
    let slope = if variance > 0.0 { covariance / variance } else { 0.0 };
    let intercept = mean_y - slope * mean_x;
    let through_origin = || (sum(|(x, y, w)| w * x * y) / sum(|(x, _, w)| w * x * x)).max(0.0);
    let [floor, scale] = match (slope < 0.0, intercept < 0.0) {
        (true, _) => [mean_y.max(0.0), 0.0],
        (false, true) => [0.0, through_origin()],
        (false, false) => [intercept, slope],
    };
    let loss = rows().map(|(x, y, w)| w * (y - floor - scale * x).powi(2)).sum();
    ([floor, scale], loss)
}

/// Where a function of one valley is smallest.
fn golden_section(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    for _ in 0..N_GOLDEN {
        let (left, right) = (high - ratio * (high - low), low + ratio * (high - low));
        if f(left) <= f(right) {
            high = right;
        } else {
            low = left;
        }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(errors: &[(f64, f64)]) -> Vec<CurvePoint> {
        errors.iter().map(|&(n, error)| CurvePoint { n, error, weight: 1.0 }).collect()
    }

    #[test]
    fn errors_that_do_not_fall_give_a_flat_law() {
        let law = PowerLaw::fit(&points(&[(100.0, 0.2), (200.0, 0.21), (400.0, 0.22)])).unwrap();
        assert_eq!(law.scale, 0.0);
        assert!((law.error(800.0) - 0.21).abs() < 1e-12, "{law:?}");
    }

    #[test]
    fn floors_are_never_negative() {
        // A straight line on doubly logarithmic paper that bends down.
        let law = PowerLaw::fit(&points(&[(100.0, 0.4), (200.0, 0.2), (400.0, 0.05)])).unwrap();
        assert_eq!(law.floor, 0.0);
        assert!(law.error(800.0) > 0.0 && law.error(800.0) < 0.05, "{law:?}");
    }

    #[test]
    fn too_little_is_no_law() {
        assert_eq!(PowerLaw::fit(&points(&[(100.0, 0.4), (200.0, 0.2), (200.0, 0.3)])), None);
        assert_eq!(PowerLaw::fit(&points(&[(100.0, 0.4), (200.0, f64::NAN), (400.0, 0.3)])), None);
        assert_eq!(PowerLaw::fit(&points(&[(100.0, 0.4), (0.0, 0.2), (400.0, 0.3)])), None);
    }

    #[test]
    fn weights_decide_which_point_is_missed() {
        let mut curve = points(&[(100.0, 0.4), (200.0, 0.3), (400.0, 0.25), (800.0, 0.4)]);
        curve[3].weight = 1e-6;
        let law = PowerLaw::fit(&curve).unwrap();
        assert!((law.error(100.0) - 0.4).abs() < 1e-3 && (law.error(400.0) - 0.25).abs() < 1e-3, "{law:?}");
    }
}
