//! Names for containers: one handler per container, over the zones of its networks, at the sockets opened in its namespace.
//! Wire format, sockets and truncation are hickory's; which answer is right is `answer`, where the rest is asked is `forward`.

mod answer;
mod batch;
mod forward;
mod shuffle;
#[cfg(test)]
mod tests;
mod udp;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use hickory_proto::op::{Edns, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use skein_events::id::TaskId;
use skein_events::view::dns::Zone;
use tokio_util::task::AbortOnDropHandle;

use self::answer::Answer;
use self::forward::{Forwarded, Forwarder};
use self::shuffle::Shuffle;
use crate::measures::MEASURES;
use crate::overlay::DnsSockets;

/// Seconds an answer may be kept. A task leaves its names before it is stopped, so a client that keeps one longer than this meets a dead
/// address; Docker says 600. Short enough to forget a task, long enough to spare a busy client most questions.
pub const TTL: u32 = 5;
/// How long a silent TCP client keeps its connection: as long as a resolver waits for an answer.
const TCP_IDLE: Duration = Duration::from_secs(5);
/// Answers that wait for a slow TCP reader before its next question is read.
const TCP_PENDING: usize = 16;

/// What one container may know.
#[derive(Clone, Debug, Default)]
pub struct ContainerZones {
    /// The zones of its networks, in the order it names them: the first that has a name answers.
    pub zones: Vec<Arc<Zone>>,
    /// Whether other names are asked of the host's resolvers: false if all its networks are internal.
    pub forward: bool,
}

/// Why names cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host's list of resolvers could not be read.
    #[error("cannot read the resolvers of {path}")]
    Resolvers {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The host's list of resolvers makes no sense.
    #[error("cannot use the resolvers of {path}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<hickory_server::net::NetError>,
    },
    /// A container's socket cannot be used.
    #[error("cannot serve names to task {task}")]
    Socket {
        /// The task.
        task: TaskId,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What serves one container; ends when it is dropped.
struct Serving {
    _udp: AbortOnDropHandle<()>,
    _tcp: hickory_server::Server<Handler>,
}

/// The server of all containers of a node.
pub struct DnsServer {
    forwarder: Arc<Forwarder>,
    seed: u64,
    serving: Mutex<BTreeMap<TaskId, Serving>>,
}

impl DnsServer {
    /// A server that asks the resolvers of a file in the manner of `/etc/resolv.conf`. The seed shuffles the answers.
    pub fn new(resolv_conf: &Path, seed: u64) -> Result<Self, Error> {
        let forwarder = Arc::new(Forwarder::new(resolv_conf)?);
        Ok(Self { forwarder, seed, serving: Mutex::default() })
    }
    /// Reads the file again, for a host whose resolvers changed.
    pub fn reload(&self) -> Result<(), Error> {
        self.forwarder.reload()
    }
    /// Serves a container on this tokio runtime, until `stop` or for ever; what was served to it before ends. What its
    /// zones do not know is asked of its own resolvers, or of the host's if it has none.
    pub fn serve(
        &self,
        task: TaskId,
        sockets: DnsSockets,
        view: Arc<ArcSwap<ContainerZones>>,
        resolvers: &[IpAddr],
    ) -> Result<(), Error> {
        let socket = |source| Error::Socket { task, source };
        let udp = tokio::net::UdpSocket::from_std(sockets.udp).map_err(socket)?;
        let tcp = tokio::net::TcpListener::from_std(sockets.tcp).map_err(socket)?;
        let hash = blake3::hash(task.to_string().as_bytes());
        let own = u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"));
        let shuffle = Arc::new(Shuffle::new(self.seed ^ own));
        let forwarder = match resolvers {
            [] => Arc::clone(&self.forwarder),
            own => Arc::new(self.forwarder.to(own)?),
        };
        let handler = Handler { view, forwarder, shuffle };
        let udp = AbortOnDropHandle::new(tokio::spawn(udp::serve(udp, handler.clone())));
        let mut server = hickory_server::Server::new(handler);
        server.register_listener(tcp, TCP_IDLE, TCP_PENDING);
        self.serving().insert(task, Serving { _udp: udp, _tcp: server });
        Ok(())
    }
    /// Ends serving a container and closes its sockets.
    pub fn stop(&self, task: TaskId) {
        self.serving().remove(&task);
    }
    /// The containers served, sorted.
    pub fn tasks(&self) -> Vec<TaskId> {
        self.serving().keys().copied().collect()
    }

    fn serving(&self) -> MutexGuard<'_, BTreeMap<TaskId, Serving>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers one container.
#[derive(Clone)]
struct Handler {
    view: Arc<ArcSwap<ContainerZones>>,
    forwarder: Arc<Forwarder>,
    shuffle: Arc<Shuffle>,
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        let found = self.find(request, &mut metadata).await;
        // RFC 6891 §6.1.1: whoever sent the option gets one; its size limits our datagram as well.
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(asked.max_payload()).set_version(0);
            edns.set_dnssec_ok(asked.flags().dnssec_ok);
            edns
        });
        let code = match metadata.response_code {
            ResponseCode::NoError => "noerror",
            ResponseCode::NXDomain => "nxdomain",
            ResponseCode::ServFail => "servfail",
            _ => "other",
        };
        MEASURES.names(code, 1);
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            builder.edns(edns);
        }
        let message = builder.build(metadata, &found.answers, &found.authorities, &[], &[]);
        match response.send_response(message).await {
            Ok(info) => info,
            Err(_) => {
                // The container went away, or does not read; nobody is left to be told.
                let counts = hickory_proto::op::HeaderCounts::default();
                ResponseInfo::from(hickory_proto::op::Header { metadata, counts })
            }
        }
    }
}

