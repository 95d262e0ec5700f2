//! Labelled articles, embedded once for each way to do so, on which any settings can be fitted.

use std::collections::BTreeMap;

use super::TuneError;
use super::changes::{DocumentFit, Facts};
use super::compare::Comparison;
use crate::data::{Article, LabelledTargets, collect_targets};
use crate::encoder::{Encoder, EncoderError};
use crate::heads::multi_instance::PassageTargets;
use crate::metrics::summary::{Metric, RowStatistics};
use crate::pipeline::{EmbedSettings, PipelineError, embed_stream};
use crate::progress::{Event, Progress};
use crate::train::classifier::describe;
use crate::train::fit_views::{TrainingFeatures, fit_views};
use crate::train::gathered::Gathered;
use crate::train::{TrainError, TrainSettings};
use crate::views::descriptions::DescriptionsHead;
use crate::views::rules::Rules;
use crate::views::{View, ViewKind};

/// What cross-validation found of one set of settings.
#[derive(Clone, Debug)]
pub(super) struct Fitted {
    pub(super) score: f64,
    statistics: RowStatistics,
    /// Those that got a place.
    pub(super) views: Vec<ViewKind>,
    pub(super) document: DocumentFit,
}

struct Embedded {
    gathered: Gathered,
    passage_targets: Option<PassageTargets>,
}

pub(super) struct Corpus<'a> {
    encoder: &'a Encoder,
    articles: &'a [Article],
    given: &'a TrainSettings,
    metric: Metric,
    resolved: LabelledTargets,
    descriptions: Option<DescriptionsHead>,
    rules: Option<Rules>,
    facts: Facts,
    /// By the settings of embedding, as JSON.
    embedded: BTreeMap<String, Embedded>,
}

impl<'a> Corpus<'a> {
    /// Resolves labels, and embeds the articles as given.
    pub(super) fn new(
        encoder: &'a Encoder,
        articles: &'a [Article],
        given: &'a TrainSettings,
        metric: Metric,
        progress: &dyn Progress,
    ) -> Result<Self, TuneError> {
        encoder.tokenizer().check(&given.embed.windows).map_err(EncoderError::from).map_err(TrainError::from)?;
        let known = articles.iter().map(|article| (article.id.as_str(), article.labels.as_deref()));
        let resolved = collect_targets(known, given.labels.as_ref(), given.task).map_err(TrainError::from)?;
        let task = resolved.task();
        if given.few.is_few(&resolved.targets, resolved.labels.len(), given.labels.is_some()) {
            return Err(TuneError::GoesByMeaning);
        }
        if !metric.applies_to(task) {
            return Err(TuneError::OtherTask { metric, task });
        }
        let wants = |kind| given.head.views.contains(&kind);
        let rules = match &given.labels {
            Some(labels) if wants(ViewKind::Rules) => Rules::new(labels).map_err(TrainError::from)?,
            _ => None,
        };
        let descriptions =
            if wants(ViewKind::Descriptions) { Some(describe(encoder, &resolved.labels)?) } else { None };
        let facts = Facts::of(articles, 0, task);
        let mut corpus =
            Self { encoder, articles, given, metric, resolved, descriptions, rules, facts, embedded: BTreeMap::new() };
        progress.event(Event::Started { stage: "encoding", total: None });
        let n_long = corpus.embed(&given.embed, progress)?;
        progress.event(Event::Finished);
        corpus.facts = Facts::of(articles, n_long, task);
        Ok(corpus)
    }

    pub(super) fn facts(&self) -> Facts {
        self.facts
    }

    /// Articles of several windows.
    fn embed(&mut self, settings: &EmbedSettings, progress: &dyn Progress) -> Result<u64, TrainError> {
        let given = self.given;
        let wants = |kind| given.head.views.contains(&kind);
        // Passages even when their view is out by now: a store then knows the articles already.
        let embed = EmbedSettings {
            passages: wants(ViewKind::Passages).then(|| settings.passages.clone().unwrap_or_default()),
            ..settings.clone()
        };
        let keeps_texts = wants(ViewKind::Words) || wants(ViewKind::Rules);
        let mut gathered = Gathered::new(keeps_texts, given.paragraph_labels.clone(), given.metadata.clone());
        let owned: Vec<_> = self.articles.iter().cloned().map(Ok).collect();
        let counts = embed_stream(self.encoder, &embed, owned, progress, |chunk| {
            gathered.add(chunk).map_err(|error| PipelineError::Sink(Box::new(error)))
        })?;
        let passage_targets = gathered.passage_targets(&self.resolved.labels)?;
        self.embedded.insert(name_of(settings), Embedded { gathered, passage_targets });
        Ok(counts.n_long)
    }

    /// Cross-validates settings.
    pub(super) fn fit(&mut self, settings: &TrainSettings, progress: &dyn Progress) -> Result<Fitted, TuneError> {
        let name = name_of(&settings.embed);
        if !self.embedded.contains_key(&name) {
            self.embed(&settings.embed, progress)?;
        }
        let Embedded { gathered, passage_targets } = &self.embedded[&name];
        let hidden_size = self.encoder.hidden_size();
        let features = TrainingFeatures {
            embeddings: gathered.embeddings(hidden_size),
            texts: &gathered.texts,
            passages: gathered.bags(hidden_size),
            passage_targets: passage_targets.as_ref(),
            descriptions: self.descriptions.as_ref(),
            rules: self.rules.as_ref(),
            metadata_columns: &self.given.metadata,
            metadata: &gathered.metadata,
        };
        let LabelledTargets { targets, labels, .. } = &self.resolved;
        let checked = settings.head.clone().check()?;
        let fitted = fit_views(&features, targets, labels, &checked, progress)?;
        let cv = fitted.cv.ok_or(TuneError::TooFew)?;
        let truth = targets.indicator(labels.len());
        let (said, probabilities) = (cv.oof_decisions.view(), cv.oof_probabilities.view());
        let statistics =
            RowStatistics::new(targets.task(), truth.view(), said, probabilities).map_err(TrainError::from)?;
        let score = statistics.scores().get(self.metric).ok_or(TuneError::Undefined { metric: self.metric })?;
        let views = fitted.views.iter().map(View::kind).collect();
        let document = DocumentFit { strength: fitted.strength, counts: fitted.stack.weights()[0] > 0.0 };
        Ok(Fitted { score, statistics, views, document })
    }

    pub(super) fn compare(&self, before: &Fitted, after: &Fitted) -> Result<Comparison, TuneError> {
        let undefined = TuneError::Undefined { metric: self.metric };
        Comparison::new(&before.statistics, &after.statistics, self.metric, self.given.head.seed).ok_or(undefined)
    }

    /// Frees the memory of embeddings that are neither these settings' nor the given ones'.
    pub(super) fn forget_all_but(&mut self, settings: &TrainSettings) {
        let needed = [name_of(&settings.embed), name_of(&self.given.embed)];
        self.embedded.retain(|name, _| needed.contains(name));
    }
}

fn name_of(settings: &EmbedSettings) -> String {
    serde_json::to_string(settings).expect("plain data has a JSON form")
}
