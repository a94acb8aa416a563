//! Agents that speak for another node, or out of turn, or nonsense.

use std::{collections::HashMap, time::Duration};

use anyhow::ensure;
use evenkeel_common::{
    problem::ErrorCode::{self, BadArgument, NotFound, PermissionDenied},
    tls,
};
use evenkeel_proto::v1::{
    FetchArtifactRequest, Hello, InstanceReport, Report, SessionRequest,
    agent_service_client::AgentServiceClient, session_request::Message,
};
use evenkeel_tests::{systems::trivial::COMPONENT, wait};
use tonic::{Code, Status, transport::Channel};

use crate::{
    mint::Mint,
    support::{Place, refused},
};

/// What an agent of a node without instances says first.
fn hello() -> Hello {
    Hello {
        node: "n9".to_owned(),
        agent_version: "0.1.0".to_owned(),
        platform: "linux/amd64".to_owned(),
        ..Default::default()
    }
}

fn saying(message: Message) -> SessionRequest {
    SessionRequest {
        message: Some(message),
    }
}

fn with_instance(change: impl FnOnce(&mut InstanceReport)) -> Hello {
    let mut report = InstanceReport {
        name: "store".to_owned(),
        component: COMPONENT.to_owned(),
        status: 1,
        health: 1,
        ..Default::default()
    };
    change(&mut report);
    Hello {
        instances: vec![report],
        ..hello()
    }
}

/// How a session that begins with this ends.
async fn session(channel: &Channel, says: Vec<SessionRequest>) -> Result<(), Status> {
    let opened = AgentServiceClient::new(channel.clone())
        .session(tokio_stream::iter(says))
        .await?;
    let mut answers = opened.into_inner();
    while answers.message().await?.is_some() {}
    Ok(())
}

type Case = (
    &'static str,
    SessionRequest,
    ErrorCode,
    &'static [&'static str],
);

