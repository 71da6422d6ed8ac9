//! A directory of policies whose module was cut or changed on its way: it is refused by its digest. Where the digest is
//! that of the changed module, it is refused for what it is, or answers whatever it is asked.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest::{Context as Digest, SHA256};
use fastrand::Rng;
use jiff::Timestamp;
use scalegate::policy::{Engine, PolicySet, Trial, TrialError, try_out};
use scalegate_tests::paths::repository;
use scalegate_tests::policies::copy;
use tempfile::TempDir;

use super::guest::section_ends;
use crate::modules::sha256;
use crate::soak;

/// The cuts and changes that a run of all tests tries: what one costs is mostly to compile it.
const SAMPLE: usize = 200;
/// The changes that `make soak PART=modules` tries; it tries every cut.
const CHANGES: usize = 10_000;

/// The example's module.
fn example() -> Result<Vec<u8>> {
    fs::read(repository().join("target/policies/normal/scalegate.wasm")).context("run `make policies`")
}

/// The example's set, whose module can be changed in place.
struct Directory {
    root: TempDir,
    module: File,
    manifest: String,
    /// The digest of the whole module.
    pin: String,
    engine: Engine,
}

impl Directory {
    fn new(engine: &Engine, whole: &[u8]) -> Result<Self> {
        let root = TempDir::new()?;
        copy("normal", root.path())?;
        let module = File::options().write(true).open(root.path().join("scalegate.wasm"))?;
        // Time for a busy machine.
        let manifest = fs::read_to_string(root.path().join("policies.yaml"))?;
        let manifest = manifest.replace("    budget:\n", "    budget:\n      deadline: 1s\n");
        let pin = sha256(whole);
        ensure!(manifest.contains(&pin), "the digest of another module");
        Ok(Self { root, module, manifest, pin, engine: engine.clone() })
    }

    /// What comes of loading the set: an error, or the set that serves.
    fn load(&self, pin: &str) -> Result<Result<PolicySet, String>> {
        fs::write(self.root.path().join("policies.yaml"), self.manifest.replace(&self.pin, pin))?;
        Ok(PolicySet::load(&self.engine, self.root.path()).map_err(|error| error.to_string()))
    }

    /// Loads it with the digest of the whole module, and then with `pin`, that of what is there now.
    fn try_both(&self, pin: &str) -> Result<Option<PolicySet>> {
        let refused = self.load(&self.pin)?.err().context("a module of another digest was loaded")?;
        ensure!(refused.contains(&format!("its sha256 is {pin}, not {}", self.pin)), "{refused}");
        match self.load(pin)? {
            Ok(set) => Ok(Some(set)),
            Err(error) => {
                ensure!(error.starts_with("module \"scalegate\" (scalegate.wasm): "), "{error}");
                Ok(None)
            }
        }
    }
}

/// What a set says to an example's question; `None` where it has no verdict.
fn verdict(set: &PolicySet) -> Result<Option<Trial>> {
    let question = fs::read_to_string(repository().join("policies/rego/examples/operator-sets.input.json"))?;
    match try_out(set, &question, Timestamp::UNIX_EPOCH) {
        Ok(trial) => Ok(Some(trial)),
        Err(TrialError::Unavailable(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Does `work` for each of `all`, on as many threads as there are processors, and says how far it is.
fn in_parallel<T: Sync>(what: &str, all: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let (next, threads) = (AtomicUsize::new(0), thread::available_parallelism().map_or(1, NonZero::get));
    thread::scope(|scope| {
        let worker = || -> Result<()> {
            loop {
                let number = next.fetch_add(1, Relaxed);
                let Some(one) = all.get(number) else { return Ok(()) };
                work(one)?;
                if (number + 1).is_multiple_of(10) {
                    println!("{what}: part {} of {}", number + 1, all.len());
                }
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap())
    })
}

#[test]
fn a_module_that_is_cut_anywhere_is_refused_or_is_the_same_without_its_last_sections() -> Result<()> {
    let (engine, whole) = (Engine::new()?, example()?);
    let ends = section_ends(&whole);
    let mut random = Rng::with_seed(7);
    let cuts: BTreeSet<usize> = if soak::is_asked_for() {
        (0..whole.len()).collect()
    } else {
        let at_ends = ends.iter().flat_map(|end| [end - 1, *end, end + 1]).filter(|cut| *cut < whole.len());
        at_ends.chain((0..SAMPLE).map(|_| random.usize(..whole.len()))).collect()
    };
    // Each thread goes through a part from its longest to its shortest cut.
    let parts: Vec<Vec<usize>> = cuts.into_iter().rev().collect::<Vec<_>>().chunks(500).map(<[_]>::to_vec).collect();
    let (refused, same) = (AtomicUsize::new(0), AtomicUsize::new(0));
    in_parallel("cuts", &parts, |part| {
        let directory = Directory::new(&engine, &whole)?;
        for cut in part {
            directory.module.set_len(*cut as u64)?;
            let mut pin = Digest::new(&SHA256);
            pin.update(&whole[..*cut]);
            let Some(set) = directory.try_both(&scalegate::hex::encode(pin.finish()))? else {
                refused.fetch_add(1, Relaxed);
                continue;
            };
            ensure!(ends.contains(cut), "cut after {cut} bytes, it was loaded");
            ensure!(verdict(&set)?.is_some_and(|trial| trial.allow), "cut after {cut} bytes, it says something else");
            same.fetch_add(1, Relaxed);
        }
        Ok(())
    })?;
    println!("{refused:?} cuts were refused, {same:?} cut off what means nothing");
    Ok(())
}

#[test]
fn a_module_with_another_bit_is_refused_by_its_digest_and_ends_nothing_without() -> Result<()> {
    let (engine, whole) = (Engine::new()?, example()?);
    let mut random = Rng::with_seed(7);
    let count = soak::or(SAMPLE, CHANGES);
    let changes: Vec<_> = (0..count).map(|_| (random.usize(..whole.len()), 1 << random.u8(..8))).collect();
    let parts: Vec<_> = changes.chunks(25).collect();
    let (refused, loaded, silent) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    in_parallel("changed bits", &parts, |part| {
        let directory = Directory::new(&engine, &whole)?;
        let mut bytes = whole.clone();
        for (at, bit) in *part {
            bytes[*at] ^= bit;
            directory.module.write_all_at(&bytes[*at..=*at], *at as u64)?;
            match directory.try_both(&sha256(&bytes)).with_context(|| format!("bit {bit} of byte {at}"))? {
                None => refused.fetch_add(1, Relaxed),
                Some(set) if verdict(&set)?.is_none() => silent.fetch_add(1, Relaxed),
                Some(_) => loaded.fetch_add(1, Relaxed),
            };
            bytes[*at] ^= bit;
            directory.module.write_all_at(&bytes[*at..=*at], *at as u64)?;
        }
        Ok(())
    })?;
    println!(
        "{refused:?} of {count} were refused, {loaded:?} gave a verdict, {silent:?} gave none to another question"
    );
    ensure!(loaded.into_inner() > 0 && refused.into_inner() > 0, "changes that all end alike try nothing");
    Ok(())
}
