//! What a container said, read while it runs and after it is gone.

use std::num::NonZeroU32;

use futures::StreamExt as _;
use skein_events::id::TaskId;
use skein_runtime::api::{LogsSpec, Runtime as _};
use skein_runtime::error::Error;
use skein_runtime::log::{Keep, Stream};

use crate::rig::Rig;

async fn texts(rig: &Rig, id: TaskId, spec: LogsSpec) -> Vec<String> {
    let lines = rig.machine.logs(id, spec).await.unwrap();
    lines.map(|line| line.unwrap().log).collect().await
}

pub(crate) fn follow() {
    let rig = Rig::new();
    let mut container = rig.container(
        "echo ready; while [ ! -e /go ]; do sleep 0.02; done; \
         for i in $(seq 3000); do echo line $i; done; echo error >&2; echo end",
    );
    // Turned over every hundred lines or so; enough files that a reader who keeps up loses nothing.
    container.keep = Keep::Files { max_size: 8 << 10, max_files: NonZeroU32::new(100).unwrap() };
    rig.start(&container);
    let id = container.id;
    let all = LogsSpec { follow: true, ..LogsSpec::default() };
    let (said, late) = rig.run(async {
        let mut lines = rig.machine.logs(id, all).await.unwrap();
        let first = lines.next().await.unwrap().unwrap();
        assert_eq!((first.log.as_str(), first.stream), ("ready\n", Stream::Stdout));
        let args = crate::rig::words(&["touch", "/go"]);
        let exec = skein_runtime::api::ExecSpec { args, ..Default::default() };
        rig.machine.exec(id, exec).await.unwrap().exit.await.unwrap();
        let said: Vec<String> = lines.map(|line| line.unwrap().log).collect().await;
        // It ends by itself with the container, and for one who comes late at once.
        (said, texts(&rig, id, LogsSpec { tail: Some(2), stderr: false, ..all }).await)
    });
    assert_eq!(said.len(), 3002);
    let expected: Vec<String> = (1..=3000).map(|n| format!("line {n}\n")).collect();
    let lines: Vec<String> = said.into_iter().filter(|text| text.starts_with("line")).collect();
    assert_eq!(lines, expected);
    assert_eq!(late, ["line 3000\n", "end\n"]);
}

pub(crate) fn until() {
    let rig = Rig::new();
    let container = rig.container("echo one; while :; do sleep 0.05; done");
    rig.start(&container);
    let one = rig.run(async {
        let spec = LogsSpec { follow: true, ..LogsSpec::default() };
        rig.machine.logs(container.id, spec).await.unwrap().next().await.unwrap().unwrap()
    });
    // One who follows until a time does not wait for a container that goes on.
    let spec = LogsSpec { follow: true, until: Some(one.time), ..LogsSpec::default() };
    assert_eq!(rig.run(texts(&rig, container.id, spec)), ["one\n"]);
}

pub(crate) fn after_the_end() {
    let rig = Rig::new();
    let container = rig.container("echo last words; exit 3");
    rig.start(&container);
    rig.run(rig.machine.wait(container.id)).unwrap();
    rig.run(rig.machine.remove(container.id)).unwrap();
    assert_eq!(rig.remains(), [""; 0]);
    let spec = LogsSpec { follow: true, ..LogsSpec::default() };
    assert_eq!(rig.run(texts(&rig, container.id, spec)), ["last words\n"]);
    let unknown = TaskId::from_random([7; 16]);
    let error = rig.run(rig.machine.logs(unknown, LogsSpec::default())).err().unwrap();
    assert!(matches!(error, Error::NoSuchContainer(_)), "{error:?}");

    let mut silent = rig.container("echo unheard; while :; do sleep 0.05; done");
    silent.keep = Keep::Nothing;
    rig.start(&silent);
    let error = rig.run(rig.machine.logs(silent.id, LogsSpec::default())).err().unwrap();
    assert_eq!(error.to_string(), "configured logging driver does not support reading");
}
