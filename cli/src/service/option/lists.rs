//! Options with many values: `--env` when a service is made, `--env-add` and `--env-rm` when it is changed.
//! Both become one `Lists`, put into a spec by the same code: a new service's spec is the empty one.
//! Order is kept, so that a change touches nothing it does not name.

use std::collections::{BTreeSet, HashMap};

use bollard_stubs::models::{
    EndpointPortConfig, EndpointPortConfigProtocolEnum, EndpointPortConfigPublishModeEnum, Mount,
    ResourcesUlimits, ServiceSpec, TaskSpecPlacementPreferences, TaskSpecPlacementSpread,
};

use super::endpoint::{Attachment, attachment, port};
use super::mount::mount;
use crate::args::Host;
use crate::environment::{self, name_of, valued};
use crate::failure::Failure;
use crate::parse;

/// What is added to a list, and what is taken from it.
#[derive(Debug)]
struct Change<T, K = String> {
    add: Vec<T>,
    rm: Vec<K>,
}

impl<T, K> Change<T, K> {
    fn is_empty(&self) -> bool {
        self.add.is_empty() && self.rm.is_empty()
    }
}

/// Everything said of lists.
#[derive(Debug)]
pub(in crate::service) struct Lists {
    label: Change<(String, String)>,
    container_label: Change<(String, String)>,
    env: Change<String>,
    mount: Change<Mount>,
    constraint: Change<String>,
    preference: Change<String, String>,
    group: Change<String>,
    host: Change<String>,
    dns: Change<String>,
    dns_search: Change<String>,
    dns_option: Change<String>,
    ulimit: Change<ResourcesUlimits>,
    sysctl: Change<(String, String)>,
    capability: Change<String>,
    port: Change<EndpointPortConfig, EndpointPortConfig>,
}

/// The lists of a service that is made.
#[derive(Debug, clap::Args)]
pub(in crate::service) struct Given {
    /// Network to attach to, or name=NETWORK,alias=NAME
    #[arg(long, value_name = "NETWORK", value_parser = attachment)]
    pub(in crate::service) network: Vec<Attachment>,
    /// Port to publish: [PUBLISHED:]TARGET[/PROTOCOL], or published=P,target=T,protocol=tcp,mode=host
    #[arg(short, long, value_name = "PORT", value_parser = port)]
    publish: Vec<EndpointPortConfig>,
    /// Label of the service
    #[arg(short, long, value_name = "KEY[=VALUE]", value_parser = parse::label)]
    label: Vec<(String, String)>,
    /// Label of the containers
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = parse::label)]
    container_label: Vec<(String, String)>,
    /// Environment variable; without a value, the one it has here
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = environment::variable)]
    env: Vec<String>,
    /// File with an environment variable a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<std::path::PathBuf>,
    /// File system to mount: type=bind|volume|tmpfs,source=S,target=T[,readonly]…
    #[arg(long, value_name = "MOUNT", value_parser = mount)]
    mount: Vec<Mount>,
    /// Condition a node has to meet, like node.role==worker
    #[arg(long, value_name = "CONSTRAINT")]
    constraint: Vec<String>,
    /// How tasks are spread, like spread=node.labels.zone
    #[arg(long, value_name = "PREFERENCE", value_parser = preference)]
    placement_pref: Vec<String>,
    /// Further group of the process, name or number
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// Entry in the hosts file
    #[arg(id = "entry", long = "host", value_name = "NAME:ADDRESS", value_parser = host)]
    host: Vec<String>,
    /// Daemon to talk to; a long --host is of the hosts file here
    #[arg(id = "host", short = 'H', value_name = "unix://PATH")]
    daemon: Option<Host>,
    /// Name server
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    dns: Vec<String>,
    /// Domain that names are looked up in
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// Option of the resolver, like ndots:2
    #[arg(long, value_name = "OPTION")]
    dns_option: Vec<String>,
    /// Limit of the process, like nofile=1024:2048
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = ulimit)]
    ulimit: Vec<ResourcesUlimits>,
    /// Kernel parameter of the containers
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::key_value)]
    sysctl: Vec<(String, String)>,
    /// Capability to add to the usual ones
    #[arg(long, value_name = "CAPABILITY", value_parser = capability)]
    cap_add: Vec<String>,
    /// Capability to take from the usual ones
    #[arg(long, value_name = "CAPABILITY", value_parser = capability)]
    cap_drop: Vec<String>,
}

