//! This machine's membership: none, or one running swarm. Makes it, takes it up again after a restart, gives it up.
//! The only place that starts and ends a swarm; the API reads the running one through `Membership`.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use arc_swap::ArcSwapOption;
use tokio::sync::oneshot;

use skein_events::cluster::ClusterSpec;
use skein_events::command::{Command, NewNode};
use skein_events::id::{ClusterId, IdSource, NodeId};
use skein_events::node::{Availability, Description, NodeState, Role};
use skein_events::record::Hash;
use skein_events::refusal::Refusal;
use skein_events::time::Span;
use skein_events::unit::Subnet;
use skein_net::address;
use skein_net::backend::{Caller, Failure, InitSwarm, JoinTokens};
use skein_store::{Disk, FileDisk, failpoint};

use crate::agent::{AgentActor, EndAll, Tools};
use crate::consensus::Seat;
use crate::log::Beat;
use crate::reasons::Reasons;
use crate::swarm::{self, Face, Seams, Swarm};
use crate::vault::Vault;
use crate::witness::{self, Keeper, Witness};

/// Requests to make or leave a swarm that may wait: they are rare.
const MAILBOX: usize = 16;
/// How long the first node of a swarm may take to be ready before its maker is answered all the same.
const READY_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// What other threads see of the membership.
pub struct Running {
    /// The swarm.
    pub face: Face,
    /// Which records are about what, for "why".
    pub reasons: Reasons,
    /// Join tokens, made once.
    pub tokens: JoinTokens,
    /// Consensus.
    pub seat: Seat,
    /// Notes how far the log goes.
    pub keeper: Keeper,
}

/// The running membership, if there is one.
pub type Membership = Arc<ArcSwapOption<Running>>;

/// What the membership stands on.
#[derive(Clone)]
pub struct Ground {
    /// The seams.
    pub seams: Seams,
    /// What the agent works with.
    pub tools: Tools,
    /// This machine.
    pub description: Description,
    /// Folder of the swarm's files within the data root.
    pub folder: PathBuf,
    /// Where the running membership is published.
    pub membership: Membership,
}

/// Makes, keeps and ends the membership.
pub struct MemberActor {
    ground: Ground,
    current: Option<(Swarm, Addr<AgentActor>)>,
    busy: bool,
}

/// Makes a swarm of this machine.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Init {
    /// Who asks.
    pub caller: Caller,
    /// How.
    pub init: InitSwarm,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<NodeId, Failure>>,
}

/// Leaves the swarm.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave {
    /// Even as the last manager.
    pub force: bool,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<(), Failure>>,
}

/// Ends the swarm's actors and leaves its containers running; without a swarm, leaves nothing at all.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ShutDown(pub oneshot::Sender<()>);

fn internal(error: impl std::fmt::Display) -> Failure {
    Failure::Internal(error.to_string())
}

fn invalid(error: impl std::fmt::Display) -> Failure {
    Failure::Refused(Refusal::Invalid(error.to_string()))
}

/// Why a swarm cannot be taken up, and the way out when it is the log.
fn unusable(error: &swarm::Error, folder: &Path) -> Failure {
    let text = match error {
        swarm::Error::Log(_) | swarm::Error::History(_) => format!(
            "{error}\nthe log was left as it is, containers too; the way out: put a copy of {0} in its place, or move {0} away to begin without a swarm",
            folder.display()
        ),
        swarm::Error::Consensus(_) | swarm::Error::Disk { .. } => error.to_string(),
    };
    Failure::Internal(text)
}

impl MemberActor {
    /// Takes up the membership of the data root, if it has one. Runs on the actors' thread.
    pub async fn resume(ground: Ground) -> Result<Addr<Self>, Failure> {
        let current = match Vault::read(&ground.folder).map_err(internal)? {
            None => None,
            Some(vault) => take_up(&ground, &vault).await?,
        };
        Ok(Self { ground, current, busy: false }.start())
    }
}

