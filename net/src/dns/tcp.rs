//! A container's questions over TCP: so many connections a container, each with a deadline for everything it is waited for.
//!
//! Separate from hickory's server, which takes every connection there is: a container could have all descriptors of the daemon.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hickory_server::net::xfer::Protocol;
use skein_events::id::TaskId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::Handler;
use super::batch::QUESTION_MAX;
use super::share::{Place, Shares};
use crate::measures::MEASURES;

/// How long a client may take for its next whole question, and for taking an answer: as long as a resolver waits for one.
/// Also for a question that comes byte by byte.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nothing is accepted when the system has no descriptor left: others give theirs back meanwhile.
const PAUSE: Duration = Duration::from_millis(200);

/// What the servers of all containers share.
pub(super) struct Connections {
    pub(super) shares: Arc<Shares>,
    /// Whether it was said that none can be accepted.
    pub(super) short: AtomicBool,
}

/// Answers until it is aborted.
pub(super) async fn serve(
    listener: TcpListener,
    handler: Handler,
    task: TaskId,
    connections: Arc<Connections>,
) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    connections.short.store(false, Ordering::Relaxed);
                    // The place first: when it is there, whoever had to give way has been told.
                    match connections.shares.take(task) {
                        Some(place) => drop(open.spawn(converse(stream, from, handler.clone(), place))),
                        None => MEASURES.shed("connection"),
                    }
                }
                Err(error) => {
                    // One that went away before it was accepted is nobody's trouble; every other error lasts a while.
                    if error.kind() == std::io::ErrorKind::ConnectionAborted {
                        continue;
                    }
                    if !connections.short.swap(true, Ordering::Relaxed) {
                        tracing::warn!(%task, %error, "cannot accept containers' connections for names");
                    }
                    sleep_until(Instant::now() + PAUSE).await;
                }
            },
            Some(_) = open.join_next() => {}
        }
    }
}

/// Answers one connection, a question after the other, until it ends, is silent or gives way.
async fn converse(mut stream: TcpStream, from: SocketAddr, handler: Handler, mut place: Place) {
    loop {
        place.idle();
        let question = tokio::select! {
            question = timeout(PATIENCE, read(&mut stream)) => question,
            () = place.taken() => return MEASURES.shed("connection"),
        };
        let Ok(Some(question)) = question else { return };
        place.busy();
        let answered = tokio::select! {
            answered = answer(&mut stream, from, &handler, question) => answered,
            () = place.taken() => return MEASURES.shed("connection"),
        };
        if answered.is_none() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = usize::from(stream.read_u16().await.ok()?);
    if length > QUESTION_MAX {
        return None;
    }
    let mut question = vec![0; length];
    stream.read_exact(&mut question).await.ok()?;
    Some(question)
}

async fn answer(
    stream: &mut TcpStream,
    from: SocketAddr,
    handler: &Handler,
    question: Vec<u8>,
) -> Option<()> {
    let answer = handler.reply(question, from, Protocol::Tcp).await?;
    let length = u16::try_from(answer.len()).ok()?;
    let answer = [&length.to_be_bytes(), &*answer].concat();
    timeout(PATIENCE, stream.write_all(&answer)).await.ok()?.ok()
}
