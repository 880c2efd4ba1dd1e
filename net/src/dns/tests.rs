//! The DNS server at real sockets: what goes over the wire, beside what `answer` decides.
//! How it is reached from inside a container, and forwarding, is tested with the overlay.

use std::collections::BTreeSet;
use std::net::{TcpListener, UdpSocket};

use hickory_proto::op::Query;
use hickory_proto::rr::RecordType;
use skein_events::id::NetworkId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const MANY: u8 = 200;

fn zone() -> Arc<Zone> {
    let ips = |range: std::ops::Range<u8>| range.map(|n| Ipv4Addr::new(10, 0, 1, n)).collect();
    let addresses = BTreeMap::from([
        ("web".to_owned(), ips(2..5)),
        ("many".to_owned(), ips(2..2 + MANY)),
        ("idle".to_owned(), Vec::new()),
    ]);
    let pointers = BTreeMap::from([(Ipv4Addr::new(10, 0, 1, 2), "web.1.abc".to_owned())]);
    let network = NetworkId::from_random([1; 16]);
    let (aliases, hosts) = (BTreeMap::new(), BTreeMap::new());
    let name = "front".to_owned();
    Arc::new(Zone { network, name, internal: false, addresses, aliases, hosts, pointers })
}

struct Served {
    server: DnsServer,
    view: Arc<ArcSwap<ContainerZones>>,
    udp: SocketAddr,
    tcp: SocketAddr,
    _dir: tempfile::TempDir,
}

fn task() -> TaskId {
    TaskId::from_random([1; 16])
}

/// A server whose host has no resolver.
fn serve(forward: bool) -> Served {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("resolv.conf");
    std::fs::write(&file, "nameserver 127.0.0.11\n").unwrap();
    let server = DnsServer::new(Arc::new(HostFile::new(&file)), 42);
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    udp.set_nonblocking(true).unwrap();
    tcp.set_nonblocking(true).unwrap();
    let (at_udp, at_tcp) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
    let view = Arc::new(ArcSwap::from_pointee(ContainerZones { zones: vec![zone()], forward }));
    server.serve(task(), DnsSockets { udp, tcp }, view.clone(), &[], &[]).unwrap();
    Served { server, view, udp: at_udp, tcp: at_tcp, _dir: dir }
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.metadata.recursion_desired = true;
    message
}

async fn ask_udp(served: &Served, question: &Message) -> Message {
    let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(served.udp).await.unwrap();
    client.send(&question.to_vec().unwrap()).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let n = client.recv(&mut buffer).await.unwrap();
    let answer = Message::from_vec(&buffer[..n]).unwrap();
    assert_eq!(answer.metadata.id, question.metadata.id);
    answer
}

async fn ask_tcp(served: &Served, question: &Message) -> Message {
    let mut client = tokio::net::TcpStream::connect(served.tcp).await.unwrap();
    let bytes = question.to_vec().unwrap();
    client.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
    client.write_all(&bytes).await.unwrap();
    let length = client.read_u16().await.unwrap();
    let mut buffer = vec![0; length.into()];
    client.read_exact(&mut buffer).await.unwrap();
    Message::from_vec(&buffer).unwrap()
}

fn addresses(message: &Message) -> Vec<Ipv4Addr> {
    let read = |record: &Record| match &record.data {
        RData::A(A(ip)) => Some(*ip),
        _ => None,
    };
    message.answers.iter().filter_map(read).collect()
}

#[tokio::test]
async fn all_addresses_come_in_changing_order_with_a_short_life() {
    let served = serve(true);
    let mut orders = BTreeSet::new();
    for _ in 0..60 {
        let answer = ask_udp(&served, &question("WEB.", RecordType::A)).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        assert!(answer.metadata.authoritative && answer.metadata.recursion_available);
        assert!(answer.answers.iter().all(|record| record.ttl == TTL));
        let mut found = addresses(&answer);
        orders.insert(found.clone());
        found.sort();
        assert_eq!(found, zone().addresses["web"]);
    }
    assert_eq!(orders.len(), 6, "three addresses have six orders");
}

