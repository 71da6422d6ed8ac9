//! Files that lines go to: moved, removed, full, unfit.

use super::*;

#[tokio::test]
async fn a_file_that_was_moved_away_is_opened_anew_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let (file, old) = (directory.path().join("lines"), directory.path().join("lines.1"));
    let (lines, writer, _) = start(&file, 1 << 20);
    lines.push_with_receipt(b"one".to_vec()).unwrap().written().await.unwrap();
    fs::rename(&file, &old).unwrap();
    lines.reopen();
    while !file.exists() {
        std::thread::yield_now();
    }
    lines.push_with_receipt(b"two".to_vec()).unwrap().written().await.unwrap();
    assert!(writer.close(MINUTE));
    assert_eq!(
        (fs::read_to_string(&old).unwrap(), fs::read_to_string(&file).unwrap()),
        ("one\n".into(), "two\n".into())
    );
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_found_to_be() {
    let directory = tempfile::tempdir().unwrap();
    let (file, old) = (directory.path().join("lines"), directory.path().join("lines.1"));
    let (lines, writer, _) = start(&file, 1 << 20);
    lines.push_with_receipt(b"one".to_vec()).unwrap().written().await.unwrap();
    fs::rename(&file, &old).unwrap();
    // It is looked at once a second.
    while !file.exists() {
        lines.push_with_receipt(b"more".to_vec()).unwrap().written().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(writer.close(MINUTE));
    assert_eq!(fs::read_to_string(&file).unwrap(), "more\n");
}

#[tokio::test]
async fn a_line_never_continues_what_an_earlier_write_left_unfinished() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lines");
    fs::write(&file, "whole\nhal").unwrap();
    for text in ["one", "two"] {
        let (lines, writer, _) = start(&file, 1 << 20);
        lines.push_with_receipt(text.into()).unwrap().written().await.unwrap();
        // Opened anew, the file is as whole as it is.
        lines.reopen();
        lines.push_with_receipt(b"more".to_vec()).unwrap().written().await.unwrap();
        assert!(writer.close(MINUTE));
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "whole\nhal\none\nmore\ntwo\nmore\n");
}

#[test]
fn a_pipe_that_nobody_has_open_is_an_error_and_not_a_wait() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    drop(unread_pipe(&path));
    let lost = Counter::default();
    let settings =
        LineSettings { name: "test", output: Output::File(path), capacity_bytes: 1000, lost, report: |_| {} };
    assert!(Lines::start(settings).is_err());
}

#[tokio::test]
async fn a_file_that_was_removed_and_cannot_be_opened_again_takes_no_lines() {
    let directory = tempfile::tempdir().unwrap();
    let (inner, file) = (directory.path().join("inner"), directory.path().join("inner/lines"));
    fs::create_dir(&inner).unwrap();
    let (lines, writer, lost) = start(&file, 1 << 20);
    lines.push_with_receipt(b"one".to_vec()).unwrap().written().await.unwrap();
    fs::remove_dir_all(&inner).unwrap();
    assert_eq!(lines.push_with_receipt(b"two".to_vec()).unwrap().written().await, Err(Lost));
    assert_eq!(lost.get(), 1);
    fs::create_dir(&inner).unwrap();
    lines.push_with_receipt(b"three".to_vec()).unwrap().written().await.unwrap();
    assert!(writer.close(MINUTE));
    assert_eq!(fs::read_to_string(&file).unwrap(), "three\n");
}

#[tokio::test]
async fn a_line_that_cannot_be_written_is_lost_and_its_receipt_says_so() {
    // Every write to this device fails for want of space.
    let (lines, writer, lost) = start(Path::new("/dev/full"), 1 << 20);
    let receipt = lines.push_with_receipt(b"one".to_vec()).unwrap();
    assert_eq!(receipt.written().await, Err(Lost));
    assert_eq!(lost.get(), 1);
    let health = lines.health();
    assert_eq!((health.waiting_lines, health.error.as_deref()), (0, Some("No space left on device (os error 28)")));
    assert!(writer.close(MINUTE));
    assert_eq!(lines.queued_bytes(), 0);
}

#[test]
fn what_cannot_be_appended_to_is_refused_and_why() {
    let directory = tempfile::tempdir().unwrap();
    let link = |target: &str, name: &str| {
        let path = directory.path().join(name);
        std::os::unix::fs::symlink(target, &path).unwrap();
        path
    };
    for (path, why) in [
        (directory.path().to_owned(), "directory"),
        (link("/dev/full", "full"), "symbolic link"),
        (link("elsewhere", "dangling"), "symbolic link"),
        ("/nowhere/at/all".into(), "No such file"),
    ] {
        let settings = LineSettings {
            name: "test",
            output: Output::File(path.clone()),
            capacity_bytes: 1000,
            lost: Counter::default(),
            report: |_| {},
        };
        let error = Lines::start(settings).unwrap_err().to_string();
        assert!(error.contains(why), "{}: {error}", path.display());
    }
    assert!(!directory.path().join("elsewhere").exists());
}

#[test]
fn a_file_that_is_created_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lines");
    let (_, writer, _) = start(&file, 1000);
    assert!(writer.close(MINUTE));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}
