//! Findings of the simulator and the fuzzers, in minimal form: one test per finding.

use std::sync::Arc;

use bytes::Buf;
use muxado_proto::frame::{Flags, Header};
use muxado_proto::{
    CloseReason, Config, DEFAULT_WINDOW, ErrorCode, ReadError, Role, Session, StreamId, Timestamp,
    Transmit, TransportError,
};

const NOW: Timestamp = Timestamp::ZERO;

/// A server, and its output.
fn server() -> Session {
    let config = Config::builder().auto_tune(false).build().expect("valid settings");
    Session::new(Role::Server, Arc::new(config), NOW, [1; 16].into())
}

fn client() -> Session {
    Session::new(Role::Client, Arc::new(Config::default()), NOW, [2; 16].into())
}

fn output(session: &mut Session, now: Timestamp) -> Vec<u8> {
    let mut out = Transmit::new();
    while session.poll_transmit(now, &mut out, usize::MAX) > 0 {}
    out.copy_to_bytes(out.remaining()).to_vec()
}

fn feed(session: &mut Session, bytes: &[u8]) {
    session.handle_slice(NOW, bytes);
}

fn carry(from: &mut Session, to: &mut Session) {
    let bytes = output(from, NOW);
    feed(to, &bytes);
}

/// The header of a first frame of `length` bytes on the client's first stream.
fn syn(length: u32) -> [u8; 8] {
    Header::data(StreamId::new(3), length, Flags::SYN).encode()
}

/// The rest of a frame whose reader stopped in the middle was never granted again: a peer that
/// writes a window in one frame was blocked forever.
#[test]
fn stopping_in_the_middle_of_a_frame_keeps_no_credit_back() {
    let mut session = server();
    feed(&mut session, &syn(DEFAULT_WINDOW));
    feed(&mut session, &[0; 1000]);
    let id = session.accept().expect("a stream");
    session.stream(id).expect("held").stop();
    feed(&mut session, &vec![0; DEFAULT_WINDOW as usize - 1000]);
    output(&mut session, NOW);
    let later = session.poll_timeout().unwrap_or(NOW);
    session.handle_timeout(later);
    output(&mut session, later);
    let stats = session.stream(id).expect("held").stats();
    assert_eq!(stats.receive_credit, stats.receive_window);
}

/// When the reader of a finished stream was dropped in the middle of a frame, the peer was not
/// told; if the frame had used all its credit, it would never send again.
#[test]
fn leaving_in_the_middle_of_a_frame_is_said() {
    let mut session = server();
    feed(&mut session, &syn(DEFAULT_WINDOW));
    let id = session.accept().expect("a stream");
    session.stream(id).expect("held").finish().unwrap();
    output(&mut session, NOW);
    session.stream(id).expect("held").release();
    output(&mut session, NOW);
    feed(&mut session, &vec![0; DEFAULT_WINDOW as usize]);
    let rst = Header::rst(id, ErrorCode::STREAM_CLOSED.0);
    assert_eq!(output(&mut session, NOW), [Header::wnd_inc(id, 1), rst].concat());
}

/// Credit that was due and not yet sent was lost when a stream was released right after it had been
/// read.
#[test]
fn credit_that_is_owed_goes_out_before_the_stream_is_forgotten() {
    for count in [DEFAULT_WINDOW, 1000] {
        let mut session = server();
        feed(&mut session, &syn(count));
        feed(&mut session, &vec![0; count as usize]);
        let id = session.accept().expect("a stream");
        session.stream(id).expect("held").finish().unwrap();
        output(&mut session, NOW);
        let mut stream = session.stream(id).expect("held");
        let mut buffer = vec![0; count as usize];
        assert_eq!(stream.read(&mut buffer), Ok(count as usize));
        stream.release();
        assert_eq!(output(&mut session, NOW), Header::wnd_inc(id, count));
        // The peer has not ended it.
        assert_eq!((session.stats().open_streams, session.stats().given_up_streams), (1, 1));
    }
}

/// GOAWAY overtook the SYN of a stream that was written before: a peer without other streams
/// considered the session over and discarded what followed.
#[test]
fn a_stream_opened_before_go_away_is_delivered() {
    let (mut client, mut server) = (client(), server());
    let id = client.open().expect("the first stream");
    let mut stream = client.stream(id).expect("held");
    assert_eq!(stream.write(b"last words"), Ok(10));
    stream.finish().unwrap();
    client.go_away(NOW, ErrorCode::NO_ERROR, "");
    carry(&mut client, &mut server);
    assert_eq!(server.accept(), Some(id));
    let mut stream = server.stream(id).expect("held");
    let mut buffer = [0; 20];
    assert_eq!(stream.read(&mut buffer), Ok(10));
    assert_eq!(stream.read(&mut buffer), Ok(0));
    stream.release();
    carry(&mut server, &mut client);
    client.stream(id).expect("held").release();
    carry(&mut client, &mut server);
    assert!(client.wants_shutdown());
    server.handle_eof(NOW);
    assert!(server.close_reason().is_some_and(|reason| reason.is_clean()));
}

