//! `topicwire split`.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cli::args::{DataArgs, RunArgs};
use crate::cli::config;
use crate::cli::exit::Outcome;
use crate::cli::printer::{self, Table, counted, visible};
use crate::cli::progress::{ProgressMode, StderrProgress};
use crate::cli::session::Session;
use crate::cli::split_files::{self, Columns, Gathered};
use crate::curation::CurationError;
use crate::curation::duplicates::{DuplicateSettings, find_duplicates};
use crate::data::split::{
    Deviation, Parts, Split, Time, TimeError, at_times, by_time, groups_of, merge_groups, random, stratified,
};
use crate::data::{LabelledTargets, collect_targets};

/// Parts unless told otherwise.
const DEFAULT_PARTS: [(&str, f64); 2] = [("train", 0.8), ("test", 0.2)];
/// Columns unless told otherwise.
const TIME_COLUMN: &str = "date";
const SOURCE_COLUMN: &str = "source";

/// A part's size may be off by this share of it before the run warns.
const SIZE_TOLERANCE: f64 = 0.1;
/// Labels that are shown one by one.
const MAX_SHOWN_LABELS: usize = 5;
/// With more parts a row of counts for each label would be too wide.
const MAX_SHOWN_PARTS: usize = 10;

/// Divide labelled articles into training and test parts, or into folds.
///
/// By default every label, every pair of labels and every set of labels has the same share in each part. Articles that are copies
/// of each other, or of one source, can be kept together; by time, tests come after training. Rows are written as they came, all
/// columns included. Prints how far from ideal the parts are.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  topicwire split news.jsonl -o parts
  topicwire split news.jsonl -o parts --parts train=0.8,dev=0.1,test=0.1 --group story
  topicwire split news.jsonl -o folds --folds 5
  topicwire split news.csv -o parts --by time --cut 2024-01-01
  topicwire split news.jsonl -o parts --by source --source-column outlet")]
pub struct SplitCommand {
    #[command(flatten)]
    flags: SplitFlags,
}

/// The flags of `split`; a config file knows them by the same names.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct SplitFlags {
    #[command(flatten)]
    #[serde(flatten)]
    data: DataArgs,
    /// Folder to write the parts in: JSON Lines, CSV, TSV and fastText as they came, the rest as JSON Lines
    #[arg(short, long, value_name = "FOLDER", help_heading = "Output")]
    output: Option<PathBuf>,
    /// Replace parts of the same names that are there
    #[arg(long, help_heading = "Output")]
    overwrite: bool,
    /// Names and shares of the parts; what they leave of 1 is left out [default: train=0.8,test=0.2]
    #[arg(long, value_name = "NAME=SHARE,…", value_delimiter = ',', help_heading = "Division")]
    parts: Vec<String>,
    /// Write this many folds instead, each as fold-1.train and fold-1.test, and so on
    #[arg(long, value_name = "N", conflicts_with = "parts", help_heading = "Division")]
    folds: Option<usize>,
    /// What parts are like: the whole (stratified), anything (random), the past and what came later (time), sources of their own (source)
    /// [default: stratified; time where --cut is given]
    #[arg(
        long,
        value_enum,
        value_name = "stratified|random|time|source",
        hide_possible_values = true,
        help_heading = "Division"
    )]
    by: Option<ByArg>,
    /// Column that holds the date, for `--by time` [default: date]
    #[arg(long, value_name = "NAME", help_heading = "Division")]
    time_column: Option<String>,
    /// First moment of each part but the first, such as 2024-01-01, in place of shares
    #[arg(long, value_name = "DATE,…", value_delimiter = ',', help_heading = "Division")]
    cut: Vec<String>,
    /// Column that holds the source, for `--by source` [default: source]
    #[arg(long, value_name = "NAME", help_heading = "Division")]
    source_column: Option<String>,
    /// Column whose values stay together: articles with equal ones go to one part
    #[arg(long, value_name = "COLUMN", help_heading = "Division")]
    group: Option<String>,
    /// Keep the same and nearly the same texts together, such as wire copy
    #[arg(long, help_heading = "Division")]
    group_near_duplicates: bool,
    /// Seed of everything random [default: 0]
    #[arg(long, value_name = "N", help_heading = "Run")]
    seed: Option<u64>,
    /// How to show progress [default: a bar on a terminal, else plain]
    #[arg(long, value_enum, value_name = "none|plain|json|bar", hide_possible_values = true, help_heading = "Run")]
    progress: Option<ProgressMode>,
    /// Read settings from a TOML file; flags override it
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Say only warnings and errors
    #[arg(short, long, help_heading = "Run")]
    #[serde(skip)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ByArg {
    Stratified,
    Random,
    Time,
    Source,
}

