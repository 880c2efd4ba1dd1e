//! A container's questions over UDP: an answer given before is given again, in a new order; every other question goes to
//! the handler. Knows no more of the wire format than that records of one address after another are equally long:
//! hickory reads every new question and writes every new answer.
//!
//! Separate from hickory's server, which starts a task and fills a channel for each datagram: three times the cost of an answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use futures::StreamExt as _;
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_server::net::BufDnsStreamHandle;
use hickory_server::net::runtime::TokioTime;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler as _, ResponseHandle};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::shuffle::Shuffle;
use super::{ContainerZones, Handler};

/// Longest question that is read: names have 255 octets, options are few.
const QUESTION_MAX: usize = 4_096;
/// Different questions whose answers are kept for one container; then all are forgotten and learned anew.
const KNOWN_MAX: usize = 64;
/// Questions of one container that wait for an answer from outside; further ones are dropped, and asked again by who cares.
const WAITING_MAX: usize = 256;
/// A record of an address whose name was said before: pointer, type, class, time to live, length, four octets (RFC 1035 §4.1).
const RECORD: usize = 16;
/// Its name, type and class.
const RECORD_BEGIN: [u8; 6] = [0xc0, 12, 0, 1, 0, 1];
const HEADER: usize = 12;

/// What the handler said to a question.
struct Said {
    question: Vec<u8>,
    from: SocketAddr,
    answer: Vec<u8>,
    view: Arc<ContainerZones>,
}

/// Answers that can be given again as long as the view stays the same.
#[derive(Default)]
struct Known {
    view: Option<Arc<ContainerZones>>,
    /// By all of the question but its id.
    answers: BTreeMap<Vec<u8>, Again>,
}

struct Again {
    bytes: Vec<u8>,
    /// The records whose order is new each time.
    records: Range<usize>,
}

/// Answers until it is aborted.
pub(super) async fn serve(socket: UdpSocket, handler: Handler) {
    let mut known = Known::default();
    let mut asked = JoinSet::new();
    let mut buffer = [0; QUESTION_MAX];
    loop {
        tokio::select! {
            received = socket.recv_from(&mut buffer) => {
                // What comes back for an answer nobody waited for says nothing about the next question.
                let Ok((length, from)) = received else { continue };
                let question = &mut buffer[..length];
                known.look_at(&handler.view.load());
                if let Some(answer) = known.answer(question, &handler.shuffle) {
                    drop(socket.send_to(answer, from).await);
                } else if asked.len() < WAITING_MAX {
                    asked.spawn(ask(handler.clone(), question.to_vec(), from));
                }
            }
            Some(done) = asked.join_next() => {
                let Ok(Some(said)) = done else { continue };
                drop(socket.send_to(&said.answer, said.from).await);
                known.keep(said);
            }
        }
    }
}

/// Lets the handler answer; `None` if there is nothing to say.
async fn ask(handler: Handler, question: Vec<u8>, from: SocketAddr) -> Option<Said> {
    let view = handler.view.load_full();
    let is_question = *question.get(2)? & 0x80 == 0;
    // An answer is never answered: two servers would talk for ever.
    if question.len() < HEADER || !is_question {
        return None;
    }
    let Ok(request) = Request::from_bytes(question.clone(), from, Protocol::Udp) else {
        let id = u16::from_be_bytes([question[0], question[1]]);
        let answer = Message::error_msg(id, OpCode::Query, ResponseCode::FormErr);
        return Some(Said { question, from, answer: answer.to_vec().ok()?, view });
    };
    let (handle, mut answers) = BufDnsStreamHandle::new(from);
    let reply = ResponseHandle::new(from, handle, Protocol::Udp);
    handler.handle_request::<_, TokioTime>(&request, reply).await;
    let answer = answers.next().await?.into_parts().0;
    Some(Said { question, from, answer, view })
}

impl Known {
    /// Forgets what was said of another view.
    fn look_at(&mut self, view: &Arc<ContainerZones>) {
        if !self.view.as_ref().is_some_and(|known| Arc::ptr_eq(known, view)) {
            self.view = Some(Arc::clone(view));
            self.answers.clear();
        }
    }

    fn answer(&mut self, question: &[u8], shuffle: &Shuffle) -> Option<&[u8]> {
        let (id, rest) = question.split_at_checked(2)?;
        let again = self.answers.get_mut(rest)?;
        again.bytes[..2].copy_from_slice(id);
        let (records, _) = again.bytes[again.records.clone()].as_chunks_mut::<RECORD>();
        shuffle.shuffle(records);
        Some(&again.bytes)
    }

    fn keep(&mut self, said: Said) {
        let Said { question, from: _, answer, view } = said;
        if !self.view.as_ref().is_some_and(|known| Arc::ptr_eq(known, &view)) {
            return;
        }
        let Some(records) = addresses(&question, &answer) else { return };
        if self.answers.len() >= KNOWN_MAX {
            self.answers.clear();
        }
        self.answers.insert(question[2..].to_vec(), Again { bytes: answer, records });
    }
}

