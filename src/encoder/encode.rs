//! Windows to embeddings: batches, one for each thread at a time, pooled and sent through the layers after pooling.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, ArrayView2, Axis};

use super::pooling::{TailStep, WindowPooling, apply_tail, combine_windows, pool_window};
use super::spans::{PassageSpan, span_means, span_sums};
use super::{Encoder, EncoderError, Network, static_words};
use crate::progress::{Event, Progress, Silent};
use crate::text::TitledText;
use crate::text::pack::{PackedBatch, plan_batches};
use crate::text::windows::{LongText, WindowSettings};

impl Encoder {
    /// Embeddings of texts as sentence-transformers' `encode` gives them: each from its first `max_tokens` tokens.
    ///
    /// # Shapes
    /// Returns `[n_texts, hidden_size]`.
    ///
    /// # Errors
    /// As [`TextTokenizer::tokenize`](crate::text::TextTokenizer::tokenize) and [`Encoder::encode_windows`].
    pub fn encode(&self, texts: &[&str]) -> Result<Array2<f32>, EncoderError> {
        let articles: Vec<TitledText<'_>> = texts.iter().map(|text| TitledText::untitled(text)).collect();
        let settings = WindowSettings { long_text: LongText::Truncate, ..Default::default() };
        let tokenized = self.tokenizer.tokenize(&articles, &settings)?;
        let windows: Vec<Vec<u32>> = tokenized.into_iter().flat_map(|article| article.windows).collect();
        self.encode_windows(&windows, None, &Silent)
    }

    /// Embeddings of windows: hidden states, pooled, then the dense layers and normalisation the encoder has.
    ///
    /// Windows are grouped by length into batches of at most `token_budget` padded tokens, the executor's best number where `None`. The threads of the current rayon pool take
    /// batches from the list, each computing its batch alone, so the result does not depend on their number; how windows are
    /// batched changes it by rounding only. `progress` hears of every batch: [`Event::Advanced`] with its windows and tokens.
    ///
    /// # Shapes
    /// Returns `[windows.len(), hidden_size]`, in the order of `windows`.
    ///
    /// # Errors
    /// As [`Executor::hidden_states`](super::Executor::hidden_states); [`EncoderError::Interrupted`] when `progress` says to stop.
    pub fn encode_windows(
        &self,
        windows: &[Vec<u32>],
        token_budget: Option<usize>,
        progress: &dyn Progress,
    ) -> Result<Array2<f32>, EncoderError> {
        Ok(self.encode_windows_and_passages(windows, &[], 0, token_budget, progress)?.0)
    }

