//! Probes: statuses for machines, lines for people.

use expect_test::expect;

use super::client::Server;

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
