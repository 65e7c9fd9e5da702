//! PROTOCOL.md is correct: its examples decode and encode as it says, its tables agree with the
//! code, and all references to its sections are valid.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Buf;
use muxado_proto::frame::FrameType;
use muxado_proto::{CloseReason, Config, ErrorCode, Role, Session, Timestamp, Transmit};
use muxado_tests::codec::decode;
use muxado_tests::vectors::parse_hex;

const DOCUMENT: &str = include_str!("../../muxado-proto/PROTOCOL.md");

/// One line of an example block.
#[derive(Debug)]
struct Example {
    /// Its line number, for messages.
    line: usize,
    /// `C` or `S`, in a conversation.
    sender: Option<char>,
    bytes: Vec<u8>,
    meaning: &'static str,
}

/// The fenced blocks marked with `kind`.
fn blocks(kind: &str) -> Vec<Vec<Example>> {
    let mut blocks = Vec::new();
    let mut block: Option<Vec<Example>> = None;
    for (number, line) in (1..).zip(DOCUMENT.lines()) {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(mark)) if mark == kind => block = Some(Vec::new()),
            (Some(_), Some(_)) => blocks.extend(block.take()),
            (Some(block), None) if !line.is_empty() && !line.starts_with('#') => {
                block
                    .push(example(number, line).unwrap_or_else(|| panic!("line {number}: {line}")));
            }
            _ => {}
        }
    }
    blocks
}

fn example(number: usize, line: &'static str) -> Option<Example> {
    let (text, meaning) = line.split_once('|')?;
    let (sender, hex) = match text.split_once('>') {
        Some((sender, hex)) => (Some(sender.parse().ok()?), hex),
        None => (None, text),
    };
    let meaning = meaning.split(';').next()?.trim();
    Some(Example { line: number, sender, bytes: parse_hex(hex).ok()?, meaning })
}

/// The bytes with the top bits of id and increment cleared, as an encoder writes them.
fn canonical(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[4] &= 0x7f;
    if bytes[3] >> 4 == FrameType::WndInc.bits() && bytes.len() > 8 {
        bytes[8] &= 0x7f;
    }
    bytes
}

#[test]
fn every_example_decodes_to_its_meaning_and_encodes_to_its_bytes() {
    let frames = blocks("frame");
    let conversations = blocks("conversation");
    assert!(frames.len() >= 7, "only {} blocks of frames", frames.len());
    assert!(conversations.len() >= 12, "only {} conversations", conversations.len());
    for example in frames.iter().chain(&conversations).flatten() {
        let at = format!("line {}: {}", example.line, example.meaning);
        if example.meaning.starts_with("INVALID") {
            continue;
        }
        for size in [example.bytes.len(), 1, 3, 8, 13] {
            let decoded = decode(&example.bytes, size);
            let [frame] = decoded.as_slice() else { panic!("{at}: {decoded:?}") };
            assert_eq!(frame.meaning, example.meaning, "{at}, in pieces of {size}");
            if !frame.meaning.starts_with("UNKNOWN") {
                assert_eq!(frame.bytes, canonical(&example.bytes), "{at}, in pieces of {size}");
            }
        }
    }
}

/// A session of ours that has been sent `bytes`.
fn sent_to(role: Role, bytes: &[u8]) -> Session {
    let mut session = Session::new(role, Config::default().into(), Timestamp::ZERO, [1; 16].into());
    session.handle_slice(Timestamp::ZERO, bytes);
    session
}

#[test]
fn every_invalid_example_ends_a_session_with_its_code() {
    let blocks = blocks("frame");
    let invalid: Vec<_> = blocks
        .iter()
        .flatten()
        .filter_map(|example| Some((example, example.meaning.strip_prefix("INVALID code=")?)))
        .collect();
    assert!(invalid.len() >= 7, "only {} examples", invalid.len());
    for (example, code) in invalid {
        let code = ErrorCode(code.parse().expect("a number"));
        for role in [Role::Client, Role::Server] {
            let mut session = sent_to(role, &example.bytes);
            let reason = session.close_reason();
            let is_violation =
                matches!(reason, Some(CloseReason::Violation { code: c, .. }) if *c == code);
            assert!(is_violation, "line {}: {reason:?}", example.line);
            let mut out = Transmit::new();
            session.poll_transmit(Timestamp::ZERO, &mut out, usize::MAX);
            let sent = decode(&out.copy_to_bytes(out.remaining()), usize::MAX);
            let goaway = format!("GOAWAY last=0 code={} ", code.0);
            assert!(sent[0].meaning.starts_with(&goaway), "line {}: {sent:?}", example.line);
        }
    }
}

