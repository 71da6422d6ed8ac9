//! The development set, as files in a directory.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use scalegate_certs::development::{DevelopmentError, State};
use scalegate_certs::read::{Certificate, Crl};
use scalegate_certs::{CertificateAuthority, LeafSpec, Options, Purpose, Validity, refresh};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

const CLIENTS: [&str; 8] = ["viewer", "operator", "ci", "stranger", "expired", "revoked", "wrong-eku", "other-ca"];

struct Set {
    directory: TempDir,
}

impl Set {
    fn made() -> Self {
        let set = Self { directory: TempDir::new().unwrap() };
        set.refresh();
        set
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn options(&self) -> Options {
        Options::new(self.path())
    }

    /// The files that were made, and why.
    fn refresh(&self) -> Vec<(String, State)> {
        made_by(&self.options())
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path().join(file)).unwrap()
    }

    fn write(&self, file: &str, content: &str) {
        fs::write(self.path().join(file), content).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.path().join(file)).unwrap();
    }

    fn certificate(&self, file: &str) -> Certificate {
        Certificate::from_pem(&self.read(file)).unwrap()
    }

    fn authority(&self, name: &str) -> CertificateAuthority {
        let (cert, key) = (self.read(&format!("{name}.pem")), self.read(&format!("{name}-key.pem")));
        CertificateAuthority::load(&cert, &key).unwrap()
    }

    fn mode(&self, file: &str) -> u32 {
        fs::metadata(self.path().join(file)).unwrap().permissions().mode() & 0o777
    }

    /// Every file of the set with its content.
    fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let files = |directory: &str| -> Vec<String> {
            let entries = fs::read_dir(self.path().join(directory)).unwrap().map(Result::unwrap);
            entries
                .filter(|entry| entry.file_type().unwrap().is_file())
                .map(|entry| format!("{directory}{}", entry.file_name().to_string_lossy()))
                .collect()
        };
        let all = files("").into_iter().chain(files("clients/"));
        all.map(|file| (file.clone(), fs::read(self.path().join(file)).unwrap())).collect()
    }
}

/// The files that were made, and why.
fn made_by(options: &Options) -> Vec<(String, State)> {
    let entries = refresh(options).unwrap();
    entries.into_iter().filter(|e| e.state != State::Kept).map(|e| (e.file, e.state)).collect()
}

#[test]
fn every_file_of_the_set_is_there() {
    let files = Set::made().contents();
    let mut expected = vec![".lock".to_owned(), "crl.pem".to_owned()];
    let clients = CLIENTS.iter().map(|client| format!("clients/{client}"));
    for name in ["ca", "other-ca", "server"].map(str::to_owned).into_iter().chain(clients) {
        expected.extend([format!("{name}.pem"), format!("{name}-key.pem")]);
    }
    expected.sort();
    assert_eq!(files.into_keys().collect::<Vec<_>>(), expected);
}

#[test]
fn the_authority_signed_every_certificate_but_one() {
    let set = Set::made();
    let (ours, other) = (set.authority("ca"), set.authority("other-ca"));
    assert!(ours.signed(&set.certificate("server.pem")));
    for client in CLIENTS {
        let certificate = set.certificate(&format!("clients/{client}.pem"));
        assert_eq!(ours.signed(&certificate), client != "other-ca", "{client}");
        assert_eq!(other.signed(&certificate), client == "other-ca", "{client}");
    }
}

#[test]
fn a_client_is_named_by_one_spiffe_id_and_its_group() {
    let set = Set::made();
    for (client, groups) in
        [("viewer", vec!["viewers"]), ("operator", vec!["operators"]), ("ci", vec!["ci"]), ("stranger", vec![])]
    {
        let profile = set.certificate(&format!("clients/{client}.pem")).profile;
        assert_eq!(profile.uris, [format!("spiffe://scalegate.test/{client}")]);
        assert_eq!(profile.organizations, groups);
        assert_eq!(profile.common_name.as_deref(), Some(client));
        assert_eq!(profile.purposes, [Purpose::ClientAuth]);
        assert!(profile.dns.is_empty() && profile.ips.is_empty() && !profile.is_ca);
    }
}

#[test]
fn each_unusable_certificate_is_so_for_its_own_reason_alone() {
    let set = Set::made();
    let now = OffsetDateTime::now_utc();
    let revoked = Crl::from_pem(&set.read("crl.pem")).unwrap().revoked;
    for client in CLIENTS {
        let certificate = set.certificate(&format!("clients/{client}.pem"));
        assert_eq!(certificate.validity.is_over(now), client == "expired", "{client}");
        assert_eq!(revoked.contains(&certificate.serial), client == "revoked", "{client}");
        assert_eq!(certificate.profile.purposes == [Purpose::ServerAuth], client == "wrong-eku", "{client}");
    }
}

