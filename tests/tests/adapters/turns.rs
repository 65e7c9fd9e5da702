//! The turns of the driver, polled by hand: their work is bounded, wake-ups are few, deadlines are
//! checked, no waiter is forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use muxado_proto::task::Session;
use muxado_proto::task::{OpenError, WriteError};
use muxado_proto::{CloseReason, Config, CutBy, ErrorCode, Role};
use muxado_tests::peer;
use muxado_tests::runtime::manual::{Manual, Polled, now, settle};
use muxado_tests::runtime::{Fault, Faults, Wire, pipe};
use muxado_tests::vectors::Frame;

fn pair(capacity: usize, config: Config) -> (Manual, Manual) {
    let (near, far) = pipe(capacity);
    let config = Arc::new(config);
    let client = Manual::new(near, Role::Client, Arc::clone(&config));
    (client, Manual::new(far, Role::Server, config))
}

/// Polls the driver once; returns whether it asked to be polled again.
fn turn(end: &mut Manual) -> bool {
    end.driver.woken.take();
    assert!(end.driver.poll().is_pending());
    end.driver.woken.take() > 0
}

/// Writes as much as the transport takes now.
fn push(io: &mut impl Wire, data: &[u8]) -> usize {
    let mut taken = 0;
    while let Poll::Ready(Ok(count)) =
        io.poll_write(&mut Context::from_waker(Waker::noop()), &data[taken..])
    {
        taken += count;
        if taken == data.len() {
            break;
        }
    }
    taken
}

/// Threat: CPU monopoly.
#[test]
fn a_flood_takes_bounded_turns() {
    let (near, mut far) = pipe(4 << 20);
    let mut server = Manual::new(near, Role::Server, Config::default());
    let unknown = peer::frame(0xf, 0, 0, &[0; 1000]);
    let flood = [peer::syn(3, b"x"), peer::data(3, &[7; 64]).repeat(3000), unknown].concat();
    let flood = [flood, peer::data(3, b"end")].concat();
    assert_eq!(push(&mut far, &flood), flood.len());
    let mut turns = 1;
    while turn(&mut server) {
        turns += 1;
    }
    let received = server.session.stats().bytes_received;
    assert_eq!(received, flood.len() as u64);
    let bytes: Vec<u8> = peer::data(3, &[7; 60_000]).repeat(4);
    for _ in 0..8 {
        let before = server.session.stats().bytes_received;
        assert_eq!(push(&mut far, &bytes.repeat(4)), bytes.len() * 4);
        let more = turn(&mut server);
        let moved = server.session.stats().bytes_received - before;
        assert!(moved <= 1 << 20, "{moved} bytes in one turn");
        assert!(more || moved == bytes.len() as u64 * 4);
        while turn(&mut server) {}
    }
    assert!(turns < 100, "{turns}");
}

#[test]
fn a_transport_of_single_bytes_takes_bounded_turns() {
    let (near, mut far) = pipe(1 << 20);
    let faults = Faults { chunk: 1, ..Faults::default() };
    let traffic = Arc::clone(&faults.traffic);
    let mut server = Manual::new(faults.spoil(near), Role::Server, Config::default());
    push(&mut far, &[peer::syn(3, b"x"), peer::data(3, &[0; 100_000])].concat());
    let mut polls = 0;
    let mut more = true;
    while more {
        more = turn(&mut server);
        let total = traffic.polls.load(Ordering::Relaxed);
        assert!(total - polls <= 1024, "{} polls of the transport in one turn", total - polls);
        polls = total;
    }
    assert_eq!(server.session.stats().payload_received, 100_001);
}

