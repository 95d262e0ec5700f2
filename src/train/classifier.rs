//! Labelled articles in, a classifier out.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::fit_views::{TrainingFeatures, fit_views};
use super::gathered::Gathered;
use super::little::{FewChoice, Little, MAX_UNLABELLED, fit_little};
use super::{HeadSettings, TrainError};
use crate::calibration::contract::{Contract, ContractSettings};
use crate::data::{Article, DataError, LabelledTargets, collect_targets};
use crate::encoder::Encoder;
use crate::labels::{LabelSet, Targets, Task};
use crate::pipeline::neighbours::Neighbours;
use crate::pipeline::{
    Classifier, CrossValidation, DataRecord, EmbedSettings, PipelineError, TopicHead, TrainingRecord, embed_stream,
};
use crate::progress::{Event, Progress, Silent};
use crate::report::{EvaluationInput, EvaluationReport};
use crate::scope::Scope;
use crate::views::ViewKind;
use crate::views::descriptions::{self, DescriptionsHead};
use crate::views::rules::Rules;

/// Column with labels of paragraphs unless settings say otherwise.
pub const PARAGRAPH_LABELS: &str = "paragraph_labels";

/// Training articles that are kept unless settings say otherwise: 8 MB with 384 columns.
pub const DEFAULT_NEIGHBOURS: usize = 10_000;

/// How a classifier is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSettings {
    pub embed: EmbedSettings,
    pub head: HeadSettings,
    /// Kept in this order and with these descriptions; found in the articles where `None`.
    #[serde(skip)]
    pub labels: Option<LabelSet>,
    /// Told by the articles where `None`: `single` when each has exactly one label.
    pub task: Option<Task>,
    /// Column with labels of each paragraph, for the view of passages: a list of lists. Articles may lack it.
    pub paragraph_labels: Option<String>,
    /// Columns beside the text that are a view of their own.
    pub metadata: Vec<String>,
    /// Whether no labelled article at all is meant, not a slip; labels must be given then, and the task is `single` unless it is too.
    pub zero_shot: bool,
    /// When training goes by what labels mean and by unlabelled articles.
    pub few: FewChoice,
    /// Training articles that are kept to show those most like another: ids, titles, labels and embeddings.
    pub n_neighbours: usize,
    /// A promise to keep, certified by what cross-validation said of articles held out.
    pub contract: Option<ContractSettings>,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            embed: EmbedSettings::default(),
            head: HeadSettings::default(),
            labels: None,
            task: None,
            paragraph_labels: Some(PARAGRAPH_LABELS.to_owned()),
            metadata: Vec::new(),
            zero_shot: false,
            few: FewChoice::default(),
            n_neighbours: DEFAULT_NEIGHBOURS,
            contract: None,
        }
    }
}

/// Wall time of the two halves of training.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TrainTimings {
    pub encode: Duration,
    pub fit: Duration,
}

impl Classifier {
    /// Trains on labelled articles.
    ///
    /// ```no_run
    /// use topicwire::{Classifier, Dataset, Encoder, TrainSettings};
    /// let encoder = Encoder::open("models/all-MiniLM-L6-v2")?;
    /// let classifier = Classifier::train(encoder, Dataset::read("train.jsonl")?, &TrainSettings::default())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Classifier::train_with`].
    pub fn train<I>(
        encoder: impl Into<Arc<Encoder>>,
        articles: I,
        settings: &TrainSettings,
    ) -> Result<Classifier, TrainError>
    where
        I: IntoIterator<Item = Result<Article, DataError>>,
        I::IntoIter: Send + 'static,
    {
        Ok(Self::train_with(encoder, articles, settings, &Silent)?.0)
    }

    /// Trains on a stream of labelled articles; see [`Classifier::train_beside`].
    ///
    /// # Errors
    /// As [`Classifier::train_beside`].
    pub fn train_with<I>(
        encoder: impl Into<Arc<Encoder>>,
        articles: I,
        settings: &TrainSettings,
        progress: &dyn Progress,
    ) -> Result<(Classifier, TrainTimings), TrainError>
    where
        I: IntoIterator<Item = Result<Article, DataError>>,
        I::IntoIter: Send + 'static,
    {
        Self::train_beside(encoder, articles, std::iter::empty(), settings, progress)
    }

