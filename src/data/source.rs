//! Which files an input names, and how each is opened: folders, patterns, standard input, compression, format.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::columns::{Located, Origin};
use super::csv::CsvRows;
use super::error::DataError;
use super::fasttext::{FastTextRows, LABEL_PREFIX};
use super::jsonl::JsonlRows;
use super::lines::without_bom;
use super::meter::Meter;
use super::options::{Format, ReadOptions};
use super::txt;

const BUFFER_BYTES: usize = 128 * 1024;
const GZIP_MAGIC: &[u8] = b"\x1F\x8B";
const ZSTD_MAGIC: &[u8] = b"\x28\xB5\x2F\xFD";
const PARQUET_MAGIC: &[u8] = b"PAR1";

/// First bytes that are looked at to tell a format; room for some blanks before the first brace.
const PREFIX_BYTES: usize = 64;

/// Something to read articles from.
///
/// As text, `-` is standard input and everything else a path: of a file, of a folder, or a pattern with `*`, `?`, `[…]`
/// or `**`. A path that exists is never taken as a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Stdin,
    Path(PathBuf),
}

impl From<&str> for Input {
    fn from(text: &str) -> Self {
        if text == "-" { Input::Stdin } else { Input::Path(text.into()) }
    }
}

impl From<String> for Input {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&Path> for Input {
    fn from(path: &Path) -> Self {
        path.to_path_buf().into()
    }
}

impl From<PathBuf> for Input {
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == "-" { Input::Stdin } else { Input::Path(path) }
    }
}

/// Rows of one file.
pub(super) type FileRows = Box<dyn Iterator<Item = Result<Located, DataError>> + Send>;

/// One file (or standard input) that was found to be readable.
pub(super) struct Source {
    pub(super) file: Arc<Path>,
    origin: Origin,
    pub(super) meter: Meter,
    /// Kept open where it cannot be opened twice, such as a pipe.
    opened: Option<FileRows>,
}

impl Source {
    /// Its rows from the first on.
    pub(super) fn rows(self) -> Result<FileRows, DataError> {
        match self.opened {
            Some(rows) => Ok(rows),
            None => open_file(self.origin, &self.meter),
        }
    }
}

/// Finds the files and tries each, so that a missing file or column shows before the first row is read.
pub(super) fn sources(inputs: &[Input], options: &ReadOptions) -> Result<Vec<Source>, DataError> {
    options.validate()?;
    if inputs.is_empty() {
        return Err(DataError::NoInput);
    }
    if inputs.iter().filter(|input| **input == Input::Stdin).count() > 1 {
        return Err(DataError::StdinTwice);
    }
    let mut paths = Vec::new();
    for input in inputs {
        match input {
            Input::Stdin => paths.push(None),
            Input::Path(path) => paths.extend(expand(path, options.format)?.into_iter().map(Some)),
        }
    }
    let options = Arc::new(options.clone());
    let has_several = paths.len() > 1;
    let probe = |path: Option<PathBuf>| {
        let file: Arc<Path> = path.as_deref().unwrap_or(Path::new("stdin")).into();
        let id_prefix = has_several.then(|| file.display().to_string());
        let origin = Origin {
            file: file.clone(),
            options: options.clone(),
            id_prefix,
            compressed: false,
            format: Format::Jsonl,
            header: None,
        };
        let (meter, opened) = match &path {
            None => {
                let meter = Meter::default();
                let rows = open(origin.clone(), meter.watch(io::stdin()))?;
                (meter, Some(rows))
            }
            Some(path) => {
                let metadata = fs::metadata(path).map_err(|source| open_error(path, source))?;
                let meter = Meter::new(metadata.is_file().then_some(metadata.len()));
                let rows = open_file(origin.clone(), &meter)?;
                if metadata.is_file() { (Meter::new(meter.n_bytes), None) } else { (meter, Some(rows)) }
            }
        };
        Ok(Source { file, origin, meter, opened })
    };
    paths.into_iter().map(probe).collect()
}

