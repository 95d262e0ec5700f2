//! The learning curve: how good a head is with a sixteenth of the labelled articles, an eighth, … all of them, the law behind it, and
//! what twice as many would bring.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::pool::Pool;
use super::power_law::{CurvePoint, PowerLaw};
use super::{Judged, Spread, StudyError, at_least, fit_and_judge, score_metric};
use crate::labels::Task;
use crate::metrics::bootstrap::{Interval, percentile};
use crate::metrics::summary::Metric;
use crate::progress::{Event, Progress};
use crate::rng::generator;
use crate::train::HeadSettings;
use crate::train::folds::Folds;

/// Articles of the smallest size per label, on average; smaller sizes are left out.
const MIN_PER_LABEL: usize = 2;

/// Redrawn sets of repeats for the interval of a gain.
const N_REFITS: usize = 1000;

/// Level of the intervals.
const CONFIDENCE_PERCENT: f64 = 95.0;

/// Variance below which a spread is rounding.
const MIN_VARIANCE: f64 = 1e-8;

/// How a learning curve is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct CurveSettings {
    /// Shares of the labelled articles, each above 0 and at most 1.
    pub shares: Vec<f64>,
    /// Times that every size is drawn anew, at least 2. Without articles to test on also the number of folds, each held out once.
    pub n_repeats: usize,
    pub head: HeadSettings,
    pub seed: u64,
}

/// One size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SizeOfCurve {
    /// Labelled articles.
    pub n: usize,
    /// Accuracy (`single`) or micro-F1 (`multi`).
    pub score: Spread,
    pub f1_macro: Spread,
    /// One of each repeat; one alone where all articles are trained on and the test is always the same.
    pub repeats: Vec<Judged>,
}

/// What the law says of a size that was not used in fitting it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Foretold {
    pub n: usize,
    pub score: f64,
    /// 95 %, by fitting again to redrawn repeats: how far the draw of articles would move it. It knows nothing of other laws, so that of
    /// [`LearningCurve::doubled`] is widened on both sides by how far the law missed in the [`LearningCurve::backtest`].
    pub interval: Interval,
    /// Less the score at half of `n`, as the law has it.
    pub gain: f64,
    pub gain_interval: Interval,
}

/// A learning curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LearningCurve {
    pub task: Task,
    /// What `score` is.
    pub metric: Metric,
    pub n_labels: usize,
    /// Articles of the test; `None` where folds were held out in turn.
    pub n_test: Option<usize>,
    /// Ascending.
    pub sizes: Vec<SizeOfCurve>,
    /// Of the error, which is 1 less the score; `None` where fewer than three sizes were measured.
    pub law: Option<PowerLaw>,
    /// Twice the largest size.
    pub doubled: Option<Foretold>,
    /// The largest size as foretold from the sizes up to half of it, to be held against what was measured.
    pub backtest: Option<Foretold>,
}

impl LearningCurve {
    /// Fits heads to more and more of the pool's training articles.
    ///
    /// Every repeat puts the articles in an order of its own, of which each size is a beginning with the labels in about the shares of
    /// all; so sizes differ by the articles that are added, not by those that happen to be in them. Every fit is that of
    /// `train`, cross-validation and all: one strength for all repeats of a size would make a bad choice look like a property of the size.
    ///
    /// Heads are tested on the articles that the pool sets apart; where it does not, each repeat holds out another fold.
    ///
    /// # Errors
    /// Settings out of range, too few articles, a size to which no head can be fitted, [`StudyError::Interrupted`].
    pub fn measure(pool: &Pool, settings: &CurveSettings, progress: &dyn Progress) -> Result<Self, StudyError> {
        at_least("repeats", settings.n_repeats, 2, "at least 2")?;
        if let Some(share) = settings.shares.iter().find(|share| !(**share > 0.0 && **share <= 1.0)) {
            return Err(StudyError::Setting {
                name: "shares",
                found: share.to_string(),
                expected: "numbers above 0 and at most 1",
            });
        }
        let draws = draws(pool, settings)?;
        let n_pool = draws.iter().map(|draw| draw.order.len()).min().unwrap_or_default();
        let least = MIN_PER_LABEL * pool.labels.len();
        let mut sizes: Vec<usize> =
            settings.shares.iter().map(|share| (share * n_pool as f64).round() as usize).collect();
        sizes.retain(|n| *n >= least);
        sizes.sort_unstable();
        sizes.dedup();
        if sizes.is_empty() {
            return Err(StudyError::TooFew { what: "to learn from", found: n_pool, needed: least });
        }
        let is_fixed = !pool.test_rows().is_empty();
        let n_fits = sizes.iter().map(|&n| if is_fixed && n == n_pool { 1 } else { draws.len() }).sum::<usize>();
        progress.event(Event::Started { stage: "fitting heads", total: Some(n_fits as u64) });
        let measured = sizes
            .into_iter()
            .map(|n| {
                let n_repeats = if is_fixed && n == n_pool { 1 } else { draws.len() };
                let repeats = measure_size(pool, n, &draws[..n_repeats], settings, progress)?;
                let of = |part: fn(&Judged) -> f64| Spread::of(&repeats.iter().map(part).collect::<Vec<_>>());
                Ok(SizeOfCurve { n, score: of(|judged| judged.score), f1_macro: of(|judged| judged.f1_macro), repeats })
            })
            .collect::<Result<Vec<_>, StudyError>>();
        progress.event(Event::Finished);
        let sizes = measured?;
        let largest = sizes.last().map_or(0, |size| size.n);
        let (law, doubled) = foretell(&sizes, 2 * largest, settings.seed).unzip();
        let smaller: Vec<SizeOfCurve> = sizes.iter().filter(|size| 2 * size.n <= largest + 1).cloned().collect();
        let backtest = foretell(&smaller, largest, settings.seed).map(|(_, foretold)| foretold);
        let measured = sizes.last().map(|size| size.score.mean);
        let miss = backtest.zip(measured).map_or(0.0, |(foretold, measured)| (foretold.score - measured).abs());
        let widened = |interval: Interval| Interval { low: interval.low - miss, high: interval.high + miss };
        let doubled = doubled.map(|foretold: Foretold| Foretold {
            interval: widened(foretold.interval).within(0.0, 1.0),
            gain_interval: widened(foretold.gain_interval),
            ..foretold
        });
        Ok(Self {
            task: pool.targets.task(),
            metric: score_metric(pool.targets.task()),
            n_labels: pool.labels.len(),
            n_test: is_fixed.then(|| pool.test_rows().len()),
            sizes,
            law,
            doubled,
            backtest,
        })
    }
}

