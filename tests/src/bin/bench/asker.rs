//! Questions for names from inside a container, as its processes ask them: one to see when a name is there, many to see
//! how fast they are answered.

use std::fs::File;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::bail;
use nix::sched::{CloneFlags, setns};

use crate::tasks::PATIENCE;

/// Between two questions for a name that is not there yet.
const BETWEEN: Duration = Duration::from_micros(500);
/// Questions one asker has under way: enough that neither side waits for the other.
const WINDOW: u16 = 64;

/// A socket inside a container, connected to the container's resolver.
pub(crate) struct Asker(UdpSocket);

impl Asker {
    /// Opened by a thread that enters the container's network and ends there; the socket stays in it.
    pub(crate) fn inside(pid: i32) -> anyhow::Result<Self> {
        let network = File::open(format!("/proc/{pid}/ns/net"))?;
        let opened = std::thread::spawn(move || {
            setns(network, CloneFlags::CLONE_NEWNET)?;
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.connect((Ipv4Addr::new(127, 0, 0, 11), 53))?;
            socket.set_read_timeout(Some(Duration::from_millis(100)))?;
            anyhow::Ok(Self(socket))
        });
        opened.join().map_err(|_| anyhow::anyhow!("the thread in the container broke"))?
    }

    /// Asks for an address until there is one.
    pub(crate) fn until_known(&self, name: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        for id in 0u16.. {
            self.0.send(&question(id, name))?;
            if self.answer()?.is_some_and(|(of, addresses)| of == id && addresses > 0) {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                bail!("{name} does not resolve");
            }
            std::thread::sleep(BETWEEN);
        }
        bail!("asked too often")
    }

    /// Asks as fast as it is answered, with many questions under way; gives how many had so many addresses.
    pub(crate) fn hammer(
        &self,
        name: &str,
        addresses: u16,
        length: Duration,
    ) -> anyhow::Result<u64> {
        let question = question(7, name);
        let begun = Instant::now();
        let (mut good, mut under_way) = (0, 0);
        while begun.elapsed() < length {
            while under_way < WINDOW {
                self.0.send(&question)?;
                under_way += 1;
            }
            match self.answer()? {
                Some((_, found)) => {
                    anyhow::ensure!(found == addresses, "{found} addresses, not {addresses}");
                    good += 1;
                    under_way -= 1;
                }
                // What was dropped on the way is asked again.
                None => under_way = 0,
            }
        }
        Ok(good)
    }

    /// An answer's id and number of records; none if none comes.
    fn answer(&self) -> anyhow::Result<Option<(u16, u16)>> {
        let mut answer = [0; 512];
        match self.0.recv(&mut answer) {
            Ok(length) if length >= 12 => {
                let number = |at| u16::from_be_bytes([answer[at], answer[at + 1]]);
                Ok(Some((number(0), number(6))))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// A question for the A records of a name, RFC 1035 §4.1.
fn question(id: u16, name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(&id.to_be_bytes());
    bytes.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("labels are short"));
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.extend_from_slice(&[0, 0, 1, 0, 1]);
    bytes
}
