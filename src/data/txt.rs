//! Plain text: the whole file is one article, its name the id.

use std::io::Read;
use std::path::Path;

use super::Article;
use super::columns::{Draft, Located, Origin, utf8};
use super::error::{DataError, Position, RowProblem};
use super::fasttext::LABEL_PREFIX;
use super::lines::without_bom;
use super::options::ReadOptions;

/// Reads one article from memory.
///
/// # Errors
/// The text is empty, not UTF-8, too long, or fastText.
pub fn read_bytes(bytes: &[u8], options: &ReadOptions) -> Result<Article, DataError> {
    read(&Origin::memory(options)?, bytes).map(|located| located.article)
}

/// Reads the one article of a file.
pub(super) fn read(origin: &Origin, reader: impl Read) -> Result<Located, DataError> {
    let limit_bytes = origin.options.max_row_bytes;
    let mut bytes = Vec::new();
    // One byte more tells a file of exactly the limit from a longer one.
    let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(limit).read_to_end(&mut bytes).map_err(|source| origin.read_error(0, source))?;
    let id = Some(stem(&origin.file));
    let bytes = without_bom(&bytes);
    let problem = if bytes.len() > limit_bytes {
        RowProblem::TooLong { limit_bytes }
    } else if bytes.trim_ascii_start().starts_with(LABEL_PREFIX.as_bytes()) {
        RowProblem::FastTextInTxt
    } else {
        match utf8(bytes, "the file") {
            Ok(text) => {
                let draft = Draft { id, text: Some(text.to_owned()), ..Draft::default() };
                return origin.article(Position::File, 1, draft, Vec::new(), || bytes.to_vec());
            }
            Err(problem) => problem,
        }
    };
    Err(origin.row_error(Position::File, id, problem, bytes))
}

/// The file's name without its endings: `a/note.txt.gz` is `note`.
fn stem(file: &Path) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    let lower = name.to_ascii_lowercase();
    let mut n_bytes = lower.len();
    for ending in [".gz", ".zst", ".txt"] {
        if let Some(shorter) = lower[..n_bytes].strip_suffix(ending)
            && !shorter.is_empty()
        {
            n_bytes = shorter.len();
        }
    }
    name[..n_bytes].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_name_without_its_endings() {
        for (file, expected) in [
            ("a/note.txt", "note"),
            ("note.TXT.gz", "note"),
            ("note.v2.txt.zst", "note.v2"),
            ("note.md", "note.md"),
            (".txt", ".txt"),
        ] {
            assert_eq!(stem(Path::new(file)), expected, "{file}");
        }
    }
}