    /// Embeddings of windows, and of passages inside of them: the mean state of a passage's tokens, wherever they lie, then the
    /// layers after pooling ("late chunking": Günther et al. 2024, arXiv:2409.04701). A passage thus knows what stands around it,
    /// and costs no pass of its own. `spans` lists the passages of each window, or is empty where there are none.
    ///
    /// # Shapes
    /// Returns `[windows.len(), hidden_size]` and `[n_passages, hidden_size]`; a passage in no span is a mean of nothing, zeros before the layers after pooling.
    ///
    /// # Errors
    /// As [`Encoder::encode_windows`].
    ///
    /// # Panics
    /// When spans are there, but not for every window, or for passages or tokens out of range.
    pub fn encode_windows_and_passages(
        &self,
        windows: &[Vec<u32>],
        spans: &[Vec<PassageSpan>],
        n_passages: usize,
        token_budget: Option<usize>,
        progress: &dyn Progress,
    ) -> Result<(Array2<f32>, Array2<f32>), EncoderError> {
        assert!(spans.is_empty() || spans.len() == windows.len(), "spans of every window");
        let lengths: Vec<usize> = windows.iter().map(Vec::len).collect();
        let token_budget = token_budget.unwrap_or_else(|| match &self.network {
            Network::Transformer { executor, .. } => executor.default_token_budget(),
            Network::Static(_) => static_words::TOKEN_BUDGET,
        });
        let batches = plan_batches(&lengths, token_budget);
        let embeddings = Mutex::new(Array2::zeros((windows.len(), self.hidden_size())));
        let sums = Mutex::new(vec![Array2::zeros((0, 0)); spans.len()]);
        let first_error: Mutex<Option<(usize, EncoderError)>> = Mutex::new(None);
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let batch_idx = next.fetch_add(1, Ordering::Relaxed);
                let Some(batch) = batches.get(batch_idx) else { return };
                let result = if progress.is_cancelled() {
                    Err(EncoderError::Interrupted)
                } else {
                    self.encode_batch(windows, spans, batch)
                };
                match result {
                    Ok((rows, batch_sums)) => {
                        let mut embeddings = embeddings.lock().expect("no thread panics while it copies rows");
                        for (&window_idx, row) in batch.iter().zip(rows.rows()) {
                            embeddings.row_mut(window_idx).assign(&row);
                        }
                        drop(embeddings);
                        let mut sums = sums.lock().expect("no thread panics while it moves sums");
                        for (&window_idx, window_sums) in batch.iter().zip(batch_sums) {
                            sums[window_idx] = window_sums;
                        }
                        drop(sums);
                        let n_tokens = batch.iter().map(|&i| lengths[i] as u64).sum();
                        progress.event(Event::Advanced { n_items: batch.len() as u64, n_tokens });
                    }
                    Err(error) => {
                        // No new batches; of the errors under way, the one of the earliest batch is reported.
                        next.store(batches.len(), Ordering::Relaxed);
                        let mut first = first_error.lock().expect("no thread panics while it compares");
                        if first.as_ref().is_none_or(|(earlier, _)| batch_idx < *earlier) {
                            *first = Some((batch_idx, error));
                        }
                        return;
                    }
                }
            }
        };
        // One loop per thread rather than a parallel iterator: batches start in order, the largest first.
        rayon::scope(|scope| {
            for _ in 0..rayon::current_num_threads().min(batches.len()) {
                scope.spawn(|_| work());
            }
        });
        if let Some((_, error)) = first_error.into_inner().expect("no thread panics while it compares") {
            return Err(error);
        }
        let sums = sums.into_inner().expect("no thread panics while it moves sums");
        let means = span_means(spans, &sums, n_passages, self.info.transformer_hidden_size);
        let means = vec![means.view(); self.info.pooling.len()];
        let pooled = ndarray::concatenate(Axis(1), &means).expect("all have the same number of rows");
        Ok((embeddings.into_inner().expect("no thread panics while it copies rows"), apply_tail(pooled, self.tail())))
    }

    /// One embedding per article from those of its windows; see [`combine_windows`].
    pub fn combine(&self, windows: ArrayView2<f32>, n_windows: &[usize], pooling: WindowPooling) -> Array2<f32> {
        combine_windows(windows, n_windows, pooling, self.info.normalizes)
    }

    /// Embeddings of a batch's windows, and for each of them the sums of its spans' states; none where there are no spans.
    fn encode_batch(
        &self,
        windows: &[Vec<u32>],
        spans: &[Vec<PassageSpan>],
        batch: &[usize],
    ) -> Result<(Array2<f32>, Vec<Array2<f32>>), EncoderError> {
        let own = batch.iter().map(|&i| windows[i].as_slice());
        let mut sums = Vec::new();
        match &self.network {
            Network::Transformer { executor, tail } => {
                let packed = PackedBatch::new(own);
                let hidden = executor.hidden_states(&packed)?;
                let modes = &self.info.pooling;
                let mut pooled = Array2::zeros((batch.len(), modes.len() * hidden.ncols()));
                for ((range, row), &window_idx) in packed.windows().zip(pooled.rows_mut()).zip(batch) {
                    let states = hidden.slice(ndarray::s![range, ..]);
                    pool_window(states, modes, row);
                    if let Some(spans) = spans.get(window_idx) {
                        sums.push(span_sums(states, spans));
                    }
                }
                Ok((apply_tail(pooled, tail), sums))
            }
            Network::Static(words) => {
                for &window_idx in batch.iter().filter(|window_idx| **window_idx < spans.len()) {
                    let spans = &spans[window_idx];
                    let tokens = |span: &PassageSpan| span.tokens.clone();
                    let mut own = words.embed(spans.iter().map(|span| &windows[window_idx][tokens(span)]))?;
                    for (mut sum, span) in own.rows_mut().into_iter().zip(spans) {
                        sum *= span.tokens.len() as f32;
                    }
                    sums.push(own);
                }
                Ok((words.embed(own)?, sums))
            }
        }
    }

    /// The steps after pooling.
    fn tail(&self) -> &[TailStep] {
        match &self.network {
            Network::Transformer { tail, .. } => tail,
            Network::Static(_) => &[TailStep::Normalize],
        }
    }
}
