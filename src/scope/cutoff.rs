//! From scores to decisions: how often an article like the training's would be called foreign.
//!
//! Both rest on one count. Where an article is like the training's, its score is as likely in any place among theirs, so
//! `p = (1 + number of their scores that are at least its own) / (n + 1)` is at most `rate` with a probability of at most `rate`. Source: Vovk,
//! Gammerman & Shafer, *Algorithmic Learning in a Random World* (2005), proposition 2.3; as a test for outliers: Bates et al., "Testing
//! for outliers with conformal p-values" (2023).

use super::ScopeError;

/// What a product of a count and a rate may be short of a whole number by rounding.
const COUNT_ROUNDING: f64 = 1e-9;

/// Ranks grow by at most this share from one score that is kept to the next, but where scores are equal.
const MAX_STEP: f64 = 0.05;

/// A score above which an article is called foreign.
///
/// ```
/// use topicwire::scope::Cutoff;
/// let training: Vec<f64> = (1..=99).map(f64::from).collect();
/// let cutoff = Cutoff::at_false_alarm_rate(&training, 0.05)?;
/// assert_eq!(cutoff.score(), 95.0);
/// assert!(cutoff.is_foreign(95.5) && !cutoff.is_foreign(95.0));
/// # Ok::<(), topicwire::scope::ScopeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cutoff {
    score: f64,
}

impl Cutoff {
    /// The `⌈(n + 1) · (1 − rate)⌉`-th smallest of out-of-fold scores: of articles like the training's at most a share `rate` is above.
    ///
    /// # Errors
    /// [`ScopeError::Rate`] outside 0 to 1, both excluded; [`ScopeError::TooFewScores`] where even the largest of the scores is not
    /// rare enough: `n < 1 / rate − 1`; [`ScopeError::NonFiniteScore`].
    pub fn at_false_alarm_rate(scores: &[f64], rate: f64) -> Result<Self, ScopeError> {
        Reference::exact(scores)?.cutoff(rate)
    }

    /// The score itself, in the unit of the scores it was made from.
    pub fn score(&self) -> f64 {
        self.score
    }

    /// Whether an article of this score is called foreign: it is above the cut-off.
    pub fn is_foreign(&self, score: f64) -> bool {
        score > self.score
    }
}

/// Out-of-fold scores of training articles, or as many of them as it takes to place another score among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// Descending.
    scores: Vec<f64>,
    /// One more than the number of all scores that are larger; starts with 1 and ascends.
    ranks: Vec<usize>,
    n_articles: usize,
}

impl Reference {
    /// Thins out scores: the largest 40 are kept, and further down as few as leave no rank out that is more than a twentieth above the last
    /// one kept (about 150 of 10,000, 250 of a million). Rates are kept to within a twentieth of themselves, on the safe side.
    ///
    /// # Errors
    /// [`ScopeError::NoArticles`], [`ScopeError::NonFiniteScore`].
    pub fn thinned(scores: &[f64]) -> Result<Self, ScopeError> {
        let all = Self::exact(scores)?;
        let (mut scores, mut ranks, mut limit) = (Vec::new(), Vec::new(), 0);
        for (i, (&score, &rank)) in all.scores.iter().zip(&all.ranks).enumerate() {
            // The last one that is still near enough to the one kept before.
            if all.ranks.get(i + 1).is_none_or(|&next| next > limit) {
                scores.push(score);
                ranks.push(rank);
                limit = ((rank as f64 * (1.0 + MAX_STEP)) as usize).max(rank + 1);
            }
        }
        Self::new(scores, ranks, all.n_articles)
    }

    /// From what was saved of another one.
    ///
    /// # Errors
    /// [`ScopeError::NoArticles`] without any score; [`ScopeError::Reference`] where scores do not descend or are not finite, or where ranks do
    /// not ascend from 1 to at most `n_articles`, one for each score.
    pub fn new(scores: Vec<f64>, ranks: Vec<usize>, n_articles: usize) -> Result<Self, ScopeError> {
        if scores.is_empty() {
            return Err(ScopeError::NoArticles);
        }
        let problem = if scores.len() != ranks.len() {
            Some("as many ranks as scores")
        } else if !scores.iter().all(|score| score.is_finite()) || scores.windows(2).any(|pair| pair[0] <= pair[1]) {
            Some("finite scores that descend")
        } else if ranks[0] != 1
            || ranks.windows(2).any(|pair| pair[0] >= pair[1])
            || ranks[ranks.len() - 1] > n_articles
        {
            Some("ranks that ascend from 1 to at most the number of articles")
        } else {
            None
        };
        match problem {
            Some(expected) => Err(ScopeError::Reference { n_scores: scores.len(), n_articles, expected }),
            None => Ok(Self { scores, ranks, n_articles }),
        }
    }

