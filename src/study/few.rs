//! A few labelled articles per label, drawn again and again: how good a head is, and how much that depends on the draw.

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::pool::Pool;
use super::{Judged, Spread, StudyError, at_least, fit_and_judge, score_metric};
use crate::labels::Task;
use crate::metrics::summary::Metric;
use crate::progress::{Event, Progress};
use crate::rng::generator;
use crate::train::HeadSettings;

/// How few articles are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct ShotsSettings {
    /// Articles per label, each at least 1.
    pub shots: Vec<usize>,
    /// Draws, at least 2.
    pub n_repeats: usize,
    pub head: HeadSettings,
    pub seed: u64,
}

/// One number of articles per label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shots {
    /// Articles per label.
    pub shots: usize,
    /// Articles of one draw, of the largest one where draws differ.
    pub n_train: usize,
    /// Articles of the test, of the smallest one where draws differ.
    pub n_test: usize,
    /// Accuracy (`single`) or micro-F1 (`multi`).
    pub score: Spread,
    pub f1_macro: Spread,
    pub repeats: Vec<Judged>,
}

/// Few articles, drawn again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FewShots {
    pub task: Task,
    /// What `score` is.
    pub metric: Metric,
    pub n_labels: usize,
    /// In the order asked for.
    pub shots: Vec<Shots>,
}

impl FewShots {
    /// Fits heads to draws of a few articles per label and tests them on the articles that the pool sets apart, or else on those that were
    /// not drawn.
    ///
    /// Where articles have several labels, labels are filled up from the rarest on, so that a frequent one may have more. A label that
    /// has fewer articles gives all it has, and a warning says so.
    ///
    /// # Errors
    /// Settings out of range, nothing to test on, a draw to which no head can be fitted, [`StudyError::Interrupted`].
    pub fn measure(pool: &Pool, settings: &ShotsSettings, progress: &dyn Progress) -> Result<Self, StudyError> {
        at_least("repeats", settings.n_repeats, 2, "at least 2")?;
        for &shots in &settings.shots {
            at_least("shots", shots, 1, "at least 1")?;
        }
        warn_of_rare_labels(pool, settings, progress);
        let n_fits = settings.shots.len() * settings.n_repeats;
        progress.event(Event::Started { stage: "fitting heads", total: Some(n_fits as u64) });
        let measured = settings.shots.iter().map(|&shots| measure_shots(pool, shots, settings, progress));
        let measured = measured.collect::<Result<Vec<_>, _>>();
        progress.event(Event::Finished);
        let task = pool.targets.task();
        Ok(Self { task, metric: score_metric(task), n_labels: pool.labels.len(), shots: measured? })
    }
}

fn warn_of_rare_labels(pool: &Pool, settings: &ShotsSettings, progress: &dyn Progress) {
    let support = pool.targets.select(&pool.train_rows()).support(pool.labels.len());
    let most = settings.shots.iter().copied().max().unwrap_or_default();
    let rare: Vec<String> =
        pool.labels.names().zip(&support).filter(|(_, n)| **n < most).map(|(name, n)| format!("{name} {n}")).collect();
    if !rare.is_empty() {
        let message = format!("labels with fewer than {most} articles give all they have: {}", rare.join(", "));
        progress.event(Event::Warning { message: &message });
    }
}

