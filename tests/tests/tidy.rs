//! The architecture as a test: arrows between crates, strata of `events`, headers, bans, documents that name what is not there.
//! Reads files only; needs no build of anything but itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let (mut out, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("the folder is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                out.push(path);
            }
        }
    }
    out.sort();
    out
}

const CRATES: [&str; 8] = ["events", "store", "net", "runtime", "replay", "actors", "cli", "tests"];

fn sources() -> Vec<PathBuf> {
    CRATES
        .iter()
        .flat_map(|c| {
            let mut all = files(&format!("{c}/src"), "rs");
            all.extend(files(&format!("{c}/tests"), "rs"));
            all
        })
        .collect()
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).expect("below the root").display().to_string()
}

/// The dependencies of a crate on other crates of the workspace, as its manifest lists them for its library.
fn arrows(krate: &str) -> BTreeSet<String> {
    let manifest = read(format!("{krate}/Cargo.toml"));
    let libraries = manifest.split("[dev-dependencies]").next().expect("split gives one part");
    libraries
        .lines()
        .filter_map(|line| line.strip_suffix(".workspace = true"))
        .filter_map(|dep| match dep {
            "skein" => Some("cli".to_owned()),
            dep => dep.strip_prefix("skein-").map(str::to_owned),
        })
        .collect()
}

#[test]
fn arrows_point_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("events", [].as_slice()),
        ("store", &["events"]),
        ("net", &["events"]),
        ("runtime", &["events"]),
        ("replay", &["events"]),
        ("actors", &["events", "net", "replay", "runtime", "store"]),
        ("cli", &["actors", "events", "net", "replay", "runtime", "store"]),
        ("tests", &["actors", "cli", "events", "net", "replay", "runtime", "store"]),
    ]);
    for (krate, allowed) in allowed {
        let allowed: BTreeSet<String> = allowed.iter().map(|a| (*a).to_owned()).collect();
        let found = arrows(krate);
        assert!(found.is_subset(&allowed), "{krate} depends on {found:?}, allowed are {allowed:?}");
    }
}

#[test]
fn every_file_says_what_it_is() {
    for path in sources() {
        let text = fs::read_to_string(&path).expect("a source is text");
        assert!(text.starts_with("//! "), "{} does not begin with //!", name(&path));
    }
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for krate in CRATES {
        let manifest = read(format!("{krate}/Cargo.toml"));
        assert!(manifest.contains("[lints]\nworkspace = true"), "{krate} has lints of its own");
        let versions = manifest
            .split("dependencies]")
            .skip(1)
            .flat_map(|section| section.split("\n[").next())
            .flat_map(str::lines)
            .filter(|l| !l.trim().is_empty() && !l.starts_with('#'))
            .find(|l| !l.ends_with(".workspace = true"));
        assert_eq!(versions, None, "{krate}: versions and features stand in the workspace only");
    }
}

#[test]
fn unsafe_stays_where_the_kernel_is() {
    for path in sources() {
        let file = name(&path);
        let text = fs::read_to_string(&path).expect("a source is text");
        let uses = text.lines().any(|l| {
            let code = l.split("//").next().unwrap_or_default();
            code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
        });
        let allowed = file == "tests/tests/tidy.rs"
            || file.starts_with("runtime/")
            || file.starts_with("net/src/overlay")
            || file == "net/src/dns/batch.rs";
        assert!(allowed || !uses, "{file} uses unsafe");
    }
    for krate in ["events", "store", "replay", "actors"] {
        let lib = read(format!("{krate}/src/lib.rs"));
        assert!(lib.contains("#![forbid(unsafe_code)]"), "{krate} does not forbid unsafe");
    }
}

#[test]
fn the_core_is_pure() {
    let banned = [
        "tokio",
        "actix",
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "std::env",
        "Instant",
        "SystemTime",
        "HashMap",
        "HashSet",
        "rand::",
        "getrandom",
        "std::thread",
        "std::process",
    ];
    for path in files("events/src", "rs") {
        let text = fs::read_to_string(&path).expect("a source is text");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines().filter(|l| !l.trim_start().starts_with("//")) {
            for word in banned {
                assert!(!line.contains(word), "{}: {word}: {line}", name(&path));
            }
        }
    }
}

#[test]
fn strata_of_events_hold() {
    // A file may use what is below it: vocabulary, nouns, state, decisions.
    let stratum = |module: &str| match module {
        "id" | "unit" | "time" | "name" | "reference" | "kind" | "record" | "mutant" => 0,
        "envelope" | "codec" | "upcast" | "event" | "refusal" => 1,
        "cluster" | "node" | "network" | "service" | "task" => 1,
        "command" => 2,
        "state" => 2,
        "decide" | "plan" | "view" => 3,
        other => panic!("events/src/{other} has no stratum: give it one"),
    };
    for path in files("events/src", "rs") {
        let file = name(&path);
        let inside = file.strip_prefix("events/src/").expect("of events");
        let module = inside.split(['/', '.']).next().expect("split gives one part");
        // How nouns fold is part of State; it stands with the noun so that a reader finds it there.
        if module == "lib" || inside.ends_with("/fold.rs") || module == "golden" {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source is text");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines() {
            let Some(used) = line.trim().strip_prefix("use crate::") else { continue };
            let used = used.split([':', ';', '{']).next().expect("split gives one part");
            assert!(
                stratum(used) <= stratum(module),
                "{file} (stratum {}) uses {used} (stratum {})",
                stratum(module),
                stratum(used)
            );
        }
    }
}

