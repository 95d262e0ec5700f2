//! Whether other settings of the head suit some labelled articles better than the given ones.
//!
//! * [`tune()`]: one change after the other, kept where held-out articles are clearly judged better
//! * [`changes`]: which changes there are
//! * [`compare`]: the gain of one set of predictions over another, and its standard error

pub mod changes;
pub mod compare;
mod corpus;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use thiserror::Error;

use self::changes::{Change, Facts};
use self::compare::Comparison;
use self::corpus::{Corpus, Fitted};
use crate::data::Article;
use crate::encoder::Encoder;
use crate::labels::Task;
use crate::metrics::summary::Metric;
use crate::progress::{Event, Progress};
use crate::train::{TrainError, TrainSettings};

/// Standard errors by which a change must gain to be kept, and all that are kept together on other folds. About fifteen changes are tried; at one
/// standard error two of them would be kept by luck alone.
pub const N_STANDARD_ERRORS: f64 = 2.0;

/// What is searched for, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TuneSettings {
    /// What is to get better on held-out articles.
    pub metric: Metric,
    /// From the moment when the articles have gone through the encoder with the given settings; the trial of these is made in any case. Room for the
    /// last check is kept.
    pub budget: Option<Duration>,
    /// Trials at most, that of the given settings and the two of the last check not counted.
    pub max_trials: Option<usize>,
}

impl Default for TuneSettings {
    fn default() -> Self {
        Self { metric: Metric::F1Micro, budget: None, max_trials: None }
    }
}

/// Why there was nothing to search.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TuneError {
    #[error("{0}")]
    Train(#[from] TrainError),
    #[error("too few articles per label: none can be held out, so settings cannot be compared")]
    TooFew,
    #[error(
        "there are so few labelled articles that training goes by what labels mean and looks at no setting of the head; expected 16 per label, 8 where articles have several"
    )]
    GoesByMeaning,
    #[error("`{}` is no metric of a {task} task", .metric.name())]
    OtherTask { metric: Metric, task: Task },
    #[error("`{}` has no value on these articles", .metric.name())]
    Undefined { metric: Metric },
}

/// One set of settings and what it was worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// What is different from the best before; `None` for the given settings.
    pub change: Option<Change>,
    /// The metric on held-out articles.
    pub score: f64,
    /// Against the best before.
    pub comparison: Option<Comparison>,
    /// Whether it is the best from here on.
    pub is_kept: bool,
    pub seconds: f64,
}

/// Why the search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every change was tried on the best settings.
    Exhausted,
    /// The budget or the number of trials was spent.
    Spent,
    /// [`Progress::is_cancelled`]; there was no last check.
    Interrupted,
}

/// What the search found.
#[derive(Clone, Debug, PartialEq)]
pub struct TuneOutcome {
    /// The given settings where nothing was found.
    pub settings: TrainSettings,
    /// What is different from the given ones, in the order in which it was kept.
    pub changes: Vec<Change>,
    /// The given settings first.
    pub trials: Vec<Trial>,
    /// All changes that were kept, against the given settings, on other folds; `None` where nothing was kept or the search was interrupted.
    pub check: Option<Comparison>,
    pub end: End,
}

/// Searches settings that judge held-out articles better than the given ones.
///
/// Starts from the given settings. One change after the other ([`changes`]) is tried on top of the best so far, always on the same folds, and kept if the
/// metric rises by more than two standard errors of the difference between the two on the same articles ([`compare`]). When all were tried and some
/// were kept, those that were not are tried again. At last the best is compared with the given settings on folds of another seed, and the given ones
/// are taken again unless the gain is as clear there. That is the likely outcome: the defaults choose strengths, views and calibration by cross-validation
/// themselves.
///
/// Views that are left out of the given settings' fit stay out. The order of trials depends on settings and articles alone: a longer search begins as a
/// shorter one does.
///
/// Articles go through the encoder once for each way to embed them; give the encoder a [store](Encoder::set_store), and they do so once in all.
/// `told` hears of every trial when it is over.
///
/// # Errors
/// Articles without labels, settings that make no sense, too few articles to hold any out; [`TrainError::Interrupted`] before the given settings were
/// tried, afterwards the best so far is the result.
///
/// # Example
/// ```no_run
/// use topicwire::progress::Silent;
/// use topicwire::tune::{TuneSettings, tune};
/// use topicwire::{Classifier, Dataset, Encoder, TrainSettings};
/// let encoder = Encoder::open("models/all-MiniLM-L6-v2")?;
/// let articles = Dataset::read("train.jsonl")?.articles;
/// let settings = TuneSettings { max_trials: Some(10), ..TuneSettings::default() };
/// let found = tune(&encoder, &articles, &TrainSettings::default(), &settings, &Silent, &mut |_| {})?;
/// let classifier = Classifier::train(encoder, articles.into_iter().map(Ok), &found.settings)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn tune(
    encoder: &Encoder,
    articles: &[Article],
    given: &TrainSettings,
    settings: &TuneSettings,
    progress: &dyn Progress,
    told: &mut (dyn FnMut(&Trial) + Send),
) -> Result<TuneOutcome, TuneError> {
    given.head.clone().check()?;
    let mut corpus = Corpus::new(encoder, articles, given, settings.metric, progress)?;
    let started = Instant::now();
    let first = corpus.fit(given, progress)?;
    let took = started.elapsed();
    let trial =
        Trial { change: None, score: first.score, comparison: None, is_kept: true, seconds: took.as_secs_f64() };
    told(&trial);

    let until = settings.budget.map(|budget| started + budget.saturating_sub(2 * took).max(took));
    let mut search = Search {
        seen: BTreeSet::new(),
        best: narrowed(given, &first),
        fitted: first.clone(),
        changes: Vec::new(),
        trials: vec![trial],
    };
    let end = search.run(&mut corpus, settings, &Until { progress, until }, told)?;
    let end = if progress.is_cancelled() { End::Interrupted } else { end };
    let Search { best, changes, trials, .. } = search;
    if changes.is_empty() || end == End::Interrupted {
        let settings = if changes.is_empty() { given.clone() } else { best };
        return Ok(TuneOutcome { settings, changes, trials, check: None, end });
    }
    let elsewhere = |settings: &TrainSettings| {
        let mut settings = settings.clone();
        settings.head.seed = settings.head.seed.wrapping_add(1);
        settings
    };
    let both = corpus
        .fit(&elsewhere(&narrowed(given, &first)), &Until { progress, until: None })
        .and_then(|before| Ok((before, corpus.fit(&elsewhere(&best), &Until { progress, until: None })?)));
    let (before, after) = match both {
        Err(error) if is_interruption(&error) => {
            return Ok(TuneOutcome { settings: best, changes, trials, check: None, end: End::Interrupted });
        }
        both => both?,
    };
    let check = corpus.compare(&before, &after)?;
    Ok(if check.is_clear(N_STANDARD_ERRORS) {
        TuneOutcome { settings: best, changes, trials, check: Some(check), end }
    } else {
        TuneOutcome { settings: given.clone(), changes: Vec::new(), trials, check: Some(check), end }
    })
}