/// Opens the log of a vault's swarm and starts everything.
async fn take_up(
    ground: &Ground,
    vault: &Vault,
) -> Result<Option<(Swarm, Addr<AgentActor>)>, Failure> {
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::open_private(&ground.folder).map_err(internal)?);
    let started = Swarm::start(&ground.seams, disk, vault.node, vault.number);
    let swarm = started.map_err(|error| unusable(&error, &ground.folder))?;
    let begun = swarm.caught_up().await.map_err(internal)?;
    let known = Witness::read(&ground.folder);
    let state = swarm.face.state();
    let other = known.map(|known| known.check(begun.then_some(&*state), &swarm.face.log));
    if let Some(Err(what)) = other {
        swarm.stop().await;
        return Err(Failure::Internal(format!(
            "{what}\nnothing was changed; the way out: put this node's own log back into {0}, or, if the one that is there is to be gone on with and what it lacks is given up, remove {0}/{1}",
            ground.folder.display(),
            witness::FILE,
        )));
    }
    if !begun || state.cluster.is_none() {
        // The swarm was never made: the daemon ended between its first file and its first record.
        swarm.stop().await;
        std::fs::remove_dir_all(&ground.folder).map_err(internal)?;
        return Ok(None);
    }
    swarm.finish_redactions().await?;
    let agent = begin(ground, &swarm, vault).await?;
    Ok(Some((swarm, agent)))
}

/// The swarm has its first record: the agent starts, the API may see it.
async fn begin(ground: &Ground, swarm: &Swarm, vault: &Vault) -> Result<Addr<AgentActor>, Failure> {
    let state = swarm.face.state();
    let port = state.cluster.as_ref().map_or(0, |c| c.spec.data_path_port);
    ground.tools.kernel.claim(port).await.map_err(internal)?;
    let agent = swarm.start_agent(ground.description.clone(), ground.tools.clone());
    let tokens = JoinTokens {
        worker: vault.token(Role::Worker).map_err(internal)?,
        manager: vault.token(Role::Manager).map_err(internal)?,
    };
    let id =
        state.cluster.as_ref().map(|cluster| cluster.id).ok_or_else(|| {
            Failure::Internal("the swarm began without its first record".to_owned())
        })?;
    ground.membership.store(Some(Arc::new(Running {
        keeper: Keeper::begin(&ground.folder, id, swarm.face.log.clone()),
        face: swarm.face.clone(),
        reasons: Reasons::default(),
        tokens,
        seat: swarm.seat.clone(),
    })));
    Ok(agent)
}

fn cluster_spec(init: &InitSwarm) -> Result<ClusterSpec, Failure> {
    let pool = match init.pool.as_slice() {
        [] => Subnet::containing(Ipv4Addr::new(10, 0, 0, 0), 8),
        [one] => one.parse().map_err(invalid)?,
        _ => {
            let text = "several address pools are not supported: give one --default-addr-pool";
            return Err(Failure::Refused(Refusal::Unsupported(text.to_owned())));
        }
    };
    let port = if init.data_path_port == 0 { 4789 } else { init.data_path_port };
    let prefix = if init.pool_prefix == 0 { 24 } else { init.pool_prefix };
    Ok(ClusterSpec {
        pool,
        pool_prefix: u8::try_from(prefix)
            .map_err(|_| invalid(format!("invalid mask length {prefix}")))?,
        data_path_port: u16::try_from(port)
            .map_err(|_| invalid(format!("invalid data path port {port}")))?,
        task_history: init.task_history.unwrap_or(5),
        node_grace: Span::seconds(15),
    })
}

async fn make(
    ground: Ground,
    caller: Caller,
    init: InitSwarm,
) -> Result<(Swarm, Addr<AgentActor>), Failure> {
    let spec = cluster_spec(&init)?;
    let (ip, port) = address::advertise(init.advertise.as_deref()).map_err(invalid)?;
    let (listen_ip, listen_port) = address::listen(&init.listen).map_err(invalid)?;
    ground.tools.kernel.claim(spec.data_path_port).await.map_err(invalid)?;
    let Seams { clock, entropy, .. } = &ground.seams;
    let root = skein_net::ca::Root::generate(clock.wall()).map_err(internal)?;
    let mut ids = IdSource::new(entropy.seed());
    let node = NodeId::from_random(ids.bytes16());
    let listen = format!("{listen_ip}:{listen_port}");
    let vault = Vault::first(node, root, entropy.seed(), listen);
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::open_private(&ground.folder).map_err(internal)?);
    vault.write(&ground.folder).map_err(internal)?;
    failpoint("init.files-written");
    let swarm = Swarm::start(&ground.seams, disk, node, vault.number).map_err(internal)?;
    let command = Command::CreateCluster {
        id: ClusterId::from_random(ids.bytes16()),
        spec,
        ca_certificate: vault.ca_certificate.clone(),
        worker_token: Hash(vault.secret(Role::Worker).commitment()),
        manager_token: Hash(vault.secret(Role::Manager).commitment()),
        node: NewNode {
            id: node,
            role: Role::Manager,
            availability: Availability::Active,
            address: ip,
            port,
            description: ground.description.clone(),
        },
    };
    let began = async {
        swarm.seat.initialize(format!("{ip}:{port}")).await.map_err(internal)?;
        failpoint("init.before-record");
        swarm.face.submit(caller, None, command).await?;
        failpoint("init.after-record");
        let agent = begin(&ground, &swarm, &vault).await?;
        until_ready(&swarm.face, node).await;
        Ok(agent)
    };
    match began.await {
        Ok(agent) => Ok((swarm, agent)),
        Err(failure) => {
            swarm.stop().await;
            // Nothing was made: nothing stays.
            std::fs::remove_dir_all(&ground.folder).map_err(internal)?;
            Err(failure)
        }
    }
}

