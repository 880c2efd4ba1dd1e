//! One actor per task on this node. Its life is one function, from making it ready to leaving nothing of it; the actor
//! around it only passes orders on.

use std::collections::BTreeMap;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use tokio::sync::watch;

use skein_events::command::Sighting;
use skein_events::id::TaskId;
use skein_events::reference::Reference;
use skein_events::task::container::Dns;
use skein_events::task::output::Output;
use skein_events::task::spec::LogDriver;
use skein_events::task::{OUT_OF_MEMORY, TaskState, TaskStatus};
use skein_events::text::visible;
use skein_events::time::Span;
use skein_events::view::assignment::{self, AssignedTask, Phase};
use skein_net::overlay::{AttachLeg, Attached, Outside};
use skein_runtime::api::{Condition, Container, Exit, container_id};
use skein_runtime::check::{Check, Standing};
use skein_runtime::error::Error;
use skein_runtime::log::Keep;
use skein_store::failpoint;

use super::names::Asker;
use super::{AgentActor, Saw, Tools, checkup};

/// Orders that may wait: only the last one counts.
const MAILBOX: usize = 16;
/// Something left behind is cleared away again after so long.
const CLEAR_AGAIN: Span = Span::seconds(1);

/// What the task is to come to.
#[derive(Message, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[rtype(result = "()")]
pub(super) enum Order {
    Prepare,
    Run,
    /// End, and say so.
    Stop,
    /// End without a word: it is not this node's any more.
    Vanish,
}

impl From<assignment::Order> for Order {
    fn from(order: assignment::Order) -> Self {
        match order {
            assignment::Order::Prepare => Self::Prepare,
            assignment::Order::Run => Self::Run,
            assignment::Order::Stop => Self::Stop,
        }
    }
}

pub(super) struct TaskActor {
    orders: watch::Sender<Order>,
    life: Option<Life>,
}

impl TaskActor {
    pub(super) fn spawn(
        task: AssignedTask,
        found: Option<Condition>,
        tools: Tools,
        agent: Addr<AgentActor>,
        network: watch::Receiver<u64>,
        generation: u64,
    ) -> Addr<Self> {
        let (orders, receiver) = watch::channel(Order::from(task.order));
        let life = Life { task, found, tools, agent, network, generation, orders: receiver };
        Self { orders, life: Some(life) }.start()
    }
}

impl Actor for TaskActor {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        if let Some(life) = self.life.take() {
            ctx.spawn(life.live().into_actor(self));
        }
    }
}

impl Handler<Order> for TaskActor {
    type Result = ();
    fn handle(&mut self, order: Order, _: &mut Self::Context) {
        // Orders only grow: a task that was told to end is not told to run again.
        self.orders.send_if_modified(|now| {
            let grows = order > *now;
            if grows {
                *now = order;
            }
            grows
        });
    }
}

/// Everything one task's life needs.
struct Life {
    task: AssignedTask,
    found: Option<Condition>,
    tools: Tools,
    agent: Addr<AgentActor>,
    network: watch::Receiver<u64>,
    generation: u64,
    orders: watch::Receiver<Order>,
}

/// How a task ended.
enum End {
    /// By itself, or it never began.
    Status(TaskStatus),
    /// As it was told.
    Told,
}

impl Life {
    async fn live(mut self) {
        let end = match self.found.take() {
            Some(Condition::Running { pid }) => self.resume(pid).await,
            Some(Condition::Exited(exit)) => End::Status(self.ended(exit)),
            Some(Condition::Lost) => {
                End::Status(failed("the container was lost with its machine or its shim"))
            }
            // It was never started, so it may begin anew.
            Some(Condition::Created { .. }) if self.task.phase == Phase::New => {
                leave_nothing(self.task.id, &self.tools).await;
                self.begin().await
            }
            Some(Condition::Created { .. }) => End::Status(failed("the container was not started")),
            None if self.task.phase == Phase::New => self.begin().await,
            None => End::Status(failed("the container is not there any more")),
        };
        failpoint("agent.before-report");
        let told = *self.orders.borrow() >= Order::Stop;
        match end {
            End::Told => self.tell(self.status(TaskState::Shutdown, "shutdown", None)),
            // It ended because it was told to, whatever its exit code.
            End::Status(TaskStatus { container, exit_code, .. }) if told => {
                let shutdown = TaskStatus::new(TaskState::Shutdown, "shutdown");
                self.tell(TaskStatus { container, exit_code, ..shutdown });
            }
            End::Status(status) => self.tell(status),
        }
        leave_nothing(self.task.id, &self.tools).await;
        self.say(Sighting::Gone);
    }

