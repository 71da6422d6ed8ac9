//! Reads the files of a set, within its limits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256, digest};

use super::bundle::{self, Bundle, BundleError};
use super::error::SetLimit;
use super::manifest::{DataFile, Entry};
use super::{MODULE_BYTES, ModuleError, SetDigest, add, data, read};
use crate::hex;
use crate::policy::rego;

/// An entry whose files are read and have the right digests; the module is not compiled yet.
pub(super) struct Checked {
    pub(super) entry: Entry,
    /// The document that its module sees as `data`.
    pub(super) data: Vec<u8>,
}

/// What has been read of a set so far.
pub(super) struct Reading<'a> {
    directory: &'a Path,
    whole: Context,
    bytes: u64,
    cost: u64,
    modules: BTreeMap<String, ModuleFile>,
    /// The SHA-256 of the code of each module whose cost has been counted.
    counted: BTreeSet<String>,
}

/// A module's file.
struct ModuleFile {
    sha256: String,
    /// The SHA-256 of its code, by which compiled code is known.
    code: String,
    wasm: Vec<u8>,
    /// The data of a bundle.
    data: Option<Vec<u8>>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(directory: &'a Path, yaml: &str) -> Self {
        let mut whole = Context::new(&SHA256);
        add(&mut whole, yaml.as_bytes());
        Self { directory, whole, bytes: 0, cost: 0, modules: BTreeMap::new(), counted: BTreeSet::new() }
    }

    /// Reads the files of `entry`, and counts what they cost.
    pub(super) fn read(&mut self, entry: Entry) -> Result<Checked, ModuleError> {
        let found = self.module(&entry.file, &entry.sha256)?;
        if found != entry.sha256 {
            return Err(ModuleError::Digest { expected: entry.sha256, found });
        }
        self.count_cost(&entry)?;
        let data = self.data(&entry)?;
        self.count(data.len())?;
        Ok(Checked { entry, data })
    }

    /// The digest of a module's file or bundle. Each is read once.
    fn module(&mut self, file: &str, expected: &str) -> Result<String, ModuleError> {
        if let Some(ModuleFile { sha256, .. }) = self.modules.get(file) {
            add(&mut self.whole, sha256.as_bytes());
            return Ok(sha256.clone());
        }
        let bytes = read(&self.directory.join(file), MODULE_BYTES)?;
        self.count(bytes.len())?;
        let sha256 = add(&mut self.whole, &bytes);
        // What has another digest is not even unpacked.
        if sha256 != expected {
            return Err(ModuleError::Digest { expected: expected.to_owned(), found: sha256 });
        }
        let (wasm, data) = if bundle::is_bundle(file) {
            let Bundle { wasm, data } = bundle::unpack(&bytes)?;
            self.count(wasm.len() + data.as_ref().map_or(0, Vec::len))?;
            (wasm, data)
        } else {
            (bytes, None)
        };
        let code = hex::encode(digest(&SHA256, &wasm).as_ref());
        self.modules.insert(file.to_owned(), ModuleFile { sha256: sha256.clone(), code, wasm, data });
        Ok(sha256)
    }

    /// The SHA-256 and the bytes of the code in a module file that was read.
    pub(super) fn code(&self, file: &str) -> (&str, &[u8]) {
        self.modules.get(file).map_or(("", &[]), |module| (&module.code, &module.wasm))
    }

    /// The digest of everything that was read.
    pub(super) fn digest(self) -> SetDigest {
        SetDigest(hex::encode(self.whole.finish()))
    }

    /// Adds the cost of compiling the module of `entry`, unless it is counted already.
    fn count_cost(&mut self, entry: &Entry) -> Result<(), ModuleError> {
        if let Some(ModuleFile { code, wasm, .. }) = self.modules.get(&entry.file)
            && self.counted.insert(code.clone())
        {
            self.cost += rego::cost(wasm).map_err(rego::LoadError::from)?;
        }
        Ok(SetLimit::Cost.check(self.cost)?)
    }

    fn count(&mut self, bytes: usize) -> Result<(), ModuleError> {
        self.bytes += bytes as u64;
        Ok(SetLimit::Bytes.check(self.bytes)?)
    }

    /// The document that the module of `entry` sees as `data`.
    fn data(&mut self, entry: &Entry) -> Result<Vec<u8>, ModuleError> {
        let bundled = self.modules.get(&entry.file).and_then(|module| module.data.clone());
        let text = match (&entry.data, bundled) {
            (Some(_), Some(_)) => return Err(BundleError::DataTwice.into()),
            (Some(file), None) => Some(self.read_data(file)?),
            (None, bundled) => bundled,
        };
        data::document(&entry.settings, text.as_deref()).map_err(|problem| {
            let file = entry.data.as_ref().map_or(&entry.file, |data| &data.file).clone();
            ModuleError::Data { file, problem }
        })
    }

    fn read_data(&mut self, data: &DataFile) -> Result<Vec<u8>, ModuleError> {
        let text = read(&self.directory.join(&data.file), data::BYTES)?;
        let found = add(&mut self.whole, &text);
        if found != data.sha256 {
            return Err(ModuleError::DataDigest { file: data.file.clone(), expected: data.sha256.clone(), found });
        }
        Ok(text)
    }
}