#[test]
fn output_takes_bounded_turns_and_input_is_read_meanwhile() {
    let config = Config::builder().send_window(64 << 20).send_buffer(8 << 20).build().unwrap();
    let (near, mut far) = pipe(16 << 20);
    let mut client = Manual::new(near, Role::Client, config);
    let mut stream = now(client.session.open()).unwrap();
    now(stream.write_chunk(vec![0; 4 << 20].into())).unwrap();
    let mut sent = 0;
    while turn(&mut client) {
        let total = client.session.stats().bytes_sent;
        assert!(total - sent <= 1 << 20, "{} bytes in one turn", total - sent);
        sent = total;
        let received = client.session.stats().frames_received;
        push(&mut far, &peer::wnd_inc(3, 1));
        turn(&mut client);
        assert!(client.session.stats().frames_received > received);
        sent = sent.max(client.session.stats().bytes_sent);
    }
    assert!(client.session.stats().payload_sent == 4 << 20);
}

/// Threat: CPU monopoly. A small message gets through while others flood.
#[test]
fn a_small_stream_is_served_during_a_flood() {
    let (mut client, mut server) = pair(16 << 10, Config::default());
    let mut bulk = now(client.session.open()).unwrap();
    let mut small = now(client.session.open()).unwrap();
    let block = vec![0; 1 << 20];
    now(bulk.write_some(&block)).unwrap();
    settle(&mut client, &mut server);
    let mut sink = now(server.session.accept()).unwrap();
    let mut buf = vec![0; 64 << 10];
    for round in 0..50u32 {
        let mut writer = Polled::new(bulk.write_some(&block));
        let _blocked_or_not = writer.poll();
        drop(writer);
        now(small.write_some(&round.to_be_bytes())).unwrap();
        // A few turns of each end, not until the end of the flood.
        for _ in 0..6 {
            let _more = turn(&mut client) | turn(&mut server);
        }
        let stats = small.stats();
        assert_eq!(stats.send_buffered, 0, "in round {round}");
        let mut reader = Polled::new(sink.read_some(&mut buf));
        let _blocked_or_not = reader.poll();
    }
}

/// A runtime that looks for input only when no task is ready would not see a small answer in time.
#[test]
fn every_eighth_turn_and_every_fourth_beside_small_messages_lets_the_runtime_look_for_input() {
    let config = Config::builder().send_window(64 << 20).send_buffer(8 << 20).build().unwrap();
    let (near, _far) = pipe(16 << 20);
    let mut client = Manual::new(near, Role::Client, config);
    let mut bulk = now(client.session.open()).unwrap();
    now(bulk.write_chunk(vec![0; 6 << 20].into())).unwrap();
    // Another session may wait.
    for looks in [0, 0, 0, 0, 0, 0, 0, 1] {
        assert!(turn(&mut client));
        assert_eq!(client.clock.take_looks(), looks);
    }
    let mut small = now(client.session.open()).unwrap();
    now(small.write_some(b"question")).unwrap();
    let looks = std::array::from_fn(|_| {
        assert!(turn(&mut client));
        client.clock.take_looks()
    });
    assert_eq!(looks, [0, 0, 0, 1, 0, 0, 0, 1]);
    client.clock.advance(Duration::from_millis(11));
    // No small message for ten milliseconds.
    for looks in [0, 0, 0, 0, 0, 0, 0, 1] {
        assert!(turn(&mut client));
        assert_eq!(client.clock.take_looks(), looks);
    }
}

#[test]
fn many_writes_wake_a_sleeping_driver_once() {
    let (mut client, mut server) = pair(64 << 10, Config::default());
    let mut stream = now(client.session.open()).unwrap();
    settle(&mut client, &mut server);
    for _ in 0..100 {
        now(stream.write_some(b"word")).unwrap();
    }
    assert_eq!(client.driver.woken.take(), 1);
}

#[test]
fn writes_do_not_wake_a_driver_that_waits_for_the_transport() {
    let (mut client, _server) = pair(16, Config::default());
    let mut stream = now(client.session.open()).unwrap();
    now(stream.write_some(&[0; 1000])).unwrap();
    client.settle();
    for _ in 0..100 {
        now(stream.write_some(b"word")).unwrap();
    }
    assert_eq!(client.driver.woken.take(), 0);
}

