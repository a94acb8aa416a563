//! What the coordinator has on disk is damaged while it is stopped: a view is made again from the ledger, a ledger that
//! cannot be trusted stops the start with a sentence, and nothing ever begins empty.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use evenkeel_proto::v1::PlanState;
use evenkeel_tests::{
    api::{Api, down, first_stage, quick_policy, up},
    caller::carry_through,
    fleet::Fleet,
    folder::utf8,
    listing::Listing,
    places,
    systems::trivial::{self, Conduct},
    wait,
};

/// How long anything may take that nothing keeps from happening.
const SOON: Duration = Duration::from_secs(60);

/// A coordinator with something to lose, stopped, and how it was before.
struct Stopped {
    _dir: tempfile::TempDir,
    fleet: Fleet,
    api: Api,
    whole: Listing,
    pristine: Utf8PathBuf,
}

/// What came of a start.
enum Start {
    /// It serves, and lists this.
    Serves(Box<Listing>),
    /// It ended, and printed this.
    Refuses(String),
}

impl Stopped {
    async fn new() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let folder = utf8(&dir)?;
        let layout = trivial::Layout::new(folder, 2)?;
        let mut fleet = Fleet::start(folder, &layout.spec).await?;
        let api = fleet.api()?;
        let program = layout.release("1.1.0", Conduct::Good)?;
        api.publish(trivial::COMPONENT, "1.1.0", &program, &fleet.release_key()?)
            .await?;
        let target = up(trivial::COMPONENT, "1.1.0");
        carry_through(&api, &target, quick_policy(), PlanState::Finalized).await?;
        let whole = Listing::at_rest(&api).await?.of_any_start();
        fleet.coordinator()?.terminate(SOON)?;
        // From here on only the disk has something to say.
        for node in fleet.nodes().to_vec() {
            fleet.agent(&node)?.kill()?;
        }
        let pristine = folder.join("pristine");
        copy(&fleet.coordinator_data(), &pristine)?;
        assert_eq!(
            (whole.nodes.len(), whole.releases.len(), whole.plans.len()),
            (2, 1, 1)
        );
        Ok(Self {
            _dir: dir,
            fleet,
            api,
            whole,
            pristine,
        })
    }

    /// Puts everything back as it was when the coordinator stopped.
    fn mend(&self) -> anyhow::Result<()> {
        let data = self.fleet.coordinator_data();
        fs::remove_dir_all(&data)?;
        copy(&self.pristine, &data)
    }

    fn ledger(&self) -> Utf8PathBuf {
        self.fleet.coordinator_data().join("ledger")
    }

    fn view(&self) -> Utf8PathBuf {
        self.fleet.coordinator_data().join("view")
    }

    /// Starts the coordinator, sees what comes of it, and ends it.
    async fn start(&mut self) -> anyhow::Result<Start> {
        let printed_before = self.fleet.coordinator()?.printed().len();
        self.fleet.start_coordinator()?;
        let deadline = std::time::Instant::now() + SOON;
        let start = loop {
            if !self.fleet.coordinator()?.runs()? {
                let printed = self.fleet.coordinator()?.printed();
                let new = printed.get(printed_before..).unwrap_or_default();
                break Start::Refuses(new.to_owned());
            }
            match Listing::of(&self.api).await {
                Ok(listing) => break Start::Serves(Box::new(listing.of_any_start())),
                Err(error) if std::time::Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        if let Start::Serves(_) = start {
            self.fleet.coordinator()?.kill()?;
        }
        Ok(start)
    }

    /// Starts with everything there, or refuses.
    async fn never_begins_with_less(&mut self, damage: &str) -> anyhow::Result<()> {
        match self.start().await? {
            Start::Serves(listing) => assert_eq!(*listing, self.whole, "{damage}"),
            Start::Refuses(printed) => {
                assert!(!printed.contains("panicked"), "{damage}: {printed}");
                assert!(printed.contains("the view"), "{damage}: {printed}");
            }
        }
        Ok(())
    }

    /// Refuses with these words, and leaves what is there as it is.
    async fn refuses(&mut self, damage: &str, words: &[&str]) -> anyhow::Result<()> {
        let before = contents(&self.fleet.coordinator_data())?;
        match self.start().await? {
            Start::Serves(listing) => bail!("{damage}: it began with {listing:?}"),
            Start::Refuses(printed) => {
                for word in words {
                    assert!(printed.contains(word), "{damage}: {printed}");
                }
                assert!(!printed.contains("panicked"), "{damage}: {printed}");
            }
        }
        let after = contents(&self.fleet.coordinator_data())?;
        ensure!(before == after, "{damage}: what is on disk was changed");
        Ok(())
    }
}

fn copy(from: &Utf8Path, to: &Utf8Path) -> anyhow::Result<()> {
    for file in files(from)? {
        let copy = to.join(file.strip_prefix(from)?);
        fs::create_dir_all(copy.parent().context("no folder")?)?;
        fs::copy(&file, &copy)?;
    }
    Ok(())
}

/// Every file below a folder, in order.
fn files(folder: &Utf8Path) -> anyhow::Result<Vec<Utf8PathBuf>> {
    let mut found = Vec::new();
    for entry in folder.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(entry.path())?);
        } else {
            found.push(entry.path().to_owned());
        }
    }
    found.sort();
    Ok(found)
}

