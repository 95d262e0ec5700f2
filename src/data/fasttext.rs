//! fastText lines: `__label__a __label__b text`. Blank lines are skipped.
//!
//! As in fastText, a word that begins with `__label__` is a label wherever it stands, and the rest is the text. A line
//! without any is an article whose labels are not known.

use std::io::BufRead;

use super::Article;
use super::columns::{Draft, Located, Origin, distinct, utf8};
use super::error::{DataError, Position, RowProblem};
use super::lines::{Appended, Lines, without_bom, without_line_end};
use super::options::ReadOptions;

/// What a label begins with.
pub(super) const LABEL_PREFIX: &str = "__label__";

/// Rows of a fastText file.
pub(super) struct FastTextRows<R> {
    origin: Origin,
    lines: Lines<R>,
    line: u64,
    row: u64,
    over: bool,
}

/// Reads fastText lines from memory.
///
/// # Errors
/// Settings under which nothing can be read; the iterator gives the errors of rows.
pub fn read_bytes<'a>(
    bytes: &'a [u8],
    options: &ReadOptions,
) -> Result<impl Iterator<Item = Result<Article, DataError>> + use<'a>, DataError> {
    let rows = FastTextRows::new(Origin::memory(options)?, bytes);
    Ok(rows.map(|row| row.map(|located| located.article)))
}

impl<R: BufRead> FastTextRows<R> {
    pub(super) fn new(origin: Origin, reader: R) -> Self {
        Self { origin, lines: Lines::new(reader), line: 0, row: 0, over: false }
    }

    fn read(&mut self) -> Result<Option<Located>, DataError> {
        let limit_bytes = self.origin.options.max_row_bytes;
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            let appended = self.lines.append(&mut buffer, limit_bytes);
            let appended = appended.map_err(|source| self.origin.read_error(self.line, source))?;
            if appended == Appended::End {
                return Ok(None);
            }
            self.line += 1;
            let line = without_line_end(&buffer);
            let line = if self.line == 1 { without_bom(line) } else { line };
            if appended == Appended::Line && line.trim_ascii().is_empty() {
                continue;
            }
            self.row += 1;
            let position = Position::Line(self.line);
            if appended == Appended::Cut {
                let error = self.origin.row_error(position, None, RowProblem::TooLong { limit_bytes }, line);
                self.lines.skip_line().map_err(|source| self.origin.read_error(self.line, source))?;
                return Err(error);
            }
            let draft = parse(line).map_err(|problem| self.origin.row_error(position, None, problem, line))?;
            return self.origin.article(position, self.row, draft, Vec::new(), || line.to_vec()).map(Some);
        }
    }
}

impl<R: BufRead> Iterator for FastTextRows<R> {
    type Item = Result<Located, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let row = self.read().transpose();
        self.over = row.as_ref().is_none_or(|row| row.as_ref().is_err_and(|error| !error.is_row_error()));
        row
    }
}

fn parse(line: &[u8]) -> Result<Draft, RowProblem> {
    let line = utf8(line, "the line")?;
    let mut names = Vec::new();
    let mut text = String::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let word_end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let next_word = word_end + (rest.len() - word_end) - rest[word_end..].trim_start().len();
        match rest[..word_end].strip_prefix(LABEL_PREFIX) {
            Some("") => return Err(RowProblem::UnnamedLabel),
            Some(name) => names.push(name),
            None => text.push_str(&rest[..next_word]),
        }
        rest = &rest[next_word..];
    }
    text.truncate(text.trim_end().len());
    let labels = (!names.is_empty()).then(|| distinct(names.into_iter()));
    Ok(Draft { text: Some(text), labels, ..Draft::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_anywhere_and_the_text_keeps_its_spaces() {
        for (line, labels, text) in [
            ("__label__a __label__b  gas  flows ", Some(vec!["a", "b"]), "gas  flows"),
            ("gas\tflows", None, "gas\tflows"),
            ("gas __label__a flows __label__a", Some(vec!["a"]), "gas flows"),
        ] {
            let draft = parse(line.as_bytes()).unwrap();
            assert_eq!(draft.text.as_deref(), Some(text), "{line}");
            let labels = labels.map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(draft.labels, labels, "{line}");
        }
        assert_eq!(parse(b"__label__ gas").unwrap_err(), RowProblem::UnnamedLabel);
    }
}
