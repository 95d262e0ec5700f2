//! `topicwire study`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::cli::args::{DataArgs, RunArgs, WindowArgs};
use crate::cli::config;
use crate::cli::exit::Outcome;
use crate::cli::output::{Compression, OutputFile, Target};
use crate::cli::printer::{self, counted};
use crate::cli::session::{DEFAULT_ENCODER, MeteredRows, REJECTS_FILE, Rejected, Session};
use crate::cli::study_text;
use crate::data::{DuplicateIds, RowProblem};
use crate::labels::Task;
use crate::study::curve::{CurveSettings, LearningCurve};
use crate::study::few::{FewShots, ShotsSettings};
use crate::study::pool::{Pool, PoolBuilder};
use crate::study::time::{Cut, TimeSettings, TimeStudy, is_date};
use crate::train::HeadSettings;
use crate::views::ViewKind;

/// Repeats unless told otherwise.
const CURVE_REPEATS: usize = 5;
const FEW_REPEATS: usize = 10;
const TIME_REPEATS: usize = 5;

/// Shares of a learning curve unless told otherwise.
const SHARES: [f64; 5] = [1.0 / 16.0, 1.0 / 8.0, 1.0 / 4.0, 1.0 / 2.0, 1.0];

/// Articles per label unless told otherwise.
const SHOTS: [usize; 2] = [8, 16];

/// Windows of time unless told otherwise.
const WINDOWS: usize = 4;

/// Column of dates unless told otherwise.
const TIME_COLUMN: &str = "date";

/// Find out what more labelled articles would bring, what a few would do, and what time costs.
#[derive(Debug, Subcommand)]
pub enum StudyCommand {
    Curve(CurveCommand),
    Few(FewCommand),
    Time(TimeCommand),
}

/// Is more data worth it? Measure how good a head is with more and more of the labelled articles.
///
/// Articles are embedded once; heads are then fitted to nested, stratified parts of them, each several times, and tested on --test or
/// on folds held out in turn. An inverse power law through the measured errors says what twice as many articles would bring, and
/// nothing beyond that; what it would have said of the largest part from those up to half of it is held against what was measured.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  topicwire study curve data/diplomacy/train.jsonl --test data/diplomacy/test.jsonl
  topicwire study curve news.csv --label-column topic --repeats 10 --json curve.json")]
pub struct CurveCommand {
    #[command(flatten)]
    flags: CurveFlags,
}

/// The flags of `study curve`; a config file knows them by the same names.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct CurveFlags {
    #[command(flatten)]
    #[serde(flatten)]
    common: CommonFlags,
    /// Parts of the labelled articles to measure with [default: 0.0625,0.125,0.25,0.5,1]
    #[arg(long, value_name = "SHARE,…", value_delimiter = ',', help_heading = "Study")]
    shares: Vec<f64>,
}

/// What would a few labelled articles do? Measure heads on a few articles per label, drawn again and again.
///
/// Prints mean and standard deviation over the draws; tested on --test, or on the articles that were not drawn.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  topicwire study few train.jsonl --test test.jsonl --shots 8,16 --repeats 10")]
pub struct FewCommand {
    #[command(flatten)]
    flags: FewFlags,
}

/// The flags of `study few`; a config file knows them by the same names.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct FewFlags {
    #[command(flatten)]
    #[serde(flatten)]
    common: CommonFlags,
    /// Articles per label [default: 8,16]
    #[arg(long, value_name = "N,…", value_delimiter = ',', help_heading = "Study")]
    shots: Vec<usize>,
}

/// What does time cost? Train before a date, test after it, and do the same with random splits of the same sizes.
///
/// Without --test-after articles are cut into windows of about as many articles, each tested with all before it trained on.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  topicwire study time news.jsonl --time-column date --test-after 2024-01-01
  topicwire study time news.jsonl --windows 6")]
pub struct TimeCommand {
    #[command(flatten)]
    flags: TimeFlags,
}

/// The flags of `study time`; a config file knows them by the same names.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct TimeFlags {
    #[command(flatten)]
    #[serde(flatten)]
    common: CommonFlags,
    /// Column of dates, ISO 8601, all written alike [default: date]
    #[arg(long, value_name = "NAME", help_heading = "Study")]
    time_column: Option<String>,
    /// Train on articles before this date, test on those of it and after
    #[arg(long, value_name = "DATE", conflicts_with = "windows", help_heading = "Study")]
    test_after: Option<String>,
    /// Windows to test on, one after the other [default: 4]
    #[arg(long, value_name = "N", help_heading = "Study")]
    windows: Option<usize>,
}

