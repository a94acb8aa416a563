//! Which machine a program runs on, and which one an executable is for.

use object::{
    Endianness,
    elf::{EM_AARCH64, EM_RISCV, EM_X86_64, ET_DYN, ET_EXEC, FileHeader64},
    read::elf::FileHeader as _,
};

/// Bytes of an executable that [`check_executable`] has to see: the ELF header.
pub const EXECUTABLE_HEADER_BYTES: usize = size_of::<FileHeader64<Endianness>>();

/// The platforms that artifacts can be for.
pub const PLATFORMS: [&str; 3] = ["linux/amd64", "linux/arm64", "linux/riscv64"];

/// Why some bytes are not an executable for a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// Not one of [`PLATFORMS`].
    #[error("the platform {0:?} is not known; known are {list}", list = PLATFORMS.join(", "))]
    Unknown(String),
    /// No ELF header at the start.
    #[error("the artifact is no executable for {0}: it does not start with a 64-bit ELF header")]
    NotElf(String),
    /// An ELF file of another kind.
    #[error("the artifact is an ELF file, but no executable (a library or an object file)")]
    NotExecutable,
    /// For another processor.
    #[error("the artifact is an executable for {found}, not for {wanted}")]
    OtherMachine {
        /// What it is for.
        found: String,
        /// What it ought to be for.
        wanted: String,
    },
}

/// The platform that this program was built for, in the words of [`PLATFORMS`].
#[must_use]
pub fn current() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "linux/amd64",
        "aarch64" => "linux/arm64",
        "riscv64" => "linux/riscv64",
        other => other,
    }
}

/// Checks that an artifact which starts with `header` is an executable for `platform`.
///
/// # Errors
/// Says what it is instead.
pub fn check_executable(header: &[u8], platform: &str) -> Result<(), PlatformError> {
    if !PLATFORMS.contains(&platform) {
        return Err(PlatformError::Unknown(platform.to_owned()));
    }
    let not_elf = || PlatformError::NotElf(platform.to_owned());
    let header = FileHeader64::<Endianness>::parse(header).map_err(|_| not_elf())?;
    let endian = header.endian().map_err(|_| not_elf())?;
    if !matches!(header.e_type(endian), ET_EXEC | ET_DYN) {
        return Err(PlatformError::NotExecutable);
    }
    let found = match header.e_machine(endian) {
        EM_X86_64 => "linux/amd64".to_owned(),
        EM_AARCH64 => "linux/arm64".to_owned(),
        EM_RISCV => "linux/riscv64".to_owned(),
        other => format!("an unknown machine (ELF number {})", other.0),
    };
    if found != platform {
        return Err(PlatformError::OtherMachine {
            found,
            wanted: platform.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_program_is_an_executable_for_this_platform_and_no_other() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(check_executable(&program, current()), Ok(()));
        let other = PLATFORMS.iter().find(|p| **p != current()).unwrap();
        assert!(matches!(
            check_executable(&program, other),
            Err(PlatformError::OtherMachine { .. })
        ));
    }

    #[test]
    fn a_script_a_short_file_and_an_empty_one_are_refused() {
        for bytes in [&b"#!/bin/sh\n"[..], b"\x7fELF", b""] {
            assert!(matches!(
                check_executable(bytes, "linux/amd64"),
                Err(PlatformError::NotElf(_))
            ));
        }
        assert!(matches!(
            check_executable(b"", "plan9/mips"),
            Err(PlatformError::Unknown(_))
        ));
    }
}
