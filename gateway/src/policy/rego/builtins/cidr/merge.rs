//! Networks that lie within each other or side by side, made one.

use super::Stop;
use super::network::{Address, Network};
use crate::policy::rego::EvalError;
use crate::policy::rego::deadline::Deadline;

struct Range {
    is_v4: bool,
    first: u128,
    last: u128,
    /// The network that it is, unless it was made of several.
    network: Option<Network>,
}

/// The networks, by families. One that was not merged keeps its name.
pub(super) fn merged(networks: Vec<Network>, deadline: &Deadline) -> Result<Vec<Network>, Stop> {
    let mut ranges = Vec::with_capacity(networks.len());
    for network in networks {
        if network.is_mapped {
            return Err(Stop::unsupported("net.cidr_merge of IPv4 networks that are mapped into IPv6"));
        }
        let (first, last) = network.range();
        ranges.push(Range { is_v4: network.name.is_v4, first, last, network: Some(network) });
    }
    ranges.sort_by_key(|range| (range.is_v4, range.last, range.first));
    let mut kept: Vec<Range> = Vec::new();
    // From the greatest on, so that a range takes in all that begin within it.
    for range in ranges.into_iter().rev() {
        deadline.check()?;
        match kept.last_mut() {
            Some(next) if next.is_v4 == range.is_v4 && next.first.saturating_sub(1) <= range.last => {
                next.first = next.first.min(range.first);
                next.network = None;
            }
            _ => kept.push(range),
        }
    }
    let mut networks = Vec::new();
    for range in kept {
        match range.network {
            Some(network) => networks.push(network),
            None => split(&range, deadline, &mut networks)?,
        }
    }
    Ok(networks)
}

/// The fewest networks that make up a range: from its beginning, each as large as it can be.
fn split(range: &Range, deadline: &Deadline, networks: &mut Vec<Network>) -> Result<(), EvalError> {
    let width = if range.is_v4 { 32 } else { 128 };
    let mut first = range.first;
    loop {
        deadline.check()?;
        let left = (range.last - first).checked_add(1).map_or(128, u128::ilog2);
        let host = first.trailing_zeros().min(left).min(width);
        let name = Address { is_v4: range.is_v4, bits: first };
        networks.push(Network { name, prefix: width - host, is_mapped: false });
        let next = 1_u128.checked_shl(host).and_then(|size| first.checked_add(size));
        match next {
            Some(next) if next <= range.last => first = next,
            _ => return Ok(()),
        }
    }
}
