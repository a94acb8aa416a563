//! Tar files, header by header.

use std::io::Write as _;

/// A tar file so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Made(pub(super) Vec<u8>);

/// A header in the POSIX format, its checksum right.
pub(super) fn header(name: &str, kind: u8, mode: u32, link: &str, size: u64) -> Vec<u8> {
    let mut header = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| {
        header
            .get_mut(at..at + bytes.len())
            .unwrap()
            .copy_from_slice(bytes);
    };
    put(0, &name.as_bytes()[..name.len().min(100)]);
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o} ").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, &link.as_bytes()[..link.len().min(100)]);
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

impl Made {
    pub(super) fn entry(
        mut self,
        name: &str,
        kind: u8,
        mode: u32,
        link: &str,
        content: &[u8],
    ) -> Self {
        self.0
            .extend(header(name, kind, mode, link, content.len() as u64));
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(super) fn file(self, name: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(name, b'0', mode, "", content)
    }

    pub(super) fn folder(self, name: &str) -> Self {
        self.entry(name, b'5', 0o755, "", b"")
    }

    pub(super) fn link(self, name: &str, target: &str) -> Self {
        self.entry(name, b'2', 0o777, target, b"")
    }

    pub(super) fn other_name(self, name: &str, of: &str) -> Self {
        self.entry(name, b'1', 0o644, of, b"")
    }

    pub(super) fn gnu_long_name(self, name: &str) -> Self {
        let content = [name.as_bytes(), b"\0"].concat();
        self.entry("././@LongLink", b'L', 0o644, "", &content)
    }

    pub(super) fn pax(self, records: &[(&str, &str)]) -> Self {
        self.entry("pax", b'x', 0o644, "", &pax_records(records))
    }

    pub(super) fn pax_of_all(self, records: &[(&str, &str)]) -> Self {
        self.entry("pax", b'g', 0o644, "", &pax_records(records))
    }

    /// What follows is a file with holes, in the way of POSIX.
    pub(super) fn holes(self) -> Self {
        self.pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")])
            .file("GNUSparseFile.0/x", 0o644, b"")
    }

    /// The file as a whole.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

fn pax_records(records: &[(&str, &str)]) -> Vec<u8> {
    let record = |(key, value): &(&str, &str)| {
        let rest = format!(" {key}={value}\n");
        // Its length counts the digits that it is written with.
        let length = (rest.len()..)
            .find(|length| length.to_string().len() + rest.len() == *length)
            .unwrap();
        format!("{length}{rest}")
    };
    records.iter().map(record).collect::<String>().into_bytes()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}