/// Why articles are not divided.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SplitFlagError {
    #[error("expected parts such as train=0.8,test=0.2, found `{found}`")]
    Parts { found: String },
    #[error("the part `{name}` names a file: only letters, digits, `-`, `_` and `.` may be in it, and no `.` in front")]
    PartName { name: String },
    #[error("--cut divides by time, not `--by {by}`")]
    CutWithoutTime { by: &'static str },
    #[error("folds take turns at being tested, so they cannot follow each other in time; use --parts")]
    FoldsByTime,
    #[error("article `{}`: no date in `{column}`", visible(.id))]
    NoTime { id: String, column: String },
    #[error("article `{}`: `{column}` is no date", visible(.id))]
    BadTime { id: String, column: String, source: TimeError },
    #[error("the part `{name}` would be empty")]
    EmptyPart { name: String },
}

/// How articles are divided.
struct Plan {
    by: ByArg,
    parts: Parts,
    is_folds: bool,
    cuts: Vec<Time>,
    columns: Columns,
    seed: u64,
}

impl SplitFlags {
    fn plan(&self) -> anyhow::Result<Plan> {
        let by = self.by.unwrap_or(if self.cut.is_empty() { ByArg::Stratified } else { ByArg::Time });
        let name = |by| match by {
            ByArg::Stratified => "stratified",
            ByArg::Random => "random",
            ByArg::Time => "time",
            ByArg::Source => "source",
        };
        if by != ByArg::Time && !self.cut.is_empty() {
            return Err(SplitFlagError::CutWithoutTime { by: name(by) }.into());
        }
        if by == ByArg::Time && self.folds.is_some() {
            return Err(SplitFlagError::FoldsByTime.into());
        }
        let parts = match self.folds {
            Some(n_folds) => Parts::folds(n_folds)?,
            None if self.parts.is_empty() => Parts::new(DEFAULT_PARTS)?,
            None => Parts::new(self.parts.iter().map(|text| part(text)).collect::<Result<Vec<_>, _>>()?)?,
        };
        let cuts = self.cut.iter().map(|text| text.parse::<Time>());
        let cuts: Vec<Time> = cuts.collect::<Result<_, _>>().context("cannot read --cut")?;
        let named = |column: &Option<String>, default: &str| column.clone().unwrap_or_else(|| default.to_owned());
        Ok(Plan {
            by,
            parts,
            is_folds: self.folds.is_some(),
            cuts,
            columns: Columns {
                time: (by == ByArg::Time).then(|| named(&self.time_column, TIME_COLUMN)),
                source: (by == ByArg::Source).then(|| named(&self.source_column, SOURCE_COLUMN)),
                group: self.group.clone(),
                texts: self.group_near_duplicates,
            },
            seed: self.seed.unwrap_or_default(),
        })
    }
}

/// `train=0.8`
fn part(text: &str) -> Result<(String, f64), SplitFlagError> {
    let wrong = || SplitFlagError::Parts { found: text.to_owned() };
    let (name, share) = text.split_once('=').ok_or_else(wrong)?;
    let (name, share) = (name.trim(), share.trim().parse::<f64>().map_err(|_| wrong())?);
    let is_plain = |c: char| c.is_alphanumeric() || ['-', '_', '.'].contains(&c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
        return Err(SplitFlagError::PartName { name: name.to_owned() });
    }
    Ok((name.to_owned(), share))
}

impl SplitCommand {
    pub fn run(self) -> anyhow::Result<Outcome> {
        let flags = config::layer(&self.flags, self.flags.config.as_deref(), "split")?;
        let plan = flags.plan()?;
        let output = flags.output.clone().context("no place to write the parts: pass -o FOLDER")?;
        let session =
            Session::new(&RunArgs { progress: flags.progress, quiet: self.flags.quiet, ..RunArgs::default() })?;
        let (gathered, rejected) = split_files::gather(&session, &flags.data, &plan.columns)?;
        let names: Vec<&str> = plan.parts.as_slice().iter().map(|part| part.name.as_str()).collect();
        let files = gathered.files(&output, &names, plan.is_folds);
        files.check(flags.overwrite, &gathered)?;

        let labelled = resolve(&gathered);
        let groups = session.install(|| groups(&gathered, &plan.columns, &session.progress))?;
        let split = divide(&plan, &gathered, labelled.as_ref(), groups.as_deref())?;
        if let Some(empty) = split.sizes().iter().position(|&size| size == 0) {
            return Err(SplitFlagError::EmptyPart { name: names[empty].to_owned() }.into());
        }
        session.check_cancelled()?;
        let n_articles = gathered.ids.len() as u64;
        let text = summary(&plan, &split, labelled.as_ref().ok(), groups.as_deref());
        warn(&session.progress, &plan, &split, labelled.as_ref().ok(), groups.as_deref());
        files.write(gathered, split.part_of(), &session)?;
        printer::print(&text)?;
        printer::print(&format!("\nwritten in {}: {}\n", output.display(), files.listed()))?;
        Ok(rejected.conclude(n_articles, &session.progress))
    }
}

