//! Good changes are taken over, bad ones leave the last good set and say why.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;
use crate::files::RETRIES;
use crate::policy::engine::Engine;
use crate::policy::rego::testing::Fake;
use crate::policy::testing::{Written, metrics, module, sha256, write};

struct Served {
    directory: TempDir,
    reloader: PolicyReloader,
    live: Arc<Live>,
}

impl Served {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        write(directory.path(), &[good()]);
        let (reloader, live) =
            PolicyReloader::start(Loader::new(Engine::new().unwrap()), directory.path(), metrics()).unwrap();
        Self { directory, reloader, live }
    }

    async fn poll(&self) {
        self.reloader.0.poll().await;
    }

    fn digest(&self) -> String {
        self.live.status().digest
    }

    fn error(&self) -> Option<String> {
        self.live.status().last_error.map(|error| error.message)
    }
}

/// A change of a directory.
type Edit<'a> = &'a dyn Fn(&Path);

fn good() -> Written {
    module("a", &Fake::default())
}

fn other() -> Written {
    module("a", &Fake::giving(r#"{"allow":false,"reasons":["changed"]}"#))
}

#[tokio::test]
async fn a_changed_set_serves_after_the_next_look() {
    let served = Served::start();
    let before = served.digest();
    served.poll().await;
    assert_eq!(served.digest(), before);
    write(served.directory.path(), &[other()]);
    served.poll().await;
    assert_ne!(served.digest(), before);
    assert_eq!(served.error(), None);
}

#[tokio::test]
async fn a_reload_compiles_only_what_changed() {
    let served = Served::start();
    let compiled = |served: &Served| served.reloader.0.with_source(|directory| directory.loader.compiled());
    assert_eq!(compiled(&served), 1);
    let denying = Fake::giving(r#"{"allow":false,"reasons":["changed"]}"#);
    let settings = || good().with(", settings: {max: 3}");
    // What is changed, and how many modules are compiled.
    let changes: [(&str, Edit<'_>, usize); 5] = [
        ("a setting", &|path| write(path, &[settings()]), 0),
        ("a match", &|path| write(path, &[settings().with(", match: {actions: [get]}")]), 0),
        ("one more of the same bytes", &|path| write(path, &[settings(), module("b", &Fake::default())]), 0),
        ("one of two modules", &|path| write(path, &[settings(), module("b", &denying)]), 1),
        ("their order", &|path| write(path, &[module("b", &denying), settings()]), 0),
    ];
    for (what, change, expected) in changes {
        let before = served.digest();
        change(served.directory.path());
        served.poll().await;
        assert_eq!((served.error(), compiled(&served)), (None, expected), "{what}");
        assert_ne!(served.digest(), before, "{what}");
    }
}

#[tokio::test]
async fn what_a_torn_set_compiled_is_not_compiled_again() {
    let served = Served::start();
    let compiled = |served: &Served| served.reloader.0.with_source(|directory| directory.loader.compiled());
    write(served.directory.path(), &[other(), module("b", &Fake::default())]);
    fs::remove_file(served.directory.path().join("b.wasm")).unwrap();
    served.poll().await;
    assert!(served.error().is_some());
    assert_eq!(compiled(&served), 1);
    fs::write(served.directory.path().join("b.wasm"), Fake::default().wasm()).unwrap();
    served.poll().await;
    assert_eq!((served.error(), compiled(&served)), (None, 0));
    // What serves no more is not kept.
    write(served.directory.path(), &[other()]);
    served.poll().await;
    write(served.directory.path(), &[good()]);
    served.poll().await;
    assert_eq!((served.error(), compiled(&served)), (None, 1));
}

#[tokio::test]
async fn a_changed_data_file_is_noticed_and_a_torn_one_passes() {
    let served = Served::start();
    let named = |text: &str| good().with(&format!(", data: data.json, dataSha256: {}", sha256(text.as_bytes())));
    let file = served.directory.path().join("data.json");
    fs::write(&file, "{}").unwrap();
    write(served.directory.path(), &[named("{}")]);
    served.poll().await;
    assert_eq!(served.error(), None);
    let before = served.digest();
    fs::write(&file, "{\"a\": 1}").unwrap();
    served.poll().await;
    assert_eq!(served.digest(), before);
    assert!(served.error().is_some_and(|error| error.contains("its data: the sha256 of data.json is ")));
    write(served.directory.path(), &[named("{\"a\": 1}")]);
    served.poll().await;
    assert_eq!(served.error(), None);
    assert_ne!(served.digest(), before);
}

#[tokio::test]
async fn every_broken_directory_leaves_the_last_good_set_and_says_why() {
    let served = Served::start();
    let before = served.digest();
    let no_entrypoint = Fake { entrypoints: "{}".to_owned(), ..Fake::default() };
    let other_shape = |path: &Path| write(path, &[module("a", &Fake::giving(r#""dns:secret""#))]);
    let unnamed = |path: &Path| fs::write(path.join("data.json"), "{}").unwrap();
    let broken: [(&str, Edit<'_>); 8] = [
        ("policies.yaml: ", &|path| fs::write(path.join("policies.yaml"), "modules: [").unwrap()),
        ("would deny everything", &|path| fs::write(path.join("policies.yaml"), "modules: []").unwrap()),
        ("cannot be read", &|path| fs::remove_file(path.join("policies.yaml")).unwrap()),
        ("it has no entrypoint", &|path| write(path, &[module("a", &no_entrypoint)])),
        ("its sha256 is", &|path| fs::write(path.join("a.wasm"), "torn").unwrap()),
        ("asked about get, its answer is not a valid verdict: ", &other_shape),
        ("data.json is in the directory, but policies.yaml does not name it", &unnamed),
        ("does not compile", &|path| write(path, &[Written { wasm: b"\0asm".to_vec(), ..good() }])),
    ];
    for (reason, break_it) in broken {
        break_it(served.directory.path());
        served.poll().await;
        assert_eq!(served.digest(), before, "{reason}");
        assert!(served.error().is_some_and(|error| error.contains(reason)), "{reason}: {:?}", served.error());
        // Whatever a module answers with may be of its settings, and the status is for everyone in the cluster.
        assert!(!served.error().is_some_and(|error| error.contains("secret")));
        let _ = fs::remove_file(served.directory.path().join("data.json"));
    }
    write(served.directory.path(), &[good()]);
    served.poll().await;
    assert_eq!((served.digest(), served.error()), (before, None));
}

#[tokio::test]
async fn a_bad_set_is_tried_once_and_a_torn_one_a_bounded_number_of_times() {
    let served = Served::start();
    let attempts = |served: &Served| served.reloader.0.with_source(|directory| directory.metrics.failures());
    fs::write(served.directory.path().join("policies.yaml"), "modules: []").unwrap();
    for _ in 0..3 {
        served.poll().await;
    }
    assert_eq!(attempts(&served), 1);
    write(served.directory.path(), &[good()]);
    fs::remove_file(served.directory.path().join("a.wasm")).unwrap();
    for _ in 0..2 * RETRIES {
        served.poll().await;
    }
    assert_eq!(attempts(&served), 2 + u64::from(RETRIES));
    fs::write(served.directory.path().join("a.wasm"), good().wasm).unwrap();
    served.poll().await;
    assert_eq!(served.error(), None);
}

/// As the kubelet lays out a mounted `ConfigMap`: `policies.yaml -> ..data/policies.yaml`, `..data -> ..1`.
#[tokio::test]
async fn the_swap_of_a_mounted_config_map_is_noticed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    for (version, module) in [("..1", good()), ("..2", other())] {
        fs::create_dir(path.join(version)).unwrap();
        write(&path.join(version), &[module]);
    }
    symlink("..1", path.join("..data")).unwrap();
    for file in ["policies.yaml", "a.wasm"] {
        symlink(format!("..data/{file}"), path.join(file)).unwrap();
    }
    let (reloader, live) = PolicyReloader::start(Loader::new(Engine::new().unwrap()), path, metrics()).unwrap();
    let before = live.status().digest;
    symlink("..2", path.join("..data_tmp")).unwrap();
    fs::rename(path.join("..data_tmp"), path.join("..data")).unwrap();
    reloader.0.poll().await;
    assert_ne!(live.status().digest, before);
    let after = live.status().digest;
    symlink("..1", path.join("..data_tmp")).unwrap();
    fs::rename(path.join("..data_tmp"), path.join("..data")).unwrap();
    reloader.0.poll().await;
    assert_eq!(live.status().digest, before);
    assert_ne!(after, before);
}

#[test]
fn a_bad_set_at_the_start_is_an_error() {
    let directory = TempDir::new().unwrap();
    let started = PolicyReloader::start(Loader::new(Engine::new().unwrap()), directory.path(), metrics());
    assert!(matches!(started, Err(SetError::Read(_))));
}
