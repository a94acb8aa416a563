//! docs/COMPATIBILITY.md: every command in it is run, in its order, against the fleet that it speaks of, and prints what
//! the page says. With `EVENKEEL_UPDATE_DOCS` set, the page is brought up to date instead.

use std::{fs, process::Command};

use anyhow::{Context as _, ensure};
use camino::Utf8Path;
use evenkeel_tests::{
    example::Example,
    folder::utf8,
    handbook::{self, COMPATIBILITY, ELLIPSIS, Step},
    places,
};

/// Whether these lines are printed where the page has those. An ellipsis stands for any text within a line, and alone for
/// any lines.
fn fits(page: &[&str], printed: &[&str]) -> bool {
    match page.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if *line == ELLIPSIS => (0..=printed.len()).any(|left_out| {
            let after = printed.get(left_out..).unwrap_or_default();
            fits(rest, after)
        }),
        Some((line, rest)) => printed
            .split_first()
            .is_some_and(|(first, after)| fits_line(line, first) && fits(rest, after)),
    }
}

fn fits_line(page: &str, printed: &str) -> bool {
    match page.split_once(ELLIPSIS) {
        None => page == printed,
        Some((before, after)) => printed.strip_prefix(before).is_some_and(|rest| {
            let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.any(|at| fits_line(after, rest.get(at..).unwrap_or_default()))
        }),
    }
}

/// What a command prints to a reader: both streams, without blanks at the ends of lines.
fn print(command: &str, folder: &Utf8Path, config: &Utf8Path) -> anyhow::Result<String> {
    let evenkeel = places::program("evenkeel")?;
    let programs = evenkeel.parent().context("no folder")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", &format!("{command} 2>&1")])
        .current_dir(folder)
        .env("PATH", format!("{programs}:{path}"))
        .env("EVENKEEL_CONFIG", config)
        .output()
        .with_context(|| format!("cannot run {command}"))?;
    let printed = String::from_utf8(output.stdout)?;
    let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
    Ok(lines.join("\n"))
}

#[tokio::test]
async fn every_command_of_the_page_prints_what_the_page_says() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = utf8(&dir)?;
    let example = Example::start(&folder.join("fleet"), None).await?;
    let reader = folder.join("reader");
    fs::create_dir(&reader)?;
    let (mut wrong, mut outputs) = (Vec::new(), Vec::new());
    let steps = handbook::compatibility()?;
    ensure!(!steps.is_empty(), "the page has no steps");
    for step in steps {
        match step {
            Step::Write {
                name,
                text,
                continued,
            } => {
                let path = reader.join(name);
                let before = match continued {
                    true => fs::read_to_string(&path)?,
                    false => String::new(),
                };
                fs::write(path, before + &text)?;
            }
            Step::Run { command, output } => {
                let config = example.fleet.folder().join("evenkeel.toml");
                let printed = print(&command, &reader, &config)?;
                let on_page: Vec<&str> = output.lines().collect();
                if !fits(&on_page, &printed.lines().collect::<Vec<_>>()) {
                    wrong.push(format!("$ {command}\n{printed}"));
                }
                outputs.push(printed);
            }
        }
    }
    if std::env::var_os("EVENKEEL_UPDATE_DOCS").is_some() {
        let path = Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(COMPATIBILITY);
        let page = fs::read_to_string(&path)?;
        return Ok(fs::write(path, handbook::with_outputs(&page, &outputs))?);
    }
    ensure!(
        wrong.is_empty(),
        "these print something else than the page says:\n\n{}",
        wrong.join("\n")
    );
    Ok(())
}

#[test]
fn what_is_left_out_may_be_any_lines_and_nothing_else_may_differ() {
    let lines = |text: &'static str| -> Vec<&'static str> { text.lines().collect() };
    let fits = |page, printed| fits(&lines(page), &lines(printed));
    assert!(fits("a\nb", "a\nb"));
    assert!(fits("a\n…\nd", "a\nb\nc\nd"));
    assert!(fits("…", ""));
    assert!(fits("a\n…", "a"));
    assert!(fits("… b …\nc…", "a b d\nc"));
    assert!(!fits("… b …", "a c d"));
    assert!(!fits("a…\nb", "ab"));
    assert!(!fits("a", "a\nb"));
    assert!(!fits("a\n…\nd", "a\nb"));
    assert!(!fits("", "a"));
}
