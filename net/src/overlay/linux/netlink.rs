//! A blocking route-netlink socket: batches of changes in one system call, and dumps.
//! Not rtnetlink's connection: that is a future bound to a runtime, while this work visits a namespace on a thread for a moment.

use std::borrow::Cow;
use std::io;

use netlink_packet_core::{
    NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use crate::overlay::Error;

/// Bytes of one send: half of the kernel's default send buffer, so that its book-keeping fits beside it.
const SEND_MAX: usize = 96 * 1024;
/// Bytes of one receive: the largest datagram the kernel builds for a dump.
const RECEIVE_MAX: usize = 64 * 1024;

/// What to do if the object is there already, or is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Make it; there already is an error.
    Create,
    /// Make it or change what is there.
    Put,
    /// Change what is there.
    Change,
    /// Remove it; not there is fine.
    Remove,
}

/// Changes to be made in one go. Each is tried, whatever became of those before.
#[derive(Default)]
pub(super) struct Batch {
    changes: Vec<(Cow<'static, str>, Mode, RouteNetlinkMessage)>,
}

impl Batch {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self::default()
    }
    /// Adds a change; `what` names it in an error.
    pub(super) fn push(
        &mut self,
        what: impl Into<Cow<'static, str>>,
        mode: Mode,
        message: RouteNetlinkMessage,
    ) {
        self.changes.push((what.into(), mode, message));
    }
}

/// A socket in the namespace of the thread that opened it.
pub(super) struct Route {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Route {
    pub(super) fn open() -> Result<Self, Error> {
        let socket = connect(NETLINK_ROUTE)?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(RECEIVE_MAX) })
    }

    /// Makes the changes, in order; the first that failed is the error.
    ///
    /// Without acknowledgements: the kernel has worked off the whole datagram when `send` returns, and only errors have been queued.
    pub(super) fn apply(&mut self, batch: Batch) -> Result<(), Error> {
        let mut pending = batch.changes.into_iter().peekable();
        let mut first_error = None;
        while pending.peek().is_some() {
            let (first, mut sent, mut bytes) = (self.sequence, Vec::new(), Vec::new());
            while bytes.len() < SEND_MAX {
                let Some((what, mode, message)) = pending.next() else { break };
                self.encode(mode, message, &mut bytes);
                sent.push((what, mode));
            }
            self.socket.send(&bytes, 0).map_err(|source| kernel("send to the kernel", source))?;
            while let Some(replies) = self.receive(libc::MSG_DONTWAIT)? {
                for reply in replies {
                    let NetlinkPayload::Error(error) = reply.payload else { continue };
                    let nth = usize::try_from(reply.header.sequence_number.wrapping_sub(first))
                        .expect("32 bits fit");
                    let Some((what, mode)) = sent.get(nth) else { continue };
                    let gone = [libc::ENOENT, libc::ENODEV, libc::ESRCH, libc::EADDRNOTAVAIL];
                    if *mode == Mode::Remove && gone.contains(&error.raw_code().abs()) {
                        continue;
                    }
                    first_error.get_or_insert_with(|| kernel(what.clone(), error.to_io()));
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Everything the request matches. What this crate cannot read is left out: objects of ours it can.
    pub(super) fn dump(
        &mut self,
        what: &'static str,
        request: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, Error> {
        let mut bytes = Vec::new();
        self.encode_with(NLM_F_REQUEST | NLM_F_DUMP, request, &mut bytes);
        self.socket.send(&bytes, 0).map_err(|source| kernel(what, source))?;
        let mut found = Vec::new();
        loop {
            for message in self.receive(0)?.into_iter().flatten() {
                match message.payload {
                    NetlinkPayload::InnerMessage(inner) => found.push(inner),
                    NetlinkPayload::Done(_) => return Ok(found),
                    NetlinkPayload::Error(error) => return Err(kernel(what, error.to_io())),
                    _ => {}
                }
            }
        }
    }

    /// The one object the request names, if it is there.
    pub(super) fn get(
        &mut self,
        what: &'static str,
        request: RouteNetlinkMessage,
    ) -> Result<Option<RouteNetlinkMessage>, Error> {
        let mut bytes = Vec::new();
        self.encode_with(NLM_F_REQUEST, request, &mut bytes);
        self.socket.send(&bytes, 0).map_err(|source| kernel(what, source))?;
        let reply = self.receive(0)?.into_iter().flatten().next();
        match reply.map(|reply| reply.payload) {
            Some(NetlinkPayload::InnerMessage(found)) => Ok(Some(found)),
            Some(NetlinkPayload::Error(error)) if error.raw_code() == -libc::ENODEV => Ok(None),
            Some(NetlinkPayload::Error(error)) => Err(kernel(what, error.to_io())),
            _ => Err(kernel(what, io::ErrorKind::InvalidData.into())),
        }
    }

    fn encode(&mut self, mode: Mode, message: RouteNetlinkMessage, bytes: &mut Vec<u8>) {
        let flags = match mode {
            Mode::Create => NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL,
            Mode::Put => NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE,
            Mode::Change | Mode::Remove => NLM_F_REQUEST,
        };
        self.encode_with(flags, message, bytes);
    }
    fn encode_with(&mut self, flags: u16, message: RouteNetlinkMessage, bytes: &mut Vec<u8>) {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let start = bytes.len();
        bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(&mut bytes[start..]);
    }

    /// One datagram, or `None` if none is queued and the flags say not to wait.
    fn receive(
        &mut self,
        flags: i32,
    ) -> Result<Option<Vec<NetlinkMessage<RouteNetlinkMessage>>>, Error> {
        self.buffer.clear();
        match self.socket.recv(&mut self.buffer, flags) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(kernel("receive from the kernel", error)),
        }
        let mut messages = Vec::new();
        let mut rest = self.buffer.as_slice();
        while let Some((length, _)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_ne_bytes(*length)).expect("32 bits fit");
            if length < 16 || length > rest.len() {
                break;
            }
            if let Ok(message) = NetlinkMessage::deserialize(&rest[..length]) {
                messages.push(message);
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(Some(messages))
    }
}

/// A netlink socket to the kernel, in the namespace of this thread.
pub(super) fn connect(protocol: isize) -> Result<Socket, Error> {
    let open = || {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        io::Result::Ok(socket)
    };
    open().map_err(|source| kernel("open a netlink socket", source))
}

/// An error of the kernel, and what was asked of it.
pub(super) fn kernel(what: impl Into<String>, source: io::Error) -> Error {
    Error::Kernel { what: what.into(), source }
}
