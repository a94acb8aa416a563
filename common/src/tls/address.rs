//! Where a coordinator is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};

/// The address of a coordinator: `host:port`, the host a name, an IPv4 address or an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    host: String,
    port: u16,
    server_name: ServerName<'static>,
    uri: Uri,
}

/// Why a text is no address of a coordinator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address:?} is not an address of the form host:port, like \"coordinator.example:7400\" or \"[::1]:7400\""
)]
pub struct InvalidAddress {
    address: String,
}

impl Address {
    /// The name or IP address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host, if it is an IP address.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The port, never 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn server_name(&self) -> ServerName<'static> {
        self.server_name.clone()
    }

    /// The address for tonic; not `https`, or tonic would want to do TLS itself.
    pub(super) fn uri(&self) -> Uri {
        self.uri.clone()
    }
}

/// None for anything but `host:port`; a URI's authority may also have a user in it.
fn parse(address: &str) -> Option<Address> {
    let authority: Authority = address.parse().ok()?;
    let port = authority.port_u16().filter(|&port| port != 0)?;
    if address.contains('@') {
        return None;
    }
    let host = authority.host();
    // An IPv6 address stands in brackets here, and nowhere else.
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
        .to_owned();
    Some(Address {
        server_name: ServerName::try_from(host.clone()).ok()?,
        host,
        port,
        uri: Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(authority)
            .path_and_query(PathAndQuery::from_static("/"))
            .build()
            .ok()?,
    })
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(address: &str) -> Result<Self, InvalidAddress> {
        parse(address).ok_or_else(|| InvalidAddress {
            address: address.to_owned(),
        })
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;

    fn try_from(address: String) -> Result<Self, InvalidAddress> {
        parse(&address).ok_or(InvalidAddress { address })
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_both_kinds_of_ip_address_read_back_as_written() {
        for text in [
            "localhost:7400",
            "c1.example:1",
            "127.0.0.1:65535",
            "[::1]:7400",
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(address.uri().to_string(), format!("http://{text}/"));
        }
        let address: Address = "[::1]:7400".parse().unwrap();
        assert_eq!((address.host(), address.port()), ("::1", 7400));
        assert_eq!(address.ip(), Some(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "localhost",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            ":7400",
            "a b:7400",
            "u@h:7400",
            "http://h:7400",
            "h:7400/",
            "::1:7400",
            "[::1",
            "[::1]7400",
            "h_:74 00",
            "-:7400",
            "a..b:7400",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
