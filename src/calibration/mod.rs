//! Logits to probabilities that mean frequencies, and probabilities to labels.
