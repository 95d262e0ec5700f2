//! Labelled articles in, a classifier out.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::fit_views::fit_views;
use super::{HeadSettings, TrainError};
use crate::data::{Article, DataError, LabelledTargets, collect_targets};
use crate::encoder::Encoder;
use crate::labels::{LabelSet, Task};
use crate::pipeline::{
    Classifier, CrossValidation, DataRecord, EmbedSettings, TopicHead, TrainingRecord, embed_stream, titled,
};
use crate::progress::{Event, Progress, Silent};
use crate::report::{EvaluationInput, EvaluationReport};
use crate::views::ViewKind;

/// How a classifier is trained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSettings {
    pub embed: EmbedSettings,
    pub head: HeadSettings,
    /// Kept in this order and with these descriptions; found in the articles where `None`.
    #[serde(skip)]
    pub labels: Option<LabelSet>,
    /// Told by the articles where `None`: `single` when each has exactly one label.
    pub task: Option<Task>,
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

    /// Trains on a stream of labelled articles; embeddings are kept, texts only where a view of their words is wanted.
    ///
    /// # Errors
    /// The first error of the stream; an article without known labels; fewer than two labels; settings that make no sense;
    /// [`TrainError::Interrupted`].
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
        let encoder: Arc<Encoder> = encoder.into();
        let reference = encoder.reference().cloned().ok_or(TrainError::NamelessEncoder)?;
        let head_settings = settings.head.clone().check()?;
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
        let mut rows: Vec<f32> = Vec::new();
        let mut known: Vec<(String, Option<Vec<String>>)> = Vec::new();
        let mut texts: Vec<String> = Vec::new();
        let keeps_texts = settings.head.views.contains(&ViewKind::Words);
        progress.event(Event::Started { stage: "encoding", total: None });
        let counts = embed_stream(&encoder, &settings.embed, hashed, progress, |chunk| {
            rows.extend(chunk.embeddings.iter());
            if keeps_texts {
                texts.extend(chunk.articles.iter().map(|article| titled(article).joined().into_owned()));
            }
            known.extend(chunk.articles.into_iter().map(|article| (article.id, article.labels)));
            Ok(())
        })?;
        progress.event(Event::Finished);
        let encode = started.elapsed();

        let started = Instant::now();
        let resolved = collect_targets(
            known.iter().map(|(id, labels)| (id.as_str(), labels.as_deref())),
            settings.labels.as_ref(),
            settings.task,
        )?;
        if settings.task.is_none() && looks_like_a_slip(&resolved) {
            progress.event(Event::Warning {
                message: &format!(
                    "{} articles have one label, {} none and {} several, so the task is multi-label; if every article should have one label, mend these or pass --task single",
                    resolved.n_one, resolved.n_none, resolved.n_several
                ),
            });
        }
        let embeddings = Array2::from_shape_vec((known.len(), encoder.hidden_size()), rows)
            .expect("every article has one embedding");
        let fitted =
            fit_views(embeddings.view(), &texts, &resolved.targets, &resolved.labels, &head_settings, progress)?;
        let fit = started.elapsed();

        let cross_validation = match fitted.cv {
            None => None,
            Some(cv) => Some(CrossValidation {
                n_folds: cv.folds.n_folds(),
                log_loss_of_strengths: cv.strengths.iter().map(|tried| (tried.strength, tried.log_loss)).collect(),
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
                counts,
            },
            strength: fitted.strength,
            words_strength: fitted.words_strength,
            cross_validation,
        };
        let classifier = Classifier {
            encoder,
            settings: settings.embed.clone(),
            topics: TopicHead {
                labels: resolved.labels,
                views: fitted.views,
                stack: fitted.stack,
                calibration: fitted.calibration,
                thresholds: fitted.thresholds,
            },
            record,
        };
        Ok((classifier, TrainTimings { encode, fit }))
    }
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
