//! Images come from Debian's docker-registry, on this machine: by Skein's client and Docker's, with a password, and
//! after the daemon was killed in between. What was pulled is in the log with its digest; the password is nowhere.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use tempfile::TempDir;

use crate::daemon::{Daemon, docker};
use crate::host::{Host, run, until};

const PASSWORD: &str = "s3cret-word";
/// `ada` with that password, as `htpasswd -B` writes it.
const HTPASSWD: &str = "ada:$2b$05$1CxcFmgPPwig7FpMTgPpJur5L49.MEGPMCIXdFZ1JXow0tFCrYUHy\n";

struct Registry {
    dir: TempDir,
    child: Child,
}

impl Registry {
    /// A registry in a network namespace; whether it wants a password.
    fn start(host: &Host, guarded: bool) -> Self {
        let dir = tempfile::tempdir().expect("a folder for the registry");
        let place = dir.path().display();
        fs::write(dir.path().join("htpasswd"), HTPASSWD).expect("a file can be written");
        let guard = format!("auth: {{htpasswd: {{realm: here, path: {place}/htpasswd}}}}\n");
        let guard = if guarded { &*guard } else { "" };
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {place}/store}}}}\n\
             http: {{addr: 127.0.0.1:5000}}\n\
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
        let registry = Self { dir, child: command.spawn().expect("the registry can be started") };
        until("the registry answers", || {
            run(host.command("curl").args(["-s", "http://127.0.0.1:5000/v2/"]))
                .code
                .eq(&0)
                .then_some(())
        });
        registry
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Puts an archive of an image there, as `docker push` would; gives the manifest's digest.
    fn push(&self, daemon: &Daemon, archive: &Path, name: &str) -> String {
        let work = self.dir.path().join("push");
        fs::create_dir_all(&work).expect("a folder can be made");
        let script = format!(
            r#"cd {work}; tar xf {archive}
            url=http://127.0.0.1:5000/v2/{name}; with="-sSf -u ada:{PASSWORD}"
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
        );
        daemon.host.sh(&script).trim().to_owned()
    }
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
    let registry = Registry::start(&daemon.host, true);
    daemon.ok("swarm init --advertise-addr 127.0.0.1");
    let digest = registry.push(&daemon, &daemon.image(), "team/hello");
    let name = "127.0.0.1:5000/team/hello:1";

    let denied = daemon.refused(&format!("image pull {name}"));
    assert!(denied.contains("pull access denied for 127.0.0.1:5000/team/hello"), "{denied}");
    let login = format!(
        "mkdir -p ~/.docker && printf '{{\"auths\":{{\"127.0.0.1:5000\":{{\"auth\":\"%s\"}}}}}}' \
         $(printf ada:{PASSWORD} | base64) > ~/.docker/config.json"
    );
    assert_eq!(daemon.sh(&login).code, 0);
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
    let registry = Registry::start(&daemon.host, false);
    daemon.ok("swarm init --advertise-addr 127.0.0.1");
    let digest = registry.push(&daemon, &daemon.image(), "team/hello");
    let name = "127.0.0.1:5000/team/hello:1";
    daemon.ok(&format!("service create --detach --name web --replicas 2 {name} sleep 60"));
    daemon.await_replicas("web", "2/2");
    let log = daemon.ok("log --format json");
    let pulls = log.lines().filter(|line| line.contains("node.image-changed"));
    assert_eq!(pulls.clone().count(), 1, "two tasks need one pull: {log}");
    assert!(pulls.clone().all(|line| line.contains(&format!("{name}@{digest}"))), "{log}");
    daemon.ok("service create --detach --name gone 127.0.0.1:5000/team/hello:2 sleep 60");
    let said = until("the task is rejected", || {
        let ps = daemon.ok("service ps --no-trunc gone");
        ps.contains("Rejected").then_some(ps)
    });
    assert!(said.contains("127.0.0.1:5000/team/hello:2"), "{said}");
}
