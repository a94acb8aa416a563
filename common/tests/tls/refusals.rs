//! Who is not let in, or not talked to, and what is said about it.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_common::identity::Usage;
use evenkeel_common::pki::Validity;
use evenkeel_common::tls::{ServerTls, TlsFiles, explain};
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    AlertDescription, ClientConfig, Error, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::cluster::{Cluster, HOUR, around_now};
use crate::coordinator::{Coordinator, check};

/// A client that does none of our client's own checks of its certificate, with the server's left alone.
fn careless_client(cluster: &Cluster, own: Option<&TlsFiles>) -> ClientConfig {
    client_of_versions(rustls::ALL_VERSIONS, cluster, own)
}

fn client_of_versions(
    versions: &[&'static SupportedProtocolVersion],
    cluster: &Cluster,
    own: Option<&TlsFiles>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(cluster.path("ca.pem")).unwrap();
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        Some(files) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(&files.certificate).unwrap()],
                PrivateKeyDer::from_pem_file(&files.key).unwrap(),
            )
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

async fn shake_hands(
    config: ClientConfig,
    coordinator: &Coordinator,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(coordinator.address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// What the coordinator says to a client with such a certificate.
async fn verdict(
    cluster: &Cluster,
    coordinator: &Coordinator,
    own: Option<&TlsFiles>,
) -> AlertDescription {
    let mut stream = shake_hands(careless_client(cluster, own), coordinator)
        .await
        .unwrap();
    let error = stream.read_u8().await.unwrap_err();
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(Error::AlertReceived(alert)) => *alert,
        other => panic!("{other:?}"),
    }
}

/// A coordinator that clients which compare host names accept too.
fn start(cluster: &Cluster) -> Coordinator {
    let mut request = cluster.request("coordinator/c1", Usage::Server);
    request.dns_names = vec!["localhost".to_owned()];
    let issued = cluster.authority.issue(&request).unwrap();
    Coordinator::start(cluster.write("coordinator/c1", &issued))
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let cluster = Cluster::new("prod");
    let coordinator = start(&cluster);
    let alert = verdict(&cluster, &coordinator, None).await;
    assert_eq!(alert, AlertDescription::CertificateRequired);
    assert_eq!(coordinator.counts.refused(), 1);
}

#[tokio::test]
async fn a_client_of_another_clusters_ca_is_refused() {
    let (cluster, other) = (Cluster::new("prod"), Cluster::new("test"));
    let coordinator = start(&cluster);
    let alert = verdict(&cluster, &coordinator, Some(&other.agent())).await;
    assert_eq!(alert, AlertDescription::UnknownCA);
}

#[tokio::test]
async fn a_client_whose_certificate_expired_is_refused_and_told_so_before_it_tries() {
    let cluster = Cluster::new("prod");
    let coordinator = start(&cluster);
    let now = around_now(2 * HOUR, Duration::ZERO);
    let mut request = cluster.request("agent/n1", Usage::Client);
    request.validity = Validity {
        not_after: now.not_after - HOUR,
        ..now
    };
    let expired = cluster.write("agent/n1", &cluster.authority.issue(&request).unwrap());
    let alert = verdict(&cluster, &coordinator, Some(&expired)).await;
    assert_eq!(alert, AlertDescription::CertificateExpired);
    assert_eq!(coordinator.counts.refused(), 1);

    let sentence = coordinator.check(&expired).await.unwrap_err();
    let end = humantime::format_rfc3339_seconds(request.validity.not_after).to_string();
    assert!(
        sentence.contains(expired.certificate.as_str()),
        "{sentence}"
    );
    assert!(sentence.contains(&end), "{sentence}");
    assert_eq!(coordinator.counts.refused(), 1);
}

#[tokio::test]
async fn a_client_whose_certificate_is_not_for_clients_is_refused() {
    let cluster = Cluster::new("prod");
    let coordinator = start(&cluster);
    let uri = "spiffe://prod/agent/n1";
    for (usages, expected) in [
        (&[][..], AlertDescription::CertificateUnknown),
        (&[ServerAuth][..], AlertDescription::UnsupportedCertificate),
    ] {
        let files = cluster.odd_end(&[uri], usages);
        assert_eq!(
            verdict(&cluster, &coordinator, Some(&files)).await,
            expected
        );
        let sentence = coordinator.check(&files).await.unwrap_err();
        assert!(sentence.contains("clientAuth"), "{sentence}");
    }
    let both = cluster.odd_end(&[uri], &[ClientAuth, ServerAuth]);
    coordinator.check(&both).await.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_name_exactly_one_of_the_cluster_is_refused() {
    let cluster = Cluster::new("prod");
    let coordinator = start(&cluster);
    let (n1, n2) = ("spiffe://prod/agent/n1", "spiffe://prod/agent/n2");
    let cases: [&[&str]; 6] = [
        &[],
        &[n1, n2],
        &[n1, n1],
        &["spiffe://prod/agent/"],
        &["spiffe://test/agent/n1"],
        &["https://prod/agent/n1"],
    ];
    for uris in cases {
        let files = cluster.odd_end(uris, &[ClientAuth]);
        let alert = verdict(&cluster, &coordinator, Some(&files)).await;
        assert_eq!(alert, AlertDescription::CertificateUnknown, "{uris:?}");
    }
    assert_eq!(coordinator.counts.refused(), cases.len() as u64);
    assert_eq!(coordinator.counts.accepted(), 0);
}

#[tokio::test]
async fn the_coordinators_refusal_is_explained_at_connect() {
    let (cluster, other) = (Cluster::new("prod"), Cluster::new("prod"));
    let coordinator = start(&cluster);
    // Its own CA file is right; its certificate is of another cluster with the same name.
    let mut files = other.agent();
    files.ca = cluster.path("ca.pem");
    let sentence = coordinator.check(&files).await.unwrap_err();
    let expected = format!(
        "the coordinator at {} refused the certificate {}: it was not issued by the CA",
        coordinator.address, files.certificate
    );
    assert!(sentence.starts_with(&expected), "{sentence}");
}

#[tokio::test]
async fn an_agent_or_operator_cannot_pass_for_the_coordinator() {
    let cluster = Cluster::new("prod");
    for path in ["agent/n2", "operator/ada/admin"] {
        let coordinator = Coordinator::start(cluster.end(path, Usage::Server));
        let sentence = coordinator.check(&cluster.agent()).await.unwrap_err();
        let expected = format!("spiffe://prod/{path} is not a coordinator");
        assert!(sentence.ends_with(&expected), "{sentence}");
    }
    // With what an agent really has, a client certificate, it cannot even begin.
    let error = ServerTls::load(cluster.agent(), Vec::new()).unwrap_err();
    assert!(explain(&error).ends_with("lacks the extended key usage serverAuth"));
}

#[tokio::test]
async fn a_coordinator_of_another_cluster_is_not_talked_to() {
    let (ours, theirs) = (Cluster::new("prod"), Cluster::new("test"));
    let coordinator = Coordinator::start(theirs.coordinator());
    let sentence = coordinator.check(&ours.agent()).await.unwrap_err();
    let expected = format!("is not signed by the CA in {}", ours.path("ca.pem"));
    assert!(sentence.contains(&expected), "{sentence}");

    // Not even when its CA is trusted: the name has to be ours as well.
    let mut trusting = ours.agent();
    trusting.ca = theirs.path("ca.pem");
    let sentence = coordinator.check(&trusting).await.unwrap_err();
    assert!(
        sentence.ends_with("spiffe://test/coordinator/c1 does not belong to the cluster prod"),
        "{sentence}"
    );
}

#[tokio::test]
async fn tls_1_2_is_not_spoken() {
    let cluster = Cluster::new("prod");
    let coordinator = start(&cluster);
    let agent = cluster.agent();
    let both = careless_client(&cluster, Some(&agent));
    let stream = shake_hands(both, &coordinator).await.unwrap();
    let (_, session) = stream.get_ref();
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));

    let old = client_of_versions(&[&rustls::version::TLS12], &cluster, Some(&agent));
    let error = shake_hands(old, &coordinator).await.unwrap_err();
    let alert = error.get_ref().and_then(|inner| inner.downcast_ref());
    let expected = Error::AlertReceived(AlertDescription::ProtocolVersion);
    assert_eq!(alert, Some(&expected));
}

