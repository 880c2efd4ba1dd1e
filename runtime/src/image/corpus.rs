//! The hostile layers: each is refused with its reason, and nothing outside the layer's directory changes.
//! A new trick is one more line here. What honest layers need is below.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use tar::EntryType as T;

use super::Digest;
use super::archive::load;
use super::store::Store;
use super::stream::{Caps, Refused};
use super::unpack::unpack;
use crate::error::Error;

/// A tar archive written byte by byte, so that it may say anything.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn header(kind: T, path: &[u8], link: &[u8], size: u64) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        let bytes = header.as_mut_bytes();
        bytes[..path.len()].copy_from_slice(path);
        bytes[157..157 + link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_device_major(0).unwrap();
        header.set_device_minor(0).unwrap();
        header
    }
    fn raw(mut self, mut header: tar::Header, content: &[u8]) -> Self {
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }
    fn put(self, kind: T, path: &str, link: &str, content: &[u8]) -> Self {
        let size = content.len().try_into().unwrap();
        let header = Self::header(kind, path.as_bytes(), link.as_bytes(), size);
        self.raw(header, content)
    }
    fn file(self, path: &str, content: &[u8]) -> Self {
        self.put(T::Regular, path, "", content)
    }
    fn dir(self, path: &str) -> Self {
        self.put(T::Directory, path, "", b"")
    }
    fn link(self, path: &str, target: &str) -> Self {
        self.put(T::Symlink, path, target, b"")
    }
    fn hard(self, path: &str, target: &str) -> Self {
        self.put(T::Link, path, target, b"")
    }
    fn pax(self, key: &str, value: &[u8]) -> Self {
        self.put(T::XHeader, "pax", "", &record(key, value))
    }
    fn device(self, kind: T, major: u32, minor: u32) -> Self {
        let mut header = Self::header(kind, b"dev", b"", 0);
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        self.raw(header, b"")
    }
    /// Says a file of `said` bytes and has none.
    fn short(self, said: u64) -> Vec<u8> {
        self.raw(Self::header(T::Regular, b"f", b"", said), b"").0
    }
    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let length = (1..=8).map(|digits| body + digits).find(|n| n.to_string().len() + body == *n);
    let mut out = format!("{} {key}=", length.unwrap()).into_bytes();
    out.extend_from_slice(value);
    out.push(b'\n');
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

const CAPS: Caps = Caps { bytes: 16 << 20, ratio: 200, ratio_free: 1 << 20, entries: 100 };

