//! The section `audit`.

use super::super::Audit;
use super::super::reader::Reader;
use crate::audit::WhenFull;
use crate::lines::Output;

pub(super) fn audit(reader: &mut Reader) -> Audit {
    Audit {
        output: output(reader),
        queue_bytes: reader.count("audit.queueBytes", &(1 << 20..=1 << 30)),
        when_full: reader.choice("audit.whenFull", &[("refuse", WhenFull::Refuse), ("allow", WhenFull::Allow)]),
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