#[test]
fn the_server_has_the_usual_names_and_those_asked_for() {
    let set = Set::made();
    let mut options = set.options();
    options.server_sans = vec!["gate.example".to_owned(), "10.1.2.3".to_owned()];
    assert_eq!(made_by(&options), [("server.pem".to_owned(), State::Different)]);
    let profile = set.certificate("server.pem").profile;
    assert_eq!(profile.dns, ["localhost", "scalegate", "scalegate.scalegate.svc", "gate.example"]);
    assert_eq!(profile.ips.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.1", "::1", "10.1.2.3"]);
    assert_eq!(profile.purposes, [Purpose::ServerAuth]);
}

#[test]
fn keys_are_their_owners_alone() {
    let set = Set::made();
    for file in set.contents().keys().filter(|file| *file != ".lock") {
        assert_eq!(set.mode(file), if file.ends_with("-key.pem") { 0o600 } else { 0o644 }, "{file}");
    }
}

#[test]
fn a_key_that_others_may_read_is_taken_from_them() {
    let set = Set::made();
    for key in ["ca-key.pem", "clients/ci-key.pem"] {
        fs::set_permissions(set.path().join(key), Permissions::from_mode(0o644)).unwrap();
        assert_eq!(set.refresh(), []);
        assert_eq!(set.mode(key), 0o600);
    }
}

#[test]
fn a_second_run_changes_no_byte() {
    let set = Set::made();
    let before = set.contents();
    assert_eq!(set.refresh(), []);
    assert_eq!(set.contents(), before);
}

#[test]
fn what_is_missing_is_made_and_nothing_else() {
    let set = Set::made();
    set.remove("clients/viewer.pem");
    set.remove("clients/operator-key.pem");
    let before = set.contents();
    let missing = |file: &str| (file.to_owned(), State::Missing);
    assert_eq!(set.refresh(), [missing("clients/viewer.pem"), missing("clients/operator.pem")]);
    let after = set.contents();
    let changed: Vec<_> = before.iter().filter(|(file, content)| after.get(*file) != Some(*content)).collect();
    assert_eq!(
        changed.into_iter().map(|(file, _)| file.as_str()).collect::<Vec<_>>(),
        ["clients/operator.pem", "clients/viewer-key.pem"]
    );
}

#[test]
fn what_is_unreadable_or_belongs_to_another_is_made_anew() {
    let set = Set::made();
    set.write("clients/viewer.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    set.write("clients/ci-key.pem", &set.read("clients/operator-key.pem"));
    set.write("clients/stranger.pem", &set.read("clients/operator.pem"));
    set.write("clients/stranger-key.pem", &set.read("clients/operator-key.pem"));
    set.write("crl.pem", "");
    assert_eq!(
        set.refresh(),
        [
            ("clients/viewer.pem".to_owned(), State::Unreadable),
            ("clients/ci.pem".to_owned(), State::Different),
            ("clients/stranger.pem".to_owned(), State::Different),
            ("crl.pem".to_owned(), State::Unreadable),
        ]
    );
    assert_eq!(set.refresh(), []);
}

#[test]
fn what_ends_soon_is_made_anew() {
    let set = Set::made();
    let now = OffsetDateTime::now_utc();
    let nearly_over = Validity::between(now - Duration::days(80), now + Duration::days(10));
    let viewer = LeafSpec::client("viewer").uri("spiffe://scalegate.test/viewer").organization("viewers");
    let issued = set.authority("ca").issue(&viewer.validity(nearly_over)).unwrap();
    set.write("clients/viewer.pem", &issued.cert_pem);
    set.write("clients/viewer-key.pem", &issued.key_pem);
    let mut patient = set.options();
    patient.renew_percent = 10;
    assert_eq!(made_by(&patient), []);
    assert_eq!(set.refresh(), [("clients/viewer.pem".to_owned(), State::Ending)]);
}

#[test]
fn a_revocation_list_that_has_ended_is_renewed_and_forgets_nothing() {
    let set = Set::made();
    let revoked = Crl::from_pem(&set.read("crl.pem")).unwrap().revoked;
    let more = [revoked[0].clone(), set.certificate("clients/ci.pem").serial];
    set.write("crl.pem", &set.authority("ca").crl(&more, OffsetDateTime::now_utc() - Duration::hours(1)).unwrap());
    assert_eq!(set.refresh(), [("crl.pem".to_owned(), State::Ending)]);
    let renewed = Crl::from_pem(&set.read("crl.pem")).unwrap();
    assert!(more.iter().all(|serial| renewed.revoked.contains(serial)));
    assert!(renewed.validity.not_after > OffsetDateTime::now_utc() + Duration::days(20));
}

#[test]
fn a_new_revoked_certificate_is_revoked_beside_the_old_one() {
    let set = Set::made();
    let old = set.certificate("clients/revoked.pem").serial;
    set.remove("clients/revoked.pem");
    set.refresh();
    let revoked = Crl::from_pem(&set.read("crl.pem")).unwrap().revoked;
    assert!(revoked.contains(&old) && revoked.contains(&set.certificate("clients/revoked.pem").serial));
}

#[test]
fn another_trust_domain_makes_the_clients_anew_under_the_same_authority() {
    let set = Set::made();
    let authority = set.read("ca.pem");
    let options = Options { trust_domain: "other.test".to_owned(), ..set.options() };
    assert_eq!(made_by(&options).len(), CLIENTS.len() + 1);
    assert_eq!(set.certificate("clients/ci.pem").profile.uris, ["spiffe://other.test/ci"]);
    assert_eq!(set.read("ca.pem"), authority);
}

#[test]
fn a_corrupt_authority_is_an_error_and_only_force_replaces_it() {
    let set = Set::made();
    set.write("ca.pem", "what is this");
    let before = set.contents();
    let error = refresh(&set.options()).unwrap_err();
    assert!(matches!(error, DevelopmentError::Authority { .. }));
    assert!(error.to_string().contains("--force"));
    assert_eq!(set.contents(), before);
    let made = made_by(&Options { force: true, ..set.options() });
    assert!(made.iter().all(|(_, state)| *state == State::Forced));
    assert_eq!(set.refresh(), []);
}

#[test]
fn an_authority_with_a_strange_or_missing_key_is_an_error() {
    let set = Set::made();
    set.write("ca-key.pem", &set.read("server-key.pem"));
    assert!(matches!(refresh(&set.options()), Err(DevelopmentError::Authority { .. })));
    set.remove("ca-key.pem");
    assert!(matches!(refresh(&set.options()), Err(DevelopmentError::AuthorityKey { .. })));
}

#[test]
fn an_authority_that_ends_soon_is_renewed_with_all_that_it_signed() {
    let set = Set::made();
    let now = OffsetDateTime::now_utc();
    let old = Validity::between(now - Duration::days(300), now + Duration::days(65));
    let old = CertificateAuthority::new("scalegate development CA", old).unwrap();
    set.write("ca.pem", old.cert_pem());
    set.write("ca-key.pem", &old.key_pem());
    let made = set.refresh();
    assert_eq!(made[0], ("ca.pem".to_owned(), State::Ending));
    assert_eq!(made.len(), 1 + 1 + (CLIENTS.len() - 1) + 1);
}

#[test]
fn an_interrupted_run_is_completed_and_its_litter_removed() {
    let set = Set { directory: TempDir::new().unwrap() };
    let begun = CertificateAuthority::new("begun", Validity::days(1)).unwrap();
    set.write("ca-key.pem", &begun.key_pem());
    set.write(".certs-AbC123", "half a key");
    assert!(set.refresh().iter().all(|(_, state)| *state == State::Missing));
    assert!(!set.path().join(".certs-AbC123").exists());
    assert_eq!(set.refresh(), []);
}

#[test]
fn runs_at_the_same_time_make_one_set() {
    let set = Set { directory: TempDir::new().unwrap() };
    let made: usize = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| set.refresh().len())).collect();
        runs.into_iter().map(|run| run.join().unwrap()).sum()
    });
    assert_eq!(made, 2 + 1 + CLIENTS.len() + 1);
    assert_eq!(set.refresh(), []);
}

fn certs(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_certs")).args(arguments).output().unwrap()
}

#[test]
fn the_command_tells_each_file_and_what_it_is_for() {
    let directory = TempDir::new().unwrap();
    let output = certs(&["--out", directory.path().join("new/dev").to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for client in CLIENTS {
        assert!(text.contains(&format!("clients/{client}.pem")), "{text}");
    }
    assert!(text.contains("12 made, 0 kept"), "{text}");
}

#[test]
fn a_wrong_flag_ends_the_command_with_2_and_a_broken_set_with_1() {
    for wrong in [&["--renew-percent", "200"][..], &["--server-san", "a b"], &["--trust-domain", "A/b"], &["extra"]] {
        assert_eq!(certs(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let set = Set::made();
    set.write("ca.pem", "");
    let output = certs(&["--out", set.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("ca.pem cannot be used"));
}