    /// Trains on a stream of labelled articles and one of articles without labels; embeddings are kept, texts only where a view of their words is wanted.
    ///
    /// # Errors
    /// The first error of the stream; an article without known labels; fewer than two labels; settings that make no sense;
    /// [`TrainError::Interrupted`].
    pub fn train_beside<I, U>(
        encoder: impl Into<Arc<Encoder>>,
        articles: I,
        unlabelled: U,
        settings: &TrainSettings,
        progress: &dyn Progress,
    ) -> Result<(Classifier, TrainTimings), TrainError>
    where
        I: IntoIterator<Item = Result<Article, DataError>>,
        I::IntoIter: Send + 'static,
        U: IntoIterator<Item = Result<Article, DataError>>,
        U::IntoIter: Send + 'static,
    {
        let encoder: Arc<Encoder> = encoder.into();
        let reference = encoder.reference().cloned().ok_or(TrainError::NamelessEncoder)?;
        let head_settings = settings.head.clone().check()?;
        settings.contract.as_ref().map(ContractSettings::check).transpose()?;
        encoder.tokenizer().check(&settings.embed.windows).map_err(crate::encoder::EncoderError::from)?;

        let started = Instant::now();
        let data_hash = Arc::new(Mutex::new(Sha256::new()));
        let hashed = {
            let data_hash = Arc::clone(&data_hash);
            articles.into_iter().inspect(move |article| {
                if let Ok(article) = article {
                    let mut hash = data_hash.lock().expect("hashing does not panic");
                    hash_article(&mut hash, article);
                }
            })
        };
        let wants = |kind| settings.head.views.contains(&kind);
        // Before long work: a pattern may be none. Only labels that were given have any.
        let rules = match &settings.labels {
            Some(labels) if wants(ViewKind::Rules) => Rules::new(labels)?,
            _ => None,
        };
        let keeps_texts = wants(ViewKind::Words) || wants(ViewKind::Rules);
        let embed = EmbedSettings {
            passages: wants(ViewKind::Passages).then(|| settings.embed.passages.clone().unwrap_or_default()),
            ..settings.embed.clone()
        };
        let mut gathered = Gathered::new(keeps_texts, settings.paragraph_labels.clone(), settings.metadata.clone());
        progress.event(Event::Started { stage: "encoding", total: None });
        let counts = embed_stream(&encoder, &embed, hashed, progress, |chunk| {
            gathered.add(chunk).map_err(|error| PipelineError::Sink(Box::new(error)))
        })?;
        progress.event(Event::Finished);
        let encode_labelled = started.elapsed();
        let mut encode = encode_labelled;

        let started = Instant::now();
        let resolved = match &settings.labels {
            Some(labels) if settings.zero_shot && gathered.known.is_empty() => {
                no_targets(labels, settings.task.unwrap_or(Task::Single))
            }
            labels => collect_targets(
                gathered.known.iter().map(|(id, labels)| (id.as_str(), labels.as_deref())),
                labels.as_ref(),
                settings.task,
            )?,
        };
        if settings.task.is_none() && looks_like_a_slip(&resolved) {
            progress.event(Event::Warning {
                message: &format!(
                    "{} articles have one label, {} none and {} several, so the task is multi-label; if every article should have one label, mend these or pass --task single",
                    resolved.n_one, resolved.n_none, resolved.n_several
                ),
            });
        }
        let labels = &resolved.labels;
        let descriptions = if wants(ViewKind::Descriptions) { Some(describe(&encoder, labels)?) } else { None };
        let passage_targets = gathered.passage_targets(labels)?;
        let features = TrainingFeatures {
            embeddings: gathered.embeddings(encoder.hidden_size()),
            texts: &gathered.texts,
            passages: gathered.bags(encoder.hidden_size()),
            passage_targets: passage_targets.as_ref(),
            descriptions: descriptions.as_ref(),
            rules: rules.as_ref(),
            metadata_columns: &settings.metadata,
            metadata: &gathered.metadata,
        };
        let mut unlabelled = unlabelled.into_iter().peekable();
        let has_more = settings.labels.is_some() || unlabelled.peek().is_some();
        let fitted = if settings.few.is_few(&resolved.targets, labels.len(), has_more) {
            let began = Instant::now();
            let more = embed_unlabelled(&encoder, &embed, unlabelled, progress)?;
            encode += began.elapsed();
            let little = Little {
                labelled: features.embeddings,
                targets: &resolved.targets,
                anchors: descriptions.as_ref().map(DescriptionsHead::directions),
                unlabelled: more.view(),
            };
            fit_little(&little, labels, settings.head.aim, settings.head.seed, progress)?
        } else {
            if unlabelled.peek().is_some() {
                let message =
                    "unlabelled articles are not read: there are labelled ones enough; --few always uses them";
                progress.event(Event::Warning { message });
            }
            fit_views(&features, &resolved.targets, labels, &head_settings, progress)?
        };
        let fit = started.elapsed().saturating_sub(encode - encode_labelled);

        if let Some(cv) = fitted.cv.as_ref().filter(|cv| cv.calibration.tried.len() > 1) {
            let message = format!("calibration is {}", cv.calibration);
            progress.event(Event::Note { message: &message });
        }
        let contract = match &settings.contract {
            None => None,
            Some(promised) => {
                let cv = fitted.cv.as_ref().ok_or(TrainError::NothingHeldOut)?;
                let ordinary = fitted.thresholds.as_ref();
                Some(Contract::fit(cv.oof_probabilities.view(), &resolved.targets, ordinary, promised)?)
            }
        };
        let scope = match &fitted.cv {
            None => None,
            Some(cv) => {
                progress.event(Event::Started { stage: "learning what is usual", total: None });
                let embeddings = gathered.embeddings(encoder.hidden_size());
                let (scope, _) = Scope::fit(embeddings, &resolved.targets, cv.folds.fold_of_row(), cv.folds.n_folds())?;
                progress.event(Event::Finished);
                Some(scope)
            }
        };
        let cross_validation = match fitted.cv {
            None => None,
            Some(cv) => Some(CrossValidation {
                n_folds: cv.folds.n_folds(),
                log_loss_of_strengths: cv.strengths.iter().map(|tried| (tried.strength, tried.log_loss)).collect(),
                calibration: Some(cv.calibration),
                report: EvaluationReport::new(
                    EvaluationInput {
                        labels: &resolved.labels,
                        targets: &resolved.targets,
                        probabilities: cv.oof_probabilities.view(),
                        decisions: cv.oof_decisions.view(),
                        thresholds: fitted.thresholds.as_ref().map(|thresholds| thresholds.as_slice()),
                    },
                    None,
                )?,
            }),
        };
        let data_hash = data_hash.lock().expect("hashing does not panic").clone();
        let record = TrainingRecord {
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            encoder: reference,
            settings: serde_json::Map::new(),
            data: DataRecord {
                n_without_labels: resolved.n_none as u64,
                sha256: hex(&data_hash.finalize()),
                support: resolved.targets.support(resolved.labels.len()),
                corrections: None,
                counts,
            },
            strength: fitted.strength,
            words_strength: fitted.words_strength,
            cross_validation,
        };
        let neighbours = (settings.n_neighbours > 0).then(|| {
            let known = gathered.articles();
            Neighbours::sample(&known, gathered.embeddings(encoder.hidden_size()), settings.n_neighbours)
        });
        let uses_passages = fitted.views.iter().any(|view| view.kind() == ViewKind::Passages);
        let classifier = Classifier {
            encoder,
            settings: EmbedSettings { passages: embed.passages.filter(|_| uses_passages), ..settings.embed.clone() },
            topics: TopicHead {
                labels: resolved.labels,
                views: fitted.views,
                stack: fitted.stack,
                calibration: fitted.calibration,
                moments: fitted.moments,
                thresholds: fitted.thresholds,
                contract,
            },
            neighbours,
            scope,
            abstention: None,
            record,
        };
        Ok((classifier, TrainTimings { encode, fit }))
    }
}