fn corpus(canary: &Path) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let tar = Tar::default;
    let out = canary.to_str().unwrap();
    let secret = format!("{out}/secret");
    let many = (0..101).fold(tar(), |tar, n| tar.file(&format!("f{n}"), b""));
    let mut checksum = tar().file("f", b"").end();
    checksum[0] = b'g';
    let mut behind = tar().file("f", b"").end();
    behind.extend_from_slice(b"hidden");
    let mut broken = gzip(&tar().file("f", &[7; 9000]).end());
    let middle = broken.len() / 2;
    broken.truncate(middle);
    let long = "x/".repeat(2100);
    vec![
        ("up", "leads upwards", tar().file("../escape", b"x").end()),
        ("up inside", "leads upwards", tar().file("a/../../escape", b"x").end()),
        ("below a link", "no directory", tar().link("d", out).file("d/x", b"x").end()),
        (
            "below a relative link",
            "no directory",
            tar().link("d", "../canary").file("d/x", b"x").end(),
        ),
        (
            "below a chain of links",
            "no directory",
            tar().link("b", out).link("a", "b").file("a/x", b"").end(),
        ),
        ("mode of a link's target", "no directory", tar().link("d", out).dir("d").end()),
        ("below a file", "no directory", tar().file("f", b"").file("f/x", b"").end()),
        (
            "hard link, absolute",
            "no directory",
            tar().hard("h", &secret[..secret.len().min(90)]).end(),
        ),
        ("hard link, up", "leads upwards", tar().hard("h", "../canary/secret").end()),
        (
            "hard link through a link",
            "no directory",
            tar().link("d", out).hard("h", "d/secret").end(),
        ),
        ("hard link to a directory", "no file", tar().dir("d").hard("h", "d").end()),
        ("hard link to nothing", "no directory", tar().hard("h", "nothing").end()),
        ("file over a directory", "two entries", tar().dir("f").file("f", b"2").end()),
        ("block device", "block device", tar().device(T::Block, 8, 0).end()),
        ("kernel memory", "device 1:1", tar().device(T::Char, 1, 1).end()),
        ("a whiteout spoofed", "device 0:0", tar().device(T::Char, 0, 0).end()),
        ("whiteout of the parent", "whiteout", tar().file(".wh...", b"").end()),
        ("whiteout of itself", "whiteout", tar().file(".wh..", b"").end()),
        ("whiteout of nothing", "whiteout", tar().file(".wh.", b"").end()),
        ("whiteout of a kind unknown", "whiteout", tar().file(".wh..wh.plnk", b"").end()),
        ("whiteout with content", "whiteout", tar().file(".wh.f", b"x").end()),
        ("whiteout that is a link", "whiteout", tar().link(".wh.f", out).end()),
        ("whiteout twice", "twice", tar().file(".wh.f", b"").file(".wh.f", b"").end()),
        ("below a whiteout", "below a whiteout", tar().file(".wh.d/x", b"").end()),
        (
            "whiteout through a link",
            "no directory",
            tar().link("d", out).file("d/.wh.secret", b"").end(),
        ),
        (
            "opaque through a link",
            "no directory",
            tar().link("d", out).file("d/.wh..wh..opq", b"").end(),
        ),
        ("two sizes", "two different sizes", tar().pax("size", b"9").file("f", b"x").end()),
        (
            "extension's path up",
            "leads upwards",
            tar().pax("path", b"../escape").file("f", b"x").end(),
        ),
        (
            "extension's link up",
            "leads upwards",
            tar().pax("linkpath", b"../x").hard("h", "f").end(),
        ),
        (
            "extension's path cut",
            "malformed path",
            tar().pax("path", b"f\0g").file("f", b"x").end(),
        ),
        ("extension's owner", "owner over", tar().pax("uid", b"4294967296").file("f", b"").end()),
        (
            "extension without end",
            "malformed",
            tar().put(T::XHeader, "p", "", b"99 path=x\n").file("f", b"").end(),
        ),
        (
            "extension twice",
            "two extension",
            tar().pax("a", b"1").pax("b", b"2").file("f", b"").end(),
        ),
        (
            "extension for all",
            "global",
            tar().put(T::XGlobalHeader, "p", "", &record("path", b"x")).file("f", b"").end(),
        ),
        ("extension for nobody", "without its entry", tar().pax("path", b"x").end()),
        (
            "overlayfs's own attribute",
            "trusted.overlay",
            tar().pax("SCHILY.xattr.trusted.overlay.redirect", b"/x").dir("d").end(),
        ),
        (
            "attribute of a link",
            "extended attributes",
            tar().pax("SCHILY.xattr.user.a", b"b").link("l", "x").end(),
        ),
        (
            "capability of wrong form",
            "wrong form",
            tar().pax("SCHILY.xattr.security.capability", b"x").file("f", b"").end(),
        ),
        ("sparse", "sparse", tar().put(T::GNUSparse, "f", "", b"").end()),
        (
            "sparse by extension",
            "sparse",
            tar().pax("GNU.sparse.realsize", b"99999999999").file("f", b"").end(),
        ),
        ("unknown kind", "unknown kind", tar().put(T::new(b'Z'), "f", "", b"").end()),
        (
            "content of a directory",
            "content for an entry",
            tar().put(T::Directory, "d", "", b"x").end(),
        ),
        ("root that is a link", "no directory", tar().link(".", out).end()),
        (
            "long name",
            "over 255",
            tar().pax("path", "x".repeat(256).as_bytes()).file("f", b"").end(),
        ),
        ("long path", "malformed path", tar().pax("path", long.as_bytes()).file("f", b"").end()),
        (
            "long extension",
            "extension headers of over",
            tar().put(T::GNULongName, "l", "", &vec![b'x'; 2 << 20]).file("f", b"").end(),
        ),
        ("too many entries", "over 100 entries", many.end()),
        ("too many bytes", "over 16777216 bytes", tar().file("f", &vec![b'x'; 17 << 20]).end()),
        ("bomb", "200 times its size", gzip(&tar().file("f", &vec![0; 8 << 20]).end())),
        (
            "bomb behind the end",
            "200 times its size",
            gzip(&[tar().file("f", b"").end(), vec![0; 8 << 20]].concat()),
        ),
        ("data behind the end", "behind its end", behind),
        ("short content", "ends inside", tar().short(600)),
        ("huge content said", "ends inside", tar().short(8_000_000_000)),
        ("checksum", "broken archive", checksum),
        ("broken compression", "compression is broken", broken),
        ("no archive", "broken archive", vec![b'x'; 700]),
    ]
}

