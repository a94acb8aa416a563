//! Callers with no certificate, a bad one, or one that is not for what they ask.

use std::sync::Arc;

use anyhow::Context as _;
use evenkeel_common::{
    identity::Usage,
    problem::ErrorCode::PermissionDenied,
    tls::{self, TlsFiles, explain},
};
use evenkeel_proto::v1::{
    AbortPlanRequest, ListNodesRequest, SessionRequest, StartPlanRequest,
    agent_service_client::AgentServiceClient,
};
use evenkeel_tests::{
    api::{Api, publish_requests, quick_policy, request_id, up},
    fleet::Fleet,
    systems::trivial::COMPONENT,
};
use rustls::{
    AlertDescription, ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tokio_rustls::TlsConnector;

use crate::{
    mint::{Mint, lasting},
    support::{NEXT, Place, refused},
};

/// What the coordinator says to a client that does none of our client's own checks.
async fn verdict(fleet: &Fleet, files: Option<&TlsFiles>) -> anyhow::Result<AlertDescription> {
    let mut roots = RootCertStore::empty();
    let ca = fleet.admin_tls().ca;
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match files {
        Some(files) => builder.with_client_auth_cert(
            vec![CertificateDer::from_pem_file(&files.certificate)?],
            PrivateKeyDer::from_pem_file(&files.key)?,
        )?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(fleet.address()).await?;
    let name = ServerName::try_from("127.0.0.1")?;
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .context("our side of the handshake")?;
    let error = stream.read_u8().await.err().context("an answer came")?;
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => Ok(*alert),
        other => anyhow::bail!("{other:?}"),
    }
}

#[tokio::test]
async fn nobody_without_a_good_certificate_of_this_cluster_is_let_in() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let before = place.listing().await?;
    let fleet = &place.fleet;
    let own = Mint::of(fleet)?;
    let twin = Mint::stranger(fleet, "test")?;
    let other = Mint::stranger(fleet, "elsewhere")?;
    let expired = own.issue_for("operator/eve/admin", Usage::Client, lasting(1)?)?;
    let server = own.issue_for("coordinator/second", Usage::Server, lasting(4)?)?;
    let cases = [
        (
            "an expired one",
            &expired,
            AlertDescription::CertificateExpired,
            "have a new one issued, or set this host's clock",
        ),
        (
            "one of another cluster's CA",
            &other.issue("operator/eve/admin")?,
            AlertDescription::UnknownCA,
            "does not belong to the cluster elsewhere",
        ),
        (
            "one of the CA of another cluster with this one's name",
            &twin.issue("operator/mallory/admin")?,
            AlertDescription::DecryptError,
            "another cluster of the same name",
        ),
        (
            "one for servers",
            &server,
            AlertDescription::UnsupportedCertificate,
            "clientAuth",
        ),
    ];
    let alert = verdict(fleet, None).await?;
    assert_eq!(alert, AlertDescription::CertificateRequired);
    for (what, files, alert, words) in cases {
        let found = verdict(fleet, Some(files)).await.context(what)?;
        assert_eq!(found, alert, "{what}");
        // And in the words of our own client.
        let error = tls::connect(fleet.address(), files)
            .await
            .err()
            .context(what)?;
        let sentence = explain(&error);
        assert!(sentence.contains(words), "{what}: {sentence}");
    }
    place.is_as_it_was(&before).await
}

#[tokio::test]
async fn a_viewer_looks_and_changes_nothing() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let draft = place
        .api
        .create_plan(&[up(COMPONENT, NEXT)], quick_policy())
        .await?;
    let before = place.listing().await?;
    let files = Mint::of(&place.fleet)?.issue("operator/vera/viewer")?;
    let viewer = Api::connect(place.fleet.address(), &files)?;
    assert_eq!(viewer.nodes().await?.len(), 2);
    assert_eq!(viewer.plan(&draft.name).await?, draft);

    let words = &[
        "spiffe://test/operator/vera/viewer may not call evenkeel.v1.",
        "it takes a certificate that is an operator's with the role operator",
    ];
    let start = StartPlanRequest {
        request_id: request_id(),
        name: draft.name.clone(),
    };
    let answer = viewer.plans().start_plan(start).await;
    refused("start", answer, PermissionDenied, words)?;
    let abort = AbortPlanRequest {
        request_id: request_id(),
        name: draft.name.clone(),
        reason: String::new(),
    };
    let answer = viewer.plans().abort_plan(abort).await;
    refused("abort", answer, PermissionDenied, words)?;
    let manifest = evenkeel_common::manifest::ReleaseManifest {
        component: COMPONENT.parse()?,
        version: "2.0.0".parse()?,
        platform: evenkeel_common::platform::current().to_owned(),
        sha256: evenkeel_common::digest::digest_of(b"x"),
        size_bytes: 1,
        tree: None,
    };
    let requests = publish_requests(&manifest, &place.key, b"x".to_vec())?;
    let answer = viewer.releases();
    let answer = answer
        .clone()
        .publish_release(tokio_stream::iter(requests))
        .await;
    refused("publish", answer, PermissionDenied, words)?;
    place.is_as_it_was(&before).await
}

#[tokio::test]
async fn an_agent_is_no_operator_and_an_operator_is_no_agent() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let draft = place
        .api
        .create_plan(&[up(COMPONENT, NEXT)], quick_policy())
        .await?;
    let before = place.listing().await?;
    let agent = Api::connect(place.fleet.address(), &place.fleet.tls("agents/n1"))?;
    let start = StartPlanRequest {
        request_id: request_id(),
        name: draft.name,
    };
    let answer = agent.plans().start_plan(start).await;
    let words = &[
        "spiffe://test/agent/n1 may not call evenkeel.v1.PlanService/StartPlan",
        "an operator's with the role operator",
    ];
    refused("start", answer, PermissionDenied, words)?;
    let answer = agent.fleet().list_nodes(ListNodesRequest::default()).await;
    let words = &[
        "spiffe://test/agent/n1 may not call evenkeel.v1.FleetService/ListNodes",
        "an operator's (role viewer)",
    ];
    refused("list", answer, PermissionDenied, words)?;

    let channel = tls::connect(place.fleet.address(), &place.fleet.admin_tls()).await?;
    let nothing = tokio_stream::iter(Vec::<SessionRequest>::new());
    let answer = AgentServiceClient::new(channel).session(nothing).await;
    let words = &[
        "spiffe://test/operator/admin/admin may not call evenkeel.v1.AgentService/Session",
        "it takes a certificate that is an agent's",
    ];
    refused("session", answer.map(|_| ()), PermissionDenied, words)?;
    place.is_as_it_was(&before).await
}
