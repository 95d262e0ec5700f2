//! Text for a terminal: lines no wider than it, colours if wanted, and nothing in it that the terminal would obey.

use clap::builder::styling::Style;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::printer::visible;

/// Columns that a text takes.
fn width(text: &str) -> usize {
    text.width()
}

/// Builds wrapped text piece by piece.
pub struct Wrapped {
    out: String,
    width: usize,
    /// Where every line but the first starts.
    indent: usize,
    /// Columns of the line that are taken, the indent included.
    column: usize,
    /// Whether the next word needs a space in front.
    is_spaced: bool,
    /// The word that has begun; its pieces may have styles of their own.
    word: Vec<(Style, String)>,
    word_width: usize,
    style: Style,
}

impl Wrapped {
    /// Lines of at most this many columns, where words are not longer than that.
    pub fn new(width: usize) -> Self {
        Self {
            out: String::new(),
            width,
            indent: 0,
            column: 0,
            is_spaced: false,
            word: Vec::new(),
            word_width: 0,
            style: Style::new(),
        }
    }

    /// Adds text, broken at white space. A piece that does not begin with white space goes on where the last one ended.
    ///
    /// Line feeds break lines; of several, one blank line is left.
    pub fn push(&mut self, text: &str, style: Style) {
        for grapheme in text.graphemes(true) {
            let first = grapheme.chars().next().unwrap_or_default();
            if grapheme.ends_with('\n') {
                self.break_line();
            } else if first.is_whitespace() && !is_unbreakable(first) {
                self.end_word();
                self.is_spaced = self.column > self.indent;
            } else {
                self.add(grapheme, style);
            }
        }
    }

    /// Adds text as it stands, its spaces too, and starts no new line for it.
    pub fn push_fixed(&mut self, text: &str, style: Style) {
        if text.is_empty() {
            return;
        }
        self.end_word();
        self.switch(Style::new());
        if self.column < self.indent {
            self.fill();
        }
        let shown = visible(text);
        self.column += width(&shown);
        self.is_spaced = false;
        self.switch(style);
        self.out.push_str(&shown);
    }

    /// Goes to a column, further right than the text so far, and lets the lines that follow begin there.
    pub fn hang(&mut self, column: usize) {
        self.end_word();
        self.switch(Style::new());
        self.indent = column;
        self.fill();
        self.is_spaced = false;
    }

    /// Ends the line; the next begins at this column.
    pub fn line(&mut self, indent: usize) {
        self.end_word();
        self.new_line();
        self.indent = indent;
    }

    /// Ends the line and leaves a blank one, unless there is one already.
    pub fn blank(&mut self, indent: usize) {
        self.line(indent);
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    /// The text.
    pub fn finish(mut self) -> String {
        self.end_word();
        self.new_line();
        self.out
    }

    fn add(&mut self, grapheme: &str, style: Style) {
        let shown = visible(grapheme);
        self.word_width += width(&shown);
        match self.word.last_mut() {
            Some((last, text)) if *last == style => text.push_str(&shown),
            _ => self.word.push((style, shown)),
        }
    }

    fn break_line(&mut self) {
        let indent = self.indent;
        self.end_word();
        match self.column {
            0 => self.blank(indent),
            _ => self.line(indent),
        }
    }

    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let word = std::mem::take(&mut self.word);
        let word_width = std::mem::take(&mut self.word_width);
        let is_first = self.column <= self.indent;
        if !is_first && self.column + usize::from(self.is_spaced) + word_width > self.width {
            self.new_line();
        } else if self.is_spaced && !is_first {
            self.out.push(' ');
            self.column += 1;
        }
        self.is_spaced = false;
        self.fill();
        for (style, text) in word {
            for grapheme in text.graphemes(true) {
                if self.column + width(grapheme) > self.width && self.column > self.indent {
                    self.new_line();
                    self.fill();
                }
                self.switch(style);
                self.out.push_str(grapheme);
                self.column += width(grapheme);
            }
        }
    }

    fn new_line(&mut self) {
        self.switch(Style::new());
        if self.column > 0 {
            self.out.truncate(self.out.trim_end_matches(' ').len());
            self.out.push('\n');
        }
        self.column = 0;
        self.is_spaced = false;
    }

    fn fill(&mut self) {
        let n_missing = self.indent.saturating_sub(self.column);
        self.out.push_str(&" ".repeat(n_missing));
        self.column += n_missing;
    }

    fn switch(&mut self, style: Style) {
        if style != self.style {
            self.out.push_str(&format!("{}{}", self.style.render_reset(), style.render()));
            self.style = style;
        }
    }
}

/// No-break spaces.
fn is_unbreakable(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{202f}')
}

#[cfg(test)]
mod tests {
    use clap::builder::styling::AnsiColor;

    use super::*;

    fn wrapped(text: &str, width: usize) -> String {
        let mut lines = Wrapped::new(width);
        lines.push(text, Style::new());
        lines.finish()
    }

    #[test]
    fn lines_break_between_words_and_in_words_only_where_nothing_else_helps() {
        for (text, expected) in [
            ("", ""),
            ("  one   two  ", "one two\n"),
            ("one two three", "one two\nthree\n"),
            ("12345678 9", "12345678\n9\n"),
            ("a 123456789012", "a\n12345678\n9012\n"),
            ("one\ntwo\r\nthree\n\n\n\nfour\n", "one\ntwo\nthree\n\nfour\n"),
            ("港口运来了谷物", "港口运来\n了谷物\n"),
            ("10\u{a0}000 tanks", "10\u{a0}000\ntanks\n"),
            (
                "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301} x",
                "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}\nx\n",
            ),
        ] {
            assert_eq!(wrapped(text, 8), expected, "{text:?}");
        }
    }

    #[test]
    fn nothing_reaches_the_terminal_as_an_order() {
        let hostile = "a\u{1b}[31mb\u{7}\u{9b}2Jc\rd\u{202e}e\u{7f}\tf\u{0}";
        assert_eq!(wrapped(hostile, 80), "a\u{fffd}[31mb\u{fffd}\u{fffd}2Jc d\u{fffd}e\u{fffd} f\u{fffd}\n");
    }

    #[test]
    fn lines_that_follow_hang_under_the_first_and_colours_end_with_the_line() {
        let red = Style::new().fg_color(Some(AnsiColor::Red.into()));
        let mut lines = Wrapped::new(10);
        lines.line(2);
        lines.push_fixed("1.", Style::new());
        lines.hang(6);
        lines.push("one", Style::new());
        lines.push(" two", red);
        lines.push("! six", Style::new());
        let (on, off) = (red.render().to_string(), red.render_reset().to_string());
        assert_eq!(lines.finish(), format!("  1.  one\n      {on}two{off}!\n      six\n"));
    }
}
