//! The resolvers, search domains and options of this machine, as its `resolv.conf` says: the one place that reads it.
//! Read again whenever it has changed, because DHCP, VPNs and people rewrite it while the daemon runs.
//!
//! Lenient as C libraries are (resolv.conf(5)): a line that says nothing we know is passed over, and no file is no resolver.

use std::fs::{self, Metadata};
use std::io::Read as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::overlay::DNS_ADDRESS;

/// Resolvers asked: as many as a C library reads from the file (`MAXNS`).
const SERVERS_MAX: usize = 3;
/// Longest file that is read: a real one has some hundred bytes.
const FILE_MAX: u64 = 64 << 10;
/// Where resolvers listen.
const PORT: u16 = 53;

/// What such a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolvers {
    /// Who is asked, in this order.
    pub servers: Vec<SocketAddr>,
    /// Domains that are tried behind a name.
    pub search: Vec<String>,
    /// Options as they are written: `timeout:2`, `rotate`.
    pub options: Vec<String>,
}

/// How patiently resolvers are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tries {
    /// Given to one of them before its answer is no longer waited for alone.
    pub(super) timeout: Duration,
    /// How often each is asked.
    pub(super) attempts: u32,
    /// Whether each question begins with another one.
    pub(super) rotate: bool,
    /// Whether they are asked over TCP only.
    pub(super) tcp: bool,
}

impl Resolvers {
    /// Resolvers a container has of its own, and its options.
    pub fn own(servers: &[IpAddr], options: &[String]) -> Self {
        let servers = servers.iter().take(SERVERS_MAX).map(|ip| SocketAddr::new(*ip, PORT));
        Self { servers: servers.collect(), search: Vec::new(), options: options.to_vec() }
    }

    /// Reads a text in the manner of resolv.conf(5).
    pub fn read(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            // A keyword begins in the first column; so does a comment.
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().filter(|word| line.starts_with(word));
            match keyword {
                Some("nameserver") if found.servers.len() < SERVERS_MAX => {
                    found.servers.extend(words.next().and_then(server));
                }
                // The last one counts, whichever of the two it is.
                Some("search" | "domain") => found.search = words.map(str::to_owned).collect(),
                Some("options") => found.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        found
    }

    /// What a container's file says while the host's says this: it asks us, and what it adds to names is as on the host.
    pub fn for_containers(&self) -> String {
        let mut text = format!("nameserver {DNS_ADDRESS}\n");
        if !self.search.is_empty() {
            text.push_str(&format!("search {}\n", self.search.join(" ")));
        }
        text.push_str("options");
        for option in &self.options {
            text.push_str(&format!(" {option}"));
        }
        // Docker's: names of the swarm have no dots and are asked for as they are.
        if !self.options.iter().any(|option| option.starts_with("ndots:")) {
            text.push_str(" ndots:0");
        }
        text.push('\n');
        text
    }

    pub(super) fn tries(&self) -> Tries {
        // The values and bounds of a C library (RES_TIMEOUT, RES_DFLRETRY, RES_MAXRETRANS, RES_MAXRETRY).
        let mut tries =
            Tries { timeout: Duration::from_secs(5), attempts: 2, rotate: false, tcp: false };
        for option in &self.options {
            let (name, value) = option.split_once(':').unwrap_or((option, ""));
            match (name, value.parse::<u32>()) {
                ("timeout", Ok(seconds)) => {
                    tries.timeout = Duration::from_secs(seconds.clamp(1, 30).into());
                }
                ("attempts", Ok(times)) => tries.attempts = times.clamp(1, 5),
                ("rotate", _) => tries.rotate = true,
                ("use-vc" | "usevc", _) => tries.tcp = true,
                _ => {}
            }
        }
        tries
    }
}

/// An address, with the link of a link-local one: `fe80::1%eth0`. Ours would make us ask ourselves.
fn server(text: &str) -> Option<SocketAddr> {
    let (address, link) = text.split_once('%').unwrap_or((text, ""));
    match address.parse().ok()? {
        IpAddr::V4(DNS_ADDRESS) => None,
        IpAddr::V4(ip) => Some(SocketAddr::new(ip.into(), PORT)),
        IpAddr::V6(ip) => Some(SocketAddrV6::new(ip, PORT, 0, scope(ip, link)?).into()),
    }
}

fn scope(ip: Ipv6Addr, link: &str) -> Option<u32> {
    if link.is_empty() {
        return (!ip.is_unicast_link_local()).then_some(0);
    }
    link.parse().ok().or_else(|| nix::net::if_::if_nametoindex(link).ok())
}

/// A file that is followed.
#[derive(Debug)]
pub struct HostFile {
    path: PathBuf,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    /// Which file it was and how old: another one, or the same written again, differs in it.
    stamp: Option<Stamp>,
    said: Arc<Resolvers>,
    unreadable: bool,
}

type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

fn stamp(file: &Metadata) -> Stamp {
    let modified = (file.mtime(), file.mtime_nsec());
    (file.dev(), file.ino(), file.size(), modified, (file.ctime(), file.ctime_nsec()))
}

impl HostFile {
    /// The file need not be there yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), last: Mutex::default() }
    }