/// Streams that had arrived and were not accepted when the session ended were dropped.
#[test]
fn the_backlog_outlives_the_session() {
    let mut session = server();
    feed(&mut session, &syn(2));
    feed(&mut session, b"hi");
    session.handle_eof(NOW);
    let id = session.accept().expect("a stream");
    let mut stream = session.stream(id).expect("held");
    assert_eq!(stream.read_chunk(10), Ok(Some("hi".into())));
    assert!(matches!(stream.read_chunk(10), Err(ReadError::SessionClosed(_))));
    stream.release();
    assert_eq!(session.stats().open_streams, 0);
}

/// Reading the rest after the end of the session started the timer of grants.
#[test]
fn nothing_is_granted_after_the_end() {
    let mut session = server();
    feed(&mut session, &syn(2));
    feed(&mut session, b"hi");
    let id = session.accept().expect("a stream");
    session.handle_transport_error(NOW, TransportError::new(std::fmt::Error));
    assert_eq!(session.stream(id).expect("held").read_chunk(10), Ok(Some("hi".into())));
    assert!(!session.wants_transmit());
    assert_eq!(output(&mut session, NOW), b"");
    assert_eq!(session.poll_timeout(), None);
}

/// Streams that ended while the transport was taking a batch were reported as cut, though nothing of
/// them was in that batch, or the peer had reset them.
#[test]
fn streams_that_need_nothing_of_a_batch_are_not_cut_with_it() {
    let mut session = client();
    let [finished, reset, open] = [(); 3].map(|()| session.open().expect("a stream"));
    for id in [finished, reset, open] {
        assert_eq!(session.stream(id).expect("held").write(b"x"), Ok(1));
    }
    session.stream(finished).expect("held").finish().unwrap();
    // Asking again says that the transport has taken what came before.
    output(&mut session, NOW);
    session.go_away(NOW, ErrorCode::NO_ERROR, "");
    output(&mut session, NOW);
    for id in [reset, open] {
        assert_eq!(session.stream(id).expect("held").write(b"y"), Ok(1));
    }
    // The transport takes none of this.
    let mut out = Transmit::new();
    assert!(session.poll_transmit(NOW, &mut out, usize::MAX) > 0);
    feed(&mut session, &Header::data(finished, 0, Flags::FIN).encode());
    feed(&mut session, &Header::rst(reset, ErrorCode::STREAM_CANCELLED.0));
    session.handle_transport_error(NOW, TransportError::new(std::fmt::Error));
    let reason = session.close_reason().expect("it is over");
    assert!(matches!(reason, CloseReason::Cut { streams: 1, .. }), "{reason:?}");
}

/// What was left of a frame whose reader went behind an answer was missing in the window.
#[test]
fn the_rest_of_a_frame_behind_an_answer_gives_its_credit_back() {
    let mut session = server();
    feed(&mut session, &syn(1));
    feed(&mut session, b"?");
    let id = session.accept().expect("a stream");
    let mut stream = session.stream(id).expect("held");
    assert_eq!(stream.write(b"!"), Ok(1));
    stream.finish().unwrap();
    output(&mut session, NOW);
    feed(&mut session, &Header::data(id, 4, Flags::FIN).encode());
    feed(&mut session, b"mo");
    session.stream(id).expect("held").stop();
    for rest in [b"r", b"e"] {
        feed(&mut session, rest);
        assert_eq!(session.audit(), Ok(()));
    }
}

/// A frame behind the end of a stream reset it, though it was over at both ends: it counted as over
/// while its RST was still due.
#[test]
fn a_stream_that_is_over_stays_so_whatever_the_peer_sends() {
    let mut session = server();
    feed(&mut session, &syn(5));
    feed(&mut session, b"hello");
    let id = session.accept().expect("a stream");
    session.stream(id).expect("held").finish().unwrap();
    output(&mut session, NOW);
    feed(&mut session, &Header::data(id, 0, Flags::FIN).encode());
    for _ in 0..2 {
        feed(&mut session, &Header::data(id, 1, Flags::NONE).encode());
        feed(&mut session, b"!");
        assert_eq!(session.audit(), Ok(()));
    }
    let said = output(&mut session, NOW);
    assert_eq!(said, Header::rst(id, ErrorCode::STREAM_CLOSED.0), "once");
    assert_eq!(session.stream(id).expect("held").read_chunk(10), Ok(Some("hello".into())));
    assert_eq!(session.audit(), Ok(()));
}