/// The changes of a service's lists.
#[derive(Debug, clap::Args)]
pub(in crate::service) struct Changed {
    /// Network to attach to as well, or name=NETWORK,alias=NAME
    #[arg(long, value_name = "NETWORK", value_parser = attachment)]
    pub(in crate::service) network_add: Vec<Attachment>,
    /// Network to leave
    #[arg(long, value_name = "NETWORK")]
    pub(in crate::service) network_rm: Vec<String>,
    /// Port to publish: [PUBLISHED:]TARGET[/PROTOCOL], or published=P,target=T,protocol=tcp,mode=host
    #[arg(long, value_name = "PORT", value_parser = port)]
    publish_add: Vec<EndpointPortConfig>,
    /// Port to publish no more, by its target: TARGET[/PROTOCOL]
    #[arg(long, value_name = "PORT", value_parser = port)]
    publish_rm: Vec<EndpointPortConfig>,
    /// Label of the service to add or change
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = parse::label)]
    label_add: Vec<(String, String)>,
    /// Label of the service to remove
    #[arg(long, value_name = "KEY")]
    label_rm: Vec<String>,
    /// Label of the containers to add or change
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = parse::label)]
    container_label_add: Vec<(String, String)>,
    /// Label of the containers to remove
    #[arg(long, value_name = "KEY")]
    container_label_rm: Vec<String>,
    /// Environment variable to add or change; without a value, the one it has here
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = environment::variable)]
    env_add: Vec<String>,
    /// Environment variable to remove
    #[arg(long, value_name = "NAME")]
    env_rm: Vec<String>,
    /// File system to mount, in the place of one with the same target
    #[arg(long, value_name = "MOUNT", value_parser = mount)]
    mount_add: Vec<Mount>,
    /// File system to mount no more, by its target
    #[arg(long, value_name = "TARGET")]
    mount_rm: Vec<String>,
    /// Condition a node has to meet as well
    #[arg(long, value_name = "CONSTRAINT")]
    constraint_add: Vec<String>,
    /// Condition a node has to meet no more, as it was written
    #[arg(long, value_name = "CONSTRAINT")]
    constraint_rm: Vec<String>,
    /// How tasks are spread further
    #[arg(long, value_name = "PREFERENCE", value_parser = preference)]
    placement_pref_add: Vec<String>,
    /// How tasks are spread no more
    #[arg(long, value_name = "PREFERENCE", value_parser = preference)]
    placement_pref_rm: Vec<String>,
    /// Further group of the process
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// Group to remove
    #[arg(long, value_name = "GROUP")]
    group_rm: Vec<String>,
    /// Entry in the hosts file
    #[arg(long, value_name = "NAME:ADDRESS", value_parser = host)]
    host_add: Vec<String>,
    /// Entry to remove, everywhere or only of one address
    #[arg(long, value_name = "NAME[:ADDRESS]")]
    host_rm: Vec<String>,
    /// Further name server
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    dns_add: Vec<String>,
    /// Name server to remove
    #[arg(long, value_name = "ADDRESS")]
    dns_rm: Vec<String>,
    /// Further domain that names are looked up in
    #[arg(long, value_name = "DOMAIN")]
    dns_search_add: Vec<String>,
    /// Domain to remove
    #[arg(long, value_name = "DOMAIN")]
    dns_search_rm: Vec<String>,
    /// Further option of the resolver
    #[arg(long, value_name = "OPTION")]
    dns_option_add: Vec<String>,
    /// Option of the resolver to remove
    #[arg(long, value_name = "OPTION")]
    dns_option_rm: Vec<String>,
    /// Limit of the process to add or change
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = ulimit)]
    ulimit_add: Vec<ResourcesUlimits>,
    /// Limit of the process to remove
    #[arg(long, value_name = "NAME")]
    ulimit_rm: Vec<String>,
    /// Kernel parameter to add or change
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::key_value)]
    sysctl_add: Vec<(String, String)>,
    /// Kernel parameter to remove
    #[arg(long, value_name = "KEY")]
    sysctl_rm: Vec<String>,
    /// Capability to add, or to drop no longer
    #[arg(long, value_name = "CAPABILITY", value_parser = capability)]
    cap_add: Vec<String>,
    /// Capability to drop, or to add no longer
    #[arg(long, value_name = "CAPABILITY", value_parser = capability)]
    cap_drop: Vec<String>,
}