#[test]
fn every_hostile_layer_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let canary = dir.path().join("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("secret"), "untouched").unwrap();
    fs::set_permissions(&canary, fs::Permissions::from_mode(0o750)).unwrap();
    let corpus = corpus(&canary);
    assert!(corpus.len() >= 20);
    for (name, reason, archive) in corpus {
        let layer = dir.path().join("layer");
        fs::create_dir(&layer).unwrap();
        let error = unpack(archive.as_slice(), &layer, CAPS).expect_err(name);
        let refused = error.get_ref().and_then(|inner| inner.downcast_ref::<Refused>());
        let Some(Refused(said)) = refused else { panic!("{name}: {error:?}") };
        assert!(said.contains(reason), "{name}: {said:?} does not say {reason:?}");
        fs::remove_dir_all(&layer).unwrap();
        assert_eq!(fs::read_to_string(canary.join("secret")).unwrap(), "untouched", "{name}");
        assert_eq!(fs::read_dir(&canary).unwrap().count(), 1, "{name}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{name}");
        let metadata = fs::metadata(&canary).unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o750, "{name}");
        assert_eq!(fs::metadata(canary.join("secret")).unwrap().nlink(), 1, "{name}");
    }
}

#[test]
fn honest_layers_keep_everything() {
    let dir = tempfile::tempdir().unwrap();
    let mut setuid = Tar::header(T::Regular, b"bin/su", b"", 2);
    setuid.set_mode(0o4755);
    setuid.set_uid(7);
    setuid.set_gid(8);
    let archive = Tar::default()
        .put(T::XGlobalHeader, "g", "", &record("comment", b"0123"))
        .dir("./")
        .raw(setuid, b"su")
        .hard("bin/also", "bin/su")
        .link("abs", "/etc/../../x")
        .pax("path", b"deep/er/name")
        .pax_file(b"content")
        .file("gone/.wh.one", b"")
        .file("opaque/.wh..wh..opq", b"")
        .file(".wh.replaced", b"")
        .file("replaced", b"new")
        .file("later", b"new")
        .file(".wh.later", b"")
        .pax("SCHILY.xattr.user.note", b"a\nb\0c")
        .file("noted", b"")
        .pax("SCHILY.xattr.security.selinux", b"label")
        .file("labelled", b"")
        .put(T::Fifo, "fifo", "", b"")
        .end();
    for packed in
        [archive.clone(), gzip(&archive), zstd::encode_all(archive.as_slice(), 3).unwrap()]
    {
        let layer = tempfile::tempdir_in(dir.path()).unwrap();
        let at = |path: &str| layer.path().join(path);
        let unpacked = unpack(packed.as_slice(), layer.path(), CAPS).unwrap();
        assert_eq!(unpacked.digest, Digest::of(&archive));
        let su = fs::metadata(at("bin/su")).unwrap();
        assert_eq!((su.mode() & 0o7777, su.uid(), su.gid(), su.nlink()), (0o4755, 7, 8, 2));
        assert_eq!(su.mtime(), 1);
        assert_eq!(fs::read_link(at("abs")).unwrap(), Path::new("/etc/../../x"));
        assert_eq!(fs::read_to_string(at("deep/er/name")).unwrap(), "content");
        let gone = fs::symlink_metadata(at("gone/one")).unwrap();
        assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
        assert_eq!(fs::read_to_string(at("replaced")).unwrap(), "new");
        assert_eq!(fs::read_to_string(at("later")).unwrap(), "new");
        let attribute = |path: &str, name: &str| -> io::Result<Vec<u8>> {
            let mut value = vec![0; 64];
            let length = rustix::fs::getxattr(at(path), name, &mut value[..])?;
            value.truncate(length);
            Ok(value)
        };
        assert_eq!(attribute("opaque", "trusted.overlay.opaque").unwrap(), b"y");
        assert_eq!(attribute("noted", "user.note").unwrap(), b"a\nb\0c");
        assert!(fs::symlink_metadata(at("fifo")).unwrap().file_type().is_fifo());
    }
}

