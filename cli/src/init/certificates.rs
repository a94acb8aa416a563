//! What goes into each certificate that `evenkeel init` has issued.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use evenkeel_common::identity::{Identity, Role, Usage};
use evenkeel_common::names::{NodeName, OperatorName};
use evenkeel_common::pki::{Authority, IssueRequest, Validity};
use evenkeel_common::tls::Address;

/// Seconds of a day, leap seconds aside.
pub(super) const DAY_SECONDS: u64 = 24 * 60 * 60;

const YEAR: Duration = Duration::from_secs(365 * DAY_SECONDS);

/// A CA outlives the hardware; a new one means new certificates for everybody.
const AUTHORITY_YEARS: u32 = 10;

/// Certificates begin a little before they are made: the clocks of a fleet are never quite the same.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// The name of a cluster's first coordinator.
const COORDINATOR_NAME: &str = "c1";

pub(super) fn authority_validity(now: SystemTime) -> Validity {
    validity(now, YEAR * AUTHORITY_YEARS)
}

fn validity(now: SystemTime, length: Duration) -> Validity {
    Validity {
        not_before: now - CLOCK_SKEW,
        not_after: now + length,
    }
}

/// What all certificates of a run have in common.
pub(super) struct Issue<'a> {
    pub(super) authority: &'a Authority,
    pub(super) address: &'a Address,
    pub(super) now: SystemTime,
}

impl Issue<'_> {
    pub(super) fn coordinator(&self) -> anyhow::Result<IssueRequest> {
        let identity = Identity::Coordinator {
            cluster: self.authority.cluster().clone(),
            name: COORDINATOR_NAME.parse()?,
        };
        let mut request = self.request(identity, Usage::Server, YEAR);
        // Evenkeel's own programs do not look at these; generic gRPC clients do.
        request.dns_names.push("localhost".to_owned());
        request.ip_addresses.push(Ipv4Addr::LOCALHOST.into());
        request.ip_addresses.push(Ipv6Addr::LOCALHOST.into());
        match self.address.ip() {
            Some(ip) => push_new::<IpAddr>(&mut request.ip_addresses, ip),
            None => push_new(&mut request.dns_names, self.address.host().to_owned()),
        }
        Ok(request)
    }

    pub(super) fn agent(&self, node: &NodeName, length: Duration) -> IssueRequest {
        let identity = Identity::Agent {
            cluster: self.authority.cluster().clone(),
            node: node.clone(),
        };
        self.request(identity, Usage::Client, length)
    }

    pub(super) fn operator(&self, name: &OperatorName, role: Role) -> IssueRequest {
        let identity = Identity::Operator {
            cluster: self.authority.cluster().clone(),
            name: name.clone(),
            role,
        };
        self.request(identity, Usage::Client, YEAR)
    }

    fn request(&self, identity: Identity, usage: Usage, length: Duration) -> IssueRequest {
        IssueRequest {
            identity,
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            usage,
            validity: validity(self.now, length),
        }
    }
}

fn push_new<T: PartialEq>(items: &mut Vec<T>, item: T) {
    if !items.contains(&item) {
        items.push(item);
    }
}