    /// What the file says now. What cannot be read leaves in force what was said before.
    pub fn now(&self) -> Arc<Resolvers> {
        let mut last = self.last();
        let found = match fs::metadata(&self.path) {
            // The end of a symbolic link: another target is another file.
            Ok(file) => Some(stamp(&file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                self.complain(&mut last, &error);
                return Arc::clone(&last.said);
            }
        };
        if found == last.stamp && !last.unreadable {
            return Arc::clone(&last.said);
        }
        let text = match found {
            None => Ok(Vec::new()),
            Some(_) => self.text(),
        };
        match text {
            Ok(text) => {
                let said = Resolvers::read(&String::from_utf8_lossy(&text));
                tracing::debug!(path = %self.path.display(), ?said, "the host's resolvers");
                *last = Last { stamp: found, said: Arc::new(said), unreadable: false };
            }
            Err(error) => self.complain(&mut last, &error),
        }
        Arc::clone(&last.said)
    }

    fn text(&self) -> std::io::Result<Vec<u8>> {
        let mut text = Vec::new();
        // Nobody waits for the writer of a pipe.
        let flags =
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
        let file = rustix::fs::open(&self.path, flags, rustix::fs::Mode::empty())?;
        fs::File::from(file).take(FILE_MAX).read_to_end(&mut text)?;
        Ok(text)
    }

    /// Once, until it is readable again.
    fn complain(&self, last: &mut Last, error: &std::io::Error) {
        if !std::mem::replace(&mut last.unreadable, true) {
            tracing::warn!(path = %self.path.display(), %error, "cannot read the host's resolvers");
        }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), PORT)
    }

    #[test]
    fn a_file_is_read_as_c_libraries_read_it() {
        let read = Resolvers::read(
            "# nameserver 9.9.9.9\n; nameserver 9.9.9.8\nnameserver\t192.0.2.1 # first\n nameserver 9.9.9.7\n\
             nameserver 127.0.0.11\nnameserver nonsense\nnameserver 2001:db8::1\nnameserver fe80::1\nnameservers 9.9.9.6\n\
             domain old.example\nsearch a.example  b.example\noptions timeout:1 rotate\nsortlist 1.2.3.4\n\
             options attempts:9 ndots:3\nnameserver fe80::2%1\nnameserver 192.0.2.4\n\0\u{fffd}",
        );
        let scoped = SocketAddrV6::new("fe80::2".parse().unwrap(), PORT, 0, 1).into();
        assert_eq!(read.servers, [at("192.0.2.1"), at("2001:db8::1"), scoped]);
        assert_eq!(read.search, ["a.example", "b.example"]);
        assert_eq!(read.options, ["timeout:1", "rotate", "attempts:9", "ndots:3"]);
        let tries = read.tries();
        assert_eq!((tries.timeout, tries.attempts), (Duration::from_secs(1), 5));
        assert!(tries.rotate && !tries.tcp);
    }

    #[test]
    fn containers_search_as_the_host_does_and_ask_us() {
        let made = |text: &str| Resolvers::read(text).for_containers();
        assert_eq!(made(""), "nameserver 127.0.0.11\noptions ndots:0\n");
        assert_eq!(
            made("nameserver 127.0.0.53\nsearch corp.example lan\noptions edns0 trust-ad\n"),
            "nameserver 127.0.0.11\nsearch corp.example lan\noptions edns0 trust-ad ndots:0\n"
        );
        assert_eq!(
            made("domain lan\noptions ndots:2 timeout:1"),
            "nameserver 127.0.0.11\nsearch lan\noptions ndots:2 timeout:1\n"
        );
    }

    #[test]
    fn options_that_make_no_sense_are_a_c_librarys_own() {
        let tries = |text: &str| Resolvers::read(text).tries();
        let plain = tries("");
        assert_eq!((plain.timeout, plain.attempts), (Duration::from_secs(5), 2));
        assert_eq!(tries("options timeout:x attempts: timeout attempts:-1"), plain);
        assert_eq!(tries("options timeout:0 attempts:0").attempts, 1);
        assert_eq!(tries("options timeout:0").timeout, Duration::from_secs(1));
        assert_eq!(tries("options timeout:99").timeout, Duration::from_secs(30));
        assert!(tries("options use-vc").tcp);
    }

    #[test]
    fn a_file_is_followed_however_it_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        let file = HostFile::new(&path);
        let servers = || -> Vec<SocketAddr> { file.now().servers.clone() };
        let none: [SocketAddr; 0] = [];
        assert_eq!(servers(), none, "not there yet");
        fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
        assert_eq!(servers(), [at("192.0.2.1")]);
        fs::write(&path, "nameserver 192.0.2.2\n").unwrap();
        assert_eq!(servers(), [at("192.0.2.2")], "written in place, as long as before");
        let other = dir.path().join("other");
        fs::write(&other, "nameserver 192.0.2.3\n").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(servers(), [at("192.0.2.3")], "replaced");
        let stub = dir.path().join("stub-resolv.conf");
        fs::write(&stub, "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n").unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&stub, &path).unwrap();
        assert_eq!(servers(), [at("127.0.0.53")], "a link");
        fs::write(&stub, "nameserver 127.0.0.54\n").unwrap();
        assert_eq!(servers(), [at("127.0.0.54")], "behind the link");
        fs::remove_file(&stub).unwrap();
        assert_eq!(servers(), none, "a link to nothing");
        fs::create_dir(&stub).unwrap();
        assert_eq!(servers(), none, "no file at all");
        fs::remove_dir(&stub).unwrap();
        fs::write(&stub, "nameserver 192.0.2.9\n").unwrap();
        assert_eq!(servers(), [at("192.0.2.9")], "there again");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_text_is_read(text in "(nameserver|search|options|[a-z:.%0-9]{0,9}|[ \t\n#;]|\\PC){0,40}") {
            let read = Resolvers::read(&text);
            proptest::prop_assert!(read.servers.len() <= SERVERS_MAX);
            let _ = read.tries();
        }
    }
}
