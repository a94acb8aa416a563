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

/// As much of the end as is searched for the last line, in bytes.
const LAST_BYTES: u64 = 1024;

/// The longest last line that is shown, in bytes.
const LINE_BYTES_MAX: usize = 300;

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
            fs::copy(&path, folder.join("output.log.1"))?;
            OpenOptions::new().write(true).open(&path)?.set_len(0)
        }
    }
}

/// How long the file is; 0 if there is none.
pub(super) fn length(folder: &Utf8Path) -> u64 {
    fs::metadata(path(folder)).map_or(0, |metadata| metadata.len())
}

/// How the instance's newest process ended, with the last line that it wrote.
pub(super) fn with_last_line(mut how: String, folder: &Utf8Path) -> String {
    let from = record::read(folder).map_or(0, |record| record.output_from);
    let last = last_line(folder, from);
    if !last.is_empty() {
        how.push_str("; its last line: ");
        how.push_str(&last);
    }
    how
}

/// The last line that was written after the first `from` bytes, for people; empty if there is none.
fn last_line(folder: &Utf8Path, from: u64) -> String {
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
    let line = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    let plain: String = line.chars().filter(|c| !c.is_control()).collect();
    evenkeel_common::limits::cut(plain, LINE_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn output_is_appended_to_moved_away_when_large_and_its_last_line_shown() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap();
        assert_eq!(last_line(folder, 0), "");
        let mut output = open(folder).unwrap();
        output.write_all(b"one\n\x1b[31mtwo\n\n").unwrap();
        assert_eq!(last_line(folder, 0), "[31mtwo");
        assert_eq!(
            last_line(folder, length(folder)),
            "",
            "another process wrote it"
        );
        output.set_len(BYTES_MAX).unwrap();
        trim(folder).unwrap();
        assert_eq!(
            fs::metadata(folder.join("output.log.1")).unwrap().len(),
            BYTES_MAX
        );
        output.write_all(b"three\n").unwrap();
        assert_eq!(fs::read(path(folder)).unwrap(), b"three\n");
    }
}
