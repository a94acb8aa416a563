//! Where a probe goes that has a URL.

use http::Uri;

use super::tls::ProbeTls;

/// A URL, what to connect to for it, and the TLS under it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) url: Uri,
    /// `host:port` to connect to.
    pub(super) address: String,
    /// Set for `https`, and only then.
    pub(super) tls: Option<ProbeTls>,
}

impl Target {
    pub(super) fn new(url: &str, tls: Option<ProbeTls>) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{url:?} is not a URL like \"http://127.0.0.1:2379/health\" (http or https, no user)"
            )
        };
        let parsed: Uri = url.parse().map_err(|_| wrong())?;
        let authority = parsed
            .authority()
            .filter(|a| !a.as_str().contains('@'))
            .ok_or_else(wrong)?;
        let port = match (parsed.scheme_str(), &tls) {
            (Some("http"), None) => 80,
            (Some("https"), Some(_)) => 443,
            (Some("http"), Some(_)) => {
                return Err(format!("{url:?} is without TLS, and has no `ca`"));
            }
            (Some("https"), None) => {
                return Err(format!(
                    "{url:?} needs a `ca`: the file of the authorities that may vouch for it"
                ));
            }
            (Some(_) | None, _) => return Err(wrong()),
        };
        let address = match authority.port_u16() {
            Some(_) => authority.to_string(),
            None => format!("{authority}:{port}"),
        };
        Ok(Self {
            url: parsed,
            address,
            tls,
        })
    }

    /// Whom the URL names.
    pub(super) fn host(&self) -> &str {
        self.url.host().unwrap_or_default()
    }

    /// The URL's path and query.
    pub(super) fn path(&self) -> &str {
        let path = self.url.path_and_query();
        path.map_or("/", http::uri::PathAndQuery::as_str)
    }
}
