//! Rows of articles on their way into parts: kept as they came while it is decided where each goes, then written.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, ensure};
use serde_json::Value;
use thiserror::Error;

use crate::cli::args::DataArgs;
use crate::cli::output::{Compression, OutputError, OutputFile, Target};
use crate::cli::session::{Rejected, Session};
use crate::data::{Article, Format, ReadOptions, SourceRow, TargetError, article_row};
use crate::labels::closest;
use crate::pipeline::titled;

/// Rows between two looks at whether to stop.
const ROWS_BETWEEN_CHECKS: usize = 4096;

/// The columns that decide.
pub struct Columns {
    pub time: Option<String>,
    pub source: Option<String>,
    pub group: Option<String>,
    /// Whether titles and texts are needed too.
    pub texts: bool,
}

/// What is wrong with files that are to be divided.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SplitFileError {
    #[error("no article has a column `{column}`{}", .closest.as_ref().map(|c| format!("; the closest one is `{c}`")).unwrap_or_default())]
    UnknownColumn { column: String, closest: Option<String> },
    #[error(
        "the inputs differ: {found} comes after {expected}, and rows are written as they came; split each kind alone"
    )]
    Mixed { expected: String, found: String },
    #[error("{} is there already; pass --overwrite to replace it, or name another folder", .path.display())]
    Exists { path: PathBuf },
    #[error("{} is an input; name another folder", .path.display())]
    IsInput { path: PathBuf },
}

/// What is known of all articles, and their rows in a file without a name.
pub struct Gathered {
    pub ids: Vec<String>,
    pub labels: Vec<Option<Vec<String>>>,
    /// Values of the columns that were asked for; `None` where an article has none.
    pub times: Vec<Option<String>>,
    pub sources: Vec<Option<String>>,
    pub groups: Vec<Option<String>>,
    /// Titles and texts; empty unless asked for.
    pub texts: Vec<String>,
    shape: Shape,
    spool: BufReader<File>,
    row_bytes: Vec<usize>,
    inputs: BTreeSet<PathBuf>,
}

/// What rows are written as.
#[derive(Clone, PartialEq)]
struct Shape {
    format: Format,
    header: Option<Arc<[u8]>>,
}

impl Shape {
    /// Of a row as it is written: what has no rows of text becomes JSON Lines.
    fn of(row: &SourceRow) -> Self {
        let format = match row.format {
            Format::Parquet | Format::Txt => Format::Jsonl,
            format => format,
        };
        Self { format, header: row.header.clone() }
    }

    fn ending(&self) -> &'static str {
        match self.format {
            Format::FastText => "ft",
            format => format.name(),
        }
    }

    fn described(&self) -> String {
        match &self.header {
            Some(header) => format!("{} with the header `{}`", self.format, String::from_utf8_lossy(header)),
            None => self.format.to_string(),
        }
    }
}

