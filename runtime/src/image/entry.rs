//! One entry of a tar archive, read strictly: what this accepts, every honest reader understands alike.
//! Extension headers are read here and not by the tar library, which takes any length of them into memory.

use std::io::Read;

use tar::EntryType;

use super::stream::{Refused, refused};

/// Longest path and link, the kernel's own limit.
const PATH_MAX: usize = 4096;
/// Longest component, the kernel's own limit.
const NAME_MAX: usize = 255;
/// Bytes of extension headers of one entry.
const EXTENSION_MAX: u64 = 1 << 20;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Dir,
    Symlink(Vec<u8>),
    /// A further name of a file of the same layer.
    Hardlink(Vec<u8>),
    Fifo,
    /// A character device by major and minor number.
    Device(u32, u32),
}

/// One entry's description; its content follows in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Relative, without `.`, `..`, doubled or trailing slashes; empty for the root.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds since 1970.
    pub(crate) mtime: i64,
    pub(crate) size: u64,
    /// Extended attributes to set.
    pub(crate) xattrs: Vec<(String, Vec<u8>)>,
}

/// What extension headers said about the next entry.
#[derive(Debug, Default)]
pub(crate) struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Vec<(String, Vec<u8>)>,
    bytes: u64,
}

type Read_<'a, R> = tar::Entry<'a, R>;

impl Extensions {
    /// Whether the last header was one of these: a lone one at the end is an error.
    pub(crate) fn pending(&self) -> bool {
        self.path.is_some() || self.link.is_some() || !self.records.is_empty()
    }

    /// Takes an extension header in; `false` if it is no such header.
    pub(crate) fn take<R: Read>(&mut self, entry: &mut Read_<'_, R>) -> std::io::Result<bool> {
        let kind = entry.header().entry_type();
        if !matches!(
            kind,
            EntryType::GNULongName
                | EntryType::GNULongLink
                | EntryType::XHeader
                | EntryType::XGlobalHeader
        ) {
            return Ok(false);
        }
        let size = entry.header().entry_size()?;
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > EXTENSION_MAX {
            return Err(refused(format!("extension headers of over {EXTENSION_MAX} bytes")));
        }
        let mut bytes = Vec::new();
        let read = entry.take(size).read_to_end(&mut bytes)?;
        if u64::try_from(read) != Ok(size) {
            return Err(refused("it ends inside an extension header"));
        }
        match kind {
            EntryType::GNULongName => once(&mut self.path, trimmed(bytes), "long name")?,
            EntryType::GNULongLink => once(&mut self.link, trimmed(bytes), "long link")?,
            EntryType::XHeader => {
                if !self.records.is_empty() {
                    return Err(refused("two extension headers for one entry"));
                }
                self.records = pax_records(&bytes)?;
            }
            // `git archive` writes a comment there; anything that would change an entry is refused.
            _ => {
                if pax_records(&bytes)?.iter().any(|(key, _)| key != "comment") {
                    return Err(refused("a global extension header that changes entries"));
                }
            }
        }
        Ok(true)
    }
}

fn once(slot: &mut Option<Vec<u8>>, bytes: Vec<u8>, what: &str) -> std::io::Result<()> {
    if slot.replace(bytes).is_some() {
        return Err(refused(format!("two {what} headers for one entry")));
    }
    Ok(())
}