/// What one repeat trains on, in order, and what it is tested on.
struct Draw {
    order: Vec<usize>,
    test: Vec<usize>,
}

fn draws(pool: &Pool, settings: &CurveSettings) -> Result<Vec<Draw>, StudyError> {
    let (train, test) = (pool.train_rows(), pool.test_rows());
    let order = |rows: &[usize], repeat_idx: usize| {
        pool.stratified_order(rows, settings.seed, &format!("study/curve/{repeat_idx}"))
    };
    if !test.is_empty() {
        let draw = |repeat_idx| Draw { order: order(&train, repeat_idx), test: test.clone() };
        return Ok((0..settings.n_repeats).map(draw).collect());
    }
    if train.len() < settings.n_repeats {
        return Err(StudyError::TooFew { what: "to hold out in turn", found: train.len(), needed: settings.n_repeats });
    }
    let folds = Folds::stratified(&pool.targets, pool.labels.len(), settings.n_repeats, settings.seed);
    let draw =
        |repeat_idx| Draw { order: order(&folds.training(repeat_idx), repeat_idx), test: folds.held_out(repeat_idx) };
    Ok((0..folds.n_folds()).map(draw).collect())
}

fn measure_size(
    pool: &Pool,
    n: usize,
    draws: &[Draw],
    settings: &CurveSettings,
    progress: &dyn Progress,
) -> Result<Vec<Judged>, StudyError> {
    let fit = |draw: &Draw| {
        let judged = fit_and_judge(pool, &draw.order[..n], &draw.test, &settings.head, progress);
        progress.event(Event::Advanced { n_items: 1, n_tokens: 0 });
        judged
    };
    draws.iter().map(fit).collect()
}

/// The law of some sizes, and what it says of `n` articles; `None` where there are fewer than three sizes.
fn foretell(sizes: &[SizeOfCurve], n: usize, seed: u64) -> Option<(PowerLaw, Foretold)> {
    let weights = weights(sizes);
    let fit = |errors: &[f64]| {
        let points: Vec<CurvePoint> = sizes
            .iter()
            .zip(errors.iter().zip(&weights))
            .map(|(size, (&error, &weight))| CurvePoint { n: size.n as f64, error, weight })
            .collect();
        PowerLaw::fit(&points)
    };
    let foretold = |law: &PowerLaw| {
        let n = n as f64;
        let score = 1.0 - law.error(n);
        [score, law.error(n / 2.0) - law.error(n)]
    };
    let law = fit(&sizes.iter().map(|size| 1.0 - size.score.mean).collect::<Vec<_>>())?;
    let n_repeats = sizes.iter().map(|size| size.repeats.len()).max()?;
    let mut drawn: [Vec<f64>; 2] = [Vec::with_capacity(N_REFITS), Vec::with_capacity(N_REFITS)];
    for refit_idx in 0..N_REFITS {
        let mut rng = generator(seed, &format!("study/curve/refit/{refit_idx}"));
        // Whole repeats, since the sizes of one share articles.
        let picked: Vec<usize> = (0..n_repeats).map(|_| rng.random_range(0..n_repeats as u32) as usize).collect();
        let error = |size: &SizeOfCurve| {
            let scores = picked.iter().map(|&i| size.repeats[i % size.repeats.len()].score);
            1.0 - scores.sum::<f64>() / n_repeats as f64
        };
        let [score, gain] = foretold(&fit(&sizes.iter().map(error).collect::<Vec<_>>())?);
        drawn[0].push(score);
        drawn[1].push(gain);
    }
    let interval = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        let tail = (100.0 - CONFIDENCE_PERCENT) / 2.0;
        Interval { low: percentile(values, tail), high: percentile(values, 100.0 - tail) }
    };
    let [score, gain] = foretold(&law);
    let [of_scores, of_gains] = &mut drawn;
    let (interval, gain_interval) = (interval(of_scores), interval(of_gains));
    Some((law, Foretold { n, score, interval, gain, gain_interval }))
}