    fn say(&self, sighting: Sighting) {
        if *self.orders.borrow() == Order::Vanish {
            return;
        }
        if self.agent.try_send(Saw(self.task.id, sighting)).is_err() {
            tracing::error!(task = %self.task.id, "the agent does not hear what became of a task");
        }
    }

    fn tell(&self, status: TaskStatus) {
        self.say(Sighting::Status(status));
    }

    fn status(&self, state: TaskState, message: &str, pid: Option<u32>) -> TaskStatus {
        TaskStatus {
            container: Some(container_id(self.task.id)),
            pid,
            ..TaskStatus::new(state, message)
        }
    }

    /// Makes everything ready, waits for the order to run, runs.
    async fn begin(&mut self) -> End {
        let pid = match self.prepare().await {
            Ok(pid) => pid,
            Err(status) => return End::Status(status),
        };
        if *self.orders.borrow() == Order::Prepare {
            self.tell(self.status(TaskState::Ready, "ready", Some(pid)));
        }
        let enough = Order::Run;
        #[cfg(feature = "mutants")]
        let enough = if skein_events::mutant::is(skein_events::mutant::Mutant::Unordered) {
            Order::Prepare
        } else {
            enough
        };
        if self.until(enough).await >= Order::Stop {
            return End::Told;
        }
        let check = self.tools.runtime.check(self.task.id).await;
        if let Ok(Some(_)) = &check {
            // From here its start period runs, whatever befalls this daemon.
            checkup::note(&*self.tools.runtime, self.task.id, &Standing::default()).await;
        }
        failpoint("agent.before-start");
        match self.tools.runtime.start(self.task.id).await {
            Ok(()) => {
                failpoint("agent.after-start");
                self.run(pid, check).await
            }
            Err(error) => End::Status(self.rejected(&error)),
        }
    }

    /// Goes on with a container that an earlier life of this daemon started.
    async fn resume(&mut self, pid: u32) -> End {
        match self.tools.kernel.reattach(self.task.id).await {
            Ok(attached) => self.answer_names(attached),
            // Somebody took its network away: it serves nobody and finds nobody, so another takes its place.
            Err(error) => {
                tracing::error!(task = %self.task.id, %error, "a container has no network any more");
                let code = self.stop().await.map(|exit| exit.code);
                let lost = failed(&format!("the container lost its network: {}", chain(&error)));
                let container = Some(container_id(self.task.id));
                return End::Status(TaskStatus { exit_code: code, container, ..lost });
            }
        }
        let check = self.tools.runtime.check(self.task.id).await;
        self.run(pid, check).await
    }

    async fn run(&mut self, pid: u32, check: Result<Option<Check>, Error>) -> End {
        let check = match check {
            Ok(check) => check,
            Err(error) => return End::Status(failed(&chain(&error))),
        };
        // A task with a check serves nobody before it passed one.
        if check.is_some() {
            self.tell(self.status(TaskState::Starting, "started, not yet healthy", Some(pid)));
        } else {
            self.tell(self.status(TaskState::Running, "started", Some(pid)));
        }
        let unwell = async {
            match &check {
                Some(check) => {
                    let well = || self.tell(self.status(TaskState::Running, "healthy", Some(pid)));
                    let Tools { runtime, findings, .. } = &self.tools;
                    checkup::until_unwell(&**runtime, findings, self.task.id, check, well).await
                }
                None => std::future::pending().await,
            }
        };
        let exit = self.tools.runtime.wait(self.task.id);
        let mut orders = self.orders.clone();
        let stop = async move {
            // The sender lives as long as the actor that runs this.
            drop(orders.wait_for(|o| *o >= Order::Stop).await);
        };
        tokio::select! {
            biased;
            exit = exit => match exit {
                Ok(exit) => End::Status(self.ended(exit)),
                Err(Error::NoSuchContainer(_)) => {
                    End::Status(failed("the container was killed with its shim"))
                }
                Err(error) => {
                    End::Status(failed(&format!("the container cannot be waited for: {error}")))
                }
            },
            () = stop => {
                self.stop().await;
                End::Told
            }
            why = unwell => {
                let error = Some(format!("task: unhealthy container: {why}"));
                // It answers to no name from now on, and nothing takes its place before it has ended.
                let unwell = self.status(TaskState::Running, "unhealthy", Some(pid));
                self.tell(TaskStatus { error: error.clone(), ..unwell });
                let code = self.stop().await.map(|exit| exit.code);
                let status = self.status(TaskState::Failed, "failed", None);
                End::Status(TaskStatus { error, exit_code: code, ..status })
            }
        }
    }

