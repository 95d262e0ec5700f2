//! The flags of `train`, which `tune` shares, as settings of the library.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::args::{DataArgs, PrecisionArg, RunArgs, WindowArgs};
use super::session::{DEFAULT_ENCODER, MeteredRows, Rejected, Session};
use crate::calibration::contract::{ContractSettings, Promise, Scope};
use crate::calibration::thresholds::Aim;
use crate::data::{DuplicateIds, check_labels, read_label_file};
use crate::encoder::{Depth, Encoder, EncoderSettings};
use crate::heads::logistic::ClassWeight;
use crate::labels::Task;
use crate::pipeline::{EmbedSettings, PassageEncoding, PassageUse};
use crate::text::passages::PassageSettings;
use crate::train::classifier::{DEFAULT_NEIGHBOURS, PARAGRAPH_LABELS};
use crate::train::fit_head::CalibrationChoice;
use crate::train::little::FewChoice;
use crate::train::{HeadSettings, TrainSettings};
use crate::views::ViewKind;

/// The flags of `train`; a config file knows them by the same names.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct TrainFlags {
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) data: DataArgs,
    /// Folder to save the model in
    #[arg(short, long, value_name = "MODEL", help_heading = "Output")]
    pub(super) output: Option<PathBuf>,
    /// Replace the model that is there
    #[arg(long, help_heading = "Output")]
    pub(super) overwrite: bool,
    /// JSON list of {"label", "description", "examples", "keywords", "patterns"}, only the first needed: the labels, their order,
    /// what they mean and what hints at them; without DATA nothing else is learned from
    #[arg(long, value_name = "FILE", help_heading = "Head")]
    pub(super) labels: Option<PathBuf>,
    /// A person's decisions about labels: a review file in which `decision` says "keep", "suggested", "drop" or the right labels
    #[arg(long, value_name = "FILE", help_heading = "Head")]
    pub(super) corrections: Option<PathBuf>,
    /// Whether an article has exactly one label or any number [default: told by the data]
    #[arg(long, value_enum, value_name = "single|multi", hide_possible_values = true, help_heading = "Head")]
    task: Option<TaskArg>,
    /// What thresholds aim at: f1 and fixed=T for each label; precision>=P and recall>=R are promises, kept with a known risk: labels
    /// that are not sure enough are left to a person [default: f1]
    #[arg(long, value_name = "AIM", help_heading = "Head")]
    pub(super) aim: Option<String>,
    /// Whether a promise is made for each label, or for all labels together [default: label]
    #[arg(long, value_enum, value_name = "label|all", hide_possible_values = true, help_heading = "Head")]
    aim_over: Option<AimOverArg>,
    /// Risk that a promise fails, between 0 and 1 [default: 0.1]
    #[arg(long, value_name = "SHARE", help_heading = "Head")]
    pub(super) risk: Option<f64>,
    /// Labelled articles that nothing was learned from, to certify a promise by; without them by cross-validation; may be repeated
    #[arg(long, value_name = "DATA", help_heading = "Head")]
    pub(super) certify_on: Vec<String>,
    /// Strengths C to choose from; the larger, the closer the fit [default: 0.3,1,3,10,30,100]
    #[arg(long, value_name = "C,…", value_delimiter = ',', allow_negative_numbers = true, help_heading = "Head")]
    pub(super) strengths: Vec<f64>,
    /// Folds of cross-validation [default: 5]
    #[arg(long, value_name = "N", help_heading = "Head")]
    pub(super) folds: Option<usize>,
    /// Weight of the rare side of each label [default: none]
    #[arg(long, value_enum, value_name = "none|balanced", hide_possible_values = true, help_heading = "Head")]
    class_weight: Option<ClassWeightArg>,
    /// Probabilities from the logits: none (plain soft-max or sigmoids), temperature (one factor), platt (a line per label), beta (with a bend),
    /// isotonic (any rising curve); auto takes temperature or, of several labels, platt, unless held-out log-loss is clearly for another [default: auto]
    #[arg(
        long,
        value_enum,
        value_name = "auto|none|temperature|platt|isotonic|beta",
        hide_possible_values = true,
        help_heading = "Head"
    )]
    calibration: Option<CalibrationArg>,
    /// Speed against quality: static (word vectors, no network), fast (int8, no passages), balanced (int8), best (f32, a pass for every passage); settings beside
    /// it count more [default: the views of balanced, in f32]
    #[arg(
        long,
        value_enum,
        value_name = "static|fast|balanced|best",
        hide_possible_values = true,
        help_heading = "Head"
    )]
    profile: Option<ProfileArg>,
    /// What is seen of an article: its embedding (document), those of its passages (passages), its words and letters (words), its
    /// likeness to what labels mean (descriptions), their keywords and patterns (rules), columns (metadata) [default: all]
    #[arg(
        long,
        value_enum,
        value_name = "VIEW,…",
        value_delimiter = ',',
        hide_possible_values = true,
        help_heading = "Head"
    )]
    views: Vec<ViewArg>,
    /// Articles without labels, to learn from where labelled ones are few; may be repeated
    #[arg(long, value_name = "DATA", help_heading = "Few labelled articles")]
    pub(super) unlabelled: Vec<String>,
    /// Whether to go by what labels mean and by unlabelled articles: auto does where either is given and a label has fewer
    /// than 16 labelled articles on average, 8 where articles have several labels [default: auto]
    #[arg(
        long,
        value_enum,
        value_name = "auto|always|never",
        hide_possible_values = true,
        help_heading = "Few labelled articles"
    )]
    few: Option<FewArg>,
    /// Columns beside the text that are looked at too, such as source or section
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',', help_heading = "Head")]
    pub(super) metadata: Vec<String>,
    /// Embeddings of passages: from the states of the whole article's tokens, or by a pass of their own [default: late]
    #[arg(long, value_enum, value_name = "late|separate", hide_possible_values = true, help_heading = "Passages")]
    passage_encoding: Option<PassageEncodingArg>,
    /// Sentences of a passage [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Passages")]
    pub(super) passage_sentences: Option<u32>,
    /// Passages of an article that are used, from its start; others count as cut [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Passages")]
    pub(super) max_passages: Option<u32>,
    /// Column with a list of labels for each paragraph, where articles have it; `none` ignores it
    /// [default: paragraph_labels]
    #[arg(long, value_name = "COLUMN|none", help_heading = "Passages")]
    pub(super) paragraph_labels: Option<String>,
    /// Training articles kept in the model to show those most like another (ids, titles, labels) [default: 10000]
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub(super) neighbours: Option<usize>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) windows: WindowArgs,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) run: RunArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ViewArg {
    Document,
    Passages,
    Words,
    Descriptions,
    Rules,
    Metadata,
}

