//! Lost wake-ups, and races of drops, closes, halves and turns. After a lost wake-up all threads
//! wait, which the checker reports as a deadlock.
#![cfg(loom)]

use loom::thread;
use muxado_loom::{check, drive, once, session, wait};
use muxado_proto::task::ReadError;
use muxado_proto::{CloseReason, Config, ErrorCode, Role};

/// SYN and one byte on stream 3, and on stream 5.
const SYN_3: &[u8] = &[0, 0, 1, 0x12, 0, 0, 0, 3, b'x'];
const SYN_5: &[u8] = &[0, 0, 1, 0x12, 0, 0, 0, 5, b'y'];
/// One more byte, and FIN, on stream 3.
const END_3: &[u8] = &[0, 0, 1, 0x11, 0, 0, 0, 3, b'z'];

#[test]
fn a_write_finds_the_driver_awake_or_wakes_it() {
    check(|| {
        let (session, driver, peer) = session(Role::Client, Config::default());
        let driver = drive(driver);
        let mut stream = wait(session.open()).unwrap();
        assert_eq!(wait(stream.write_some(b"x")), Ok(1));
        drop((stream, session));
        assert!(driver.join().unwrap().is_clean());
        assert!(peer.has_heard(SYN_3));
    });
}

#[test]
fn input_finds_the_reader_awake_or_wakes_it() {
    check(|| {
        let (session, driver, peer) = session(Role::Server, Config::default());
        peer.say(SYN_3);
        let driver = drive(driver);
        let speaker = thread::spawn(move || peer.say(END_3));
        let mut stream = wait(session.accept()).unwrap();
        let mut bytes = [0; 2];
        let mut count = 0;
        while count < 2 {
            count += wait(stream.read_some(&mut bytes[count..])).unwrap();
        }
        assert_eq!((&bytes, wait(stream.read_some(&mut [0]))), (b"xz", Ok(0)));
        drop((stream, session));
        speaker.join().unwrap();
        assert!(driver.join().unwrap().is_clean());
    });
}

#[test]
fn a_full_buffer_wakes_the_writer_when_it_drains() {
    check(|| {
        let config = Config::builder().send_buffer(1).build().unwrap();
        let (session, driver, peer) = session(Role::Client, config);
        let driver = drive(driver);
        let mut stream = wait(session.open()).unwrap();
        wait(stream.write_chunk("xz".into())).unwrap();
        drop((stream, session));
        assert!(driver.join().unwrap().is_clean());
        assert!(peer.has_heard(SYN_3));
    });
}

#[test]
fn two_halves_wait_apart() {
    check(|| {
        let config = Config::builder().send_buffer(1).build().unwrap();
        let (session, driver, peer) = session(Role::Server, config);
        peer.say(SYN_3);
        peer.say(END_3);
        let driver = drive(driver);
        let (mut recv, mut send) = wait(session.accept()).unwrap().into_split();
        drop(session);
        let writer = thread::spawn(move || wait(send.write_chunk("ab".into())));
        let mut read = 0;
        while let Some(chunk) = wait(recv.read_chunk(9)).unwrap() {
            read += chunk.len();
        }
        assert_eq!(read, 2);
        drop(recv);
        writer.join().unwrap().unwrap();
        assert!(driver.join().unwrap().is_clean());
    });
}

#[test]
fn a_reset_wakes_the_other_half() {
    check(|| {
        let (session, driver, peer) = session(Role::Server, Config::default());
        peer.say(SYN_3);
        let driver = drive(driver);
        let (mut recv, send) = wait(session.accept()).unwrap().into_split();
        drop(session);
        let resetter = thread::spawn(move || send.reset(ErrorCode(9)));
        let error = loop {
            match wait(recv.read_chunk(9)) {
                Ok(chunk) => assert_eq!(chunk.as_deref(), Some(&b"x"[..])),
                Err(error) => break error,
            }
        };
        assert_eq!(error, ReadError::ResetLocally(ErrorCode(9)));
        drop(recv);
        resetter.join().unwrap();
        assert!(driver.join().unwrap().is_clean());
    });
}

