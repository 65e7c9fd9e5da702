use super::*;
use crate::frame::MAX_U31;
use crate::transmit::Transmit;
use bytes::Buf;

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Session>() <= 1040, "{}", size_of::<Session>());
}

/// A session that has used up all of its ids but the last two.
fn near_the_end(role: Role) -> Session {
    let mut session = Session::new(role, Config::default().into(), Timestamp::ZERO, [1; 16].into());
    session.ids.set_next(Some(MAX_U31 - 3 + role.first_id() % 2));
    session
}

#[test]
fn ids_run_out() {
    for (role, last) in [(Role::Client, 0x7fff_ffff), (Role::Server, 0x7fff_fffe)] {
        let mut session = near_the_end(role);
        assert_eq!(session.open().map(StreamId::get), Ok(last - 2));
        assert_eq!(session.poll_event(), None);
        assert_eq!(session.open().map(StreamId::get), Ok(last));
        assert_eq!(session.poll_event(), Some(Event::StreamsExhausted));
        for _ in 0..3 {
            assert_eq!(session.open(), Err(OpenError::StreamsExhausted));
        }
        assert_eq!(session.poll_event(), None);
        assert!(!session.can_open());
        // The last streams work like any other.
        let id = StreamId::new(last);
        assert_eq!(session.stream(id).unwrap().write(b"x"), Ok(1));
        let mut out = Transmit::new();
        session.poll_transmit(Timestamp::ZERO, &mut out, usize::MAX);
        let [a, b, c, d] = last.to_be_bytes();
        assert_eq!(out.chunk(), [0, 0, 1, 0x12, a, b, c, d, b'x']);
        session.handle_slice(Timestamp::ZERO, &[0, 0, 1, 0x11, a, b, c, d, b'y']);
        assert_eq!(session.stream(id).unwrap().read_chunk(9), Ok(Some(Bytes::from("y"))));
    }
}

/// A frame ends on the stream it was sent on. When that stream has gone, another one may have its
/// place; the rest of the frame is not for it.
#[test]
fn the_rest_of_a_frame_is_not_for_the_next_stream_in_the_same_place() {
    let now = Timestamp::ZERO;
    let mut session = Session::new(Role::Client, Config::default().into(), now, [1; 16].into());
    let mut sent = Transmit::new();
    let mut take = |session: &mut Session| {
        session.poll_transmit(now, &mut sent, usize::MAX);
        sent.copy_to_bytes(sent.remaining())
    };
    let first = session.open().unwrap();
    session.stream(first).unwrap().write(b"x").unwrap();
    assert_eq!(take(&mut session), b"\0\0\x01\x12\0\0\0\x03x"[..]);
    session.handle_slice(now, b"\0\0\x04\x10\0\0\0\x03ab");
    let place = session.stream(first).unwrap().slot();
    session.stream(first).unwrap().reset(ErrorCode::STREAM_CANCELLED);
    session.stream(first).unwrap().release();
    take(&mut session);

    let second = session.open().unwrap();
    assert_eq!(session.stream(second).unwrap().slot(), place);
    session.stream(second).unwrap().write(b"y").unwrap();
    take(&mut session);
    session.handle_slice(now, b"cd");
    assert_eq!(session.stream(second).unwrap().readable(), Err(crate::ReadError::Blocked));
    session.handle_slice(now, b"\0\0\x02\x11\0\0\0\x05ef");
    let mut stream = session.stream(second).unwrap();
    assert_eq!(stream.read_chunk(9), Ok(Some(Bytes::from("ef"))));
    assert_eq!(stream.read_chunk(9), Ok(None));
}

#[test]
fn a_session_without_ids_goes_on_without_a_new_heartbeat() {
    let config = Config::builder().typed(true).build().unwrap();
    let mut session = Session::new(Role::Client, config.into(), Timestamp::ZERO, [1; 16].into());
    session.ids.set_next(None);
    let refused = Err(crate::PingError::Open(OpenError::StreamsExhausted));
    assert_eq!(session.ping(Timestamp::ZERO), refused);
    assert_eq!(session.close_reason(), None);
}

#[test]
fn debug_shows_no_payload() {
    use crate::decode::Item;
    let config = Config::builder().typed(true).build().unwrap();
    let mut session = Session::new(Role::Client, config.into(), Timestamp::ZERO, [1; 16].into());
    session.ping(Timestamp::ZERO).unwrap();
    let id = session.open_typed(StreamType(1)).unwrap();
    session.stream(id).unwrap().write(b"secret").unwrap();
    let shown = alloc::format!("{session:?}");
    for part in ["Decoder {", "Beat {", "(10 bytes)"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("secret") && !shown.contains("115, 101, 99"));
    let item = Item::Payload { bytes: b"secret", end: true };
    assert_eq!(alloc::format!("{item:?}"), "Payload { len: 6, end: true }");
}
