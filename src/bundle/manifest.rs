//! What `manifest.json` holds: types of the file, kept apart from the live ones, so that either can change alone.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::calibration::beta::{Beta, BetaCurve};
use crate::calibration::contract::Contract;
use crate::calibration::curves::Curves;
use crate::calibration::isotonic::Isotonic;
use crate::calibration::platt::Platt;
use crate::calibration::restandardise::Restandardise;
use crate::calibration::temperature::Temperature;
use crate::calibration::thresholds::Thresholds;
use crate::calibration::{Calibration, CalibrationError};
use crate::encoder::open::EncoderReference;
use crate::encoder::pooling::WindowPooling;
use crate::labels::{Label, Task};
use crate::pipeline::{Classifier, CrossValidation, DataRecord, PassageUse};
use crate::text::windows::WindowSettings;
use crate::views::metadata::MetadataColumns;
use crate::views::stack::Stack;
use crate::views::words::TermSettings;
use crate::views::{View, ViewKind};

/// The value of `format` in every manifest.
pub const FORMAT: &str = "topicwire-model";
/// The newest version of the format that this program reads. It writes the oldest that can say what a model is.
pub const FORMAT_VERSION: u32 = 4;
/// Of models with other views than document and words, or with what version 3 adds beside them.
const VIEWS_VERSION: u32 = 3;
/// Of models that look at words beside the document.
const WORDS_VERSION: u32 = 2;
/// Of models with one view.
const ONE_VIEW_VERSION: u32 = 1;

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub format: String,
    pub format_version: u32,
    pub program_version: String,
    pub task: Task,
    pub labels: Vec<Label>,
    pub encoder: EncoderReference,
    pub windows: WindowSettings,
    pub window_pooling: WindowPooling,
    /// Share of the title's own embedding, where it has one; from version 4 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title_weight: Option<f64>,
    /// The views by name, in the order of the stack, from version 3 on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<ViewKind>,
    /// How passages are found and embedded, from version 3 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passages: Option<PassageUse>,
    /// Whether training articles are kept, to show those most like another, from version 3 on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub neighbours: bool,
    /// Whether it knows what it was not made for, from version 4 on; its numbers are in `scope.safetensors`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub scope: bool,
    /// The view of the document.
    pub head: HeadEntry,
    /// The view of its words, from version 2 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<WordsEntry>,
    /// The view of columns beside the text, from version 3 on; its numbers are in `metadata.safetensors`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataColumns>,
    /// Where there are several views.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<StackEntry>,
    pub calibration: CalibrationEntry,
    /// Where the training logits of each view lay, out of fold and calibrated, from version 3 on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moments: Vec<Restandardise>,
    /// Per label the probability from which it is assigned; `null` where the most probable label is taken.
    pub thresholds: Option<Vec<f64>>,
    /// A promise that labels are assigned by, from version 4 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<Contract>,
    pub training: TrainingEntry,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The head's kind and size; its numbers are in `head.safetensors`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadEntry {
    pub kind: HeadKind,
    pub hidden_size: usize,
    /// Strength `C` it was fitted with.
    pub strength: f64,
}

/// Size and settings of the words view; its numbers are in `words.safetensors`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WordsEntry {
    /// Strength `C` it was fitted with.
    pub strength: f64,
    pub n_terms: usize,
    pub terms: TermSettings,
}

/// How views are put together: `Σ weight · calibrated logit`, in the order of `views`; of version 2 the document's first, then the words'.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackEntry {
    pub weights: Vec<f64>,
    pub calibrations: Vec<CalibrationEntry>,
}

/// Kinds of heads that can be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadKind {
    /// `logits = x · weightsᵀ + intercepts`
    Linear,
}

/// Logits to probabilities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CalibrationEntry {
    /// Soft-max of `logits / temperature`; for `single`.
    Temperature { temperature: f64 },
    /// Sigmoid of `slope · logit + offset`, each label its own; for `multi`, from version 4 on also for `single`.
    Platt { slopes: Vec<f64>, offsets: Vec<f64> },
    /// Sigmoid of `above · softplus(logit) − below · softplus(−logit) + offset`, each label its own; from version 4 on.
    Beta { below: Vec<f64>, above: Vec<f64>, offsets: Vec<f64> },
    /// Sigmoid of a curve through knots of logit and calibrated logit, of a line for labels without; from version 4 on.
    Isotonic { slopes: Vec<f64>, offsets: Vec<f64>, knots: Vec<Vec<[f32; 2]>> },
}

impl CalibrationEntry {
    fn of(calibration: &Calibration) -> Self {
        let curves = match calibration {
            Calibration::Temperature(temperature) => return Self::Temperature { temperature: temperature.value() },
            Calibration::PerLabel(curves) | Calibration::OneVsRest(curves) => curves,
        };
        match curves {
            Curves::Platt(platt) => Self::Platt { slopes: platt.slopes().to_vec(), offsets: platt.offsets().to_vec() },
            Curves::Beta(beta) => {
                let each = |part: fn(&BetaCurve) -> f64| beta.curves().iter().map(part).collect();
                let (below, above) = (each(|curve| curve.below), each(|curve| curve.above));
                Self::Beta { below, above, offsets: each(|curve| curve.offset) }
            }
            Curves::Isotonic(isotonic) => Self::Isotonic {
                slopes: isotonic.lines().slopes().to_vec(),
                offsets: isotonic.lines().offsets().to_vec(),
                knots: isotonic.knots().to_vec(),
            },
        }
    }
}

