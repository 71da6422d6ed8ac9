//! Prefaces: before the first line that refers to them, in each file.

use super::*;

fn referring(lines: &Lines, preface: &Arc<Preface>, text: &str) {
    lines.push_shared(text.into(), &"client".into(), Some(preface.clone())).unwrap();
}

#[tokio::test]
async fn a_preface_is_written_once_in_each_file() {
    let directory = tempfile::tempdir().unwrap();
    let (file, old) = (directory.path().join("lines"), directory.path().join("lines.1"));
    let (lines, writer, _) = start(&file, 1 << 20);
    let preface = Arc::new(Preface::new(b"facts".to_vec()));
    referring(&lines, &preface, "one");
    referring(&lines, &preface, "two");
    lines.push_with_receipt(b"change".to_vec()).unwrap().written().await.unwrap();
    flushed(&lines).await;
    fs::rename(&file, &old).unwrap();
    lines.reopen();
    // The first line after it was queued before the thread reopens the file.
    referring(&lines, &preface, "three");
    assert!(writer.close(MINUTE));
    let old = fs::read_to_string(&old).unwrap();
    assert_eq!(old.lines().filter(|line| *line != "change").collect::<Vec<_>>(), ["facts", "one", "two"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "facts\nthree\n");
}

/// Waits until all lines are written.
async fn flushed(lines: &Lines) {
    while lines.queued_bytes() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_file_that_was_truncated_in_place_gets_its_prefaces_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lines");
    let (lines, writer, _) = start(&file, 1 << 20);
    let preface = Arc::new(Preface::new(b"facts".to_vec()));
    referring(&lines, &preface, "one");
    flushed(&lines).await;
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(0).unwrap();
    referring(&lines, &preface, "two");
    flushed(&lines).await;
    // In the middle of a line, as no tool does.
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(8).unwrap();
    referring(&lines, &preface, "three");
    assert!(writer.close(MINUTE));
    assert_eq!(fs::read_to_string(&file).unwrap(), "facts\ntw\nfacts\nthree\n");
}

#[tokio::test]
async fn a_preface_that_was_lost_is_written_again_and_paid_for_once() {
    let directory = tempfile::tempdir().unwrap();
    let (inner, file) = (directory.path().join("inner"), directory.path().join("inner/lines"));
    fs::create_dir(&inner).unwrap();
    let (lines, writer, lost) = start(&file, 1 << 20);
    fs::remove_dir_all(&inner).unwrap();
    let preface = Arc::new(Preface::new(vec![b'f'; 5000]));
    referring(&lines, &preface, "one");
    flushed(&lines).await;
    assert_eq!(lost.get(), 1);
    fs::create_dir(&inner).unwrap();
    referring(&lines, &preface, "two");
    assert!(lines.queued_bytes() < 5000);
    assert!(writer.close(MINUTE));
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{}\ntwo\n", "f".repeat(5000)));
}
