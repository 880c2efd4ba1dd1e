//! Stories as files: what a user types and what he sees. `UPDATE=1` writes what was seen into the file, for review.
//!
//! ```text
//! # a remark
//! until COMMAND       typed again until it succeeds; its output is not told
//! $ COMMAND           what follows, up to an empty line, is what it prints; [exit N] if not 0
//! ```
//! What differs from run to run is replaced: `<id 1>` is the first id seen, `<time>`, `<ago>`, `@<n>` and so on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::daemon::{Daemon, docker};
use crate::host::until;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

#[test]
fn the_story_with_skein() {
    tell("skein.txt", &Daemon::start());
}

#[test]
fn the_story_with_dockers_client() {
    tell("docker.txt", &Daemon::start());
}

#[test]
fn what_is_refused_changes_nothing() {
    tell("refusals.txt", &Daemon::start());
}

#[test]
fn names_are_answered_inside() {
    tell("names.txt", &Daemon::with_swarm());
}

#[test]
fn commands_run_inside_tasks() {
    tell("exec.txt", &Daemon::with_swarm());
}

#[test]
fn the_thread_is_asked() {
    tell("thread.txt", &Daemon::with_swarm());
}

#[test]
fn networks_are_made_looked_into_and_pruned() {
    let daemon = Daemon::start();
    daemon.ok("swarm init --advertise-addr 127.0.0.1");
    daemon.load();
    tell("network.txt", &daemon);
}

#[test]
fn a_node_is_labelled_paused_and_drained() {
    tell("node.txt", &Daemon::with_swarm());
}

#[test]
fn images_are_kept_and_removed() {
    tell("images.txt", &Daemon::start());
}

#[test]
fn what_cannot_start_says_why() {
    tell("reasons.txt", &Daemon::start());
}

#[test]
fn volumes_are_made_used_and_removed() {
    tell("volumes.txt", &Daemon::with_swarm());
}

#[test]
fn containers_are_listed_as_docker_lists_them() {
    tell("containers.txt", &Daemon::with_swarm());
}

#[test]
fn what_tasks_said_is_read() {
    tell("logs.txt", &Daemon::with_swarm());
}

#[test]
fn services_are_updated_and_rolled_back() {
    tell("update.txt", &Daemon::with_swarm());
}

#[test]
fn an_unhealthy_task_is_replaced() {
    tell("health.txt", &Daemon::with_swarm());
}

#[test]
fn placeholders_are_filled_in() {
    tell("templates.txt", &Daemon::with_swarm());
}

#[test]
fn history_is_looked_at_and_ahead() {
    tell("history.txt", &Daemon::with_swarm());
}

#[test]
fn every_scenario_is_told() {
    let source = include_str!("scenario.rs");
    for entry in fs::read_dir(folder()).expect("there are scenarios") {
        let name = entry.expect("the folder is readable").file_name();
        let name = name.to_str().expect("a name is text");
        assert!(source.contains(&format!("tell(\"{name}\"")), "{name} is told by no test");
    }
}

fn tell(name: &str, daemon: &Daemon) {
    let path = folder().join(name);
    let script = fs::read_to_string(&path).expect("the scenario is there");
    let docker = if script.contains("docker ") { docker() } else { PathBuf::new() };
    let mut seen = Seen::default();
    let mut told = String::new();
    for line in script.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            told.push_str(&format!("{line}\n{}", seen.tidy(&typed(daemon, &docker, command).1)));
        } else if let Some(command) = line.strip_prefix("until ") {
            told.push_str(&format!("{line}\n"));
            until(line, || (typed(daemon, &docker, command).0 == 0).then_some(()));
        } else if line.is_empty() || line.starts_with("# ") {
            told.push_str(&format!("{line}\n"));
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, told).expect("the scenario can be written");
    } else if told != script {
        panic!("{name} goes otherwise (UPDATE=1 rewrites it):\n{}", difference(&script, &told));
    }
}

fn typed(daemon: &Daemon, docker: &Path, command: &str) -> (i32, String) {
    let said = daemon.sh(&format!("PATH=$PATH:{}\n( {command}\n) 2>&1", docker.display()));
    let mut text = said.stdout;
    if said.code != 0 {
        text.push_str(&format!("\n[exit {}]\n", said.code));
    }
    let roots = daemon.socket();
    let roots = roots.parent().expect("a socket lies in a folder").display().to_string();
    let text = text.replace(&roots, "<run>");
    (said.code, text.replace(&daemon.data().display().to_string(), "<data>"))
}

