//! Lines are written in order, refused, lost, or written to another file.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::Read;
use std::path::Path;

use rustix::fs::{Mode, mkfifoat};

use super::*;

mod files;
mod prefaces;

const MINUTE: Duration = Duration::from_mins(1);

fn start(path: &Path, capacity_bytes: usize) -> (Lines, LineWriter, Counter) {
    let lost = Counter::default();
    let output = Output::File(path.to_owned());
    let settings = LineSettings { name: "test", output, capacity_bytes, lost: lost.clone(), report: |_| {} };
    let (lines, writer) = Lines::start(settings).unwrap();
    (lines, writer, lost)
}

#[tokio::test]
async fn lines_are_written_in_order_and_those_with_a_receipt_before_others() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lines");
    let (lines, writer, lost) = start(&file, 1 << 20);
    for number in 0..1000 {
        lines.push(number.to_string().into_bytes()).unwrap();
    }
    lines.push_with_receipt(b"change".to_vec()).unwrap().written().await.unwrap();
    assert!(fs::read_to_string(&file).unwrap().contains("change\n"));
    assert!(writer.close(MINUTE));
    let written = fs::read_to_string(&file).unwrap();
    let others: Vec<&str> = written.lines().filter(|line| *line != "change").collect();
    assert_eq!(others, (0..1000).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!((lines.queued_bytes(), lost.get()), (0, 0));
    assert_eq!(lines.push(b"late".to_vec()), Err(Full), "it is closed");
}

/// A pipe that nobody reads: its reading end is open, so writes block once its buffer is full.
fn unread_pipe(path: &Path) -> fs::File {
    mkfifoat(rustix::fs::CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
    // Opened for reading and writing, so that opening it waits for no other side.
    fs::OpenOptions::new().read(true).write(true).open(path).unwrap()
}

#[tokio::test]
async fn an_output_that_nobody_reads_refuses_lines_once_the_queue_is_full_and_waits_for_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    let mut pipe = unread_pipe(&path);
    let (lines, writer, lost) = start(&path, 100_000);
    let line = vec![b'x'; 1000];
    let mut pushed = 0;
    while lines.push(line.clone()).is_ok() {
        pushed += 1;
        assert!(pushed < 1000, "the queue has no end");
    }
    let place = lines.reserve(1000).unwrap();
    // A quarter is reserved for lines with a receipt.
    let receipt = lines.push_with_receipt(b"change".to_vec()).unwrap();
    assert!(!writer.thread.is_finished());
    place.push(b"outcome".to_vec());

    // The pipe is read again.
    let expected = pushed * 1001 + "change\noutcome\n".len();
    let mut read = vec![0; expected];
    let reader = tokio::task::spawn_blocking(move || {
        pipe.read_exact(&mut read).unwrap();
        read
    });
    receipt.written().await.unwrap();
    let read = reader.await.unwrap();
    assert!(read.windows(15).any(|part| part == b"change\noutcome\n"));
    assert!(writer.close(MINUTE));
    assert_eq!((lines.queued_bytes(), lost.get()), (0, 0));
}

#[tokio::test]
async fn nobody_takes_more_than_a_quarter_of_the_queue() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    let mut pipe = unread_pipe(&path);
    let (lines, writer, _) = start(&path, 4 << 20);
    let line = || vec![b'x'; 1000];
    let greedy = (0..2000).take_while(|_| lines.push_shared(line(), &"greedy".into(), None).is_ok()).count();
    assert!((900..1100).contains(&greedy), "{greedy}");
    let modest = (0..2000).take_while(|_| lines.push_shared(line(), &"modest".into(), None).is_ok()).count();
    assert!((900..1100).contains(&modest), "{modest}");
    let reader = tokio::task::spawn_blocking(move || pipe.read_exact(&mut vec![0; (greedy + modest) * 1001]).unwrap());
    reader.await.unwrap();
    // Written lines no longer count against the share.
    while lines.queued_bytes() > 0 {
        tokio::task::yield_now().await;
    }
    lines.push_shared(line(), &"greedy".into(), None).unwrap();
    assert!(writer.close(MINUTE));
}

#[tokio::test]
async fn closing_does_not_wait_for_an_output_that_nobody_reads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    let _pipe = unread_pipe(&path);
    let (lines, writer, _) = start(&path, 1 << 20);
    lines.push(vec![b'x'; 500_000]).unwrap();
    assert!(!writer.close(Duration::from_millis(1)));
}

#[test]
fn room_that_is_kept_is_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let (lines, writer, _) = start(&directory.path().join("lines"), 10_000);
    let place = lines.reserve(9000).unwrap();
    assert_eq!(lines.reserve(9000).err(), Some(Full));
    // The reservation takes no room from lines.
    lines.push(vec![b'x'; 5000]).unwrap();
    drop(place);
    drop(lines.reserve(9000).unwrap());
    assert!(writer.close(MINUTE));
    assert_eq!(lines.queued_bytes(), 0);
}

#[tokio::test]
async fn a_line_with_a_receipt_overtakes_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    let mut pipe = unread_pipe(&path);
    let (lines, writer, _) = start(&path, 8 << 20);
    // More than a pipe and a batch can take.
    for _ in 0..3000 {
        lines.push(vec![b'x'; 1000]).unwrap();
    }
    let receipt = lines.push_with_receipt(b"change".to_vec()).unwrap();
    let reader = tokio::task::spawn_blocking(move || {
        let mut read = vec![0; 3000 * 1001 + 7];
        pipe.read_exact(&mut read).unwrap();
        read
    });
    receipt.written().await.unwrap();
    let read = reader.await.unwrap();
    let place = read.windows(7).position(|window| window == b"change\n").unwrap();
    assert!(place < 1 << 20, "it came after {place} bytes");
    assert!(writer.close(MINUTE));
}

#[test]
fn a_line_with_a_reservation_is_written_after_the_queue_was_closed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lines");
    let (lines, writer, _) = start(&file, 10_000);
    let (pushed, abandoned) = (lines.reserve(100).unwrap(), lines.reserve(100).unwrap());
    let closing = thread::spawn(move || writer.close(MINUTE));
    // A reservation is refused once the queue is closed.
    while lines.reserve(1).is_ok() {
        thread::yield_now();
    }
    pushed.push(b"outcome".to_vec());
    drop(abandoned);
    assert!(closing.join().unwrap());
    assert_eq!(fs::read_to_string(&file).unwrap(), "outcome\n");
    assert_eq!(lines.queued_bytes(), 0);
}