#[tokio::test]
async fn every_answer_is_counted_also_one_given_again() {
    let served = serve(true);
    let before = MEASURES.answers("noerror");
    for _ in 0..20 {
        ask_udp(&served, &question("web.", RecordType::A)).await;
    }
    // The last may be counted after it was sent; the one after it waits its turn behind that.
    ask_udp(&served, &question("web.", RecordType::A)).await;
    assert!(MEASURES.answers("noerror") - before >= 20);
}

#[tokio::test]
async fn a_new_view_answers_at_once() {
    let served = serve(true);
    let asked = question("new.", RecordType::A);
    assert_eq!(ask_udp(&served, &asked).await.metadata.response_code, ResponseCode::Refused);
    let mut zone = Zone::clone(&zone());
    zone.addresses.insert("new".to_owned(), vec![Ipv4Addr::new(10, 0, 1, 77)]);
    served.view.store(Arc::new(ContainerZones { zones: vec![Arc::new(zone)], forward: true }));
    let answer = ask_udp(&served, &asked).await;
    assert_eq!(addresses(&answer), [Ipv4Addr::new(10, 0, 1, 77)]);
}

#[tokio::test]
async fn names_without_such_records_are_empty_not_unknown() {
    let served = serve(true);
    for (name, kind) in [
        ("web.", RecordType::AAAA),
        ("web.", RecordType::MX),
        ("idle.", RecordType::A),
        ("tasks.web.", RecordType::A),
    ] {
        let answer = ask_udp(&served, &question(name, kind)).await;
        let known = name != "tasks.web.";
        let code = if known { ResponseCode::NoError } else { ResponseCode::Refused };
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (code, 0), "{name}");
    }
    let answer = ask_udp(&served, &question("2.1.0.10.in-addr.arpa.", RecordType::PTR)).await;
    assert_eq!(answer.answers[0].data.to_string(), "web.1.abc.front.");
}

#[tokio::test]
async fn long_answers_are_cut_unless_the_client_takes_them() {
    let served = serve(true);
    let mut asked = question("many.", RecordType::A);
    let cut = ask_udp(&served, &asked).await;
    assert!(cut.metadata.truncation && cut.answers.len() < usize::from(MANY));
    assert!(cut.edns.is_none());
    let whole = ask_tcp(&served, &asked).await;
    assert!(!whole.metadata.truncation);
    assert_eq!(addresses(&whole).len(), usize::from(MANY));
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    asked.set_edns(edns);
    let answer = ask_udp(&served, &asked).await;
    assert!(!answer.metadata.truncation);
    assert_eq!(addresses(&answer).len(), usize::from(MANY));
    assert_eq!(answer.edns.unwrap().max_payload(), 4096);
}

