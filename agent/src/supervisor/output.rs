//! Where a storage process writes to: a file that does not grow without bounds.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
};

use camino::{Utf8Path, Utf8PathBuf};

use super::record;

/// The size from which the file is moved away, in bytes.
const BYTES_MAX: u64 = 16 << 20;

/// As much of the end as is searched for the last lines, in bytes.
const LAST_BYTES: u64 = 4096;

/// As many lines are shown of what a process wrote last.
const LINES_MAX: usize = 5;

/// The longest of them, in bytes; all of them together leave room for the rest of a reason.
const LINE_BYTES_MAX: usize = 200;

fn path(folder: &Utf8Path) -> Utf8PathBuf {
    folder.join("output.log")
}

/// Opens the file for a process to append to.
pub(super) fn open(folder: &Utf8Path) -> io::Result<File> {
    trim(folder)?;
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path(folder))
}

/// Moves the contents to `output.log.1` if there are many. The file itself stays, because the process has it
/// open; what it writes between the copy and the cut is lost.
pub(super) fn trim(folder: &Utf8Path) -> io::Result<()> {
    let path = path(folder);
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(metadata) if metadata.len() < BYTES_MAX => Ok(()),
        Ok(_) => {
            let kept = keep_end(&path, &folder.join("output.log.1"));
            // What fills the disk is cut also where there is no room to keep it.
            OpenOptions::new().write(true).open(&path)?.set_len(0)?;
            kept
        }
    }
}

/// Copies the end of a file, as much of it as is kept.
fn keep_end(path: &Utf8Path, kept: &Utf8Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES_MAX)))?;
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    io::copy(&mut file.take(BYTES_MAX), &mut options.open(kept)?).map(drop)
}

/// How long the file is; 0 if there is none.
pub(super) fn length(folder: &Utf8Path) -> u64 {
    fs::metadata(path(folder)).map_or(0, |metadata| metadata.len())
}

/// How the instance's newest process ended, with the last lines that it wrote.
pub(super) fn with_last_lines(how: String, folder: &Utf8Path) -> String {
    let from = record::read(folder).map_or(0, |record| record.output_from);
    with_last_lines_from(how, folder, from)
}

/// How a process ended whose output begins after the first `from` bytes, with the last lines that it wrote.
pub(super) fn with_last_lines_from(mut how: String, folder: &Utf8Path, from: u64) -> String {
    let lines = last_lines(folder, from);
    match &lines[..] {
        [] => {}
        [line] => how.push_str(&format!("; its last line: {line}")),
        lines => how.push_str(&format!("; its last lines: {}", lines.join(" / "))),
    }
    how
}

/// The last lines that were written after the first `from` bytes, for people.
fn last_lines(folder: &Utf8Path, from: u64) -> Vec<String> {
    let read = || -> io::Result<String> {
        let mut file = File::open(path(folder))?;
        let length = file.metadata()?.len();
        // A file that was cut since holds nothing older than the cut.
        let from = if from > length { 0 } else { from };
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(LAST_BYTES))))?;
        let mut bytes = Vec::new();
        file.take(LAST_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines = text.lines().rev().map(|line| {
        let plain: String = line.trim().chars().filter(|c| !c.is_control()).collect();
        evenkeel_common::limits::cut(plain, LINE_BYTES_MAX)
    });
    let mut lines: Vec<String> = lines
        .filter(|line| !line.is_empty())
        .take(LINES_MAX)
        .collect();
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn output_is_appended_to_moved_away_when_large_and_its_last_lines_shown() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap();
        assert!(last_lines(folder, 0).is_empty());
        let mut output = open(folder).unwrap();
        output.write_all(b"one\n\x1b[31mtwo\n\n").unwrap();
        assert_eq!(last_lines(folder, 0), ["one", "[31mtwo"]);
        assert!(
            last_lines(folder, length(folder)).is_empty(),
            "another process wrote it"
        );
        for line in 0..=LINES_MAX {
            writeln!(output, "{line}{}", "x".repeat(LINE_BYTES_MAX)).unwrap();
        }
        let shown = last_lines(folder, 0);
        assert_eq!(shown.len(), LINES_MAX);
        assert!(shown.iter().all(|line| line.len() <= LINE_BYTES_MAX));
        output.set_len(3 * BYTES_MAX).unwrap();
        trim(folder).unwrap();
        assert_eq!(
            fs::metadata(folder.join("output.log.1")).unwrap().len(),
            BYTES_MAX
        );
        output.write_all(b"three\n").unwrap();
        assert_eq!(fs::read(path(folder)).unwrap(), b"three\n");
    }
}
