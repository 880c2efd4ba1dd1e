//! Questions for names, from inside a container to our sockets and on to the outside.

use super::*;

#[test]
fn questions_for_names_arrive_at_the_sockets() {
    use std::io::{Read as _, Write as _};
    let host = Host::new();
    let daemon = Daemon::start(&host, "one");
    daemon.sync(&overlay(&[2], &[], &[]));
    let dns = daemon.attach(task(2), &[plug(net(), 2)], Outside::Closed).dns.unwrap();
    dns.udp.set_nonblocking(false).unwrap();
    dns.tcp.set_nonblocking(false).unwrap();
    let inside = Netns::open(&daemon.run_root.join("netns").join(task(2).to_string())).unwrap();
    let (answer, taken) = netns::on_thread(|| {
        inside.enter().unwrap();
        // The container's own port 53 stays free.
        let taken = std::net::UdpSocket::bind(("0.0.0.0", 53)).is_ok();
        let client = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        client.connect(("127.0.0.11", 53)).unwrap();
        client.send(b"who").unwrap();
        let mut buffer = [0; 16];
        let (n, from) = dns.udp.recv_from(&mut buffer).unwrap();
        dns.udp.send_to(&buffer[..n], from).unwrap();
        let n = client.recv(&mut buffer).unwrap();
        let mut stream = std::net::TcpStream::connect(("127.0.0.11", 53)).unwrap();
        let (mut accepted, _) = dns.tcp.accept().unwrap();
        stream.write_all(b"me").unwrap();
        accepted.read_exact(&mut buffer[n..n + 2]).unwrap();
        (buffer[..n + 2].to_vec(), taken)
    });
    assert_eq!(answer, b"whome");
    assert!(taken);
}

/// Asks from inside a container as its C library would: through 127.0.0.11, our sockets, and the host's resolver.
#[test]
fn containers_find_names_and_the_outside() {
    look_around(&format!("nameserver 127.0.0.11\nnameserver {B}\n"), &[]);
}

/// The host has no resolver; the container's own one is asked.
#[test]
fn containers_ask_resolvers_of_their_own() {
    look_around("nameserver 127.0.0.11\n", &[B.into()]);
}

/// The file is the host's; the resolvers are the container's.
fn look_around(host_file: &str, resolvers: &[std::net::IpAddr]) {
    use crate::dns::{ContainerZones, DnsServer, HostFile};
    use std::sync::Arc;

    let (a, b) = two_hosts();
    let daemon = Daemon::start(&a, "one");
    daemon.sync(&overlay(&[2], &[], &[]));
    let attached = daemon.attach(task(2), &[plug(net(), 2)], Outside::Closed);
    let zone = skein_events::view::dns::Zone {
        network: net(),
        name: "front".to_owned(),
        internal: false,
        addresses: [("web".to_owned(), vec![leg(2).ip, leg(3).ip])].into(),
        aliases: [].into(),
        hosts: [].into(),
        pointers: [(leg(2).ip, "web.1.abc".to_owned())].into(),
    };
    let zones = ContainerZones { zones: vec![Arc::new(zone)], forward: true };
    let view = Arc::new(arc_swap::ArcSwap::from_pointee(zones));
    let resolv_conf = daemon.run_root.join("resolv.conf");
    std::fs::write(&resolv_conf, host_file).unwrap();
    // The resolver, on the other host: it knows every name under one address, and none that begins with "no".
    let resolver = netns::on_thread(|| {
        b.0.enter().unwrap();
        std::net::UdpSocket::bind((B, 53)).unwrap()
    });
    std::thread::scope(|scope| {
        let resolver = &resolver;
        scope.spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((n, from)) = resolver.recv_from(&mut buffer) {
                if n == 0 {
                    return;
                }
                resolver.send_to(&upstream(&buffer[..n]), from).unwrap();
            }
        });
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (host, dns) = (&a, attached.dns.unwrap());
        let (path, serving) = (&resolv_conf, view.clone());
        scope.spawn(move || {
            host.0.enter().unwrap();
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = DnsServer::new(Arc::new(HostFile::new(path)), 1);
                server.serve(task(2), dns, serving, resolvers, &[]).unwrap();
                ready.send(()).unwrap();
                let _ = stopped.await;
            });
        });
        is_ready.recv().unwrap();
        let look_up = |name: &str| {
            let output = daemon.in_task(task(2), &format!("busybox nslookup {name} 127.0.0.11"));
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let looked_up =
            [look_up("web"), look_up("web.front"), look_up("10.0.1.2"), look_up("example.org")];
        let nothing = look_up("no.example.org");
        view.store(Arc::new(ContainerZones {
            forward: false,
            ..ContainerZones::clone(&view.load())
        }));
        let internal = look_up("example.org");
        stop.send(()).unwrap();
        let end = || std::net::UdpSocket::bind((B, 0)).unwrap().send_to(&[], (B, 53)).unwrap();
        netns::on_thread(|| {
            b.0.enter().unwrap();
            end();
        });
        for text in &looked_up[..2] {
            assert!(text.contains("10.0.1.2") && text.contains("10.0.1.3"), "{text}");
        }
        assert!(looked_up[2].contains("web.1.abc.front"), "{}", looked_up[2]);
        assert!(looked_up[3].contains("192.0.2.7"), "{}", looked_up[3]);
        assert!(nothing.contains("NXDOMAIN"), "{nothing}");
        assert!(internal.contains("NXDOMAIN") && !internal.contains("192.0.2.7"), "{internal}");
    });
}

/// What the resolver of that test answers.
fn upstream(question: &[u8]) -> Vec<u8> {
    use hickory_proto::op::{Message, ResponseCode};
    use hickory_proto::rr::rdata::A;
    use hickory_proto::rr::{RData, Record, RecordType};

    let asked = Message::from_vec(question).unwrap();
    let query = asked.queries[0].clone();
    let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
    let known = !query.name().to_string().starts_with("no.");
    if known && query.query_type() == RecordType::A {
        let ip = A(Ipv4Addr::new(192, 0, 2, 7));
        answer.add_answer(Record::from_rdata(query.name().clone(), 60, RData::A(ip)));
    } else if !known {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    answer.add_query(query);
    answer.to_vec().unwrap()
}
