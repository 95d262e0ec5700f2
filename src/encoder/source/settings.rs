//! Where encoders may be looked for: plain data, filled in by whoever reads the environment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Registry;

/// The hub used where no other is named.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Folder of encoders below the program's data folder, and beside the program.
const MODELS: &str = "models";

/// A secret that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Wraps a secret; blanks around it are dropped, an empty one is none.
    pub fn new(secret: &str) -> Option<Self> {
        let secret = secret.trim();
        (!secret.is_empty()).then(|| Self(secret.to_owned()))
    }

    #[cfg(feature = "hub")]
    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// How long to wait for the hub, and how often to ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// To find the address of the hub, and once more to be connected.
    pub connect: Duration,
    /// From a request to the head of its answer.
    pub response: Duration,
    /// Without a single byte in the middle of an answer.
    pub stall: Duration,
    /// How often a request is repeated after a refused connection, an answer 429 or 5xx, or a broken body.
    pub n_retries: u32,
    /// Before the first repetition; doubled for each further one.
    pub pause: Duration,
}

impl Default for Patience {
    /// A hub whose address or port does not answer is given up after at most 8 s, one that takes connections and stays
    /// silent after 10 s; a stalled body after 30 s, since content networks pause that long at times.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(4),
            response: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            n_retries: 2,
            pause: Duration::from_millis(500),
        }
    }
}

/// The hub, and the cache on disk that it shares with the Python libraries.
#[derive(Clone, Debug, PartialEq)]
pub struct HubSettings {
    /// Address without a trailing slash.
    pub endpoint: String,
    pub token: Option<Token>,
    /// File that `hf auth login` writes a token to; read where `token` is `None`.
    pub token_file: Option<PathBuf>,
    /// Folder of the `models--ORG--NAME` folders; `None` where no home folder is known.
    pub cache_dir: Option<PathBuf>,
    /// Address of the proxy before the hub, `http://host:port`. The hub client takes it from the same variables itself;
    /// here it tells whether the hub or the proxy must be reachable.
    pub proxy: Option<String>,
    /// Hosts that are reached without the proxy, separated by commas.
    pub no_proxy: String,
    /// Whether the environment forbids asking the hub.
    pub offline: bool,
    pub patience: Patience,
}

impl HubSettings {
    /// Settings from variables, by the rules of `huggingface_hub`.
    ///
    /// | variable | means |
    /// |---|---|
    /// | `HF_ENDPOINT` | another hub or a mirror |
    /// | `HF_TOKEN`, `HF_TOKEN_PATH` | the token, or a file that holds it; `HF_HUB_DISABLE_IMPLICIT_TOKEN` leaves the file unread |
    /// | `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE` | the cache |
    /// | `HF_HOME`, `XDG_CACHE_HOME` | folder above the cache: `HF_HOME/hub`, `XDG_CACHE_HOME/huggingface/hub` |
    /// | `HF_HUB_OFFLINE`, `TRANSFORMERS_OFFLINE` | `1`, `on`, `yes` or `true`: never ask the hub |
    /// | `ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` | a proxy, the first that is set; in capitals or not |
    ///
    /// An empty variable counts as not set.
    ///
    /// ```
    /// use topicwire::encoder::source::HubSettings;
    /// let settings = HubSettings::from_vars(|name| (name == "HF_HOME").then(|| "/srv/hf".to_owned()));
    /// assert_eq!(settings.cache_dir.as_deref(), Some(std::path::Path::new("/srv/hf/hub")));
    /// ```
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| var(name).filter(|value| !value.trim().is_empty());
        let flag = |name: &str| {
            get(name).is_some_and(|value| matches!(value.trim().to_lowercase().as_str(), "1" | "on" | "yes" | "true"))
        };
        let user_home = home(get);
        let path = |name: &str| get(name).map(|value| expand_home(&value, user_home.as_deref()));
        let hf_home = path("HF_HOME")
            .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
            .or_else(|| user_home.as_ref().map(|home| home.join(".cache").join("huggingface")));
        let endpoint = get("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let endpoint = endpoint.trim().trim_end_matches('/').to_owned();
        let either_case = |name: &str| get(name).or_else(|| get(&name.to_lowercase()));
        Self {
            token: get("HF_TOKEN").as_deref().and_then(Token::new),
            token_file: (!flag("HF_HUB_DISABLE_IMPLICIT_TOKEN"))
                .then(|| path("HF_TOKEN_PATH").or_else(|| hf_home.as_ref().map(|home| home.join("token"))))
                .flatten(),
            cache_dir: path("HF_HUB_CACHE")
                .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
                .or_else(|| hf_home.as_ref().map(|home| home.join("hub"))),
            proxy: ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"].into_iter().find_map(either_case),
            no_proxy: either_case("NO_PROXY").unwrap_or_default(),
            offline: flag("HF_HUB_OFFLINE") || flag("TRANSFORMERS_OFFLINE"),
            endpoint,
            patience: Patience::default(),
        }
    }
}