#[test]
fn agents_see_no_cluster_state() {
    for path in files("actors/src/agent", "rs") {
        let text = fs::read_to_string(&path).expect("a source is text");
        assert!(!text.contains("skein_events::state"), "{} names State", name(&path));
    }
}

#[test]
fn only_actors_know_actix() {
    for krate in CRATES.iter().filter(|c| !["actors", "cli", "tests"].contains(c)) {
        assert!(!read(format!("{krate}/Cargo.toml")).contains("actix"), "{krate} knows actix");
    }
}

#[test]
fn files_that_convert_name_every_field() {
    for path in sources() {
        let text = fs::read_to_string(&path).expect("a source is text");
        if !text.starts_with("//! Exhaustive.") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines().filter(|l| !l.trim_start().starts_with("//")) {
            let rest = line.trim().trim_end_matches(',');
            assert!(rest != ".." && !line.contains(", .. }"), "{}: {line}", name(&path));
        }
    }
}

#[test]
fn documents_name_only_what_exists() {
    let mut documents: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]
        .iter()
        .map(|d| root().join(d))
        .filter(|d| d.exists())
        .collect();
    documents.extend(files("docs", "md"));
    for document in documents {
        let text = fs::read_to_string(&document).expect("a document is text");
        for word in text.split(['`', '(', ')', ' ', '\n', ',', ';', '"']) {
            let word = word.trim_end_matches(['.', ':']);
            let is_path = CRATES.iter().any(|c| word.starts_with(&format!("{c}/")))
                || word.starts_with("docs/")
                || word.starts_with("scripts/");
            if !is_path || word.contains(['*', '<', '{', '$', '…']) {
                continue;
            }
            let path = word.split('#').next().expect("split gives one part");
            assert!(root().join(path).exists(), "{} names {word}", name(&document));
        }
    }
}

#[test]
fn no_path_of_a_workplace_and_no_unfinished_business() {
    let words = [
        ["to", "do!("].concat(),
        ["unimple", "mented!("].concat(),
        ["#[ig", "nore"].concat(),
        ["FIX", "ME"].concat(),
        ["dbg", "!("].concat(),
    ];
    for path in sources() {
        let text = fs::read_to_string(&path).expect("a source is text");
        for word in &words {
            assert!(!text.contains(word.as_str()), "{} contains {word}", name(&path));
        }
    }
}

/// Each row of the table of waits names a constant that the file it names has.
#[test]
fn waits_are_bounded_where_the_page_says() {
    let page = read("docs/waits.md");
    let rows = page.lines().filter(|line| line.starts_with("| ")).skip(1);
    let mut seen = 0;
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, _, file, bound, ..] = cells[..] else { panic!("{row}") };
        let code = read(file.trim_matches('`'));
        let bound = bound.trim_matches('`');
        assert!(code.contains(&format!("const {bound}: ")), "{file} has no {bound}");
        seen += 1;
    }
    assert!(seen > 10);
}

/// What a container or an image made is opened by the kernel below an open directory and never walked by a path: neither the
/// standard library's calls that take one, nor recursion in it.
#[test]
fn content_of_containers_is_not_walked_by_paths() {
    // What each may do with paths all the same, and why.
    let allowed: &[(&str, &[&str])] = &[
        // The source of a bind, which the user names on the host, as Docker takes it.
        ("runtime/src/rootfs/mount.rs", &["fs::metadata(path)", "fs::create_dir_all(path)"]),
        // Whether a volume's own directory is empty, which only a name at its end could tell otherwise.
        ("runtime/src/rootfs/copy.rs", &["fs::read_dir(data)"]),
    ];
    let calls = [
        "read_dir(",
        "metadata(",
        "remove_dir_all(",
        "remove_dir(",
        "remove_file(",
        "copy(",
        "rename(",
        "create_dir",
        "read(",
        "read_to_string(",
        "write(",
        "read_link(",
        "canonicalize(",
        "set_permissions(",
        "hard_link(",
    ];
    let folders = files("runtime/src/rootfs", "rs");
    for path in folders.into_iter().chain([root().join("runtime/src/tree.rs")]) {
        let name = name(&path);
        let code = read(&path);
        let code = code.split("#[cfg(test)]").next().expect("split gives one part");
        let may = allowed.iter().find(|(file, _)| *file == name).map_or(&[][..], |(_, may)| may);
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let walks = calls.iter().any(|call| line.contains(&format!("fs::{call}")));
            // The kernel's calls that take an open directory are `rustix::fs`.
            let walks = walks && !line.contains("rustix::fs::");
            assert!(!walks || may.iter().any(|may| line.contains(may)), "{name}: {line}");
        }
    }
    let others: Vec<String> = files("runtime/src", "rs")
        .into_iter()
        .filter(|path| {
            let code = read(path);
            let code = code.split("#[cfg(test)]").next().expect("split gives one part").to_owned();
            code.contains("remove_dir_all(") && !name(path).ends_with("corpus.rs")
        })
        .map(|path| name(&path))
        .collect();
    assert_eq!(others, Vec::<String>::new(), "these remove by recursion: see runtime/src/tree.rs");
}