#[test]
fn neither_side_of_a_conversation_violates_the_protocol() {
    for conversation in blocks("conversation") {
        for (sender, receiver) in [('C', Role::Server), ('S', Role::Client)] {
            let sent = conversation.iter().filter(|example| example.sender == Some(sender));
            let bytes: Vec<u8> = sent.flat_map(|example| example.bytes.clone()).collect();
            let session = sent_to(receiver, &bytes);
            let reason = session.close_reason();
            let violates = matches!(reason, Some(CloseReason::Violation { .. }));
            assert!(!violates, "line {}, {sender}: {reason:?}", conversation[0].line);
        }
    }
}

#[test]
fn conversations_name_their_senders_and_frames_do_not() {
    for example in blocks("frame").iter().flatten() {
        assert_eq!(example.sender, None, "line {}", example.line);
    }
    for example in blocks("conversation").iter().flatten() {
        assert!(matches!(example.sender, Some('C' | 'S')), "line {}", example.line);
    }
}

/// The cells of the rows of all tables whose header has this first cell.
fn rows(first: &str) -> Vec<Vec<&'static str>> {
    let cells = |line: &'static str| -> Vec<&'static str> {
        line.trim_matches('|').split('|').map(str::trim).collect()
    };
    let mut rows = Vec::new();
    let mut inside = false;
    for line in DOCUMENT.lines() {
        match line.starts_with('|') {
            false => inside = false,
            true if inside && !line.starts_with("|---") => rows.push(cells(line)),
            true => inside |= cells(line)[0] == first,
        }
    }
    rows
}

#[test]
fn the_table_of_error_codes_is_that_of_the_code() {
    let codes = [
        ("NO_ERROR", ErrorCode::NO_ERROR),
        ("PROTOCOL", ErrorCode::PROTOCOL),
        ("INTERNAL", ErrorCode::INTERNAL),
        ("FLOW_CONTROL", ErrorCode::FLOW_CONTROL),
        ("STREAM_CLOSED", ErrorCode::STREAM_CLOSED),
        ("STREAM_REFUSED", ErrorCode::STREAM_REFUSED),
        ("STREAM_CANCELLED", ErrorCode::STREAM_CANCELLED),
        ("STREAM_RESET", ErrorCode::STREAM_RESET),
        ("FRAME_SIZE", ErrorCode::FRAME_SIZE),
        ("ACCEPT_QUEUE_FULL", ErrorCode::ACCEPT_QUEUE_FULL),
        ("ENHANCE_YOUR_CALM", ErrorCode::ENHANCE_YOUR_CALM),
        ("REMOTE_GONE_AWAY", ErrorCode::REMOTE_GONE_AWAY),
        ("STREAMS_EXHAUSTED", ErrorCode::STREAMS_EXHAUSTED),
        ("WRITE_TIMEOUT", ErrorCode::WRITE_TIMEOUT),
        ("SESSION_CLOSED", ErrorCode::SESSION_CLOSED),
        ("PEER_EOF", ErrorCode::PEER_EOF),
    ];
    let documented: Vec<_> = rows("code").iter().map(|row| (row[1], row[0])).collect();
    let known: Vec<_> = codes.iter().map(|(name, code)| (*name, code.0.to_string())).collect();
    assert_eq!(
        documented,
        known.iter().map(|(name, code)| (*name, code.as_str())).collect::<Vec<_>>()
    );
    assert_eq!(ErrorCode(16).name(), None, "a code that the table does not have");
}