    /// All of them, equal ones once.
    fn exact(scores: &[f64]) -> Result<Self, ScopeError> {
        if let Some(row_idx) = scores.iter().position(|score| !score.is_finite()) {
            return Err(ScopeError::NonFiniteScore { row_idx, value: scores[row_idx] });
        }
        let mut sorted = scores.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let (mut distinct, mut ranks) = (Vec::new(), Vec::new());
        for (i, score) in sorted.into_iter().enumerate() {
            if distinct.last() != Some(&score) {
                distinct.push(score);
                ranks.push(i + 1);
            }
        }
        Self::new(distinct, ranks, scores.len())
    }

    /// The scores that are kept, descending.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// For each of them one more than the number of all scores that are larger.
    pub fn ranks(&self) -> &[usize] {
        &self.ranks
    }

    /// The number of all scores, kept or not; at least 1.
    pub fn n_articles(&self) -> usize {
        self.n_articles
    }

    /// As [`Cutoff::at_false_alarm_rate`]; of thinned scores the next larger one that is kept.
    ///
    /// # Errors
    /// [`ScopeError::Rate`], [`ScopeError::TooFewScores`].
    pub fn cutoff(&self, rate: f64) -> Result<Cutoff, ScopeError> {
        if !(rate > 0.0 && rate < 1.0) {
            return Err(ScopeError::Rate { found: rate });
        }
        let max_rank = ((self.n_articles + 1) as f64 * rate + COUNT_ROUNDING) as usize;
        match self.ranks.partition_point(|&rank| rank <= max_rank).checked_sub(1) {
            Some(i) => Ok(Cutoff { score: self.scores[i] }),
            None => {
                let needed = (1.0 / rate - COUNT_ROUNDING).ceil() as usize - 1;
                Err(ScopeError::TooFewScores { rate, n_scores: self.n_articles, needed })
            }
        }
    }

