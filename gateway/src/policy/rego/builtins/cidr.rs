//! IP networks. `net.cidr_contains` and its kin are in the module.

mod merge;
mod network;

use self::merge::merged;
use self::network::{Address, Network};
use super::answer::Items;
use super::registry::Family;
use super::{Answer, Context, Stop};
use crate::policy::rego::term::Term;

pub(super) const FAMILY: Family = &[
    ("net.cidr_contains_matches", contains_matches),
    ("net.cidr_expand", expand),
    ("net.cidr_is_valid", is_valid),
    ("net.cidr_merge", merge),
];

fn is_valid(_: &mut Context, arguments: &[Term]) -> Answer {
    let [network] = arguments else { return Err(Stop::Undefined) };
    Ok(matches!(network, Term::String(text) if Network::read(text).is_some()).into())
}

/// All addresses of a network.
fn expand(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(text)] = arguments else { return Err(Stop::Undefined) };
    let network = Network::read(text).ok_or(Stop::Undefined)?;
    let mut addresses = Items::new(context);
    let (mut next, last) = network.range();
    loop {
        addresses.text(network.address(next).to_string())?;
        if next == last {
            return Ok(addresses.set());
        }
        next += 1;
    }
}

/// `[place of the first, place of the second]` for each two of which the first network contains the second.
fn contains_matches(context: &mut Context, arguments: &[Term]) -> Answer {
    let [wholes, parts] = arguments else { return Err(Stop::Undefined) };
    let wholes = entries(wholes)?;
    // Without a first network, OPA does not look at the second operand.
    let parts = if wholes.is_empty() { Vec::new() } else { entries(parts)? };
    let mut found = Items::new(context);
    for (whole, whole_place) in &wholes {
        for (part, part_place) in &parts {
            context.deadline.check()?;
            if contains(whole, part)? {
                let places = [whole_place.clone(), part_place.clone()];
                let bytes = places.iter().map(|place| place.to_json().len() + 2).sum();
                found.add(Term::Array(places.into()), bytes)?;
            }
        }
    }
    Ok(found.set())
}

/// The networks of a text, an array, a set or an object, with the place of each. In an array it is the first item.
fn entries(operand: &Term) -> Result<Vec<(&Term, Term)>, Stop> {
    match operand {
        Term::String(_) => Ok(vec![(operand, operand.clone())]),
        Term::Array(items) => {
            let places = (0_i128..).map(Term::from);
            items.iter().zip(places).map(|(item, place)| Ok((entry(item)?, place))).collect()
        }
        Term::Set(items) => items.iter().map(|item| Ok((entry(item)?, item.clone()))).collect(),
        Term::Object(pairs) => pairs.iter().map(|(key, value)| Ok((entry(value)?, key.clone()))).collect(),
        _ => Ok(Vec::new()),
    }
}

fn entry(item: &Term) -> Result<&Term, Stop> {
    match item {
        Term::String(_) => Ok(item),
        Term::Array(items) => items.first().ok_or(Stop::Undefined),
        _ => Err(Stop::Undefined),
    }
}

fn contains(whole: &Term, part: &Term) -> Result<bool, Stop> {
    let (Term::String(whole), Term::String(part)) = (whole, part) else { return Err(Stop::Undefined) };
    let whole = Network::read(whole).ok_or(Stop::Undefined)?;
    if let Some(address) = Address::read(part) {
        return Ok(whole.contains(address));
    }
    Ok(whole.contains_network(&Network::read(part).ok_or(Stop::Undefined)?))
}

/// The fewest networks that have the same addresses.
fn merge(context: &mut Context, arguments: &[Term]) -> Answer {
    let [networks] = arguments else { return Err(Stop::Undefined) };
    let members = networks.members().ok_or(Stop::Undefined)?;
    let mut networks = Vec::with_capacity(members.len());
    for member in members {
        let Term::String(text) = member else { return Err(Stop::Undefined) };
        networks.push(Network::read_or_class(text).ok_or(Stop::Undefined)?);
    }
    let mut texts = Items::new(context);
    for network in merged(networks, &context.deadline)? {
        texts.text(network.to_string())?;
    }
    Ok(texts.set())
}
