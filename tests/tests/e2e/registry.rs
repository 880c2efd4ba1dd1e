//! Images come from Debian's docker-registry, on this machine: by Skein's client and Docker's, with a password, and
//! after the daemon was killed in between. What was pulled is in the log with its digest; the password is nowhere.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use nix::sched::{CloneFlags, setns};
use tempfile::TempDir;

use crate::daemon::{Daemon, docker, signal};
use crate::host::{Host, run, until};

const PASSWORD: &str = "s3cret-word";
/// `ada` with that password, as `htpasswd -B` writes it.
const HTPASSWD: &str = "ada:$2b$05$1CxcFmgPPwig7FpMTgPpJur5L49.MEGPMCIXdFZ1JXow0tFCrYUHy\n";

struct Registry {
    dir: TempDir,
    child: Child,
    /// How to ask it, as `curl` takes it: options and an address.
    url: String,
}

/// What a registry is to be like.
struct Wanted {
    at: &'static str,
    guarded: bool,
    encrypted: bool,
}

const HERE: Wanted = Wanted { at: "127.0.0.1:5000", guarded: false, encrypted: false };

/// An authority of its own, and a certificate for this address: `ca.pem`, `cert.pem`, `key.pem`.
fn certify(dir: &Path, ip: &str) {
    let script = r#"cd "$1"; new="openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        $new -keyout ca.key -out ca.pem -subj /CN=authority -addext basicConstraints=critical,CA:TRUE
        $new -CA ca.pem -CAkey ca.key -keyout key.pem -out cert.pem -subj /CN=registry \
            -addext basicConstraints=critical,CA:FALSE -addext "subjectAltName=IP:$2""#;
    let said = run(Command::new("sh").args(["-ec", script, "sh"]).arg(dir).arg(ip));
    assert_eq!(said.code, 0, "{said:?}");
}

impl Registry {
    /// A registry in a network namespace.
    fn start(host: &Host, wanted: &Wanted) -> Self {
        let Wanted { at, guarded, encrypted } = *wanted;
        let dir = tempfile::tempdir().expect("a folder for the registry");
        let place = dir.path().display();
        fs::write(dir.path().join("htpasswd"), HTPASSWD).expect("a file can be written");
        let guard = format!("auth: {{htpasswd: {{realm: here, path: {place}/htpasswd}}}}\n");
        let guard = if guarded { &*guard } else { "" };
        let (ip, _) = at.split_once(':').expect("an address has a port");
        let (mut tls, mut url) = (String::new(), format!("http://{at}"));
        if encrypted {
            certify(dir.path(), ip);
            tls = format!(", tls: {{certificate: {place}/cert.pem, key: {place}/key.pem}}");
            url = format!("--cacert {place}/ca.pem https://{at}");
        }
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {place}/store}}}}\n\
             http: {{addr: '{at}'{tls}}}\n\
             {guard}"
        );
        let path = dir.path().join("config.yml");
        fs::write(&path, config).expect("a file can be written");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/registry.sh");
        let found = run(&mut Command::new(script));
        assert_eq!(found.code, 0, "docker-registry cannot be had: {found:?}");
        let log = fs::File::create(dir.path().join("log")).expect("a file can be written");
        let mut command = host.command(found.stdout.trim());
        command.arg("serve").arg(path).stdout(log.try_clone().expect("a file")).stderr(log);
        let child = command.spawn().expect("the registry can be started");
        let registry = Self { dir, child, url };
        until("the registry answers", || {
            let asked = format!("curl -s {}/v2/", registry.url);
            run(host.command("sh").args(["-c", &asked])).code.eq(&0).then_some(())
        });
        registry
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Puts an archive of an image there, as `docker push` would; gives the manifest's digest.
    fn push(&self, host: &Host, archive: &Path, name: &str) -> String {
        let work = self.dir.path().join("push");
        fs::create_dir_all(&work).expect("a folder can be made");
        let script = format!(
            r#"cd {work}; tar xf {archive}
            url="{url}/v2/{name}"; with="-sSf -u ada:{PASSWORD}"; case $url in *' '*) with="$with ${{url% *}}"; url=${{url##* }};; esac
            put() {{
                d=sha256:$(sha256sum "$1" | cut -d' ' -f1)
                to=$(curl $with -D - -o /dev/null -X POST $url/blobs/uploads/ | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
                curl $with -o /dev/null -X PUT -H 'Content-Type: application/octet-stream' --data-binary @"$1" "$to&digest=$d"
                echo "{{\"mediaType\":\"$2\",\"digest\":\"$d\",\"size\":$(stat -c %s "$1")}}"
            }}
            v=application/vnd.docker
            config=$(sed 's/.*"Config":"\([^"]*\)".*/\1/' manifest.json)
            layer=$(sed 's/.*"Layers":\["\([^"]*\)".*/\1/' manifest.json)
            c=$(put "$config" $v.container.image.v1+json); l=$(put "$layer" $v.image.rootfs.diff.tar)
            m=$v.distribution.manifest.v2+json
            printf '{{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s]}}' "$m" "$c" "$l" > m.json
            curl $with -X PUT -H "Content-Type: $m" --data-binary @m.json $url/manifests/1
            echo sha256:$(sha256sum m.json | cut -d' ' -f1)"#,
            work = work.display(),
            archive = archive.display(),
            url = self.url,
        );
        host.sh(&script).trim().to_owned()
    }
}

/// Bytes of a blob that the front lets through.
const LET_THROUGH: usize = 100_000;

/// Stands before the registry, on port 5002. Whoever asks for a blob from its beginning gets some of it, then nothing more
/// and no end either; whoever asks for the rest gets that.
struct Front {
    asked: Arc<Mutex<Vec<String>>>,
}

impl Front {
    fn start(host: &Host) -> Self {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&asked);
        serve(host, "127.0.0.1:5002", move |stream| relay(stream, &log));
        Self { asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panicked with it").clone()
    }
}

/// Listens in a network namespace, with a thread a connection; how one ends is the client's matter.
fn serve(
    host: &Host,
    at: &'static str,
    each: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
) {
    let network = File::open(format!("/proc/{}/ns/net", host.id())).expect("it runs");
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // What this thread starts is there, too.
        setns(network, CloneFlags::CLONE_NEWNET).expect("tests need root");
        let listener = TcpListener::bind(at).expect("the port is free");
        ready.send(()).expect("it is waited for");
        let each = Arc::new(each);
        for stream in listener.incoming() {
            let each = Arc::clone(&each);
            std::thread::spawn(move || stream.and_then(|stream| each(stream)));
        }
    });
    is_ready.recv().expect("it starts");
}

