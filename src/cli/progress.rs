//! Progress on stderr: a bar on a terminal, plain lines otherwise, JSON lines on request.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::progress::{Event, Progress};

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgressMode {
    /// Nothing.
    None,
    /// A line every ten seconds.
    Plain,
    /// A JSON object a line.
    Json,
    /// A bar.
    Bar,
}

/// Time between two plain or JSON lines.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Set by a signal; read by all long work.
static CANCELLED: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C and SIGTERM ask the work to stop; a second one ends the program at once.
pub fn listen_for_signals() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        if CANCELLED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    })
}

/// How far the reading of the inputs has come, for stages whose number of articles is not known beforehand.
#[derive(Clone, Debug, Default)]
pub struct InputMeter {
    pub n_bytes_read: Arc<AtomicU64>,
    /// `None` where some input is no plain file.
    pub n_bytes_total: Option<u64>,
}

impl InputMeter {
    /// Seconds until the end at the pace so far. Reading runs ahead of the work by a few chunks, so this is a little too hopeful.
    fn seconds_left(&self, seconds: f64) -> Option<f64> {
        let total = self.n_bytes_total? as f64;
        let read = self.n_bytes_read.load(Ordering::Relaxed) as f64;
        (read > 0.0).then(|| seconds * (total - read).max(0.0) / read)
    }
}

/// Shows events on stderr and passes cancellation on.
pub struct StderrProgress {
    mode: ProgressMode,
    quiet: bool,
    state: Mutex<State>,
}

struct State {
    stage: String,
    total: Option<u64>,
    n_items: u64,
    n_tokens: u64,
    started: Instant,
    last_line: Instant,
    bar: Option<ProgressBar>,
    input: InputMeter,
}

impl StderrProgress {
    /// The mode asked for, else a bar on a terminal and plain lines elsewhere; nothing but warnings when quiet.
    pub fn new(mode: Option<ProgressMode>, quiet: bool) -> Self {
        let usual = if io::stderr().is_terminal() { ProgressMode::Bar } else { ProgressMode::Plain };
        let mode = if quiet { ProgressMode::None } else { mode.unwrap_or(usual) };
        let now = Instant::now();
        let state = State {
            stage: String::new(),
            total: None,
            n_items: 0,
            n_tokens: 0,
            started: now,
            last_line: now,
            bar: None,
            input: InputMeter::default(),
        };
        Self { mode, quiet, state: Mutex::new(state) }
    }

    /// Lets the time left be told from the share of the inputs that is read.
    pub fn follow(&self, input: InputMeter) {
        self.state.lock().expect("no thread panics while it prints").input = input;
    }

    /// A line of talk, above the bar if there is one; nothing when quiet.
    pub fn say(&self, text: impl AsRef<str>) {
        if !self.quiet {
            self.line(text.as_ref());
        }
    }

    /// A line that is shown even when quiet.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.line(&format!("warning: {}", text.as_ref()));
    }

    /// As [`StderrProgress::warn`] when something is wrong, else as [`StderrProgress::say`].
    pub fn warn_if(&self, is_wrong: bool, text: String) {
        if is_wrong { self.warn(text) } else { self.say(text) }
    }

    fn line(&self, text: &str) {
        let state = self.state.lock().expect("no thread panics while it prints");
        match &state.bar {
            Some(bar) => bar.suspend(|| print_line(text)),
            None => print_line(text),
        }
    }
}

impl Progress for StderrProgress {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Warning { message } => return self.warn(message),
            Event::Note { message } => return self.say(message),
            _ => {}
        }
        let mut state = self.state.lock().expect("no thread panics while it prints");
        match event {
            Event::Started { stage, total } => state.start(stage, total, self.mode),
            Event::Advanced { n_items, n_tokens } => state.advance(n_items, n_tokens, self.mode),
            Event::Finished => state.finish(self.mode),
            _ => {}
        }
    }

    fn is_cancelled(&self) -> bool {
        CANCELLED.load(Ordering::Relaxed)
    }
}

impl State {
    fn start(&mut self, stage: &str, total: Option<u64>, mode: ProgressMode) {
        let now = Instant::now();
        (self.stage, self.total) = (stage.to_owned(), total);
        (self.n_items, self.n_tokens) = (0, 0);
        (self.started, self.last_line) = (now, now);
        if mode == ProgressMode::Bar {
            let template = match total {
                Some(_) => "{prefix:>10} {bar:30} {pos}/{len} {msg}",
                None => "{prefix:>10} {spinner} {pos} {msg}",
            };
            let style = ProgressStyle::with_template(template).expect("the template is a constant");
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr()).with_style(style);
            bar.set_prefix(stage.to_owned());
            self.bar = Some(bar);
        }
    }

    fn advance(&mut self, n_items: u64, n_tokens: u64, mode: ProgressMode) {
        self.n_items += n_items;
        self.n_tokens += n_tokens;
        if let Some(bar) = &self.bar {
            bar.set_position(self.n_items);
            bar.set_message(self.rates());
        } else if self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            self.print(mode, false);
        }
    }

    fn finish(&mut self, mode: ProgressMode) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if mode == ProgressMode::Json {
            self.print(mode, true);
        }
    }

    fn print(&self, mode: ProgressMode, is_finished: bool) {
        let seconds = self.started.elapsed().as_secs_f64();
        match mode {
            ProgressMode::Plain => {
                let total = self.total.map(|total| format!("/{total}")).unwrap_or_default();
                print_line(&format!("{} {}{total} {}", self.stage, self.n_items, self.rates()));
            }
            ProgressMode::Json => print_line(
                &json!({"stage": self.stage, "done": self.n_items, "total": self.total, "tokens": self.n_tokens,
                    "seconds": (seconds * 1e3).round() / 1e3, "seconds_left": self.seconds_left(), "finished": is_finished})
                .to_string(),
            ),
            ProgressMode::None | ProgressMode::Bar => {}
        }
    }

    fn rates(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(1e-9);
        let mut text = format!("{:.0}/s", self.n_items as f64 / seconds);
        if self.n_tokens > 0 {
            text.push_str(&format!(", {:.0} tokens/s", self.n_tokens as f64 / seconds));
        }
        if let Some(left) = self.seconds_left() {
            text.push_str(&format!(", {left:.0} s left"));
        }
        text
    }

    fn seconds_left(&self) -> Option<f64> {
        let seconds = self.started.elapsed().as_secs_f64();
        match self.total {
            Some(total) if self.n_items > 0 => {
                Some(seconds * total.saturating_sub(self.n_items) as f64 / self.n_items as f64)
            }
            Some(_) => None,
            None => self.input.seconds_left(seconds),
        }
    }
}

/// When stderr is closed there is nobody left to tell, and the work goes on.
fn print_line(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
