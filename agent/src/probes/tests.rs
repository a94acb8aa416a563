//! Probes of real servers and programs.

use std::{fs, os::unix::fs::PermissionsExt as _, time::SystemTime};

use camino::Utf8PathBuf;
use evenkeel_common::{
    identity::Usage,
    pki::{Authority, IssueRequest, Validity},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Semaphore,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use super::*;
use crate::{config::DriverSettings, driver::Subject, program::User};

/// Probes without a driver.
pub(super) fn probes(settings: Vec<ProbeSettings>) -> Probes {
    Probes {
        settings: settings.into(),
        driver: None,
        watcher: Arc::new(ExitWatcher::start().unwrap()),
        programs: Arc::new(Semaphore::new(PROGRAMS_MAX)),
    }
}

const TIME: Duration = Duration::from_secs(20);

async fn ask(question: &Question) -> Result<(), String> {
    question.ask(&probes(Vec::new()), TIME, TIME).await
}

/// Certificates of an authority's, and a folder for what a probe reads.
struct Place {
    _dir: tempfile::TempDir,
    root: Utf8PathBuf,
    authority: Authority,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let (authority, _) = Authority::create("test".parse().unwrap(), validity()).unwrap();
        fs::write(root.join("ca.pem"), authority.certificate_pem()).unwrap();
        Self {
            _dir: dir,
            root,
            authority,
        }
    }

    /// A certificate for this host or for a client, and its key.
    fn issue(&self, usage: Usage) -> (String, String) {
        let identity = match usage {
            Usage::Client => "spiffe://test/agent/n1",
            Usage::Server => "spiffe://test/coordinator/main",
        };
        let request = IssueRequest {
            identity: identity.parse().unwrap(),
            dns_names: vec!["localhost".to_owned()],
            ip_addresses: vec!["127.0.0.1".parse().unwrap()],
            usage,
            validity: validity(),
        };
        let issued = self.authority.issue(&request).unwrap();
        (issued.certificate_pem, issued.key_pem.to_string())
    }

    fn tls(&self) -> ProbeTls {
        ProbeTls {
            ca: self.root.join("ca.pem"),
            own: None,
        }
    }

    /// The same with a certificate of the agent's own.
    fn tls_with_own(&self) -> ProbeTls {
        let (certificate, key) = self.issue(Usage::Client);
        let paths = ["own.pem", "own.key"].map(|name| self.root.join(name));
        fs::write(&paths[0], certificate).unwrap();
        fs::write(&paths[1], key).unwrap();
        let [certificate, key] = paths;
        ProbeTls {
            own: Some((certificate, key)),
            ..self.tls()
        }
    }

    fn server_tls(&self) -> ServerTlsConfig {
        let (certificate, key) = self.issue(Usage::Server);
        ServerTlsConfig::new().identity(Identity::from_pem(certificate, key))
    }

    fn script(&self, text: &str) -> Vec<String> {
        let path = self.root.join("script");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        vec![path.into_string()]
    }
}

fn validity() -> Validity {
    let now = SystemTime::now();
    Validity {
        not_before: now - Duration::from_secs(60),
        not_after: now + Duration::from_secs(3600),
    }
}

/// A server that answers every request over TLS with this, and its port.
async fn https_server(place: &Place, answer: &'static str) -> u16 {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

    let (certificate, key) = place.issue(Usage::Server);
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            chain.collect::<Result<_, _>>().unwrap(),
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Those that do not trust it end the handshake.
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    port
}

