use super::*;
use crate::frame::MAX_U31;
use crate::transmit::Transmit;
use bytes::Buf;

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Session>() <= 1096, "{}", size_of::<Session>());
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

#[test]
fn a_session_without_ids_goes_on_without_a_new_heartbeat() {
    let config = Config::builder().typed(true).build().unwrap();
    let mut session = Session::new(Role::Client, config.into(), Timestamp::ZERO, [1; 16].into());
    session.ids.set_next(None);
    let refused = Err(crate::PingError::Open(OpenError::StreamsExhausted));
    assert_eq!(session.ping(Timestamp::ZERO), refused);
    assert_eq!(session.close_reason(), None);
}
