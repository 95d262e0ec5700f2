//! Exact tails of the binomial distribution, and bounds on a share from them.
//!
//! Both rest on the regularised incomplete beta function `I_x(a, b)`, which the crate `special` computes (Algorithm AS 63 and its inverse
//! AS 109). The logarithm of the beta function goes in from here: as a difference of logarithms of gamma functions, as the crate has
//! it, it loses ten digits at a million articles.

use special::Beta as _;

/// `½ · ln 2π`.
const HALF_LN_TWO_PI: f64 = 0.918_938_533_204_672_8;
/// From here the series of [`stirling_rest`] is right to 1e-14.
const STIRLING_FROM: f64 = 12.0;

/// `P(X ≥ n_right)` for `X` binomial of `n` trials with chance `share`: the exact p-value of "the share is at most `share`".
///
/// `I_share(n_right, n − n_right + 1)`; 1 where `n_right` is 0.
///
/// ```
/// use topicwire::calibration::contract::binomial::upper_tail;
/// assert!((upper_tail(45, 45, 0.95) - 0.95_f64.powi(45)).abs() < 1e-12);
/// assert_eq!(upper_tail(10, 0, 0.5), 1.0);
/// ```
pub fn upper_tail(n: usize, n_right: usize, share: f64) -> f64 {
    if n_right == 0 || share >= 1.0 {
        return 1.0;
    }
    if n_right > n || share <= 0.0 {
        return 0.0;
    }
    if n_right == n {
        return share.powf(n as f64);
    }
    let (a, b) = (n_right as f64, (n - n_right + 1) as f64);
    share.inc_beta(a, b, ln_beta(a, b)).clamp(0.0, 1.0)
}

/// The lower bound of Clopper & Pearson (*The use of confidence or fiducial limits illustrated in the case of the binomial*, 1934): the
/// share at which `n_right` of `n` or more have the probability `alpha`. 0 where `n_right` is 0.
///
/// At least `1 − alpha` of all samples have it below the true share. `alpha` is inside 0 to 1.
///
/// ```
/// use topicwire::calibration::contract::binomial::lower_bound;
/// assert!((lower_bound(45, 45, 0.1) - 0.1_f64.powf(1.0 / 45.0)).abs() < 1e-12);
/// ```
pub fn lower_bound(n: usize, n_right: usize, alpha: f64) -> f64 {
    if n_right == 0 || alpha <= 0.0 {
        return 0.0;
    }
    if n_right >= n {
        return alpha.powf(1.0 / n as f64);
    }
    let (a, b) = (n_right as f64, (n - n_right + 1) as f64);
    alpha.inv_inc_beta(a, b, ln_beta(a, b)).clamp(0.0, 1.0)
}

/// The smallest number of right ones among `n` whose [`upper_tail`] is at most `alpha`, where there is one.
pub fn least_right(n: usize, share: f64, alpha: f64) -> Option<usize> {
    let counts: Vec<usize> = (0..=n).collect();
    let least = counts.partition_point(|&n_right| upper_tail(n, n_right, share) > alpha);
    (least <= n).then_some(least)
}

/// `ln B(a, b)` for `a, b ≥ 1`, without differences of large numbers.
fn ln_beta(a: f64, b: f64) -> f64 {
    let (small, large) = (a.min(b), a.max(b));
    let sum = small + large;
    if large < STIRLING_FROM {
        return small.ln_beta(large);
    }
    let rest = stirling_rest(large) - stirling_rest(sum);
    if small < STIRLING_FROM {
        // ln Γ(small) + ln Γ(large) − ln Γ(small + large), the last two by Stirling's series.
        let ln_gamma = libm::lgamma(small);
        return ln_gamma + rest + small - small * sum.ln() + (large - 0.5) * (-small / sum).ln_1p();
    }
    HALF_LN_TWO_PI - 0.5 * large.ln()
        + stirling_rest(small)
        + rest
        + (small - 0.5) * (small / sum).ln()
        + large * (-small / sum).ln_1p()
}

/// What Stirling's formula leaves of `ln Γ(x)`: `1/12x − 1/360x³ + …`.
fn stirling_rest(x: f64) -> f64 {
    let r = 1.0 / (x * x);
    (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r * (1.0 / 1680.0 - r * (1.0 / 1188.0))))) / x
}
