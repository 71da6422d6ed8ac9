#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use futures::FutureExt;

use super::*;
use crate::identity::fixtures::{client, client_of, named};

fn clients(all: usize, of_client: usize, trust_domains: &[&str]) -> Clients {
    let bound = Bound { all, of_client };
    let bounds =
        Bounds { connections: bound, requests: bound, changes: bound, streams: bound, refusals: bound, rate: None };
    Clients::new(&bounds, trust_domains.iter().copied())
}

#[test]
fn a_rate_limited_client_gets_a_retry_time_and_others_are_served() {
    let bound = Bound { all: 100_000, of_client: 50_000 };
    let rate = NonZeroU32::new(100);
    let bounds = Bounds { connections: bound, requests: bound, changes: bound, streams: bound, refusals: bound, rate };
    let clients = Clients::new(&bounds, ["example.org"]);
    let account = clients.account(Some(&client("ci")));
    let mut lists = 0;
    let refused = loop {
        let list = account.admit().and_then(|list| list.widen(15));
        match list {
            Ok(()) => lists += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, Exceeded::Rate { wait } if wait <= Duration::from_millis(160)), "{refused:?}");
    assert!(lists >= 6, "{lists} lists of 16 requests");
    assert!(clients.account(Some(&client("other"))).admit().is_ok());
    // The bucket outlives the client's connections.
    drop(account);
    clients.0.accounts.lock().unwrap().sweep_at = 0;
    clients.account(Some(&client("late")));
    assert!(clients.0.accounts.lock().unwrap().by_client.keys().any(|name| name.ends_with("/ci")));
}

/// Opens connections of `account` until it gets no further place.
fn fill(account: &Arc<Account>) -> Vec<Place> {
    std::iter::from_fn(|| account.connect().ok()).collect()
}

#[test]
fn a_client_takes_its_part_and_gets_it_back() {
    let clients = clients(100, 10, &["example.org"]);
    let account = clients.account(Some(&client("ci")));
    let held = fill(&account);
    assert_eq!(held.len(), 10);
    assert_eq!(clients.account(Some(&client("ci"))).connect().unwrap_err(), Exceeded::Client);
    assert!(clients.account(Some(&client("other"))).connect().is_ok());
    assert!(account.admit().is_ok() && account.change().is_ok(), "another kind of place");
    drop(held);
    assert_eq!(fill(&account).len(), 10);
}

/// The connections of `count` clients of `domain`, each of which takes all the places that it gets.
fn greedy(clients: &Clients, domain: &str, count: usize) -> Vec<Vec<Place>> {
    (0..count).map(|number| fill(&clients.account(Some(&client_of(domain, &number.to_string()))))).collect()
}

#[test]
fn all_clients_of_one_trust_domain_leave_places_for_each_other_one() {
    let clients = clients(800, 10, &["a.example", "b.example", "a.example"]);
    let many = greedy(&clients, "a.example", 600);
    assert_eq!(many.iter().map(Vec::len).sum::<usize>(), 600, "all but those kept for the other domain");
    assert_eq!(clients.account(Some(&client_of("a.example", "late"))).connect().unwrap_err(), Exceeded::All);
    let others = greedy(&clients, "b.example", 1);
    assert_eq!(others[0].len(), 10);
}

#[test]
fn a_newcomer_finds_places_though_twenty_clients_take_all_that_they_get() {
    let clients = clients(2000, 200, &["example.org"]);
    let _many = greedy(&clients, "example.org", 20);
    let late = fill(&clients.account(Some(&client_of("example.org", "late"))));
    assert!(late.len() >= 4, "{} places", late.len());
}

#[test]
fn clients_of_one_id_in_two_trust_domains_have_two_accounts_and_those_without_a_name_share_one() {
    let clients = clients(800, 10, &["a.example", "b.example"]);
    let account = |domain| clients.account(Some(&named(domain, "dns:ci.example")));
    assert!(!Arc::ptr_eq(&account("a.example"), &account("b.example")));
    assert!(Arc::ptr_eq(&account("a.example"), &account("a.example")));
    assert!(Arc::ptr_eq(&clients.account(None), &clients.account(None)));
    assert_eq!(fill(&clients.account(None)).len(), 10);
}

#[test]
fn a_request_that_costs_more_takes_more_places_once_and_all_are_given_back() {
    let clients = clients(1000, 20, &["example.org"]);
    let account = clients.account(Some(&client("ci")));
    let list = account.admit().unwrap();
    let clone = list.clone();
    list.widen(15).unwrap();
    clone.widen(15).unwrap();
    let more: Vec<_> = std::iter::from_fn(|| account.admit().ok()).collect();
    assert_eq!(more.len(), 4);
    assert_eq!(more[0].widen(15), Err(Exceeded::Client));
    drop((list, more));
    assert_eq!(std::iter::from_fn(|| account.admit().ok()).collect::<Vec<_>>().len(), 4);
    drop(clone);
    assert_eq!(std::iter::from_fn(|| account.admit().ok()).collect::<Vec<_>>().len(), 20);
}

#[test]
fn accounts_of_clients_that_are_gone_are_removed_but_not_what_they_owe() {
    let clients = clients(10_000, 10, &["example.org"]);
    let kept = clients.account(Some(&client("kept")));
    clients.account(Some(&client("slow"))).ran_inline(Duration::from_mins(1));
    for number in 0..3 * FIRST_SWEEP {
        clients.account(Some(&client(&number.to_string())));
    }
    let accounts = clients.0.accounts.lock().unwrap().by_client.len();
    assert!(accounts <= FIRST_SWEEP, "{accounts} accounts");
    assert!(Arc::ptr_eq(&kept, &clients.account(Some(&client("kept")))));
    assert!(!clients.account(Some(&client("slow"))).inline.is_clear());
}

#[tokio::test]
async fn a_client_with_many_requests_decides_as_many_at_once_as_there_are_threads() {
    let clients = clients(1000, 100, &["example.org"]);
    let account = clients.account(Some(&client("ci")));
    let mut requests: Vec<_> = (0..threads()).map(|_| account.admit().unwrap()).collect();
    for _ in 0..=threads() {
        assert!(account.turn().now_or_never().is_some(), "few requests wait for nothing");
    }
    requests.push(account.admit().unwrap());
    let mut turns = Vec::new();
    for _ in 0..threads() {
        turns.push(account.turn().await);
    }
    let mut next = Box::pin(account.turn());
    assert!(next.as_mut().now_or_never().is_none(), "one more than there are threads");
    turns.pop();
    next.await;
}
