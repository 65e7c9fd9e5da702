//! The tables are tried out whole, and what the documents say of them is made from them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;

const OWN: ErrorCode = ErrorCode::STREAM_CANCELLED;
const PEERS: ErrorCode = ErrorCode::PROTOCOL;

const SEND_STATES: [SendState; 10] = [
    SendState::Fresh,
    SendState::Left,
    SendState::Announcing,
    SendState::Open,
    SendState::Finishing { fresh: true },
    SendState::Finishing { fresh: false },
    SendState::Finished,
    SendState::Resetting(OWN),
    SendState::ResetLocally(OWN),
    SendState::ResetByPeer(PEERS),
];

const SEND_EVENTS: [SendEvent; 8] = [
    SendEvent::Announce,
    SendEvent::Leave,
    SendEvent::Finish,
    SendEvent::SynSent,
    SendEvent::FinSent,
    SendEvent::Reset(OWN),
    SendEvent::RstSent,
    SendEvent::PeerReset(PEERS),
];

const RECV_STATES: [RecvState; 6] = [
    RecvState::Open,
    RecvState::Finished,
    RecvState::Stopped,
    RecvState::Ignored,
    RecvState::Reset(PEERS),
    RecvState::ResetLocally(OWN),
];

const RECV_EVENTS: [RecvEvent; 4] =
    [RecvEvent::Fin, RecvEvent::Stop, RecvEvent::Reset(OWN), RecvEvent::PeerReset(PEERS)];

const fn send_name(state: SendState) -> &'static str {
    match state {
        SendState::Fresh => "Fresh",
        SendState::Left => "Left",
        SendState::Announcing => "Announcing",
        SendState::Open => "Open",
        SendState::Finishing { fresh: true } => "Finishing, fresh",
        SendState::Finishing { fresh: false } => "Finishing",
        SendState::Finished => "Finished",
        SendState::Resetting(_) => "Resetting",
        SendState::ResetLocally(_) => "ResetLocally",
        SendState::ResetByPeer(_) => "ResetByPeer",
    }
}

const fn send_event_name(event: SendEvent) -> &'static str {
    match event {
        SendEvent::Announce => "announce",
        SendEvent::Leave => "leave",
        SendEvent::Finish => "finish",
        SendEvent::SynSent => "SYN sent",
        SendEvent::FinSent => "FIN sent",
        SendEvent::Reset(_) => "reset",
        SendEvent::RstSent => "RST sent",
        SendEvent::PeerReset(_) => "RST received",
    }
}

const fn recv_name(state: RecvState) -> &'static str {
    match state {
        RecvState::Open => "Open",
        RecvState::Finished => "Finished",
        RecvState::Stopped => "Stopped",
        RecvState::Ignored => "Ignored",
        RecvState::Reset(_) => "Reset",
        RecvState::ResetLocally(_) => "ResetLocally",
    }
}

const fn recv_event_name(event: RecvEvent) -> &'static str {
    match event {
        RecvEvent::Fin => "FIN received",
        RecvEvent::Stop => "stop",
        RecvEvent::Reset(_) => "reset",
        RecvEvent::PeerReset(_) => "RST received",
    }
}

/// Lines of cells in columns, without spaces at the end.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(String::len).max().unwrap_or(0))
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}  "));
        cells.collect::<String>().trim_end().to_string()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One table as text: a row for each state, a column for each event.
