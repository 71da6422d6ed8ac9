//! Bundles, as `opa build` writes them: a compressed archive with a module, its data and a manifest.

use std::io::{self, Read, Take};

use flate2::read::GzDecoder;
use serde::Deserialize;
use tar::Archive;
use thiserror::Error;

use super::{MODULE_BYTES, data};

/// How the name of a bundle ends.
const ENDING: &str = ".tar.gz";
/// What a bundle may have beside its module and its data, unpacked: its sources and its manifest, in bytes.
const REST: u64 = 4 << 20;
const MODULE: &str = "policy.wasm";
const DATA: &str = "data.json";
const MANIFEST: &str = ".manifest";

/// What the gateway takes of a bundle.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bundle {
    pub(super) wasm: Vec<u8>,
    /// Its data; `None` where it has none, or an empty object.
    pub(super) data: Option<Vec<u8>>,
}

/// Why a bundle cannot be used.
#[derive(Debug, Error)]
pub enum BundleError {
    /// It cannot be unpacked.
    #[error("it is no bundle, which is a .tar.gz that `opa build` writes: {0}")]
    Archive(#[from] io::Error),
    /// It is too long.
    #[error("it unpacks to more than {0} bytes")]
    TooLong(u64),
    /// It has no module.
    #[error("it has no {MODULE}: build it with `opa build --target wasm --entrypoint scalegate/verdict`")]
    NoModule,
    /// It has a file twice.
    #[error("it has {0} twice")]
    Twice(&'static str),
    /// It has several modules.
    #[error("its {MANIFEST} names {0} modules: give each of them an entry and a bundle")]
    Modules(usize),
    /// Its manifest is none.
    #[error("its {MANIFEST}: {0}")]
    Manifest(#[from] serde_json::Error),
    /// It has data, and its entry names other data.
    #[error("it has data, so its entry must not name a file of data")]
    DataTwice,
}

/// What is read of a manifest.
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    wasm: Vec<serde::de::IgnoredAny>,
}

/// Whether a file of this name is a bundle.
pub(super) fn is_bundle(file: &str) -> bool {
    file.ends_with(ENDING)
}

/// Unpacks a bundle in memory. It never takes more than a module and its data may have.
pub(super) fn unpack(bytes: &[u8]) -> Result<Bundle, BundleError> {
    let most = MODULE_BYTES + data::BYTES + REST;
    let mut archive = Archive::new(GzDecoder::new(bytes).take(most));
    let [mut wasm, mut data, mut manifest] = [None, None, None];
    let read = read(&mut archive, &mut [(MODULE, &mut wasm), (DATA, &mut data), (MANIFEST, &mut manifest)]);
    if archive.into_inner().limit() == 0 {
        return Err(BundleError::TooLong(most));
    }
    read?;
    if let Some(manifest) = manifest {
        let Manifest { wasm } = serde_json::from_slice(&manifest)?;
        if wasm.len() > 1 {
            return Err(BundleError::Modules(wasm.len()));
        }
    }
    let is_empty = |data: &[u8]| data.iter().filter(|byte| !byte.is_ascii_whitespace()).eq(b"{}");
    Ok(Bundle { wasm: wasm.ok_or(BundleError::NoModule)?, data: data.filter(|data| !is_empty(data)) })
}

/// Reads the wanted files of an archive. Others, such as sources, are skipped.
fn read(
    archive: &mut Archive<Take<GzDecoder<&[u8]>>>,
    wanted: &mut [(&'static str, &mut Option<Vec<u8>>)],
) -> Result<(), BundleError> {
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path_bytes();
        let name = path.strip_prefix(b"./").or(path.strip_prefix(b"/")).unwrap_or(&path).to_vec();
        let Some((name, found)) = wanted.iter_mut().find(|(wanted, _)| name == wanted.as_bytes()) else { continue };
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        if found.replace(content).is_some() {
            return Err(BundleError::Twice(name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn bundle(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            // As `opa build` writes them, which the crate's own setter refuses.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            archive.append(&header, *content).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn a_bundle_has_a_module_and_perhaps_data() {
        let manifest =
            br#"{"revision":"","roots":[""],"wasm":[{"entrypoint":"scalegate/verdict","module":"/policy.wasm"}]}"#;
        let with = |data: &'static [u8]| {
            unpack(&bundle(&[
                ("/data.json", data),
                ("/.manifest", manifest),
                ("/policy.rego", b"package scalegate"),
                ("/policy.wasm", b"wasm"),
            ]))
            .unwrap()
        };
        assert_eq!(with(b"{}\n"), Bundle { wasm: b"wasm".to_vec(), data: None });
        assert_eq!(with(b"{\"a\":1}"), Bundle { wasm: b"wasm".to_vec(), data: Some(b"{\"a\":1}".to_vec()) });
    }

    #[test]
    fn what_is_no_bundle_is_refused_and_why() {
        let told = |bytes: &[u8]| unpack(bytes).unwrap_err().to_string();
        assert!(told(b"\0asm").contains("it is no bundle"));
        assert!(told(b"").contains("it is no bundle") || told(b"").contains("it has no policy.wasm"));
        assert!(told(&bundle(&[("/data.json", b"{}")])).contains("it has no policy.wasm: build it with"));
        assert!(told(&bundle(&[("policy.wasm", b""), ("./policy.wasm", b"")])).contains("it has policy.wasm twice"));
        let two = br#"{"wasm":[{},{}]}"#;
        assert!(told(&bundle(&[("/.manifest", two), ("/policy.wasm", b"")])).contains("names 2 modules"));
        assert!(told(&bundle(&[("/.manifest", b"[]"), ("/policy.wasm", b"")])).contains("its .manifest: "));
    }

    #[test]
    fn a_bundle_that_unpacks_to_very_much_is_refused_before_it_is_unpacked() {
        let zeros = vec![0; 40 << 20];
        let bytes = bundle(&[("/policy.wasm", &zeros)]);
        assert!(bytes.len() < 1 << 20);
        assert!(unpack(&bytes).unwrap_err().to_string().contains("it unpacks to more than 38797312 bytes"));
    }

    #[test]
    fn a_bundle_that_is_cut_anywhere_is_refused_or_the_whole() {
        let bytes = bundle(&[("/data.json", b"{\"a\":1}"), ("/policy.wasm", &[7; 3000])]);
        let whole = unpack(&bytes).unwrap();
        for end in 0..bytes.len() {
            match unpack(&bytes[..end]) {
                Ok(cut) => assert_eq!(cut, whole, "{end}"),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}