/// The head of a request; nothing if TLS is spoken.
fn head_of(client: &mut TcpStream) -> io::Result<Option<String>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
        // The first byte of TLS, which is not spoken here.
        if head == [0x16] {
            return Ok(None);
        }
    }
    String::from_utf8(head).map(Some).map_err(io::Error::other)
}

/// A proxy for all that is asked of it: tunnels, and requests in the clear. Remembers the first line of each.
fn proxy(mut client: TcpStream, log: &Mutex<Vec<String>>) -> io::Result<()> {
    let Some(head) = head_of(&mut client)? else { return Ok(()) };
    let line = head.lines().next().unwrap_or_default();
    log.lock().expect("nobody panicked with it").push(line.to_owned());
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let server = if method == "CONNECT" {
        let server = TcpStream::connect(target)?;
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        server
    } else {
        let place = target.strip_prefix("http://").unwrap_or_default();
        let (host, _) = place.split_once('/').unwrap_or_default();
        let mut server = TcpStream::connect(host)?;
        let head = head.replacen(&format!("http://{host}"), "", 1);
        server.write_all(head.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes())?;
        server
    };
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || io::copy(&mut from, &mut to));
    io::copy(&mut &server, &mut client)?;
    client.shutdown(std::net::Shutdown::Both)
}

fn relay(mut client: TcpStream, log: &Mutex<Vec<String>>) -> io::Result<()> {
    let Some(head) = head_of(&mut client)? else { return Ok(()) };
    let mut registry = TcpStream::connect("127.0.0.1:5000")?;
    registry.write_all(head.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes())?;
    let head = head.to_lowercase();
    log.lock().expect("nobody panicked with it").push(head.clone());
    if head.contains("/blobs/") && !head.contains("\r\nrange:") {
        let mut some = registry.take(LET_THROUGH.try_into().expect("it is small"));
        io::copy(&mut some, &mut client)?;
        if some.limit() > 0 {
            return Ok(());
        }
        // Until the client goes.
        return client.read(&mut [0]).map(drop);
    }
    io::copy(&mut registry, &mut client).map(drop)
}

