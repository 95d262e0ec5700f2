//! Where output goes: standard output, or a file that appears under its name only when it is complete.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use tempfile::NamedTempFile;

use super::OutputError;

const BUFFER_BYTES: usize = 128 * 1024;

/// Where output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Stdout,
    File(PathBuf),
}

impl Target {
    /// `-` is standard output.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        if path.as_os_str() == "-" { Target::Stdout } else { Target::File(path) }
    }

    /// The name for messages.
    pub(super) fn path(&self) -> &Path {
        match self {
            Target::Stdout => Path::new("stdout"),
            Target::File(path) => path,
        }
    }
}

/// How output is packed, told by the ending of the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// `.gz` and `.zst`; standard output is never packed.
    pub fn from_target(target: &Target) -> Self {
        let ending = match target {
            Target::Stdout => return Compression::None,
            Target::File(path) => path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase(),
        };
        match ending.as_str() {
            "gz" => Compression::Gzip,
            "zst" => Compression::Zstd,
            _ => Compression::None,
        }
    }
}

/// An output that is being written.
///
/// A file is written beside its final name and renamed by [`OutputFile::finish`]; dropped before, it leaves nothing. What
/// is there but not a plain file (`/dev/null`, a pipe) is written directly, and a link keeps pointing where it pointed.
pub struct OutputFile {
    path: PathBuf,
    codec: Codec,
}

enum Codec {
    Plain(BufWriter<Destination>),
    Gzip(GzEncoder<BufWriter<Destination>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<Destination>>),
}

enum Destination {
    Stream(Box<dyn Write + Send>),
    Beside { file: NamedTempFile, final_path: PathBuf },
}

impl OutputFile {
    /// Opens the output.
    ///
    /// # Errors
    /// [`OutputError::Create`] where the folder is missing or may not be written.
    pub fn create(target: &Target, compression: Compression) -> Result<Self, OutputError> {
        let path = target.path().to_path_buf();
        let created = match target {
            Target::Stdout => Ok(Destination::Stream(Box::new(io::stdout()))),
            Target::File(path) => destination(path),
        };
        match created.and_then(|destination| codec(destination, compression)) {
            Ok(codec) => Ok(Self { path, codec }),
            Err(source) => Err(OutputError::Create { path, source: root_cause(&source) }),
        }
    }

    /// An output to anything; `name` stands for it in messages.
    pub fn from_writer(name: impl Into<PathBuf>, writer: impl Write + Send + 'static) -> Self {
        let stream = Destination::Stream(Box::new(writer));
        Self { path: name.into(), codec: Codec::Plain(BufWriter::with_capacity(BUFFER_BYTES, stream)) }
    }

    /// Writes what is left and gives the file its name.
    ///
    /// # Errors
    /// The last bytes cannot be written, or the file cannot be renamed.
    pub fn finish(self) -> Result<(), OutputError> {
        let Self { path, codec } = self;
        let finish = || {
            let mut buffered = match codec {
                Codec::Plain(buffered) => buffered,
                Codec::Gzip(encoder) => encoder.finish()?,
                Codec::Zstd(encoder) => encoder.finish()?,
            };
            buffered.flush()?;
            match buffered.into_inner()? {
                Destination::Stream(mut stream) => stream.flush(),
                Destination::Beside { file, final_path } => {
                    file.as_file().sync_all()?;
                    file.persist(final_path)?;
                    Ok(())
                }
            }
        };
        finish().map_err(|source| OutputError::from_io(&path, source))
    }

    /// An error of a library that writes here, as the error of this output.
    pub(super) fn error(&self, error: impl Error + 'static) -> OutputError {
        error_at(&self.path, error)
    }

    /// The name for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a pipe or the like, in which nothing can be changed any more.
    pub(super) fn is_stream(&self) -> bool {
        let destination = match &self.codec {
            Codec::Plain(buffered) => buffered.get_ref(),
            Codec::Gzip(encoder) => encoder.get_ref().get_ref(),
            Codec::Zstd(encoder) => encoder.get_ref().get_ref(),
        };
        matches!(destination, Destination::Stream(_))
    }

    /// Overwrites bytes at the beginning of an unpacked file.
    pub(super) fn patch(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        let Codec::Plain(buffered) = &mut self.codec else {
            return Err(OutputError::NotSeekable { path: self.path.clone() });
        };
        let patched = buffered.flush().and_then(|()| match buffered.get_mut() {
            Destination::Stream(_) => Err(io::ErrorKind::NotSeekable.into()),
            Destination::Beside { file, .. } => {
                file.seek(SeekFrom::Start(0))?;
                file.write_all(bytes)?;
                file.seek(SeekFrom::End(0)).map(|_| ())
            }
        });
        patched.map_err(|source| OutputError::from_io(&self.path, source))
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.codec {
            Codec::Plain(writer) => writer.write(bytes),
            Codec::Gzip(writer) => writer.write(bytes),
            Codec::Zstd(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.codec {
            Codec::Plain(writer) => writer.flush(),
            Codec::Gzip(writer) => writer.flush(),
            Codec::Zstd(writer) => writer.flush(),
        }
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Destination::Stream(stream) => stream.write(bytes),
            Destination::Beside { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Destination::Stream(stream) => stream.flush(),
            Destination::Beside { file, .. } => file.flush(),
        }
    }
}

fn destination(path: &Path) -> io::Result<Destination> {
    let final_path = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(metadata) if !metadata.is_file() => {
            return Ok(Destination::Stream(Box::new(File::options().write(true).open(path)?)));
        }
        Ok(metadata) if metadata.permissions().readonly() => return Err(io::ErrorKind::PermissionDenied.into()),
        Ok(_) => path.canonicalize()?,
        Err(_) => path.to_path_buf(),
    };
    let file = beside(&final_path)?;
    Ok(Destination::Beside { file, final_path })
}

/// A temporary file in the folder of `path`, for renaming works only within one file system.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    // Asked first, since an error of the temporary file would name that.
    fs::metadata(folder_of(path).join("."))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".topicwire-").suffix(".partial");
    // As a file made without further ado: the umask takes away what it should. The default is for the owner only.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder_of(path))
}

/// A temporary file without a name, in the folder of `path`.
pub(super) fn spool_beside(path: &Path) -> io::Result<File> {
    tempfile::tempfile_in(folder_of(path))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn codec(destination: Destination, compression: Compression) -> io::Result<Codec> {
    let buffered = BufWriter::with_capacity(BUFFER_BYTES, destination);
    Ok(match compression {
        Compression::None => Codec::Plain(buffered),
        Compression::Gzip => Codec::Gzip(GzEncoder::new(buffered, flate2::Compression::default())),
        Compression::Zstd => Codec::Zstd(zstd::stream::write::Encoder::new(buffered, zstd::DEFAULT_COMPRESSION_LEVEL)?),
    })
}

/// The error of an output at `path`, recognised by the system's error at its root.
pub(super) fn error_at(path: &Path, error: impl Error + 'static) -> OutputError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(io_error) = inner.downcast_ref::<io::Error>() {
            return OutputError::from_io(path, root_cause(io_error));
        }
        cause = inner.source();
    }
    OutputError::Encode { path: path.to_path_buf(), message: error.to_string() }
}

/// The system's own error, without the temporary file's name that may be wrapped around it.
fn root_cause(error: &io::Error) -> io::Error {
    let kind = error.kind();
    error.raw_os_error().map_or_else(|| kind.into(), io::Error::from_raw_os_error)
}
