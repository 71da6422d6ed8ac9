//! Addresses and networks, read as Go's `net` reads them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address of either family; an IPv4 one that is mapped into IPv6 is IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) is_v4: bool,
    pub(super) bits: u128,
}

impl Address {
    pub(super) fn read(text: &str) -> Option<Self> {
        Some(match text.parse::<IpAddr>().ok()? {
            IpAddr::V4(address) => Self::v4(address),
            IpAddr::V6(address) => {
                address.to_ipv4_mapped().map_or(Self { is_v4: false, bits: address.to_bits() }, Self::v4)
            }
        })
    }

    fn v4(address: Ipv4Addr) -> Self {
        Self { is_v4: true, bits: address.to_bits().into() }
    }

    fn width(self) -> u32 {
        if self.is_v4 { 32 } else { 128 }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u32::try_from(self.bits) {
            Ok(bits) if self.is_v4 => Ipv4Addr::from_bits(bits).fmt(f),
            _ => Ipv6Addr::from_bits(self.bits).fmt(f),
        }
    }
}

/// A network, with the address by which it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) name: Address,
    pub(super) prefix: u32,
    /// Written as an IPv6 network, though it is of mapped addresses.
    pub(super) is_mapped: bool,
}

impl Network {
    /// `address/prefix`; the network's name has no bits beyond the prefix.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: u32 = if digits { prefix.parse().ok()? } else { return None };
        let (is_v4, bits, width) = match address {
            IpAddr::V4(address) => (true, address.to_bits().into(), 32),
            IpAddr::V6(address) => (false, address.to_bits(), 128),
        };
        if prefix > width {
            return None;
        }
        let name = bits & !below(width - prefix);
        let mapped = if is_v4 { None } else { Ipv6Addr::from_bits(name).to_ipv4_mapped() };
        Some(match mapped {
            Some(address) => Self { name: Address::v4(address), prefix: prefix - 96, is_mapped: true },
            None => Self { name: Address { is_v4, bits: name }, prefix, is_mapped: false },
        })
    }

    /// As [`Network::read`]; an IPv4 address alone means the network of its class, and keeps its name.
    pub(super) fn read_or_class(text: &str) -> Option<Self> {
        let Some(name) = Address::read(text) else { return Self::read(text) };
        let prefix = match name.bits >> 24 {
            0..0x80 => 8,
            0x80..0xc0 => 16,
            _ => 24,
        };
        name.is_v4.then_some(Self { name, prefix, is_mapped: false })
    }

    /// Its first and last address.
    pub(super) fn range(&self) -> (u128, u128) {
        let host = below(self.name.width() - self.prefix);
        (self.name.bits & !host, self.name.bits | host)
    }

    pub(super) fn address(&self, bits: u128) -> Address {
        Address { bits, ..self.name }
    }

    pub(super) fn contains(&self, address: Address) -> bool {
        let (first, last) = self.range();
        self.name.is_v4 == address.is_v4 && (first..=last).contains(&address.bits)
    }

    pub(super) fn contains_network(&self, other: &Self) -> bool {
        let (first, last) = other.range();
        self.contains(other.address(first)) && self.contains(other.address(last))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.prefix)
    }
}

/// So many bits, all set.
fn below(bits: u32) -> u128 {
    1_u128.checked_shl(bits).map_or(u128::MAX, |power| power - 1)
}
