//! Asks the host's resolvers what our zones do not know, or those a container has of its own, as a C library would ask them.
//! Nothing is kept: an answer belongs to the container that asked, so that none can plant one for another.
//!
//! The order decides whose answer counts, and no resolver costs the time of another: the second is asked while the first is
//! still waited for. Bounded in number and time; no resolver of its own choice if there is none.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::domain::usage::{IN_ADDR_ARPA_127, INVALID, IP6_ARPA_1, LOCALHOST, ONION};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_server::server::Request;
use skein_events::id::TaskId;
use tokio::time::Instant;

use super::TTL;
use super::host::{HostFile, Resolvers, Tries};
use super::share::Shares;
use super::upstream::{self, DATAGRAM_MAX};
use crate::measures::MEASURES;

/// Given to the resolvers before another one's answer is taken: Docker's, and below the 5 s after which a C library asks again.
const PATIENCE: Duration = Duration::from_secs(4);
/// Given to a question as a whole: after twice 5 s nobody waits for the answer.
const PATIENCE_IN_ALL: Duration = Duration::from_secs(10);
/// Smallest datagram that may be offered (RFC 6891 §6.2.5).
const DATAGRAM_MIN: u16 = 512;

/// What came back.
#[derive(Debug, Default)]
pub(super) struct Forwarded {
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
    /// Whether that is not all of it.
    pub(super) truncated: bool,
    /// Whether the resolver has checked its signatures.
    pub(super) authentic: bool,
}

/// Who is asked.
#[derive(Debug)]
enum Whom {
    /// Those the host asks itself, whoever they are at the time.
    Host(Arc<HostFile>),
    /// A container's own.
    Own(Arc<Resolvers>),
}

/// The way to the resolvers of one container.
pub(super) struct Forwarder {
    whom: Whom,
    task: TaskId,
    /// Questions under way, over UDP and TCP together.
    questions: Arc<Shares>,
    /// Where `rotate` is.
    turn: AtomicUsize,
}

impl Forwarder {
    /// To resolvers of its own, if there are any, or else to the host's.
    pub(super) fn new(
        task: TaskId,
        host: &Arc<HostFile>,
        own: &[IpAddr],
        options: &[String],
        questions: &Arc<Shares>,
    ) -> Self {
        let whom = match own {
            [] => Whom::Host(Arc::clone(host)),
            own => Whom::Own(Arc::new(Resolvers::own(own, options))),
        };
        Self { whom, task, questions: Arc::clone(questions), turn: AtomicUsize::new(0) }
    }

    /// What the resolvers answer, with its code, or the code to answer with.
    pub(super) async fn ask(
        &self,
        request: &Request,
        query: Query,
    ) -> Result<(ResponseCode, Forwarded), ResponseCode> {
        if let Some(known) = special(&query) {
            return known;
        }
        let resolvers = match &self.whom {
            Whom::Host(file) => file.now(),
            Whom::Own(resolvers) => Arc::clone(resolvers),
        };
        let tries = resolvers.tries();
        let mut servers = resolvers.servers.clone();
        if servers.is_empty() {
            return Err(ResponseCode::Refused);
        }
        if tries.rotate {
            let by = self.turn.fetch_add(1, Ordering::Relaxed) % servers.len();
            servers.rotate_left(by);
        }
        let Some(place) = self.questions.take(self.task) else {
            MEASURES.shed("question");
            return Err(ResponseCode::Refused);
        };
        let question = question(request, query);
        let answer = tokio::select! {
            answer = ask_in_order(&servers, &question, tries) => answer?,
            () = place.taken() => {
                MEASURES.shed("question");
                return Err(ResponseCode::Refused);
            }
        };
        let header = &answer.metadata;
        let (truncated, authentic) = (header.truncation, header.authentic_data);
        let code = header.response_code;
        let Message { answers, authorities, additionals, .. } = answer;
        Ok((code, Forwarded { answers, authorities, additionals, truncated, authentic }))
    }
}