#[tokio::test]
async fn no_session_is_resumed() {
    let cluster = Cluster::new("prod");
    let coordinator = start(&cluster);
    let files = cluster.agent();
    // One configuration for all connections: what a client needs to resume a session is kept in it.
    let config = careless_client(&cluster, Some(&files));
    for _ in 0..3 {
        let mut stream = shake_hands(config.clone(), &coordinator).await.unwrap();
        // Tickets would come before the first word of HTTP/2.
        stream.read_u8().await.unwrap();
        let (_, session) = stream.get_ref();
        assert_eq!(session.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(session.tls13_tickets_received(), 0);
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_explained() {
    let cluster = Cluster::new("prod");
    let files = cluster.agent();
    let unused = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let sentence = check(&unused, &files).await.unwrap_err();
    assert!(
        sentence.starts_with(&format!("nothing listens at {unused}")),
        "{sentence}"
    );

    for address in [
        "",
        "localhost",
        "localhost:",
        "localhost:0",
        ":7400",
        "a b:7400",
        "u@h:7400",
        "http://h:7400",
    ] {
        let sentence = check(address, &files).await.unwrap_err();
        assert!(sentence.contains("is not a"), "{address}: {sentence}");
    }
    let sentence = check("no-such-host.invalid:7400", &files)
        .await
        .unwrap_err();
    assert!(
        sentence.contains("cannot find the address of no-such-host.invalid"),
        "{sentence}"
    );
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let (cluster, other) = (Cluster::new("prod"), Cluster::new("prod"));
    let good = cluster.agent();
    let junk = cluster.path("junk.pem");
    std::fs::write(
        &junk,
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let open_key = cluster.path("open.key");
    std::fs::copy(&good.key, &open_key).unwrap();
    std::fs::set_permissions(
        &open_key,
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    let absent = cluster.path("absent.pem");
    let cases = [
        (
            TlsFiles {
                ca: absent.clone(),
                ..good.clone()
            },
            &absent,
        ),
        (
            TlsFiles {
                certificate: junk.clone(),
                ..good.clone()
            },
            &junk,
        ),
        (
            TlsFiles {
                certificate: good.key.clone(),
                ..good.clone()
            },
            &good.key,
        ),
        (
            TlsFiles {
                key: open_key.clone(),
                ..good.clone()
            },
            &open_key,
        ),
        (
            TlsFiles {
                key: good.certificate.clone(),
                ..good.clone()
            },
            &good.certificate,
        ),
        (
            TlsFiles {
                key: other.agent().key,
                ..good.clone()
            },
            &good.certificate,
        ),
    ];
    for (files, named) in cases {
        let sentence = check("127.0.0.1:9", &files).await.unwrap_err();
        assert!(sentence.contains(named.as_str()), "{named}: {sentence}");
        println!("{sentence}");
    }
}
