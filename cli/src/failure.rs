//! What the program says when it could not do what was asked: one sentence, what to do next, and the status.

use std::error::Error;
use std::io;

use evenkeel_common::config::ConfigError;
use evenkeel_common::problem::ErrorCode;
use evenkeel_common::tls::{ConnectError, explain};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::exit::Exit;

/// Why a command failed, as its user is told.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// What was wrong; one sentence without a full stop.
    pub(crate) sentence: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
    /// The coordinator's own code, if it was its refusal.
    pub(crate) code: Option<ErrorCode>,
    /// Whether the same call may succeed a little later.
    pub(crate) passing: bool,
    /// Whether the call may have taken effect all the same.
    in_doubt: bool,
}

impl Failure {
    /// A failure that trying again does not mend.
    pub(crate) fn new(exit: Exit, sentence: impl Into<String>) -> Self {
        Self {
            exit,
            sentence: sentence.into(),
            hint: None,
            code: None,
            passing: false,
            in_doubt: false,
        }
    }

    /// The same, and what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, and what to do about it where nothing has been said of that.
    pub(crate) fn hint_if_none(self, hint: impl Into<String>) -> Self {
        match self.hint {
            Some(_) => self,
            None => self.hint(hint),
        }
    }

    /// An error of this side, with all that is behind it.
    pub(crate) fn local(error: &(dyn Error + 'static)) -> Self {
        Self::new(Exit::Other, explain(error))
    }

    /// Something that has to do with the connection and may pass.
    pub(crate) fn connection_lost(sentence: impl Into<String>) -> Self {
        Self {
            passing: true,
            in_doubt: true,
            ..Self::new(Exit::Unreachable, sentence).hint(ErrorCode::Unavailable.remedy())
        }
    }

    /// No answer in time.
    pub(crate) fn timed_out(what: &str, seconds: f64) -> Self {
        Self {
            in_doubt: true,
            ..Self::new(
                Exit::Unreachable,
                format!("{what} took longer than {seconds} s"),
            )
            .hint("look at the coordinator's log, or allow more time with --timeout")
        }
    }

    /// The same, for a call that changes something: where nobody knows whether it took effect, says how to find out.
    pub(crate) fn of_change(self, request_id: Uuid) -> Self {
        if !self.in_doubt {
            return self;
        }
        self.hint(format!(
            "it may have taken effect; the same command with `--request-id {request_id}` asks again and does nothing twice"
        ))
    }
}

impl From<&ConnectError> for Failure {
    fn from(error: &ConnectError) -> Self {
        let (exit, passing) = match error {
            ConnectError::Address(_) => (Exit::Usage, false),
            ConnectError::Tls(_) | ConnectError::OutOfDate { .. } => (Exit::Identity, false),
            ConnectError::Handshake { source, .. } => handshake(source),
            ConnectError::Tcp { .. } => (Exit::Unreachable, true),
            ConnectError::Resolve { .. } | ConnectError::Interrupted => (Exit::Unreachable, false),
            ConnectError::Channel(source) => match find::<ConnectError>(source) {
                Some(inner) => return Self::from(inner),
                None => (Exit::Unreachable, true),
            },
        };
        let hint = match exit {
            Exit::Usage => "give the coordinator's address as host:port",
            Exit::Identity => {
                "the table [tls] of the configuration names the certificate, its key and the cluster's CA"
            }
            _ => {
                "the address is `coordinator` in the configuration; --coordinator takes another one"
            }
        };
        Self {
            passing,
            ..Self::new(exit, explain(error)).hint(hint)
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::from(&error)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        if let Some(error) = find::<ConnectError>(&status) {
            return Self::from(error);
        }
        if status.source().is_some() {
            // Where a library points to its manual, the reason has been said.
            let sentence = explain(&status);
            let reason = sentence.split(": https://").next();
            return Self::connection_lost(reason.unwrap_or_default());
        }
        // Proxies and gRPC libraries refuse with gRPC's codes alone.
        let code = ErrorCode::of(&status).or_else(|| {
            let codes = ErrorCode::ALL.iter().copied();
            codes.into_iter().find(|code| code.grpc() == status.code())
        });
        let sentence = status.message().trim_end_matches('.');
        match code {
            Some(code) => Self {
                code: Some(code),
                passing: code == ErrorCode::Unavailable,
                in_doubt: matches!(code, ErrorCode::Unavailable | ErrorCode::Internal),
                ..Self::new(Exit::of(code), sentence).hint(code.remedy())
            },
            None if status.code() == Code::Unimplemented => {
                Self::new(Exit::Other, "the coordinator does not know this call")
                    .hint("this program is newer than the coordinator, or something else answers at its address")
            }
            None => Self {
                in_doubt: true,
                ..Self::new(
                    Exit::Unreachable,
                    format!("the call ended without an answer: {sentence}"),
                )
                .hint(ErrorCode::Unavailable.remedy())
            },
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self {
            exit: Exit::Usage,
            ..Self::local(&error)
        }
    }
}

/// The first `E` among an error and its sources.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|e| e.downcast_ref())
}

/// What a failed handshake means: somebody is not who they should be, or there is no TLS, or it merely broke.
fn handshake(error: &io::Error) -> (Exit, bool) {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    match tls {
        Some(rustls::Error::AlertReceived(_) | rustls::Error::InvalidCertificate(_)) => {
            (Exit::Identity, false)
        }
        Some(_) => (Exit::Unreachable, false),
        None => (Exit::Unreachable, true),
    }
}
