//! The section `audit`.

use std::path::PathBuf;

use super::super::Audit;
use super::super::reader::Reader;
use crate::audit::{RedactedField, WhenFull};
use crate::lines::Output;

const REDACT: &str = "audit.redact";
const KEY_FILE: &str = "audit.redactKeyFile";

pub(super) fn audit(reader: &mut Reader) -> Audit {
    let output = output(reader);
    let redact = redact(reader);
    Audit {
        output,
        queue_bytes: reader.count("audit.queueBytes", &(1 << 20..=1 << 30)),
        when_full: reader.choice("audit.whenFull", &[("refuse", WhenFull::Refuse), ("allow", WhenFull::Allow)]),
        redact_key_file: key_file(reader, &redact),
        redact,
    }
}

fn output(reader: &mut Reader) -> Output {
    const FIELD: &str = "audit.output";
    let output = reader.path(FIELD);
    if output.as_os_str() == "stdout" {
        return Output::Stdout;
    }
    // An empty path stands for one that was refused already.
    if !output.as_os_str().is_empty() && !output.is_absolute() {
        reader.reject(FIELD, output.display(), "must be stdout, or an absolute path");
    }
    Output::File(output)
}

fn redact(reader: &mut Reader) -> Vec<RedactedField> {
    const ALLOWED: &str = "must be a list of reason, annotations, groups and peer";
    let names = reader.list(REDACT, ALLOWED);
    let mut fields = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let field = format!("{REDACT}[{index}]");
        match RedactedField::ALL.iter().find(|(known, _)| known == name) {
            None => reader.reject(&field, format!("{name:?}"), "must be reason, annotations, groups or peer"),
            Some((_, known)) if fields.contains(known) => reader.reject(&field, format!("{name:?}"), "is there twice"),
            Some((_, known)) => fields.push(*known),
        }
    }
    fields
}

fn key_file(reader: &mut Reader, redact: &[RedactedField]) -> Option<PathBuf> {
    let file = reader.optional_path(KEY_FILE);
    if file.is_none() && !redact.is_empty() {
        reader.missing(KEY_FILE, "must be the path of the key of what audit.redact names");
    }
    file
}