fn open_error(path: &Path, source: io::Error) -> DataError {
    DataError::Open { path: path.to_path_buf(), source }
}

/// The files that a path names.
fn expand(path: &Path, format: Option<Format>) -> Result<Vec<PathBuf>, DataError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => directory(path, format),
        Ok(_) => Ok(vec![path.to_path_buf()]),
        Err(error) => match path.to_str().filter(|text| text.contains(['*', '?', '['])) {
            Some(pattern) => matches(pattern),
            None => Err(open_error(path, error)),
        },
    }
}

/// The files that match a pattern, in alphabetical order.
fn matches(pattern: &str) -> Result<Vec<PathBuf>, DataError> {
    // As in a shell, `*` does not find hidden files.
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
    let paths = glob::glob_with(pattern, options)
        .map_err(|error| DataError::Pattern { pattern: pattern.to_owned(), message: error.to_string() })?;
    let mut files = BTreeSet::new();
    for path in paths {
        let path = path.map_err(|error| DataError::Open { path: error.path().to_path_buf(), source: error.into() })?;
        if !path.is_dir() {
            files.insert(path);
        }
    }
    if files.is_empty() {
        return Err(DataError::NoMatch { pattern: pattern.to_owned() });
    }
    Ok(files.into_iter().collect())
}

/// The files of a folder, in alphabetical order: its `.txt` files or, where it has none, the others whose ending is
/// known. `.json` does not count (label lists and settings end so), nor do hidden files and those with `_` in front,
/// which Spark and others leave beside their data.
fn directory(path: &Path, format: Option<Format>) -> Result<Vec<PathBuf>, DataError> {
    let mut found: Vec<(Format, PathBuf)> = Vec::new();
    for entry in fs::read_dir(path).map_err(|source| open_error(path, source))? {
        let file = entry.map_err(|source| open_error(path, source))?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let is_hidden = name.starts_with(['.', '_']);
        let is_plain_json =
            format.is_none() && [".json", ".json.gz", ".json.zst"].iter().any(|end| name.ends_with(end));
        if let Some(file_format) = Format::from_path(&file)
            && format.is_none_or(|format| format == file_format)
            && !is_hidden
            && !is_plain_json
            && file.is_file()
        {
            found.push((file_format, file));
        }
    }
    found.sort_by(|a, b| a.1.cmp(&b.1));
    let other = found.iter().map(|(format, _)| *format).find(|format| *format != Format::Txt);
    let has_txt = found.iter().any(|(format, _)| *format == Format::Txt);
    match other {
        Some(other) if has_txt => {
            Err(DataError::MixedDirectory { path: path.to_path_buf(), other: other.name().to_owned() })
        }
        None if !has_txt => {
            let expected = format.map_or(".txt, .jsonl, .csv, .tsv, .parquet or .ft".to_owned(), |f| f.to_string());
            Err(DataError::EmptyDirectory { path: path.to_path_buf(), expected })
        }
        _ => Ok(found.into_iter().map(|(_, file)| file).collect()),
    }
}

fn open_file(origin: Origin, meter: &Meter) -> Result<FileRows, DataError> {
    let path = origin.file.clone();
    let mut file = File::open(&path).map_err(|source| open_error(&path, source))?;
    // Only a plain file lets Parquet jump about in it.
    if meter.n_bytes.is_some() {
        let prefix = prefix_of(&mut file).and_then(|prefix| {
            io::Seek::rewind(&mut file)?;
            Ok(prefix)
        });
        let prefix = prefix.map_err(|source| origin.read_error(0, source))?;
        let is_compressed = prefix.starts_with(GZIP_MAGIC) || prefix.starts_with(ZSTD_MAGIC);
        if !is_compressed && format_of(&origin, &prefix) == Some(Format::Parquet) {
            return parquet_rows(origin, file, meter);
        }
    }
    open(origin, meter.watch(file))
}

