//! A stream that is dropped behind its FIN: nothing that follows spoils an answer that is complete.

use core::time::Duration;

use muxado_proto::{Config, ErrorCode};
use muxado_tests::peer::{self, Peer};

const WINDOW: usize = 262_144;

/// A server with stream 3 open and accepted.
fn with_stream(config: Config) -> Peer {
    let mut peer = Peer::of_server(config);
    peer.send(peer::syn(3, b""));
    assert_eq!(peer.accept(), 3);
    peer.events();
    peer
}

/// A server that has answered a request in full, and read a byte of it at most.
fn answered(request: usize) -> Peer {
    let mut peer = with_stream(Config::default());
    peer.send(peer::data(3, &vec![7; request]));
    assert_eq!(peer.stream(3).read(&mut [0]), Ok(1));
    peer.write(3, b"answer");
    peer.stream(3).finish().expect("it is open");
    peer.expect(&["DATA id=3 len=6 FIN"]);
    peer
}

/// How long nothing is said behind an answer, so that its reader can take it.
const ANSWER_TIME: Duration = Duration::from_millis(100);

/// Just too short.
const NEARLY: Duration = Duration::from_millis(99);

#[test]
fn t12_no_rst_follows_the_fin_of_a_complete_answer() {
    // Its request is complete: there is nothing to say.
    let mut peer = with_stream(Config::default());
    peer.send(peer::data_fin(3, &[7; 1000]));
    peer.write(3, b"answer");
    peer.stream(3).finish().expect("it is open");
    peer.expect(&["DATA id=3 len=6 FIN"]);
    peer.stream(3).release();
    peer.expect_silence();
    assert_eq!(peer.session.stats().open_streams, 0);

    // So if the rest of the request, or the end of it alone, is under way.
    for rest in [peer::data_fin(3, b"the end"), [peer::data(3, b"the"), peer::fin(3)].concat()] {
        let mut peer = answered(1000);
        peer.stream(3).release();
        peer.send(rest);
        peer.expect_silence();
        assert_eq!(peer.session.stats().open_streams, 0);
        peer.pass(2 * ANSWER_TIME);
        peer.expect_silence();
    }
}

#[test]
fn t12_a_writer_out_of_credit_goes_on_when_the_answer_could_be_read() {
    let mut peer = answered(WINDOW);
    peer.stream(3).release();
    peer.expect_silence();
    peer.pass(NEARLY);
    peer.expect_silence();
    peer.pass(ANSWER_TIME - NEARLY);
    peer.expect(&["WNDINC id=3 inc=262144"]);
    peer.pass(ANSWER_TIME);
    peer.expect_silence();
    // From here on it hears at once that nobody reads.
    peer.send(peer::data(3, b"more"));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=4"));
}

#[test]
fn t12_a_writer_with_credit_hears_when_the_answer_could_be_read() {
    let mut peer = answered(1000);
    peer.stream(3).release();
    peer.pass(NEARLY);
    for _ in 0..3 {
        peer.send(peer::data(3, b"more"));
    }
    peer.expect_silence();
    peer.pass(ANSWER_TIME - NEARLY);
    // The credit wakes a writer of ngrok's crate, which then finds the RST.
    peer.expect(&["WNDINC id=3 inc=1", "RST id=3 code=4"]);
    assert_eq!(peer.session.stats().open_streams, 0);
    // Once in all.
    peer.send(peer::data(3, b"more"));
    peer.expect_rest();
}

#[test]
fn t12_only_credit_is_spent_behind_an_answer() {
    let mut peer = answered(WINDOW);
    peer.stream(3).release();
    peer.send(peer::data(3, b"!"));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=4"));
}