#[tokio::test]
async fn internal_containers_get_a_firm_no() {
    let served = serve(false);
    let answer = ask_udp(&served, &question("example.org.", RecordType::A)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    assert!(!answer.metadata.recursion_available);
    assert_eq!(addresses(&ask_udp(&served, &question("web.", RecordType::A)).await).len(), 3);
}

#[tokio::test]
async fn what_is_no_plain_question_is_answered_so() {
    let served = serve(true);
    let mut update = question("web.", RecordType::A);
    update.metadata.op_code = OpCode::Notify;
    let mut two = question("web.", RecordType::A);
    two.add_query(Query::query(Name::from_ascii("idle.").unwrap(), RecordType::A));
    let mut newer = question("web.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1);
    newer.set_edns(edns);
    for (asked, code) in [
        (update, ResponseCode::NotImp),
        (two, ResponseCode::FormErr),
        (newer, ResponseCode::BADVERS),
    ] {
        let answer = ask_udp(&served, &asked).await;
        let high = answer.edns.as_ref().map_or(0, Edns::rcode_high);
        let found = ResponseCode::from(high, answer.metadata.response_code.low());
        // By number: BADSIG and BADVERS are both 16.
        assert_eq!(u16::from(found), u16::from(code));
    }
}

#[tokio::test]
async fn a_stopped_server_closes_its_sockets() {
    let served = serve(true);
    assert_eq!(served.server.tasks(), [task()]);
    served.server.stop(task());
    assert_eq!(served.server.tasks(), []);
    // Its spawns end at their next turn.
    while tokio::net::TcpStream::connect(served.tcp).await.is_ok() {
        tokio::task::yield_now().await;
    }
    while UdpSocket::bind(served.udp).is_err() {
        tokio::task::yield_now().await;
    }
}

/// Datagrams that are no question, nearly one, or one with a bit flipped: dropped or answered, and the next one is answered.
#[tokio::test]
async fn any_datagram_is_answered_or_dropped() {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    let served = serve(false);
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(served.udp).await.unwrap();
    let good = question("web.", RecordType::A).to_vec().unwrap();
    let flips = prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..6);
    let valid = good.clone();
    let broken = (flips, any::<prop::sample::Index>()).prop_map(move |(flips, cut)| {
        let mut bytes = valid.clone();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if cut.index(4) == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes
    });
    // Names may point back into the message: rings of pointers are as old as DNS.
    let pointers = prop::collection::vec(prop_oneof![Just(0xc0_u8), 0_u8..32, any::<u8>()], 0..80)
        .prop_map(|rest| [&[0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], &rest[..]].concat());
    let any_bytes = prop::collection::vec(any::<u8>(), 0..600);
    let datagrams = prop_oneof![any_bytes, broken, pointers];
    let mut runner = TestRunner::deterministic();
    for id in 0..300_u16 {
        let datagram = datagrams.new_tree(&mut runner).unwrap().current();
        socket.send(&datagram).await.unwrap();
        let mut asked = good.clone();
        // Ids from another range than any answer to noise is looked for.
        asked[..2].copy_from_slice(&(0x4000 + id).to_be_bytes());
        socket.send(&asked).await.unwrap();
        let mut answer = [0; 4096];
        loop {
            let length = socket.recv(&mut answer).await.unwrap();
            if answer[..2] == asked[..2] {
                let answer = Message::from_vec(&answer[..length]).unwrap();
                if answer.answers.len() == 3 {
                    break;
                }
            }
        }
    }
    served.server.stop(task());
}

/// Whether the server closes a connection now.
async fn closed(client: &mut tokio::net::TcpStream) {
    let end = client.read_u8().await;
    assert!(end.is_err(), "{end:?}");
}

#[tokio::test]
async fn one_container_has_so_many_connections_and_the_idle_ones_go_first() {
    let served = serve(true);
    let mut open = Vec::new();
    for _ in 0..4 * CONNECTIONS_EACH {
        open.push(tokio::net::TcpStream::connect(served.tcp).await.unwrap());
    }
    // All are accepted or closed when the newest is answered.
    let mut newest = open.pop().unwrap();
    let bytes = question("web.", RecordType::A).to_vec().unwrap();
    newest.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
    newest.write_all(&bytes).await.unwrap();
    assert!(newest.read_u16().await.unwrap() > 12);
    assert_eq!(served.server.connections.shares.count(), CONNECTIONS_EACH);
    for client in &mut open[..3 * CONNECTIONS_EACH] {
        closed(client).await;
    }
    drop((open, newest));
    while served.server.connections.shares.count() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_silent_or_drips_or_does_not_read_loses_its_connection() {
    let served = serve(true);
    let mut silent = tokio::net::TcpStream::connect(served.tcp).await.unwrap();
    let mut partial = tokio::net::TcpStream::connect(served.tcp).await.unwrap();
    partial.write_all(&[0, 40, 1, 2]).await.unwrap();
    closed(&mut silent).await;
    closed(&mut partial).await;
    // A byte now and then is no question.
    let mut drip = tokio::net::TcpStream::connect(served.tcp).await.unwrap();
    drip.write_all(&[0, 200]).await.unwrap();
    let start = tokio::time::Instant::now();
    while drip.write_all(&[0]).await.is_ok() {
        tokio::time::sleep_until(tokio::time::Instant::now() + std::time::Duration::from_secs(1))
            .await;
        assert!(start.elapsed().as_secs() < 30, "it drips for ever");
    }
    let mut long = tokio::net::TcpStream::connect(served.tcp).await.unwrap();
    long.write_all(&u16::MAX.to_be_bytes()).await.unwrap();
    closed(&mut long).await;
}