fn trimmed(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

/// `<length> <key>=<value>\n`, by length, because values may be binary.
fn pax_records(mut bytes: &[u8]) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut records: Vec<(String, Vec<u8>)> = Vec::new();
    let malformed = || refused("a malformed extension header");
    while !bytes.is_empty() {
        let space = bytes.iter().take(10).position(|b| *b == b' ').ok_or_else(malformed)?;
        let length: usize = std::str::from_utf8(&bytes[..space])
            .ok()
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit())) // "+6" is one to some readers
            .and_then(|digits| digits.parse().ok())
            .filter(|length| *length > space + 1 && *length <= bytes.len())
            .ok_or_else(malformed)?;
        let (record, rest) = bytes.split_at(length);
        let body = record[space + 1..].strip_suffix(b"\n").ok_or_else(malformed)?;
        let equals = body.iter().position(|b| *b == b'=').ok_or_else(malformed)?;
        let key = std::str::from_utf8(&body[..equals]).map_err(|_| malformed())?;
        if records.iter().any(|(known, _)| known == key) {
            return Err(refused(format!("extension {key:?} given twice")));
        }
        records.push((key.to_owned(), body[equals + 1..].to_vec()));
        bytes = rest;
    }
    Ok(records)
}

/// Reads an entry's description, its extensions applied.
pub(crate) fn read<R: Read>(
    entry: &Read_<'_, R>,
    extensions: Extensions,
) -> std::io::Result<Entry> {
    let header = entry.header();
    let mut path = extensions.path.unwrap_or_else(|| header.path_bytes().into_owned());
    let mut link = extensions
        .link
        .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
        .unwrap_or_default();
    let size = header.entry_size().map_err(invalid)?;
    let mut uid = header.uid().map_err(invalid)?;
    let mut gid = header.gid().map_err(invalid)?;
    let mut mtime = header.mtime().map_or(0, |t| i64::try_from(t).unwrap_or(0));
    let mut xattrs = Vec::new();
    for (key, value) in extensions.records {
        let number = || -> std::io::Result<u64> {
            std::str::from_utf8(&value)
                .ok()
                .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| refused(format!("extension {key:?} is no number")))
        };
        match key.as_str() {
            "path" => path = value,
            "linkpath" => link = value,
            "uid" => uid = number()?,
            "gid" => gid = number()?,
            // Readers that differ here see different archives (CVE-2026-33055).
            "size" if number()? != size => {
                return Err(refused("an entry with two different sizes"));
            }
            "mtime" => {
                let text = String::from_utf8_lossy(&value);
                mtime = text
                    .split('.')
                    .next()
                    .and_then(|seconds| seconds.parse().ok())
                    .ok_or_else(|| refused("a malformed time"))?;
            }
            key if key.starts_with("GNU.sparse.") => return Err(refused("a sparse file")),
            key => {
                if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                    xattrs.extend(xattr(name, value)?);
                }
            }
        }
    }
    let kind = match header.entry_type() {
        EntryType::Regular if path.ends_with(b"/") => Kind::Dir, // how tar of 1979 wrote directories
        EntryType::Regular => Kind::File,
        EntryType::Directory => Kind::Dir,
        EntryType::Symlink => Kind::Symlink(target(link)?),
        EntryType::Link => Kind::Hardlink(relative(&link)?),
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char => {
            let number = |n: std::io::Result<Option<u32>>| n.ok().flatten().unwrap_or(0);
            device(number(header.device_major()), number(header.device_minor()))?
        }
        EntryType::Block => return Err(refused("a block device")),
        EntryType::GNUSparse => return Err(refused("a sparse file")),
        other => return Err(refused(format!("an entry of unknown kind {:?}", other.as_byte()))),
    };
    if kind != Kind::File && size != 0 {
        return Err(refused("content for an entry that has none"));
    }
    let id = |n: u64| {
        u32::try_from(n)
            .ok()
            .filter(|n| *n != u32::MAX)
            .ok_or_else(|| refused("an owner over 2^32"))
    };
    Ok(Entry {
        path: relative(&path)?,
        kind,
        mode: header.mode().map_err(invalid)? & 0o7777,
        uid: id(uid)?,
        gid: id(gid)?,
        mtime,
        size,
        xattrs,
    })
}

fn invalid(error: std::io::Error) -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::InvalidData,
        Refused(format!("a broken header: {error}")),
    )
}