    async fn stop(&self) -> Option<Exit> {
        let grace = self.task.spec.container.stop_grace;
        match self.tools.runtime.stop(self.task.id, None, grace).await {
            Ok(exit) => Some(exit),
            Err(error) => {
                tracing::warn!(task = %self.task.id, %error, "stopping");
                None
            }
        }
    }

    async fn until(&mut self, order: Order) -> Order {
        match self.orders.wait_for(|o| *o >= order).await {
            Ok(order) => *order,
            Err(_) => Order::Vanish,
        }
    }

    /// Image, network, container; gives its process id.
    async fn prepare(&mut self) -> Result<u32, TaskStatus> {
        let image = self.task.spec.container.image.clone();
        let found = self.tools.runtime.image(image.clone()).await;
        let missing = matches!(found, Ok(None));
        let message = if missing { format!("pulling {image}") } else { "preparing".to_owned() };
        self.tell(TaskStatus::new(TaskState::Preparing, &message));
        match found {
            Ok(Some(_)) => {}
            Ok(None) => self.pull(image).await?,
            Err(error) => return Err(self.rejected(&error)),
        }
        let generation = self.generation;
        if self.network.wait_for(|g| *g >= generation).await.is_err() {
            return Err(failed("the agent ended"));
        }
        let legs: Vec<AttachLeg> = self
            .task
            .legs
            .iter()
            .map(|l| AttachLeg { network: l.network, ip: l.ip, mac: l.mac, subnet: l.subnet })
            .collect();
        let attached = self.tools.kernel.attach(self.task.id, &legs, self.outside()).await;
        let attached = attached.map_err(|e| rejected(chain(&e)))?;
        let container = self.container(&attached);
        self.answer_names(attached);
        failpoint("agent.before-create");
        let created = self.tools.runtime.create(container).await;
        failpoint("agent.after-create");
        created.map(|c| c.pid).map_err(|e| self.rejected(&e))
    }

    /// Fetches the image, as nobody in particular: passwords are no part of a service.
    async fn pull(&self, image: String) -> Result<(), TaskStatus> {
        // An id names nothing in a registry.
        let Ok(name) = image.parse::<Reference>() else {
            return Err(self.rejected(&Error::NoSuchImage(image)));
        };
        let mut orders = self.orders.clone();
        let pulled = tokio::select! {
            biased;
            pulled = self.tools.images.pull_for_task(&name) => pulled,
            _ = orders.wait_for(|o| *o >= Order::Stop) => return Err(failed("told to end")),
        };
        match pulled {
            Ok(()) => Ok(()),
            // Where no registry is reached, nobody may expect one: what is missing comes first.
            Err(error @ Error::RegistryUnreachable { .. }) => {
                tracing::warn!(task = %self.task.id, error = chain(&error), "pulling its image");
                let missing = Error::NoSuchImage(image);
                Err(rejected(format!("{missing} on this node, and {error}")))
            }
            Err(error) => Err(self.rejected(&error)),
        }
    }

    fn outside(&self) -> Outside {
        let legs = &self.task.legs;
        if !legs.is_empty() && legs.iter().all(|l| l.internal) {
            Outside::Closed
        } else {
            Outside::Reachable
        }
    }

    fn answer_names(&self, attached: Attached) {
        let Some(sockets) = attached.dns else { return };
        let networks = self.task.legs.iter().map(|l| l.network).collect();
        let forward = self.outside() == Outside::Reachable;
        // `decide` lets no other text through.
        let own = &self.task.spec.container.dns.nameservers;
        let resolvers = own.iter().filter_map(|text| text.parse().ok()).collect();
        let options = self.task.spec.container.dns.options.clone();
        let asker = Asker { networks, forward, resolvers, options };
        self.tools.names.serve(self.task.id, sockets, asker);
    }

    fn container(&self, attached: &Attached) -> Container {
        let task = &self.task;
        let short = &container_id(task.id)[..12];
        let hostname = task.spec.container.hostname.clone().unwrap_or_else(|| short.to_owned());
        let mut hosts =
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
        let own = task.legs.first().map(|l| l.ip).or(attached.gateway_ip);
        if let Some(ip) = own {
            hosts.push_str(&format!("{ip}\t{hostname}\n"));
        }
        for line in &task.spec.container.hosts {
            hosts.push_str(&format!("{line}\n"));
        }
        let mut labels: BTreeMap<String, String> =
            task.spec.container.labels.iter().cloned().collect();
        let ours = [
            ("service.id", task.service.to_string()),
            ("service.name", task.service_name.clone()),
            ("task", String::new()),
            ("task.id", task.id.to_string()),
            ("task.name", task.container_name()),
        ];
        labels.extend(ours.map(|(key, value)| (format!("com.docker.swarm.{key}"), value)));
        Container {
            id: task.id,
            name: task.container_name(),
            spec: task.spec.container.clone(),
            limits: task.spec.limits,
            env: task.env.clone(),
            netns: attached.netns.clone(),
            hosts,
            resolv_conf: resolv_conf(&self.tools.names.resolv_conf(), &task.spec.container.dns),
            hostname,
            labels,
            keep: keep(task.spec.log_driver.as_ref()),
        }
    }