#[test]
fn a_deadline_that_passes_during_a_turn_is_met() {
    let (near, mut far) = pipe(64 << 10);
    let mut server = Manual::new(near, Role::Server, Config::default());
    push(&mut far, &peer::syn(3, b"x"));
    server.settle();
    let mut stream = now(server.session.accept()).unwrap();
    // The credit for this byte is due in 5 ms; the clock advances by more with every read.
    server.clock.step(Duration::from_millis(6));
    assert_eq!(now(stream.read_some(&mut [0; 8])), Ok(1));
    for _ in 0..10 {
        turn(&mut server);
    }
    assert_eq!(server.session.stats().frames_sent, 1);
}

#[test]
fn those_who_wait_to_open_take_turns() {
    let config = Config::builder().max_outbound_streams(1).build().unwrap();
    let (mut client, mut server) = pair(64 << 10, config);
    let session = client.session.clone();
    let mut current = Some(now(session.open()).unwrap());
    let mut waiting: Vec<_> = (0..5).map(|_| Polled::new(session.open())).collect();
    for waiter in &mut waiting {
        assert!(waiter.poll().is_pending());
    }
    for mut waiter in waiting {
        assert_eq!(waiter.woken.take(), 0);
        drop(current.take());
        settle(&mut client, &mut server);
        assert_eq!(waiter.woken.take(), 1, "nobody has told the next one");
        match waiter.poll() {
            Poll::Ready(opened) => current = Some(opened.unwrap()),
            Poll::Pending => panic!("its turn has come"),
        }
    }
}

#[test]
fn all_who_wait_to_open_learn_that_the_session_goes_away() {
    let config = Config::builder().max_outbound_streams(1).build().unwrap();
    let (mut client, mut server) = pair(64 << 10, config);
    let session = client.session.clone();
    let first = now(session.open()).unwrap();
    let mut waiting: Vec<_> = (0..3).map(|_| Polled::new(session.open())).collect();
    for waiter in &mut waiting {
        assert!(waiter.poll().is_pending());
    }
    drop(first);
    settle(&mut client, &mut server);
    let mut second = match waiting.remove(0).poll() {
        Poll::Ready(opened) => opened.unwrap(),
        Poll::Pending => panic!("its turn has come"),
    };
    now(second.write_some(b"x")).unwrap();
    session.go_away(ErrorCode::NO_ERROR, "bye");
    loop {
        settle(&mut client, &mut server);
        let Some(place) = waiting.iter().position(|waiter| waiter.woken.take() > 0) else { break };
        if let Poll::Ready(result) = waiting[place].poll() {
            assert_eq!(result.unwrap_err(), OpenError::GoingAway);
            waiting.remove(place);
        }
    }
    assert!(waiting.is_empty(), "{} still wait", waiting.len());
}

#[test]
fn a_sequence_that_is_not_awaited_keeps_no_turn() {
    let (near, mut far) = pipe(64 << 10);
    let mut server = Manual::new(near, Role::Server, Config::default());
    let mut incoming = server.session.incoming();
    let session = server.session.clone();
    let mut cancelled = Polled::new(std::future::poll_fn(move |cx| incoming.poll_next(cx)));
    assert!(cancelled.poll().is_pending());
    let mut other = Polled::new(session.accept());
    assert!(other.poll().is_pending());
    push(&mut far, &peer::syn(3, b"x"));
    server.settle();
    assert_eq!(other.woken.take(), 1);
    assert!(other.poll().is_ready());
}