/// Embeddings of articles without labels, `[n_articles, hidden_size]`; those behind the first 50,000 are not read, and a warning says so.
fn embed_unlabelled<U>(
    encoder: &Encoder,
    embed: &EmbedSettings,
    articles: U,
    progress: &dyn Progress,
) -> Result<Array2<f32>, TrainError>
where
    U: Iterator<Item = Result<Article, DataError>> + Send + 'static,
{
    let plain = EmbedSettings { passages: None, ..embed.clone() };
    let mut rows: Vec<f32> = Vec::new();
    progress.event(Event::Started { stage: "encoding unlabelled", total: None });
    let counts = embed_stream(encoder, &plain, articles.take(MAX_UNLABELLED), progress, |chunk| {
        rows.extend(chunk.embeddings.iter());
        Ok(())
    })?;
    progress.event(Event::Finished);
    let n_articles = counts.n_articles as usize;
    if n_articles == MAX_UNLABELLED {
        let message = format!("unlabelled articles behind the first {MAX_UNLABELLED} are not read");
        progress.event(Event::Warning { message: &message });
    }
    Ok(Array2::from_shape_vec((n_articles, encoder.hidden_size()), rows).expect("every article has one embedding"))
}

/// Embeds what the labels mean.
pub(crate) fn describe(encoder: &Encoder, labels: &LabelSet) -> Result<DescriptionsHead, TrainError> {
    let (ids, texts): (Vec<usize>, Vec<String>) = descriptions::texts(labels).into_iter().unzip();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    Ok(DescriptionsHead::new(encoder.encode(&texts)?, ids, labels.len())?)
}

/// The labels of no article.
fn no_targets(labels: &LabelSet, task: Task) -> LabelledTargets {
    let targets = match task {
        Task::Single => Targets::Single(Vec::new()),
        Task::Multi => Targets::Multi(Vec::new()),
    };
    LabelledTargets { labels: labels.clone(), targets, n_none: 0, n_one: 0, n_several: 0 }
}

/// Share of the articles with other than one label below which a multi-label task looks like a single-label one with a few slips,
/// such as an empty cell.
const SLIP_SHARE: f64 = 0.02;

fn looks_like_a_slip(resolved: &LabelledTargets) -> bool {
    let n_other = resolved.n_none + resolved.n_several;
    n_other > 0 && (n_other as f64) < SLIP_SHARE * resolved.n_one as f64
}

/// Every part of an article that training uses, each with its length, so that no two lists of articles look the same.
fn hash_article(hash: &mut Sha256, article: &Article) {
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    part(&article.id);
    part(article.title.as_deref().unwrap_or_default());
    part(&article.text);
    let labels = article.labels.as_deref().unwrap_or_default();
    part(&labels.len().to_string());
    labels.iter().for_each(|label| part(label));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