impl Tar {
    fn pax_file(self, content: &[u8]) -> Self {
        self.file("short", content)
    }
}

fn archive_of(layer: &[u8], diff_id: Digest, config_name: Option<&str>) -> Vec<u8> {
    let config =
        format!(r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#);
    let hex = Digest::of(config.as_bytes()).hex();
    let name = config_name.map_or_else(|| format!("{hex}.json"), str::to_owned);
    let manifest =
        format!(r#"[{{"Config":"{name}","RepoTags":["a:1"],"Layers":["x/layer.tar"]}}]"#);
    Tar::default()
        .file("y/layer.tar", layer)
        .link("x/layer.tar", "../y/layer.tar")
        .file("manifest.json", manifest.as_bytes())
        .file(&name, config.as_bytes())
        .end()
}

/// What builders write that is unusual and leads nowhere: absolute names, steps back, names through links of the same layer,
/// an entry given twice, hard links to links.
#[test]
fn unusual_layers_are_taken_as_docker_takes_them() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Tar::default()
        .dir("/")
        .dir("/etc/")
        .file("/etc/app", b"x")
        .hard("/etc/same", "/etc/app")
        .file("a/../etc/back", b"b")
        .dir("usr/lib/")
        .link("lib64", "usr/lib")
        .link("lib", "/usr/lib")
        .file("lib64/one", b"1")
        .file("lib/new/two", b"2")
        .dir("lib64/dir")
        .hard("lib/three", "lib64/one")
        .link("s", "../../outside")
        .hard("t", "s")
        .file("s", b"now a file")
        .file("twice", b"1")
        .file("twice", b"2")
        .end();
    let layer = dir.path().join("layer");
    fs::create_dir(&layer).unwrap();
    unpack(archive.as_slice(), &layer, CAPS).unwrap();
    let text = |path: &str| fs::read_to_string(layer.join(path)).unwrap();
    for (path, content) in [
        ("etc/app", "x"),
        ("etc/same", "x"),
        ("etc/back", "b"),
        ("usr/lib/one", "1"),
        ("usr/lib/new/two", "2"),
        ("usr/lib/three", "1"),
        ("s", "now a file"),
        ("twice", "2"),
    ] {
        assert_eq!(text(path), content, "{path}");
    }
    assert_eq!(fs::read_link(layer.join("lib64")).unwrap(), Path::new("usr/lib"));
    assert_eq!(fs::read_link(layer.join("t")).unwrap(), Path::new("../../outside"));
    let mode = |path: &str| fs::metadata(layer.join(path)).unwrap().mode() & 0o777;
    assert_eq!((mode("usr/lib/new"), mode("usr")), (0o755, 0o755));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing outside");
}

#[test]
fn nothing_counts_before_its_digest_was_checked() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("images")).unwrap();
    let layer = Tar::default().file("f", b"x").end();
    let right = Digest::of(&layer);
    let wrong_name = format!("{}.json", right.hex());
    for (archive, reason) in [
        (archive_of(&layer, Digest::of(b"other"), None), "has content of digest"),
        (archive_of(&layer, right, Some(&wrong_name)), "has other content"),
        (Tar::default().file("f", b"").end(), "\"manifest.json\" is missing"),
        (Tar::default().file("manifest.json", b"[]").end(), "0 images"),
        (Tar::default().link("manifest.json", "manifest.json").end(), "leads nowhere"),
        (Tar::default().link("manifest.json", "/etc/passwd").end(), "out of the archive"),
        (Tar::default().link("manifest.json", "../../etc/passwd").end(), "out of the archive"),
    ] {
        let error = load(&store, archive.as_slice(), CAPS).unwrap_err();
        assert!(
            matches!(&error, Error::HostileImage { reason: said } if said.contains(reason)),
            "{error}"
        );
        assert_eq!(store.images().unwrap(), []);
        for place in ["layers", "tmp", "config"] {
            let left = fs::read_dir(dir.path().join("images").join(place)).unwrap().count();
            assert_eq!(left, 0, "{reason}: {place}");
        }
    }
    load(&store, archive_of(&layer, right, None).as_slice(), CAPS).unwrap();
    let image = store.find("a:1", 4).unwrap().unwrap();
    assert_eq!((image.size, image.layers.as_slice()), (1, &[right][..]));
    // The next daemon sees the same.
    let again = Store::open(dir.path().join("images")).unwrap();
    assert_eq!(again.find("a:1", 4).unwrap(), Some(image));
}