fn bad(what: &'static str, hello: Hello, words: &'static [&'static str]) -> Case {
    (what, saying(Message::Hello(hello)), BadArgument, words)
}

fn first_words() -> Vec<Case> {
    let crowd = |count| Hello {
        instances: vec![InstanceReport::default(); count],
        ..hello()
    };
    vec![
        (
            "for another node",
            saying(Message::Hello(Hello {
                node: "n1".to_owned(),
                ..hello()
            })),
            PermissionDenied,
            &[
                "the certificate is that of node n9",
                "configuration says \"n1\"",
                "speaks for its own node only",
            ],
        ),
        (
            "for nobody",
            saying(Message::Hello(Hello {
                node: String::new(),
                ..hello()
            })),
            PermissionDenied,
            &["the certificate is that of node n9"],
        ),
        (
            "a report before the hello",
            saying(Message::Report(Report::default())),
            BadArgument,
            &["the first message of a session has to be a hello"],
        ),
        (
            "nothing in particular",
            SessionRequest { message: None },
            BadArgument,
            &["the first message of a session has to be a hello"],
        ),
        bad(
            "no version",
            Hello {
                agent_version: String::new(),
                ..hello()
            },
            &["hello.agent_version: ", "is not a version like 1.2.3"],
        ),
        bad(
            "no platform",
            Hello {
                platform: String::new(),
                ..hello()
            },
            &["hello.platform: is missing"],
        ),
        bad(
            "a label that can be none",
            Hello {
                labels: HashMap::from([("Zone!".to_owned(), "z".to_owned())]),
                ..hello()
            },
            &["hello.labels: ", "Zone!"],
        ),
        bad(
            "too many labels",
            Hello {
                labels: (0..65).map(|n| (format!("l{n}"), String::new())).collect(),
                ..hello()
            },
            &["hello.labels: has 65 labels, at most 64 are allowed"],
        ),
        bad(
            "too many instances",
            crowd(257),
            &["instances: has 257 entries, a node may have 256"],
        ),
        bad(
            "an instance without a name",
            crowd(1),
            &["instances.name: ", "is empty"],
        ),
        bad(
            "the same instance twice",
            Hello {
                instances: [
                    with_instance(|_| ()).instances,
                    with_instance(|_| ()).instances,
                ]
                .concat(),
                ..hello()
            },
            &["instances.name: store is there twice"],
        ),
        bad(
            "a status that does not exist",
            with_instance(|report| report.status = 99),
            &["instances[store].status: ", "has no value 99"],
        ),
        bad(
            "a name that leads elsewhere",
            with_instance(|report| report.name = "../../etc".to_owned()),
            &["instances.name: ", "../../etc"],
        ),
    ]
}

#[tokio::test]
async fn an_agent_that_speaks_for_another_or_nonsense_is_not_heard() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let before = place.listing().await?;
    let files = Mint::of(&place.fleet)?.issue("agent/n9")?;
    let channel = tls::connect(place.fleet.address(), &files).await?;
    for (what, says, code, words) in first_words() {
        refused(what, session(&channel, vec![says]).await, code, words)?;
    }
    // More than is read at all.
    let flood = Hello {
        labels: HashMap::from([("zone".to_owned(), "z".repeat(5 << 20))]),
        ..hello()
    };
    let status = session(&channel, vec![saying(Message::Hello(flood))])
        .await
        .err();
    let status = status.map(|status| (status.code(), status.message().to_owned()));
    ensure!(
        matches!(&status, Some((Code::OutOfRange, words)) if words.contains("limit is: 4194304 bytes")),
        "{status:?}"
    );

    let fetch = |digest: String, offset| {
        let mut client = AgentServiceClient::new(channel.clone());
        async move {
            let request = FetchArtifactRequest { digest, offset };
            client.fetch_artifact(request).await.map(|_| ())
        }
    };
    let answer = fetch("../ledger".to_owned(), 0).await;
    refused("a path", answer, BadArgument, &["digest: "])?;
    let answer = fetch("0".repeat(64), 0).await;
    refused(
        "an unknown one",
        answer,
        NotFound,
        &["there is no artifact 0000"],
    )?;
    let known = before.releases.first().and_then(|r| r.artifacts.first());
    let digest = known.map(|artifact| artifact.digest.clone());
    let answer = fetch(digest.unwrap_or_default(), u64::MAX).await;
    let words = &["the offset 18446744073709551615 is past the artifact's end"];
    refused("an offset behind the end", answer, BadArgument, words)?;
    place.is_as_it_was(&before).await
}

#[tokio::test]
async fn an_agent_with_another_nodes_certificate_says_what_is_wrong_with_it() -> anyhow::Result<()>
{
    let mut place = Place::new().await?;
    let before = place.listing().await?;
    place.fleet.agent("n2")?.kill()?;
    let printed_before = place.fleet.agent("n2")?.printed().len();
    // Its configuration is that of n2, its certificate is not.
    let folder = place.fleet.folder().join("agents");
    for file in ["certificate.pem", "key.pem"] {
        std::fs::copy(folder.join("n1").join(file), folder.join("n2").join(file))?;
    }
    place.fleet.start_agent("n2")?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let agent = place.fleet.agent("n2")?;
        let printed = agent.printed();
        let new = printed.get(printed_before..).unwrap_or_default();
        if new.contains("n1") && new.contains("n2") && new.contains("certificate") {
            break;
        }
        ensure!(tokio::time::Instant::now() < deadline, "{new}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Nothing was said in the name of either.
    let now = place.listing().await?;
    assert_eq!(now.nodes.keys().collect::<Vec<_>>(), ["n1", "n2"]);
    assert_eq!(now.instances, before.instances);
    wait::until("n1 to be heard", Duration::from_secs(30), || async {
        let nodes = place.api.nodes().await?;
        ensure!(nodes.get("n1") == before.nodes.get("n1"), "{nodes:?}");
        Ok(())
    })
    .await
}