fn measure_shots(
    pool: &Pool,
    shots: usize,
    settings: &ShotsSettings,
    progress: &dyn Progress,
) -> Result<Shots, StudyError> {
    let (mut n_train, mut n_test) = (0, usize::MAX);
    let mut repeats = Vec::with_capacity(settings.n_repeats);
    for repeat_idx in 0..settings.n_repeats {
        let train = draw(pool, shots, settings.seed, repeat_idx);
        let mut test = pool.test_rows();
        if test.is_empty() {
            test = pool.train_rows().into_iter().filter(|row| train.binary_search(row).is_err()).collect();
        }
        if test.is_empty() {
            return Err(StudyError::TooFew { what: "left to test on", found: 0, needed: 1 });
        }
        (n_train, n_test) = (n_train.max(train.len()), n_test.min(test.len()));
        repeats.push(fit_and_judge(pool, &train, &test, &settings.head, progress)?);
        progress.event(Event::Advanced { n_items: 1, n_tokens: 0 });
    }
    let of = |part: fn(&Judged) -> f64| Spread::of(&repeats.iter().map(part).collect::<Vec<_>>());
    Ok(Shots {
        shots,
        n_train,
        n_test,
        score: of(|judged| judged.score),
        f1_macro: of(|judged| judged.f1_macro),
        repeats,
    })
}

/// Rows of one draw, ascending. The draws of one repeat are nested.
fn draw(pool: &Pool, shots: usize, seed: u64, repeat_idx: usize) -> Vec<usize> {
    let mut rng = generator(seed, &format!("study/few/{repeat_idx}"));
    let mut rows = pool.train_rows();
    rows.shuffle(&mut rng);
    let n_labels = pool.labels.len();
    let support = pool.targets.select(&rows).support(n_labels);
    let mut labels: Vec<usize> = (0..n_labels).collect();
    labels.sort_by_key(|&label| support[label]);
    let mut n_drawn = vec![0; n_labels];
    let mut drawn: Vec<usize> = Vec::new();
    for label in labels {
        for &row in &rows {
            if n_drawn[label] >= shots {
                break;
            }
            let own = pool.targets.row(row);
            if own.iter().any(|id| id.0 == label) && !drawn.contains(&row) {
                own.iter().for_each(|id| n_drawn[id.0] += 1);
                drawn.push(row);
            }
        }
    }
    drawn.sort_unstable();
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::{LabelId, Targets};
    use crate::progress::Silent;
    use crate::study::pool::sample;

    fn settings(shots: &[usize]) -> ShotsSettings {
        let head = HeadSettings { views: vec![crate::views::ViewKind::Document], ..HeadSettings::default() };
        ShotsSettings { shots: shots.to_vec(), n_repeats: 4, head, seed: 3 }
    }

    #[test]
    fn more_shots_are_better_and_vary_less() {
        let pool = sample(300, 3, 3.0, 150);
        let few = FewShots::measure(&pool, &settings(&[2, 32]), &Silent).unwrap();
        let [two, many] = &few.shots[..] else { panic!("two numbers of shots") };
        assert_eq!((two.n_train, many.n_train, two.n_test), (6, 96, 150));
        assert!(many.score.mean > two.score.mean, "{few:?}");
        assert_eq!(few, FewShots::measure(&pool, &settings(&[2, 32]), &Silent).unwrap());
    }

    #[test]
    fn what_was_not_drawn_is_tested_on_where_nothing_is_set_apart() {
        let pool = sample(60, 3, 2.0, 0);
        let few = FewShots::measure(&pool, &settings(&[4]), &Silent).unwrap();
        assert_eq!((few.shots[0].n_train, few.shots[0].n_test), (12, 48));
        let error = FewShots::measure(&pool, &settings(&[20]), &Silent).unwrap_err();
        assert_eq!(error.to_string(), "there are 0 articles left to test on, expected at least 1");
    }

    #[test]
    fn every_label_has_its_shots_where_articles_have_several() {
        let mut pool = sample(90, 3, 1.0, 0);
        let labels = (0..90usize).map(|i| if i % 9 == 0 { vec![LabelId(0), LabelId(2)] } else { vec![LabelId(i % 2)] });
        pool.targets = Targets::Multi(labels.collect());
        let rows = draw(&pool, 5, 0, 0);
        let support = pool.targets.select(&rows).support(3);
        assert!(support.iter().all(|&n| n >= 5) && support[2] == 5, "{support:?}");
    }
}