    fn ended(&self, exit: Exit) -> TaskStatus {
        let (state, message, error) = match (exit.code, exit.oom) {
            (code, true) if code != 0 => (
                TaskState::Failed,
                "failed",
                Some(format!("task: non-zero exit ({code}){OUT_OF_MEMORY}")),
            ),
            (0, _) => (TaskState::Complete, "finished", None),
            (code, _) => {
                (TaskState::Failed, "failed", Some(format!("task: non-zero exit ({code})")))
            }
        };
        TaskStatus { error, exit_code: Some(exit.code), ..self.status(state, message, None) }
    }

    fn rejected(&self, error: &Error) -> TaskStatus {
        TaskStatus { container: None, ..rejected(chain(error)) }
    }
}

/// What becomes of a task's output; what the log driver leaves open is the node's to say.
fn keep(driver: Option<&LogDriver>) -> Keep {
    // A driver that cannot be had was refused when the service was made.
    match driver.and_then(|driver| driver.output().ok()) {
        None => Keep::default(),
        Some(Output::Nothing) => Keep::Nothing,
        Some(Output::Files { max_size, max_files }) => Keep::files(max_size, max_files),
    }
}

/// The node's `resolv.conf` with what a service has of its own, one line of each kind: some resolvers take the last, others
/// all. The name server stays: it asks those of the service.
fn resolv_conf(node: &str, dns: &Dns) -> String {
    let Dns { nameservers: _, search, options } = dns;
    let mut text = String::new();
    let mut all: Vec<&str> = Vec::new();
    for line in node.lines() {
        match line.split_once(' ') {
            Some(("search", _)) if !search.is_empty() => {}
            Some(("options", words)) => {
                all.extend(words.split(' ').filter(|word| !word.is_empty()));
            }
            Some(_) | None => text.push_str(&format!("{line}\n")),
        }
    }
    for option in options {
        // A service's `ndots:2` is in the place of the node's `ndots:0`.
        let name = |option: &str| option.split(':').next().map(str::to_owned);
        all.retain(|known| name(known) != name(option));
        all.push(option);
    }
    if !search.is_empty() {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    if !all.is_empty() {
        text.push_str(&format!("options {}\n", all.join(" ")));
    }
    text
}

/// An error with what led to it: the sentence a user reads in `service ps`.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(&format!(": {inner}"));
        source = inner.source();
    }
    text
}

fn rejected(error: String) -> TaskStatus {
    let error = Some(visible(&error).into_owned());
    TaskStatus { error, ..TaskStatus::new(TaskState::Rejected, "preparing") }
}

fn failed(error: &str) -> TaskStatus {
    let error = Some(visible(error).into_owned());
    TaskStatus { error, ..TaskStatus::new(TaskState::Failed, "failed") }
}

/// Clears away all that belongs to a task here, and tries again until nothing is left.
pub(super) async fn leave_nothing(id: TaskId, tools: &Tools) {
    tools.names.forget(id);
    tools.findings.forget(id);
    loop {
        let container = tools.runtime.remove(id).await;
        let network = tools.kernel.detach(id).await;
        match (container, network) {
            (Ok(()), Ok(())) => return,
            (Err(error), _) => tracing::error!(task = %id, error = chain(&error), "removing"),
            (_, Err(error)) => tracing::error!(task = %id, error = chain(&error), "detaching"),
        }
        #[expect(clippy::disallowed_methods, reason = "the machine, not the swarm, is waited for")]
        tokio::time::sleep(CLEAR_AGAIN.as_std()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_services_options_stand_in_one_line_with_the_nodes() {
        let node = "nameserver 127.0.0.11\nsearch a\noptions ndots:0 edns0\n";
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let with = |search: &[&str], options: &[&str]| {
            let (search, options) = (texts(search), texts(options));
            resolv_conf(node, &Dns { nameservers: Vec::new(), search, options })
        };
        assert_eq!(with(&[], &[]), node);
        let own = "nameserver 127.0.0.11\nsearch b c\noptions edns0 timeout:1 ndots:2\n";
        assert_eq!(with(&["b", "c"], &["timeout:1", "ndots:2"]), own);
    }
}
