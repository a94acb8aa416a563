//! `evenkeel init`: everything a new cluster needs before its first process starts, made on one machine.
//!
//! What is there is never replaced. Each folder appears whole or not at all, so that a run that was interrupted is
//! finished by running again; running again is also how nodes and operators are added. Nothing here talks to a
//! coordinator.

mod certificates;
mod configuration;
mod folders;
mod report;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use evenkeel_common::files::{FolderLock, create_private_folder, write_atomically};
use evenkeel_common::identity::{Identity, Role};
use evenkeel_common::manifest::{PublicKey, SigningKey};
use evenkeel_common::names::{ClusterName, NodeName, OperatorName};
use evenkeel_common::pki::{Authority, new_release_key_pem};
use evenkeel_common::secrets::{PRIVATE_FILE_MODE, read_private, read_small};
use evenkeel_common::tls::Address;

use certificates::{Issue, authority_validity};
use folders::{CA, CERTIFICATE, Folder, KEY, PUBLIC_FILE_MODE};
pub(crate) use report::InitReport;
use report::Outcome;

/// Where the coordinator of a first try listens.
const COORDINATOR_DEFAULT: &str = "127.0.0.1:7400";

/// Name of the CLI's own configuration.
const CLI_CONFIGURATION: &str = "evenkeel.toml";

/// Name of the CA's folder.
const CA_FOLDER: &str = "ca";

/// The longest that an agent's certificate may hold: as long as the CA's.
const AGENT_DAYS_MAX: i64 = 3650;

/// The most nodes that are added in one run.
const NODES_MAX: usize = 10_000;

#[derive(Debug, Clone, Args)]
pub(crate) struct InitArgs {
    /// Folder to put everything in; made if it is not there
    dir: Utf8PathBuf,

    /// Name of the cluster; needed the first time
    #[arg(long, value_name = "NAME")]
    cluster: Option<ClusterName>,

    /// Where agents and the CLI find the coordinator [default: 127.0.0.1:7400]
    #[arg(long, value_name = "HOST:PORT")]
    coordinator: Option<Address>,

    /// Nodes to make a certificate and a configuration for
    #[arg(long = "node", value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    nodes: Vec<NodeName>,

    /// Operators to make a certificate and a configuration for; the role is viewer, operator or admin
    #[arg(long = "operator", value_name = "NAME:ROLE", value_parser = parse_operator)]
    operators: Vec<(OperatorName, Role)>,

    /// Folder on the hosts for what the coordinator and the agents keep [default: `data` beside their configuration]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<Utf8PathBuf>,

    /// How long a new agent's certificate holds
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(i64).range(1..=AGENT_DAYS_MAX))]
    agent_days: i64,
}

fn parse_operator(text: &str) -> Result<(OperatorName, Role), String> {
    let (name, role) = text
        .split_once(':')
        .ok_or("write it as NAME:ROLE, for example ada:operator")?;
    Ok((
        name.parse().map_err(|error| format!("{error}"))?,
        role.parse().map_err(|error| format!("{error}"))?,
    ))
}

/// Makes what is missing.
///
/// # Errors
/// When something is asked for that contradicts what is there, or the disk fails. What was made until then stays and is
/// good.
pub(crate) fn run(args: &InitArgs) -> anyhow::Result<InitReport> {
    ensure!(
        args.nodes.len() <= NODES_MAX,
        "{} nodes are too many for one run: {NODES_MAX} are allowed",
        args.nodes.len()
    );
    if !args.dir.join(CA_FOLDER).exists() {
        cluster_name(args)?;
    }
    create_private_folder(&args.dir)
        .with_context(|| format!("cannot make the folder {}", args.dir))?;
    let _lock = FolderLock::take(&args.dir)
        .with_context(|| format!("cannot lock {}: is another init running there?", args.dir))?;

    let mut report = InitReport::new(&args.dir);
    let now = SystemTime::now();
    let authority = authority(args, now, &mut report)?;
    let address = address(args, &mut report)?;
    let release_key = release_key(&args.dir, &mut report)?;
    let issue = Issue {
        authority: &authority,
        address: &address,
        now,
    };
    coordinator(args, &issue, &release_key, &mut report)?;
    let admin = ("admin".parse()?, Role::Admin);
    for (name, role) in std::iter::once(&admin).chain(&args.operators) {
        operator(args, &issue, name, *role, &mut report)?;
    }
    for node in &args.nodes {
        agent(args, &issue, node, &release_key, &mut report)?;
    }
    Ok(report)
}