/// An OCI layout under construction: blobs by their digests, and the index.
#[derive(Default)]
struct Layout {
    tar: Tar,
}

fn descriptor(blob: &[u8]) -> serde_json::Value {
    serde_json::json!({ "digest": Digest::of(blob).to_string(), "size": blob.len() })
}

impl Layout {
    fn blob(self, blob: &[u8]) -> Self {
        let path = format!("blobs/sha256/{}", Digest::of(blob).hex());
        Self { tar: self.tar.file(&path, blob) }
    }
    /// A blob that is not what its name says.
    fn forged(self, of: &[u8], content: &[u8]) -> Self {
        let path = format!("blobs/sha256/{}", Digest::of(of).hex());
        Self { tar: self.tar.file(&path, content) }
    }
    fn json(self, value: &serde_json::Value) -> Self {
        self.blob(value.to_string().as_bytes())
    }
    fn index(self, entries: &[serde_json::Value]) -> Vec<u8> {
        let index = serde_json::json!({ "schemaVersion": 2, "manifests": entries });
        self.tar
            .file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
            .file("index.json", index.to_string().as_bytes())
            .end()
    }
}

fn of_json(value: &serde_json::Value) -> serde_json::Value {
    descriptor(value.to_string().as_bytes())
}

fn config_of(diff_ids: &[Digest]) -> serde_json::Value {
    serde_json::json!({ "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids } })
}

fn manifest_of(config: &serde_json::Value, layers: &[serde_json::Value]) -> serde_json::Value {
    serde_json::json!({ "schemaVersion": 2, "config": of_json(config), "layers": layers })
}

#[test]
fn every_hostile_layout_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("images")).unwrap();
    let plain = Tar::default().file("f", b"x").end();
    let packed = gzip(&plain);
    let layer = descriptor(&packed);
    let config = config_of(&[Digest::of(&plain)]);
    let manifest = manifest_of(&config, std::slice::from_ref(&layer));
    let named = |name: &str| {
        let mut entry = of_json(&manifest);
        entry["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": name });
        entry
    };
    let honest = || Layout::default().blob(&packed).json(&config).json(&manifest);
    let other_config = config_of(&[Digest::of(b"other")]);
    let short = manifest_of(&config, &[]);
    let mut said_longer = layer.clone();
    said_longer["size"] = serde_json::json!(packed.len() + 1);
    let longer = manifest_of(&config, &[said_longer]);
    let mut huge = layer.clone();
    huge["size"] = serde_json::json!(u64::MAX);
    let huge = manifest_of(&config, &[huge]);
    let bomb = gzip(&Tar::default().file("f", &vec![0; 8 << 20]).end());
    let bomb_config = config_of(&[Digest::of(b"whatever it is")]);
    let bomb_manifest = manifest_of(&bomb_config, &[descriptor(&bomb)]);
    // Indexes within indexes, each of one entry.
    let mut nest = honest();
    let mut inner = of_json(&manifest);
    for _ in 0..5 {
        let index = serde_json::json!({ "schemaVersion": 2, "manifests": [inner] });
        inner = of_json(&index);
        nest = nest.json(&index);
    }
    let foreign = serde_json::json!({ "schemaVersion": 2, "manifests": [
        { "digest": Digest::of(b"").to_string(), "size": 1, "platform": { "os": "plan9", "architecture": "mips" } },
    ] });
    let many = vec![of_json(&manifest); 1_001];
    let mut both = manifest.clone();
    both["manifests"] = serde_json::json!([]);
    let corpus: Vec<(&str, &str, Vec<u8>)> = vec![
        ("no images", "0 images", honest().index(&[])),
        ("an index that is none", "no index", {
            let tar = Layout::default().tar.file("index.json", manifest.to_string().as_bytes());
            tar.end()
        }),
        ("many images", "over 1000 entries", honest().index(&many)),
        ("deep index", "indexes within", nest.index(&[inner])),
        (
            "foreign index",
            "no matching manifest",
            Layout::default().json(&foreign).index(&[of_json(&foreign)]),
        ),
        ("manifest missing", "is missing", Layout::default().index(&[of_json(&manifest)])),
        (
            "manifest forged",
            "other content",
            Layout::default()
                .forged(manifest.to_string().as_bytes(), b"{}")
                .index(&[of_json(&manifest)]),
        ),
        ("manifest of two meanings", "neither", honest().json(&both).index(&[of_json(&both)])),
        (
            "configuration forged",
            "other content",
            Layout::default()
                .json(&manifest)
                .forged(config.to_string().as_bytes(), b"{}")
                .index(&[of_json(&manifest)]),
        ),
        (
            "layer missing",
            "is missing",
            Layout::default().json(&config).json(&manifest).index(&[of_json(&manifest)]),
        ),
        (
            "layer forged",
            "other content",
            Layout::default()
                .json(&config)
                .json(&manifest)
                .forged(&packed, &repacked(&packed))
                .index(&[of_json(&manifest)]),
        ),
        (
            "layer of another length",
            "bytes and not",
            honest().json(&longer).index(&[of_json(&longer)]),
        ),
        ("layer of huge length", "a layer of over", honest().json(&huge).index(&[of_json(&huge)])),
        ("layers disagree", "disagree", honest().json(&short).index(&[of_json(&short)])),
        ("layer with other content", "has content of digest", {
            let manifest = manifest_of(&other_config, std::slice::from_ref(&layer));
            Layout::default()
                .blob(&packed)
                .json(&other_config)
                .json(&manifest)
                .index(&[of_json(&manifest)])
        }),
        (
            "bomb",
            "200 times its size",
            Layout::default()
                .blob(&bomb)
                .json(&bomb_config)
                .json(&bomb_manifest)
                .index(&[of_json(&bomb_manifest)]),
        ),
        ("name that leads out", "its name", honest().index(&[named("../../etc:1")])),
        ("name in capitals", "its name", honest().index(&[named("Shop/Web:1")])),
        (
            "index is a link out",
            "out of the archive",
            Tar::default().link("index.json", "/etc/passwd").end(),
        ),
    ];
    for (name, reason, archive) in corpus {
        let error = load(&store, archive.as_slice(), CAPS).expect_err(name).to_string();
        assert!(error.contains(reason), "{name}: {error:?} does not say {reason:?}");
        assert_eq!(store.images().unwrap(), [], "{name}");
        store.collect(|| Ok(Vec::new())).unwrap();
        for place in ["layers", "tmp", "config"] {
            let left = fs::read_dir(dir.path().join("images").join(place)).unwrap().count();
            assert_eq!(left, 0, "{name}: {place}");
        }
    }
    // Honest, it is taken, by tag and by digest.
    let loaded = load(&store, honest().index(&[named("a:1")]).as_slice(), CAPS).unwrap();
    assert_eq!(loaded[0].name.as_deref(), Some("a:1"));
    let digest = Digest::of(manifest.to_string().as_bytes());
    let image = store.find(&format!("a@{digest}"), 4).unwrap().unwrap();
    assert_eq!((image.id, image.names.as_slice()), (loaded[0].id, &["a:1".to_owned()][..]));
    assert_eq!(store.find(&format!("a:1@{digest}"), 4).unwrap(), Some(image));
    // `docker save` of today writes both; then the older form counts.
    let both = archive_of(&plain, Digest::of(&plain), None);
    let both = [&both[..both.len() - 1024], &honest().index(&[named("b:1")])].concat();
    let names: Vec<_> = load(&store, both.as_slice(), CAPS).unwrap();
    assert_eq!(names[0].name.as_deref(), Some("a:1"));
}

