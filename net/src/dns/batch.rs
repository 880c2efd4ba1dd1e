//! Datagrams of a socket by the batch: one call of the kernel takes all questions that wait, one more gives all answers.
//! With many questions under way that is a third more answers a second than a call for each.
//!
//! By libc, because nix's `sendmmsg` says how many were sent only by way of addresses that nobody wrote, and rustix has no
//! `recvmmsg`.

use std::io;
use std::mem::zeroed;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd as _};
use std::ptr::{from_mut, null_mut};

/// Longest question that is read: names have 255 octets, options are few.
pub(super) const QUESTION_MAX: usize = 4_096;
/// Datagrams taken or given with one call.
const BATCH: usize = COUNT as usize;
/// The same as the kernel counts.
const COUNT: libc::c_uint = 32;
/// Bytes of an asker's address.
const NAME: libc::socklen_t = 16;
const _: () = assert!(size_of::<libc::sockaddr_in>() == NAME as usize);

/// Room for one batch, used again for the next.
pub(super) struct Batch {
    questions: Box<[[u8; QUESTION_MAX]]>,
    names: [libc::sockaddr_in; BATCH],
    lengths: [usize; BATCH],
    /// All answers, one behind the other, and whose is where.
    answers: Vec<u8>,
    given: Vec<(usize, Range<usize>)>,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            questions: vec![[0; QUESTION_MAX]; BATCH].into(),
            names: [nobody(); BATCH],
            lengths: [0; BATCH],
            answers: Vec::new(),
            given: Vec::with_capacity(BATCH),
        }
    }

    /// Takes what waits at a socket that does not block; how many there were.
    pub(super) fn receive(&mut self, socket: impl AsFd) -> io::Result<usize> {
        self.answers.clear();
        self.given.clear();
        let mut parts: [libc::iovec; BATCH] = std::array::from_fn(|n| libc::iovec {
            iov_base: self.questions[n].as_mut_ptr().cast(),
            iov_len: QUESTION_MAX,
        });
        let mut messages: [libc::mmsghdr; BATCH] =
            std::array::from_fn(|n| message(&mut self.names[n], &mut parts[n]));
        // SAFETY: each message points to a name and a part of its own, and the part to a question of that length; all
        // of them outlive the call, and none of them moves meanwhile.
        let count = unsafe {
            libc::recvmmsg(socket.as_fd().as_raw_fd(), messages.as_mut_ptr(), COUNT, 0, null_mut())
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (length, message) in self.lengths.iter_mut().zip(&messages[..count]) {
            *length = (message.msg_len as usize).min(QUESTION_MAX);
        }
        Ok(count)
    }

    /// A question that was taken, and who asks.
    pub(super) fn question(&self, nth: usize) -> (&[u8], SocketAddrV4) {
        let name = &self.names[nth];
        let ip = Ipv4Addr::from_bits(u32::from_be(name.sin_addr.s_addr));
        let from = SocketAddrV4::new(ip, u16::from_be(name.sin_port));
        (&self.questions[nth][..self.lengths[nth]], from)
    }

    /// Notes the answer to a question.
    pub(super) fn answer(&mut self, nth: usize, answer: &[u8]) {
        let begin = self.answers.len();
        self.answers.extend_from_slice(answer);
        self.given.push((nth, begin..self.answers.len()));
    }

    /// Gives the answers. One that cannot be given now is lost, as datagrams may be: who cares asks again.
    pub(super) fn send(&mut self, socket: impl AsFd) {
        let mut next = 0;
        while next < self.given.len() {
            let given = &self.given[next..];
            let mut parts = [libc::iovec { iov_base: null_mut(), iov_len: 0 }; BATCH];
            for (part, (_, place)) in parts.iter_mut().zip(given) {
                let answer = &mut self.answers[place.clone()];
                *part = libc::iovec { iov_base: answer.as_mut_ptr().cast(), iov_len: answer.len() };
            }
            // SAFETY: zeroes are a message without a name and without parts.
            let mut messages: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
            for (n, (asked, _)) in given.iter().enumerate() {
                messages[n] = message(&mut self.names[*asked], &mut parts[n]);
            }
            let count = libc::c_uint::try_from(given.len()).map_or(COUNT, |n| n.min(COUNT));
            // SAFETY: as many messages as are counted point to a name and a part, and the part to its answer; all of
            // them outlive the call, which only reads them.
            let sent = unsafe {
                libc::sendmmsg(socket.as_fd().as_raw_fd(), messages.as_mut_ptr(), count, 0)
            };
            // An error is the first one's.
            next += usize::try_from(sent).map_or(1, |sent| sent.max(1));
        }
    }
}

fn nobody() -> libc::sockaddr_in {
    // SAFETY: zeroes are an address of no family.
    unsafe { zeroed() }
}

fn message(name: &mut libc::sockaddr_in, part: &mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: zeroes are a message without a name and without parts.
    let mut message: libc::mmsghdr = unsafe { zeroed() };
    message.msg_hdr.msg_name = from_mut(name).cast();
    message.msg_hdr.msg_namelen = NAME;
    message.msg_hdr.msg_iov = part;
    message.msg_hdr.msg_iovlen = 1;
    message
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::UdpSocket;

    use super::*;

    fn socket() -> UdpSocket {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    }

    #[test]
    fn every_asker_gets_its_own_answer_however_many_there_are() {
        let (server, askers) = (socket(), [socket(), socket(), socket()]);
        let to = server.local_addr().unwrap();
        for n in 0..50_u8 {
            let asker = &askers[usize::from(n) % askers.len()];
            asker.send_to(&[n; 50][..usize::from(n)], to).unwrap();
        }
        let mut batch = Batch::new();
        let mut sizes = Vec::new();
        loop {
            let count = match batch.receive(&server) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            };
            for nth in 0..count {
                let (question, from) = batch.question(nth);
                let mut answer = question.to_vec();
                answer.extend_from_slice(from.to_string().as_bytes());
                // One in ten is not answered.
                if question.len() % 10 != 9 {
                    batch.answer(nth, &answer);
                }
            }
            batch.send(&server);
            sizes.push(count);
        }
        assert_eq!(sizes, [32, 18]);
        let mut lengths = BTreeSet::new();
        for asker in &askers {
            let own = asker.local_addr().unwrap().to_string();
            let mut buffer = [0; 200];
            while let Ok((length, _)) = asker.recv_from(&mut buffer) {
                let text = &buffer[length - own.len()..length];
                assert_eq!(text, own.as_bytes(), "an answer for another");
                let question = &buffer[..length - own.len()];
                assert!(question.iter().all(|b| usize::from(*b) == question.len()));
                assert!(lengths.insert(question.len()), "an answer twice");
            }
        }
        assert!(lengths.into_iter().eq((0..50).filter(|n| n % 10 != 9)));
    }

    #[test]
    fn a_question_that_is_too_long_is_cut_and_an_answer_nobody_can_get_stops_no_other() {
        let (server, asker) = (socket(), socket());
        let to = server.local_addr().unwrap();
        asker.send_to(&[1; 9_000], to).unwrap();
        asker.send_to(&[2; 10], to).unwrap();
        let mut batch = Batch::new();
        assert_eq!(batch.receive(&server).unwrap(), 2);
        assert_eq!(batch.question(0).0.len(), QUESTION_MAX);
        batch.answer(0, &[0; 70_000]);
        batch.answer(1, b"second");
        batch.send(&server);
        let mut buffer = [0; 100];
        let length = asker.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"second");
    }
}
