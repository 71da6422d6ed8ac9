//! Bundles, as `opa build` writes them: a compressed archive with a module, its data and a manifest.

use std::io::{self, Read, Take};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use tar::{Archive, EntryType};
use thiserror::Error;

use super::{MODULE_BYTES, data};

/// How the name of a bundle ends.
const ENDING: &str = ".tar.gz";
/// Room for the other files of a bundle, unpacked: its sources and its manifest, in bytes.
const REST: u64 = 4 << 20;
const MODULE: &str = "policy.wasm";
const DATA: &str = "data.json";
const MANIFEST: &str = ".manifest";
/// The longest manifest that is read, in bytes.
const MANIFEST_BYTES: u64 = 64 << 10;
/// The names of files that OPA reads data from.
const DATA_NAMES: [&str; 3] = [DATA, "data.yaml", "data.yml"];

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
    #[error("it is not a bundle (a .tar.gz written by `opa build`): {0}")]
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
    /// One of its files is too long, or no file.
    #[error("its {name} is no file of at most {most} bytes")]
    File {
        /// Its name.
        name: &'static str,
        /// The most bytes that it may have.
        most: u64,
    },
    /// It has data where `opa build` puts none.
    #[error("it has data in {0}: `opa build` writes all data into one data.json")]
    Elsewhere(String),
    /// It has several modules.
    #[error("its {MANIFEST} names {0} modules: give each of them an entry and a bundle")]
    Modules(usize),
    /// Its manifest is not valid.
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
    let mut archive = Archive::new(MultiGzDecoder::new(bytes).take(most));
    let [wasm, data, manifest] = [(MODULE, MODULE_BYTES), (DATA, data::BYTES), (MANIFEST, MANIFEST_BYTES)];
    let mut wanted = [wasm, data, manifest].map(|(name, most)| Wanted { name, most, content: None });
    let read = read(&mut archive, &mut wanted);
    if archive.into_inner().limit() == 0 {
        return Err(BundleError::TooLong(most));
    }
    read?;
    let [wasm, data, manifest] = wanted.map(|wanted| wanted.content);
    if let Some(manifest) = manifest {
        let Manifest { wasm } = serde_json::from_slice(&manifest)?;
        if wasm.len() > 1 {
            return Err(BundleError::Modules(wasm.len()));
        }
    }
    let is_empty = |data: &[u8]| data.iter().filter(|byte| !byte.is_ascii_whitespace()).eq(b"{}");
    Ok(Bundle { wasm: wasm.ok_or(BundleError::NoModule)?, data: data.filter(|data| !is_empty(data)) })
}

/// A file that is read.
struct Wanted {
    name: &'static str,
    most: u64,
    content: Option<Vec<u8>>,
}

/// Reads the wanted files of an archive. Others, such as sources, are skipped.
fn read(archive: &mut Archive<Take<MultiGzDecoder<&[u8]>>>, wanted: &mut [Wanted]) -> Result<(), BundleError> {
    for entry in archive.entries()? {
        let entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = path.strip_prefix("./").or(path.strip_prefix('/')).unwrap_or(&path);
        let Some(Wanted { name, most, content }) = wanted.iter_mut().find(|wanted| wanted.name == name) else {
            if name.rsplit('/').next().is_some_and(|last| DATA_NAMES.contains(&last)) {
                return Err(BundleError::Elsewhere(name.to_owned()));
            }
            continue;
        };
        // Of a sparse file, the archive has less than is read.
        let (name, most) = (*name, *most);
        if entry.header().entry_type() != EntryType::Regular || entry.size() > most {
            return Err(BundleError::File { name, most });
        }
        let mut bytes = Vec::new();
        entry.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(BundleError::File { name, most });
        }
        if content.replace(bytes).is_some() {
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
        assert!(told(b"\0asm").contains("it is not a bundle"));
        assert!(told(b"").contains("it is not a bundle"));
        assert!(told(&bundle(&[("/data.json", b"{}")])).contains("it has no policy.wasm: build it with"));
        assert!(told(&bundle(&[("policy.wasm", b""), ("./policy.wasm", b"")])).contains("it has policy.wasm twice"));
        let two = br#"{"wasm":[{},{}]}"#;
        assert!(told(&bundle(&[("/.manifest", two), ("/policy.wasm", b"")])).contains("names 2 modules"));
        assert!(told(&bundle(&[("/.manifest", b"{"), ("/policy.wasm", b"")])).contains("its .manifest: "));
    }

    /// A bundle of one entry of this type; a sparse one is a hole of three gibibytes.
    fn of_type(kind: EntryType) -> Vec<u8> {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_path("policy.wasm").unwrap();
        header.set_entry_type(kind);
        header.set_size(0);
        let (length, gnu) = (*b"30000000000\0", header.as_gnu_mut().unwrap());
        (gnu.realsize, gnu.sparse[0].offset, gnu.sparse[0].numbytes) = (length, length, *b"00000000000\0");
        header.set_cksum();
        archive.append(&header, &b""[..]).unwrap();
        archive.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn a_module_that_is_no_ordinary_file_is_refused_and_nothing_is_taken_for_it() {
        for kind in [EntryType::GNUSparse, EntryType::Symlink, EntryType::Directory] {
            let told = unpack(&of_type(kind)).unwrap_err().to_string();
            assert!(told.contains("its policy.wasm is no file of at most 33554432 bytes"), "{kind:?}: {told}");
        }
    }

    #[test]
    fn data_of_more_than_a_mebibyte_or_in_another_place_is_refused() {
        let told = |files: &[(&str, &[u8])]| unpack(&bundle(files)).unwrap_err().to_string();
        let long = vec![b' '; (1 << 20) + 1];
        assert!(told(&[("/data.json", &long), ("/policy.wasm", b"")]).contains("its data.json is no file of at most"));
        for name in ["/teams/data.json", "/data.yaml", "././data.json"] {
            assert!(told(&[(name, b"{}"), ("/policy.wasm", b"")]).contains("it has data in "), "{name}");
        }
    }

    #[test]
    fn a_bundle_that_unpacks_to_very_much_is_refused_before_it_is_unpacked() {
        let zeros = vec![0; 40 << 20];
        let bytes = bundle(&[("/zeros.rego", &zeros), ("/policy.wasm", b"wasm")]);
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
