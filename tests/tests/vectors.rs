//! The recorded conversations of existing peers (`tests/vectors`), decoded by the core's codec and
//! played into its sessions.

use std::cell::Cell;
use std::collections::BTreeSet;

use muxado_proto::{CloseReason, CutBy, ErrorCode, ReadError, WriteError};
use muxado_tests::codec::decode;
use muxado_tests::replay::{Played, play};
use muxado_tests::vectors::{self, End, Frame, Implementation, Role, Step, Transcript};

#[test]
fn every_recorded_frame_survives_the_codec_at_any_chunking() {
    let mut count = 0;
    for transcript in vectors::all() {
        for end in transcript.ends {
            // The meaning of bytes after a malformed frame depends on the recovery: see the test
            // below.
            let well_formed: Vec<_> =
                transcript.frames_from(end).take_while(|frame| frame.is_well_formed()).collect();
            let wire: Vec<u8> = well_formed.iter().flat_map(|frame| frame.to_bytes()).collect();
            for size in [1, 2, 7, 8, 9, 13, 4096, wire.len().max(1)] {
                let decoded = decode(&wire, size);
                assert_eq!(decoded.len(), well_formed.len(), "{} from {end}", transcript.name);
                for (decoded, frame) in decoded.iter().zip(&well_formed) {
                    assert_eq!(decoded.meaning, frame.meaning(), "{} from {end}", transcript.name);
                    assert_eq!(decoded.bytes, frame.to_bytes(), "{} from {end}", transcript.name);
                }
            }
            count += well_formed.len();
        }
    }
    assert_eq!(count, 1436);
}

/// The rules for a sender (PROTOCOL.md §12.4), checked on all output of our session.
fn assert_well_behaved(played: &Played, at: &str) {
    let mut opened = BTreeSet::new();
    let mut finished = BTreeSet::new();
    let mut reset = BTreeSet::new();
    for (frame, next) in played.sent.iter().zip(played.sent.iter().skip(1).map(Some).chain([None]))
    {
        let (id, said) = (frame.id(), frame.meaning());
        assert_eq!(frame.header[4] & 0x80, 0, "{at}: top bit of an id: {said}");
        match frame.kind() {
            Frame::DATA => {
                assert!(!(frame.is_syn() && frame.is_fin()), "{at}: SYN and FIN: {said}");
                assert!(frame.length() <= 16_384, "{at}: a long frame: {said}");
                assert!(frame.length() > 0 || frame.is_syn() || frame.is_fin(), "{at}: {said}");
                assert!(!frame.is_syn() || opened.insert(id), "{at}: a second SYN: {said}");
                assert!(!finished.contains(&id), "{at}: DATA behind FIN: {said}");
                assert!(!reset.contains(&id), "{at}: DATA behind RST: {said}");
                if frame.is_fin() {
                    finished.insert(id);
                }
            }
            Frame::RST => {
                assert_ne!(frame.word(0), 0, "{at}: RST with code 0");
                assert!(reset.insert(id), "{at}: a second RST: {said}");
            }
            Frame::WNDINC => {
                assert!((1..=0x7fff_ffff).contains(&frame.word(0)), "{at}: {said}");
                assert!(!reset.contains(&id), "{at}: WNDINC behind RST: {said}");
            }
            Frame::GOAWAY => {
                let pad = next.map(|frame| frame.to_bytes());
                assert_eq!(pad.as_deref(), Some(&[0, 0, 0, 0xf0, 0, 0, 0, 0][..]), "{at}: the pad");
            }
            _ => assert_eq!(said, "UNKNOWN type=15 id=0 len=0", "{at}"),
        }
    }
}

/// Sizes of input pieces, besides frame by frame.
const PIECES: [usize; 4] = [1, 5, 11, 4096];

/// Plays each end of each transcript that `choose` picks, and passes the result to `check`. Returns
/// how many there were.
fn play_all(
    choose: impl Fn(&Transcript, End) -> bool,
    check: impl Fn(&Transcript, End, &Played, &str),
) -> usize {
    let mut count = 0;
    for transcript in vectors::all() {
        for end in transcript.ends.into_iter().filter(|end| choose(&transcript, *end)) {
            let at = format!("{}, {end}", transcript.name);
            let played = play(&transcript, end, usize::MAX);
            assert_well_behaved(&played, &at);
            check(&transcript, end, &played, &at);
            for pieces in PIECES {
                let again = play(&transcript, end, pieces);
                assert_eq!(again.sent, played.sent, "{at}, in pieces of {pieces}");
                assert_eq!(again.received, played.received, "{at}, in pieces of {pieces}");
                assert_eq!(again.close_reason, played.close_reason, "{at}, in pieces of {pieces}");
            }
            count += 1;
        }
    }
    count
}

fn is_real(_: &Transcript, end: End) -> bool {
    end.implementation != Implementation::Probe
}