#[cfg(feature = "hub")]
impl HubSettings {
    /// Whether a host is reached without the proxy: by its name, or by `.domain`, `*.domain` or `*`.
    pub(super) fn bypasses_proxy(&self, host: &str) -> bool {
        let host = host.to_lowercase();
        let mut entries = self.no_proxy.split(',').map(|entry| entry.trim().to_lowercase());
        entries.any(|entry| match entry.strip_prefix('*').unwrap_or(&entry) {
            "" => !entry.is_empty(),
            suffix if suffix.starts_with('.') => host.ends_with(suffix) && host.len() > suffix.len(),
            name => host == name,
        })
    }
}

/// Where to look for an encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceOptions {
    /// The encoders known by name.
    pub registry: Registry,
    /// Folders that may hold a folder named after the encoder, the most wanted first.
    pub models_dirs: Vec<PathBuf>,
    /// Never ask the hub, whatever the environment says.
    pub offline: bool,
    pub hub: HubSettings,
}

impl SourceOptions {
    /// Options from variables, with the embedded list: `./models`, `models` beside the program, and
    /// `$XDG_DATA_HOME/topicwire/models` (`~/.local/share` where unset, `%LOCALAPPDATA%` on Windows).
    pub fn from_vars(var: impl Fn(&str) -> Option<String>, program: Option<&Path>) -> Self {
        let get = |name: &str| var(name).filter(|value| !value.trim().is_empty());
        let data_home = get("XDG_DATA_HOME")
            .map(PathBuf::from)
            .or_else(|| get("LOCALAPPDATA").map(PathBuf::from))
            .or_else(|| home(get).map(|home| home.join(".local").join("share")));
        let beside = program.and_then(Path::parent).map(|folder| folder.join(MODELS));
        let in_data_home = data_home.map(|data| data.join("topicwire").join(MODELS));
        Self {
            registry: Registry::embedded().clone(),
            models_dirs: [Some(PathBuf::from(MODELS)), beside, in_data_home].into_iter().flatten().collect(),
            offline: false,
            hub: HubSettings::from_vars(&var),
        }
    }

    /// Why the hub must not be asked, if so.
    pub(super) fn reason_offline(&self) -> Option<&'static str> {
        match (self.offline, self.hub.offline) {
            (true, _) => Some("not asked, since --offline was given"),
            (false, true) => Some("not asked, since HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set"),
            (false, false) => None,
        }
    }
}

fn home(get: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    get("HOME").or_else(|| get("USERPROFILE")).map(PathBuf::from)
}

