//! Trained on what came before, tested on what came after: what a random split hides when topics and words change.

use serde::{Deserialize, Serialize};

use super::pool::Pool;
use super::{Judged, Spread, StudyError, at_least, fit_and_judge, score_metric};
use crate::labels::Task;
use crate::metrics::summary::Metric;
use crate::progress::{Event, Progress};
use crate::report::slices::NO_VALUE;
use crate::train::HeadSettings;

/// Where time is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Trained on articles before this date, tested on those of it and after.
    After(String),
    /// As many windows of about as many articles, each tested with all before it trained on.
    Windows(usize),
}

/// How articles are put in the order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeSettings {
    /// The column of dates, for messages.
    pub column: String,
    pub cut: Cut,
    /// Random splits of the same sizes beside each, at least 2.
    pub n_repeats: usize,
    pub head: HeadSettings,
    pub seed: u64,
}

/// One cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimeWindow {
    /// The last date that is trained on.
    pub train_until: String,
    /// The first and the last date that are tested on.
    pub test_from: String,
    pub test_until: String,
    pub n_train: usize,
    pub n_test: usize,
    pub by_time: Judged,
    /// Accuracy (`single`) or micro-F1 (`multi`) of random splits of the same articles into parts of the same sizes.
    pub random_score: Spread,
    pub random_f1_macro: Spread,
    /// Mean score of the random splits less that by time.
    pub cost: f64,
}

/// What time costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TimeStudy {
    pub task: Task,
    /// What `score` is.
    pub metric: Metric,
    pub n_labels: usize,
    pub windows: Vec<TimeWindow>,
}

impl TimeStudy {
    /// Fits heads to articles before a date and judges them by articles after it, beside random splits of the same articles.
    ///
    /// The pool's column holds the dates, ISO 8601, which are put in order as text: all should be written alike. Articles of one date stay
    /// together. Random splits have the labels in the same shares on both sides, so that what is lost holds what changing shares cost.
    ///
    /// # Errors
    /// [`StudyError::NoTime`], [`StudyError::NotADate`], a part without articles, settings out of range, a part to which no head can be
    /// fitted, [`StudyError::Interrupted`].
    pub fn measure(pool: &Pool, settings: &TimeSettings, progress: &dyn Progress) -> Result<Self, StudyError> {
        at_least("repeats", settings.n_repeats, 2, "at least 2")?;
        check_dates(pool, &settings.column)?;
        let parts = match &settings.cut {
            Cut::After(date) => vec![cut_at(pool, date)?],
            Cut::Windows(n) => windows(pool, *n)?,
        };
        let n_fits = parts.len() * (settings.n_repeats + 1);
        progress.event(Event::Started { stage: "fitting heads", total: Some(n_fits as u64) });
        let windows = parts.iter().map(|part| measure_part(pool, part, settings, progress)).collect::<Result<_, _>>();
        progress.event(Event::Finished);
        let task = pool.targets.task();
        Ok(Self { task, metric: score_metric(task), n_labels: pool.labels.len(), windows: windows? })
    }

    /// Mean cost over the windows.
    pub fn mean_cost(&self) -> Option<f64> {
        let n = self.windows.len() as f64;
        (!self.windows.is_empty()).then(|| self.windows.iter().map(|window| window.cost).sum::<f64>() / n)
    }
}

/// Rows before and after.
struct Part {
    train: Vec<usize>,
    test: Vec<usize>,
}

/// Whether a text begins as a date of ISO 8601 does, with four digits of a year.
pub fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(2, ['-', '/', 'T']);
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    parts.next().is_some_and(|year| (year.len() == 4 || year.len() == 8) && is_number(year))
}

fn check_dates(pool: &Pool, column: &str) -> Result<(), StudyError> {
    for (id, date) in pool.ids.iter().zip(&pool.column) {
        if date == NO_VALUE {
            return Err(StudyError::NoTime { id: id.clone(), column: column.to_owned() });
        }
        if !is_date(date) {
            return Err(StudyError::NotADate { column: column.to_owned(), id: id.clone(), found: date.clone() });
        }
    }
    Ok(())
}

fn cut_at(pool: &Pool, date: &str) -> Result<Part, StudyError> {
    let (train, test): (Vec<usize>, Vec<usize>) =
        (0..pool.ids.len()).partition(|&row| pool.column[row].as_str() < date);
    for (rows, what) in [(&train, "before the date, to train on"), (&test, "from the date on, to test on")] {
        if rows.is_empty() {
            return Err(StudyError::TooFew { what, found: 0, needed: 1 });
        }
    }
    Ok(Part { train, test })
}

/// `n` windows: blocks of about as many articles in the order of time, each tested after all before it.
fn windows(pool: &Pool, n: usize) -> Result<Vec<Part>, StudyError> {
    at_least("windows", n, 1, "at least 1")?;
    let mut rows: Vec<usize> = (0..pool.ids.len()).collect();
    rows.sort_by(|&a, &b| pool.column[a].cmp(&pool.column[b]).then(a.cmp(&b)));
    let dates: Vec<&[usize]> = rows.chunk_by(|&a, &b| pool.column[a] == pool.column[b]).collect();
    if dates.len() < n + 1 {
        return Err(StudyError::TooFewDates { found: dates.len(), needed: n });
    }
    // Where each block begins: the date that comes nearest to an equal share, with one date left at least for each block behind it.
    let mut starts = vec![0];
    let mut n_before: Vec<usize> = vec![0];
    for of_date in &dates {
        n_before.push(n_before[n_before.len() - 1] + of_date.len());
    }
    for block in 1..=n {
        let wanted = block as f64 * rows.len() as f64 / (n + 1) as f64;
        let first = starts[block - 1] + 1;
        let last = dates.len() - (n + 1 - block);
        let distance = |date: usize| (n_before[date] as f64 - wanted).abs();
        let start = (first..=last).min_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        starts.push(start.unwrap_or(first));
    }
    starts.push(dates.len());
    let part = |block: usize| {
        let (start, end) = (n_before[starts[block]], n_before[starts[block + 1]]);
        Part { train: rows[..start].to_vec(), test: rows[start..end].to_vec() }
    };
    Ok((1..=n).map(part).collect())
}