/// The CA that is there, or a new one.
fn authority(
    args: &InitArgs,
    now: SystemTime,
    report: &mut InitReport,
) -> anyhow::Result<Authority> {
    let folder = Folder::new(args.dir.join(CA_FOLDER));
    if folder.exists(&[CA, KEY])? {
        let authority = Authority::load(
            &text(read_small(&folder.file(CA))?)?,
            &text(read_private(&folder.file(KEY))?)?,
        )
        .with_context(|| format!("cannot use the certificate authority in {}", folder.path()))?;
        if let Some(cluster) = &args.cluster {
            ensure!(
                cluster == authority.cluster(),
                "{} is the folder of the cluster {}, not of {cluster}: name another folder for another cluster",
                args.dir,
                authority.cluster()
            );
        }
        report.add(
            folder.path(),
            Outcome::Kept,
            what_authority(authority.cluster()),
        );
        return Ok(authority);
    }
    let cluster = cluster_name(args)?;
    let (authority, issued) = Authority::create(cluster.clone(), authority_validity(now))?;
    folder.create(&[
        (CA, PUBLIC_FILE_MODE, &issued.certificate_pem),
        (KEY, PRIVATE_FILE_MODE, &issued.key_pem),
    ])?;
    report.add(folder.path(), Outcome::Created, what_authority(cluster));
    Ok(authority)
}

/// The name of a cluster that is to be made.
fn cluster_name(args: &InitArgs) -> anyhow::Result<&ClusterName> {
    args.cluster.as_ref().with_context(|| {
        format!(
            "{} holds no cluster yet: give the new one a name with --cluster NAME",
            args.dir
        )
    })
}

fn what_authority(cluster: &ClusterName) -> String {
    format!("certificate authority of the cluster {cluster}; its key can speak for everybody in it")
}

/// The coordinator's address as it was decided the first time, kept in the CLI's configuration.
fn address(args: &InitArgs, report: &mut InitReport) -> anyhow::Result<Address> {
    let path = args.dir.join(CLI_CONFIGURATION);
    let what = "configuration of the CLI, as the operator admin";
    if path.exists() {
        let known = configuration::coordinator_of_cli(&path)?;
        if let Some(wanted) = &args.coordinator {
            ensure!(
                *wanted == known,
                "the coordinator of this cluster is at {known}, not at {wanted}: to move it, change the address in {path} and the other configurations"
            );
        }
        report.add(&path, Outcome::Kept, what);
        return Ok(known);
    }
    let address = match &args.coordinator {
        Some(address) => address.clone(),
        None => COORDINATOR_DEFAULT.parse()?,
    };
    let text = configuration::cli(&address, Utf8Path::new("operators/admin"));
    write_atomically(&path, text.as_bytes(), PUBLIC_FILE_MODE)
        .with_context(|| format!("cannot write {path}"))?;
    report.add(&path, Outcome::Created, what);
    Ok(address)
}

/// The public half of the key that signs releases.
fn release_key(dir: &Utf8Path, report: &mut InitReport) -> anyhow::Result<PublicKey> {
    let (private, public) = (dir.join("releases.key"), dir.join("releases.pub"));
    let what = "key that signs releases; agents run what it signed";
    if private.exists() {
        report.add(&private, Outcome::Kept, what);
    } else {
        // Without this a lost private key would be replaced by one that no agent trusts.
        ensure!(
            !public.exists(),
            "{public} is there, but not its private half {private}: put it back, or move {public} away for a new pair"
        );
        write_atomically(
            &private,
            new_release_key_pem()?.as_bytes(),
            PRIVATE_FILE_MODE,
        )
        .with_context(|| format!("cannot write {private}"))?;
        report.add(&private, Outcome::Created, what);
    }
    let key = SigningKey::load(&private)
        .with_context(|| format!("cannot use {private}"))?
        .public_key();
    let what = "its public half, which the agents' configurations name";
    if public.exists() {
        let written = text(read_small(&public)?)?;
        ensure!(
            written.trim().parse() == Ok(key),
            "{public} is not the public half of {private}: move it away and run again to have it written anew"
        );
        report.add(&public, Outcome::Kept, what);
    } else {
        write_atomically(&public, format!("{key}\n").as_bytes(), PUBLIC_FILE_MODE)
            .with_context(|| format!("cannot write {public}"))?;
        report.add(&public, Outcome::Created, what);
    }
    Ok(key)
}

