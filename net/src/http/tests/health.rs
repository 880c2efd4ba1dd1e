//! Probes: statuses for machines, lines for people.

use expect_test::expect;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::client::Server;
use super::docker::{INIT, NETWORK, SERVICE};
use super::fake::Fake;

#[tokio::test]
async fn probes_answer_by_status_and_say_what_is_wrong() {
    let server = Server::start();
    let healthy = server.get("/healthz").await;
    assert_eq!((healthy.status.as_u16(), healthy.text()), (200, "threads: ok\n".to_owned()));
    assert_eq!(server.get("/readyz").await.status.as_u16(), 200);
    server.fake.trouble("0 bytes are left in /var/lib/skein");
    let unready = server.get("/readyz").await;
    assert_eq!(unready.status.as_u16(), 503);
    expect![[r#"
        threads: ok
        disk: 0 bytes are left in /var/lib/skein
    "#]]
    .assert_eq(&unready.text());
    assert_eq!(server.get("/healthz").await.status.as_u16(), 200, "it lives all the same");
    server.stop().await;
}

#[tokio::test]
async fn metrics_have_the_names_dashboards_know() {
    let server = Server::start();
    let before = server.get("/metrics").await;
    assert_eq!(before.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(before.text().contains("\nengine_daemon_engine_cpus_cpus 2\n"), "{}", before.text());
    assert!(!before.text().contains("swarm_manager_leader"), "not in a swarm");
    server.post("/swarm/init", INIT).await.done(200);
    let consumer = serde_json::json!({"name": "audit", "from": "now"}).to_string();
    server.post("/skein/v1/consumers", &consumer).await.done(201);
    server.post("/networks/create", NETWORK).await.done(201);
    server.post("/services/create", SERVICE).await.done(201);
    let text = server.get("/metrics").await.text();
    for line in [
        "swarm_manager_leader 1",
        "swarm_node_manager 1",
        "swarm_manager_services_total 1",
        "swarm_manager_networks_total 1",
        "swarm_manager_nodes{state=\"ready\"} 1",
        "swarm_manager_nodes{state=\"down\"} 0",
        "swarm_manager_tasks_total{state=\"failed\"} 0",
        "skein_log_apply_lag_records 0",
        "skein_leader_known 1",
        "# TYPE skein_commit_seconds histogram",
        "# TYPE swarm_raft_transaction_latency_seconds histogram",
        "# TYPE engine_daemon_events_total counter",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
    }
    let lag = server.get("/skein/v1/consumers").await.done(200)[0]["lag"].as_u64().unwrap();
    let told = format!("skein_consumer_lag_events{{consumer=\"audit\"}} {lag}");
    assert!(lag > 0 && text.lines().any(|line| line == told), "{told} is not in\n{text}");
    let starts = |name: &str| text.lines().any(|line| line.starts_with(name));
    assert!(starts("swarm_node_info{node_id=\""), "{text}");
    assert!(starts("skein_http_requests_total{method=\"POST\",code=\"201\"} "), "{text}");
    assert!(starts("process_resident_memory_bytes "), "{text}");
    // Whatever is told is a sample or a remark that a scraper can read.
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        let (_, value) = line.rsplit_once(' ').expect(line);
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_listener_for_metrics_tells_nothing_else() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let closing = CancellationToken::new();
    let serving = tokio::spawn(crate::http::serve_metrics(listener, Fake::new(), closing.clone()));
    let told = async |path: &str| {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    };
    assert!(told("/metrics").await.contains("\nskein_build_info{"));
    assert!(told("/healthz").await.starts_with("HTTP/1.1 200 OK\r\n"));
    for path in ["/services", "/info", "/skein/v1/log", "/v1.41/nodes"] {
        assert!(told(path).await.starts_with("HTTP/1.1 404 "), "{path}");
    }
    closing.cancel();
    serving.await.unwrap();
}