impl Given {
    /// As changes of nothing.
    pub(in crate::service) fn lists(self) -> Result<Lists, Failure> {
        fn new<T, K>(add: Vec<T>) -> Change<T, K> {
            Change { add, rm: Vec::new() }
        }
        let mut env = environment::read(&self.env_file)?;
        env.extend(self.env);
        Ok(Lists {
            label: new(self.label),
            container_label: new(self.container_label),
            env: new(env),
            mount: new(self.mount),
            constraint: new(self.constraint),
            preference: new(self.placement_pref),
            group: new(self.group),
            host: new(self.host),
            dns: new(self.dns),
            dns_search: new(self.dns_search),
            dns_option: new(self.dns_option),
            ulimit: new(self.ulimit),
            sysctl: new(self.sysctl),
            capability: Change { add: self.cap_add, rm: self.cap_drop },
            port: new(self.publish),
        })
    }
}

impl Changed {
    /// The changes, without those of networks: their names have to be looked up.
    pub(in crate::service) fn lists(self) -> Lists {
        Lists {
            label: Change { add: self.label_add, rm: self.label_rm },
            container_label: Change { add: self.container_label_add, rm: self.container_label_rm },
            env: Change { add: self.env_add, rm: self.env_rm },
            mount: Change { add: self.mount_add, rm: self.mount_rm },
            constraint: Change { add: self.constraint_add, rm: self.constraint_rm },
            preference: Change { add: self.placement_pref_add, rm: self.placement_pref_rm },
            group: Change { add: self.group_add, rm: self.group_rm },
            host: Change { add: self.host_add, rm: self.host_rm },
            dns: Change { add: self.dns_add, rm: self.dns_rm },
            dns_search: Change { add: self.dns_search_add, rm: self.dns_search_rm },
            dns_option: Change { add: self.dns_option_add, rm: self.dns_option_rm },
            ulimit: Change { add: self.ulimit_add, rm: self.ulimit_rm },
            sysctl: Change { add: self.sysctl_add, rm: self.sysctl_rm },
            capability: Change { add: self.cap_add, rm: self.cap_drop },
            port: Change { add: self.publish_add, rm: self.publish_rm },
        }
    }
}

impl Lists {
    /// Changes what was said, as Docker does: where the same thing is added and removed, the addition wins for what has a
    /// key and a value, the removal for what is only there or not.
    pub(in crate::service) fn put_into(self, spec: &mut ServiceSpec) {
        let Self {
            label,
            container_label,
            env,
            mount,
            constraint,
            preference,
            group,
            host,
            dns,
            dns_search,
            dns_option,
            ulimit,
            sysctl,
            capability,
            port,
        } = self;
        pairs(&mut spec.labels, label);
        if !port.is_empty() {
            ports(&mut spec.endpoint_spec.get_or_insert_default().ports, port);
        }
        let task = spec.task_template.get_or_insert_default();
        if !(constraint.is_empty() && preference.is_empty()) {
            let placement = task.placement.get_or_insert_default();
            plain(&mut placement.constraints, constraint);
            preferences(&mut placement.preferences, preference);
        }
        let container = task.container_spec.get_or_insert_default();
        pairs(&mut container.labels, container_label);
        let env = Change { add: env.add.into_iter().filter_map(valued).collect(), rm: env.rm };
        keyed(&mut container.env, env, |variable| name_of(variable));
        mounts(&mut container.mounts, mount);
        plain(&mut container.groups, group);
        hosts(&mut container.hosts, host);
        if ![&dns, &dns_search, &dns_option].iter().all(|change| change.is_empty()) {
            let config = container.dns_config.get_or_insert_default();
            plain(&mut config.nameservers, dns);
            plain(&mut config.search, dns_search);
            plain(&mut config.options, dns_option);
        }
        keyed(&mut container.ulimits, ulimit, |u| u.name.as_deref().unwrap_or_default());
        pairs(&mut container.sysctls, sysctl);
        capabilities(&mut container.capability_add, &mut container.capability_drop, capability);
    }
}