#[tokio::test]
async fn https_is_answered_by_whom_the_authority_vouches_for_and_by_nobody_else() {
    let (place, other) = (Place::new(), Place::new());
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{\"health\":\"true\"}";
    let port = https_server(&place, answer).await;
    let probe = |host: &str, tls| {
        let contains = Some("\"true\"".to_owned());
        let url = format!("https://{host}:{port}/health");
        Question::Http(HttpProbe::new(&url, 200, contains, Some(tls)).unwrap())
    };
    assert_eq!(ask(&probe("127.0.0.1", place.tls())).await, Ok(()));
    assert_eq!(ask(&probe("localhost", place.tls())).await, Ok(()));
    let refused = ask(&probe("127.0.0.1", other.tls())).await.unwrap_err();
    assert!(refused.contains("no TLS"), "{refused}");
    let elsewhere = ask(&probe("127.0.0.2", place.tls())).await.unwrap_err();
    assert!(elsewhere.contains("no TLS"), "{elsewhere}");
    fs::remove_file(place.root.join("ca.pem")).unwrap();
    let gone = ask(&probe("127.0.0.1", place.tls())).await.unwrap_err();
    assert!(gone.contains("ca.pem"), "{gone}");
}

/// A server of the standard health service that serves one service and not the other, and its port.
async fn grpc_server(tls: Option<ServerTlsConfig>) -> u16 {
    let (reporter, service) = tonic_health::server::health_reporter();
    let status = tonic_health::ServingStatus::NotServing;
    reporter.set_service_status("store.Blobs", status).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls).unwrap();
    }
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(server.add_service(service).serve_with_incoming(incoming));
    port
}

fn grpc(url: String, service: &str, tls: Option<ProbeTls>) -> Question {
    Question::Grpc(GrpcProbe::new(&url, service.to_owned(), tls).unwrap())
}

#[tokio::test]
async fn grpc_is_asked_for_the_service_that_is_meant() {
    let port = grpc_server(None).await;
    let url = format!("http://127.0.0.1:{port}");
    assert_eq!(ask(&grpc(url.clone(), "", None)).await, Ok(()));
    let stopped = ask(&grpc(url.clone(), "store.Blobs", None)).await;
    assert!(stopped.unwrap_err().contains("NOT_SERVING"));
    let unknown = ask(&grpc(url.clone(), "store.Other", None)).await;
    assert!(unknown.unwrap_err().contains("NotFound"));
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let refused = ask(&grpc(format!("http://{address}"), "", None)).await;
    assert!(refused.unwrap_err().contains("refused"));
    assert!(GrpcProbe::new("http://a/path", String::new(), None).is_err());
}

#[tokio::test]
async fn grpc_goes_over_tls_with_a_certificate_of_the_agents_own_where_one_is_asked_for() {
    let (place, other) = (Place::new(), Place::new());
    let clients = Certificate::from_pem(place.authority.certificate_pem());
    let port = grpc_server(Some(place.server_tls().client_ca_root(clients))).await;
    let url = format!("https://localhost:{port}");
    let own = place.tls_with_own();
    assert_eq!(ask(&grpc(url.clone(), "", Some(own))).await, Ok(()));
    let unknown = ask(&grpc(url.clone(), "", Some(place.tls()))).await;
    unknown.unwrap_err();
    let other = Some(other.tls());
    let untrusted = ask(&grpc(url, "", other)).await.unwrap_err();
    assert!(
        untrusted.contains("invalid peer certificate"),
        "{untrusted}"
    );
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_its_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let time = Duration::from_millis(50);
    for question in [
        Question::Http(HttpProbe::new(&format!("http://{address}"), 200, None, None).unwrap()),
        grpc(format!("http://{address}"), "", None),
    ] {
        let silent = question
            .ask(&probes(Vec::new()), time, TIME)
            .await
            .unwrap_err();
        assert_eq!(silent, "no answer within 50ms");
    }
}

#[tokio::test]
async fn a_program_says_by_its_exit_status_whether_all_is_well() {
    let place = Place::new();
    let exec = |text: &str, user| {
        let command = place.script(text);
        Question::Exec(ExecProbe::new(command, user))
    };
    assert_eq!(ask(&exec("exit 0", None)).await, Ok(()));
    let bad = ask(&exec("echo first >&2; echo not well >&2; exit 3", None)).await;
    assert_eq!(bad.unwrap_err(), "exit status: 3: not well");
    let bad = ask(&exec("exit 1", None)).await;
    assert_eq!(bad.unwrap_err(), "exit status: 1");
    let chatty = ask(&exec("yes", None)).await.unwrap_err();
    assert!(chatty.contains("more than 65536 bytes"), "{chatty}");
    let question = exec("sleep 1000", None);
    let nobody = probes(Vec::new());
    let late = question
        .ask(&nobody, Duration::from_millis(100), TIME)
        .await;
    assert!(late.unwrap_err().contains("within 100ms"));
    let gone = Question::Exec(ExecProbe::new(vec!["/nowhere/probe".to_owned()], None));
    assert!(ask(&gone).await.unwrap_err().contains("cannot start"));
}