fn measure_part(
    pool: &Pool,
    part: &Part,
    settings: &TimeSettings,
    progress: &dyn Progress,
) -> Result<TimeWindow, StudyError> {
    let fit = |train: &[usize], test: &[usize]| {
        let judged = fit_and_judge(pool, train, test, &settings.head, progress);
        progress.event(Event::Advanced { n_items: 1, n_tokens: 0 });
        judged
    };
    let by_time = fit(&part.train, &part.test)?;
    let together = [&part.train[..], &part.test[..]].concat();
    let mut random = Vec::with_capacity(settings.n_repeats);
    for repeat_idx in 0..settings.n_repeats {
        let order = pool.stratified_order(&together, settings.seed, &format!("study/time/{repeat_idx}"));
        let (test, train) = order.split_at(part.test.len());
        random.push(fit(train, test)?);
    }
    let of = |values: fn(&Judged) -> f64| Spread::of(&random.iter().map(values).collect::<Vec<_>>());
    let random_score = of(|judged| judged.score);
    let dates = |rows: &[usize]| {
        let mut dates: Vec<&String> = rows.iter().map(|&row| &pool.column[row]).collect();
        dates.sort();
        [dates.first(), dates.last()].map(|date| date.map(|date| (*date).clone()).unwrap_or_default())
    };
    let ([_, train_until], [test_from, test_until]) = (dates(&part.train), dates(&part.test));
    Ok(TimeWindow {
        train_until,
        test_from,
        test_until,
        n_train: part.train.len(),
        n_test: part.test.len(),
        by_time,
        random_score,
        random_f1_macro: of(|judged| judged.f1_macro),
        cost: random_score.mean - by_time.score,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use crate::study::pool::sample;

    fn settings(cut: Cut) -> TimeSettings {
        let head = HeadSettings { views: vec![crate::views::ViewKind::Document], ..HeadSettings::default() };
        TimeSettings { column: "date".into(), cut, n_repeats: 3, head, seed: 2 }
    }

    /// What each label looks like changes in July.
    fn changing() -> Pool {
        let mut pool = sample(336, 3, 0.5, 0);
        for row in 168..336 {
            let embedding = pool.embeddings.row(row).to_owned();
            // Half of the articles look like those of the next label did.
            if row % 2 == 0 {
                (0..3).for_each(|k| pool.embeddings[[row, (k + 1) % 3]] = embedding[k]);
            }
        }
        pool
    }

    #[test]
    fn what_changes_costs() {
        let study = TimeStudy::measure(&changing(), &settings(Cut::After("2024-07".into())), &Silent).unwrap();
        let [window] = &study.windows[..] else { panic!("one cut") };
        assert_eq!((window.n_train, window.n_test), (168, 168));
        assert_eq!((window.train_until.as_str(), window.test_from.as_str()), ("2024-06-28", "2024-07-01"));
        assert!(window.cost > 0.1 && study.mean_cost() == Some(window.cost), "{window:?}");
    }

    #[test]
    fn windows_roll_and_dates_stay_together() {
        let pool = sample(336, 3, 0.5, 0);
        let study = TimeStudy::measure(&pool, &settings(Cut::Windows(3)), &Silent).unwrap();
        let sizes: Vec<[usize; 2]> = study.windows.iter().map(|window| [window.n_train, window.n_test]).collect();
        assert_eq!(sizes, [[84, 84], [168, 84], [252, 84]]);
        for window in &study.windows {
            assert!(window.train_until < window.test_from && window.test_from < window.test_until);
        }
        assert!(study.mean_cost().unwrap().abs() < 0.05, "nothing changes: {study:?}");
    }

    #[test]
    fn dates_that_tell_nothing_are_refused() {
        let mut pool = sample(30, 3, 0.5, 0);
        let refused = |pool: &Pool, cut| TimeStudy::measure(pool, &settings(cut), &Silent).unwrap_err().to_string();
        let message = refused(&pool, Cut::After("2030".into()));
        assert_eq!(message, "there are 0 articles from the date on, to test on, expected at least 1");
        assert_eq!(refused(&pool, Cut::Windows(40)), "30 different dates cannot make 40 windows");
        pool.column[3] = "next week".into();
        let message = refused(&pool, Cut::Windows(2));
        assert_eq!(message, "column `date` of article a3 is `next week`, expected a date such as 2024-03-31");
        pool.column[1] = NO_VALUE.into();
        let message = refused(&pool, Cut::Windows(2));
        assert_eq!(message, "article a1 has no `date`, which its place in time is told by");
    }

    #[test]
    fn dates_are_told_from_other_texts() {
        for date in ["2024", "2024-03", "2024-03-31T10:00:00Z", "20240331", "2024/03/31"] {
            assert!(is_date(date), "{date}");
        }
        for text in ["31.03.2024", "March 2024", "24-03-31", "", "1711843200000"] {
            assert!(!is_date(text), "{text}");
        }
    }
}
