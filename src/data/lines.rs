//! Lines of bounded length from any reader, with a way back.

use std::io::{self, BufRead};

/// What [`Lines::append`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appended {
    /// A line, its `\n` included unless the input ends without one.
    Line,
    /// The beginning of a line that is longer than the limit; the rest is still to come.
    Cut,
    /// Nothing: the input is over.
    End,
}

/// Reads lines and lets bytes be put back in front.
pub(super) struct Lines<R> {
    inner: R,
    /// Bytes that were put back, read from `pushed_at` on before `inner`.
    pushed: Vec<u8>,
    pushed_at: usize,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, pushed: Vec::new(), pushed_at: 0 }
    }

    /// Appends the next line to `buffer`, which grows to at most `limit_bytes` and the line end.
    pub(super) fn append(&mut self, buffer: &mut Vec<u8>, limit_bytes: usize) -> io::Result<Appended> {
        let start = buffer.len();
        loop {
            let available = self.fill()?;
            if available.is_empty() {
                return Ok(if buffer.len() == start { Appended::End } else { Appended::Line });
            }
            let room = limit_bytes.saturating_sub(buffer.len());
            let (n_bytes, appended) = match memchr::memchr(b'\n', available) {
                Some(newline) if newline <= room => (newline + 1, Some(Appended::Line)),
                None if available.len() <= room => (available.len(), None),
                _ => (room, Some(Appended::Cut)),
            };
            buffer.extend_from_slice(&available[..n_bytes]);
            self.consume(n_bytes);
            if let Some(appended) = appended {
                return Ok(appended);
            }
        }
    }

    /// Skips the rest of the line.
    pub(super) fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let available = self.fill()?;
            if available.is_empty() {
                return Ok(());
            }
            match memchr::memchr(b'\n', available) {
                Some(newline) => {
                    self.consume(newline + 1);
                    return Ok(());
                }
                None => {
                    let n_bytes = available.len();
                    self.consume(n_bytes);
                }
            }
        }
    }

    /// Puts bytes back: the next read begins with them.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        let rest = self.pushed.split_off(self.pushed_at);
        self.pushed.clear();
        self.pushed.extend_from_slice(bytes);
        self.pushed.extend_from_slice(&rest);
        self.pushed_at = 0;
    }

    fn fill(&mut self) -> io::Result<&[u8]> {
        if self.pushed_at < self.pushed.len() {
            return Ok(&self.pushed[self.pushed_at..]);
        }
        self.pushed = Vec::new();
        self.pushed_at = 0;
        loop {
            match self.inner.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, n_bytes: usize) {
        if self.pushed_at < self.pushed.len() {
            self.pushed_at += n_bytes;
        } else {
            self.inner.consume(n_bytes);
        }
    }
}

/// The bytes without a byte-order mark in front.
pub(super) fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

/// The line without its end, `\n` or `\r\n`.
pub(super) fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_cut_or_put_back() {
        let mut lines = Lines::new(&b"one\nlonger line\nlast"[..]);
        let mut buffer = Vec::new();
        assert_eq!(lines.append(&mut buffer, 6).unwrap(), Appended::Line);
        assert_eq!(buffer, b"one\n");
        buffer.clear();
        assert_eq!(lines.append(&mut buffer, 6).unwrap(), Appended::Cut);
        assert_eq!(buffer, b"longer");
        lines.skip_line().unwrap();
        lines.unread(b"x\ny");
        buffer.clear();
        assert_eq!(lines.append(&mut buffer, 6).unwrap(), Appended::Line);
        assert_eq!(buffer, b"x\n");
        lines.unread(b"w");
        buffer.clear();
        assert_eq!(lines.append(&mut buffer, 6).unwrap(), Appended::Line);
        assert_eq!(buffer, b"wylast");
        assert_eq!(lines.append(&mut buffer, 6).unwrap(), Appended::End);
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_not_cut() {
        for (text, expected) in [("abc\n", Appended::Line), ("abc", Appended::Line), ("abcd", Appended::Cut)] {
            let appended = Lines::new(text.as_bytes()).append(&mut Vec::new(), 3).unwrap();
            assert_eq!(appended, expected, "{text:?}");
        }
    }
}
