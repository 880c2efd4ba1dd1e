//! Streams: an archive up, events down, a command's input and output.

use expect_test::expect;
use serde_json::json;

use super::fake::Daemon;
use super::skein;

#[test]
fn image_load_sends_the_file_and_prints_what_was_loaded() {
    let answer = "{\"stream\":\"Loaded image: bb:1\\n\"}\n";
    let daemon = Daemon::answering([("POST /v1.41/images/load?quiet=0", 200, answer.to_owned())]);
    let archive = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(archive.path(), vec![7; 300_000]).unwrap();
    let path = archive.path().to_str().unwrap();
    assert_eq!(skein(&daemon, &["image", "load", "-i", path]).out(), "Loaded image: bb:1\n");
    expect![[r#"
        [
            "POST /v1.41/images/load?quiet=0\n  skein-request-id: 25 characters\n  300000 bytes",
        ]
    "#]]
    .assert_debug_eq(&daemon.asked());
    // A directory is sent as an archive, if it can be one.
    let layout = tempfile::tempdir().unwrap();
    let place = layout.path().to_str().unwrap();
    let refused = skein(&daemon, &["image", "load", "-i", place]).refusal();
    assert!(refused.contains("is no OCI layout: it has no index.json"), "{refused}");
    std::fs::write(layout.path().join("index.json"), "{}").unwrap();
    std::fs::create_dir(layout.path().join("blobs")).unwrap();
    assert_eq!(skein(&daemon, &["image", "load", "-i", place]).out(), "Loaded image: bb:1\n");
    let sent = daemon.asked().pop().unwrap();
    assert!(sent.ends_with(" bytes") && !sent.contains("\n  0 bytes"), "{sent}");
    std::os::unix::fs::symlink("/nonexistent", layout.path().join("broken")).unwrap();
    let broken = skein(&daemon, &["image", "load", "-i", place]);
    assert!(
        broken.code != 0 && broken.err.starts_with(&format!("read {place}: ")),
        "{}",
        broken.err
    );
    let ran = skein(&daemon, &["image", "load", "-i", "/nonexistent"]);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (1, "open /nonexistent: No such file or directory (os error 2)\n")
    );
}

#[test]
fn an_error_in_the_stream_of_a_load_is_a_failure() {
    let answer = r#"{"errorDetail":{"message":"no manifest"},"error":"no manifest"}"#;
    let daemon = Daemon::answering([("POST /v1.41/images/load?quiet=1", 200, answer.to_owned())]);
    let ran = skein(&daemon, &["image", "load", "-q", "-i", "/dev/null"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, "no manifest\n"));
}

#[test]
fn tail_passes_lines_on() {
    let lines = "{\"id\":\"1.7.ab\"}\n{\"bookmark\":\"1.7.ab\"}\n";
    let daemon =
        Daemon::answering([("GET /skein/v1/tail?from=%407&follow=0", 200, lines.to_owned())]);
    assert_eq!(skein(&daemon, &["tail", "--from", "@7", "--no-follow"]).out(), lines);
}

fn exec_daemon(code: i32) -> Daemon {
    let task = |id: &str, slot: u32, container: &str| {
        json!({"ID": id, "Slot": slot, "CreatedAt": "2026-11-23T03:11:00Z", "DesiredState": "running",
            "Status": {"State": "running", "ContainerStatus": {"ContainerID": container}}})
    };
    let tasks = json!([task("t1", 1, "c1"), task("t2", 2, "c2")]);
    let filtered = "GET /v1.41/tasks?filters=%7B%22desired-state%22%3A%7B%22running%22%3Atrue%7D%2C%22service%22%3A%7B%22web%22%3Atrue%7D%7D";
    let frames = "\u{1}\0\0\0\0\0\0\u{4}out\n\u{2}\0\0\0\0\0\0\u{4}err\n";
    Daemon::answering([
        (filtered, 200, tasks.to_string()),
        ("POST /v1.41/containers/c2/exec", 201, r#"{"Id":"e1"}"#.to_owned()),
        ("POST /v1.41/exec/e1/start", 101, frames.to_owned()),
        (
            "GET /v1.41/exec/e1/json",
            200,
            json!({"ID": "e1", "Running": false, "ExitCode": code}).to_string(),
        ),
    ])
}

#[test]
fn exec_finds_the_task_joins_its_streams_and_leaves_with_its_code() {
    let daemon = exec_daemon(7);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "# of a file\nB=2\nSKEIN_NOT_SET_HERE\n").unwrap();
    let file = file.path().to_str().unwrap();
    let ran =
        skein(&daemon, &["exec", "-e", "A=1", "--env-file", file, "web.2", "sh", "-c", "exit 7"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (7, "out\n", "err\n"));
    let asked = daemon.asked();
    let create = asked.iter().find(|line| line.starts_with("POST /v1.41/containers")).unwrap();
    let create = create.replace("\"AttachStdin\":true", "\"AttachStdin\":_");
    expect![[r#"
        POST /v1.41/containers/c2/exec
          {"AttachStderr":true,"AttachStdin":_,"AttachStdout":true,"Cmd":["sh","-c","exit 7"],"Env":["B=2","A=1"],"Tty":false}"#]]
    .assert_eq(&create.replace("\"AttachStdin\":false", "\"AttachStdin\":_"));
    assert!(asked.contains(
        &"POST /v1.41/exec/e1/start\n  upgrade: tcp\n  {\"Detach\":false,\"Tty\":false}".to_owned()
    ));
}

#[test]
fn exec_in_a_task_that_is_not_there_is_refused() {
    let daemon = exec_daemon(0);
    expect![[r#"
        exit 1
        Error response from daemon: page not found
    "#]]
    .assert_eq(&skein(&daemon, &["exec", "web.3", "true"]).refusal());
}

/// A service with two tasks on one node, and what it says.
fn talking(query: &str, body: &[&[u8]]) -> Daemon {
    let mut frames = Vec::new();
    for line in body {
        let stream = if line.ends_with(b"err\n") { 2 } else { 1 };
        frames.extend_from_slice(&[stream, 0, 0, 0]);
        frames.extend_from_slice(&u32::try_from(line.len()).unwrap().to_be_bytes());
        frames.extend_from_slice(line);
    }
    let task = |slot: u32| json!({"ID": format!("task{slot}23456789"), "Slot": slot}).to_string();
    let web =
        json!({"ID": "s1", "Spec": {"Name": "web", "Mode": {"Replicated": {"Replicas": 10}}}});
    let node = json!({"ID": "n1", "Description": {"Hostname": "eco-a"}});
    Daemon::answering([
        ("GET /v1.41/services/web", 200, web.to_string()),
        ("GET /v1.41/services/s1", 200, web.to_string()),
        ("GET /v1.41/nodes/n1", 200, node.to_string()),
        ("GET /v1.41/tasks/task123456789", 200, task(1)),
        ("GET /v1.41/tasks/task1023456789", 200, task(10)),
        (
            Box::leak(
                format!("GET /v1.41/services/web/logs?stdout=1&stderr=1&{query}").into_boxed_str(),
            ),
            200,
            String::from_utf8(frames).unwrap(),
        ),
    ])
}

const CONTEXT: &str =
    "com.docker.swarm.node.id=n1,com.docker.swarm.service.id=s1,com.docker.swarm.task.id=";

#[test]
fn logs_say_which_task_said_it() {
    let one = format!("{CONTEXT}task123456789 a b\n");
    let ten = format!("{CONTEXT}task1023456789 err\n");
    let lines = [one.as_bytes(), ten.as_bytes()];
    let daemon = talking("tail=all&details=1", &lines);
    let ran = skein(&daemon, &["service", "logs", "web"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.out, "web.1.task12345678@eco-a     | a b\n");
    assert_eq!(ran.err, "web.10.task10234567@eco-a    | err\n");
    let ran = skein(&daemon, &["service", "logs", "--no-task-ids", "web"]);
    assert_eq!(ran.out, "web.1@eco-a     | a b\n");
    let stamped: Vec<String> =
        [&one, &ten].iter().map(|line| format!("2026-11-23T03:16:01Z {line}")).collect();
    let daemon = talking(
        "tail=2&follow=1&timestamps=1&details=1&since=1795403513.000000000",
        &[stamped[0].as_bytes()],
    );
    let words = [
        "service",
        "logs",
        "-f",
        "-t",
        "-n",
        "2",
        "--since",
        "1m",
        "--no-trunc",
        "--details",
        "web",
    ];
    assert_eq!(
        skein(&daemon, &words).out(),
        "2026-11-23T03:16:01Z web.1.task123456789@eco-a     |  a b\n"
    );
}

#[test]
fn raw_logs_are_what_was_said() {
    let daemon = talking("tail=all", &[b"plain\n"]);
    assert_eq!(skein(&daemon, &["service", "logs", "--raw", "web"]).out(), "plain\n");
    let ran = skein(&daemon, &["service", "logs", "nosuch"]);
    expect![[r#"
        exit 1
        no such task or service: nosuch
    "#]]
    .assert_eq(&ran.refusal());
}

#[test]
fn image_import_sends_the_file_and_says_how_to_change_it() {
    let answer = "{\"status\":\"sha256:a6\"}\n";
    let path = "POST /v1.41/images/create?fromSrc=-&repo=bb%3A1&changes=CMD%20%5B%22sh%22%5D&changes=ENV%20A%3D1&message=why";
    let daemon = Daemon::answering([(path, 200, answer.to_owned())]);
    let words = [
        "image",
        "import",
        "-c",
        r#"CMD ["sh"]"#,
        "-c",
        "ENV A=1",
        "-m",
        "why",
        "/dev/null",
        "bb:1",
    ];
    assert_eq!(skein(&daemon, &words).out(), "sha256:a6\n");
    expect![[r#"
        exit 125
        image import reads no address: download http://x/y and import the file
    "#]]
    .assert_eq(&skein(&daemon, &["image", "import", "http://x/y"]).refusal());
}
