//! `topicwire train`.

use anyhow::Context;
use clap::Args;

use crate::bundle::Saved;
use crate::cli::args::DataArgs;
use crate::cli::config;
use crate::cli::contract_text;
use crate::cli::exit::Outcome;
use crate::cli::printer;
use crate::cli::progress::StderrProgress;
use crate::cli::session::{REJECTS_FILE, Session};
use crate::cli::train_flags::TrainFlags;
use crate::data::{Article, CorrectionCounts, CorrectionLog, Corrections, DataError, DuplicateIds};
use crate::pipeline::Classifier;
use crate::progress::{Event, Progress};

/// Fit a classifier on labelled articles and save it.
///
/// Each article goes through the encoder once and is then seen in several ways: as a whole, by passages, by words, by what labels mean.
/// Strengths, the weights of these views, calibration and the threshold of every label are chosen by cross-validation. Prints what
/// cross-validation found.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  topicwire train data/diplomacy/train.jsonl -o model
  topicwire train news.csv --text-column body --label-column topics -o model --aim 'precision>=0.9'
  topicwire train few.jsonl --labels labels.json --unlabelled more.jsonl -o model")]
pub struct TrainCommand {
    #[command(flatten)]
    flags: TrainFlags,
}

impl TrainCommand {
    pub fn run(self) -> anyhow::Result<Outcome> {
        let mut flags = config::layer_run(&self.flags, |flags| &mut flags.run, "train")?;
        flags.settle_precision();
        let mut settings = flags.settings()?;
        settings.head.clone().check().context("the settings make no sense")?;
        let settings_to_keep = reproducing(&flags)?;
        let output = flags.output.clone().context("no place to save the model: pass -o MODEL")?;
        let saved = if flags.overwrite { Saved::Replacing } else { Saved::New };
        saved.check(&output)?;

        let corrections = flags.corrections.as_ref().map(Corrections::read).transpose()?;
        if let (Some(corrections), Some(labels)) = (&corrections, &settings.labels) {
            corrections.check_labels(labels)?;
        }
        anyhow::ensure!(
            corrections.is_none() || !settings.zero_shot,
            "--corrections is about labelled articles, but there are none: pass DATA"
        );

        let session = Session::new(&flags.run)?;
        // Certified elsewhere, it need not be by cross-validation, for which there may be too few articles.
        let certified_later = if flags.certify_on.is_empty() { None } else { settings.contract.take() };
        let certifying = match certified_later {
            None => None,
            Some(_) => Some(session.open_input(&beside(&flags.data, &flags.certify_on, "certify"), |articles| {
                let mut ids = DuplicateIds::default();
                articles.check(move |article, place| ids.check(article, place))
            })?),
        };
        let unlabelled = match flags.unlabelled.is_empty() {
            true => None,
            false => {
                let data = beside(&flags.data, &flags.unlabelled, "unlabelled");
                Some(session.open_input(&data, |articles| articles)?)
            }
        };
        let labelled = if settings.zero_shot { None } else { Some(flags.open_labelled(&session, &settings)?) };
        let (rows, rejected) = labelled.unzip();
        let (rows, log) = match (corrections, rows) {
            (Some(corrections), Some(rows)) => {
                let (rows, log) = corrections.apply_knowing(rows, settings.labels.as_ref());
                (Some(Box::new(rows) as Rows), Some(log))
            }
            (_, rows) => (rows.map(|rows| Box::new(rows) as Rows), None),
        };
        let (more, more_rejected) = unlabelled.unzip();
        let encoder = flags.open_encoder(&session)?;

        let progress = &*session.progress;
        let (mut classifier, timings) = session.install(|| {
            let (rows, more) = (rows.into_iter().flatten(), more.into_iter().flatten());
            Classifier::train_beside(encoder, rows, more, &settings, progress)
        })?;
        session.check_cancelled()?;
        let mut certifying_rejected = None;
        if let (Some(promised), Some((rows, rejected))) = (certified_later, certifying) {
            progress.event(Event::Started { stage: "certifying", total: None });
            let certified = session.install(|| classifier.certify(rows, &promised, progress));
            progress.event(Event::Finished);
            certified.context("cannot certify the promise")?;
            session.check_cancelled()?;
            certifying_rejected = Some(rejected);
        }
        classifier.record.settings = settings_to_keep;
        classifier.record.data.corrections = log.as_ref().map(CorrectionLog::record);
        classifier.save_as(&output, saved)?;

        let data = &classifier.record.data;
        let (encode, fit) = (timings.encode.as_secs_f64(), timings.fit.as_secs_f64());
        progress.say(format!(
            "encoded {} articles ({} windows, {} tokens) in {encode:.1} s, fitted the head in {fit:.1} s: {:.0} % of the time in the encoder",
            data.counts.n_articles, data.counts.n_windows, data.counts.n_tokens, 100.0 * encode / (encode + fit)
        ));
        say_long(progress, &data.counts);
        printer::print(&summary(&classifier))?;
        if let Some(contract) = &classifier.topics.contract {
            printer::print(&contract_text::fitted(contract, classifier.labels().names()))?;
        }
        printer::print(&format!("\nmodel saved in {}\n", output.display()))?;
        let n_dropped = data.corrections.as_ref().map_or(0, |corrections| corrections.counts.n_dropped);
        let n_read = data.counts.n_articles + n_dropped;
        let mut outcome = rejected.map_or(Outcome::Done, |rejected| rejected.conclude(n_read, progress));
        if let Some(corrections) = &data.corrections {
            say_corrections(progress, &corrections.counts);
        }
        for (what, rejected) in [("unlabelled", more_rejected), ("certifying", certifying_rejected)] {
            if let Some(rejected) = rejected.filter(|rejected| rejected.count() > 0) {
                let n_rejected = printer::counted(rejected.count(), "row");
                progress.warn(format!("{n_rejected} of the {what} articles rejected: see {}", rejected.place()));
                outcome = Outcome::RowsRejected;
            }
        }
        Ok(outcome)
    }
}

