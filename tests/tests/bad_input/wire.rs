//! Bytes on the port that are no TLS, no gRPC, or no message of ours.

use std::time::Duration;

use evenkeel_common::tls;
use evenkeel_proto::v1::{CreatePlanRequest, CreatePlanResponse, ListNodesRequest};
use evenkeel_tests::api::up;
use http::uri::PathAndQuery;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tonic::{Code, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use crate::support::Place;

#[tokio::test]
async fn garbage_on_the_port_is_nobodys_business() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let before = place.listing().await?;
    let mut random = StdRng::seed_from_u64(7);
    let mut noise = vec![0_u8; 64 << 10];
    random.fill(&mut noise[..]);
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    let garbage = [
        Vec::new(),
        b"\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec(),
        hello.clone(),
        [hello, noise.clone()].concat(),
        noise,
        vec![0; 1 << 20],
    ];
    for bytes in garbage {
        let mut stream = TcpStream::connect(place.fleet.address()).await?;
        // It may hang up before it has read all of it.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await?;
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    place.is_as_it_was(&before).await
}

/// Calls a method with a message that is not the method's own.
async fn call(channel: &Channel, path: &'static str) -> anyhow::Result<tonic::Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await?;
    let codec = ProstCodec::<ListNodesRequest, CreatePlanResponse>::default();
    let message = ListNodesRequest {
        page_size: 7,
        page_token: "x".to_owned(),
    };
    let request = tonic::Request::new(message);
    let answer = client
        .unary(request, PathAndQuery::from_static(path), codec)
        .await;
    answer
        .err()
        .ok_or_else(|| anyhow::anyhow!("{path}: was done"))
}

#[tokio::test]
async fn methods_that_do_not_exist_and_messages_of_others_are_refused() -> anyhow::Result<()> {
    let mut place = Place::new().await?;
    let before = place.listing().await?;
    let channel = tls::connect(place.fleet.address(), &place.fleet.admin_tls()).await?;
    for path in [
        "/evenkeel.v1.PlanService/DoItAll",
        "/evenkeel.v2.PlanService/CreatePlan",
        "/",
    ] {
        let status = call(&channel, path).await?;
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {status:?}");
    }
    let status = call(&channel, "/evenkeel.v1.PlanService/CreatePlan").await?;
    assert_eq!(status.code(), Code::Internal, "{status:?}");
    assert!(
        status
            .message()
            .contains("failed to decode Protobuf message"),
        "{status:?}"
    );

    let heavy = CreatePlanRequest {
        targets: vec![up(&"c".repeat(5 << 20), "1.0.0")],
        ..Default::default()
    };
    let status = place.api.plans().create_plan(heavy).await.err();
    let status = status.map(|status| (status.code(), status.message().to_owned()));
    assert!(
        matches!(&status, Some((Code::OutOfRange, words)) if words.contains("limit is: 4194304 bytes")),
        "{status:?}"
    );
    place.is_as_it_was(&before).await
}