/// Reads all articles.
///
/// # Errors
/// Rows that cannot be used, columns that no article has, inputs that cannot be written as one.
pub fn gather(session: &Session, data: &DataArgs, columns: &Columns) -> anyhow::Result<(Gathered, Rejected)> {
    let options = ReadOptions { keep_rows: true, ..data.read_options() };
    let files: Arc<Mutex<BTreeSet<PathBuf>>> = Arc::default();
    let seen_files = Arc::clone(&files);
    let (mut rows, rejected) = session.open_input_with(data, &options, |articles| {
        articles.check(move |_, place| {
            let mut files = seen_files.lock().expect("nothing panics while it is held");
            if !files.contains(&*place.file) {
                files.insert(place.file.to_path_buf());
            }
            Ok(())
        })
    })?;
    let mut spool = BufWriter::new(tempfile::tempfile().context("cannot make a temporary file")?);
    let mut shape: Option<Shape> = None;
    let (mut ids, mut labels, mut row_bytes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut times, mut sources, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    let mut texts = Vec::new();
    let mut seen_columns = BTreeSet::new();
    while let Some(article) = rows.next() {
        let article = article?;
        let row = rows.take_source_row().expect("rows are kept, as the options ask");
        let its_shape = Shape::of(&row);
        let shape = shape.get_or_insert_with(|| its_shape.clone());
        if *shape != its_shape {
            return Err(SplitFileError::Mixed { expected: shape.described(), found: its_shape.described() }.into());
        }
        let bytes = if row.format == Format::Txt { article_row(&article).to_string().into_bytes() } else { row.bytes };
        spool.write_all(&bytes).context("cannot write the temporary file")?;
        row_bytes.push(bytes.len());
        for (column, values) in
            [(&columns.time, &mut times), (&columns.source, &mut sources), (&columns.group, &mut groups)]
        {
            if let Some(column) = column {
                values.push(value(&article, column, &options));
            }
        }
        if ids.len().is_multiple_of(ROWS_BETWEEN_CHECKS) {
            session.check_cancelled()?;
        }
        article.extra.keys().for_each(|key| {
            if !seen_columns.contains(key) {
                seen_columns.insert(key.clone());
            }
        });
        if columns.texts {
            texts.push(titled(&article).joined().into_owned());
        }
        ids.push(article.id);
        labels.push(article.labels);
    }
    ensure!(!ids.is_empty(), TargetError::NoArticles);
    for column in [&columns.time, &columns.source, &columns.group].into_iter().flatten() {
        let own = [options.columns.id(), options.columns.title()];
        if !seen_columns.contains(column) && !own.contains(&column.as_str()) {
            let closest = closest(column, seen_columns.iter().map(String::as_str)).map(str::to_owned);
            return Err(SplitFileError::UnknownColumn { column: column.clone(), closest }.into());
        }
    }
    let mut spool =
        spool.into_inner().map_err(io::IntoInnerError::into_error).context("cannot write the temporary file")?;
    spool.rewind().context("cannot read the temporary file")?;
    let inputs = std::mem::take(&mut *files.lock().expect("nothing panics while it is held"));
    let shape = shape.unwrap_or(Shape { format: Format::Jsonl, header: None });
    let spool = BufReader::new(spool);
    Ok((Gathered { ids, labels, times, sources, groups, texts, shape, spool, row_bytes, inputs }, rejected))
}

/// The article's value of a column as text; `None` where it is missing, `null` or blank.
fn value(article: &Article, column: &str, options: &ReadOptions) -> Option<String> {
    let text = match article.extra.get(column) {
        Some(Value::Null) => return None,
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None if column == options.columns.title() => article.title.clone()?,
        None if column == options.columns.id() => article.id.clone(),
        None => return None,
    };
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The files that parts go to.
pub struct PartFiles {
    folder: PathBuf,
    names: Vec<String>,
    is_folds: bool,
}

impl Gathered {
    /// The files of these parts: one each, or of folds two, the articles to test and all others to train on.
    pub fn files(&self, folder: &Path, parts: &[&str], is_folds: bool) -> PartFiles {
        let ending = self.shape.ending();
        let names = match is_folds {
            true => {
                parts.iter().flat_map(|part| ["train", "test"].map(|role| format!("{part}.{role}.{ending}"))).collect()
            }
            false => parts.iter().map(|part| format!("{part}.{ending}")).collect(),
        };
        PartFiles { folder: folder.to_path_buf(), names, is_folds }
    }
}

impl PartFiles {
    /// Refuses to touch what is there, unless it may be replaced, and inputs always.
    ///
    /// # Errors
    /// [`SplitFileError::Exists`], [`SplitFileError::IsInput`].
    pub fn check(&self, overwrite: bool, gathered: &Gathered) -> Result<(), SplitFileError> {
        let inputs: Vec<PathBuf> = gathered.inputs.iter().filter_map(|path| path.canonicalize().ok()).collect();
        for name in &self.names {
            let path = self.folder.join(name);
            if path.canonicalize().is_ok_and(|path| inputs.contains(&path)) {
                return Err(SplitFileError::IsInput { path });
            }
            if !overwrite && fs::symlink_metadata(&path).is_ok() {
                return Err(SplitFileError::Exists { path });
            }
        }
        Ok(())
    }

    /// The names of the files, for a person.
    pub fn listed(&self) -> String {
        match &self.names[..] {
            [first, .., last] if self.is_folds => format!("{first} to {last}"),
            names => names.join(", "),
        }
    }

    /// Writes every row to its part, in the order in which they came. Files appear under their names when all are complete.
    ///
    /// # Errors
    /// The folder or a file cannot be written.
    pub fn write(&self, gathered: Gathered, part_of: &[Option<usize>], session: &Session) -> anyhow::Result<()> {
        let is_new = fs::symlink_metadata(&self.folder).is_err();
        let made = fs::create_dir_all(&self.folder);
        made.map_err(|source| OutputError::Create { path: self.folder.clone(), source })?;
        let written = self.write_rows(gathered, part_of, session);
        if written.is_err() && is_new {
            // Only if nothing is in it; what failed is said anyway.
            let _ = fs::remove_dir(&self.folder);
        }
        written
    }

    fn write_rows(&self, gathered: Gathered, part_of: &[Option<usize>], session: &Session) -> anyhow::Result<()> {
        let Gathered { shape, mut spool, row_bytes, .. } = gathered;
        let open = |name: &String| OutputFile::create(&Target::File(self.folder.join(name)), Compression::None);
        let mut files: Vec<OutputFile> = self.names.iter().map(open).collect::<Result<_, _>>()?;
        if let Some(header) = &shape.header {
            files.iter_mut().try_for_each(|file| file.write_all(header).and_then(|()| file.write_all(b"\n")))?;
        }
        let mut row = Vec::new();
        for (row_idx, (&n_bytes, &part)) in row_bytes.iter().zip(part_of).enumerate() {
            row.resize(n_bytes, 0);
            spool.read_exact(&mut row).context("cannot read the temporary file")?;
            row.push(b'\n');
            for (file_idx, file) in files.iter_mut().enumerate() {
                let is_wanted = match (self.is_folds, part) {
                    (_, None) => false,
                    (false, Some(part_idx)) => file_idx == part_idx,
                    // A fold's training file comes first, then that of its tests.
                    (true, Some(part_idx)) => (file_idx / 2 == part_idx) == (file_idx % 2 == 1),
                };
                if is_wanted {
                    file.write_all(&row).with_context(|| format!("cannot write {}", self.names[file_idx]))?;
                }
            }
            if row_idx.is_multiple_of(ROWS_BETWEEN_CHECKS) {
                session.check_cancelled()?;
            }
        }
        files.into_iter().try_for_each(OutputFile::finish)?;
        Ok(())
    }
}