impl From<ViewKind> for ViewArg {
    fn from(view: ViewKind) -> Self {
        match view {
            ViewKind::Document => Self::Document,
            ViewKind::Passages => Self::Passages,
            ViewKind::Words => Self::Words,
            ViewKind::Descriptions => Self::Descriptions,
            ViewKind::Rules => Self::Rules,
            ViewKind::Metadata => Self::Metadata,
        }
    }
}

impl From<ViewArg> for ViewKind {
    fn from(view: ViewArg) -> Self {
        match view {
            ViewArg::Document => Self::Document,
            ViewArg::Passages => Self::Passages,
            ViewArg::Words => Self::Words,
            ViewArg::Descriptions => Self::Descriptions,
            ViewArg::Rules => Self::Rules,
            ViewArg::Metadata => Self::Metadata,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FewArg {
    Auto,
    Always,
    Never,
}

/// Measured points between speed and quality; `docs/results.md` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ProfileArg {
    Static,
    Fast,
    Balanced,
    Best,
}

impl ProfileArg {
    fn precision(self) -> PrecisionArg {
        match self {
            Self::Fast | Self::Balanced => PrecisionArg::Int8,
            Self::Static | Self::Best => PrecisionArg::F32,
        }
    }

    fn views(self) -> Vec<ViewKind> {
        let without = |left_out| ViewKind::ALL.into_iter().filter(|kind| Some(*kind) != left_out).collect();
        match self {
            Self::Fast => without(Some(ViewKind::Passages)),
            Self::Static | Self::Balanced | Self::Best => without(None),
        }
    }

    fn passage_encoding(self) -> PassageEncoding {
        match self {
            Self::Static | Self::Fast | Self::Balanced => PassageEncoding::Late,
            Self::Best => PassageEncoding::Separate,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PassageEncodingArg {
    Late,
    Separate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum AimOverArg {
    Label,
    All,
}

#[derive(Clone, Copy, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TaskArg {
    Single,
    Multi,
}

#[derive(Clone, Copy, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ClassWeightArg {
    None,
    Balanced,
}

#[derive(Clone, Copy, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum CalibrationArg {
    Auto,
    None,
    Temperature,
    Platt,
    Isotonic,
    Beta,
}

impl From<CalibrationChoice> for CalibrationArg {
    fn from(choice: CalibrationChoice) -> Self {
        match choice {
            CalibrationChoice::Auto => Self::Auto,
            CalibrationChoice::None => Self::None,
            CalibrationChoice::Temperature => Self::Temperature,
            CalibrationChoice::Platt => Self::Platt,
            CalibrationChoice::Isotonic => Self::Isotonic,
            CalibrationChoice::Beta => Self::Beta,
        }
    }
}

impl TrainFlags {
    /// The precision that the profile means, unless one is given.
    pub(super) fn settle_precision(&mut self) {
        if let Some(profile) = self.profile {
            self.run.precision.get_or_insert(profile.precision());
        }
    }

    /// Opens the labelled articles; every row needs known labels and an id of its own.
    pub(super) fn open_labelled(
        &self,
        session: &Session,
        settings: &TrainSettings,
    ) -> anyhow::Result<(MeteredRows, Rejected)> {
        let mut ids = DuplicateIds::default();
        let mut known = settings.labels.clone().map(check_labels);
        session.open_input(&self.data, |articles| {
            articles.check(move |article, place| {
                ids.check(article, place)?;
                match &mut known {
                    Some(check) => check(article, place),
                    None if article.labels.is_none() => Err(crate::data::RowProblem::Unlabelled),
                    None => Ok(()),
                }
            })
        })
    }

    /// Loads the encoder.
    pub(super) fn open_encoder(&self, session: &Session) -> anyhow::Result<Encoder> {
        let name = self.run.encoder.as_deref().unwrap_or(DEFAULT_ENCODER);
        let settings = EncoderSettings {
            depth: if self.profile == Some(ProfileArg::Static) { Depth::Static } else { Depth::Full },
            ..self.windows.encoder_settings(&self.run)
        };
        session.open_encoder(name, &self.run, &settings)
    }

    /// Flags that say these settings where they differ from `given`: those that a search changes.
    pub(super) fn with_found(&self, found: &TrainSettings, given: &TrainSettings) -> Self {
        let mut flags = self.clone();
        if found.embed.title_weight != given.embed.title_weight {
            flags.windows.title_weight = found.embed.title_weight;
        }
        if found.embed.window_pooling != given.embed.window_pooling {
            flags.windows.window_pooling = Some(found.embed.window_pooling.into());
        }
        if found.head.views != given.head.views {
            flags.views = found.head.views.iter().map(|&view| view.into()).collect();
        }
        if found.head.strengths != given.head.strengths {
            flags.strengths = found.head.strengths.clone();
        }
        if found.head.class_weight != given.head.class_weight {
            flags.class_weight = Some(match found.head.class_weight {
                ClassWeight::Balanced => ClassWeightArg::Balanced,
                _ => ClassWeightArg::None,
            });
        }
        if found.head.calibration != given.head.calibration {
            flags.calibration = Some(found.head.calibration.into());
        }
        flags
    }

    pub(super) fn settings(&self) -> anyhow::Result<TrainSettings> {
        let mut head = HeadSettings { seed: self.run.seed.unwrap_or_default(), ..HeadSettings::default() };
        if let Some(aim) = &self.aim {
            head.aim = aim.parse::<Aim>().context("cannot read --aim")?;
        }
        let contract = self.contract(head.aim)?;
        if contract.is_some() {
            // What is not promised goes by the usual thresholds.
            head.aim = Aim::F1;
        }
        if !self.strengths.is_empty() {
            head.strengths = self.strengths.clone();
        }
        if let Some(n_folds) = self.folds {
            head.n_folds = n_folds;
        }
        if let Some(weight) = self.class_weight {
            head.class_weight = match weight {
                ClassWeightArg::None => ClassWeight::Uniform,
                ClassWeightArg::Balanced => ClassWeight::Balanced,
            };
        }
        if let Some(calibration) = self.calibration {
            head.calibration = match calibration {
                CalibrationArg::Auto => CalibrationChoice::Auto,
                CalibrationArg::None => CalibrationChoice::None,
                CalibrationArg::Temperature => CalibrationChoice::Temperature,
                CalibrationArg::Platt => CalibrationChoice::Platt,
                CalibrationArg::Isotonic => CalibrationChoice::Isotonic,
                CalibrationArg::Beta => CalibrationChoice::Beta,
            };
        }
        if let Some(profile) = self.profile {
            head.views = profile.views();
        }
        if !self.views.is_empty() {
            head.views = self.views.iter().map(|&view| view.into()).collect();
        }
        Ok(TrainSettings {
            embed: EmbedSettings { passages: Some(self.passages()), ..self.windows.embed_settings(&self.run) },
            head,
            labels: self.labels.as_ref().map(read_label_file).transpose()?,
            task: self.task.map(|task| match task {
                TaskArg::Single => Task::Single,
                TaskArg::Multi => Task::Multi,
            }),
            paragraph_labels: match self.paragraph_labels.as_deref() {
                Some("none") => None,
                Some(column) => Some(column.to_owned()),
                None => Some(PARAGRAPH_LABELS.to_owned()),
            },
            metadata: self.metadata.clone(),
            zero_shot: self.data.data.is_empty() && self.labels.is_some(),
            few: match self.few {
                None | Some(FewArg::Auto) => FewChoice::Auto,
                Some(FewArg::Always) => FewChoice::Always,
                Some(FewArg::Never) => FewChoice::Never,
            },
            n_neighbours: self.neighbours.unwrap_or(DEFAULT_NEIGHBOURS),
            contract,
        })
    }

    /// The promise that the flags ask for.
    fn contract(&self, aim: Aim) -> anyhow::Result<Option<ContractSettings>> {
        let Some(promise) = Promise::from_aim(aim) else {
            for (flag, is_given) in [
                ("--aim-over", self.aim_over.is_some()),
                ("--risk", self.risk.is_some()),
                ("--certify-on", !self.certify_on.is_empty()),
            ] {
                anyhow::ensure!(
                    !is_given,
                    "{flag} is about a promise: pass --aim 'precision>=P' or --aim 'recall>=R' too"
                );
            }
            return Ok(None);
        };
        let usual = ContractSettings::new(promise);
        let settings = ContractSettings {
            scope: match self.aim_over {
                None | Some(AimOverArg::Label) => Scope::PerLabel,
                Some(AimOverArg::All) => Scope::AllLabels,
            },
            delta: self.risk.unwrap_or(usual.delta),
            seed: self.run.seed.unwrap_or_default(),
            ..usual
        };
        settings.check().context("cannot promise that")?;
        Ok(Some(settings))
    }

    fn passages(&self) -> PassageUse {
        let defaults = PassageUse::default();
        PassageUse {
            encoding: match self.passage_encoding {
                Some(PassageEncodingArg::Late) => PassageEncoding::Late,
                Some(PassageEncodingArg::Separate) => PassageEncoding::Separate,
                None => self.profile.map_or(defaults.encoding, ProfileArg::passage_encoding),
            },
            settings: PassageSettings {
                max_sentences: self.passage_sentences.map_or(defaults.settings.max_sentences, |n| Some(n as usize)),
                max_passages: self.max_passages.map(|n| n as usize),
                ..defaults.settings
            },
        }
    }
}