impl Handler {
    /// The records that answer; says how it went in the response's header.
    async fn find(&self, request: &Request, metadata: &mut Metadata) -> Forwarded {
        let nothing = Forwarded::default();
        if request.metadata.op_code != OpCode::Query {
            metadata.response_code = ResponseCode::NotImp;
            return nothing;
        }
        if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            metadata.response_code = ResponseCode::BADVERS;
            return nothing;
        }
        let [query] = request.queries.queries() else {
            metadata.response_code = ResponseCode::FormErr;
            return nothing;
        };
        let view = self.view.load();
        metadata.recursion_available = view.forward;
        let (name, kind) = (query.original().name(), query.query_type());
        let answer = match query.query_class() {
            DNSClass::IN | DNSClass::ANY => answer::find(&view.zones, name, kind),
            _ => Answer::Unknown,
        };
        let ours = |data: RData| Record::from_rdata(name.clone(), TTL, data);
        let answers = match answer {
            Answer::Unknown => {
                let forward = view.forward;
                drop(view);
                return self.ask_outside(forward, name, kind, metadata).await;
            }
            Answer::Empty => Vec::new(),
            Answer::Addresses(addresses) => {
                let mut addresses: Vec<Ipv4Addr> = addresses.to_vec();
                self.shuffle.shuffle(&mut addresses);
                addresses.into_iter().map(|ip| ours(RData::A(A(ip)))).collect()
            }
            Answer::Pointer { task, network } => {
                let target = Name::from_ascii(format!("{task}.{network}."));
                target.map(|target| ours(RData::PTR(PTR(target)))).into_iter().collect()
            }
        };
        metadata.authoritative = true;
        Forwarded { answers, ..nothing }
    }

    async fn ask_outside(
        &self,
        forward: bool,
        name: &Name,
        kind: RecordType,
        metadata: &mut Metadata,
    ) -> Forwarded {
        // On internal networks there is nothing else: a firm no, because C libraries repeat a question that was refused until they time out.
        if !forward {
            metadata.response_code = ResponseCode::NXDomain;
            return Forwarded::default();
        }
        match self.forwarder.ask(name, kind).await {
            Ok(found) => found,
            Err(code) => {
                metadata.response_code = code;
                Forwarded::default()
            }
        }
    }
}
