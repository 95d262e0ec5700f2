//! A trained classifier on disk: a folder of JSON and safetensors, so that loading it runs no code.
//!
//! | file | holds |
//! |---|---|
//! | `manifest.json` | everything but the heads' numbers; see [`manifest`] |
//! | `head.safetensors` | `weights` `[n_labels, hidden_size]`, `intercepts` `[n_labels]` |
//! | `passages.safetensors`, `metadata.safetensors` | the same of those views, where there are any |
//! | `descriptions.safetensors` | what stands for each label, where that is a view |
//! | `neighbours.safetensors` | training articles to compare others with |
//! | `words.safetensors` | vocabulary and head of the words view, where there is one; see [`words_file`] |
//! | `SHA256SUMS` | the hashes of these, as `sha256sum -c` reads them |
//! | `README.md` | a model card for people; never read back |

mod card;
mod dense_files;
pub mod manifest;
mod store;
pub mod words_file;

pub use store::{BundleError, OpenOptions, Saved, read_manifest, verify};