/// Where an answer of our own has its addresses, if it is whole and has nothing else but perhaps an option at its end.
fn addresses(question: &[u8], answer: &[u8]) -> Option<Range<usize>> {
    let header = answer.first_chunk::<HEADER>()?;
    let number = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
    // Ours alone (AA), not cut off (TC), no error: what comes from outside has a life of its own.
    let own = header[2] & 0b110 == 0b100 && header[3] & 0xf == 0;
    if !own || number(4) != 1 || number(8) != 0 {
        return None;
    }
    // The question is said again, as it was said: a name of labels, its end, type and class.
    let mut end = HEADER;
    loop {
        match *answer.get(end)? {
            0 => break,
            length @ 1..64 => end += 1 + usize::from(length),
            64.. => return None,
        }
    }
    end += 5;
    let same = answer.get(HEADER..end)? == question.get(HEADER..end)?;
    let records = end..end + number(6) * RECORD;
    let (chunks, _) = answer.get(records.clone())?.as_chunks::<RECORD>();
    (same && chunks.iter().all(|c| c.starts_with(&RECORD_BEGIN))).then_some(records)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::op::Query;
    use hickory_proto::rr::rdata::{A, PTR};
    use hickory_proto::rr::{Name, RData, Record, RecordType};

    use super::*;

    fn exchange(data: &[RData], change: impl FnOnce(&mut Message)) -> (Vec<u8>, Vec<u8>) {
        let name = Name::from_ascii("Web.").unwrap();
        let mut question = Message::query();
        question.add_query(Query::query(name.clone(), RecordType::A));
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        answer.add_queries(question.queries.clone());
        answer.metadata.authoritative = true;
        for data in data {
            answer.add_answer(Record::from_rdata(name.clone(), 5, data.clone()));
        }
        change(&mut answer);
        (question.to_vec().unwrap(), answer.to_vec().unwrap())
    }

    fn ips(count: u8) -> Vec<RData> {
        (0..count).map(|n| RData::A(A(Ipv4Addr::new(10, 0, 0, n)))).collect()
    }

    #[test]
    fn only_whole_answers_of_our_own_with_addresses_are_given_again() {
        let find = |(question, answer): (Vec<u8>, Vec<u8>)| addresses(&question, &answer);
        let found = find(exchange(&ips(3), |_| ())).expect("three addresses");
        assert_eq!(found.len(), 3 * RECORD);
        assert_eq!(find(exchange(&[], |_| ())).map(|r| r.len()), Some(0), "a name without tasks");
        assert_eq!(find(exchange(&ips(3), |m| m.metadata.authoritative = false)), None);
        assert_eq!(find(exchange(&ips(3), |m| m.metadata.truncation = true)), None);
        assert_eq!(
            find(exchange(&[], |m| m.metadata.response_code = ResponseCode::NXDomain)),
            None
        );
        let pointer = RData::PTR(PTR(Name::from_ascii("web.1.abc.front.").unwrap()));
        assert_eq!(find(exchange(&[pointer], |_| ())), None, "records of another length");
        let (question, answer) = exchange(&ips(3), |_| ());
        for cut in 0..answer.len() {
            assert_eq!(addresses(&question, &answer[..cut]), None, "cut at {cut}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_two_datagrams_are_question_and_answer_or_are_not(
            question: Vec<u8>,
            noise: Vec<u8>,
            count in 0_usize..4,
            flip in (proptest::prelude::any::<proptest::sample::Index>(), 0_u8..8),
        ) {
            proptest::prop_assert!(addresses(&question, &noise).is_none_or(|r| r.end <= noise.len()));
            let (question, mut answer) = exchange(&ips(u8::try_from(count).unwrap()), |_| ());
            let at = flip.0.index(answer.len());
            answer[at] ^= 1 << flip.1;
            if let Some(range) = addresses(&question, &answer) {
                proptest::prop_assert_eq!(range.len() % RECORD, 0);
                proptest::prop_assert!(range.end <= answer.len());
            }
        }
    }

    #[test]
    fn an_answer_given_again_has_the_new_id_and_all_addresses() {
        let (question, answer) = exchange(&ips(4), |_| ());
        let view = Arc::new(ContainerZones::default());
        let mut known = Known::default();
        known.look_at(&view);
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 5));
        known.keep(Said { question: question.clone(), from, answer, view: view.clone() });
        let (mut asked, shuffle) = (question, Shuffle::new(1));
        asked[..2].copy_from_slice(&[9, 9]);
        let again = Message::from_vec(known.answer(&asked, &shuffle).unwrap()).unwrap();
        assert_eq!((again.metadata.id, again.answers.len()), (0x0909, 4));
        let mut found: Vec<RData> = again.answers.iter().map(|r| r.data.clone()).collect();
        found.sort_by_key(|data| data.to_string());
        assert_eq!(found, ips(4));
        known.look_at(&Arc::new(ContainerZones::default()));
        assert!(known.answer(&asked, &shuffle).is_none(), "another view is another truth");
    }
}
