//! Units of things handed out: CPU, memory, addresses, subnets.
//! One place makes them, so a number never loses what it counts.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Processor time in billionths of one core.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct NanoCpus(pub u64);

/// Memory in bytes.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// In decimal units with three digits, as Docker's client writes what lies on a disk: `1.98MB`.
    pub fn decimal(self) -> String {
        const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
        let (mut whole, mut unit, mut divisor) = (self.0, 0, 1_u64);
        while whole >= 1000 && unit + 1 < UNITS.len() {
            divisor *= 1000;
            whole = self.0 / divisor;
            unit += 1;
        }
        let digits = match whole {
            0..10 => 2,
            10..100 => 1,
            _ => 0,
        };
        let scale = 10_u128.pow(digits);
        let scaled = (u128::from(self.0) * scale * 2 / u128::from(divisor)).div_ceil(2);
        let (front, back) = (scaled / scale, scaled % scale);
        let width = usize::try_from(digits).expect("digits is at most 2");
        let fraction = format!("{back:0width$}");
        let fraction = fraction.trim_end_matches('0');
        let point =
            if digits == 0 || fraction.is_empty() { String::new() } else { format!(".{fraction}") };
        format!("{front}{point}{}", UNITS[unit])
    }
}

impl FromStr for Bytes {
    type Err = InvalidBytes;
    /// A number and a binary unit as Docker's clients take them: `1.5m`, `64 MiB`, `2T`, `1048576`; what is less than a
    /// byte is cut off.
    fn from_str(text: &str) -> Result<Self, InvalidBytes> {
        let lower = text.to_ascii_lowercase();
        let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
        let (number, unit) = lower.split_at(end);
        // One blank between number and unit, no more: that is what go-units reads.
        let shift = match unit.strip_prefix(' ').unwrap_or(unit) {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            "p" | "pb" | "pib" => 50,
            _ => return Err(InvalidBytes),
        };
        scaled(number, 1 << shift).map(Self).ok_or(InvalidBytes)
    }
}

/// Not an amount of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount of bytes is a number with a unit (b, k, m, g, t, p), like 64M or 1.5g")]
pub struct InvalidBytes;

/// A decimal number times `unit`, digits beyond the unit's precision cut off; exact, without floating point.
pub fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let (mut numerator, mut denominator) = (0_u128, 1_u128);
    for digit in fraction.bytes().take(18) {
        numerator = numerator * 10 + u128::from(digit - b'0');
        denominator *= 10;
    }
    let unit = u128::from(unit);
    u64::try_from(u128::from(whole) * unit + numerator * unit / denominator).ok()
}

/// A VXLAN network identifier, 24 bits.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Vni(pub u32);

/// An Ethernet address, handed out by the log and never computed from an IP.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Makes a locally administered unicast address of six random bytes.
    pub fn from_random(mut bytes: [u8; 6]) -> Self {
        bytes[0] = bytes[0] & 0xfc | 0x02;
        Self(bytes)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
/// Text that is no Ethernet address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an Ethernet address is six pairs of hex digits such as 02:42:0a:00:00:05")]
pub struct InvalidMac;

impl FromStr for Mac {
    type Err = InvalidMac;
    fn from_str(text: &str) -> Result<Self, InvalidMac> {
        let byte = |pair: &str| match pair.as_bytes() {
            [a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                u8::from_str_radix(pair, 16).map_err(|_| InvalidMac)
            }
            _ => Err(InvalidMac),
        };
        let bytes: Vec<u8> = text.split(':').map(byte).collect::<Result<_, _>>()?;
        bytes.try_into().map(Self).map_err(|_| InvalidMac)
    }
}
impl serde::Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { self.0.serialize(to) }
    }
}
impl<'de> serde::Deserialize<'de> for Mac {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 6]>::deserialize(from).map(Self)
        }
    }
}
impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An IPv4 block such as `10.0.1.0/24`, host bits zero.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct Subnet {
    base: Ipv4Addr,
    prefix: u8,
}