/// Opens a stream: unpacks it, tells its format, reads its header.
fn open(mut origin: Origin, mut stream: impl Read + Send + 'static) -> Result<FileRows, DataError> {
    let packed_prefix = prefix_of(&mut stream).map_err(|source| origin.read_error(0, source))?;
    let ending = origin.file.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let is_gzip = packed_prefix.starts_with(GZIP_MAGIC) || ending == "gz";
    let is_zstd = packed_prefix.starts_with(ZSTD_MAGIC) || ending == "zst";
    let stream = Cursor::new(packed_prefix).chain(stream);
    let mut stream: Box<dyn Read + Send> = if is_gzip {
        origin.compressed = true;
        Box::new(flate2::read::MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, stream)))
    } else if is_zstd {
        origin.compressed = true;
        Box::new(zstd::stream::read::Decoder::new(stream).map_err(|source| origin.read_error(0, source))?)
    } else {
        Box::new(stream)
    };
    let prefix = prefix_of(&mut stream).map_err(|source| origin.read_error(0, source))?;
    let Some(format) = format_of(&origin, &prefix) else {
        return Err(DataError::UnknownFormat { path: origin.file.to_path_buf() });
    };
    origin.format = format;
    let mut stream = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(prefix).chain(stream));
    if format != Format::Parquet {
        return rows(origin, format, stream);
    }
    let spooled = tempfile::tempfile().and_then(|mut file| {
        io::copy(&mut stream, &mut file)?;
        Ok(file)
    });
    let file = spooled.map_err(|source| origin.read_error(0, source))?;
    parquet_rows(origin, file, &Meter::default())
}

fn rows(origin: Origin, format: Format, stream: impl BufRead + Send + 'static) -> Result<FileRows, DataError> {
    Ok(match format {
        Format::Jsonl => Box::new(JsonlRows::new(origin, stream)),
        Format::Csv | Format::Tsv => Box::new(CsvRows::open(origin, format, stream)?),
        Format::FastText => Box::new(FastTextRows::new(origin, stream)),
        Format::Txt => {
            let mut stream = Some(stream);
            Box::new(std::iter::from_fn(move || stream.take().map(|stream| txt::read(&origin, stream))))
        }
        Format::Parquet => unreachable!("Parquet is not read from a stream"),
    })
}

#[cfg(feature = "parquet")]
fn parquet_rows(mut origin: Origin, file: File, meter: &Meter) -> Result<FileRows, DataError> {
    origin.format = Format::Parquet;
    Ok(Box::new(super::parquet::ParquetRows::open(origin, file, meter.clone())?))
}

#[cfg(not(feature = "parquet"))]
fn parquet_rows(origin: Origin, _file: File, _meter: &Meter) -> Result<FileRows, DataError> {
    Err(DataError::ParquetFeature { path: origin.file.to_path_buf() })
}

/// The format that was asked for, else that of the ending, else what the first bytes look like. Nothing at all is
/// JSON Lines without a line.
fn format_of(origin: &Origin, prefix: &[u8]) -> Option<Format> {
    origin.options.format.or_else(|| Format::from_path(&origin.file)).or_else(|| {
        let text = without_bom(prefix).trim_ascii_start();
        match text {
            _ if prefix.starts_with(PARQUET_MAGIC) => Some(Format::Parquet),
            [b'{' | b'[', ..] => Some(Format::Jsonl),
            _ if text.starts_with(LABEL_PREFIX.as_bytes()) => Some(Format::FastText),
            _ if prefix.is_empty() => Some(Format::Jsonl),
            _ => None,
        }
    })
}

/// The first bytes of a stream, fewer than [`PREFIX_BYTES`] only where it ends.
fn prefix_of(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut prefix = Vec::with_capacity(PREFIX_BYTES);
    stream.by_ref().take(PREFIX_BYTES as u64).read_to_end(&mut prefix)?;
    Ok(prefix)
}