    /// The share of articles like the training's that are at least as unlike it as one of this score, itself counted:
    /// `(1 + number of scores that are at least this) / (n + 1)`; of thinned scores up to a twentieth more. Above 0, at most 1.
    ///
    /// It is at most `rate` exactly where [`Reference::cutoff`] at `rate` calls the article foreign.
    pub fn p_value(&self, score: f64) -> f64 {
        let n_not_below = self.scores.partition_point(|&kept| kept >= score);
        let rank = self.ranks.get(n_not_below).copied().unwrap_or(self.n_articles + 1);
        rank as f64 / (self.n_articles + 1) as f64
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::rng::generator;

    fn uniform(n: usize, purpose: &str) -> Vec<f64> {
        let mut rng = generator(5, purpose);
        (0..n).map(|_| rng.random_range(0.0..1.0)).collect()
    }

    /// p-values and cut-offs as they are defined, by counting.
    fn counted(scores: &[f64], score: f64) -> f64 {
        (1 + scores.iter().filter(|other| **other >= score).count()) as f64 / (scores.len() + 1) as f64
    }

    #[test]
    fn the_cutoff_is_the_conformal_quantile() {
        for n in [19, 20, 39, 100, 257] {
            let scores = uniform(n, "cutoff test");
            let mut ascending = scores.clone();
            ascending.sort_by(f64::total_cmp);
            for percent in [5, 10, 25, 50, 90] {
                // ⌈(n + 1) · (100 − percent) / 100⌉ in whole numbers.
                let place = ((n + 1) * (100 - percent)).div_ceil(100);
                let cutoff = Cutoff::at_false_alarm_rate(&scores, percent as f64 / 100.0).unwrap();
                assert_eq!(cutoff.score(), ascending[place - 1], "{percent} % of {n}");
            }
        }
    }

    #[test]
    fn foreign_at_a_rate_and_a_p_value_of_at_most_the_rate_are_the_same() {
        let mut scores = uniform(700, "p test");
        // Ties, also at the top.
        scores.extend((0..300).map(|i| f64::from(i % 7) / 7.0));
        scores.extend([1.5; 40]);
        for reference in [Reference::exact(&scores).unwrap(), Reference::thinned(&scores).unwrap()] {
            for rate in [0.001, 0.01, 0.035, 0.05, 0.1, 0.5, 0.99] {
                let cutoff = reference.cutoff(rate).unwrap();
                for &score in scores.iter().chain(&[-1.0, 0.33, 0.99, 2.0]) {
                    assert_eq!(cutoff.is_foreign(score), reference.p_value(score) <= rate, "{score} at {rate}");
                    let exact = counted(&scores, score);
                    let found = reference.p_value(score);
                    assert!(found >= exact && found <= exact * (1.0 + MAX_STEP) + 1e-12, "{found}, exactly {exact}");
                }
            }
        }
        let exact = Reference::exact(&scores).unwrap();
        assert!(scores.iter().all(|&score| exact.p_value(score) == counted(&scores, score)));
    }

    #[test]
    fn thinned_scores_are_few_and_keep_rates_to_a_twentieth() {
        let scores = uniform(10_000, "thinning test");
        let (all, thinned) = (Reference::exact(&scores).unwrap(), Reference::thinned(&scores).unwrap());
        assert!(thinned.scores().len() < 200, "{}", thinned.scores().len());
        assert_eq!((thinned.n_articles(), thinned.scores()[..20].to_vec()), (10_000, all.scores()[..20].to_vec()));
        assert_eq!(thinned.scores().last(), all.scores().last());
        for rate in [0.0005, 0.003, 0.01, 0.05, 0.2] {
            let above = |reference: &Reference| {
                let cutoff = reference.cutoff(rate).unwrap();
                scores.iter().filter(|&&score| cutoff.is_foreign(score)).count() as f64
            };
            let (exact, found) = (above(&all), above(&thinned));
            assert!(found <= exact && found >= exact / (1.0 + MAX_STEP) - 2.0, "{found} of {exact} at {rate}");
        }
        let saved = Reference::new(thinned.scores().to_vec(), thinned.ranks().to_vec(), 10_000).unwrap();
        assert_eq!(saved, thinned);
    }

    /// Given the cut-off, the share of fresh articles above it is distributed as Beta(m, n + 1 − m), with `m = ⌊(n + 1) · rate⌋` (Vovk,
    /// "Conditional validity of inductive conformal predictors", 2012): its mean over draws of the training is m / (n + 1).
    #[test]
    fn fresh_articles_are_above_as_often_as_said() {
        let (n, rate, n_draws, n_fresh) = (99, 0.05, 400, 500);
        let shares: Vec<f64> = (0..n_draws)
            .map(|draw| {
                let cutoff = Cutoff::at_false_alarm_rate(&uniform(n, &format!("training {draw}")), rate).unwrap();
                let fresh = uniform(n_fresh, &format!("fresh {draw}"));
                fresh.iter().filter(|&&score| cutoff.is_foreign(score)).count() as f64 / n_fresh as f64
            })
            .collect();
        let (m, total) = (5.0, 100.0);
        let mean = m / total;
        // Variance of the beta distribution, and on top that of counting `n_fresh` articles.
        let beta = mean * (1.0 - mean) / (total + 1.0);
        let variance = beta + (mean * (1.0 - mean) - beta) / n_fresh as f64;
        let found = shares.iter().sum::<f64>() / n_draws as f64;
        // Four standard errors: one seed in 16,000 would fail.
        assert!((found - mean).abs() < 4.0 * (variance / n_draws as f64).sqrt(), "{found}, expected {mean}");
        let spread = shares.iter().map(|share| (share - found).powi(2)).sum::<f64>() / n_draws as f64;
        assert!((spread / variance - 1.0).abs() < 0.3, "variance {spread}, expected {variance}");
    }

    #[test]
    fn what_cannot_be_promised_is_refused() {
        let few = Cutoff::at_false_alarm_rate(&uniform(18, "few"), 0.05).unwrap_err();
        assert_eq!(
            few.to_string(),
            "a false-alarm rate of 0.05 needs the scores of at least 19 training articles, there are 18"
        );
        for rate in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(matches!(Cutoff::at_false_alarm_rate(&[1.0], rate), Err(ScopeError::Rate { .. })));
        }
        assert_eq!(Cutoff::at_false_alarm_rate(&[], 0.5), Err(ScopeError::NoArticles));
        assert!(matches!(Reference::thinned(&[0.0, f64::NAN]), Err(ScopeError::NonFiniteScore { row_idx: 1, .. })));
        for (scores, ranks, n_articles) in [
            (vec![2.0, 1.0], vec![1], 2),
            (vec![1.0, 2.0], vec![1, 2], 2),
            (vec![f64::INFINITY, 1.0], vec![1, 2], 2),
            (vec![2.0, 1.0], vec![2, 3], 3),
            (vec![2.0, 1.0], vec![1, 1], 2),
            (vec![2.0, 1.0], vec![1, 3], 2),
        ] {
            assert!(matches!(Reference::new(scores, ranks, n_articles), Err(ScopeError::Reference { .. })));
        }
    }
}
