//! Rolls a release over 50 trivial processes, one at a time, and says what Evenkeel adds to the least that
//! stopping and starting them takes. Beside it, in the same run, a bare loop and a shell loop do the same.
//!
//! `cargo xtask bench` builds everything with optimisation and runs it.

use std::{
    fs,
    io::Write as _,
    net::TcpStream,
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_proto::v1::{PlanComparison, PlanPolicy, PlanState};
use evenkeel_tests::{
    api::{down, one_wave},
    fleet::{Fleet, FleetSpec, NodeSpec},
    matrix, places, ports,
};

/// Instances on the one node.
const INSTANCES: usize = 50;

/// Rolls of the whole fleet, back and forth; the first warms up and does not count.
const ROLLS: usize = 7;

/// What the agent's heartbeat and probes are left alone for, to see what it costs when nothing happens.
const IDLE: Duration = Duration::from_secs(10);

const COMPONENT: &str = "bench";

fn main() -> anyhow::Result<()> {
    // Cargo passes this to every benchmark.
    if std::env::args().any(|argument| argument == "--list") {
        return Ok(());
    }
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(run())
}

/// Two releases of the same program: bytes after the end of an executable change nothing but its digest.
fn releases(folder: &Utf8Path) -> anyhow::Result<[(&'static str, Utf8PathBuf); 2]> {
    let program = fs::read(places::program("evenkeel-bench-process")?)?;
    let release = |version: &'static str| {
        let path = folder.join(format!("bench-{version}"));
        fs::write(&path, [&program, version.as_bytes()].concat())?;
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        anyhow::Ok((version, path))
    };
    Ok([release("1.0.0")?, release("1.1.0")?])
}

async fn run() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = Utf8Path::from_path(dir.path()).context("the folder's name is not UTF-8")?;
    let [old, new] = releases(folder)?;
    let ports = ports::free(INSTANCES)?;
    let shell = shell_loop(folder, &old.1, &ports)?;
    let bare = bare_loop(&old.1, &ports)?;

    let mut node = NodeSpec::new("n1", String::new());
    node.instances = ports
        .iter()
        .map(|port| {
            format!(
                r#"[[instance]]
name = "bench-{port}"
component = "{COMPONENT}"
command = ["{{release}}/{COMPONENT}", "{port}"]
initial = {{ version = "{}", path = "{}" }}
[[instance.probe]]
type = "tcp"
address = "127.0.0.1:{port}"
interval = "5s"
"#,
                old.0, old.1
            )
        })
        .collect();
    let mut spec = FleetSpec::new(vec![node]);
    // The defaults are what is measured.
    spec.coordinator_extra = String::new();
    spec.agent_extra = String::new();
    spec.matrix = Some(matrix::all_go_together(COMPONENT));
    let mut fleet = Fleet::start(folder, &spec).await?;
    let api = fleet.api()?;
    let key = fleet.release_key()?;
    for (version, path) in [&old, &new] {
        api.publish(COMPONENT, version, path, &key).await?;
    }
    let pids = [fleet.coordinator()?.pid(), fleet.agent("n1")?.pid()];

    let mut rolls = Vec::new();
    let mut direction = [old.0, new.0];
    for _ in 0..ROLLS {
        let policy = PlanPolicy {
            canary: Some(0),
            soak: Some(prost_types::Duration::default()),
            waves: one_wave(),
            compare: Some(PlanComparison {
                off: true,
                ..Default::default()
            }),
            ..Default::default()
        };
        let plan = api
            .create_plan(&[down(COMPONENT, direction[1])], policy)
            .await?;
        let cpu_before = [cpu(&pids[..1])?, cpu(&pids[1..])?];
        api.start_plan(&plan.name).await?;
        let plan = api
            .wait_for_plan(&plan.name, PlanState::Finalized, Duration::from_secs(120))
            .await?;
        let coordinator_cpu = cpu(&pids[..1])?.saturating_sub(cpu_before[0]);
        let agent_cpu = cpu(&pids[1..])?.saturating_sub(cpu_before[1]);
        let tasks = api.tasks(&plan.name).await?;
        ensure!(tasks.len() == INSTANCES, "{} tasks", tasks.len());
        // From the first order on: the prefetch before it is once a plan, not once an instance.
        let first = tasks
            .values()
            .filter_map(|task| task.admitted_at)
            .map(nanos)
            .min();
        let last = plan.ended_at.map(nanos);
        let (Some(first), Some(last)) = (first, last) else {
            anyhow::bail!("the plan has no times");
        };
        let ideal: u64 = tasks.values().map(|task| task.stop_to_ready_us).sum();
        rolls.push(Roll {
            wall: Duration::from_nanos(last.saturating_sub(first)),
            ideal: Duration::from_micros(ideal),
            coordinator_cpu,
            agent_cpu,
        });
        direction.reverse();
    }
    let counted = rolls.get(1..).unwrap_or_default();

    let cpu_before = cpu(&pids[1..])?;
    tokio::time::sleep(IDLE).await;
    let idle = cpu(&pids[1..])?.saturating_sub(cpu_before);

    let mut out = std::io::stdout().lock();
    let per = |duration: Duration| duration.as_secs_f64() * 1e3 / INSTANCES as f64;
    writeln!(
        out,
        "rolling {INSTANCES} trivial processes one at a time, median (least to most) of {} rolls, ms an instance",
        counted.len()
    )?;
    for (what, figure) in [
        (
            "wall",
            Box::new(|r: &Roll| per(r.wall)) as Box<dyn Fn(&Roll) -> f64>,
        ),
        ("stop to ready (ideal)", Box::new(|r| per(r.ideal))),
        (
            "added wall",
            Box::new(|r| per(r.wall.saturating_sub(r.ideal))),
        ),
        (
            "CPU of the coordinator",
            Box::new(|r| per(r.coordinator_cpu)),
        ),
        ("CPU of the agent", Box::new(|r| per(r.agent_cpu))),
    ] {
        let (least, median, most) = spread(counted.iter().map(&figure).collect());
        writeln!(out, "{what:<30} {median:8.2} ({least:.2} to {most:.2})")?;
    }
    let (least, median, most) = spread(bare.iter().map(|wall| per(*wall)).collect());
    writeln!(
        out,
        "{:<30} {median:8.2} ({least:.2} to {most:.2})",
        "bare stop and start, wall"
    )?;
    let (least, median, most) = spread(shell.iter().map(|wall| per(*wall)).collect());
    writeln!(
        out,
        "{:<30} {median:8.2} ({least:.2} to {most:.2})",
        "a shell loop, wall"
    )?;
    writeln!(
        out,
        "agent, {INSTANCES} instances: {} KiB resident, {:?} of CPU in {IDLE:?} of idling",
        resident_kib(pids[1])?,
        idle
    )?;
    writeln!(out, "coordinator: {} KiB resident", resident_kib(pids[0])?)?;
    Ok(())
}