type Labelled = Result<LabelledTargets, crate::data::TargetError>;

fn resolve(gathered: &Gathered) -> Labelled {
    let rows = gathered.ids.iter().zip(&gathered.labels);
    collect_targets(rows.map(|(id, labels)| (id.as_str(), labels.as_deref())), None, None)
}

/// What must stay together, where anything must.
fn groups(
    gathered: &Gathered,
    columns: &Columns,
    progress: &StderrProgress,
) -> Result<Option<Vec<usize>>, CurationError> {
    let mut groupings = Vec::new();
    if columns.source.is_some() {
        groupings.push(groups_of(gathered.sources.iter().map(Option::as_deref)));
    }
    if columns.group.is_some() {
        groupings.push(groups_of(gathered.groups.iter().map(Option::as_deref)));
    }
    if columns.texts {
        let found = find_duplicates(&gathered.texts, None, &DuplicateSettings::default(), progress)?;
        groupings.push(found.cluster_of);
    }
    Ok((!groupings.is_empty()).then(|| merge_groups(&groupings)))
}

fn divide(
    plan: &Plan,
    gathered: &Gathered,
    labelled: Result<&LabelledTargets, &crate::data::TargetError>,
    groups: Option<&[usize]>,
) -> anyhow::Result<Split> {
    let n_articles = gathered.ids.len();
    let split = match (plan.by, labelled) {
        (ByArg::Time, _) => {
            let times = times(gathered, plan.columns.time.as_deref().unwrap_or(TIME_COLUMN))?;
            match plan.cuts.is_empty() {
                true => by_time(&times, groups, &plan.parts)?,
                false => at_times(&times, &plan.cuts, groups, &plan.parts)?,
            }
        }
        (ByArg::Stratified | ByArg::Source, Ok(labelled)) => {
            stratified(&labelled.targets, labelled.labels.len(), groups, &plan.parts, plan.seed)?
        }
        (ByArg::Stratified, Err(error)) => {
            return Err(anyhow::Error::new(error.clone()))
                .context("a stratified split goes by labels; --by random, time and source do without");
        }
        (ByArg::Random | ByArg::Source, _) => random(n_articles, groups, &plan.parts, plan.seed)?,
    };
    Ok(split)
}

fn times(gathered: &Gathered, column: &str) -> Result<Vec<Time>, SplitFlagError> {
    let rows = gathered.ids.iter().zip(&gathered.times).map(|(id, text)| {
        let column = column.to_owned();
        let text = text.as_ref().ok_or_else(|| SplitFlagError::NoTime { id: id.clone(), column: column.clone() })?;
        text.parse().map_err(|source| SplitFlagError::BadTime { id: id.clone(), column, source })
    });
    rows.collect()
}

fn n_groups_of(groups: &[usize], part_of: &[Option<usize>], part_idx: usize) -> usize {
    let held = groups.iter().zip(part_of).filter(|(_, part)| **part == Some(part_idx));
    held.map(|(group, _)| *group).collect::<std::collections::HashSet<_>>().len()
}

