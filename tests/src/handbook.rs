//! The pages of the handbook whose commands are run: docs/COMPATIBILITY.md.
//!
//! Of a page, a block of `toml` is a file to be written if its first line is a comment with the file's name, and to be
//! added to that file if `, continued` follows the name. In a block of `console`, a line that begins with `$ ` is a
//! command, and the lines below it are what it prints.

use anyhow::{Context as _, ensure};

/// One thing that a reader does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Writes a file, or adds to it.
    Write {
        /// Its name.
        name: String,
        /// What is written.
        text: String,
        /// It is added to what the file has.
        continued: bool,
    },
    /// Runs a command.
    Run {
        /// The line.
        command: String,
        /// What the page says that it prints.
        output: String,
    },
}

/// The page, below the root of the tree.
pub const COMPATIBILITY: &str = "docs/COMPATIBILITY.md";

/// Stands in what a command prints for what is left out.
pub const ELLIPSIS: &str = "…";

/// The steps of docs/COMPATIBILITY.md.
///
/// # Errors
/// When the page is not as this module says.
pub fn compatibility() -> anyhow::Result<Vec<Step>> {
    steps(include_str!("../../docs/COMPATIBILITY.md"))
}

/// A file as it is after its first `writes` writings on that page.
///
/// # Errors
/// When the page has fewer.
pub fn file(name: &str, writes: usize) -> anyhow::Result<String> {
    let steps = compatibility()?;
    let texts = steps.iter().filter_map(|step| match step {
        Step::Write { name: of, text, .. } if of == name => Some(text.as_str()),
        Step::Write { .. } | Step::Run { .. } => None,
    });
    let texts: Vec<&str> = texts.take(writes).collect();
    ensure!(
        texts.len() == writes,
        "{name} is written {} times",
        texts.len()
    );
    Ok(texts.concat())
}

/// The steps of a page.
///
/// # Errors
/// When a block has no end, or a command no `$`.
pub fn steps(page: &str) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let mut block = Vec::new();
        loop {
            let line = lines.next().context("a block has no end")?;
            if line == "```" {
                break;
            }
            block.push(line);
        }
        match language {
            "toml" => steps.extend(written(&block)),
            "console" => run(&block, &mut steps)?,
            _ => {}
        }
    }
    Ok(steps)
}

fn written(block: &[&str]) -> Option<Step> {
    let (first, text) = block.split_first()?;
    let title = first.strip_prefix("# ")?;
    let (name, continued) = match title.strip_suffix(", continued") {
        Some(name) => (name, true),
        None => (title, false),
    };
    name.ends_with(".toml").then(|| Step::Write {
        name: name.to_owned(),
        text: text.join("\n") + "\n",
        continued,
    })
}

fn run(block: &[&str], steps: &mut Vec<Step>) -> anyhow::Result<()> {
    let mut begun: Option<(&str, Vec<&str>)> = None;
    let mut end = |begun: Option<(&str, Vec<&str>)>| {
        steps.extend(begun.map(|(command, output)| Step::Run {
            command: command.to_owned(),
            output: output.join("\n"),
        }));
    };
    for line in block {
        if let Some(command) = line.strip_prefix("$ ") {
            end(begun.replace((command, Vec::new())));
        } else {
            let (_, output) = begun.as_mut().context("a console block has no command")?;
            output.push(line);
        }
    }
    end(begun);
    Ok(())
}

/// The page with these outputs in the place of the ones it has, in the order of its commands. Those that leave something
/// out stay as they are.
#[must_use]
pub fn with_outputs(page: &str, outputs: &[String]) -> String {
    let mut outputs = outputs.iter();
    let mut text = String::new();
    let mut lines = page.lines().peekable();
    let mut in_console = false;
    while let Some(line) = lines.next() {
        text.push_str(line);
        text.push('\n');
        if line.starts_with("```") {
            in_console = line == "```console";
        }
        if !in_console || !line.starts_with("$ ") {
            continue;
        }
        let is_output = |line: &&str| !line.starts_with("$ ") && *line != "```";
        let mut old = Vec::new();
        while let Some(line) = lines.next_if(is_output) {
            old.push(line);
        }
        let new: Vec<&str> = outputs
            .next()
            .map(|output| output.lines())
            .into_iter()
            .flatten()
            .collect();
        let leaves_out = old.iter().any(|line| line.contains(ELLIPSIS));
        let kept = if leaves_out { old } else { new };
        for line in kept {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_commands_are_found_in_their_order() {
        let page = "# Page\n\n```toml\n# a.toml\nx = 1\n```\ntext\n```console\n$ one a\n1\n\n2\n$ two\n```\n\
                    ```toml\n# a.toml, continued\ny = 2\n```\n```toml\nz = 3 # no file\n```\n```text\n$ not this\n```\n";
        let write = |text: &str, continued| Step::Write {
            name: "a.toml".to_owned(),
            text: text.to_owned(),
            continued,
        };
        let run = |command: &str, output: &str| Step::Run {
            command: command.to_owned(),
            output: output.to_owned(),
        };
        let expected = [
            write("x = 1\n", false),
            run("one a", "1\n\n2"),
            run("two", ""),
            write("y = 2\n", true),
        ];
        assert_eq!(steps(page).unwrap(), expected);
    }

    #[test]
    fn a_page_is_brought_up_to_date_but_for_what_leaves_something_out() {
        let page = "```console\n$ a\nold\n$ b\nold\n…\n```\ntext\n```console\n$ c\n```\n";
        let outputs = ["new", "new", "new\nlines"].map(str::to_owned);
        let expected =
            "```console\n$ a\nnew\n$ b\nold\n…\n```\ntext\n```console\n$ c\nnew\nlines\n```\n";
        assert_eq!(with_outputs(page, &outputs), expected);
    }

    #[test]
    fn a_block_without_an_end_or_a_command_is_noticed() {
        assert!(steps("```toml\nx = 1\n").is_err());
        assert!(steps("```console\noutput\n```\n").is_err());
    }
}
