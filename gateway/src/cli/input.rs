//! What commands read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The text of a file, or of standard input for `-`.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    match path.to_str() {
        Some("-") => io::stdin().read_to_string(&mut text)?,
        _ => File::open(path)?.read_to_string(&mut text)?,
    };
    Ok(text)
}
