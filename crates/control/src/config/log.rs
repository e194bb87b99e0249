//! How the log is configured: which requests, what they look like, how much of it is kept.

use std::fmt;
use std::str::FromStr;

/// Which requests leave a line in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Each.
    #[default]
    Requests,
    /// Those with a retry, an error or an answer of our own.
    Problems,
    /// None.
    Off,
}

impl LogLevel {
    /// As written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Problems => "problems",
            Self::Off => "off",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Requests, Self::Problems, Self::Off]
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(text.trim()))
            .ok_or_else(|| "`log` must be \"requests\", \"problems\" or \"off\"".to_owned())
    }
}

/// What lines of the log look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// For programs: one JSON object a line.
    Json,
}

impl LogFormat {
    /// As written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Json => "json",
        }
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Human, Self::Json]
            .into_iter()
            .find(|format| format.as_str().eq_ignore_ascii_case(text.trim()))
            .ok_or_else(|| "`log_format` must be \"human\" or \"json\"".to_owned())
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// What its lines look like.
    pub format: LogFormat,
    /// Bytes of the file of a detached proxy, after which another one is begun; 0 for no end.
    pub bytes: u64,
    /// How many files of before are kept.
    pub files: u32,
}