/// How the model was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingEntry {
    /// The run's settings by the names of the command line.
    pub settings: Map<String, Value>,
    pub data: DataRecord,
    pub cross_validation: Option<CrossValidation>,
}

/// What can be wrong inside a manifest that is valid JSON of the right shape.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManifestError {
    #[error("{what} has {found} entries, expected {expected}, one for each label")]
    Length { what: &'static str, expected: usize, found: usize },
    #[error("calibration `{kind}` does not go with task `{task}`")]
    CalibrationTask { kind: &'static str, task: Task },
    #[error("a model of task `{task}` {} thresholds", if *.is_there { "has no use for" } else { "needs" })]
    Thresholds { task: Task, is_there: bool },
    #[error("the head takes {head} columns, the encoder gives {encoder}")]
    HiddenSize { head: usize, encoder: usize },
    #[error("`title_weight` is {found}, expected a number from 0 to 1")]
    TitleWeight { found: f64 },
    #[error("`stack` is for {found} views, expected {expected}")]
    NViews { expected: usize, found: usize },
    #[error("`moments` are of {found} views, expected {expected}")]
    NMoments { expected: usize, found: usize },
    #[error("several views need a `stack`, and one alone must have none")]
    Views,
    #[error("`views` are {}, expected document first, then those of passages, words, descriptions, rules and metadata that are there, each with its entry", names(.found))]
    ViewOrder { found: Vec<ViewKind> },
    #[error("`views` holds rules, but no label has keywords or patterns")]
    NoHints,
    #[error("the calibration is not usable")]
    Calibration(#[from] CalibrationError),
}

fn names(views: &[ViewKind]) -> String {
    views.iter().map(|view| view.name()).collect::<Vec<_>>().join(", ")
}

impl Manifest {
    /// What is saved of a classifier.
    pub fn of(classifier: &Classifier) -> Self {
        let topics = &classifier.topics;
        let record = &classifier.record;
        let words = topics.words().map(|words| WordsEntry {
            strength: record.words_strength.unwrap_or_default(),
            n_terms: words.vocabulary().n_columns(),
            terms: words.vocabulary().terms().clone(),
        });
        let views: Vec<ViewKind> = topics.views.iter().map(View::kind).collect();
        let is_new = |calibration: &Calibration| match calibration {
            Calibration::Temperature(_) | Calibration::PerLabel(Curves::Platt(_)) => false,
            Calibration::PerLabel(_) | Calibration::OneVsRest(_) => true,
        };
        let format_version = match views[..] {
            _ if topics.contract.is_some() || classifier.scope.is_some() => FORMAT_VERSION,
            _ if is_new(&topics.calibration) || topics.stack.calibrations().iter().any(is_new) => FORMAT_VERSION,
            _ if classifier.settings.title_weight.is_some() => FORMAT_VERSION,
            _ if classifier.neighbours.is_some() || !topics.moments.is_empty() => VIEWS_VERSION,
            [ViewKind::Document] => ONE_VIEW_VERSION,
            [ViewKind::Document, ViewKind::Words] => WORDS_VERSION,
            _ => VIEWS_VERSION,
        };
        let stack = (views.len() > 1).then(|| StackEntry {
            weights: topics.stack.weights().to_vec(),
            calibrations: topics.stack.calibrations().iter().map(CalibrationEntry::of).collect(),
        });
        Self {
            format: FORMAT.to_owned(),
            format_version,
            program_version: record.program_version.clone(),
            task: topics.task(),
            labels: topics.labels.iter().map(|(_, label)| label.clone()).collect(),
            encoder: record.encoder.clone(),
            windows: classifier.settings.windows.clone(),
            window_pooling: classifier.settings.window_pooling,
            title_weight: classifier.settings.title_weight,
            views: if format_version >= VIEWS_VERSION { views } else { Vec::new() },
            passages: classifier.settings.passages.clone(),
            neighbours: classifier.neighbours.is_some(),
            scope: classifier.scope.is_some(),
            head: HeadEntry {
                kind: HeadKind::Linear,
                hidden_size: record.encoder.hidden_size,
                strength: record.strength,
            },
            words,
            metadata: topics.metadata().map(|view| view.columns().clone()),
            stack,
            calibration: CalibrationEntry::of(&topics.calibration),
            moments: topics.moments.clone(),
            thresholds: topics.thresholds.as_ref().map(|thresholds| thresholds.as_slice().to_vec()),
            contract: topics.contract.clone(),
            training: TrainingEntry {
                settings: record.settings.clone(),
                data: record.data.clone(),
                cross_validation: record.cross_validation.clone(),
            },
        }
    }

    /// The live calibration and thresholds.
    ///
    /// # Errors
    /// Lengths that do not fit the labels, numbers out of range, or a calibration of the other task.
    pub fn decision_parts(&self) -> Result<(Calibration, Option<Thresholds>), ManifestError> {
        if self.head.hidden_size != self.encoder.hidden_size {
            return Err(ManifestError::HiddenSize { head: self.head.hidden_size, encoder: self.encoder.hidden_size });
        }
        self.check_length("`training.data.support`", self.training.data.support.len())?;
        if let Some(found) = self.title_weight.filter(|weight| !(0.0..=1.0).contains(weight)) {
            return Err(ManifestError::TitleWeight { found });
        }
        let calibration = self.live(&self.calibration)?;
        let thresholds = match (&self.thresholds, self.task) {
            (Some(values), Task::Multi) => {
                self.check_length("`thresholds`", values.len())?;
                Some(Thresholds::new(values.clone())?)
            }
            (None, Task::Single) => None,
            (values, task) => return Err(ManifestError::Thresholds { task, is_there: values.is_some() }),
        };
        if let Some(contract) = &self.contract {
            contract.check(self.task, self.labels.len())?;
        }
        Ok((calibration, thresholds))
    }

    /// The views, in the order of the stack.
    pub fn view_kinds(&self) -> Vec<ViewKind> {
        match (&self.views[..], &self.words) {
            ([], None) => vec![ViewKind::Document],
            ([], Some(_)) => vec![ViewKind::Document, ViewKind::Words],
            (views, _) => views.to_vec(),
        }
    }

    /// Whether it has a view of this kind.
    pub fn has(&self, kind: ViewKind) -> bool {
        self.view_kinds().contains(&kind)
    }

    /// How the views are put together.
    ///
    /// # Errors
    /// As [`Manifest::decision_parts`], or one view too few or too many.
    pub fn live_stack(&self) -> Result<Stack, ManifestError> {
        let views = self.view_kinds();
        for moments in &self.moments {
            self.check_length("`moments.means`", moments.means().len())?;
        }
        if !self.moments.is_empty() && self.moments.len() != views.len() {
            return Err(ManifestError::NMoments { expected: views.len(), found: self.moments.len() });
        }
        let is_ordered = views[0] == ViewKind::Document && views.windows(2).all(|pair| pair[0] < pair[1]);
        let has_entries = self.has(ViewKind::Passages) == self.passages.is_some()
            && self.has(ViewKind::Words) == self.words.is_some()
            && self.has(ViewKind::Metadata) == self.metadata.is_some();
        if !is_ordered || !has_entries {
            return Err(ManifestError::ViewOrder { found: views });
        }
        match &self.stack {
            None if views.len() == 1 => Ok(Stack::single(Calibration::identity(self.task, self.labels.len()))),
            Some(stack) if views.len() > 1 => {
                if stack.calibrations.len() != views.len() {
                    return Err(ManifestError::NViews { expected: views.len(), found: stack.calibrations.len() });
                }
                let calibrations =
                    stack.calibrations.iter().map(|calibration| self.live(calibration)).collect::<Result<_, _>>()?;
                Ok(Stack::new(calibrations, stack.weights.clone())?)
            }
            _ => Err(ManifestError::Views),
        }
    }

    fn live(&self, entry: &CalibrationEntry) -> Result<Calibration, ManifestError> {
        let curves = match entry {
            CalibrationEntry::Temperature { temperature } => {
                let temperature = Temperature::new(*temperature)?;
                return match self.task {
                    Task::Single => Ok(Calibration::Temperature(temperature)),
                    Task::Multi => Err(ManifestError::CalibrationTask { kind: "temperature", task: self.task }),
                };
            }
            CalibrationEntry::Platt { slopes, offsets } => Curves::Platt(self.lines(slopes, offsets)?),
            CalibrationEntry::Beta { below, above, offsets } => {
                self.check_length("`calibration.below`", below.len())?;
                self.check_length("`calibration.above`", above.len())?;
                self.check_length("`calibration.offsets`", offsets.len())?;
                let each = below.iter().zip(above).zip(offsets);
                let curves = each.map(|((&below, &above), &offset)| BetaCurve { below, above, offset });
                Curves::Beta(Beta::new(curves.collect())?)
            }
            CalibrationEntry::Isotonic { slopes, offsets, knots } => {
                Curves::Isotonic(Isotonic::new(self.lines(slopes, offsets)?, knots.clone())?)
            }
        };
        Ok(match self.task {
            Task::Single => Calibration::OneVsRest(curves),
            Task::Multi => Calibration::PerLabel(curves),
        })
    }

    fn lines(&self, slopes: &[f64], offsets: &[f64]) -> Result<Platt, ManifestError> {
        self.check_length("`calibration.slopes`", slopes.len())?;
        Ok(Platt::new(slopes.to_vec(), offsets.to_vec())?)
    }

    /// One entry for each label.
    fn check_length(&self, what: &'static str, found: usize) -> Result<(), ManifestError> {
        let expected = self.labels.len();
        if found == expected { Ok(()) } else { Err(ManifestError::Length { what, expected, found }) }
    }
}
