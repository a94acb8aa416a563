//! `evenkeel release`: versions of components, and the signed bytes that are them.

mod artifact;
mod publish;

use std::time::SystemTime;

use clap::{Args, Subcommand};
use evenkeel_common::names::ComponentName;
use evenkeel_proto::v1::release_service_client::ReleaseServiceClient;
use evenkeel_proto::v1::{GetReleaseRequest, ListReleasesRequest};
use indicatif::BinaryBytes;
use semver::Version;
use serde::Serialize;

use crate::client::{Client, Listed, Page, every, required};
use crate::failure::Failure;
use crate::output::remark;
use crate::session::Session;
use crate::table::Table;
use crate::time::age;
use crate::view::Release;

/// What can be done with releases.
#[derive(Debug, Subcommand)]
pub(crate) enum ReleaseCommand {
    /// Sign an executable or a packed tree and publish it as a version of a component
    Publish(publish::PublishArgs),
    /// All releases, or a component's
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// One release and its artifacts
    Show {
        /// The component
        component: ComponentName,
        /// The version (semver)
        version: Version,
    },
}

/// Which releases are meant.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only this component's
    #[arg(short, long, value_name = "COMPONENT")]
    component: Option<ComponentName>,
}

pub(crate) async fn run(session: &Session, command: ReleaseCommand) -> Result<(), Failure> {
    match command {
        ReleaseCommand::Publish(args) => publish::run(session, args).await,
        ReleaseCommand::List(args) => list(session, args).await,
        ReleaseCommand::Show { component, version } => {
            show(session, component.into(), version.to_string()).await
        }
    }
}

#[derive(Serialize)]
struct Releases {
    releases: Vec<Release>,
    revision: u64,
}

async fn list(session: &Session, args: ListArgs) -> Result<(), Failure> {
    let component = args.component.map(String::from).unwrap_or_default();
    let Listed { items, revision } = all(&session.client, component).await?;
    if items.is_empty() {
        remark("there is no such release; `evenkeel release publish` makes one");
    }
    let releases = Releases {
        releases: items,
        revision,
    };
    session.output.result(&releases, || {
        if releases.releases.is_empty() {
            return String::new();
        }
        let now = SystemTime::now();
        let heading = ["COMPONENT", "VERSION", "PLATFORMS", "PUBLISHED"];
        let mut table = Table::new(session.output.look, &heading);
        for release in &releases.releases {
            let platforms: Vec<_> = release
                .artifacts
                .iter()
                .map(|a| a.platform.as_str())
                .collect();
            table.row([
                release.component.clone(),
                release.version.clone(),
                platforms.join(","),
                age(release.changed_at.as_deref(), now),
            ]);
        }
        table.render()
    })
}

async fn show(session: &Session, component: String, version: String) -> Result<(), Failure> {
    let request = GetReleaseRequest { component, version };
    let answer = session
        .client
        .call(request, async |channel, request| {
            ReleaseServiceClient::new(channel)
                .get_release(request)
                .await
        })
        .await?;
    let release = Release::from(required(answer.release, "release")?);
    session.output.result(&release, || {
        let now = SystemTime::now();
        let mut pairs = Table::pairs(session.output.look);
        pairs.pair("Component", &release.component);
        pairs.pair("Version", &release.version);
        pairs.pair(
            "Published",
            format!("{} ago", age(release.changed_at.as_deref(), now)),
        );
        let mut table = Table::new(
            session.output.look,
            &["PLATFORM", "FORMAT", "SIZE", "SIGNED BY", "DIGEST"],
        );
        for artifact in &release.artifacts {
            let key = artifact
                .manifest
                .as_ref()
                .map(|signed| signed.key_id.clone());
            table.row([
                artifact.platform.clone(),
                artifact.format.to_owned(),
                BinaryBytes(artifact.size_bytes).to_string(),
                key.unwrap_or_default(),
                artifact.digest.clone(),
            ]);
        }
        format!("{}\n{}", pairs.render(), table.render())
    })
}

/// All releases of a component; of all for an empty name.
pub(crate) async fn all(client: &Client, component: String) -> Result<Listed<Release>, Failure> {
    every(async |page_token| {
        let request = ListReleasesRequest {
            page_size: 0,
            page_token,
            component: component.clone(),
        };
        let page = client
            .call(request, async |channel, request| {
                ReleaseServiceClient::new(channel)
                    .list_releases(request)
                    .await
            })
            .await?;
        Ok(Page {
            items: page.releases.into_iter().map(Release::from).collect(),
            next_page_token: page.next_page_token,
            revision: page.revision,
        })
    })
    .await
}