/// Things with a key: those to go first, then the new ones, in the place of the old one or at the end.
fn keyed<T>(field: &mut Option<Vec<T>>, change: Change<T>, key: impl Fn(&T) -> &str) {
    if change.is_empty() {
        return;
    }
    let Change { add, rm } = change;
    let mut now = field.take().unwrap_or_default();
    now.retain(|item| !rm.iter().any(|gone| gone == key(item)));
    for item in add {
        match now.iter_mut().find(|old| key(old) == key(&item)) {
            Some(old) => *old = item,
            None => now.push(item),
        }
    }
    *field = (!now.is_empty()).then_some(now);
}

/// A map: as things with a key.
fn pairs(field: &mut Option<HashMap<String, String>>, change: Change<(String, String)>) {
    if change.is_empty() {
        return;
    }
    let Change { add, rm } = change;
    let mut now = field.take().unwrap_or_default();
    rm.iter().for_each(|gone| drop(now.remove(gone)));
    now.extend(add);
    *field = Some(now);
}

/// Things without a value: the new ones first, each once, then those to go.
fn plain(field: &mut Option<Vec<String>>, change: Change<String>) {
    if change.is_empty() {
        return;
    }
    let Change { add, rm } = change;
    let mut now = field.take().unwrap_or_default();
    for item in add {
        if !now.contains(&item) {
            now.push(item);
        }
    }
    now.retain(|item| !rm.contains(item));
    *field = (!now.is_empty()).then_some(now);
}

/// File systems: one a target, the new one in the place of the one there was; a removal wins, as Docker has it. Two new
/// ones with one target both stay, for the daemon to refuse.
fn mounts(field: &mut Option<Vec<Mount>>, change: Change<Mount>) {
    let Change { add, rm } = change;
    if let Some(now) = field {
        now.retain(|old| !add.iter().any(|new| new.target == old.target));
    }
    if !add.is_empty() {
        field.get_or_insert_default().extend(add);
    }
    keyed(field, Change { add: Vec::new(), rm }, |m| m.target.as_deref().unwrap_or_default());
}

fn preferences(field: &mut Option<Vec<TaskSpecPlacementPreferences>>, change: Change<String>) {
    if change.is_empty() {
        return;
    }
    let Change { add, rm } = change;
    let mut now = field.take().unwrap_or_default();
    let over = |preference: &TaskSpecPlacementPreferences| {
        preference.spread.as_ref().and_then(|spread| spread.spread_descriptor.clone())
    };
    now.retain(|old| over(old).is_none_or(|label| !rm.contains(&label)));
    now.extend(add.into_iter().map(|label| TaskSpecPlacementPreferences {
        spread: Some(TaskSpecPlacementSpread { spread_descriptor: Some(label) }),
    }));
    *field = (!now.is_empty()).then_some(now);
}

/// Entries `ADDRESS NAME…`, from which single names go; an entry without names goes itself.
fn hosts(field: &mut Option<Vec<String>>, change: Change<String>) {
    if change.is_empty() {
        return;
    }
    let Change { add, rm } = change;
    let mut now = Vec::new();
    for entry in field.take().unwrap_or_default() {
        let mut words = entry.split_whitespace();
        let Some(address) = words.next() else { continue };
        let goes = |name: &&str| {
            rm.iter().any(|gone| match gone.split_once(':') {
                Some((gone, of)) => gone == *name && (of.is_empty() || of == address),
                None => gone == name,
            })
        };
        let names: Vec<&str> = words.filter(|name| !goes(name)).collect();
        if !names.is_empty() {
            now.push(format!("{address} {}", names.join(" ")));
        }
    }
    *field = Some(now);
    plain(field, Change { add, rm: Vec::new() });
}

