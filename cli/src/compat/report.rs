//! `evenkeel compat report` and `reported`: which versions of external components are in use.

use std::str::FromStr;
use std::time::SystemTime;

use clap::Args;
use evenkeel_common::names::{ComponentName, SourceName};
use evenkeel_proto::v1;
use evenkeel_proto::v1::{ListReportedVersionsRequest, ReportVersionsRequest};
use semver::Version;
use serde::Serialize;

use super::{service, text};
use crate::args::ChangeArgs;
use crate::client::{Client, Listed, Page, every, required};
use crate::failure::Failure;
use crate::output::remark;
use crate::session::Session;
use crate::table::printable;
use crate::view::ReportedVersions;

/// What is reported.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The component; the matrix has it as external
    component: ComponentName,
    /// The versions in use (semver), each with how many use it where that is known. They take the place of all that
    /// this source said before
    #[arg(value_name = "VERSION[=COUNT]", required_unless_present = "none")]
    versions: Vec<InUse>,
    /// Who sees them in use, for example `web-gateway`
    #[arg(long, value_name = "NAME")]
    source: SourceName,
    /// This source sees no version in use any more
    #[arg(long, conflicts_with = "versions")]
    none: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// A version in use, and by how many.
#[derive(Debug, Clone, PartialEq, Eq)]
struct InUse {
    version: Version,
    /// 0 where it was not counted.
    count: u64,
}

impl FromStr for InUse {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (version, count) = match text.split_once('=') {
            None => (text, None),
            Some((version, count)) => (version, Some(count)),
        };
        let version = version.parse().map_err(|error| {
            format!("{version:?} is not a version, write one like 1.4.0 or 1.4.0=12 ({error})")
        })?;
        let count = match count.map(str::parse) {
            None => 0,
            Some(Ok(count @ 1..)) => count,
            Some(_) => {
                return Err(
                    "the count is a number from 1; leave out a version that nobody uses".to_owned(),
                );
            }
        };
        Ok(Self { version, count })
    }
}

pub(super) async fn run(session: &Session, args: ReportArgs) -> Result<(), Failure> {
    let request_id = args.change.request_id();
    let versions = args.versions.into_iter().map(|in_use| v1::VersionInUse {
        version: in_use.version.to_string(),
        count: in_use.count,
    });
    let request = ReportVersionsRequest {
        request_id: request_id.to_string(),
        component: args.component.into(),
        source: args.source.into(),
        versions: versions.collect(),
    };
    let answer = session
        .client
        .change(request_id, request, async |channel, request| {
            service(channel).report_versions(request).await
        })
        .await?;
    let report = ReportedVersions::from(required(answer.report, "report")?);
    session.output.result(&report, || {
        printable(&format!(
            "{} in use at {}: {}",
            report.component,
            report.source,
            text::in_use(&report.versions)
        ))
    })
}

#[derive(Serialize)]
struct Reports {
    reports: Vec<ReportedVersions>,
    revision: u64,
}

pub(super) async fn list(
    session: &Session,
    component: Option<ComponentName>,
) -> Result<(), Failure> {
    let component = component.map(String::from).unwrap_or_default();
    let Listed { items, revision } = all(&session.client, component).await?;
    if items.is_empty() {
        remark("nothing is reported; `evenkeel compat report` says which versions are in use");
    }
    let reports = Reports {
        reports: items,
        revision,
    };
    session.output.result(&reports, || {
        if reports.reports.is_empty() {
            return String::new();
        }
        text::reports(&reports.reports, session.output.look, SystemTime::now())
    })
}

/// What all sources said of a component; of all for an empty name.
pub(super) async fn all(
    client: &Client,
    component: String,
) -> Result<Listed<ReportedVersions>, Failure> {
    every(async |page_token| {
        let request = ListReportedVersionsRequest {
            component: component.clone(),
            page_size: 0,
            page_token,
        };
        let page = client
            .call(request, async |channel, request| {
                service(channel).list_reported_versions(request).await
            })
            .await?;
        Ok(Page {
            items: page.reports.into_iter().map(Into::into).collect(),
            next_page_token: page.next_page_token,
            revision: page.revision,
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_in_use_may_have_a_count_and_never_none() {
        let in_use = "1.4.0-rc.1=12".parse::<InUse>().unwrap();
        assert_eq!(
            (in_use.version.to_string().as_str(), in_use.count),
            ("1.4.0-rc.1", 12)
        );
        assert_eq!("1.4.0".parse::<InUse>().unwrap().count, 0);
        for (text, said) in [
            ("1.4", "is not a version"),
            ("1.4.0=", "number from 1"),
            ("1.4.0=0", "number from 1"),
            ("1.4.0=many", "number from 1"),
        ] {
            let error = text.parse::<InUse>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