fn coordinator(
    args: &InitArgs,
    issue: &Issue<'_>,
    release_key: &PublicKey,
    report: &mut InitReport,
) -> anyhow::Result<()> {
    let data_dir = data_dir(args, Utf8Path::new("coordinator"));
    end(
        args.dir.join("coordinator"),
        &issue.coordinator()?,
        (
            "coordinator.toml",
            &configuration::coordinator(
                issue.authority.cluster(),
                issue.address,
                &data_dir,
                release_key,
            ),
        ),
        issue,
        report,
    )
}

fn operator(
    args: &InitArgs,
    issue: &Issue<'_>,
    name: &OperatorName,
    role: Role,
    report: &mut InitReport,
) -> anyhow::Result<()> {
    end(
        args.dir.join("operators").join(name.as_str()),
        &issue.operator(name, role),
        (
            CLI_CONFIGURATION,
            &configuration::cli(issue.address, Utf8Path::new("")),
        ),
        issue,
        report,
    )
}

fn agent(
    args: &InitArgs,
    issue: &Issue<'_>,
    node: &NodeName,
    release_key: &PublicKey,
    report: &mut InitReport,
) -> anyhow::Result<()> {
    let data_dir = data_dir(args, &Utf8Path::new("agents").join(node.as_str()));
    let validity = Duration::from_secs(args.agent_days.unsigned_abs() * certificates::DAY_SECONDS);
    end(
        args.dir.join("agents").join(node.as_str()),
        &issue.agent(node, validity),
        (
            "agent.toml",
            &configuration::agent(node, issue.address, &data_dir, release_key),
        ),
        issue,
        report,
    )
}

/// The folder of one end: what it needs to be itself, ready to be copied to where it runs.
fn end(
    path: Utf8PathBuf,
    request: &evenkeel_common::pki::IssueRequest,
    (configuration_name, configuration): (&str, &str),
    issue: &Issue<'_>,
    report: &mut InitReport,
) -> anyhow::Result<()> {
    let folder = Folder::new(path);
    if folder.exists(&[CA, CERTIFICATE, KEY, configuration_name])? {
        let facts = folder.tls_files().own_facts()?;
        ensure!(
            facts.identity == request.identity,
            "{} belongs to {}, not to {}: choose another name, or move the folder away",
            folder.path(),
            facts.identity,
            request.identity
        );
        let what = what_end(&facts.identity, facts.not_after, issue.now);
        report.add(folder.path(), Outcome::Kept, what);
        return Ok(());
    }
    let issued = issue.authority.issue(request)?;
    folder.create(&[
        (CA, PUBLIC_FILE_MODE, issue.authority.certificate_pem()),
        (CERTIFICATE, PUBLIC_FILE_MODE, &issued.certificate_pem),
        (KEY, PRIVATE_FILE_MODE, &issued.key_pem),
        (configuration_name, PUBLIC_FILE_MODE, configuration),
    ])?;
    let what = what_end(&request.identity, request.validity.not_after, issue.now);
    report.add(folder.path(), Outcome::Created, what);
    Ok(())
}

fn what_end(identity: &Identity, not_after: SystemTime, now: SystemTime) -> String {
    let end = humantime::format_rfc3339_seconds(not_after);
    let who = match identity {
        Identity::Agent { node, .. } => format!("agent of {node}"),
        Identity::Operator { name, role, .. } => format!("operator {name} with the role {role}"),
        Identity::Coordinator { .. } => "coordinator".to_owned(),
    };
    if not_after < now {
        format!(
            "{who}; its certificate EXPIRED at {end}: move the folder away and run again for a new one"
        )
    } else {
        format!("{who}; its certificate holds until {end}")
    }
}

/// Where an end keeps its state: below the folder that was asked for, or beside its configuration.
fn data_dir(args: &InitArgs, own: &Utf8Path) -> Utf8PathBuf {
    match &args.data_dir {
        Some(folder) => folder.join(own),
        None => "data".into(),
    }
}

fn text(bytes: Vec<u8>) -> anyhow::Result<String> {
    String::from_utf8(bytes).context("the file is not text")
}