#[test]
fn those_who_open_at_the_limit_all_get_a_stream() {
    check(|| {
        let config = Config::builder().max_outbound_streams(1).build().unwrap();
        let (session, driver, _peer) = session(Role::Client, config);
        let others: Vec<_> = (0..2)
            .map(|_| {
                let session = session.clone();
                thread::spawn(move || drop(wait(session.open()).unwrap()))
            })
            .collect();
        drop(wait(session.open()).unwrap());
        for other in others {
            other.join().unwrap();
        }
        drop(driver);
    });
}

#[test]
fn one_that_gives_up_opening_passes_its_turn_on() {
    check(|| {
        let config = Config::builder().max_outbound_streams(1).build().unwrap();
        let (session, driver, _peer) = session(Role::Client, config);
        let held = wait(session.open()).unwrap();
        let fickle = session.clone();
        let fickle = thread::spawn(move || drop(once(fickle.open())));
        let patient = session.clone();
        let patient = thread::spawn(move || drop(wait(patient.open()).unwrap()));
        drop(held);
        fickle.join().unwrap();
        patient.join().unwrap();
        drop(driver);
    });
}

#[test]
fn two_who_accept_get_one_stream_each() {
    check(|| {
        let (session, driver, peer) = session(Role::Server, Config::default());
        peer.say(SYN_3);
        let driver = drive(driver);
        let other = session.clone();
        let other = thread::spawn(move || wait(other.accept()).unwrap().id());
        peer.say(SYN_5);
        let own = wait(session.accept()).unwrap().id();
        let other = other.join().unwrap();
        assert_eq!(own.get() + other.get(), 8);
        drop(session);
        assert!(driver.join().unwrap().is_clean());
    });
}

#[test]
fn one_that_gives_up_accepting_passes_its_turn_on() {
    check(|| {
        let (session, driver, peer) = session(Role::Server, Config::default());
        let driver = drive(driver);
        let fickle = session.clone();
        let fickle = thread::spawn(move || drop(once(fickle.accept())));
        peer.say(SYN_3);
        peer.say(SYN_5);
        // The task that gives up may have accepted and dropped one of the two.
        let id = wait(session.accept()).unwrap().id().get();
        assert!(id == 3 || id == 5);
        fickle.join().unwrap();
        drop(session);
        assert!(driver.join().unwrap().is_clean());
    });
}

#[test]
fn the_end_is_the_same_for_everybody() {
    check(|| {
        let (session, driver, peer) = session(Role::Server, Config::default());
        let driver = drive(driver);
        let closer = session.clone();
        let closer = thread::spawn(move || wait(closer.close()));
        peer.end();
        let accepted = wait(session.accept()).unwrap_err();
        let reason = wait(session.closed());
        assert_eq!(accepted, reason.clone());
        assert_eq!(closer.join().unwrap(), reason);
        drop(session);
        assert_eq!(driver.join().unwrap(), reason);
    });
}

#[test]
fn the_last_handle_is_noticed_whoever_has_it() {
    check(|| {
        let (session, driver, _peer) = session(Role::Client, Config::default());
        let driver = drive(driver);
        let stream = wait(session.open()).unwrap();
        let (recv, send) = stream.into_split();
        let halves = [thread::spawn(move || drop(recv)), thread::spawn(move || drop(send))];
        drop(session);
        for half in halves {
            half.join().unwrap();
        }
        assert!(driver.join().unwrap().is_clean());
    });
}

#[test]
fn a_dropped_driver_leaves_nobody_waiting() {
    check(|| {
        let (session, mut driver, peer) = session(Role::Server, Config::default());
        peer.say(SYN_3);
        assert!(once(&mut driver).is_pending());
        let mut stream = wait(session.accept()).unwrap();
        assert_eq!(wait(stream.read_some(&mut [0; 9])), Ok(1));
        let dropper = thread::spawn(move || drop(driver));
        let reader = thread::spawn(move || wait(stream.read_some(&mut [0; 9])));
        assert!(wait(session.accept()).is_err());
        assert_eq!(wait(session.close()), CloseReason::Abandoned);
        let gone = ReadError::SessionClosed(CloseReason::Abandoned);
        assert_eq!(reader.join().unwrap(), Err(gone));
        dropper.join().unwrap();
    });
}