/// Adding a capability that was dropped only undoes that, and the other way round; adding wins.
fn capabilities(
    added: &mut Option<Vec<String>>,
    dropped: &mut Option<Vec<String>>,
    change: Change<String>,
) {
    if change.is_empty() {
        return;
    }
    let set = |field: &mut Option<Vec<String>>| {
        field.take().into_iter().flatten().map(|name| capital(&name)).collect::<BTreeSet<_>>()
    };
    let (mut adds, mut drops) = (set(added), set(dropped));
    let (mut add, mut rm): (BTreeSet<_>, BTreeSet<_>) =
        (change.add.into_iter().collect(), change.rm.into_iter().collect());
    if add.remove(RESET) {
        adds.clear();
    }
    if rm.remove(RESET) {
        drops.clear();
    }
    for name in rm.difference(&add) {
        if !adds.remove(name) {
            drops.insert(name.clone());
        }
    }
    for name in add {
        if !drops.remove(&name) {
            adds.insert(name);
        }
    }
    *added = listed(adds);
    *dropped = listed(drops);
}

/// Forgets what was added or dropped before.
const RESET: &str = "RESET";
/// All capabilities there are.
const ALL: &str = "ALL";

fn listed(names: BTreeSet<String>) -> Option<Vec<String>> {
    if names.contains(ALL) {
        return Some(vec![ALL.to_owned()]);
    }
    (!names.is_empty()).then(|| names.into_iter().collect())
}

/// Ports: those to go by target, protocol and mode, then the new ones.
fn ports(
    field: &mut Option<Vec<EndpointPortConfig>>,
    change: Change<EndpointPortConfig, EndpointPortConfig>,
) {
    let Change { add, rm } = change;
    let target = |port: &EndpointPortConfig| {
        (
            port.target_port,
            port.protocol.unwrap_or(EndpointPortConfigProtocolEnum::TCP),
            port.publish_mode.unwrap_or(EndpointPortConfigPublishModeEnum::INGRESS),
        )
    };
    let mut now = field.take().unwrap_or_default();
    now.retain(|port| !rm.iter().any(|gone| target(gone) == target(port)));
    for port in add {
        if !now.contains(&port) {
            now.push(port);
        }
    }
    *field = (!now.is_empty()).then_some(now);
}

fn preference(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((strategy, label)) if strategy.eq_ignore_ascii_case("spread") && !label.is_empty() => {
            Ok(label.to_owned())
        }
        _ => Err("a placement preference is spread= and a label, like spread=node.labels.zone"
            .to_owned()),
    }
}

/// An entry as hosts files have it: `ADDRESS NAME`.
fn host(text: &str) -> Result<String, String> {
    const WRONG: &str = "a host is NAME:ADDRESS, like db:10.0.0.7";
    let (name, address) = text.split_once('=').or_else(|| text.split_once(':')).ok_or(WRONG)?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    if name.is_empty() || address.parse::<std::net::IpAddr>().is_err() {
        return Err(WRONG.to_owned());
    }
    Ok(format!("{address} {name}"))
}

fn address(text: &str) -> Result<String, String> {
    let address = text.parse::<std::net::IpAddr>();
    address.map(|_| text.to_owned()).map_err(|_| format!("{text} is no IP address"))
}

fn ulimit(text: &str) -> Result<ResourcesUlimits, String> {
    let wrong = || "a ulimit is NAME=SOFT[:HARD], like nofile=1024:2048".to_owned();
    let (name, values) = text.split_once('=').ok_or_else(wrong)?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |text: &str| text.parse::<i64>().ok().filter(|n| *n >= -1).ok_or_else(wrong);
    let (soft, hard) = (number(soft)?, number(hard)?);
    if name.is_empty() {
        return Err(wrong());
    }
    // -1 is without limit.
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(format!("ulimit {name}: the soft limit {soft} is above the hard limit {hard}"));
    }
    Ok(ResourcesUlimits { name: Some(name.to_owned()), soft: Some(soft), hard: Some(hard) })
}