/// Why a text is no subnet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IPv4 subnet such as 10.0.1.0/24")]
pub struct InvalidSubnet(pub String);

impl Subnet {
    /// The block of `prefix` bits that contains `address`.
    ///
    /// # Panics
    /// If `prefix` is over 32: a caller checks what it read.
    pub fn containing(address: Ipv4Addr, prefix: u8) -> Self {
        assert!(prefix <= 32, "an IPv4 prefix has at most 32 bits");
        Self { base: Ipv4Addr::from_bits(address.to_bits() & Self::mask(prefix)), prefix }
    }
    fn mask(prefix: u8) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
    }
    /// First address, the block's name.
    pub fn base(self) -> Ipv4Addr {
        self.base
    }
    /// Length of the network part in bits.
    pub fn prefix(self) -> u8 {
        self.prefix
    }
    /// How many addresses it holds.
    pub fn size(self) -> u64 {
        1 << (32 - u32::from(self.prefix))
    }
    /// The n-th address; `None` past the end.
    pub fn nth(self, n: u64) -> Option<Ipv4Addr> {
        let offset = u32::try_from(n).ok().filter(|_| n < self.size())?;
        Some(Ipv4Addr::from_bits(self.base.to_bits() + offset))
    }
    /// Whether the address lies inside.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & Self::mask(self.prefix) == self.base.to_bits()
    }
    /// Whether the blocks share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.base) || other.contains(self.base)
    }
    /// Last address, reserved for broadcast.
    pub fn last(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base.to_bits() | !Self::mask(self.prefix))
    }
}

impl FromStr for Subnet {
    type Err = InvalidSubnet;
    fn from_str(text: &str) -> Result<Self, InvalidSubnet> {
        let invalid = || InvalidSubnet(text.chars().take(64).collect());
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let address: Ipv4Addr = address.parse().map_err(|_| invalid())?;
        let prefix: u8 = prefix.parse().ok().filter(|p| *p <= 32).ok_or_else(invalid)?;
        let subnet = Self::containing(address, prefix);
        if subnet.base == address { Ok(subnet) } else { Err(invalid()) }
    }
}
impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}
impl fmt::Debug for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl serde::Serialize for Subnet {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
impl<'de> serde::Deserialize<'de> for Subnet {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1_984_162, "1.98MB"),
            (2_000_000, "2MB"),
            (12_345_678, "12.3MB"),
            (123_456_789_012, "123GB"),
        ] {
            assert_eq!(Bytes(bytes).decimal(), text);
        }
    }

    #[test]
    fn bytes_are_read_as_dockers_clients_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("10b", 10),
            ("1.5m", 3 << 19),
            (".5k", 512),
            ("64M", 64 << 20),
            ("16KiB", 16 << 10),
            ("1 gb", 1 << 30),
            ("2t", 2 << 40),
            ("1P", 1 << 50),
            ("0.0001k", 0),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for bad in ["", " ", "k", "m1", "-1", "1..5m", "1 5m", "1e3", "5x", "1  k", "99999999999p"]
        {
            assert_eq!(bad.parse::<Bytes>(), Err(InvalidBytes), "{bad}");
        }
    }

    #[test]
    fn subnet_arithmetic() {
        let net: Subnet = "10.0.1.0/24".parse().unwrap();
        assert_eq!(net.size(), 256);
        assert_eq!(net.nth(2), Some(Ipv4Addr::new(10, 0, 1, 2)));
        assert_eq!(net.nth(256), None);
        assert_eq!(net.last(), Ipv4Addr::new(10, 0, 1, 255));
        assert!(net.overlaps("10.0.0.0/8".parse().unwrap()));
        assert!(!net.overlaps("10.0.2.0/24".parse().unwrap()));
        for bad in ["10.0.1.1/24", "10.0.1.0/33", "10.0.1.0", "x/8"] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
    }
}
