//! Help texts and usage errors.

use clap::{CommandFactory as _, Parser as _};
use expect_test::expect;

use super::fake::Daemon;
use super::skein;
use crate::args::{Arguments, Command};

fn help(words: &[&str]) -> String {
    asked_for(words, "--help")
}

fn short_help(words: &[&str]) -> String {
    asked_for(words, "-h")
}

fn asked_for(words: &[&str], flag: &str) -> String {
    let daemon = Daemon::answering([]);
    let ran = skein(&daemon, &[words, &[flag]].concat());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    ran.out
}

#[test]
fn the_grammar_has_no_contradiction() {
    Arguments::command().debug_assert();
}

#[test]
fn the_first_help_names_every_command() {
    expect![[r#"
        A swarm of container hosts whose only truth is its log of events

        Usage: skein [OPTIONS] <COMMAND>

        Commands:
          daemon      Run the daemon in the foreground
          swarm       Make, join and leave a swarm
          node        Look at the members of the swarm
          network     Manage networks
          image       Manage this node's images
          volume      Manage this node's volumes
          system      Look after this node's disk
          service     Manage services
          exec        Run a command inside a running task
          log         Show what happened to the swarm or to one object
          tail        Follow the log as CloudEvents, one JSON object a line
          consumer    Manage named readers of the log
          why         Say why an object is as it is
          why-not     Say why a service's tasks are not on a node
          timeline    Tell what happened to an object, the oldest first
          diff        Show what differs between two moments
          replay      Fold the log to a state and print it
          bisect      Find the first record of which a command says that the state is bad
          verify      Check the whole log, or an archive of it, against its chain of hashes
          version     Show the versions of this program and of the daemon
          info        Show what the daemon knows of its machine and swarm
          completion  Print a script that completes command lines

        Options:
          -H, --host <unix://PATH>  Daemon to talk to [env: SKEIN_HOST] [default:
                                    unix:///run/skein/skein.sock]
          -h, --help                Print help
          -V, --version             Print version
    "#]]
    .assert_eq(&help(&[]));
}

#[test]
fn the_help_of_a_command_has_its_options() {
    expect![[r#"
        Create a service

        Usage: skein service create [OPTIONS] <IMAGE> [COMMAND]...

        Arguments:
          <IMAGE>       Image of the tasks
          [COMMAND]...  Command in place of the image's, with its arguments

        Options:
          -d, --detach[=<BOOL>]
                  Return at once instead of waiting until the tasks run
          -q, --quiet
                  Print only the id or name; wait all the same
              --name <NAME>
                  Name of the service; also its name in DNS
              --mode <MODE>
                  How tasks are counted [default: replicated] [possible values: replicated, global,
                  replicated-job, global-job]
              --replicas <N>
                  Number of tasks
              --network <NETWORK>
                  Network to attach to, or name=NETWORK,alias=NAME
          -p, --publish <PORT>
                  Port to publish: [PUBLISHED:]TARGET[/PROTOCOL], or
                  published=P,target=T,protocol=tcp,mode=host
          -l, --label <KEY[=VALUE]>
                  Label of the service
              --container-label <KEY[=VALUE]>
                  Label of the containers
          -e, --env <NAME[=VALUE]>
                  Environment variable; without a value, the one it has here
              --env-file <FILE>
                  File with an environment variable a line
              --mount <MOUNT>
                  File system to mount: type=bind|volume|tmpfs,source=S,target=T[,readonly]…
              --constraint <CONSTRAINT>
                  Condition a node has to meet, like node.role==worker
              --placement-pref <PREFERENCE>
                  How tasks are spread, like spread=node.labels.zone
              --group <GROUP>
                  Further group of the process, name or number
              --host <NAME:ADDRESS>
                  Entry in the hosts file
          -H <unix://PATH>
                  Daemon to talk to; a long --host is of the hosts file here
              --dns <ADDRESS>
                  Name server
              --dns-search <DOMAIN>
                  Domain that names are looked up in
              --dns-option <OPTION>
                  Option of the resolver, like ndots:2
              --ulimit <NAME=SOFT[:HARD]>
                  Limit of the process, like nofile=1024:2048
              --sysctl <KEY=VALUE>
                  Kernel parameter of the containers
              --cap-add <CAPABILITY>
                  Capability to add to the usual ones
              --cap-drop <CAPABILITY>
                  Capability to take from the usual ones
              --endpoint-mode <MODE>
                  How the service's name is answered [possible values: vip, dnsrr]
              --hostname <NAME>
                  Host name inside the containers
          -w, --workdir <DIR>
                  Directory the command starts in
          -u, --user <USER[:GROUP]>
                  User and group, names or numbers
              --entrypoint <COMMAND>
                  Program in place of the image's entrypoint
              --stop-grace-period <DURATION>
                  Time a container has to end before it is killed
              --stop-signal <SIGNAL>
                  Signal that asks a container to end
              --init[=<BOOL>]
                  Run an init process that passes signals on and reaps
              --read-only[=<BOOL>]
                  Let nothing be written to the root file system
          -t, --tty[=<BOOL>]
                  Give the containers a terminal
              --oom-score-adj <SCORE>
                  How readily the kernel kills the containers when memory runs out, from -1000 to 1000
              --health-cmd <COMMAND>
                  Command, run by a shell in the container, that says whether the task is healthy
              --health-interval <DURATION>
                  Time between two checks
              --health-retries <N>
                  Checks that have to fail in a row
              --health-timeout <DURATION>
                  Time a check may take
              --health-start-period <DURATION>
                  Time after the start in which failed checks do not count
              --health-start-interval <DURATION>
                  Time between two checks in that period
              --no-healthcheck
                  Make no checks, not even those of the image
              --restart-condition <WHEN>
                  When a task that ended is replaced [possible values: none, on-failure, any]
              --restart-delay <DURATION>
                  Time before the replacement starts
              --restart-max-attempts <N>
                  Most replacements within the window
              --restart-window <DURATION>
                  Time over which replacements are counted
              --update-parallelism <N>
                  Tasks updated at once; 0 means all
              --update-delay <DURATION>
                  Time between two updates of tasks
              --update-failure-action <ACTION>
                  What happens when an update fails [possible values: pause, continue, rollback]
              --update-monitor <DURATION>
                  Time a new task has to stay up
              --update-max-failure-ratio <RATIO>
                  Part of the tasks that may fail, from 0 to 1
              --update-order <ORDER>
                  Which of the old and the new task goes first [possible values: stop-first, start-first]
              --rollback-parallelism <N>
                  Tasks taken back at once; 0 means all
              --rollback-delay <DURATION>
                  Time between taking back two tasks
              --rollback-failure-action <ACTION>
                  What happens when a rollback fails [possible values: pause, continue]
              --rollback-monitor <DURATION>
                  Time a task that was taken back has to stay up
              --rollback-max-failure-ratio <RATIO>
                  Part of the tasks that may fail, from 0 to 1
              --rollback-order <ORDER>
                  Which of the old and the new task goes first [possible values: stop-first, start-first]
              --limit-cpu <CPUS>
                  Most processors a task may use
              --limit-memory <BYTES>
                  Most memory a task may use
              --limit-pids <N>
                  Most processes and threads of a task
              --reserve-cpu <CPUS>
                  Processors kept for a task
              --reserve-memory <BYTES>
                  Memory kept for a task
              --replicas-max-per-node <N>
                  Most tasks on one node; 0 means any number
              --log-driver <NAME>
                  What keeps the output: json-file, local or none
              --log-opt <KEY=VALUE>
                  Option of the log driver, like max-size=10m
              --no-resolve-image
                  Do not hold the image to the content its tag has in its registry now
          -m, --message <REASON>
                  Reason, kept in the log beside what it caused
              --dry-run
                  Only show what would happen: the records, who would write them, what planners make of it
              --if-at <@N>
                  Only if what it changes has no record after this one, else exit code 3
          -h, --help
                  Print help (see more with '--help')
    "#]].assert_eq(&short_help(&["service", "create"]));
    expect![[r#"
        Show what happened to the swarm or to one object

        Usage: skein log [OPTIONS] [OBJECT]
               skein log <redact|export|archive>

        Commands:
          redact   Erase the detachable part of one record on every manager
          export   Write a range of the log to a file
          archive  Keep the log as files in a directory

        Arguments:
          [OBJECT]  Object: a name (web, web.2), an id, or both with the noun (service/web)

        Options:
          -H, --host <unix://PATH>    Daemon to talk to [env: SKEIN_HOST] [default:
                                      unix:///run/skein/skein.sock]
          -n, --limit <N>             Show only the last N records
              --since <@N|-10m|TIME>  Begin there
              --until <@N|-10m|TIME>  End there [alias: --at]
              --who <WHO>             Show only what this one did: a user's name or id, user, node, planner,
                                      or a planner's name
              --kind <KIND>           Show only events of this kind, like service.scaled, or of this noun,
                                      like service; may be repeated
          -p, --patch                 Show what each record changed of its object
          -d, --data                  Show each record's content too
          -q, --quiet                 Show only positions
          -f, --filter <KEY=VALUE>    Show only what matches: kind=KIND, which may be repeated, or who=WHO
              --format <FORMAT>       Form of the lines: table, json, or a Go template like '{{.position}}
                                      {{.kind}}'
          -h, --help                  Print help (see more with '--help')
    "#]]
    .assert_eq(&short_help(&["log"]));
}

#[test]
fn usage_errors_exit_with_125_and_say_what_was_expected() {
    let daemon = Daemon::answering([]);
    let refused = |words: &[&str]| skein(&daemon, words).refusal();
    expect![[r#"
        exit 125
        error: invalid value 'web=-1' for '<SERVICE=REPLICAS>...': invalid replicas value -1: a whole number from 0

        For more information, try '--help'.
    "#]].assert_eq(&refused(&["service", "scale", "web=-1"]));
    expect![[r#"
        exit 125
        error: invalid value '{{.ID' for '--format <FORMAT>': template parsing error: template: 1:6: unclosed action

        For more information, try '--help'.
    "#]]
    .assert_eq(&refused(&["node", "ls", "--format", "{{.ID"]));
    expect![[r#"
        exit 125
        error: invalid value 'yesterday' for '--at <@N|-10m|TIME>': a moment is a position (@8123), an age (10m) or a time (2026-11-23T14:02:11Z, 2026-11-23)

        For more information, try '--help'.
    "#]].assert_eq(&refused(&["node", "ls", "--at", "yesterday"]));
    expect![[r#"
        exit 125
        error: invalid value 'two
        lines' for '--message <REASON>': a reason is one line without control characters

        For more information, try '--help'.
    "#]]
    .assert_eq(&refused(&["network", "rm", "n", "-m", "two\nlines"]));
    expect![[r#"
        exit 125
        replicas can only be used with replicated or replicated-job mode
    "#]]
    .assert_eq(&refused(&["service", "create", "--mode", "global", "--replicas", "2", "bb"]));
    assert_eq!(daemon.asked(), [""; 0]);
}

#[test]
fn the_daemon_gets_its_roots_and_the_global_host() {
    let parsed = Arguments::try_parse_from([
        "skein",
        "daemon",
        "--data-root",
        "/a",
        "--run-root",
        "/b",
        "--host",
        "unix:///c/s",
        "--log-format",
        "json",
    ])
    .unwrap();
    let Command::Daemon(daemon) = parsed.command else { panic!("not a daemon: {parsed:?}") };
    let daemon = daemon.at(&parsed.host);
    assert_eq!(daemon.host, std::path::Path::new("/c/s"));
    assert_eq!((daemon.data_root.to_str(), daemon.run_root.to_str()), (Some("/a"), Some("/b")));
}