/// Inverse variances of the sizes' means. Of a handful of repeats a variance is little known, so each counts half and the mean of all the
/// other half; a size that was measured once has the smallest variance of the others.
fn weights(sizes: &[SizeOfCurve]) -> Vec<f64> {
    let known: Vec<f64> = sizes.iter().filter_map(|size| size.score.sd).map(|sd| sd * sd).collect();
    let smallest = known.iter().copied().fold(f64::INFINITY, f64::min);
    let mean = if known.is_empty() { 0.0 } else { known.iter().sum::<f64>() / known.len() as f64 };
    let variance = |size: &SizeOfCurve| match size.score.sd {
        Some(sd) => sd * sd,
        None if smallest.is_finite() => smallest,
        None => 0.0,
    };
    sizes.iter().map(|size| 1.0 / (0.5 * (variance(size) + mean)).max(MIN_VARIANCE)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use crate::study::pool::sample;

    fn settings() -> CurveSettings {
        let head = HeadSettings { views: vec![crate::views::ViewKind::Document], ..HeadSettings::default() };
        CurveSettings { shares: vec![0.125, 0.25, 0.5, 1.0], n_repeats: 3, head, seed: 1 }
    }

    fn size(n: usize, scores: &[f64]) -> SizeOfCurve {
        let repeats = scores.iter().map(|&score| Judged { score, f1_macro: score, strength: 1.0 }).collect();
        SizeOfCurve { n, score: Spread::of(scores), f1_macro: Spread::of(scores), repeats }
    }

    #[test]
    fn more_articles_make_better_heads_and_the_law_says_so() {
        for (n_test, expected_repeats) in [(80, [3, 3, 3, 1]), (0, [3, 3, 3, 3])] {
            let pool = sample(240, 3, 4.0, n_test);
            let curve = LearningCurve::measure(&pool, &settings(), &Silent).unwrap();
            let sizes: Vec<usize> = curve.sizes.iter().map(|size| size.n).collect();
            let expected = if n_test > 0 { [30, 60, 120, 240] } else { [20, 40, 80, 160] };
            assert_eq!((sizes, curve.n_test), (expected.to_vec(), Some(n_test).filter(|n| *n > 0)));
            let repeats: Vec<usize> = curve.sizes.iter().map(|size| size.repeats.len()).collect();
            assert_eq!(repeats, expected_repeats);
            assert!(curve.sizes[3].score.mean > curve.sizes[0].score.mean, "{:?}", curve.sizes);
            let doubled = curve.doubled.unwrap();
            assert_eq!((doubled.n, curve.backtest.unwrap().n), (2 * expected[3], expected[3]));
            assert!(doubled.gain >= 0.0 && doubled.gain_interval.low <= doubled.gain_interval.high);
        }
    }

    #[test]
    fn a_law_without_noise_is_foretold_exactly() {
        let score = |n: f64| 1.0 - (0.05 + 1.5 * n.powf(-0.4));
        let sizes: Vec<SizeOfCurve> = [50, 100, 200, 400].map(|n| size(n, &[score(n as f64); 3])).to_vec();
        let (_, foretold) = foretell(&sizes, 800, 0).unwrap();
        assert!((foretold.score - score(800.0)).abs() < 1e-6, "{foretold:?}");
        assert!((foretold.gain - (score(800.0) - score(400.0))).abs() < 1e-6);
        assert!(foretold.gain_interval.high - foretold.gain_interval.low < 1e-9);
    }

    #[test]
    fn the_same_seed_gives_the_same_curve_at_any_number_of_threads() {
        let pool = sample(90, 3, 3.0, 30);
        let measure = |n_threads| {
            let threads = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            threads.install(|| LearningCurve::measure(&pool, &settings(), &Silent).unwrap())
        };
        assert_eq!(measure(1), measure(3));
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let pool = sample(30, 3, 1.0, 0);
        let refused = |settings| LearningCurve::measure(&pool, &settings, &Silent).unwrap_err().to_string();
        assert_eq!(
            refused(CurveSettings { n_repeats: 1, ..settings() }),
            "study setting `repeats` is 1, expected at least 2"
        );
        assert_eq!(
            refused(CurveSettings { shares: vec![0.5, 1.5], ..settings() }),
            "study setting `shares` is 1.5, expected numbers above 0 and at most 1"
        );
        assert_eq!(
            refused(CurveSettings { shares: vec![0.1], ..settings() }),
            "there are 20 articles to learn from, expected at least 6"
        );
    }
}