#[test]
fn the_defaults_of_the_limits_are_those_of_config() {
    let config = Config::default();
    let seconds = |time: std::time::Duration| format!("{} s", time.as_secs_f64());
    let rate = |rate: muxado_proto::RateLimit| format!("{} {}", rate.burst, rate.per_second);
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let actual = BTreeMap::from([
        ("receive_window", config.receive_window().to_string()),
        ("max_receive_window", config.max_receive_window().to_string()),
        ("window_budget", config.window_budget().to_string()),
        ("session_receive_buffer", config.session_receive_buffer().to_string()),
        ("send_buffer", config.send_buffer().to_string()),
        ("session_send_buffer", config.session_send_buffer().to_string()),
        ("accept_backlog", config.accept_backlog().to_string()),
        ("max_inbound_streams", config.max_inbound_streams().to_string()),
        ("max_outbound_streams", config.max_outbound_streams().to_string()),
        ("max_heartbeat_responders", config.max_heartbeat_responders().to_string()),
        ("tombstones", config.tombstones().to_string()),
        ("id_gaps", config.id_gaps().to_string()),
        ("pending_resets", config.pending_resets().to_string()),
        ("goaway_text", config.goaway_text().to_string()),
        ("reset_limit", rate(config.reset_limit())),
        ("stray_data_limit", rate(config.stray_data_limit())),
        ("empty_data_limit", rate(config.empty_data_limit())),
        ("unknown_bytes_limit", rate(config.unknown_bytes_limit())),
        ("frame_stall_timeout", seconds(config.frame_stall_timeout())),
        ("write_stall_timeout", seconds(config.write_stall_timeout())),
        ("typed_timeout", seconds(config.typed_timeout())),
        ("given_up_timeout", seconds(config.given_up_timeout())),
        ("drain_timeout", seconds(config.drain_timeout())),
        ("drain_limit", seconds(config.drain_limit())),
        ("linger_timeout", seconds(config.linger_timeout())),
        ("stream_stall_timeout", or_none(config.stream_stall_timeout().map(seconds))),
        ("idle_timeout", or_none(config.idle_timeout().map(seconds))),
        ("heartbeat", or_none(config.heartbeat().map(|heartbeat| seconds(heartbeat.interval)))),
    ]);
    let limits = DOCUMENT.split_once("## 11. Limits").expect("§11").1;
    let limits = limits.split_once("## 12.").expect("§12").0;
    let mut documented = BTreeMap::new();
    for line in limits.lines().filter(|line| line.contains("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let setting = cells[1].trim_matches('`');
        let is_rate = setting.ends_with("_limit") && setting != "drain_limit";
        let value = if is_rate { cells[2..4].join(" ") } else { cells[2].to_owned() };
        assert_eq!(documented.insert(setting, value), None, "{setting} stands there twice");
    }
    assert_eq!(documented, actual);
}

/// The numbers of all sections: `1`, `1.1` and so on.
fn sections() -> BTreeSet<String> {
    DOCUMENT
        .lines()
        .filter(|line| line.starts_with("## ") || line.starts_with("### "))
        .filter_map(|line| line.trim_start_matches('#').split_whitespace().next())
        .map(|number| number.trim_end_matches('.').to_owned())
        .collect()
}

/// The section number at the front of `text`.
fn number(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text[..end].trim_end_matches('.')
}

/// The source and documentation of the workspace.
fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                files(&path, found);
            }
        } else if name.ends_with(".rs") || name.ends_with(".md") {
            found.push(path);
        }
    }
}

#[test]
fn sections_are_numbered_without_gaps() {
    let (mut chapter, mut section) = (0, 0);
    for line in DOCUMENT.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            (chapter, section) = (chapter + 1, 0);
            assert!(title.starts_with(&format!("{chapter}. ")), "{line}");
        } else if let Some(title) = line.strip_prefix("### ") {
            section += 1;
            assert!(title.starts_with(&format!("{chapter}.{section} ")), "{line}");
        }
    }
    assert_eq!(chapter, 13);
}

#[test]
fn every_reference_is_to_a_section_that_exists() {
    let sections = sections();
    for reference in DOCUMENT.split('§').skip(1).map(number) {
        assert!(sections.contains(reference), "PROTOCOL.md refers to §{reference}");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut paths = Vec::new();
    files(root, &mut paths);
    assert!(paths.len() > 20, "only {} files found", paths.len());
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("readable text");
        // In two pieces, so that this line is not counted as a reference.
        for rest in text.split(concat!("PROTOCOL.md", " §")).skip(1) {
            let reference = number(rest);
            assert!(sections.contains(reference), "{} refers to §{reference}", path.display());
        }
    }
}
