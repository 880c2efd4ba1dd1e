//! A container's questions over UDP: an answer given before is given again, in a new order; every other question goes to
//! the handler. Knows no more of the wire format than the question and records of addresses behind it:
//! hickory reads every new question and writes every new answer.
//!
//! Separate from hickory's server, which starts a task and fills a channel for each datagram: three times the cost of an answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use hickory_server::net::xfer::Protocol;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::batch::Batch;
use super::shuffle::Shuffle;
use super::{ContainerZones, HEADER, Handler};
use crate::measures::MEASURES;

/// Different questions whose answers are kept for one container; then all are forgotten and learned anew.
const KNOWN_MAX: usize = 64;
/// Questions of one container over UDP that are being answered: its share of those asked outside, and as many on top whose
/// answer is at hand. Further ones are dropped, and asked again by who cares.
const WAITING_MAX: usize = 2 * super::QUESTIONS_EACH;
/// A name that was said in the question: a pointer to there (RFC 1035 §4.1.4).
const SAME_NAME: [u8; 2] = [0xc0, 12];
/// What of an address' record is behind its name: type, class, time to live, length, four octets.
const BODY: usize = 14;
/// A record of an address whose name is a pointer.
const RECORD: usize = SAME_NAME.len() + BODY;

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

#[derive(Debug, PartialEq)]
struct Again {
    bytes: Vec<u8>,
    /// The records whose order is new each time.
    records: Range<usize>,
}

thread_local! {
    /// One for all sockets that a thread serves: it is never held while something is waited for.
    static BATCH: RefCell<Batch> = RefCell::new(Batch::new());
}

/// Answers until it is aborted.
pub(super) async fn serve(socket: UdpSocket, handler: Handler) {
    let mut known = Known::default();
    let mut asked = JoinSet::new();
    loop {
        tokio::select! {
            ready = socket.readable() => {
                if ready.is_err() {
                    return;
                }
                BATCH.with_borrow_mut(|batch| {
                    // What comes back for an answer nobody waited for says nothing about the next question.
                    let received = socket.try_io(Interest::READABLE, || batch.receive(&socket));
                    known.look_at(&handler.view.load());
                    let mut again = 0;
                    for nth in 0..received.unwrap_or(0) {
                        let (question, from) = batch.question(nth);
                        if let Some(answer) = known.answer(question, &handler.shuffle) {
                            batch.answer(nth, answer);
                            again += 1;
                        } else if asked.len() < WAITING_MAX {
                            asked.spawn(ask(handler.clone(), question.to_vec(), from.into()));
                        }
                    }
                    batch.send(&socket);
                    if again > 0 {
                        MEASURES.names("noerror", again);
                    }
                });
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
    let answer = handler.reply(question.clone(), from, Protocol::Udp).await?;
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
        let Some(again) = Again::of(&question, &answer) else { return };
        if self.answers.len() >= KNOWN_MAX {
            self.answers.clear();
        }
        self.answers.insert(question[2..].to_vec(), again);
    }
}

impl Again {
    /// An answer of our own that is whole and has nothing but addresses and perhaps an option at its end: with all its
    /// records of one length, each name a pointer. hickory's server says the name once more in the first of them.
    fn of(question: &[u8], answer: &[u8]) -> Option<Self> {
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
        let name = answer.get(HEADER..=end)?;
        let records = end + 5;
        if answer.get(HEADER..records)? != question.get(HEADER..records)? {
            return None;
        }
        let said_again = (0xc000 | u16::try_from(records).ok()?).to_be_bytes();
        let (mut bytes, mut left) = (answer[..records].to_vec(), &answer[records..]);
        for nth in 0..number(6) {
            left = [name, &SAME_NAME]
                .into_iter()
                .find_map(|n| left.strip_prefix(n))
                .or_else(|| left.strip_prefix(&said_again).filter(|_| nth > 0))?;
            let (body, behind) = left.split_first_chunk::<BODY>()?;
            if !(body.starts_with(&[0, 1, 0, 1]) && body[8..10] == [0, 4]) {
                return None;
            }
            bytes.extend_from_slice(&SAME_NAME);
            bytes.extend_from_slice(body);
            left = behind;
        }
        let records = records..bytes.len();
        bytes.extend_from_slice(left);
        Some(Self { bytes, records })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
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
        let find = |(question, answer): (Vec<u8>, Vec<u8>)| {
            Again::of(&question, &answer).map(|again| again.records)
        };
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
            assert_eq!(Again::of(&question, &answer[..cut]), None, "cut at {cut}");
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
            drop(Again::of(&question, &noise));
            let (question, mut answer) = exchange(&ips(u8::try_from(count).unwrap()), |_| ());
            let at = flip.0.index(answer.len());
            answer[at] ^= 1 << flip.1;
            if let Some(Again { bytes, records }) = Again::of(&question, &answer) {
                proptest::prop_assert_eq!(records.len() % RECORD, 0);
                proptest::prop_assert!(records.end <= bytes.len());
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