/// What was made of the articles, and how far from ideal it is.
fn summary(plan: &Plan, split: &Split, labelled: Option<&LabelledTargets>, groups: Option<&[usize]>) -> String {
    let n_articles = split.part_of().len();
    let sizes = split.sizes();
    let mut header = vec!["part", "articles", "share", "wanted"];
    header.extend(groups.map(|_| "groups"));
    let mut table = Table::new(&header);
    for (part_idx, part) in split.parts().iter().enumerate() {
        let share = 100.0 * sizes[part_idx] as f64 / n_articles as f64;
        // Cuts leave no share to keep to.
        let wanted = if plan.cuts.is_empty() { format!("{:.1} %", 100.0 * part.share) } else { "–".to_owned() };
        let mut cells = vec![part.name.clone(), sizes[part_idx].to_string(), format!("{share:.1} %"), wanted];
        cells.extend(groups.map(|groups| n_groups_of(groups, split.part_of(), part_idx).to_string()));
        table.row(cells);
    }
    let mut text = table.render();
    let n_left_out = n_articles - sizes.iter().sum::<usize>();
    if n_left_out > 0 {
        text.push_str(&format!("{} left out\n", counted(n_left_out as u64, "article")));
    }
    let Some(LabelledTargets { labels, targets, .. }) = labelled else { return text };
    let deviation = Deviation::measure(targets, labels.len(), split);
    let pairs = deviation.pairs.map_or(String::new(), |pairs| format!(", pairs of labels {pairs:.5}"));
    text.push_str(&format!(
        "\ndeviation from ideal, 0 where every part is like the whole: labels {:.5}{pairs}, sizes {:.2} articles\n",
        deviation.labels, deviation.sizes
    ));
    let worst = deviation.worst(MAX_SHOWN_LABELS);
    if let Some(spread) = worst.first() {
        let off = |part_idx: usize| (spread.counts[part_idx] as f64 - spread.ideals[part_idx]).abs();
        let furthest = (0..sizes.len()).max_by(|&a, &b| off(a).total_cmp(&off(b)).then(b.cmp(&a)));
        let part_idx = furthest.expect("there is at least one part");
        text.push_str(&format!(
            "furthest from its share: `{}` has {} of its {} articles in {}, {:.1} would be ideal\n",
            visible(labels.name(spread.label)),
            spread.counts[part_idx],
            spread.support,
            split.parts()[part_idx].name,
            spread.ideals[part_idx]
        ));
    }
    let off: Vec<_> = worst.into_iter().filter(|spread| spread.worst() >= 1.0).collect();
    if !off.is_empty() && sizes.len() <= MAX_SHOWN_PARTS {
        let mut header = vec!["label", "articles"];
        header.extend(split.parts().iter().map(|part| part.name.as_str()));
        header.push("off by");
        let mut table = Table::new(&header);
        for spread in off {
            let mut cells = vec![visible(labels.name(spread.label)), spread.support.to_string()];
            cells.extend(spread.counts.iter().map(usize::to_string));
            cells.push(format!("{:.1}", spread.worst()));
            table.row(cells);
        }
        text.push('\n');
        text.push_str(&table.render());
    }
    text
}

/// What the user should know though the parts are made.
fn warn(
    progress: &StderrProgress,
    plan: &Plan,
    split: &Split,
    labelled: Option<&LabelledTargets>,
    groups: Option<&[usize]>,
) {
    let n_articles = split.part_of().len();
    for (part, size) in split.parts().iter().zip(split.sizes()) {
        let wanted = part.share * n_articles as f64;
        let is_off = (size as f64 - wanted).abs() > SIZE_TOLERANCE * wanted + 1.0;
        if is_off && plan.cuts.is_empty() {
            let why = groups.map_or_else(
                || "articles of one time stay together".to_owned(),
                |groups| format!("groups stay together, and the largest has {}", counted(largest(groups), "article")),
            );
            progress.warn(format!(
                "`{}` has {size} of {n_articles} articles where {wanted:.0} were wanted: {why}",
                part.name
            ));
        }
    }
    let Some(LabelledTargets { labels, targets, .. }) = labelled else { return };
    let n_parts = split.parts().len();
    let support = targets.support(labels.len());
    let rare = labels.iter().filter(|(label, _)| support[label.0] < n_parts);
    let rare: Vec<String> = rare.map(|(_, label)| format!("`{}`", visible(&label.name))).collect();
    if !rare.is_empty() {
        let shown = rare.iter().take(MAX_SHOWN_LABELS).cloned().collect::<Vec<_>>().join(", ");
        let more = rare.len().saturating_sub(MAX_SHOWN_LABELS);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let noun = if rare.len() == 1 { "label has" } else { "labels have" };
        progress.say(format!("{} {noun} fewer articles than there are parts: {shown}{more}", rare.len()));
    }
}

/// Articles of the largest group.
fn largest(groups: &[usize]) -> u64 {
    let mut sizes = std::collections::HashMap::new();
    groups.iter().for_each(|group| *sizes.entry(group).or_insert(0) += 1);
    sizes.into_values().max().unwrap_or(0)
}
