//! From a name to a loaded encoder: find the files, load them, remember what they were.

use serde::{Deserialize, Serialize};

use super::source::{EncoderFiles, EncoderId, SourceOptions, locate};
use super::{Depth, Encoder, EncoderError, EncoderSettings, Precision, PromptChoice};
use crate::progress::{Progress, Silent};

/// What a saved model needs to find and recognise its encoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderReference {
    /// Hub id, or the folder as it was named.
    pub id: String,
    /// Commit on the hub, where it is known.
    pub revision: Option<String>,
    /// SHA-256 of the weights, 64 hexadecimal digits.
    pub weights_sha256: String,
    pub hidden_size: usize,
    pub precision: Precision,
    /// What stands before every text.
    pub prompt: String,
    #[serde(default, skip_serializing_if = "Depth::is_full")]
    pub depth: Depth,
}

impl Encoder {
    /// Loads an encoder by folder, alias or hub id, with the usual settings. Only places on this machine are searched; to use the
    /// hub or other places see [`Encoder::open_with`].
    ///
    /// # Errors
    /// Nothing of that name, or files that cannot be used.
    ///
    /// # Example
    /// ```no_run
    /// let encoder = topicwire::encoder::Encoder::open("models/all-MiniLM-L6-v2")?;
    /// assert_eq!(encoder.encode(&["Grain ships left the port."])?.dim(), (1, 384));
    /// # Ok::<(), topicwire::encoder::EncoderError>(())
    /// ```
    pub fn open(id: &str) -> Result<Self, EncoderError> {
        let mut options = SourceOptions::from_vars(|_| None, None);
        options.offline = true;
        Self::open_with(&id.parse()?, &options, &EncoderSettings::default(), &Silent)
    }

    /// Loads an encoder by folder, alias or hub id.
    ///
    /// # Errors
    /// As [`locate`] and [`Encoder::from_folder`].
    pub fn open_with(
        id: &EncoderId,
        options: &SourceOptions,
        settings: &EncoderSettings,
        progress: &dyn Progress,
    ) -> Result<Self, EncoderError> {
        Self::from_files(&locate(id, options, progress)?, settings)
    }

    /// Loads an encoder whose files are known. The list's prefix stands before every text unless the settings name a prompt or leave the
    /// network out.
    ///
    /// # Errors
    /// As [`Encoder::from_folder`].
    pub fn from_files(files: &EncoderFiles, settings: &EncoderSettings) -> Result<Self, EncoderError> {
        let weights_sha256 = files.weights_sha256()?.to_owned();
        let prefix = files.entry.as_ref().map(|entry| entry.prefix.as_str()).unwrap_or_default();
        let mut settings = settings.clone();
        if settings.depth.is_full() && settings.prompt == PromptChoice::Default && !prefix.is_empty() {
            settings.prompt = PromptChoice::Text(prefix.to_owned());
        }
        let mut encoder = Self::from_folder(&files.folder, &settings)?;
        encoder.reference = Some(EncoderReference {
            id: files.id.clone(),
            revision: files.revision.clone(),
            weights_sha256,
            hidden_size: encoder.hidden_size(),
            precision: settings.precision,
            prompt: encoder.tokenizer().prompt().to_owned(),
            depth: settings.depth,
        });
        Ok(encoder)
    }

    /// Where this encoder came from; `None` when it was made by [`Encoder::from_folder`].
    pub fn reference(&self) -> Option<&EncoderReference> {
        self.reference.as_ref()
    }
}
