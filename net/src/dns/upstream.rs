//! One question to one resolver: over UDP, asked again while it is silent; over TCP if the answer was cut off.
//! From a socket of its own each time, so that who forges an answer has to guess a port beside the id.
//!
//! Of what arrives only an answer to this question counts; the rest is as if it had not come.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::Instant;

use super::host::Tries;

/// Longest datagram read: the most that is ever offered.
pub(super) const DATAGRAM_MAX: u16 = 4_096;
const HEADER: usize = 12;

/// What became of a question.
pub(super) type Outcome = Result<Message, Option<ResponseCode>>;

/// Asks one resolver. Ends only with an answer or a failure: how long it is waited for is the caller's to say. The error is
/// what the resolver said instead, if it said anything.
pub(super) async fn ask(to: SocketAddr, question: Message, tries: Tries) -> Outcome {
    let bytes = question.to_vec().map_err(|_| None)?;
    if tries.tcp {
        return judge(over_tcp(to, &question, &bytes).await.map_err(|_| None)?);
    }
    let answer = over_udp(to, &question, &bytes, tries).await.map_err(|_| None)?;
    if !answer.metadata.truncation {
        return judge(answer);
    }
    // A resolver that cannot be asked so has at least said some of it.
    judge(over_tcp(to, &question, &bytes).await.unwrap_or(answer))
}

/// An answer that another resolver may know better than (glibc's `res_send.c`) is none.
fn judge(answer: Message) -> Outcome {
    let header = &answer.metadata;
    let helpless = match header.response_code {
        ResponseCode::ServFail | ResponseCode::NotImp | ResponseCode::Refused => true,
        // It refers to others instead of asking them.
        ResponseCode::NoError => {
            let empty = answer.answers.is_empty() && answer.additionals.is_empty();
            empty && !header.authoritative && !header.recursion_available
        }
        _ => false,
    };
    if !helpless {
        return Ok(answer);
    }
    let code = header.response_code;
    Err(Some(if code == ResponseCode::NoError { ResponseCode::ServFail } else { code }))
}

async fn over_udp(
    to: SocketAddr,
    question: &Message,
    bytes: &[u8],
    tries: Tries,
) -> io::Result<Message> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    // Connected: datagrams of others are not received, and a port that nobody has is an error at once.
    socket.connect(to).await?;
    let mut left = tries.attempts;
    let mut pause = tries.timeout;
    let mut again = Instant::now();
    loop {
        tokio::select! {
            biased;
            ready = socket.ready(Interest::READABLE | Interest::ERROR) => {
                if ready?.is_error() {
                    refused(&socket)?;
                }
                if let Some(answer) = received(&socket, question)? {
                    return Ok(answer);
                }
            }
            () = tokio::time::sleep_until(again), if left > 0 => {
                socket.send(bytes).await?;
                left -= 1;
                again = Instant::now() + pause;
                // Each time twice as patient, as a C library is.
                pause = pause.saturating_mul(2).min(Duration::from_secs(60));
            }
        }
    }
}

/// The system's word that nobody is there, which makes a socket not readable.
fn refused(socket: &UdpSocket) -> io::Result<()> {
    let look = || match socket.take_error()? {
        Some(error) => Err(error),
        // None any more: the next one is waited for.
        None => Err(io::ErrorKind::WouldBlock.into()),
    };
    match socket.try_io(Interest::ERROR, look) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}