/// File capabilities and the user's own are kept; overlayfs reads its own from `trusted.`, so nobody else may write
/// them; labels of a security module belong to the host that made them.
fn xattr(name: &str, value: Vec<u8>) -> std::io::Result<Option<(String, Vec<u8>)>> {
    if name.starts_with("trusted.") || name.contains('\0') || name.len() > NAME_MAX {
        return Err(refused(format!("extended attribute {name:?}")));
    }
    let kept = name == "security.capability" || name.starts_with("user.");
    Ok(kept.then(|| (name.to_owned(), value)))
}

/// What every container has in `/dev` anyway, by number: anything else would be the host's.
const DEVICES: [(u32, u32); 8] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];

fn device(major: u32, minor: u32) -> std::io::Result<Kind> {
    if DEVICES.contains(&(major, minor)) {
        Ok(Kind::Device(major, minor))
    } else {
        Err(refused(format!("device {major}:{minor}")))
    }
}

fn target(link: Vec<u8>) -> std::io::Result<Vec<u8>> {
    // A symbolic link may say anything: it is only ever followed inside.
    if link.is_empty() || link.len() >= PATH_MAX || link.contains(&0) {
        return Err(refused("a malformed symbolic link"));
    }
    Ok(link)
}

/// Puts a path in the one form that is accepted, as GNU tar and Docker do: a leading slash is dropped (kaniko, buildpacks and
/// ko write them), a step back undoes the one before it, and none leads above the layer.
fn relative(path: &[u8]) -> std::io::Result<Vec<u8>> {
    let shown = || String::from_utf8_lossy(&path[..path.len().min(80)]).into_owned();
    if path.is_empty() || path.len() >= PATH_MAX || path.contains(&0) {
        return Err(refused(format!("malformed path {:?}", shown())));
    }
    let mut out = Vec::with_capacity(path.len());
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if out.is_empty() => {
                return Err(refused(format!("path {:?} leads upwards", shown())));
            }
            b".." => out.truncate(out.iter().rposition(|b| *b == b'/').unwrap_or(0)),
            part if part.len() > NAME_MAX => {
                return Err(refused(format!("a name of over {NAME_MAX} bytes")));
            }
            part => {
                if !out.is_empty() {
                    out.push(b'/');
                }
                out.extend_from_slice(part);
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_form() {
        assert_eq!(relative(b"./a//b/").unwrap(), b"a/b");
        assert_eq!(relative(b"./").unwrap(), b"");
        assert_eq!(relative(b"/").unwrap(), b"");
        assert_eq!(relative(b"/a/b").unwrap(), b"a/b");
        assert_eq!(relative(b"a/b/../../c").unwrap(), b"c");
        for bad in [&b""[..], b"/..", b"a/../../b", b"..", b"a\0b"] {
            assert!(relative(bad).is_err());
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_bytes_are_a_path_and_records_or_refused(
            noise: Vec<u8>,
            near in "([0-9+]{1,3} [a-zé]{0,3}=?[a-z\n]{0,6}\n?){0,4}",
            path in "[a./é]{0,12}",
        ) {
            for bytes in [&noise, near.as_bytes(), path.as_bytes()] {
                drop(pax_records(bytes));
                if let Ok(path) = relative(bytes) {
                    let again = if path.is_empty() { b"." } else { &path[..] };
                    proptest::prop_assert_eq!(relative(again).unwrap(), path);
                }
            }
        }
    }

    #[test]
    fn pax_records_are_read_by_length() {
        let records = pax_records(b"12 ab=c\nd=e\n6 x=y\n").unwrap();
        assert_eq!(records[0], ("ab".to_owned(), b"c\nd=e".to_vec()));
        assert_eq!(records[1], ("x".to_owned(), b"y".to_vec()));
        for bad in [&b"99 a=b\n"[..], b"3 a", b"x", b"6 abc\n", b"6 a=b\n6 a=c\n", b"+6 a=b\n"] {
            assert!(pax_records(bad).is_err(), "{bad:?}");
        }
    }
}
