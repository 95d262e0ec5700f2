//! Events of long work, and the trait of whoever listens to them.

/// Something a listener may want to show.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A stage begins; `total` is its number of articles (or steps) where that is known beforehand.
    Started { stage: &'a str, total: Option<u64> },
    /// This many more articles (or steps) of the stage are done; `n_tokens` is 0 where tokens mean nothing.
    Advanced { n_items: u64, n_tokens: u64 },
    /// The stage is over.
    Finished,
    /// Something the user should know, though the work goes on.
    Warning { message: &'a str },
    /// Something that was decided on the way and is no cause for worry.
    Note { message: &'a str },
}

/// Listens to long work and may ask it to stop.
///
/// Long work calls [`Progress::is_cancelled`] between batches and ends with its module's `Interrupted` error when the answer is yes.
pub trait Progress: Send + Sync {
    /// Called for every event, possibly from several threads.
    fn event(&self, event: Event<'_>);

    /// Whether the work should stop at the next good moment.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Listens to nothing and never cancels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _event: Event<'_>) {}
}

/// Tells another listener nothing, but stops when that one says so: for a part of long work that is told as a whole.
pub struct Quiet<'a>(pub &'a dyn Progress);

impl Progress for Quiet<'_> {
    fn event(&self, _event: Event<'_>) {}

    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}