/// An image of a file system without anything in it.
fn other_image(registry: &Registry) -> PathBuf {
    let script = r#"cd "$1"; mkdir -p other/root; cd other; tar cf layer.tar root
        printf '{"architecture":"%s","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
            "$(dpkg --print-architecture)" "$(sha256sum layer.tar | cut -d' ' -f1)" >config.json
        printf '[{"Config":"config.json","RepoTags":["other:1"],"Layers":["layer.tar"]}]' >manifest.json
        tar cf ../other.tar config.json manifest.json layer.tar"#;
    let said = run(Command::new("sh").args(["-ec", script, "sh"]).arg(registry.dir.path()));
    assert_eq!(said.code, 0, "{said:?}");
    registry.dir.path().join("other.tar")
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_image_comes_from_a_registry_with_a_password() {
    let mut daemon = Daemon::start();
    let registry = Registry::start(&daemon.host, &Wanted { guarded: true, ..HERE });
    daemon.ok("swarm init --advertise-addr 127.0.0.1");
    let digest = registry.push(&daemon.host, &daemon.image(), "team/hello");
    let name = "127.0.0.1:5000/team/hello:1";

    let denied = daemon.refused(&format!("image pull {name}"));
    assert!(denied.contains("pull access denied for 127.0.0.1:5000/team/hello"), "{denied}");
    let login = |password: &str| {
        let docker = docker().join("docker");
        let docker = docker.display();
        daemon.sh(&format!(
            "printf %s {password} | {docker} login -u ada --password-stdin 127.0.0.1:5000"
        ))
    };
    let wrong = login("guessed");
    assert!(wrong.stderr.contains("incorrect username or password"), "{wrong:?}");
    assert!(daemon.refused(&format!("image pull {name}")).contains("pull access denied"));
    let right = login(PASSWORD);
    assert!(right.code == 0 && right.stdout.contains("Login Succeeded"), "{right:?}");
    let pulled = daemon.ok(&format!("image pull -m 'for the story' {name}"));
    assert!(pulled.starts_with("1: Pulling from team/hello\n"), "{pulled}");
    assert!(pulled.contains(": Pull complete\n"), "{pulled}");
    let end = format!("Digest: {digest}\nStatus: Downloaded newer image for {name}\n{name}\n");
    assert!(pulled.ends_with(&end), "{pulled}");
    assert_eq!(daemon.ok(&format!("image pull -q {name}")), format!("{name}\n"));
    let pinned = format!("127.0.0.1:5000/team/hello@{digest}");
    daemon.ok(&format!("image rm {name}"));
    let byte = daemon.ok(&format!("image pull {pinned}"));
    assert!(byte.contains("Downloaded newer image"), "{byte}");

    // Docker's client, the same image: the name is new, then nothing is.
    let docker = docker().join("docker");
    for status in ["Downloaded newer image", "Image is up to date"] {
        let again = daemon.sh(&format!("{} pull {name}", docker.display()));
        let status = format!("Status: {status} for {name}");
        assert!(again.code == 0 && again.stdout.contains(&status), "{again:?}");
    }
    let missing = daemon.sh(&format!("{} pull 127.0.0.1:5000/team/hello:2", docker.display()));
    assert!(missing.stderr.contains("hello:2 not found: manifest unknown"), "{missing:?}");
    // It asks the registry for the digest, with the password only if it is told to.
    let create = "service create -d --with-registry-auth --name web";
    let created = daemon.sh(&format!("{} {create} {name} sleep 60", docker.display()));
    assert_eq!((created.code, &*created.stderr), (0, ""), "{created:?}");
    daemon.await_replicas("web", "1/1");
    let spec = daemon.ok("service inspect web");
    assert!(spec.contains(&format!("{name}@{digest}")), "the digest is pinned: {spec}");
    // Skein's client as well, which knows the password without being told to use it.
    let created = daemon.skein(&format!("service create -d --name own {name} sleep 60"));
    assert_eq!((created.code, &*created.stderr), (0, ""), "{created:?}");
    let image = "service inspect --format '{{.Spec.TaskTemplate.ContainerSpec.Image}}'";
    assert_eq!(daemon.ok(&format!("{image} own")), format!("{name}@{digest}\n"));

    let log = daemon.ok("log --format json");
    assert!(log.contains(&format!("{name}@{digest}")) && log.contains("for the story"), "{log}");
    let unreachable = daemon.refused("image pull 127.0.0.1:5001/x:1");
    assert!(unreachable.contains("registry 127.0.0.1:5001 cannot be reached"), "{unreachable}");
    daemon.terminate();
    let basic = "YWRhOnMzY3JldC13b3Jk";
    for (what, text) in [("log", log), ("daemon", daemon.words()), ("registry", registry.log())] {
        let shown = text.contains(PASSWORD) || text.contains(basic);
        assert!(!shown, "the {what} tells a password");
    }
}

#[test]
fn a_node_pulls_what_its_tasks_need() {
    let daemon = Daemon::start();
    let registry = Registry::start(&daemon.host, &HERE);
    daemon.ok("swarm init --advertise-addr 127.0.0.1");
    let digest = registry.push(&daemon.host, &daemon.image(), "team/hello");
    let name = "127.0.0.1:5000/team/hello:1";
    daemon.ok(&format!("service create --detach --name web --replicas 2 {name} sleep 60"));
    daemon.await_replicas("web", "2/2");
    let image = |service: &str| {
        let one = "{{.Spec.TaskTemplate.ContainerSpec.Image}}";
        daemon.ok(&format!("service inspect --format '{one}' {service}"))
    };
    assert_eq!(image("web"), format!("{name}@{digest}\n"));
    let shown = daemon.ok("service ls --format '{{.Image}}'");
    assert_eq!(shown, format!("{name}\n"), "lists show the tag");
    let log = daemon.ok("log --format json");
    let pulls = log.lines().filter(|line| line.contains("node.image-changed"));
    assert_eq!(pulls.clone().count(), 1, "two tasks need one pull: {log}");
    assert!(pulls.clone().all(|line| line.contains(&format!("{name}@{digest}"))), "{log}");
    // A tag that moves on moves no service before it is asked to.
    let newer = registry.push(&daemon.host, &other_image(&registry), "team/hello");
    assert_ne!(newer, digest);
    daemon.ok("service update --detach --force web");
    assert_eq!(image("web"), format!("{name}@{digest}\n"));
    daemon.ok(&format!("service update --detach --image {name} web"));
    assert_eq!(image("web"), format!("{name}@{newer}\n"));
    daemon.ok(&format!("service update --detach --no-resolve-image --image {name} web"));
    assert_eq!(image("web"), format!("{name}\n"));

    // What was loaded here is no matter of a registry, whatever its name; one that does not answer is no obstacle.
    daemon.load();
    daemon.ok("image tag hello:1 127.0.0.1:5000/local/hello:1");
    let create = |name: &str, image: &str| {
        let made = daemon.skein(&format!("service create -d --name {name} {image} sleep 60"));
        assert_eq!(made.code, 0, "{made:?}");
        made.stderr
    };
    assert_eq!(create("loaded", "127.0.0.1:5000/local/hello:1"), "");
    assert!(!registry.log().contains("local/hello"), "{}", registry.log());
    let warned = create("unreachable", "127.0.0.1:5001/x:1");
    assert!(warned.starts_with("image 127.0.0.1:5001/x:1 could not be accessed"), "{warned}");
    let warned = create("gone", "127.0.0.1:5000/team/hello:2");
    assert!(warned.starts_with("image 127.0.0.1:5000/team/hello:2 could not be"), "{warned}");
    let said = until("the task is rejected", || {
        let ps = daemon.ok("service ps --no-trunc gone");
        ps.contains("Rejected").then_some(ps)
    });
    assert!(said.contains("127.0.0.1:5000/team/hello:2"), "{said}");
}

const BEHIND: &str = "203.0.113.1:5000";
const CLEAR: &str = "203.0.113.1:5001";

#[test]
fn an_encrypted_registry_is_reached_through_a_proxy() {
    // The registries are on a machine the node has no way to; the proxy is on that machine, and the node sees it.
    let (host, outside) = (Host::new(), Host::new());
    host.sh(&format!(
        "ip link add wire type veth peer name eth0 netns /proc/{}/ns/net
         ip addr add 198.51.100.1/24 dev wire
         ip link set wire up",
        outside.id()
    ));
    outside.sh("ip addr add 198.51.100.2/24 dev eth0
         ip link set eth0 up
         ip link add lan type bridge
         ip addr add 203.0.113.1/24 dev lan
         ip link set lan up");
    let registry =
        Registry::start(&outside, &Wanted { at: BEHIND, guarded: false, encrypted: true });
    let clear = Registry::start(&outside, &Wanted { at: CLEAR, ..HERE });
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let log = Arc::clone(&asked);
    serve(&outside, "198.51.100.2:3128", move |client| proxy(client, &log));
    let mut daemon = Daemon::stopped(Arc::new(host));
    let digest = registry.push(&outside, &daemon.image(), "team/hello");
    let plain = clear.push(&outside, &daemon.image(), "team/plain");
    let pull = format!("image pull {BEHIND}/team/hello:1");
    let authority = registry.dir.path().join("ca.pem").display().to_string();
    let proxies = [
        ("HTTPS_PROXY", "http://198.51.100.2:3128"),
        ("HTTP_PROXY", "http://198.51.100.2:3128"),
        ("NO_PROXY", "192.0.2.0/24"),
    ];

    daemon.resume(&[("SSL_CERT_FILE", &authority)]);
    let told = daemon.refused(&pull);
    assert!(told.contains(&format!("registry {BEHIND} cannot be reached")), "{told}");
    daemon.terminate();
    // An authority that the node does not know.
    daemon.resume(&proxies);
    let told = daemon.refused(&pull);
    assert!(told.contains("UnknownIssuer"), "{told}");
    daemon.terminate();

    daemon.options = vec!["--insecure-registry".to_owned(), CLEAR.to_owned()];
    daemon.resume(&[("SSL_CERT_FILE", &authority), proxies[0], proxies[1], proxies[2]]);
    let pulled = daemon.ok(&pull);
    assert!(pulled.contains(&format!("Digest: {digest}\n")), "{pulled}");
    let pulled = daemon.ok(&format!("image pull {CLEAR}/team/plain:1"));
    assert!(pulled.contains(&format!("Digest: {plain}\n")), "{pulled}");
    let asked = asked.lock().expect("nobody panicked with it").clone();
    let all = asked.join("\n");
    assert!(asked.iter().any(|line| line.starts_with(&format!("CONNECT {BEHIND} "))), "{all}");
    assert!(asked.iter().any(|line| line.starts_with(&format!("GET http://{CLEAR}/v2/"))), "{all}");
    assert!(!all.contains("team/hello"), "what is encrypted is not the proxy's to read: {all}");
}

#[test]
fn a_pull_goes_on_after_the_daemon_was_killed() {
    let mut daemon = Daemon::start();
    let registry = Registry::start(&daemon.host, &HERE);
    let front = Front::start(&daemon.host);
    registry.push(&daemon.host, &daemon.image(), "team/hello");
    let pull = "image pull 127.0.0.1:5002/team/hello:1";
    let usage = "system df --format '{{.Type}} {{.TotalCount}} {{.Size}} {{.Reclaimable}}'";
    assert!(daemon.ok(usage).starts_with("Images 0 0B 0B (0%)\n"));

    let came = cut_short(&mut daemon, pull);
    let shown = daemon.ok(usage);
    assert!(!shown.contains("0B 0B (0%)\nContainers"), "what came is counted: {shown}");
    assert!(shown.starts_with("Images 0 ") && shown.contains(" (100%)\nContainers"), "{shown}");
    assert!(daemon.ok("system df -v").contains("\nDownloads that did not end: "));
    let pulled = daemon.ok(pull);
    assert!(pulled.contains("Downloaded newer image"), "{pulled}");
    let rest = format!("\r\nrange: bytes={came}-\r\n");
    assert_eq!(front.asked().iter().filter(|head| head.contains(&rest)).count(), 1);
    assert!(!daemon.ok("system df -v").contains("Downloads that did not end"));

    // What nobody goes on with is cleared away by a prune.
    daemon.ok("image rm 127.0.0.1:5002/team/hello:1");
    for prune in ["image prune -f", "system prune -f"] {
        let came = cut_short(&mut daemon, pull);
        assert!(came > 0);
        let pruned = daemon.ok(prune);
        assert!(!pruned.ends_with("Total reclaimed space: 0B\n"), "{prune}: {pruned}");
        assert!(daemon.ok(usage).starts_with("Images 0 0B 0B (0%)\n"), "{prune}");
    }
}

/// Has a pull begin, kills the daemon in the middle of it and starts it again; the bytes that came of the layer.
fn cut_short(daemon: &mut Daemon, pull: &str) -> u64 {
    std::thread::scope(|scope| {
        let pulling = scope.spawn(|| daemon.skein(pull));
        until("a part of the layer is there", || (partial(daemon) > 0).then_some(()));
        signal(daemon.pid(), "KILL");
        let said = pulling.join().expect("the client ends");
        assert_ne!(said.code, 0, "{said:?}");
    });
    daemon.kill();
    daemon.resume(&[]);
    partial(daemon)
}

/// Bytes of downloads that have not ended.
fn partial(daemon: &Daemon) -> u64 {
    let dir = fs::read_dir(daemon.data().join("images/partial")).expect("it is there");
    dir.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}