/// What ledger and artifacts are, byte for byte. Locks and the view's bookkeeping are nobody's loss.
fn contents(data: &Utf8Path) -> anyhow::Result<Vec<(Utf8PathBuf, Vec<u8>)>> {
    let mut found = Vec::new();
    for part in ["ledger", "artifacts"] {
        let folder = data.join(part);
        if !folder.exists() {
            continue;
        }
        for file in files(&folder)? {
            if file.file_name() != Some("lock") {
                found.push((file.clone(), fs::read(&file)?));
            }
        }
    }
    Ok(found)
}

fn flip(file: &Utf8Path, at: usize) -> anyhow::Result<()> {
    let mut bytes = fs::read(file)?;
    *bytes.get_mut(at).context("the file is too short")? ^= 0x10;
    Ok(fs::write(file, bytes)?)
}

#[tokio::test]
async fn a_view_that_was_deleted_is_made_again() -> anyhow::Result<()> {
    let mut stopped = Stopped::new().await?;
    fs::remove_dir_all(stopped.view())?;
    match stopped.start().await? {
        Start::Serves(listing) => assert_eq!(*listing, stopped.whole),
        Start::Refuses(printed) => bail!("it refused: {printed}"),
    }
    Ok(())
}

#[tokio::test]
async fn a_view_with_a_file_deleted_or_truncated_never_makes_a_start_with_less()
-> anyhow::Result<()> {
    let mut stopped = Stopped::new().await?;
    for file in files(&stopped.view())? {
        let length = fs::metadata(&file)?.len();
        stopped.mend()?;
        fs::remove_file(&file)?;
        stopped
            .never_begins_with_less(&format!("{file} deleted"))
            .await?;
        for left in [0, 1, length / 4, length / 2, length.saturating_sub(1)] {
            stopped.mend()?;
            fs::OpenOptions::new()
                .write(true)
                .open(&file)?
                .set_len(left)?;
            stopped
                .never_begins_with_less(&format!("{file} cut to {left} of {length} bytes"))
                .await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_view_with_a_bit_flipped_never_makes_a_start_with_less() -> anyhow::Result<()> {
    let mut stopped = Stopped::new().await?;
    for file in files(&stopped.view())? {
        let used = fs::read(&file)?;
        // sled's file is mostly empty: its used part is what matters.
        let used = used.iter().rposition(|byte| *byte != 0).unwrap_or_default();
        let steps = 12;
        for step in 0..=steps {
            let at = used * step / steps;
            stopped.mend()?;
            if flip(&file, at).is_ok() {
                stopped
                    .never_begins_with_less(&format!("{file}, byte {at} flipped"))
                    .await?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_ledger_that_is_gone_beside_a_view_stops_the_start() -> anyhow::Result<()> {
    let mut stopped = Stopped::new().await?;
    fs::remove_dir_all(stopped.ledger())?;
    let words = [
        "the ledger",
        "is gone",
        "bring the ledger back from a backup",
    ];
    stopped.refuses("the folder deleted", &words).await?;
    assert!(!stopped.ledger().exists(), "a new ledger was begun");

    stopped.mend()?;
    for file in files(&stopped.ledger())? {
        fs::remove_file(&file)?;
    }
    let words = ["there is no segment in ledger", "from a backup"];
    stopped.refuses("every file deleted", &words).await
}

/// The ledger's only segment and how many of its bytes are in use.
fn segment(stopped: &Stopped) -> anyhow::Result<(Utf8PathBuf, usize)> {
    let segments = files(&stopped.ledger())?;
    let segment = segments
        .into_iter()
        .find(|file| file.extension() == Some("segment"))
        .context("no segment")?;
    let bytes = fs::read(&segment)?;
    let used = bytes.iter().rposition(|byte| *byte != 0);
    Ok((segment, used.context("an empty segment")? + 1))
}

#[tokio::test]
async fn a_ledger_that_ends_before_its_view_stops_the_start() -> anyhow::Result<()> {
    let mut stopped = Stopped::new().await?;
    let (segment, used) = segment(&stopped)?;
    let length = fs::metadata(&segment)?.len();
    // As after a restored backup: it is whole, only older.
    for kept in [used * 9 / 10, used / 2] {
        stopped.mend()?;
        let file = fs::OpenOptions::new().write(true).open(&segment)?;
        file.set_len(kept as u64)?;
        file.set_len(length)?;
        stopped.refuses_as_older_or_damaged(kept).await?;
    }
    // As after a disk that lost the end of a file.
    for left in [0, 100, used as u64 / 2, length - 1] {
        stopped.mend()?;
        let file = fs::OpenOptions::new().write(true).open(&segment)?;
        file.set_len(left)?;
        let damage = format!("{left} of {length} bytes left");
        stopped
            .refuses(&damage, &["ledger is damaged", "restore this file"])
            .await?;
    }
    Ok(())
}

impl Stopped {
    /// A cut in the middle of a record is a torn one, which is dropped: then the view has seen more.
    async fn refuses_as_older_or_damaged(&mut self, kept: usize) -> anyhow::Result<()> {
        match self.start().await? {
            Start::Serves(listing) => bail!("cut to {kept} bytes: it began with {listing:?}"),
            Start::Refuses(printed) => {
                let older = printed.contains("acknowledged records are lost");
                let damaged = printed.contains("ledger is damaged");
                assert!(older || damaged, "cut to {kept} bytes: {printed}");
                assert!(printed.contains("backup"), "cut to {kept} bytes: {printed}");
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_ledger_with_a_byte_flipped_stops_the_start() -> anyhow::Result<()> {
    let mut stopped = Stopped::new().await?;
    let (segment, used) = segment(&stopped)?;
    let steps = 24;
    // The last record could be one that was never acknowledged, were it not for the view.
    for step in 0..=steps {
        let at = (used - 1) * step / steps;
        stopped.mend()?;
        flip(&segment, at)?;
        match stopped.start().await? {
            Start::Serves(listing) => bail!("byte {at} of {used} flipped: {listing:?}"),
            Start::Refuses(printed) => {
                let told = [
                    "ledger is damaged",
                    "acknowledged records are lost",
                    "belongs to cluster",
                    "has format version",
                ];
                assert!(
                    told.iter().any(|words| printed.contains(words)),
                    "byte {at} of {used} flipped: {printed}"
                );
                assert!(!printed.contains("panicked"), "{printed}");
            }
        }
    }
    stopped.mend()?;
    match stopped.start().await? {
        Start::Serves(listing) => assert_eq!(*listing, stopped.whole),
        Start::Refuses(printed) => bail!("the whole one: {printed}"),
    }
    Ok(())
}

#[tokio::test]
async fn a_restored_backup_changes_nothing_on_a_host() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let layout = trivial::Layout::new(folder, 2)?;
    let mut fleet = Fleet::start(folder, &layout.spec).await?;
    let api = fleet.api()?;
    for version in [trivial::FIRST, "1.1.0"] {
        let program = layout.release(version, Conduct::Good)?;
        api.publish(trivial::COMPONENT, version, &program, &fleet.release_key()?)
            .await?;
    }
    fleet.coordinator()?.kill()?;
    let (data, backup) = (fleet.coordinator_data(), folder.join("backup"));
    copy(&data, &backup)?;
    fleet.start_coordinator()?;
    let there = up(trivial::COMPONENT, "1.1.0");
    carry_through(&api, &there, quick_policy(), PlanState::Finalized).await?;
    fleet.wait_until_whole().await?;
    let before = api.instances().await?;

    // The ledger and the view of before the plan, which fit each other.
    fleet.coordinator()?.kill()?;
    fs::remove_dir_all(&data)?;
    copy(&backup, &data)?;
    fleet.start_coordinator()?;
    fleet.wait_until_whole().await?;
    let back = api
        .create_plan(&[down(trivial::COMPONENT, trivial::FIRST)], quick_policy())
        .await?;
    api.start_plan(&back.name).await?;
    let words = "has accepted order 1, and this coordinator knows of 0: its state is an old copy";
    wait::until("the agents' refusal to be told", SOON, || async {
        for node in api.nodes().await?.values() {
            ensure!(node.fenced.contains(words), "{node:?}");
        }
        let waits = api.explain_plan(&back.name).await?;
        let told = waits
            .get(&first_stage("n1/store"))
            .context("n1 waits for nothing")?;
        ensure!(told.sentence.contains("takes no orders"), "{told:?}");
        ensure!(told.sentence.contains(words), "{told:?}");
        Ok(())
    })
    .await?;
    for (name, now) in api.instances().await? {
        let then = before.get(&name).context("a new instance")?;
        assert_eq!(now.process, then.process, "{name}");
        assert_eq!(now.accepted_generation, then.accepted_generation, "{name}");
        assert_eq!(now.generation, 0, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_second_coordinator_on_the_same_state_does_not_start() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let layout = trivial::Layout::new(folder, 1)?;
    let mut fleet = Fleet::start(folder, &layout.spec).await?;
    let api = fleet.api()?;
    let before = Listing::at_rest(&api).await?;
    let second = Command::new(places::program("evenkeel-coordinator")?)
        .args(["--config", fleet.coordinator_config().as_str()])
        .env("EVENKEEL_COORDINATOR__LISTEN", "127.0.0.1:0")
        .output()?;
    let printed = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success(), "{printed}");
    assert!(
        printed.contains("is in use by another process"),
        "{printed}"
    );
    assert!(fleet.coordinator()?.runs()?);
    assert_eq!(Listing::of(&api).await?, before);
    Ok(())
}