/// The same content, packed at another time.
fn repacked(gzip: &[u8]) -> Vec<u8> {
    let mut other = gzip.to_vec();
    other[4] ^= 1;
    other
}

/// An honest layer with some bytes changed, or cut off, or noise: unpacked below its directory or refused.
#[test]
fn any_bytes_are_a_layer_and_an_archive_or_refused() {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    let honest = Tar::default()
        .dir("d")
        .pax("path", b"d/long")
        .file("f", b"content")
        .link("d/l", "../f")
        .hard("h", "d/long")
        .file("d/.wh.gone", b"")
        .file("manifest.json", br#"[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l"]}]"#)
        .file("c.json", br#"{"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#)
        .end();
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let changes = (prop::collection::vec(change, 0..6), any::<prop::sample::Index>(), 0..4);
    let changed = changes.prop_map(move |(changes, cut, kind)| {
        let mut bytes = honest.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            // Else nearly every one ends at the checksum.
            let header = at / 512 * 512;
            let sum: u32 = (0..512)
                .map(|n| match n {
                    148..156 => u32::from(b' '),
                    n => u32::from(bytes[header + n]),
                })
                .sum();
            if bytes[header + 257..].starts_with(b"ustar") {
                bytes[header + 148..header + 156]
                    .copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        match kind {
            0 => bytes.truncate(cut.index(bytes.len())),
            1 => bytes = gzip(&bytes),
            2 => {
                bytes = gzip(&bytes);
                let at = cut.index(bytes.len());
                bytes[at] ^= 0x10;
            }
            _ => {}
        }
        bytes
    });
    let noise = prop::collection::vec(any::<u8>(), 0..1500);
    let dir = tempfile::tempdir().unwrap();
    let mut runner =
        TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    runner
        .run(&prop_oneof![4 => changed, 1 => noise], |bytes| {
            let layer = dir.path().join("layer");
            fs::create_dir(&layer).unwrap();
            drop(unpack(bytes.as_slice(), &layer, CAPS));
            fs::remove_dir_all(&layer).unwrap();
            let store = Store::open(dir.path().join("store")).unwrap();
            drop(load(&store, bytes.as_slice(), CAPS));
            let left = fs::read_dir(dir.path()).unwrap().count();
            prop_assert_eq!(left, 1, "something lies beside the store");
            Ok(())
        })
        .unwrap();
}
