//! From an error of the layers below to a sentence that says what to do.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError, OtherError};
use tonic::Status;

use super::ConnectError;
use super::files::date;

/// One sentence, without a full stop, about why a call or a connection to the coordinator failed and what to do about
/// it. Takes what [`super::connect`] or a call over its channel returned; of any other error it gives the words.
#[must_use]
pub fn explain(error: &(dyn Error + 'static)) -> String {
    // The last one: the first may be the channel's, which says nothing yet.
    let connect_error = causes(error)
        .filter_map(|cause| cause.downcast_ref())
        .last();
    if let Some(connect_error) = connect_error {
        return explain_connect(connect_error);
    }
    match error.downcast_ref::<Status>() {
        // An answer of the coordinator: its message is the sentence.
        Some(status) if status.source().is_none() => status.message().to_owned(),
        Some(_) => format!(
            "the connection to the coordinator broke: {}",
            chain(error.source().unwrap_or(error))
        ),
        None => chain(error),
    }
}

fn explain_connect(error: &ConnectError) -> String {
    match error {
        ConnectError::OutOfDate {
            path,
            not_before,
            not_after,
        } => format!(
            "the certificate {path} is valid from {} to {} only: have a new one issued, or set this host's clock",
            date(*not_before),
            date(*not_after)
        ),
        ConnectError::Tcp { address, source } => match source.kind() {
            io::ErrorKind::ConnectionRefused => format!(
                "nothing listens at {address}: check that the coordinator is running and that this is its address"
            ),
            io::ErrorKind::TimedOut => format!(
                "no answer from {address}: check the address, and that no firewall is in between"
            ),
            _ => chain(error),
        },
        ConnectError::Handshake {
            address,
            certificate,
            ca,
            source,
        } => match tls_error(source) {
            Some(rustls::Error::AlertReceived(alert)) => format!(
                "the coordinator at {address} refused the certificate {certificate}: {}",
                refused_because(*alert)
            ),
            Some(rustls::Error::InvalidCertificate(reason)) => {
                explain_server_certificate(&address.to_string(), ca.as_str(), reason)
            }
            Some(rustls::Error::InvalidMessage(_)) => {
                format!("what answers at {address} does not speak TLS: check the address")
            }
            Some(_) => chain(error),
            None if source.kind() == io::ErrorKind::TimedOut => format!(
                "{address} takes connections but does not answer: the coordinator hangs or is overloaded, or it is something else"
            ),
            None => format!(
                "{address} closed the connection during the handshake: the coordinator has too many connections, or it is something else"
            ),
        },
        ConnectError::Tls(files) => chain(files),
        ConnectError::Address(_)
        | ConnectError::Resolve { .. }
        | ConnectError::Interrupted
        | ConnectError::Channel(_) => chain(error),
    }
}

fn explain_server_certificate(address: &str, ca: &str, reason: &CertificateError) -> String {
    match reason {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "the certificate of {address} is not signed by the CA in {ca}: this is another cluster, or the CA file is of another"
        ),
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => format!(
            "the certificate of the coordinator at {address} is not valid now: renew it, or set this host's clock"
        ),
        CertificateError::Other(OtherError(unwelcome)) => format!(
            "{address} is not the coordinator of this cluster: {}",
            chain(unwelcome.as_ref())
        ),
        other => format!("the certificate of {address} cannot be used: {other}"),
    }
}

fn refused_because(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateExpired => {
            "it is not valid now by the coordinator's clock; have a new one issued, or compare the clocks"
        }
        AlertDescription::CertificateRevoked => "it was revoked",
        AlertDescription::UnknownCA => {
            "it was not issued by the CA that the coordinator trusts, or the coordinator's revocation list is out of date"
        }
        // The issuer's name fits and its key does not.
        AlertDescription::DecryptError => {
            "it was not issued by the CA that the coordinator trusts; this is another cluster of the same name"
        }
        AlertDescription::CertificateUnknown => {
            "it does not name an agent or operator of the coordinator's cluster"
        }
        AlertDescription::UnsupportedCertificate => "it is not for clients",
        AlertDescription::CertificateRequired => "none was shown",
        _ => "the coordinator's log says why",
    }
}

/// The TLS library's error inside an I/O error.
pub(super) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// An error and what is behind it, in one line.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    for cause in causes(error) {
        let text = cause.to_string();
        // Some libraries repeat the cause's text in their own.
        if !words.last().is_some_and(|last| last.ends_with(&text)) {
            words.push(text);
        }
    }
    words.join(": ")
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // An I/O error and a certificate error hide what they carry: their `source` begins one further down.
        if let Some(carried) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            return Some(carried as &(dyn Error + 'static));
        }
        if let Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))) =
            error.downcast_ref()
        {
            return Some(other.0.as_ref());
        }
        error.source()
    })
}