/// The lines that differ, in their order.
fn difference(expected: &str, got: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (expected.lines().collect(), got.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let ends = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let ends = ends.min(old.len().min(new.len()) - same);
    let mut text = format!("from line {}\n", same + 1);
    old[same..old.len() - ends].iter().for_each(|l| text.push_str(&format!("- {l}\n")));
    new[same..new.len() - ends].iter().for_each(|l| text.push_str(&format!("+ {l}\n")));
    text
}

/// Words as long as a short id.
const WORDS: [&str; 3] = ["availability", "instructions", "unrecognized"];

/// What has been seen that has another value in every run.
#[derive(Default)]
struct Seen {
    ids: BTreeMap<String, usize>,
}

impl Seen {
    fn tidy(&mut self, text: &str) -> String {
        let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let mut out = String::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let line = ago(&self.words(line, hostname.trim()));
            let mut squeezed = String::new();
            let mut spaces = 0;
            for c in line.trim_end().chars() {
                spaces = if c == ' ' { spaces + 1 } else { 0 };
                if spaces <= 2 {
                    squeezed.push(c);
                }
            }
            out.push_str(&squeezed);
            out.push('\n');
        }
        out
    }

    fn words(&mut self, line: &str, hostname: &str) -> String {
        let mut out = String::new();
        let mut rest = line;
        while !rest.is_empty() {
            let is_word = |c: char| c.is_ascii_alphanumeric() || "-_:.+".contains(c);
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            if end == 0 {
                let c = rest.chars().next().expect("it is not empty");
                out.push(c);
                rest = &rest[c.len_utf8()..];
                continue;
            }
            let word = &rest[..end];
            rest = &rest[end..];
            out.push_str(&self.word(word, hostname, &out));
        }
        out
    }

    fn word(&mut self, word: &str, hostname: &str, before: &str) -> String {
        let number = word.chars().all(|c| c.is_ascii_digit());
        if word.starts_with("SWMTKN-1-") {
            return "<token>".to_owned();
        }
        if word.trim_end_matches(':') == hostname {
            return word.replace(hostname, "<host>");
        }
        if number && before.ends_with('@') {
            return "<n>".to_owned();
        }
        if number && (before.ends_with("process ") || before.ends_with("PID\":")) {
            return "<pid>".to_owned();
        }
        if word.len() >= 20 && word.starts_with("20") && word.ends_with('Z') && word.contains('T') {
            return "<time>".to_owned();
        }
        if word.strip_suffix("MB").is_some_and(|n| n.parse::<f64>().is_ok()) {
            return "<size>".to_owned();
        }
        // Names of containers and the like hold ids between other parts.
        let mut out = String::new();
        for (n, part) in word.split(['.', ':', '-']).enumerate() {
            if n > 0 {
                let at = out_len(word, n);
                out.push(char::from(word.as_bytes()[at]));
            }
            out.push_str(&self.id(part));
        }
        out
    }

    fn id(&mut self, part: &str) -> String {
        let lower = part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if part.len() == 64 && part.chars().all(|c| c.is_ascii_hexdigit()) {
            return "<hash>".to_owned();
        }
        // A short id may have no digit at all.
        let word = WORDS.contains(&part) || part.chars().all(|c| c.is_ascii_digit());
        if word || !(lower && (part.len() == 25 || part.len() == 12)) {
            return part.to_owned();
        }
        let next = self.ids.len() + 1;
        format!("<id {}>", self.ids.entry(part[..12].to_owned()).or_insert(next))
    }
}

/// Where the `n`th separator of a word stands.
fn out_len(word: &str, n: usize) -> usize {
    word.match_indices(['.', ':', '-']).nth(n - 1).expect("as many as there are parts").0
}

/// Times that are told in words.
fn ago(line: &str) -> String {
    let Some(end) = line.find(" ago") else { return line.to_owned() };
    let (before, after) = (&line[..end], &line[end + 4..]);
    let beginnings = ["Less than", "less than", "About", "about"];
    let start = beginnings.iter().filter_map(|b| before.rfind(b)).max().or_else(|| {
        let unit = before.rfind(' ')?;
        before[..unit].rfind(' ').map(|at| at + 1)
    });
    match start {
        Some(start) => format!("{}<ago>{}", &before[..start], ago(after)),
        None => line.to_owned(),
    }
}
