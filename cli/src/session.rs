//! What a command works with: the connection and the output.

use crate::args::Globals;
use crate::client::Client;
use crate::config;
use crate::failure::Failure;
use crate::output::Output;

/// A command's surroundings.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) output: Output,
}

impl Session {
    /// Reads the configuration and connects.
    pub(crate) async fn begin(globals: Globals) -> Result<Self, Failure> {
        let mut settings = config::read(globals.config.as_deref())?;
        if let Some(address) = globals.coordinator {
            settings.coordinator = address;
        }
        Ok(Self {
            client: Client::connect(&settings, globals.timeout).await?,
            output: Output::new(globals.output),
        })
    }
}