#[test]
fn t12_the_time_runs_from_the_fin() {
    // The answer has no credit for as long as the peer likes; meanwhile what it sends is thrown
    // away, and it gets the credit of that.
    let mut peer = with_stream(Config::default());
    peer.write(3, &[1; WINDOW]);
    peer.receive();
    peer.write(3, b"end");
    peer.send(peer::data(3, &[7; WINDOW]));
    peer.stream(3).release();
    peer.pass(ANSWER_TIME);
    peer.expect(&["WNDINC id=3 inc=262144"]);
    peer.send(peer::data(3, &[7; 1000]));
    peer.pass(ANSWER_TIME);
    peer.expect(&["WNDINC id=3 inc=1000"]);
    peer.send(peer::wnd_inc(3, 3));
    peer.expect(&["DATA id=3 len=3 FIN"]);
    peer.send(peer::data(3, b"under way"));
    peer.pass(NEARLY);
    peer.expect_silence();
    peer.pass(ANSWER_TIME - NEARLY);
    peer.expect(&["WNDINC id=3 inc=1", "RST id=3 code=4"]);
}

#[test]
fn t12_no_credit_goes_ahead_of_an_answer_that_is_dropped_at_once() {
    let mut peer = with_stream(Config::default());
    peer.send(peer::data(3, &[7; WINDOW]));
    peer.write(3, b"answer");
    peer.stream(3).release();
    peer.expect(&["DATA id=3 len=6 FIN"]);
    peer.pass(NEARLY);
    peer.expect_silence();
    peer.pass(ANSWER_TIME - NEARLY);
    peer.expect(&["WNDINC id=3 inc=262144"]);

    // It is not kept back for longer, if the transport takes nothing.
    let mut peer = with_stream(Config::default());
    peer.send(peer::data(3, &[7; WINDOW]));
    peer.write(3, b"answer");
    peer.stream(3).release();
    peer.pass(ANSWER_TIME);
    peer.expect(&["WNDINC id=3 inc=262144", "DATA id=3 len=6 FIN"]);
}

#[test]
fn t12_without_an_answer_there_is_nothing_to_spoil() {
    let mut peer = with_stream(Config::default());
    peer.stream(3).release();
    peer.expect(&["DATA id=3 len=0 FIN"]);
    peer.send(peer::data(3, b"more"));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=4"));
}

#[test]
fn t12_a_reader_that_stops_behind_its_own_fin_resets_nothing() {
    let mut peer = answered(1000);
    peer.stream(3).stop();
    peer.send(peer::data(3, b"under way"));
    peer.stream(3).release();
    peer.expect_silence();
    peer.send(peer::fin(3));
    peer.pass(2 * ANSWER_TIME);
    peer.expect_silence();

    let mut peer = answered(1000);
    peer.stream(3).stop();
    peer.pass(ANSWER_TIME);
    peer.expect(&["WNDINC id=3 inc=1000"]);
    peer.send(peer::data(3, b"more"));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=4"));
}

#[test]
fn t12_a_session_that_closes_waits_for_it() {
    let mut peer = answered(1000);
    peer.stream(3).release();
    peer.session.close(peer.now(), ErrorCode::NO_ERROR, "");
    peer.send(peer::data(3, b"under way"));
    peer.expect_silence();
    peer.pass(ANSWER_TIME);
    let heard = peer.hear();
    assert!(heard.contains(&"RST id=3 code=4".to_owned()), "{heard:?}");
    assert_eq!(heard.last().map(String::as_str), Some("UNKNOWN type=15 id=0 len=0"), "{heard:?}");
}

#[test]
fn l9_a_command_that_begins_a_time_says_so() {
    // Nothing is to be sent, so without this the driver would not ask for the next timeout again.
    for answer in [&b"answer"[..], b""] {
        let mut peer = with_stream(Config::default());
        peer.write(3, answer);
        peer.stream(3).finish().expect("it is open");
        peer.receive();
        peer.expect_rest();
        assert!(!peer.session.wants_transmit());
        peer.stream(3).release();
        assert!(peer.session.wants_transmit(), "there is a deadline that was not there");
        peer.expect_silence();
        assert!(!peer.session.wants_transmit());
        assert!(peer.session.poll_timeout().is_some());
    }
}

/// The end of a frame is not the end of its stream.
#[test]
fn a_frame_that_had_begun_when_its_reader_went_ends_nothing() {
    let mut peer = answered(1000);
    let frame = peer::data(3, &[7; 100]);
    peer.send(&frame[..50]);
    peer.stream(3).release();
    peer.send(&frame[50..]);
    assert_eq!(peer.session.stats().open_streams, 1);
    peer.expect_silence();
    peer.pass(ANSWER_TIME);
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=4"));
}
