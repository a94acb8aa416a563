//! Names of things: validated once, at the edge, and typed from there on.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The longest name, in characters; that of a DNS label.
pub const NAME_CHARS_MAX: usize = 63;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("the {kind} name is empty")]
    Empty {
        /// What kind of name was read.
        kind: &'static str,
    },
    /// Longer than [`NAME_CHARS_MAX`].
    #[error("the {kind} name is {chars} characters long, at most {NAME_CHARS_MAX} are allowed")]
    TooLong {
        /// What kind of name was read.
        kind: &'static str,
        /// How long it is.
        chars: usize,
    },
    /// A character that names do not have.
    #[error(
        "the {kind} name {name:?} has characters other than a-z, 0-9, '-' and '.', or starts or ends with one of the last two"
    )]
    Characters {
        /// What kind of name was read.
        kind: &'static str,
        /// The text.
        name: String,
    },
    /// An instance without its node.
    #[error("the instance name {name:?} is not of the form <node>/<instance>")]
    NoNode {
        /// The text.
        name: String,
    },
}

/// Checks that `text` is a name: 1 to 63 characters out of `a-z`, `0-9`, `-` and `.`, the first and
/// the last a letter or digit.
///
/// # Errors
/// Says what is wrong with it, calling it a name of the given kind.
pub fn check(kind: &'static str, text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { kind });
    }
    let chars = text.chars().count();
    if chars > NAME_CHARS_MAX {
        return Err(NameError::TooLong { kind, chars });
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let inner = text.chars().all(|c| plain(c) || c == '-' || c == '.');
    if !inner || !text.starts_with(plain) || !text.ends_with(plain) {
        return Err(NameError::Characters {
            kind,
            name: text.to_owned(),
        });
    }
    Ok(())
}

// Cheap to clone: whoever keeps many things in order keeps their names many times.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                check($kind, &text)?;
                Ok(Self(text.into()))
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.as_str().to_owned()
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// A storage host.
    NodeName,
    "node"
);
name!(
    /// A storage process, among those of its node.
    InstanceName,
    "instance"
);
name!(
    /// A kind of storage process.
    ComponentName,
    "component"
);
name!(
    /// A plan.
    PlanName,
    "plan"
);
name!(
    /// Who says which versions of an external component are in use.
    SourceName,
    "source"
);

name!(
    /// A cluster: the fleet that one certificate authority vouches for.
    ClusterName,
    "cluster"
);
name!(
    /// A person, or their automation.
    OperatorName,
    "operator"
);
name!(
    /// A coordinator, among those of its cluster.
    CoordinatorName,
    "coordinator"
);

/// A storage process, among those of the fleet: `<node>/<instance>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId {
    /// The node it is on.
    pub node: NodeName,
    /// Its name there.
    pub name: InstanceName,
}

impl TryFrom<String> for InstanceId {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        match text.split_once('/') {
            Some((node, name)) => Ok(Self {
                node: node.parse()?,
                name: name.parse()?,
            }),
            None => Err(NameError::NoNode { name: text }),
        }
    }
}

impl FromStr for InstanceId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::try_from(text.to_owned())
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.node, self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lower_case_letters_digits_dashes_and_dots() {
        for good in ["a", "data-service", "n1.rack-2.example", "0"] {
            assert!(good.parse::<NodeName>().is_ok(), "{good}");
        }
        let long = "a".repeat(NAME_CHARS_MAX + 1);
        for bad in [
            "", "A", "a/b", "-a", "a-", ".a", "a.", "a b", "ä", "..", &long,
        ] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_instance_is_named_with_its_node() {
        let id: InstanceId = "n1/etcd".parse().unwrap();
        assert_eq!(id.to_string(), "n1/etcd");
        for bad in ["n1", "n1/", "/etcd", "n1/a/b"] {
            assert!(bad.parse::<InstanceId>().is_err(), "{bad}");
        }
    }
}