fn table<S: Copy + PartialEq, E: Copy>(
    title: &str,
    (states, state_name): (&[S], fn(S) -> &'static str),
    (events, event_name): (&[E], fn(E) -> &'static str),
    on: fn(S, E) -> S,
) -> String {
    let head = [title].into_iter().chain(events.iter().map(|&event| event_name(event)));
    let mut rows = Vec::from([head.map(str::to_string).collect()]);
    for &state in states {
        let after = events.iter().map(|&event| match on(state, event) {
            same if same == state => ".",
            next => state_name(next),
        });
        rows.push([state_name(state)].into_iter().chain(after).map(str::to_string).collect());
    }
    columns(&rows)
}

fn tables() -> String {
    let send = table(
        "sending half",
        (&SEND_STATES, send_name),
        (&SEND_EVENTS, send_event_name),
        SendState::on,
    );
    let recv = table(
        "receiving half",
        (&RECV_STATES, recv_name),
        (&RECV_EVENTS, recv_event_name),
        RecvState::on,
    );
    format!("{send}\n\n{recv}")
}

#[test]
fn a_half_is_reset_by_either_side() {
    let reset = SEND_STATES.map(SendState::is_reset);
    assert_eq!(reset, [false, false, false, false, false, false, false, true, true, true]);
}

#[test]
fn the_text_above_the_tables_is_theirs() {
    let source = include_str!("../state.rs");
    let lines = source.lines().take_while(|line| line.starts_with("//!"));
    let doc: Vec<&str> = lines.map(|line| line[3..].strip_prefix(' ').unwrap_or("")).collect();
    let doc = doc.join("\n");
    let text = doc.split("```text\n").nth(1).and_then(|rest| rest.split("\n```").next());
    assert_eq!(text, Some(tables().as_str()), "the text should be\n{}", tables());
}

/// The sending and the receiving half of a stream.
type Halves = (SendState, RecvState);

/// What happens to a stream, on both of its halves at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Happening {
    Announce,
    Leave,
    Finish,
    Stop,
    Reset,
    /// The peer has broken a rule: what it sent before stays.
    Violation,
    SynSent,
    FinSent,
    RstSent,
    Fin,
    PeerReset,
    /// The peer's GOAWAY says that it never had the stream.
    GoAway,
}

impl Happening {
    const ALL: [Self; 12] = [
        Self::Announce,
        Self::Leave,
        Self::Finish,
        Self::Stop,
        Self::Reset,
        Self::Violation,
        Self::SynSent,
        Self::FinSent,
        Self::RstSent,
        Self::Fin,
        Self::PeerReset,
        Self::GoAway,
    ];

    /// Whether it can happen: frames are sent that are due, and the peer sends nothing on a stream
    /// that it does not know.
    fn is_possible(self, (send, recv): Halves) -> bool {
        match self {
            Self::SynSent => send.owes_syn(),
            Self::FinSent => send == SendState::Finishing { fresh: false },
            Self::RstSent => matches!(send, SendState::Resetting(_)),
            Self::Fin => recv.is_open() && !send.owes_syn(),
            Self::Violation | Self::PeerReset => !send.owes_syn(),
            Self::Announce
            | Self::Leave
            | Self::Finish
            | Self::Stop
            | Self::Reset
            | Self::GoAway => true,
        }
    }

    fn apply(self, (send, recv): Halves) -> Halves {
        match self {
            Self::Announce => (send.announce(), recv),
            Self::Leave => (send.leave(), recv),
            Self::Finish => (send.finish(), recv),
            Self::Stop => (send, recv.stop()),
            Self::Reset if send.is_over() && !recv.is_open() => (send, recv.reset(OWN)),
            Self::Reset => (send.reset(OWN), recv.reset(OWN)),
            Self::Violation if recv.is_open() => (send.reset(OWN), recv.reset(OWN)),
            Self::Violation => (send.reset(OWN), recv),
            Self::SynSent => (send.syn_sent(), recv),
            Self::FinSent => (send.fin_sent(), recv),
            Self::RstSent => (send.rst_sent(), recv),
            Self::Fin => (send, recv.fin()),
            Self::PeerReset | Self::GoAway => (send.peer_reset(PEERS), recv.peer_reset(PEERS)),
        }
    }
}

/// Every step a stream can take, from the states it begins in.
fn steps() -> Vec<(Halves, Happening, Halves)> {
    let begin = [SendState::Fresh, SendState::Open].map(|send| (send, RecvState::Open));
    let mut seen = Vec::from(begin);
    let mut steps = Vec::new();
    let mut at = 0;
    while let Some(&before) = seen.get(at) {
        at += 1;
        for what in Happening::ALL.into_iter().filter(|what| what.is_possible(before)) {
            let after = what.apply(before);
            steps.push((before, what, after));
            if !seen.contains(&after) {
                seen.push(after);
            }
        }
    }
    steps
}

#[test]
fn every_state_is_reached() {
    let (mut sends, mut recvs) = (BTreeSet::new(), BTreeSet::new());
    for (before, _, after) in steps() {
        for (send, recv) in [before, after] {
            sends.insert(send_name(send));
            recvs.insert(recv_name(recv));
        }
    }
    assert_eq!(sends, SEND_STATES.into_iter().map(send_name).collect());
    assert_eq!(recvs, RECV_STATES.into_iter().map(recv_name).collect());
}

#[test]
fn over_is_over() {
    for (before, what, after) in steps() {
        let step = format!("{before:?} {what:?} {after:?}");
        // The one way back: an RST for a peer that goes on sending behind our FIN.
        if before.0.is_over() && before.0 != SendState::Finished {
            assert_eq!(before.0, after.0, "{step}");
        }
        assert!(before.1.is_open() || !after.1.is_open(), "{step}");
        assert!(!(after.0.is_over() && after.0.owes_syn()), "{step}");
        assert!(!(after.0.is_sending() && after.0.is_over()), "{step}");
        assert!(!before.0.is_reset() || after.0.is_reset(), "{step}");
    }
}

#[test]
fn whoever_reset_first_is_the_cause() {
    for (before, what, after) in steps() {
        match (before.0, after.0) {
            (SendState::Resetting(code) | SendState::ResetLocally(code), next) => {
                let kept = [SendState::Resetting(code), SendState::ResetLocally(code)];
                assert!(kept.contains(&next), "{before:?} {what:?} {after:?}");
            }
            (SendState::ResetByPeer(_), next) => assert_eq!(before.0, next),
            _ => {}
        }
    }
}

#[test]
fn a_stream_that_is_not_on_the_wire_is_reset_without_a_trace() {
    for state in SEND_STATES.into_iter().filter(|state| state.owes_syn()) {
        assert_eq!(state.reset(OWN), SendState::ResetLocally(OWN));
    }
}

#[test]
fn what_is_complete_stays_so_when_the_peer_resets() {
    for code in [OWN, PEERS] {
        assert_eq!(SendState::Finished.peer_reset(code), SendState::Finished);
        assert_eq!(RecvState::Finished.peer_reset(code), RecvState::Finished);
    }
}

#[test]
fn an_rst_is_not_answered() {
    for state in SEND_STATES {
        assert!(!matches!(state.peer_reset(PEERS), SendState::Resetting(_)), "{state:?}");
    }
}

/// The states of PROTOCOL.md §4.1, which knows only what a peer can tell.
fn on_the_wire((send, recv): Halves) -> [&'static str; 2] {
    let sending = match send {
        _ if send.owes_syn() => "idle",
        _ if send.is_sending() => "open",
        SendState::Finished => "finished",
        _ => "closed",
    };
    let receiving = match recv {
        RecvState::Open | RecvState::Stopped if send.owes_syn() => "idle",
        RecvState::Open => "open",
        RecvState::Stopped => "stopped",
        RecvState::Finished => "finished",
        RecvState::Ignored | RecvState::Reset(_) | RecvState::ResetLocally(_) => "closed",
    };
    [sending, receiving]
}

/// What PROTOCOL.md calls it, and its place in the list.
const fn named(what: Happening) -> Option<(u8, &'static str)> {
    match what {
        Happening::SynSent => Some((0, "SYN sent")),
        Happening::FinSent => Some((1, "FIN sent")),
        Happening::Fin => Some((2, "FIN received")),
        Happening::Stop => Some((3, "stop")),
        Happening::Reset | Happening::Violation => Some((4, "reset")),
        Happening::PeerReset => Some((5, "RST received")),
        Happening::GoAway => Some((6, "GOAWAY")),
        Happening::Announce | Happening::Leave | Happening::Finish | Happening::RstSent => None,
    }
}

fn diagram() -> String {
    let place = |name: &str| {
        ["idle", "open", "stopped", "finished", "closed"].iter().position(|&known| known == name)
    };
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (half, title) in ["sending half", "receiving half"].into_iter().enumerate() {
        let mut arrows: BTreeMap<_, BTreeSet<(u8, &str)>> = BTreeMap::new();
        let begin = on_the_wire((SendState::Open, RecvState::Open))[half];
        arrows.entry((place("idle"), "idle", place(begin), begin)).or_default();
        for (before, what, after) in steps() {
            let (from, to) = (on_the_wire(before)[half], on_the_wire(after)[half]);
            if from != to {
                let label = named(what).unwrap_or_else(|| panic!("{before:?} {what:?} {after:?}"));
                arrows.entry((place(from), from, place(to), to)).or_default().insert(label);
            }
        }
        if half > 0 {
            rows.push(Vec::new());
        }
        rows.push(Vec::from([title.to_string()]));
        for ((_, from, _, to), labels) in arrows {
            let mut labels: Vec<&str> = labels.into_iter().map(|(_, label)| label).collect();
            if (from, to) == ("idle", "open") {
                labels.push("SYN received");
            }
            rows.push(Vec::from([format!("  {from}"), format!("-> {to}"), labels.join(", ")]));
        }
    }
    columns(&rows)
}

#[test]
fn the_diagram_of_the_protocol_is_that_of_the_tables() {
    let document = include_str!("../../../PROTOCOL.md");
    let section = document.split("### 4.1 States").nth(1).unwrap_or_default();
    let text = section.split("```text\n").nth(1).and_then(|rest| rest.split("\n```").next());
    assert_eq!(text, Some(diagram().as_str()), "the diagram should be\n{}", diagram());
}
