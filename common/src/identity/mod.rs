//! Who is speaking: the one URI in a certificate that names an agent, an operator or a coordinator of a cluster.
//!
//! A URI reads `spiffe://<cluster>/agent/<node>`, `spiffe://<cluster>/operator/<name>/<role>` or
//! `spiffe://<cluster>/coordinator/<name>`. What an identity may do is decided elsewhere; that its certificate was
//! signed by the cluster's CA is checked in [`crate::tls`].

mod certificate;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::{ClusterName, CoordinatorName, NameError, NodeName, OperatorName};

pub use certificate::{CertificateFacts, CertificateFactsError, Usage};

/// Longest identity URI: the scheme, three names and the words between them.
const URI_CHARS_MAX: usize = 256;

/// What an operator may do; each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks at everything, changes nothing.
    Viewer,
    /// Also runs plans.
    Operator,
    /// Also changes who may do what, and what is trusted.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The word for the role in a URI.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(InvalidIdentity::Role)
    }
}

/// The subject of a call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// The agent of one node.
    Agent {
        /// The cluster whose CA vouches for it.
        cluster: ClusterName,
        /// The node it runs on.
        node: NodeName,
    },
    /// A person or their automation.
    Operator {
        /// The cluster whose CA vouches for it.
        cluster: ClusterName,
        /// Who it is.
        name: OperatorName,
        /// What they may do.
        role: Role,
    },
    /// A coordinator.
    Coordinator {
        /// The cluster whose CA vouches for it.
        cluster: ClusterName,
        /// Which of the cluster's coordinators.
        name: CoordinatorName,
    },
}

impl Identity {
    /// The cluster that the identity belongs to.
    #[must_use]
    pub const fn cluster(&self) -> &ClusterName {
        match self {
            Self::Agent { cluster, .. }
            | Self::Operator { cluster, .. }
            | Self::Coordinator { cluster, .. } => cluster,
        }
    }

    /// The identity that a DER-encoded certificate carries.
    ///
    /// Says nothing about who signed it or whether it has expired.
    ///
    /// # Errors
    /// When the certificate cannot be read, or has not exactly one URI SAN, or that URI is no identity.
    pub fn from_der(certificate: &[u8]) -> Result<Self, CertificateFactsError> {
        CertificateFacts::from_der(certificate).map(|facts| facts.identity)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent { cluster, node } => write!(formatter, "spiffe://{cluster}/agent/{node}"),
            Self::Operator {
                cluster,
                name,
                role,
            } => write!(formatter, "spiffe://{cluster}/operator/{name}/{role}"),
            Self::Coordinator { cluster, name } => {
                write!(formatter, "spiffe://{cluster}/coordinator/{name}")
            }
        }
    }
}

/// Why a URI is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdentity {
    /// Longer than any identity can be.
    #[error("an identity is at most {URI_CHARS_MAX} characters long")]
    TooLong,
    /// Not a `spiffe://` URI.
    #[error("an identity begins with spiffe://")]
    Scheme,
    /// The path is none of the three that exist.
    #[error("an identity ends in /agent/NODE, /operator/NAME/ROLE or /coordinator/NAME")]
    Path,
    /// A cluster, node or person whose name is not allowed.
    #[error("a name in the identity is not allowed")]
    Name(#[from] NameError),
    /// A role that does not exist.
    #[error("a role is viewer, operator or admin")]
    Role,
}

impl FromStr for Identity {
    type Err = InvalidIdentity;

    fn from_str(uri: &str) -> Result<Self, InvalidIdentity> {
        if uri.len() > URI_CHARS_MAX {
            return Err(InvalidIdentity::TooLong);
        }
        let rest = uri
            .strip_prefix("spiffe://")
            .ok_or(InvalidIdentity::Scheme)?;
        let mut segments = rest.split('/');
        let cluster = segments.next().unwrap_or_default().parse()?;
        match (
            segments.next(),
            segments.next(),
            segments.next(),
            segments.next(),
        ) {
            (Some("agent"), Some(node), None, None) => Ok(Self::Agent {
                cluster,
                node: node.parse()?,
            }),
            (Some("operator"), Some(operator), Some(role), None) => Ok(Self::Operator {
                cluster,
                name: operator.parse()?,
                role: role.parse()?,
            }),
            (Some("coordinator"), Some(coordinator), None, None) => Ok(Self::Coordinator {
                cluster,
                name: coordinator.parse()?,
            }),
            _ => Err(InvalidIdentity::Path),
        }
    }
}

#[cfg(test)]
mod tests;