#[test]
fn a_session_that_ends_while_the_transport_is_stuck_ends_in_time() {
    type Way = (fn(&Manual), u64, CloseReason);
    let ways: [Way; 2] = [
        (
            |end| end.session.abort(ErrorCode::INTERNAL, "enough"),
            2,
            CloseReason::Local { code: ErrorCode::INTERNAL },
        ),
        (
            |end| drop(Polled::new(end.session.close()).poll()),
            12,
            CloseReason::Cut { streams: 1, by: CutBy::Time },
        ),
    ];
    for (way, seconds, reason) in ways {
        let (near, far) = pipe(16);
        let mut client = Manual::new(near, Role::Client, Config::default());
        let mut stream = now(client.session.open()).unwrap();
        now(stream.write_some(&[0; 1000])).unwrap();
        assert_eq!(client.settle(), None);
        way(&client);
        assert_eq!(client.settle(), None);
        drop(stream);
        let mut ended = None;
        for _ in 0..seconds {
            assert_eq!(ended, None);
            ended = client.pass(Duration::from_secs(1));
        }
        assert_eq!(ended, Some(reason));
        drop(far);
    }
}

#[test]
fn a_transport_that_is_never_writable_ends_the_session() {
    let (near, _far) = pipe(1 << 20);
    let faults = Faults { write: Some((0, Fault::Never)), ..Faults::default() };
    let mut client = Manual::new(faults.spoil(near), Role::Client, Config::default());
    let mut stream = now(client.session.open()).unwrap();
    now(stream.write_some(b"x")).unwrap();
    assert_eq!(client.settle(), None);
    assert_eq!(client.pass(Duration::from_secs(29)), None);
    assert_eq!(client.pass(Duration::from_secs(1)), Some(CloseReason::WriteStalled));
    let expected = WriteError::SessionClosed(CloseReason::WriteStalled);
    assert_eq!(now(stream.write_some(b"y")), Err(expected));
}

#[test]
fn what_arrived_is_read_even_if_writing_fails() {
    let (near, mut far) = pipe(4 << 20);
    let faults = Faults { write: Some((0, Fault::Error)), ..Faults::default() };
    let mut server = Manual::new(faults.spoil(near), Role::Server, Config::default());
    let streams = 12u32;
    let mut sent = Vec::new();
    for number in 0..streams {
        sent.extend(peer::syn(3 + 2 * number, &[7; 200_000]));
        sent.extend(peer::fin(3 + 2 * number));
    }
    // A stream is opened and written, so that there is output.
    let mut own = now(server.session.open()).unwrap();
    now(own.write_some(b"x")).unwrap();
    assert_eq!(push(&mut far, &sent), sent.len());
    drop(far);
    let mut ended = None;
    while ended.is_none() {
        ended = server.settle();
    }
    for _ in 0..streams {
        let mut stream = now(server.session.accept()).expect("it had arrived");
        let mut total = 0;
        while let Some(chunk) = now(stream.read_chunk(usize::MAX)).expect("it had arrived") {
            total += chunk.len();
        }
        assert_eq!(total, 200_000);
    }
}

/// The payloads of the DATA frames that wait in the transport.
fn payloads(io: &mut impl Wire) -> Vec<usize> {
    let (mut bytes, mut buf) = (Vec::new(), vec![0; 64 << 10]);
    let cx = &mut Context::from_waker(Waker::noop());
    while let Poll::Ready(count) = io.poll_read(cx, &mut buf) {
        bytes.extend_from_slice(&buf[..count.expect("a transport that works")]);
    }
    std::iter::from_fn(|| Frame::take(&mut bytes)).map(|frame| frame.length()).collect()
}

/// A turn that has written its share ends before it reports the batch. The next one reports when
/// that was: if it comes late, the executor was busy and the transport was not slow, so frames do
/// not become small.
#[test]
fn a_turn_that_comes_late_does_not_make_the_transport_look_slow() {
    for input in [false, true] {
        let config = Config::builder().send_window(1 << 20).send_buffer(4 << 20).build().unwrap();
        let (near, mut far) = pipe(4 << 20);
        let mut client = Manual::new(near, Role::Client, config);
        let full = client.session.config().max_frame_size() as usize;
        let mut stream = now(client.session.open()).unwrap();
        now(stream.write_chunk(vec![0; (1 << 20) + 20 * full].into())).unwrap();
        // With another stream, four frames are enough for a turn.
        let mut other = now(client.session.open()).unwrap();
        now(other.write_some(b"x")).unwrap();
        client.settle();
        push(&mut far, &peer::wnd_inc(3, u32::try_from(4 * full).unwrap()));
        assert!(turn(&mut client), "it has moved enough for one turn");
        payloads(&mut far);
        client.clock.advance(Duration::from_secs(1));
        if !input {
            client.settle();
        }
        push(&mut far, &peer::wnd_inc(3, u32::try_from(16 * full).unwrap()));
        client.settle();
        assert_eq!(payloads(&mut far), [full; 16]);
    }
}