/// `~/x` below the home folder; anything else as it is.
fn expand_home(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup<'a>(vars: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn the_cache_is_found_by_the_rules_of_the_python_library() {
        let cases: [(&[(&str, &str)], Option<&str>); 7] = [
            (&[], None),
            (&[("HOME", "/h")], Some("/h/.cache/huggingface/hub")),
            (&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")], Some("/x/huggingface/hub")),
            (&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/f")], Some("/h/f/hub")),
            (&[("HF_HOME", "/f"), ("HUGGINGFACE_HUB_CACHE", "/old")], Some("/old")),
            (&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/new")], Some("/new")),
            (&[("HF_HUB_CACHE", ""), ("HF_HOME", "/f")], Some("/f/hub")),
        ];
        for (vars, expected) in cases {
            let settings = HubSettings::from_vars(lookup(vars));
            assert_eq!(settings.cache_dir.as_deref(), expected.map(Path::new), "{vars:?}");
        }
    }

    #[test]
    fn endpoint_token_and_offline_are_read() {
        let plain = HubSettings::from_vars(lookup(&[("HOME", "/h")]));
        assert_eq!((plain.endpoint.as_str(), plain.offline, &plain.token), (DEFAULT_ENDPOINT, false, &None));
        assert_eq!(plain.token_file.as_deref(), Some(Path::new("/h/.cache/huggingface/token")));

        let vars = [
            ("HF_ENDPOINT", "https://mirror.example/"),
            ("HF_TOKEN", " hf_secret\n"),
            ("HF_HUB_OFFLINE", "True"),
            ("HF_TOKEN_PATH", "/t"),
        ];
        let set = HubSettings::from_vars(lookup(&vars));
        assert_eq!((set.endpoint.as_str(), set.offline), ("https://mirror.example", true));
        assert_eq!(set.token, Token::new("hf_secret"));
        assert_eq!(set.token_file.as_deref(), Some(Path::new("/t")));
        assert!(!format!("{set:?}").contains("secret"), "{set:?}");

        let unread = HubSettings::from_vars(lookup(&[("HOME", "/h"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]));
        assert_eq!(unread.token_file, None);
        for (value, offline) in [("0", false), ("", false), ("no", false), ("1", true), ("YES", true)] {
            assert_eq!(HubSettings::from_vars(lookup(&[("HF_HUB_OFFLINE", value)])).offline, offline, "{value}");
        }
    }

    #[test]
    fn the_proxy_is_the_first_that_is_set() {
        let proxies = [("HTTP_PROXY", "http://plain"), ("https_proxy", "http://tls"), ("all_proxy", "http://all")];
        for (n_set, expected) in
            [(0, None), (1, Some("http://plain")), (2, Some("http://tls")), (3, Some("http://all"))]
        {
            assert_eq!(HubSettings::from_vars(lookup(&proxies[..n_set])).proxy.as_deref(), expected);
        }
    }

    #[cfg(feature = "hub")]
    #[test]
    fn hosts_are_reached_without_the_proxy_by_name_or_domain() {
        let cases = [
            ("", "hub.lan", false),
            ("hub.lan", "hub.lan", true),
            ("HUB.lan, x", "hub.LAN", true),
            ("hub.lan", "a.hub.lan", false),
            (".lan", "hub.lan", true),
            ("*.lan", "hub.lan", true),
            (".lan", "lan", false),
            ("*", "hub.example", true),
        ];
        for (no_proxy, host, expected) in cases {
            let settings = HubSettings::from_vars(lookup(&[("NO_PROXY", no_proxy)]));
            assert_eq!(settings.bypasses_proxy(host), expected, "{host} with {no_proxy}");
        }
    }

    #[test]
    fn models_are_looked_for_here_beside_the_program_and_among_the_users_data() {
        let options = SourceOptions::from_vars(lookup(&[("HOME", "/h")]), Some(Path::new("/opt/tw/topicwire")));
        let expected = ["models", "/opt/tw/models", "/h/.local/share/topicwire/models"].map(PathBuf::from);
        assert_eq!(options.models_dirs, expected);
        let options = SourceOptions::from_vars(lookup(&[("XDG_DATA_HOME", "/d")]), None);
        assert_eq!(options.models_dirs, ["models", "/d/topicwire/models"].map(PathBuf::from));
    }
}