fn capability(text: &str) -> Result<String, String> {
    let name = capital(text);
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.is_empty() || !name.chars().all(letters) {
        return Err("a capability is a name like NET_ADMIN".to_owned());
    }
    Ok(name)
}

/// A capability's whole name.
fn capital(text: &str) -> String {
    let name = text.trim().to_ascii_uppercase();
    if name == ALL || name == RESET || name.starts_with("CAP_") {
        return name;
    }
    format!("CAP_{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &str) -> Vec<String> {
        words.split_terminator(' ').map(str::to_owned).collect()
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_text_is_an_entry_or_refused(
            text: String,
            near in "((published|target|protocol|mode)?=?[0-9a-z]{0,5}[,:/]?){0,4}",
        ) {
            for text in [&text, &near] {
                drop((preference(text), port(text), attachment(text)));
                drop((host(text), address(text), ulimit(text), capability(text)));
            }
        }
    }

    #[test]
    fn what_is_added_and_removed_at_once() {
        let mut env = Some(words("A=1 B=2 C=3"));
        keyed(&mut env, Change { add: words("B=4 A=5 D=6"), rm: words("A C") }, |v| name_of(v));
        assert_eq!(env, Some(words("B=4 A=5 D=6")));
        let mut servers = Some(words("1.1.1.1 2.2.2.2"));
        plain(&mut servers, Change { add: words("3.3.3.3 1.1.1.1"), rm: words("3.3.3.3 2.2.2.2") });
        assert_eq!(servers, Some(words("1.1.1.1")));
        plain(&mut servers, Change { add: vec![], rm: words("1.1.1.1") });
        assert_eq!(servers, None);
    }

    #[test]
    fn names_go_from_entries_of_hosts() {
        let entries = ["127.0.0.2 host3 host1 host2", "127.0.0.1 host1 host4", "127.0.0.3 host1"];
        let left = |rm: &str| {
            let mut hosts_file = Some(entries.map(str::to_owned).to_vec());
            hosts(&mut hosts_file, Change { add: vec!["9.9.9.9 x".to_owned()], rm: words(rm) });
            hosts_file.unwrap().join(", ")
        };
        assert_eq!(left("host1"), "127.0.0.2 host3 host2, 127.0.0.1 host4, 9.9.9.9 x");
        assert_eq!(
            left("host1:127.0.0.3"),
            "127.0.0.2 host3 host1 host2, 127.0.0.1 host1 host4, 9.9.9.9 x"
        );
    }

    #[test]
    fn capabilities_have_three_states() {
        let after = |added: &str, dropped: &str, add: &str, rm: &str| {
            let (mut a, mut d) = (Some(words(added)), Some(words(dropped)));
            let named = |text: &str| words(text).iter().map(|w| capability(w).unwrap()).collect();
            capabilities(&mut a, &mut d, Change { add: named(add), rm: named(rm) });
            format!("+{:?} -{:?}", a.unwrap_or_default(), d.unwrap_or_default())
        };
        assert_eq!(after("", "", "net_admin", "CHOWN"), r#"+["CAP_NET_ADMIN"] -["CAP_CHOWN"]"#);
        assert_eq!(after("", "CAP_CHOWN", "CHOWN", ""), r#"+[] -[]"#);
        assert_eq!(after("CAP_CHOWN", "", "", "CHOWN"), r#"+[] -[]"#);
        assert_eq!(after("", "", "CHOWN", "CHOWN"), r#"+["CAP_CHOWN"] -[]"#);
        assert_eq!(after("CAP_CHOWN", "", "ALL RESET", ""), r#"+["ALL"] -[]"#);
    }

    #[test]
    fn small_languages_of_options() {
        assert_eq!(host("db:10.0.0.7"), Ok("10.0.0.7 db".to_owned()));
        assert_eq!(host("db:[fe80::1]"), Ok("fe80::1 db".to_owned()));
        assert!(host("db:nonsense").is_err());
        assert!(ulimit("nofile=2:1").is_err() && ulimit("nofile=-1:1").is_err());
        assert!(ulimit("nofile").is_err() && ulimit("memlock=-1:-1").is_ok());
        assert!(preference("pack=node.labels.a").is_err() && preference("spread=").is_err());
    }
}