/// Names that no resolver is asked for (RFC 6761 §6.3 and §6.4, RFC 7686): some of them would tell a stranger's address.
fn special(query: &Query) -> Option<Result<(ResponseCode, Forwarded), ResponseCode>> {
    let (name, kind) = (query.name(), query.query_type());
    if INVALID.zone_of(name) || ONION.zone_of(name) {
        return Some(Err(ResponseCode::NXDomain));
    }
    let here =
        LOCALHOST.zone_of(name) || IN_ADDR_ARPA_127.zone_of(name) || IP6_ARPA_1.zone_of(name);
    if !here {
        return None;
    }
    let forwards = LOCALHOST.zone_of(name);
    let data = match kind {
        RecordType::A if forwards => Some(RData::A(A(Ipv4Addr::LOCALHOST))),
        RecordType::AAAA if forwards => Some(RData::AAAA(AAAA(Ipv6Addr::LOCALHOST))),
        RecordType::PTR if !forwards => Some(RData::PTR(PTR(Name::clone(&LOCALHOST)))),
        _ => None,
    };
    let record = |data| Record::from_rdata(name.clone(), TTL, data);
    let found =
        Forwarded { answers: data.map(record).into_iter().collect(), ..Forwarded::default() };
    Some(Ok((ResponseCode::NoError, found)))
}

/// The question as it is asked outside. Of the options only what changes the answer: cookies and the like are between neighbours.
fn question(request: &Request, query: Query) -> Message {
    let mut question = Message::query();
    question.metadata.recursion_desired = request.metadata.recursion_desired;
    question.metadata.checking_disabled = request.metadata.checking_disabled;
    question.metadata.authentic_data = request.metadata.authentic_data;
    question.add_query(query);
    if let Some(asked) = &request.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(asked.max_payload().clamp(DATAGRAM_MIN, DATAGRAM_MAX)).set_version(0);
        edns.set_dnssec_ok(asked.flags().dnssec_ok);
        question.set_edns(edns);
    }
    question
}