/// The wait of a stream for credit is counted from its write, even if the session was idle for
/// long.
#[test]
fn a_stall_begins_with_the_write() {
    let limit = Duration::from_secs(30);
    let config = Config::builder().stream_stall_timeout(Some(limit)).build().unwrap();
    let (near, mut far) = pipe(1 << 20);
    let mut client = Manual::new(near, Role::Client, config);
    let mut stream = now(client.session.open()).unwrap();
    now(stream.write_chunk(vec![0; 262_144].into())).unwrap();
    client.settle();
    // All credit is used, and nothing waits. An hour later, something does.
    client.clock.advance(Duration::from_secs(3600));
    now(stream.write_some(b"more")).unwrap();
    client.settle();
    client.pass(Duration::from_secs(29));
    push(&mut far, &peer::wnd_inc(3, 4));
    client.settle();
    assert_eq!(now(stream.write_some(b"still there")), Ok(11));
    client.settle();
    client.pass(Duration::from_secs(29));
    assert_eq!(now(stream.write_some(b"still there")), Ok(11));
    client.pass(Duration::from_secs(1));
    let timeout = WriteError::ResetLocally(ErrorCode::WRITE_TIMEOUT);
    assert_eq!(now(stream.write_some(b"too late")), Err(timeout));
}

/// The last reference to a waker may be the last one to a task that owns handles.
pub(crate) struct Keeper {
    pub(crate) _session: Session,
    pub(crate) dropped: Arc<AtomicUsize>,
}

impl Wake for Keeper {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn no_waker_is_dropped_under_the_lock() {
    use std::pin::pin;
    let (mut client, mut server) = pair(1024, Config::default());
    let dropped = Arc::new(AtomicUsize::new(0));
    let session = client.session.clone();
    let keeper = || {
        let keeper = Keeper { _session: session.clone(), dropped: Arc::clone(&dropped) };
        Waker::from(Arc::new(keeper))
    };
    let mut stream = now(session.open()).unwrap();
    now(stream.write_chunk(vec![0; 10].into())).unwrap();
    settle(&mut client, &mut server);
    // A reader takes the place of another one.
    for _ in 0..2 {
        let waker = keeper();
        assert!(stream.poll_read(&Context::from_waker(&waker), &mut [0; 8]).is_pending());
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    // A waiting accept is polled by another task, and dropped.
    let mut accept = Box::pin(session.accept());
    for _ in 0..2 {
        let waker = keeper();
        assert!(accept.as_mut().as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
    drop(accept);
    assert_eq!(dropped.load(Ordering::SeqCst), 3);
    // The stream is dropped, and its reader's waker with it.
    drop(stream);
    assert_eq!(dropped.load(Ordering::SeqCst), 4);
    // One task after the other waits for a beat or an end.
    let mut closed = pin!(session.closed());
    for _ in 0..2 {
        let waker = keeper();
        assert!(closed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 5);
}

/// Tokio rounds the memory of a task up to 128 bytes. That of a driver over TCP takes 256 if its
/// connection has 32, as in a release.
#[test]
#[cfg(target_pointer_width = "64")]
fn a_driver_over_tcp_is_small() {
    use tokio::net::TcpStream;
    let own = size_of::<muxado_tokio::Driver<TcpStream>>() - size_of::<TcpStream>();
    assert!(own <= 120, "{own}");
}