/// The answer, if it is what waits at the socket.
fn received(socket: &UdpSocket, question: &Message) -> io::Result<Option<Message>> {
    let mut buffer = vec![0; DATAGRAM_MAX.into()];
    match socket.try_recv(&mut buffer) {
        Ok(length) => Ok(answer_to(question, &buffer[..length])),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

async fn over_tcp(to: SocketAddr, question: &Message, bytes: &[u8]) -> io::Result<Message> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    let mut stream = socket.connect(to).await?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    loop {
        let length = stream.read_u16().await?;
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await?;
        if let Some(answer) = answer_to(question, &answer) {
            return Ok(answer);
        }
    }
}

/// What a resolver sent, if it answers this question.
fn answer_to(question: &Message, bytes: &[u8]) -> Option<Message> {
    // Noise is not worth reading.
    if bytes.len() < HEADER || bytes[..2] != question.metadata.id.to_be_bytes() {
        return None;
    }
    let answer = Message::from_vec(bytes).ok()?;
    let header = &answer.metadata;
    if header.message_type != MessageType::Response || header.op_code != question.metadata.op_code {
        return None;
    }
    let failed = !matches!(header.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
    let same = match (answer.queries.as_slice(), question.queries.as_slice()) {
        ([said], [asked]) => {
            said.name() == asked.name()
                && said.query_type() == asked.query_type()
                && said.query_class() == asked.query_class()
        }
        // Some that fail say the header only.
        ([], _) => failed && answer.answers.is_empty(),
        _ => false,
    };
    same.then_some(answer)
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{OpCode, Query};
    use hickory_proto::rr::rdata::A;
    use hickory_proto::rr::{Name, RData, Record, RecordType};

    use super::*;

    fn asked(name: &str) -> Message {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        message
    }

    fn answered(question: &Message) -> Message {
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        answer.metadata.recursion_available = true;
        answer.add_queries(question.queries.clone());
        let name = question.queries[0].name().clone();
        answer.add_answer(Record::from_rdata(name, 9, RData::A(A(Ipv4Addr::LOCALHOST))));
        answer
    }

    #[test]
    fn only_an_answer_to_this_question_counts() {
        let question = asked("a.example.");
        let accepted = |change: &dyn Fn(&mut Message)| {
            let mut answer = answered(&question);
            change(&mut answer);
            answer_to(&question, &answer.to_vec().unwrap()).is_some()
        };
        assert!(accepted(&|_| {}));
        assert!(accepted(&|m| m.queries[0] = asked("A.EXAMPLE.").queries[0].clone()));
        assert!(!accepted(&|m| m.metadata.id ^= 1), "another id");
        assert!(!accepted(&|m| m.metadata.message_type = MessageType::Query));
        assert!(!accepted(&|m| m.queries = asked("b.example.").queries), "another name");
        assert!(!accepted(&|m| _ = m.queries[0].set_query_type(RecordType::AAAA)));
        assert!(!accepted(&|m| m.queries.clear()), "no question");
        assert!(!accepted(&|m| m.add_queries(asked("c.").queries).metadata.id ^= 0), "two");
        assert!(accepted(&|m| {
            m.queries.clear();
            m.answers.clear();
            m.metadata.response_code = ResponseCode::Refused;
        }));
        assert!(answer_to(&question, &[]).is_none());
        let cut = &answered(&question).to_vec().unwrap()[..20];
        assert!(answer_to(&question, cut).is_none());
    }

    #[test]
    fn a_resolver_that_knows_no_better_is_passed_over() {
        let judged = |change: &dyn Fn(&mut Message)| {
            let mut answer = answered(&asked("a."));
            change(&mut answer);
            judge(answer).map(|m| m.metadata.response_code)
        };
        let code = |code| move |m: &mut Message| m.metadata.response_code = code;
        assert_eq!(judged(&|_| {}), Ok(ResponseCode::NoError));
        assert_eq!(judged(&code(ResponseCode::NXDomain)), Ok(ResponseCode::NXDomain));
        for helpless in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::NotImp] {
            assert_eq!(judged(&code(helpless)), Err(Some(helpless)));
        }
        assert_eq!(
            judged(&|m| m.answers.clear()),
            Ok(ResponseCode::NoError),
            "nothing of the kind"
        );
        let lame = judged(&|m| {
            m.answers.clear();
            m.metadata.recursion_available = false;
        });
        assert_eq!(lame, Err(Some(ResponseCode::ServFail)));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_bytes_are_an_answer_or_are_not(noise: Vec<u8>, at: proptest::sample::Index, bit in 0_u8..8) {
            let question = asked("a.example.");
            drop(answer_to(&question, &noise));
            let mut answer = answered(&question).to_vec().unwrap();
            let at = at.index(answer.len());
            answer[at] ^= 1 << bit;
            drop(answer_to(&question, &answer));
        }
    }
}
