//! How likely counts in a two-by-two table are by chance (Fisher's exact test, one-sided).

use libm::lgamma;

/// Terms below this share of the sum change it no more.
const NEGLIGIBLE: f64 = 1e-18;

/// Counts of `n` articles: how many have label A, label B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Margins {
    pub n: usize,
    pub n_a: usize,
    pub n_b: usize,
}

impl Margins {
    /// Articles that would have both by chance: `n_a · n_b / n`.
    pub fn expected(self) -> f64 {
        self.n_a as f64 * self.n_b as f64 / self.n as f64
    }

    /// Probability that at most `n_both` articles have both labels, were they given independently of one another.
    pub fn at_most(self, n_both: usize) -> f64 {
        let (least, most) = self.range();
        if n_both < least { 0.0 } else { self.sum((least..=n_both.min(most)).rev()) }
    }

    /// Probability that at least `n_both` articles have both labels.
    ///
    /// ```
    /// # use topicwire::curation::hypergeometric::Margins;
    /// // Three of ten articles have A, three B; all three have both: 1 / (10 choose 3).
    /// let p = Margins { n: 10, n_a: 3, n_b: 3 }.at_least(3);
    /// assert!((p - 1.0 / 120.0).abs() < 1e-15);
    /// ```
    pub fn at_least(self, n_both: usize) -> f64 {
        let (least, most) = self.range();
        if n_both > most { 0.0 } else { self.sum(n_both.max(least)..=most) }
    }

    fn range(self) -> (usize, usize) {
        ((self.n_a + self.n_b).saturating_sub(self.n), self.n_a.min(self.n_b))
    }

    /// Adds up from the first count on, until what follows is nothing beside it.
    fn sum(self, counts: impl Iterator<Item = usize>) -> f64 {
        let (mut sum, mut before) = (0.0, 0.0);
        for n_both in counts {
            let term = self.probability(n_both);
            sum += term;
            if term < before && term < NEGLIGIBLE * sum {
                break;
            }
            before = term;
        }
        sum.min(1.0)
    }

    /// `C(n_a, k) C(n − n_a, n_b − k) / C(n, n_b)`
    fn probability(self, n_both: usize) -> f64 {
        let ln_choose =
            |n: usize, k: usize| lgamma(n as f64 + 1.0) - lgamma(k as f64 + 1.0) - lgamma((n - k) as f64 + 1.0);
        let others = ln_choose(self.n - self.n_a, self.n_b - n_both);
        (ln_choose(self.n_a, n_both) + others - ln_choose(self.n, self.n_b)).exp()
    }
}
