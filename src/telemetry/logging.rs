//! The log of the process on standard error, through `tracing`. Every line passes one last gate: deceptive characters
//! are spelled out and what looks like a secret is masked, whoever wrote it.

use std::{fmt, io, str::FromStr, time::Duration};

use tracing::{Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::filter_fn, fmt::MakeWriter, layer::SubscriberExt,
    util::SubscriberInitExt,
};

pub use super::log_writer::LogFlush;
use super::{
    access_log::{self, Destination},
    escape::safe_line,
    log_writer,
};

/// The environment variable with the filter, as `debug` or `info,keygate::control=trace`.
pub const FILTER_VARIABLE: &str = "KEYGATE_LOG";

/// How long the last lines may take to be written when a command ends.
pub const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// The form of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = LoggingError;

    fn from_str(name: &str) -> Result<Self, LoggingError> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(LoggingError::Format(name.to_owned())),
        }
    }
}

/// Why the log could not be set up.
#[derive(Debug, PartialEq, Eq)]
pub enum LoggingError {
    /// The filter is none; with what is wrong.
    Filter(String),
    /// No such format.
    Format(String),
    /// It was set up before.
    Twice,
    /// Its thread cannot be started, or standard error is closed; with the error.
    Start(String),
}

impl fmt::Display for LoggingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(problem) => {
                write!(
                    formatter,
                    "{FILTER_VARIABLE} is no log filter ({problem}); use for example info or debug"
                )
            }
            Self::Format(name) => write!(formatter, "log format {name:?} is neither text nor json"),
            Self::Start(error) => write!(formatter, "the log cannot be started: {error}"),
            Self::Twice => formatter.write_str("logging was set up before"),
        }
    }
}

impl std::error::Error for LoggingError {}

/// Sets the log up for the process: standard error, levels as `filter` says (the value of [`FILTER_VARIABLE`]),
/// `info` without one. Lines are written by a thread of their own: whoever logs never waits for who reads.
///
/// # Errors
/// See [`LoggingError`].
pub fn init(format: LogFormat, filter: Option<&str>) -> Result<LogFlush, LoggingError> {
    let started = access_log::open(&Destination::Stderr).and_then(log_writer::start);
    let (lines, flush) = started.map_err(|error| LoggingError::Start(error.to_string()))?;
    subscriber(format, filter, move || lines.clone())?.try_init().map_err(|_| LoggingError::Twice)?;
    Ok(flush)
}

/// What [`init`] sets up, writing to `out`.
///
/// # Errors
/// [`LoggingError::Filter`].
pub fn subscriber<W>(
    format: LogFormat,
    filter: Option<&str>,
    out: W,
) -> Result<impl Subscriber + Send + Sync, LoggingError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(filter.unwrap_or_default())
        .map_err(|error| LoggingError::Filter(error.to_string()))?;
    // Crates we use log whole headers below info, and warn of every odd frame that a client sends.
    let ours = filter_fn(|event| *event.level() <= Level::ERROR || is_ours(event.target()));
    let out = SafeLines(out);
    let lines = match format {
        LogFormat::Text => tracing_subscriber::fmt::layer().with_ansi(false).with_writer(out).boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer().json().with_writer(out).boxed(),
    };
    Ok(Registry::default().with(lines.with_filter(ours)).with(filter))
}

fn is_ours(target: &str) -> bool {
    target == "keygate" || target.starts_with("keygate::")
}

/// Makes writers whose lines are safe.
struct SafeLines<W>(W);

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for SafeLines<W> {
    type Writer = SafeWriter<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        SafeWriter(self.0.make_writer())
    }
}

/// Writes each event, which comes as one piece, as one safe line.
struct SafeWriter<W>(W);

impl<W: io::Write> io::Write for SafeWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(&safe_line(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    const SECRET: &str = "acme_live_7Qd3xK9mPq2Rs8Tv5Wy1Zb4Nc6Mf0Gh3Jk7LpQrStUvW";

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let out = captured.clone();
        let subscriber = subscriber(format, Some(filter), move || out.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_secret_reaches_no_line_at_any_level() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let out = logged(format, "trace", || {
                tracing::trace!(header = %format!("Authorization: Bearer {SECRET}"), "got {SECRET}");
                tracing::trace!(target: "h2::codec", "HEADERS authorization: opaque-secret");
                tracing::warn!(target: "h2::proto::ping_pong", "recv PING ack that we never sent");
            });
            assert_eq!(out.lines().count(), 1, "{out}");
            assert!(!out.contains("K9mPq2") && !out.contains("opaque-secret"), "{out}");
        }
    }

    #[test]
    fn an_event_is_one_line_without_control_characters() {
        let hostile = "a\r\nINFO forged\u{1b}[2J\u{202e}";
        for format in [LogFormat::Text, LogFormat::Json] {
            let out = logged(format, "info", || tracing::info!(value = hostile, "message {hostile}"));
            assert_eq!(out.lines().count(), 1, "{out}");
            assert!(!out.trim_end().chars().any(super::super::escape::is_deceptive), "{out}");
        }
        let out = logged(LogFormat::Json, "info", || tracing::info!("{hostile}"));
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert!(value["fields"]["message"].as_str().unwrap().starts_with("a\r\nINFO"));
    }

    #[test]
    fn a_wrong_filter_is_an_error_with_a_remedy() {
        let error = subscriber(LogFormat::Text, Some("keygate=loud"), io::sink).err().unwrap();
        assert!(error.to_string().starts_with("KEYGATE_LOG is no log filter"));
    }

    #[test]
    fn info_is_the_default() {
        let out = logged(LogFormat::Text, "", || {
            tracing::info!("shown");
            tracing::debug!("hidden");
        });
        assert!(out.contains("shown") && !out.contains("hidden"));
    }
}