/// Whether either end says that the session, or its transport, is over.
fn ends(transcript: &Transcript) -> bool {
    transcript.steps.iter().any(|step| match step {
        Step::Frame { frame, .. } => frame.kind() == Frame::GOAWAY,
        Step::Eof(_) | Step::Shutdown(_) => true,
        _ => false,
    })
}

#[test]
fn no_recorded_peer_trips_a_limit_or_ends_the_session() {
    let count = play_all(is_real, |transcript, _, played, at| {
        match &played.close_reason {
            None => {}
            Some(CloseReason::Violation { code, what }) => panic!("{at}: {what} ({code})"),
            Some(reason) => assert!(ends(transcript), "{at}: {reason}"),
        }
        let grave = [ErrorCode::PROTOCOL, ErrorCode::FLOW_CONTROL, ErrorCode::ENHANCE_YOUR_CALM];
        for (id, code) in played.resets() {
            assert!(!grave.contains(&ErrorCode(code)), "{at}: RST({code}) on stream {id}");
        }
        assert_eq!(played.open_errors, [], "{at}");
    });
    assert_eq!(count, 134 + 2 * 48);
}

#[test]
fn what_a_recorded_peer_sends_is_what_the_application_reads() {
    let bytes = Cell::new(0);
    play_all(is_real, |_, _, played, at| {
        for (id, expected) in &played.expected {
            let received = played.received.get(id).map(Vec::as_slice).unwrap_or_default();
            let (got, of) = (received.len(), expected.len());
            assert!(received == expected, "{at}: {got} of {of} bytes on stream {id}");
            bytes.set(bytes.get() + got);
        }
    });
    assert!(bytes.get() > 6 * 300 * 1024, "only {} bytes", bytes.get());
}

#[test]
fn recorded_beats_are_echoed_and_recorded_echoes_are_pongs() {
    let beats = |transcript: &Transcript, end: End| {
        is_real(transcript, end) && transcript.scenario().contains("heartbeat")
            || transcript.name.contains("/heartbeat-") && is_real(transcript, end)
    };
    let pongs = Cell::new(0);
    let count = play_all(beats, |transcript, end, played, at| {
        let Some(syn) = transcript.frames_from(end).find(|frame| frame.is_syn()) else {
            panic!("{at}: no heartbeat stream");
        };
        let sent: Vec<u8> = transcript
            .frames_from(end)
            .filter(|frame| frame.kind() == Frame::DATA && frame.id() == syn.id())
            .skip(1)
            .flat_map(|frame| frame.payload.clone())
            .collect();
        let echoed: Vec<u8> =
            played.data_on(syn.id()).flat_map(|frame| frame.payload.clone()).collect();
        match ends(transcript) {
            // The last beats may meet a session that is over.
            true => assert!(sent.starts_with(&echoed) && echoed.len() >= 8, "{at}: {echoed:?}"),
            false => assert_eq!(echoed, sent, "{at}"),
        }
        let echoes = transcript
            .frames_from(end)
            .filter(|frame| frame.kind() == Frame::DATA && frame.id() != syn.id())
            .count();
        match ends(transcript) {
            true => assert!((2..=echoes).contains(&played.pongs), "{at}: {} pongs", played.pongs),
            false => assert_eq!(played.pongs, echoes, "{at}"),
        }
        pongs.set(pongs.get() + played.pongs);
    });
    assert_eq!(count, 2 * 6 + 2 * 8);
    assert!(pongs.get() > 40, "only {} pongs", pongs.get());
}

#[test]
fn recorded_faults_get_the_answer_they_deserve_and_no_other() {
    let is_probe = |_: &Transcript, end: End| end.implementation == Implementation::Probe;
    let count = play_all(is_probe, |transcript, end, played, at| {
        // Of the first stream the probe opens, or would.
        let id = match end.role {
            Role::Client => 3,
            Role::Server => 2,
        };
        let expected = match (transcript.scenario(), transcript.ends[0].implementation) {
            ("data-after-fin" | "data-after-close", _) => vec![(id, ErrorCode::STREAM_CLOSED)],
            ("flow-control-violation", _) => vec![(id, ErrorCode::FLOW_CONTROL)],
            ("unknown-stream", _) => vec![(id + 20, ErrorCode::STREAM_CLOSED)],
            // Go refuses two of the 130 streams; our backlog holds them all.
            ("accept-overflow", Implementation::Go) => vec![],
            ("accept-overflow", _) => vec![(901, ErrorCode::STREAM_CLOSED)],
            _ => vec![],
        };
        let resets: Vec<_> =
            played.resets().into_iter().map(|(id, code)| (id, ErrorCode(code))).collect();
        assert_eq!(resets, expected, "{at}");
        match transcript.scenario() {
            "transport-eof" => {
                assert_eq!(played.close_reason, Some(CloseReason::TransportEof), "{at}");
            }
            _ if ends(transcript) => {}
            _ => assert_eq!(played.close_reason, None, "{at}"),
        }
    });
    assert_eq!(count, 134);
}

