//! Logs: to standard error, filtered by `EVENKEEL_LOG`, as text or JSON by `EVENKEEL_LOG_FORMAT`.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts logging for this process. The filter is `EVENKEEL_LOG` in the syntax of tracing's `EnvFilter`
/// (`info` where it is not set or cannot be read); `EVENKEEL_LOG_FORMAT=json` gives a JSON object a line.
pub fn init() {
    let filter = EnvFilter::try_from_env("EVENKEEL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // A second call keeps the first one's settings.
    let _ = match std::env::var("EVENKEEL_LOG_FORMAT").as_deref() {
        Ok("json") => builder.json().try_init(),
        _ => builder.try_init(),
    };
}
