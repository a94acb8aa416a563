//! Who may call what: the table that the API's definition carries, held against the caller's certificate,
//! before anything else is looked at.

use std::{
    collections::HashMap,
    sync::LazyLock,
    task::{Context, Poll},
    time::SystemTime,
};

use evenkeel_common::{
    identity::{Identity, Role},
    problem::{ErrorCode, Problem},
    tls::PeerConnection,
};
use evenkeel_proto::{ACCESS, Access};
use futures_util::future::{Either, Ready, ready};
use tonic::Status;
use tower::{Layer, Service};

static TABLE: LazyLock<HashMap<&str, Access>> = LazyLock::new(|| ACCESS.iter().copied().collect());

/// Services of gRPC itself, whose methods are not in our table: anyone of the cluster may call them.
const COMMON_SERVICES: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// Refuses a call that its caller may not make.
fn check(path: &str, caller: Option<&Identity>) -> Result<(), Problem> {
    let Some(caller) = caller else {
        return Err(Problem::new(
            ErrorCode::Unauthenticated,
            "the connection carries no certificate that is valid now",
        ));
    };
    let Some(access) = TABLE.get(path) else {
        // What is in no table is no method of ours; the router says so.
        let common = COMMON_SERVICES
            .iter()
            .any(|service| path.starts_with(service));
        let known = common || matches!(caller, Identity::Operator { .. } | Identity::Agent { .. });
        return match known {
            true => Ok(()),
            false => Err(denied(path, caller, "an operator's or agent's")),
        };
    };
    let (allowed, needed) = match (access, caller) {
        (Access::Viewer, Identity::Operator { .. }) => (true, ""),
        (Access::Viewer, _) => (false, "an operator's (role viewer)"),
        (Access::Operator, Identity::Operator { role, .. }) => (
            *role >= Role::Operator,
            "an operator's with the role operator",
        ),
        (Access::Operator, _) => (false, "an operator's with the role operator"),
        (Access::Admin, Identity::Operator { role, .. }) => {
            (*role >= Role::Admin, "an operator's with the role admin")
        }
        (Access::Admin, _) => (false, "an operator's with the role admin"),
        (Access::Agent, Identity::Agent { .. }) => (true, ""),
        (Access::Agent, _) => (false, "an agent's"),
        (Access::Unspecified, _) => (false, "one that does not exist"),
    };
    match allowed {
        true => Ok(()),
        false => Err(denied(path, caller, needed)),
    }
}

fn denied(path: &str, caller: &Identity, needed: &str) -> Problem {
    Problem::new(
        ErrorCode::PermissionDenied,
        format!(
            "{caller} may not call {}: it takes a certificate that is {needed}",
            path.trim_start_matches('/')
        ),
    )
}

/// Puts the check in front of every call.
#[derive(Debug, Clone, Copy)]
pub(super) struct AccessLayer;

impl<S> Layer<S> for AccessLayer {
    type Service = AccessCheck<S>;

    fn layer(&self, inner: S) -> AccessCheck<S> {
        AccessCheck { inner }
    }
}

/// See [`AccessLayer`].
#[derive(Debug, Clone)]
pub(super) struct AccessCheck<S> {
    inner: S,
}

impl<S, B, R> Service<http::Request<B>> for AccessCheck<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    R: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let peer = request.extensions().get::<PeerConnection>();
        // A connection may outlive the certificate that it was opened with.
        let peer = peer.filter(|peer| peer.not_after > SystemTime::now());
        match check(request.uri().path(), peer.map(|peer| &peer.identity)) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(problem) => {
                tracing::info!(reason = %problem, "call refused");
                Either::Right(ready(Ok(Status::from(problem).into_http())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(path: &str, caller: &str) -> bool {
        let caller: Identity = caller.parse().unwrap();
        check(path, Some(&caller)).is_ok()
    }

    #[test]
    fn each_role_may_do_what_its_table_says_and_nothing_more() {
        let viewer = "spiffe://c/operator/a/viewer";
        let operator = "spiffe://c/operator/a/operator";
        let admin = "spiffe://c/operator/a/admin";
        let agent = "spiffe://c/agent/n1";
        let coordinator = "spiffe://c/coordinator/c1";
        let cases = [
            (
                "/evenkeel.v1.FleetService/ListNodes",
                vec![viewer, operator, admin],
            ),
            ("/evenkeel.v1.PlanService/StartPlan", vec![operator, admin]),
            (
                "/evenkeel.v1.ReleaseService/PublishRelease",
                vec![operator, admin],
            ),
            ("/evenkeel.v1.AgentService/Session", vec![agent]),
            ("/evenkeel.v1.AgentService/FetchArtifact", vec![agent]),
            (
                "/grpc.health.v1.Health/Check",
                vec![viewer, operator, admin, agent, coordinator],
            ),
        ];
        for (path, allowed) in cases {
            for caller in [viewer, operator, admin, agent, coordinator] {
                assert_eq!(
                    may(path, caller),
                    allowed.contains(&caller),
                    "{path} {caller}"
                );
            }
            assert!(check(path, None).is_err());
        }
    }

    #[test]
    fn every_method_is_in_the_table_once() {
        assert_eq!(TABLE.len(), ACCESS.len());
        assert!(ACCESS.len() >= 20);
    }
}