/// The results of playing `end` in all transcripts with this name prefix; they must agree, except
/// for ids.
fn check_scenario(name: &str, of: Implementation, check: impl Fn(&Played, u32, &str)) {
    let chosen = |transcript: &Transcript, end: End| {
        transcript.name.starts_with(name) && end.implementation == of
    };
    let count = play_all(chosen, |_, end, played, at| {
        let first = match end.role {
            Role::Client => 3,
            Role::Server => 2,
        };
        check(played, first, at);
    });
    assert!(count >= 2, "{name}: {count}");
}

#[test]
fn syn_with_fin_is_a_stream_that_has_ended() {
    for of in [Implementation::Go, Implementation::Go2] {
        check_scenario("open-close-without-write", of, |played, id, at| {
            let ends = [(id, Some(Ok(()))), (id + 2, Some(Ok(())))];
            assert_eq!(played.read_ends, ends.into(), "{at}");
            assert_eq!(played.sent, [], "{at}");
        });
    }
    check_scenario("accept-synfin-reply/ngrok", Implementation::Probe, |played, id, at| {
        let reply: Vec<_> = played.data_on(id).map(Frame::meaning).collect();
        assert_eq!(
            reply,
            [format!("DATA id={id} len=5"), format!("DATA id={id} len=0 FIN")],
            "{at}"
        );
        assert_eq!(played.received[&id], b"req", "{at}");
    });
}

#[test]
fn a_bare_fin_is_ignored() {
    check_scenario("open-close-without-write", Implementation::Ngrok, |played, _, at| {
        assert_eq!(played.read_ends, [].into(), "{at}");
        assert_eq!(played.sent, [], "{at}");
    });
}

#[test]
fn a_lost_syn_costs_one_stream() {
    for of in [Implementation::Go, Implementation::Go2] {
        check_scenario("empty-write", of, |played, id, at| {
            assert_eq!(played.resets(), [(id, ErrorCode::STREAM_CLOSED.0)], "{at}");
            assert_eq!(played.close_reason, None, "{at}");
        });
    }
    check_scenario("empty-write", Implementation::Ngrok, |played, id, at| {
        assert_eq!(played.received[&id], b"hi", "{at}");
    });
}

#[test]
fn a_reset_carries_its_code_to_reader_and_writer() {
    check_scenario("rst-received", Implementation::Probe, |played, id, at| {
        let reset = Some(Err(ReadError::Reset(ErrorCode::STREAM_CANCELLED)));
        assert_eq!(played.read_ends, [(id, reset)].into(), "{at}");
        let reset = WriteError::Reset(ErrorCode::STREAM_CANCELLED);
        assert_eq!(played.write_errors, [(id, reset)].into(), "{at}");
        assert_eq!(played.sent, [], "{at}");
    });
}

#[test]
fn after_goaway_streams_run_on_and_later_ones_are_gone() {
    check_scenario("goaway-received", Implementation::Probe, |played, id, at| {
        assert_eq!(played.received[&id], b"himore", "{at}");
        let gone = Some(Err(ReadError::Reset(ErrorCode::REMOTE_GONE_AWAY)));
        let ours = if id == 3 { 2 } else { 3 };
        assert_eq!(played.read_ends[&ours], None, "{at}: the stream below `last`");
        assert_eq!(played.read_ends[&(ours + 2)], gone, "{at}: the stream above `last`");
    });
}

#[test]
fn the_malformed_goaway_of_ngrok_is_a_quiet_end() {
    check_scenario("session-close", Implementation::Ngrok, |played, _, at| {
        // No violation; open streams at the end of the transport are reported.
        let quiet = match &played.close_reason {
            Some(CloseReason::Remote { code, .. }) => *code == ErrorCode::NO_ERROR,
            Some(CloseReason::Cut { by, .. }) => *by == CutBy::TransportEof,
            _ => false,
        };
        assert!(quiet, "{at}: {:?}", played.close_reason);
    });
}

#[test]
fn what_came_before_the_end_of_the_transport_stays_readable() {
    check_scenario("transport-eof", Implementation::Probe, |played, id, at| {
        assert_eq!(played.received[&id], b"hi", "{at}");
        let end = Some(Err(ReadError::SessionClosed(CloseReason::TransportEof)));
        assert_eq!(played.read_ends, [(id, end)].into(), "{at}");
    });
}

#[test]
fn a_refused_stream_is_answered_with_one_rst() {
    check_overflow(|played, at| {
        let refused: Vec<_> = played.resets().into_iter().map(|(id, _)| id).collect();
        assert_eq!(refused, [259, 261], "{at}");
    });
}

/// Go refuses two streams of ours; there is one transcript of it.
fn check_overflow(check: impl Fn(&Played, &str)) {
    let go = |transcript: &Transcript, end: End| {
        transcript.scenario() == "accept-overflow" && end.implementation == Implementation::Go
    };
    assert_eq!(play_all(go, |_, _, played, at| check(played, at)), 1);
}
