//! Names for containers: one handler per container, over the zones of its networks, at the sockets opened in its namespace.
//! Wire format and truncation are hickory's; which answer is right is `answer`, where the rest is asked is `forward`.
//!
//! Containers share descriptors and the way outside: of both each has a part, and nothing one asked is told another.

mod answer;
mod batch;
mod forward;
mod host;
mod share;
mod shuffle;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;
mod upstream;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use futures::StreamExt as _;
use hickory_proto::op::{Edns, Message, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record};
use hickory_server::net::BufDnsStreamHandle;
use hickory_server::net::runtime::{Time, TokioTime};
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{
    Request, RequestHandler, ResponseHandle, ResponseHandler, ResponseInfo,
};
use hickory_server::zone_handler::MessageResponseBuilder;
use skein_events::id::TaskId;
use skein_events::view::dns::Zone;
use tokio_util::task::AbortOnDropHandle;

use self::answer::Answer;
use self::forward::{Forwarded, Forwarder};
pub use self::host::{HostFile, Resolvers};
use self::share::{AtShare, Shares};
use self::shuffle::Shuffle;
use self::tcp::Connections;
use crate::measures::MEASURES;
use crate::overlay::DnsSockets;

/// Seconds an answer may be kept. A task leaves its names before it is stopped, so a client that keeps one longer than this meets a dead
/// address; Docker says 600. Short enough to forget a task, long enough to spare a busy client most questions.
pub const TTL: u32 = 5;
/// Bytes of a message before its question.
const HEADER: usize = 12;
/// Questions of one container that are asked outside at a time, over UDP and TCP together; one more is refused. With answers
/// that take a twentieth of a second these are 2,560 a second.
const QUESTIONS_EACH: usize = 128;
/// The same of all containers together: what Docker allows each of its resolvers.
const QUESTIONS_MAX: usize = 1024;
/// Connections of one container; one more closes the one that is idle longest. C libraries have one at a time.
const CONNECTIONS_EACH: usize = 32;
/// The same of all containers together.
const CONNECTIONS_MAX: usize = 1024;
/// What part of the descriptors this process may have connections take; questions, which take one for each resolver asked, a
/// third of it. The rest is the control plane's.
const PART_OF_DESCRIPTORS: usize = 8;

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
    _tcp: AbortOnDropHandle<()>,
}

/// The server of all containers of a node.
pub struct DnsServer {
    host: Arc<HostFile>,
    seed: u64,
    questions: Arc<Shares>,
    connections: Arc<Connections>,
    serving: Mutex<BTreeMap<TaskId, Serving>>,
}

impl DnsServer {
    /// A server that asks the resolvers a file of the host names at the time. The seed shuffles the answers.
    pub fn new(host: Arc<HostFile>, seed: u64) -> Self {
        let part = descriptors() / PART_OF_DESCRIPTORS;
        let questions =
            Shares::new(QUESTIONS_EACH, QUESTIONS_MAX.min(part / 3).max(1), AtShare::Refused);
        let shares =
            Shares::new(CONNECTIONS_EACH, CONNECTIONS_MAX.min(part).max(1), AtShare::Replaces);
        let connections = Arc::new(Connections { shares, short: AtomicBool::new(false) });
        Self { host, seed, questions, connections, serving: Mutex::default() }
    }
    /// What `resolv.conf` of a container says that is made now.
    pub fn resolv_conf(&self) -> String {
        self.host.now().for_containers()
    }
    /// Serves a container on this tokio runtime, until `stop` or for ever; what was served to it before ends. What its
    /// zones do not know is asked of its own resolvers, with its own options, or of the host's if it has none.
    pub fn serve(
        &self,
        task: TaskId,
        sockets: DnsSockets,
        view: Arc<ArcSwap<ContainerZones>>,
        resolvers: &[IpAddr],
        options: &[String],
    ) -> Result<(), Error> {
        let socket = |source| Error::Socket { task, source };
        let udp = tokio::net::UdpSocket::from_std(sockets.udp).map_err(socket)?;
        let tcp = tokio::net::TcpListener::from_std(sockets.tcp).map_err(socket)?;
        let hash = blake3::hash(task.to_string().as_bytes());
        let own = u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"));
        let shuffle = Arc::new(Shuffle::new(self.seed ^ own));
        let forwarder = Forwarder::new(task, &self.host, resolvers, options, &self.questions);
        let handler = Handler { view, forwarder: Arc::new(forwarder), shuffle };
        let udp = tokio::spawn(udp::serve(udp, handler.clone()));
        let tcp = tokio::spawn(tcp::serve(tcp, handler, task, Arc::clone(&self.connections)));
        let (udp, tcp) = (AbortOnDropHandle::new(udp), AbortOnDropHandle::new(tcp));
        self.serving().insert(task, Serving { _udp: udp, _tcp: tcp });
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

/// How many descriptors this process may have.
fn descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
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
        let Forwarded { answers, authorities, additionals, .. } = &found;
        let message = builder.build(metadata, answers, authorities, &[], additionals);
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
    /// The answer to one message, as bytes; `None` if there is nothing to say.
    async fn reply(&self, question: Vec<u8>, from: SocketAddr, by: Protocol) -> Option<Vec<u8>> {
        let id = u16::from_be_bytes(*question.first_chunk()?);
        let is_question = *question.get(2)? & 0x80 == 0;
        // An answer is never answered: two servers would talk for ever.
        if question.len() < HEADER || !is_question {
            return None;
        }
        let Ok(request) = Request::from_bytes(question, from, by) else {
            return Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().ok();
        };
        let (handle, mut answers) = BufDnsStreamHandle::new(from);
        let reply = ResponseHandle::new(from, handle, by);
        self.handle_request::<_, TokioTime>(&request, reply).await;
        Some(answers.next().await?.into_parts().0)
    }

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
                return self.ask_outside(forward, request, metadata).await;
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
        request: &Request,
        metadata: &mut Metadata,
    ) -> Forwarded {
        // On internal networks there is nothing else: a firm no, because C libraries repeat a question that was refused until they time out.
        if !forward {
            metadata.response_code = ResponseCode::NXDomain;
            return Forwarded::default();
        }
        let [query] = request.queries.queries() else { return Forwarded::default() };
        match self.forwarder.ask(request, query.original().clone()).await {
            Ok((code, found)) => {
                metadata.response_code = code;
                metadata.truncation = found.truncated;
                metadata.authentic_data = found.authentic;
                found
            }
            Err(code) => {
                metadata.response_code = code;
                Forwarded::default()
            }
        }
    }
}