/// The answer of the first resolver that has one: an earlier one's counts for as long as it may still come.
async fn ask_in_order(
    servers: &[SocketAddr],
    question: &Message,
    tries: Tries,
) -> Result<Message, ResponseCode> {
    let patience = tries.timeout.min(PATIENCE);
    // What a C library would wait for one resolver alone: the second time twice as long, and so on.
    let rounds = 2_u32.saturating_pow(tries.attempts) - 1;
    let in_all = patience.saturating_mul(rounds).min(PATIENCE_IN_ALL);
    let count = u32::try_from(servers.len()).expect("a handful");
    let tries = Tries { timeout: patience, ..tries };
    let start = Instant::now();
    let mut next = servers.iter().enumerate();
    let mut asked = FuturesUnordered::new();
    let mut open: Vec<usize> = Vec::new();
    let mut answers: BTreeMap<usize, Message> = BTreeMap::new();
    let mut failure = None;
    let (mut due, mut late) = (start, false);
    loop {
        tokio::select! {
            biased;
            Some((rank, outcome)) = asked.next(), if !asked.is_empty() => {
                open.retain(|other| *other != rank);
                match outcome {
                    Ok(answer) => drop(answers.insert(rank, answer)),
                    Err(code) => {
                        failure = failure.or(code);
                        due = Instant::now();
                    }
                }
            }
            () = tokio::time::sleep_until(due), if next.len() > 0 => {
                let (rank, server) = next.next().expect("there is one more");
                open.push(rank);
                // An id of its own for each.
                let mut question = question.clone();
                question.metadata.id = Message::query().metadata.id;
                let outcome = upstream::ask(*server, question, tries);
                asked.push(async move { (rank, outcome.await) });
                due = Instant::now() + patience / count;
            }
            () = tokio::time::sleep_until(start + patience), if !late => late = true,
            () = tokio::time::sleep_until(start + in_all) => break,
        }
        if let Some(best) = answers.first_entry()
            && (late || open.iter().all(|rank| rank > best.key()))
        {
            return Ok(best.remove());
        }
        let all_said = open.is_empty() && next.len() == 0;
        if all_said || (late && failure.is_some()) {
            break;
        }
    }
    Err(failure.unwrap_or(ResponseCode::ServFail))
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::OpCode;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, UdpSocket};
    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    /// What a resolver does with a question.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Way {
        /// Says that the name has the address 192.0.2.N.
        Knows(u8),
        /// The same, after so many seconds.
        Slow(u8, u64),
        /// The same, but only over TCP; over UDP an answer that was cut off.
        Cut(u8),
        /// Answers that were cut off, and no TCP.
        CutAlways,
        /// Answers with another id, then as another question, then with noise; then it knows.
        Lies(u8),
        /// The same, and never knows.
        LiesAlways,
        /// Knows at the second time it is asked.
        Second(u8),
        Silent,
        /// Nobody is there: the system says so.
        Nobody,
        Says(ResponseCode),
        /// Refers to others.
        Lame,
    }
    use Way::*;

    struct Server {
        at: SocketAddr,
        _udp: Option<AbortOnDropHandle<()>>,
        _tcp: Option<AbortOnDropHandle<()>>,
    }

    fn answer(asked: &Message, last: u8) -> Message {
        let mut answer = Message::response(asked.metadata.id, OpCode::Query);
        answer.metadata.recursion_available = true;
        answer.add_queries(asked.queries.clone());
        let name = asked.queries[0].name().clone();
        let ip = A(Ipv4Addr::new(192, 0, 2, last));
        answer.add_answer(Record::from_rdata(name, 60, RData::A(ip)));
        answer
    }

    async fn server(way: Way) -> Server {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(at).await.unwrap();
        if way == Nobody {
            return Server { at, _udp: None, _tcp: None };
        }
        let udp = tokio::spawn(async move {
            let mut buffer = [0; 600];
            let mut times = 0;
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                let asked = Message::from_vec(&buffer[..length]).unwrap();
                times += 1;
                let mut said = Vec::new();
                match way {
                    Knows(n) => said.push(answer(&asked, n).to_vec().unwrap()),
                    Slow(n, seconds) => {
                        let due = Instant::now() + Duration::from_secs(seconds);
                        tokio::time::sleep_until(due).await;
                        said.push(answer(&asked, n).to_vec().unwrap());
                    }
                    Cut(_) | CutAlways => {
                        let mut cut = answer(&asked, 250);
                        cut.metadata.truncation = true;
                        said.push(cut.to_vec().unwrap());
                    }
                    Lies(_) | LiesAlways => {
                        let mut other = answer(&asked, 251);
                        other.metadata.id ^= 1;
                        said.push(other.to_vec().unwrap());
                        let mut other = answer(&asked, 252);
                        other.queries[0].set_name(Name::from_ascii("b.example.").unwrap());
                        said.push(other.to_vec().unwrap());
                        said.push(asked.metadata.id.to_be_bytes().repeat(20));
                        if let Lies(n) = way {
                            said.push(answer(&asked, n).to_vec().unwrap());
                        }
                    }
                    Second(n) if times == 2 => said.push(answer(&asked, n).to_vec().unwrap()),
                    Second(_) | Silent | Nobody => {}
                    Says(code) => {
                        let mut no = Message::response(asked.metadata.id, OpCode::Query);
                        no.metadata.response_code = code;
                        no.metadata.recursion_available = true;
                        no.add_queries(asked.queries.clone());
                        said.push(no.to_vec().unwrap());
                    }
                    Lame => {
                        let mut no = Message::response(asked.metadata.id, OpCode::Query);
                        no.add_queries(asked.queries.clone());
                        said.push(no.to_vec().unwrap());
                    }
                }
                for bytes in said {
                    udp.send_to(&bytes, from).await.unwrap();
                }
            }
        });
        let tcp = matches!(way, Cut(_)).then(|| {
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = tcp.accept().await {
                    let mut question = vec![0; stream.read_u16().await.unwrap().into()];
                    stream.read_exact(&mut question).await.unwrap();
                    let Cut(n) = way else { return };
                    let said = answer(&Message::from_vec(&question).unwrap(), n).to_vec().unwrap();
                    stream.write_u16(u16::try_from(said.len()).unwrap()).await.unwrap();
                    stream.write_all(&said).await.unwrap();
                }
            })
        });
        let held = |task| Some(AbortOnDropHandle::new(task));
        Server { at, _udp: held(udp), _tcp: tcp.and_then(held) }
    }

    fn asked() -> Message {
        let mut question = Message::query();
        let name = Name::from_ascii("a.example.").unwrap();
        question.add_query(Query::query(name, RecordType::A));
        question
    }

    /// The last octet of the answer, or the code; and after how many tenths of a second.
    async fn outcome(ways: &[Way], options: &str) -> (Result<u8, ResponseCode>, u128) {
        let mut servers = Vec::new();
        for way in ways {
            servers.push(server(*way).await);
        }
        let at: Vec<_> = servers.iter().map(|s| s.at).collect();
        let tries = Resolvers::read(&format!("options {options}")).tries();
        let start = Instant::now();
        let found = ask_in_order(&at, &asked(), tries).await;
        let found = found.map(|message| match message.answers.first().map(|r| &r.data) {
            Some(RData::A(A(ip))) => ip.octets()[3],
            _ => 0,
        });
        (found, start.elapsed().as_millis() / 100)
    }

    /// Who is asked, by which options; what comes; after how many tenths of a second at most.
    type Row<'a> = (&'a [Way], &'a str, Result<u8, ResponseCode>, u128);

    #[tokio::test(start_paused = true)]
    async fn every_resolver_is_asked_as_a_c_library_would() {
        let serv_fail = ResponseCode::ServFail;
        let table: &[Row<'_>] = &[
            (&[Knows(1)], "", Ok(1), 0),
            (&[Knows(1), Knows(2)], "", Ok(1), 0),
            // One that is not there or does not help costs no time, in each place.
            (&[Nobody, Knows(2)], "", Ok(2), 0),
            (&[Nobody, Nobody, Knows(3)], "", Ok(3), 0),
            (&[Says(serv_fail), Knows(2)], "", Ok(2), 0),
            (&[Says(ResponseCode::Refused), Nobody, Knows(3)], "", Ok(3), 0),
            (&[Says(ResponseCode::NotImp), Lame, Knows(3)], "", Ok(3), 0),
            // A silent one costs what a C library gives it at most, wherever it is.
            (&[Silent, Knows(2)], "", Ok(2), 40),
            (&[Silent, Silent, Knows(3)], "", Ok(3), 40),
            (&[Silent, Nobody, Knows(3)], "", Ok(3), 40),
            (&[Nobody, Silent, Knows(3)], "", Ok(3), 40),
            (&[LiesAlways, Knows(2)], "", Ok(2), 40),
            (&[Silent, Says(serv_fail), Knows(3)], "", Ok(3), 40),
            (&[Silent, Knows(2)], "timeout:1", Ok(2), 10),
            (&[Silent, Silent, Knows(3)], "timeout:2 attempts:1", Ok(3), 20),
            // A slow one is waited for, and counts before the next.
            (&[Slow(1, 3)], "", Ok(1), 30),
            (&[Slow(1, 3), Knows(2)], "", Ok(1), 30),
            (&[Slow(1, 3), Silent, Silent], "", Ok(1), 30),
            (&[Silent, Slow(2, 3), Nobody], "", Ok(2), 45),
            (&[Slow(1, 6)], "", Ok(1), 60),
            (&[Slow(1, 3), Knows(2)], "timeout:2", Ok(2), 20),
            // What was lost is asked again.
            (&[Second(1)], "", Ok(1), 40),
            (&[Second(1)], "timeout:1", Ok(1), 10),
            (&[Second(1)], "attempts:1", Err(serv_fail), 40),
            (&[Lies(1)], "", Ok(1), 0),
            (&[Cut(1), Knows(2)], "", Ok(1), 0),
            (&[Cut(1)], "use-vc", Ok(1), 0),
            (&[CutAlways], "timeout:1", Ok(250), 30),
            // Nobody helps: what the first said, and never later than anybody waits.
            (&[Nobody], "", Err(serv_fail), 0),
            (&[Nobody, Says(ResponseCode::Refused)], "", Err(ResponseCode::Refused), 0),
            (&[Says(serv_fail), Says(ResponseCode::Refused)], "", Err(serv_fail), 0),
            (&[Silent, Says(ResponseCode::Refused)], "", Err(ResponseCode::Refused), 40),
            (&[Silent], "", Err(serv_fail), 100),
            (&[Silent, Silent, Silent], "timeout:30 attempts:5", Err(serv_fail), 100),
            (&[Silent], "timeout:1 attempts:1", Err(serv_fail), 10),
            // No is an answer.
            (&[Says(ResponseCode::NXDomain), Knows(2)], "", Ok(0), 0),
            (&[Says(ResponseCode::NoError), Knows(2)], "", Ok(0), 0),
        ];
        for (ways, options, expected, at_most) in table {
            let (found, took) = outcome(ways, options).await;
            assert_eq!(found, *expected, "{ways:?} {options}");
            assert!(took <= *at_most, "{ways:?} {options}: {took}");
        }
    }

    #[test]
    fn names_that_are_nobodys_are_asked_of_nobody() {
        let said = |name: &str, kind| {
            let known = special(&Query::query(Name::from_ascii(name).unwrap(), kind))?;
            Some(known.map(|(_, found)| found.answers.first().map(|r| r.data.to_string())))
        };
        let no = Some(Err(ResponseCode::NXDomain));
        assert_eq!(said("nobody.Invalid.", RecordType::A), no);
        assert_eq!(said("a.b.onion.", RecordType::AAAA), no);
        let yes = |text: &str| Some(Ok(Some(text.to_owned())));
        assert_eq!(said("localhost.", RecordType::A), yes("127.0.0.1"));
        assert_eq!(said("x.LOCALHOST.", RecordType::AAAA), yes("::1"));
        assert_eq!(said("9.0.0.127.in-addr.arpa.", RecordType::PTR), yes("localhost."));
        assert_eq!(said("localhost.", RecordType::MX), Some(Ok(None)));
        for name in ["example.org.", "invalid.org.", "localhost.org.", "notlocalhost.", "lan."] {
            assert_eq!(said(name, RecordType::A), None, "{name}");
        }
    }

    #[tokio::test]
    async fn a_share_is_a_containers_own_and_is_given_back() {
        let silent = server(Silent).await;
        let questions = Shares::new(3, 100, super::super::share::AtShare::Refused);
        let forwarder = |n: u8| Forwarder {
            whom: Whom::Own(Arc::new(Resolvers {
                servers: vec![silent.at],
                ..Resolvers::default()
            })),
            task: TaskId::from_random([n; 16]),
            questions: Arc::clone(&questions),
            turn: AtomicUsize::new(0),
        };
        let (greedy, modest) = (forwarder(1), forwarder(2));
        let bytes = asked().to_vec().unwrap();
        let by = hickory_server::net::xfer::Protocol::Udp;
        let request = Request::from_bytes(bytes, silent.at, by).unwrap();
        let query = || asked().queries[0].clone();
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(greedy.ask(&request, query()))).collect();
        for question in &mut waiting {
            assert!(futures::poll!(question).is_pending());
        }
        assert_eq!(greedy.ask(&request, query()).await.unwrap_err(), ResponseCode::Refused);
        let mut other = Box::pin(modest.ask(&request, query()));
        assert!(futures::poll!(&mut other).is_pending(), "another container is not refused");
        assert_eq!(questions.count(), 4);
        drop((waiting, other));
        assert_eq!(questions.count(), 0);
    }

    #[tokio::test]
    async fn rotation_begins_with_another_each_time_and_ports_and_ids_differ() {
        let sockets = [
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
        ];
        let servers = sockets.iter().map(|s| s.local_addr().unwrap()).collect();
        let options = vec!["rotate".to_owned()];
        let own = Resolvers { servers, search: Vec::new(), options };
        let forwarder = Forwarder {
            whom: Whom::Own(Arc::new(own)),
            task: TaskId::from_random([1; 16]),
            questions: Shares::new(99, 99, super::super::share::AtShare::Refused),
            turn: AtomicUsize::new(0),
        };
        let by = hickory_server::net::xfer::Protocol::Udp;
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..40 {
            let bytes = asked().to_vec().unwrap();
            let request = Request::from_bytes(bytes, sockets[0].local_addr().unwrap(), by).unwrap();
            let mut asking = Box::pin(forwarder.ask(&request, asked().queries[0].clone()));
            let mut buffer = [0; 600];
            let receiving = sockets[n % 2].recv_from(&mut buffer);
            let (length, from) = tokio::select! {
                _ = &mut asking => panic!("nobody answered"),
                received = receiving => received.unwrap(),
            };
            let question = Message::from_vec(&buffer[..length]).unwrap();
            seen.insert((from.port(), question.metadata.id));
            let said = answer(&question, 7).to_vec().unwrap();
            sockets[n % 2].send_to(&said, from).await.unwrap();
            assert!(asking.await.is_ok());
        }
        let ports: std::collections::BTreeSet<_> = seen.iter().map(|(port, _)| port).collect();
        assert!(seen.len() > 35 && ports.len() > 20, "{seen:?}");
    }
}