/// The one who made the swarm finds its node ready, unless that takes longer than a first session ever does.
async fn until_ready(face: &Face, node: NodeId) {
    let mut news = face.published.head.subscribe();
    let ready = async {
        loop {
            news.borrow_and_update();
            let state = face.state();
            let own = state.nodes.get(&node).map(|own| own.state);
            if own == Some(NodeState::Ready) || news.changed().await.is_err() {
                return;
            }
        }
    };
    if tokio::time::timeout(READY_MAX, ready).await.is_err() {
        tracing::warn!("the swarm is made, and its first node is not ready yet");
    }
}

/// Ends everything of a swarm on this machine and erases its files.
async fn give_up(ground: Ground, swarm: Swarm, agent: Addr<AgentActor>) -> Result<(), Failure> {
    if let Some(running) = ground.membership.swap(None) {
        running.keeper.stop();
    }
    let (done, ended) = oneshot::channel();
    agent.send(EndAll(done)).await.map_err(internal)?;
    ended.await.map_err(internal)?;
    failpoint("leave.ended");
    drop(agent);
    swarm.stop().await;
    failpoint("leave.stopped");
    std::fs::remove_dir_all(&ground.folder).map_err(internal)?;
    failpoint("leave.erased");
    Ok(())
}

impl Actor for MemberActor {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Init> for MemberActor {
    type Result = ();
    fn handle(&mut self, Init { caller, init, reply }: Init, ctx: &mut Self::Context) {
        if self.current.is_some() || self.busy {
            // Whoever asked may have gone.
            let _ = reply.send(Err(Refusal::AlreadyInSwarm.into()));
            return;
        }
        self.busy = true;
        let made = make(self.ground.clone(), caller, init).into_actor(self);
        ctx.spawn(made.map(|made, actor, _| {
            actor.busy = false;
            let answer = made.map(|current| {
                let node = current.0.face.node;
                actor.current = Some(current);
                node
            });
            let _ = reply.send(answer);
        }));
    }
}

impl Handler<Leave> for MemberActor {
    type Result = ();
    fn handle(&mut self, Leave { force, reply }: Leave, ctx: &mut Self::Context) {
        let refusal = match (&self.current, force) {
            (None, _) => Some(Refusal::NotPartOfSwarm),
            (Some(_), false) => Some(Refusal::LastManager),
            (Some(_), true) => None,
        };
        if let Some(refusal) = refusal {
            let _ = reply.send(Err(refusal.into()));
            return;
        }
        let Some((swarm, agent)) = self.current.take() else { return };
        self.busy = true;
        let ended = give_up(self.ground.clone(), swarm, agent).into_actor(self);
        ctx.spawn(ended.map(|ended, actor, _| {
            actor.busy = false;
            let _ = reply.send(ended);
        }));
    }
}

impl Handler<Beat> for MemberActor {
    type Result = ();
    fn handle(&mut self, _: Beat, _: &mut Self::Context) {}
}

impl Handler<ShutDown> for MemberActor {
    type Result = ();
    fn handle(&mut self, ShutDown(reply): ShutDown, ctx: &mut Self::Context) {
        let current = self.current.take();
        let kernel = Arc::clone(&self.ground.tools.kernel);
        let end = async move {
            match current {
                Some((swarm, agent)) => {
                    drop(agent);
                    swarm.stop().await;
                }
                // No swarm, no containers: nothing of this daemon stays in the kernel.
                None => {
                    if let Err(error) = kernel.remove_all().await {
                        tracing::error!(%error, "something of the networks is left");
                    }
                }
            }
        };
        ctx.spawn(end.into_actor(self).map(|(), _, _| {
            let _ = reply.send(());
        }));
    }
}
