//! Examples in the help of commands, the manual pages and `docs/cli.md`.
//! One list, so that a test can hold every one of them against the grammar.

/// Examples of one command: its words after `skein`, then each line with what it does.
pub(crate) type Examples = (&'static str, &'static [(&'static str, &'static str)]);

/// Every command's examples; a command without an entry explains itself.
pub(crate) const EXAMPLES: &[Examples] = &[
    (
        "daemon",
        &[
            ("skein daemon", "the host's daemon, in /var/lib/skein and /run/skein"),
            (
                "skein daemon --data-root /tmp/a/data --run-root /tmp/a/run --host unix:///tmp/a/sock",
                "another one beside it",
            ),
        ],
    ),
    ("swarm init", &[("skein swarm init --advertise-addr 192.0.2.7", "a swarm of this host")]),
    (
        "node ls",
        &[
            ("skein node ls --filter role=manager", "the managers"),
            ("skein node ls --format '{{.Hostname}} {{.Status}}'", "two fields, a node a line"),
        ],
    ),
    (
        "network create",
        &[("skein network create --subnet 10.50.0.0/24 shop", "an overlay with a range you chose")],
    ),
    (
        "service create",
        &[
            (
                "skein service create --name web --replicas 3 --network shop --endpoint-mode dnsrr hello:1 httpd -f",
                "three tasks that find each other by name",
            ),
            (
                "skein service create --name job --restart-condition none -m 'nightly report' hello:1 report",
                "once, with the reason in the log",
            ),
        ],
    ),
    (
        "service ls",
        &[
            ("skein service ls --format 'table {{.Name}}\\t{{.Replicas}}'", "two columns"),
            ("skein service ls --at -10m", "as it was ten minutes ago"),
        ],
    ),
    (
        "service ps",
        &[
            ("skein service ps --no-trunc web", "errors and ids in full"),
            ("skein service ps --filter desired-state=running -q web", "ids for a script"),
        ],
    ),
    ("service scale", &[("skein service scale web=5 api=2", "both, and wait until they run")]),
    (
        "exec",
        &[
            ("skein exec web.1 wget -q -O - http://web/", "a command in the first task of web"),
            ("skein exec -e LEVEL=2 web.1 sh -c 'echo $LEVEL'", "with a variable"),
            ("skein exec -it web.1 sh", "a shell in a terminal; ctrl-p ctrl-q leaves it running"),
        ],
    ),
    (
        "log",
        &[
            ("skein log web", "what happened to the service"),
            ("skein log -n 20", "the last twenty records of all"),
            ("skein log --since -10m --format json", "for programs, a record a line"),
            ("skein log -p --who root --kind service", "what root's changes to services changed"),
        ],
    ),
    (
        "tail",
        &[
            ("skein tail --from start", "from the first record, then what comes"),
            ("skein tail --consumer audit --ack", "from where audit was; its place is kept"),
        ],
    ),
    (
        "consumer create",
        &[("skein consumer create audit --from now", "it will be told what comes from now on")],
    ),
    (
        "consumer seek",
        &[("skein consumer seek audit @8000", "read on from there, again if need be")],
    ),
    ("why", &[("skein why web.2", "from the task down to the command that caused it")]),
    ("why-not", &[("skein why-not web n2", "what keeps the tasks of web off node n2")]),
    ("timeline", &[("skein timeline web", "the service and its tasks, a sentence a record")]),
    (
        "replay",
        &[
            ("skein replay --to @20", "all there was after record 20, as JSON"),
            (
                "skein replay --data-root /var/lib/skein --digest",
                "of a node, whether its daemon runs or not",
            ),
        ],
    ),
    (
        "bisect",
        &[(
            "skein bisect --good @20 --bad @38 -- sh -c 'skein service ls --at $SKEIN_POSITION | grep 5/5'",
            "the record with which web was no longer complete",
        )],
    ),
    (
        "diff",
        &[
            ("skein diff @20..@38", "between two positions"),
            ("skein diff -1h.. web", "what changed of one service in the last hour"),
        ],
    ),
    (
        "completion",
        &[
            ("source <(skein completion bash)", "in ~/.bashrc"),
            ("source <(skein completion zsh)", "in ~/.zshrc, after compinit"),
            ("skein completion fish | source", "in ~/.config/fish/config.fish"),
        ],
    ),
];

/// The command with its examples and those of every command below it; `path` is its words after `skein`.
pub(super) fn shown(command: clap::Command, path: &str) -> clap::Command {
    let command = match EXAMPLES.iter().find(|(words, _)| *words == path) {
        Some((_, examples)) => command.after_long_help(text(examples)),
        None => command,
    };
    command.mut_subcommands(|below| {
        let path = format!("{path} {}", below.get_name());
        shown(below, path.trim_start())
    })
}

fn text(examples: &[(&str, &str)]) -> String {
    let lines = examples.iter().map(|(line, does)| format!("  # {does}\n  {line}"));
    format!("Examples:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a line as a shell would give them: only what the examples use.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for letter in line.chars() {
            match letter {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                letter => words.last_mut().expect("never empty").push(letter),
            }
        }
        words
    }

    #[test]
    fn every_entry_is_of_a_command() {
        for (path, _) in EXAMPLES {
            let mut command = &crate::args::command();
            for word in path.split(' ') {
                command = command.find_subcommand(word).expect(path);
            }
        }
    }

    #[test]
    fn every_example_is_a_command_of_its_entry() {
        for (command, examples) in EXAMPLES {
            for (line, _) in *examples {
                let line = line.trim_start_matches("source <(").trim_end_matches(')');
                let line = line.trim_end_matches(" | source");
                assert!(line.starts_with(&format!("skein {command}")), "{line}: not of {command}");
                let parsed = crate::args::command().try_get_matches_from(words(line));
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            }
        }
    }
}
