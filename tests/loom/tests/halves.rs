//! A read that wakes many tasks wakes them in two halves (in a model, two are many). The second
//! half is woken in every case.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread::{self, JoinHandle};
use muxado_loom::{ModelDriver, Peer, Taking, check, drive, once, session, wait};
use muxado_proto::task::{ReadError, Session, Stream};
use muxado_proto::{CloseReason, Config, Role};

/// SYN and one byte on stream 3, and on stream 5.
const SYNS: &[u8] = &[0, 0, 1, 0x12, 0, 0, 0, 3, b'x', 0, 0, 1, 0x12, 0, 0, 0, 5, b'y'];
/// One more byte on both.
const MORE: &[u8] = &[0, 0, 1, 0x10, 0, 0, 0, 3, b'z', 0, 0, 1, 0x10, 0, 0, 0, 5, b'z'];

/// A server with two streams, each of which has been read.
fn two_streams() -> (Session, ModelDriver, Arc<Peer>, [Stream; 2]) {
    let (session, mut driver, peer) = session(Role::Server, Config::default());
    peer.say(SYNS);
    assert!(once(&mut driver).is_pending());
    assert!(once(&mut driver).is_pending());
    let streams = [0, 1].map(|_| {
        let mut stream = wait(session.accept()).unwrap();
        assert_eq!(wait(stream.read_some(&mut [0; 9])), Ok(1));
        stream
    });
    (session, driver, peer, streams)
}

type Read = Result<usize, ReadError>;

fn read(mut stream: Stream) -> JoinHandle<(Read, Stream)> {
    thread::spawn(move || (wait(stream.read_some(&mut [0; 9])), stream))
}

#[test]
fn both_halves_are_woken() {
    check(|| {
        let (session, driver, peer, [first, mut second]) = two_streams();
        let first = read(first);
        let driver = drive(driver);
        peer.say(MORE);
        assert_eq!(wait(second.read_some(&mut [0; 9])), Ok(1));
        assert_eq!(first.join().unwrap().0, Ok(1));
        drop((second, session));
        drop(driver);
    });
}

#[test]
fn both_halves_are_woken_while_the_transport_takes_nothing() {
    check(|| {
        let (session, driver, peer, [first, mut second]) = two_streams();
        peer.take(Taking::Nothing);
        // Something to write.
        assert_eq!(wait(second.write_some(b"w")), Ok(1));
        let first = read(first);
        let driver = drive(driver);
        peer.say(MORE);
        assert_eq!(wait(second.read_some(&mut [0; 9])), Ok(1));
        assert_eq!(first.join().unwrap().0, Ok(1));
        peer.take(Taking::All);
        drop((second, session));
        drop(driver);
    });
}

#[test]
fn both_halves_are_woken_when_writing_fails() {
    check(|| {
        let (session, driver, peer, [first, mut second]) = two_streams();
        peer.take(Taking::Failing);
        assert_eq!(wait(second.write_some(b"w")), Ok(1));
        let first = read(first);
        peer.say(MORE);
        peer.end();
        let driver = drive(driver);
        assert_eq!(wait(second.read_some(&mut [0; 9])), Ok(1));
        assert_eq!(first.join().unwrap().0, Ok(1));
        drop((second, session));
        assert!(!driver.join().unwrap().is_clean());
    });
}

#[test]
fn both_halves_are_woken_when_the_driver_is_dropped() {
    check(|| {
        let (session, mut driver, peer, [first, mut second]) = two_streams();
        let first = read(first);
        peer.say(MORE);
        let dropper = thread::spawn(move || {
            // It may yield to the readers, and is dropped before it runs again.
            assert!(once(&mut driver).is_pending());
            drop(driver);
        });
        assert_eq!(wait(second.read_some(&mut [0; 9])), Ok(1));
        let (read, first) = first.join().unwrap();
        assert_eq!(read, Ok(1));
        let gone = ReadError::SessionClosed(CloseReason::Abandoned);
        dropper.join().unwrap();
        let mut first = first;
        assert_eq!(wait(first.read_some(&mut [0; 9])), Err(gone));
        drop(session);
    });
}
