//! Which thresholds a promise of precision tries, and how the allowed error is shared among them.
//!
//! Whoever tries thirteen thresholds and keeps what looks good promises too much. So each threshold is a hypothesis, "from here the
//! precision is at most what was promised", and the probability that any true one is rejected is held to `delta` by the fallback procedure
//! (Wiens & Dmitrienko, *The fallback procedure for evaluating a single family of hypotheses*, 2005; for thresholds of a classifier:
//! Angelopoulos, Bates, Candès, Jordan & Lei, *Learn then Test*, 2021): thresholds are walked from the top in an order fixed
//! beforehand; each has a share of `delta` of its own, and one that is certified passes all it was tested at on to the next. It holds
//! under any dependence, and precision need not rise with the threshold. Since all certified thresholds hold at once, any of
//! them may be chosen: the lowest, which assigns the most.
//!
//! # How the shares were chosen
//! Any shares fixed beforehand are valid; they differ in power. Mean share certified of what the best threshold would assign, over promises of 0.8, 0.9
//! and 0.95, labels of AG News and groups of labels of BANKING77, `delta` 0.1, where `n` articles have the label as their most probable one
//! (`scripts/compare_contract_procedures.py`):
//!
//! | procedure, same thresholds | n = 60 | 100 | 200 | 500 | 2000 |
//! |---|---|---|---|---|---|
//! | Bonferroni | 0.41 | 0.54 | 0.76 | 0.88 | 0.94 |
//! | fallback, equal shares | 0.42 | 0.56 | 0.78 | 0.90 | 0.95 |
//! | fixed sequence from the top | 0.54 | 0.74 | 0.85 | 0.91 | 0.95 |
//! | fixed sequence from the promise | 0.62 | 0.77 | 0.86 | 0.92 | 0.95 |
//! | **fallback, 0.8 at the promise** | 0.56 | 0.75 | 0.86 | 0.92 | 0.95 |
//!
//! The fixed sequence from the promise is a little better where classifiers are well calibrated, and certifies nothing where one is so sure of itself that
//! the promise fails at its own threshold.
//! A share at the promise itself helps since a calibrated probability of `p` or more is right more often than `p`, and few articles lie far above. What
//! is left above serves classifiers that are surer than they should be, what is left below those that are too modest.

use super::binomial::upper_tail;

/// Shares of `delta` for the two thresholds above the promise, for the promise itself, and for all below together.
const SHARES: [f64; 3] = [0.05, 0.1, 0.8];
const SHARE_BELOW: f64 = 0.05;
/// Distance of the thresholds below, in logits.
const STEP: f64 = 0.4;
/// No threshold is tried below this one.
const LOWEST: f64 = 0.15;

/// A threshold and the share of `delta` that is its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rung {
    pub threshold: f64,
    pub share: f64,
}

/// Thresholds for a promised precision inside 0 to 1, from the top; their shares add up to 1.
pub(super) fn rungs(precision: f64) -> Vec<Rung> {
    let gap = 1.0 - precision;
    let mut rungs: Vec<Rung> = [1.0 - gap / 4.0, 1.0 - gap / 2.0, precision]
        .into_iter()
        .zip(SHARES)
        .map(|(threshold, share)| Rung { threshold, share })
        .collect();
    let logit = (precision / gap).ln();
    let below: Vec<f64> = (1..)
        .map(|step| crate::calibration::sigmoid(logit - STEP * f64::from(step)))
        .take_while(|threshold| *threshold >= LOWEST)
        .collect();
    let share = SHARE_BELOW / below.len().max(1) as f64;
    rungs.extend(below.iter().map(|&threshold| Rung { threshold, share }));
    if below.is_empty() {
        rungs[SHARES.len() - 1].share += SHARE_BELOW;
    }
    rungs
}

/// What was counted at one threshold, and what the procedure made of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tested {
    pub rung: Rung,
    pub n: usize,
    pub n_right: usize,
    pub p_value: f64,
    /// The error at which it was tested.
    pub level: f64,
}

impl Tested {
    pub fn is_certified(&self) -> bool {
        self.p_value <= self.level
    }
}

/// The fallback procedure over `counts`, `(n, n_right)` of each rung.
pub(super) fn test(rungs: &[Rung], counts: &[(usize, usize)], precision: f64, delta: f64) -> Vec<Tested> {
    let mut passed_on = 0.0;
    rungs
        .iter()
        .zip(counts)
        .map(|(&rung, &(n, n_right))| {
            let level = delta * rung.share + passed_on;
            let tested = Tested { rung, n, n_right, p_value: upper_tail(n, n_right, precision), level };
            passed_on = if tested.is_certified() { level } else { 0.0 };
            tested
        })
        .collect()
}