/// What all studies take.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct CommonFlags {
    #[command(flatten)]
    #[serde(flatten)]
    data: DataArgs,
    /// Articles to test on; may be repeated
    #[arg(long, value_name = "DATA", help_heading = "Study")]
    test: Vec<String>,
    /// Times that each measurement is drawn anew [default: curve 5, few 10, time 5]
    #[arg(long, value_name = "N", help_heading = "Study")]
    repeats: Option<usize>,
    /// What is seen of an article: its embedding (document), its words (words, slower); the other views of `train` are left out, so
    /// what `train` makes may be better [default: document]
    #[arg(
        long,
        value_enum,
        value_name = "VIEW,…",
        value_delimiter = ',',
        hide_possible_values = true,
        help_heading = "Study"
    )]
    views: Vec<StudyView>,
    /// Whether an article has exactly one label or any number [default: told by the data]
    #[arg(long, value_enum, value_name = "single|multi", hide_possible_values = true, help_heading = "Study")]
    task: Option<StudyTask>,
    /// Write the study as one JSON object; `-` prints it instead of the text
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    json: Option<PathBuf>,
    #[command(flatten)]
    #[serde(flatten)]
    long: WindowArgs,
    #[command(flatten)]
    #[serde(flatten)]
    run: RunArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StudyView {
    Document,
    Words,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StudyTask {
    Single,
    Multi,
}

impl StudyCommand {
    pub fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Curve(command) => command.run(),
            Self::Few(command) => command.run(),
            Self::Time(command) => command.run(),
        }
    }
}

impl CurveCommand {
    fn run(self) -> anyhow::Result<Outcome> {
        let flags = config::layer_run(&self.flags, |flags| &mut flags.common.run, "study")?;
        let common = &flags.common;
        let settings = CurveSettings {
            shares: if flags.shares.is_empty() { SHARES.to_vec() } else { flags.shares.clone() },
            n_repeats: common.repeats.unwrap_or(CURVE_REPEATS),
            head: common.head(),
            seed: common.seed(),
        };
        let prepared = common.prepare(None)?;
        let curve = prepared.work(|pool, progress| LearningCurve::measure(pool, &settings, progress))?;
        let text = study_text::curve(&curve, &prepared.pool);
        prepared.conclude(common, &curve, &text)
    }
}

impl FewCommand {
    fn run(self) -> anyhow::Result<Outcome> {
        let flags = config::layer_run(&self.flags, |flags| &mut flags.common.run, "study")?;
        let common = &flags.common;
        let settings = ShotsSettings {
            shots: if flags.shots.is_empty() { SHOTS.to_vec() } else { flags.shots.clone() },
            n_repeats: common.repeats.unwrap_or(FEW_REPEATS),
            head: common.head(),
            seed: common.seed(),
        };
        let prepared = common.prepare(None)?;
        let few = prepared.work(|pool, progress| FewShots::measure(pool, &settings, progress))?;
        let text = study_text::few(&few, &prepared.pool);
        prepared.conclude(common, &few, &text)
    }
}

impl TimeCommand {
    fn run(self) -> anyhow::Result<Outcome> {
        let flags = config::layer_run(&self.flags, |flags| &mut flags.common.run, "study")?;
        let common = &flags.common;
        ensure!(common.test.is_empty(), "time says what is tested on: name all articles as DATA, without --test");
        let column = flags.time_column.clone().unwrap_or_else(|| TIME_COLUMN.to_owned());
        let cut = match &flags.test_after {
            Some(date) => {
                ensure!(is_date(date), "--test-after is `{date}`, expected a date such as 2024-01-01");
                Cut::After(date.clone())
            }
            None => Cut::Windows(flags.windows.unwrap_or(WINDOWS)),
        };
        let n_repeats = common.repeats.unwrap_or(TIME_REPEATS);
        let prepared = common.prepare(Some(&column))?;
        let settings = TimeSettings { column, cut, n_repeats, head: common.head(), seed: common.seed() };
        let study = prepared.work(|pool, progress| TimeStudy::measure(pool, &settings, progress))?;
        let text = study_text::time(&study, &prepared.pool);
        prepared.conclude(common, &study, &text)
    }
}

/// Articles embedded, and what is needed to go on.
struct Prepared {
    session: Session,
    pool: Pool,
    n_articles: u64,
    rejected: Rejected,
    test_rejected: Option<Rejected>,
    json: Option<OutputFile>,
}

