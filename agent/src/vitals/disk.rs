//! What the kernel says of a folder's file system and of the disk under it, without touching either.

use std::{fs, io, os::unix::fs::MetadataExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{StatVfsMountFlags, major, minor, statvfs};

/// A folder's file system and disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// The kernel's name of the disk or partition; empty where there is none, as in memory.
    pub device: String,
    /// The file system's size, in bytes.
    pub bytes: u64,
    /// What can still be written to it by those who have no share of the reserve, in bytes.
    pub available_bytes: u64,
    /// As many files it can have; 0 where it does not say.
    pub inodes: u64,
    /// As many more.
    pub available_inodes: u64,
    /// It can only be read, which is what the kernel makes of a file system that it finds damaged.
    pub read_only: bool,
    /// Errors that the disk has answered with since the boot, where the kernel shows them.
    pub io_errors: Option<u64>,
    /// Errors that the file system has found in itself, where it says.
    pub file_system_errors: Option<u64>,
    /// How long the last check that went well took, in microseconds; 0 before the first.
    pub check_us: u64,
    /// What the last check found to be wrong; empty if nothing.
    pub trouble: String,
}

/// Looks at a folder. Blocks.
///
/// # Errors
/// What the file system says.
pub(super) fn look(folder: &Utf8Path) -> io::Result<Disk> {
    let metadata = folder.metadata()?;
    if !metadata.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let space = statvfs(folder.as_std_path())?;
    let device = device(Utf8Path::new("/sys"), metadata.dev());
    Ok(Disk {
        bytes: space.f_blocks.saturating_mul(space.f_frsize),
        available_bytes: space.f_bavail.saturating_mul(space.f_frsize),
        inodes: space.f_files,
        available_inodes: space.f_favail,
        read_only: space.f_flag.contains(StatVfsMountFlags::RDONLY),
        ..device
    })
}

/// What `/sys` says of a device.
fn device(sys: &Utf8Path, number: u64) -> Disk {
    let link = format!("dev/block/{}:{}", major(number), minor(number));
    let Ok(place) = sys.join(link).canonicalize_utf8() else {
        return Disk::default();
    };
    let name = place.file_name().unwrap_or_default();
    // A partition's counter is that of the disk that it is in.
    let disk = match place.join("partition").exists() {
        true => place.parent().map(Utf8PathBuf::from),
        false => None,
    };
    let disk = disk.unwrap_or_else(|| place.clone());
    Disk {
        io_errors: number_in(&disk.join("device/ioerr_cnt")),
        file_system_errors: number_in(&sys.join("fs/ext4").join(name).join("errors_count")),
        device: name.to_owned(),
        ..Disk::default()
    }
}

/// The number in a file of the kernel's, hexadecimal or decimal; none where there is no such file.
fn number_in(file: &Utf8Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::makedev;

    use super::*;

    #[test]
    fn errors_are_those_of_the_disk_that_a_partition_is_in() {
        let dir = tempfile::tempdir().unwrap();
        let sys = Utf8Path::from_path(dir.path()).unwrap();
        let disk = sys.join("devices/pci0/sda");
        for folder in ["device", "sda1"] {
            fs::create_dir_all(disk.join(folder)).unwrap();
        }
        fs::write(disk.join("device/ioerr_cnt"), "0x1f\n").unwrap();
        fs::write(disk.join("sda1/partition"), "1\n").unwrap();
        fs::create_dir_all(sys.join("dev/block")).unwrap();
        symlink(disk.join("sda1"), sys.join("dev/block/8:1")).unwrap();
        symlink(&disk, sys.join("dev/block/8:0")).unwrap();
        let ext4 = sys.join("fs/ext4/sda1");
        fs::create_dir_all(&ext4).unwrap();
        fs::write(ext4.join("errors_count"), "7\n").unwrap();
        let partition = device(sys, makedev(8, 1));
        assert_eq!(partition.device, "sda1");
        assert_eq!(partition.io_errors, Some(31));
        assert_eq!(partition.file_system_errors, Some(7));
        let whole = device(sys, makedev(8, 0));
        assert_eq!(whole.device, "sda");
        assert_eq!(
            (whole.io_errors, whole.file_system_errors),
            (Some(31), None)
        );
        assert_eq!(device(sys, makedev(0, 42)), Disk::default());
    }

    #[test]
    fn a_folder_has_a_size_and_a_file_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(dir.path()).unwrap();
        let seen = look(folder).unwrap();
        assert!(seen.bytes > 0 && seen.available_bytes <= seen.bytes);
        assert!(!seen.read_only);
        fs::write(folder.join("file"), "").unwrap();
        assert!(look(&folder.join("file")).is_err());
        assert!(look(&folder.join("gone")).is_err());
    }
}