/// The same settings, without the views that got no place in the fit: the same model in less time.
fn narrowed(settings: &TrainSettings, fitted: &Fitted) -> TrainSettings {
    let mut settings = settings.clone();
    settings.head.views = fitted.views.clone();
    settings
}

struct Search {
    /// Settings that were tried, as JSON.
    seen: BTreeSet<String>,
    best: TrainSettings,
    fitted: Fitted,
    changes: Vec<Change>,
    trials: Vec<Trial>,
}

impl Search {
    fn run(
        &mut self,
        corpus: &mut Corpus<'_>,
        settings: &TuneSettings,
        until: &Until<'_>,
        told: &mut (dyn FnMut(&Trial) + Send),
    ) -> Result<End, TuneError> {
        self.seen.insert(name_of(&self.best));
        loop {
            let n_tried = self.trials.len();
            for change in changes::all(&self.best, self.fitted.document, corpus.facts()) {
                let mut candidate = self.best.clone();
                // What was kept in this round may have made it senseless.
                if !change.apply(&mut candidate) || !self.seen.insert(name_of(&candidate)) {
                    continue;
                }
                if settings.max_trials.is_some_and(|max| self.trials.len() > max) || until.is_cancelled() {
                    return Ok(End::Spent);
                }
                match self.try_out(change, candidate, corpus, until) {
                    Ok(()) => told(&self.trials[self.trials.len() - 1]),
                    Err(error) if is_interruption(&error) => return Ok(End::Spent),
                    Err(error) => return Err(error),
                }
            }
            if !self.trials[n_tried..].iter().any(|trial| trial.is_kept) {
                return Ok(End::Exhausted);
            }
        }
    }

    fn try_out(
        &mut self,
        change: Change,
        candidate: TrainSettings,
        corpus: &mut Corpus<'_>,
        until: &Until<'_>,
    ) -> Result<(), TuneError> {
        let started = Instant::now();
        let fitted = corpus.fit(&candidate, until)?;
        let comparison = corpus.compare(&self.fitted, &fitted)?;
        let is_kept = comparison.is_clear(N_STANDARD_ERRORS);
        self.trials.push(Trial {
            change: Some(change.clone()),
            score: fitted.score,
            comparison: Some(comparison),
            is_kept,
            seconds: started.elapsed().as_secs_f64(),
        });
        if is_kept {
            self.best = narrowed(&candidate, &fitted);
            self.seen.insert(name_of(&self.best));
            self.fitted = fitted;
            self.changes.retain(|kept| !kept.is_undone_by(&change));
            self.changes.push(change);
        }
        corpus.forget_all_but(&self.best);
        Ok(())
    }
}

fn name_of(settings: &TrainSettings) -> String {
    serde_json::to_string(settings).expect("plain data has a JSON form")
}

fn is_interruption(error: &TuneError) -> bool {
    matches!(error, TuneError::Train(TrainError::Interrupted))
}

/// Stops at a moment, or when another listener does; tells nothing, for the same warnings would come with every trial.
struct Until<'a> {
    progress: &'a dyn Progress,
    until: Option<Instant>,
}

impl Progress for Until<'_> {
    fn event(&self, _event: Event<'_>) {}

    fn is_cancelled(&self) -> bool {
        self.progress.is_cancelled() || self.until.is_some_and(|until| Instant::now() >= until)
    }
}

impl Facts {
    /// Share of the articles with a title from which on titles are looked at.
    const MIN_TITLED: f64 = 0.1;
    /// Share of the articles of several windows from which on the pooling of windows is looked at.
    const MIN_LONG: f64 = 0.05;

    fn of(articles: &[Article], n_long: u64, task: Task) -> Self {
        let n = articles.len() as f64;
        let n_titled = articles.iter().filter(|article| article.title.as_ref().is_some_and(|t| !t.is_empty())).count();
        Self {
            has_titles: n_titled as f64 >= Self::MIN_TITLED * n,
            has_long: n_long as f64 >= Self::MIN_LONG * n,
            task,
        }
    }
}