struct Roll {
    wall: Duration,
    ideal: Duration,
    coordinator_cpu: Duration,
    agent_cpu: Duration,
}

fn nanos(at: prost_types::Timestamp) -> u64 {
    u64::try_from(at.seconds).unwrap_or_default() * 1_000_000_000
        + u64::try_from(at.nanos).unwrap_or_default()
}

fn spread(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
    (
        at(0),
        at(figures.len() / 2),
        at(figures.len().saturating_sub(1)),
    )
}

/// Stops and starts the same processes from a shell, looking every 10 ms as people write it.
fn shell_loop(
    folder: &Utf8Path,
    program: &Utf8Path,
    ports: &[u16],
) -> anyhow::Result<Vec<Duration>> {
    let script = folder.join("roll.sh");
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let text = format!(
        r#"set -u
ready() {{ (exec 3<>/dev/tcp/127.0.0.1/$1) 2>/dev/null; }}
declare -A pid
for p in {ports}; do {program} $p & pid[$p]=$!; done
for p in {ports}; do until ready $p; do sleep 0.01; done; done
for round in 1 2 3; do
  t0=$(date +%s%N)
  for p in {ports}; do
    kill ${{pid[$p]}}; while kill -0 ${{pid[$p]}} 2>/dev/null; do sleep 0.01; done
    {program} $p & pid[$p]=$!
    until ready $p; do sleep 0.01; done
  done
  echo $(( $(date +%s%N) - t0 ))
done
for p in {ports}; do kill ${{pid[$p]}}; done
wait
"#,
        ports = ports.join(" ")
    );
    fs::write(&script, text)?;
    let started = Instant::now();
    let output = Command::new("bash")
        .arg(&script)
        .output()
        .context("cannot run bash")?;
    ensure!(
        started.elapsed() < Duration::from_secs(120),
        "the shell loop took too long"
    );
    let text = String::from_utf8(output.stdout)?;
    let rounds = text
        .lines()
        .map(|line| Ok(Duration::from_nanos(line.trim().parse()?)));
    rounds.collect()
}

/// Stops and starts the same processes from this one, with nothing written down and nothing checked.
fn bare_loop(program: &Utf8Path, ports: &[u16]) -> anyhow::Result<Vec<Duration>> {
    let start = |port: u16| -> anyhow::Result<Child> {
        let child = Command::new(program).arg(port.to_string()).spawn()?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(Instant::now() < deadline, "port {port} does not answer");
            std::thread::sleep(Duration::from_micros(100));
        }
        Ok(child)
    };
    let mut children = ports
        .iter()
        .map(|port| start(*port))
        .collect::<Result<Vec<_>, _>>()?;
    let mut rounds = Vec::new();
    for _ in 0..ROLLS {
        let begun = Instant::now();
        for (child, port) in children.iter_mut().zip(ports) {
            child.kill()?;
            child.wait()?;
            *child = start(*port)?;
        }
        rounds.push(begun.elapsed());
    }
    for mut child in children {
        child.kill()?;
        child.wait()?;
    }
    Ok(rounds)
}

/// User and system time of the processes themselves; what their children used is theirs.
fn cpu(pids: &[u32]) -> anyhow::Result<Duration> {
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    let mut ticks = 0;
    for pid in pids {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, fields) = stat.rsplit_once(") ").context("no stat")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        for index in [11, 12] {
            let field = fields.get(index).context("no time in stat")?;
            ticks += field.parse::<u64>()?;
        }
    }
    Ok(Duration::from_millis(ticks * 1000 / ticks_per_second))
}

fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let figure = line.and_then(|line| line.split_whitespace().next());
    Ok(figure.context("no VmRSS")?.parse()?)
}