impl CommonFlags {
    fn seed(&self) -> u64 {
        self.run.seed.unwrap_or_default()
    }

    fn head(&self) -> HeadSettings {
        let mut views = vec![ViewKind::Document];
        if self.views.contains(&StudyView::Words) {
            views.push(ViewKind::Words);
        }
        HeadSettings { views, seed: self.seed(), ..HeadSettings::default() }
    }

    /// Opens everything, then embeds all articles.
    fn prepare(&self, column: Option<&str>) -> anyhow::Result<Prepared> {
        let session = Session::new(&self.run)?;
        let (rows, rejected) = open(&session, &self.data)?;
        let test = match self.test.is_empty() {
            true => None,
            false => {
                // A file of rejects of their own, or one of the two would overwrite the other's.
                let rejects = self.data.rejects.clone().unwrap_or_else(|| REJECTS_FILE.into());
                let mut name = std::ffi::OsString::from("test-");
                name.push(rejects.file_name().unwrap_or_default());
                let rejects = Some(rejects.with_file_name(name));
                Some(open(&session, &DataArgs { data: self.test.clone(), rejects, ..self.data.clone() })?)
            }
        };
        let json = match self.json.as_ref().map(Target::new) {
            None | Some(Target::Stdout) => None,
            Some(target) => Some(OutputFile::create(&target, Compression::None)?),
        };
        let name = self.run.encoder.as_deref().unwrap_or(DEFAULT_ENCODER);
        let encoder = session.open_encoder(name, &self.run, &self.long.encoder_settings(&self.run))?;
        let embed = self.long.embed_settings(&self.run);
        encoder.tokenizer().check(&embed.windows).context("cannot use the settings of long articles")?;
        let progress = &*session.progress;
        let keeps_texts = self.views.contains(&StudyView::Words);
        let mut builder = PoolBuilder::new(&encoder, embed, keeps_texts, column);
        let (test, test_rejected) = test.unzip();
        let n_articles = session.install(|| {
            let n_articles = builder.add(rows, progress)?;
            match test {
                None => Ok(n_articles),
                Some(rows) => {
                    builder.test_from_here();
                    Ok::<_, crate::study::StudyError>(n_articles + builder.add(rows, progress)?)
                }
            }
        })?;
        session.check_cancelled()?;
        let pool = builder.finish(self.task.map(|task| match task {
            StudyTask::Single => Task::Single,
            StudyTask::Multi => Task::Multi,
        }))?;
        ensure!(
            self.test.is_empty() || pool.n_train < pool.ids.len(),
            "there is no article to test on in {}",
            self.test.join(", ")
        );
        Ok(Prepared { session, pool, n_articles, rejected, test_rejected, json })
    }
}

fn open(session: &Session, data: &DataArgs) -> anyhow::Result<(MeteredRows, Rejected)> {
    let mut ids = DuplicateIds::default();
    session.open_input(data, |articles| {
        articles.check(move |article, place| {
            ids.check(article, place)?;
            if article.labels.is_none() { Err(RowProblem::Unlabelled) } else { Ok(()) }
        })
    })
}

impl Prepared {
    /// Works on the session's threads.
    fn work<T: Send>(
        &self,
        study: impl FnOnce(&Pool, &dyn crate::progress::Progress) -> Result<T, crate::study::StudyError> + Send,
    ) -> anyhow::Result<T> {
        let (pool, progress) = (&self.pool, &*self.session.progress);
        let done = self.session.install(|| study(pool, progress));
        self.session.check_cancelled()?;
        Ok(done?)
    }

    fn conclude(self, flags: &CommonFlags, study: &impl Serialize, text: &str) -> anyhow::Result<Outcome> {
        let json = serde_json::to_string_pretty(study)? + "\n";
        match self.json {
            Some(mut file) => {
                file.write_all(json.as_bytes())?;
                file.finish()?;
                printer::print(text)?;
            }
            None if flags.json.is_some() => printer::print(&json)?,
            None => printer::print(text)?,
        }
        let progress = &*self.session.progress;
        let outcome = self.rejected.conclude(self.n_articles, progress);
        match self.test_rejected.filter(|rejected| rejected.count() > 0) {
            None => Ok(outcome),
            Some(rejected) => {
                let n_rejected = counted(rejected.count(), "row");
                progress.warn(format!("{n_rejected} of the articles to test on rejected: see {}", rejected.place()));
                Ok(Outcome::RowsRejected)
            }
        }
    }
}