/// Other articles of the same form, with a file of rejects of their own, or one of the two would overwrite the other's.
fn beside(data: &DataArgs, other: &[String], name: &str) -> DataArgs {
    let rejects = data.rejects.clone().unwrap_or_else(|| REJECTS_FILE.into());
    let mut own = std::ffi::OsString::from(format!("{name}-"));
    own.push(rejects.file_name().unwrap_or_default());
    DataArgs { data: other.to_vec(), rejects: Some(rejects.with_file_name(own)), ..data.clone() }
}

/// Articles as training reads them.
type Rows = Box<dyn Iterator<Item = Result<Article, DataError>> + Send>;

/// Says what became of the corrections; those for articles that did not come are worth a warning.
fn say_corrections(progress: &StderrProgress, counts: &CorrectionCounts) {
    let CorrectionCounts { n_relabelled, n_dropped, n_kept, n_undecided, n_unknown } = counts;
    progress.say(format!(
        "corrections: {n_relabelled} relabelled, {n_dropped} left out, {n_kept} kept, {n_undecided} undecided"
    ));
    if *n_unknown > 0 {
        progress.warn(format!(
            "{} of the corrections not among the articles read",
            printer::counted(*n_unknown, "article")
        ));
    }
}

fn summary(classifier: &Classifier) -> String {
    let (record, topics) = (&classifier.record, &classifier.topics);
    let head = format!("{} articles, {} labels, {}", record.data.counts.n_articles, topics.labels.len(), topics.task());
    let Some(cv) = &record.cross_validation else {
        return format!("{head}; too few articles for cross-validation\n");
    };
    let words = record.words_strength.map(|strength| format!(", of the words {strength}")).unwrap_or_default();
    let weights: Vec<String> = topics
        .views
        .iter()
        .zip(topics.stack.weights())
        .map(|(view, weight)| format!("{} {weight:.2}", view.kind().name()))
        .collect();
    let weights = if weights.len() > 1 { format!("; weights: {}", weights.join(", ")) } else { String::new() };
    format!(
        "{head}; strength C = {}{words}{weights}; {}-fold cross-validation:\n\n{}",
        record.strength,
        cv.n_folds,
        printer::report(&cv.report)
    )
}

/// Says how many articles did not fit into one window: nothing is cut in silence.
pub fn say_long(progress: &StderrProgress, counts: &crate::pipeline::EmbedCounts) {
    if counts.n_long > 0 {
        progress.say(format!("{} of {} articles were read in several windows", counts.n_long, counts.n_articles));
    }
    if counts.n_capped > 0 {
        progress.say(format!("{} of {} articles have more passages than are used", counts.n_capped, counts.n_articles));
    }
    if counts.n_cut > 0 {
        progress.warn(format!("{} of {} articles were cut", counts.n_cut, counts.n_articles));
    }
}

/// What a run.toml needs to make the same model: no places of outputs, nothing that changes no result.
pub(super) fn reproducing(
    flags: &TrainFlags,
) -> Result<serde_json::Map<String, serde_json::Value>, config::ConfigFileError> {
    const WITHOUT_EFFECT: [&str; 8] =
        ["output", "overwrite", "rejects", "threads", "cache", "offline", "progress", "batch-tokens"];
    let mut settings = config::given(flags)?;
    settings.retain(|key, _| !WITHOUT_EFFECT.contains(&key.as_str()));
    Ok(settings)
}