#[tokio::test]
async fn a_program_is_not_run_before_its_last_run_has_ended_nor_while_as_many_run_as_may() {
    let place = Place::new();
    let ran = place.root.join("ran");
    let probe = ExecProbe::new(place.script(&format!("touch {ran}")), None);
    let question = Question::Exec(probe.clone());
    let probes = probes(Vec::new());
    let short = Duration::from_millis(50);

    let hangs = probe.turn.acquire().await.unwrap();
    let answer = question.ask(&probes, short, TIME).await;
    assert_eq!(answer.unwrap_err(), "its last run has not ended");
    drop(hangs);
    let others = u32::try_from(PROGRAMS_MAX).unwrap();
    let others = probes.programs.acquire_many(others).await.unwrap();
    let answer = question.ask(&probes, TIME, short).await;
    assert_eq!(answer.unwrap_err(), "no turn within 50ms");
    assert!(!ran.exists());
    drop(others);
    assert_eq!(question.ask(&probes, TIME, TIME).await, Ok(()));
    assert!(ran.exists());
}

#[tokio::test]
async fn a_program_runs_as_whom_it_is_told_to() {
    let place = Place::new();
    fs::set_permissions(&place.root, fs::Permissions::from_mode(0o755)).unwrap();
    let user = User {
        uid: 65_534,
        gid: 65_533,
    };
    let command = place.script(r#"test "$(id -u) $(id -g) $(id -G)" = "65534 65533 65533""#);
    let question = Question::Exec(ExecProbe::new(command, Some(user)));
    let answer = ask(&question).await;
    match rustix::process::geteuid().is_root() {
        true => assert_eq!(answer, Ok(())),
        // Nobody else may become somebody else.
        false => assert!(answer.unwrap_err().contains("cannot start")),
    }
}

/// What asks a driver that is this script, and what all drivers share.
fn driven(place: &Place, text: &str) -> (Probes, Arc<Semaphore>) {
    let settings = DriverSettings {
        command: place.script(text),
        timeout: TIME,
        interval: TIME,
        ok_to_stop_interval: TIME,
        verbs: None,
        settings: serde_json::Map::new(),
    };
    let subject = Subject {
        node: "n1".parse().unwrap(),
        instance: "s1".parse().unwrap(),
        component: "store".parse().unwrap(),
        data_dirs: Vec::new(),
    };
    let mut probes = probes(Vec::new());
    let calls = Arc::new(Semaphore::new(1));
    let watcher = Arc::clone(&probes.watcher);
    let driver = Driver::new(settings, subject, Arc::clone(&calls), watcher);
    probes.driver = Some(Arc::new(driver));
    (probes, calls)
}

#[tokio::test]
async fn a_driver_is_asked_whether_all_is_well() {
    let place = Place::new();
    let answer = async |text: &str| {
        let (probes, _) = driven(&place, text);
        Question::Driver.ask(&probes, TIME, TIME).await
    };
    assert_eq!(answer("test $1 = health").await, Ok(()));
    let no = answer("echo '{\"reason\": \"two shards are missing\"}'; exit 1").await;
    assert_eq!(no.unwrap_err(), "two shards are missing");
    let unknown = answer("exit 64").await.unwrap_err();
    assert!(unknown.contains("does not know"), "{unknown}");
    let broken = answer("echo oh >&2; exit 7").await.unwrap_err();
    assert!(broken.contains("failed with exit status: 7"), "{broken}");
}

#[tokio::test]
async fn a_driver_has_the_probes_time_from_when_its_turn_has_come_and_that_has_to_come() {
    let place = Place::new();
    let (probes, calls) = driven(&place, "sleep 1000");
    let short = Duration::from_millis(50);
    let late = Question::Driver.ask(&probes, short, TIME).await;
    let late = late.unwrap_err();
    assert!(late.contains("did not end within 50ms"), "{late}");
    let others = calls.acquire().await.unwrap();
    let waited = Question::Driver.ask(&probes, TIME, short).await;
    let waited = waited.unwrap_err();
    assert!(waited.contains("did not come within 50ms"), "{waited}");
    drop(others);
}
