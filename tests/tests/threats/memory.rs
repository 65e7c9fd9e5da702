//! The memory that a session holds, compared with `Config::max_memory`.

use core::time::Duration;

use bytes::Bytes;
use muxado_proto::Config;
use muxado_tests::peer::{self, Peer};

use crate::meter::Meter;

const KIB: usize = 1024;

#[test]
fn tiny_data_frames_pin_no_buffers() {
    let meter = Meter::start();
    // 256 Ki frames of one byte, each at the end of its own large read.
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b""));
    let id = peer.accept();
    let before = meter.held();
    let mut read = vec![0; 4096];
    read.extend(peer::data(id, b"x"));
    let tail = read.len() - 9;
    for _ in 0..262_144 {
        peer.send_bytes(Bytes::from(read.clone()).slice(tail..));
    }
    let held = meter.held() - before;
    println!("tiny_data_frames: {held} bytes held for a window of 262144");
    assert!(held <= 262_144 + 64 * KIB, "{held}");
    assert_eq!(peer.read(id).0.len(), 262_144);
    // Memory that is kept for reuse is freed if it is not used soon.
    for _ in 0..2 {
        peer.receive();
        peer.pass(Duration::from_millis(100));
    }
    assert!(meter.held() <= before + 64 * KIB, "{}", meter.held() - before);
}

#[test]
fn pieces_of_any_size_pin_at_most_eight_times_themselves() {
    let meter = Meter::start();
    // Pieces just above and below every threshold, in reads that hold little else.
    for size in [1, 2, 100, 511, 512, 513, 1023, 1024, 4096, 16_384] {
        let mut peer = Peer::of_server(Config::default());
        peer.send(peer::syn_fin(5, b""));
        peer.accept();
        peer.send(peer::syn(3, b""));
        let id = peer.accept();
        let before = meter.held();
        let mut read = peer::data(id, &vec![0; size]);
        // Padded with free frames to the size at which the piece is still kept.
        while read.len() < (4 * size).saturating_sub(16) {
            read.extend(peer::fin(5));
        }
        let mut sent = 0;
        while sent + size <= 262_144 {
            peer.send_bytes(Bytes::from(read.clone()));
            sent += size;
        }
        let held = meter.held() - before;
        println!("pieces of {size}: {held} bytes held for {sent}");
        assert!(held <= 8 * sent + 64 * KIB, "{held} bytes for {sent} in pieces of {size}");
    }
}

#[test]
fn a_small_part_of_a_large_read_pins_none_of_it() {
    let meter = Meter::start();
    for size in [512, 1024, 4096] {
        let mut peer = Peer::of_server(Config::default());
        peer.send(peer::syn_fin(5, b""));
        peer.accept();
        peer.send(peer::syn(3, b""));
        let id = peer.accept();
        let mut read = peer::data(id, &vec![0; size]);
        while read.len() < 64 * KIB {
            read.extend(peer::fin(5));
        }
        let before = meter.held();
        for _ in 0..10 {
            peer.send_bytes(Bytes::from(read.clone()));
        }
        let held = meter.held() - before;
        assert!(held <= 2 * 10 * size + KIB, "{held} bytes for ten pieces of {size}");
    }
}

#[test]
fn many_streams_with_all_windows_full() {
    let meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    for n in 0..1024 {
        let id = 3 + 2 * n;
        peer.send(peer::syn(id, b""));
        peer.accept();
    }
    peer.receive();
    let window = Bytes::from(vec![0; 262_144]);
    for n in 0..1024 {
        peer.send(peer::header(262_144, 1, 0, 3 + 2 * n));
        peer.send(&window);
    }
    let held = meter.held();
    println!("all windows full: {held} bytes held");
    assert!(held < 1024 * (262_144 + 4096 + 2048), "{held}");
    // They were promised, so all of them are kept.
    peer.expect_silence();
    assert_eq!(peer.session.stats().receive_buffered, 1024 * 262_144);
    assert_eq!(peer.read(3).0.len(), 262_144);
    assert_eq!(peer.read(2049).0.len(), 262_144);
    peer.stream(3).release();
    peer.send(peer::fin(3));
    peer.receive();
    peer.expect_alive(9999);
}

/// Settings under which only received bytes take much memory: `streams` of the peer.
fn receiving(streams: u32) -> Config {
    Config::builder()
        .max_inbound_streams(streams)
        .max_outbound_streams(1)
        .max_heartbeat_responders(0)
        .session_receive_buffer(u64::from(streams + 2) * 262_144)
        .session_send_buffer(64 << 10)
        .build()
        .expect("valid")
}

/// The peer of a server with `streams` open, ids from 5; DATA on 3 is discarded.
fn with_streams(config: &Config, streams: u32) -> (Peer, Vec<u32>) {
    let mut peer = Peer::of_server(config.clone());
    peer.send(peer::syn(3, b""));
    peer.accept();
    peer.stream(3).reset(6.into());
    peer.stream(3).release();
    peer.receive();
    let ids: Vec<u32> = (0..streams).map(|n| 5 + 2 * n).collect();
    for &id in &ids {
        peer.send(peer::syn(id, b""));
        assert_eq!(peer.accept(), id);
    }
    (peer, ids)
}

/// Reads so many bytes of a stream.
fn read_exactly(peer: &mut Peer, id: u32, count: usize) {
    let mut buf = vec![0; count];
    let mut done = 0;
    while done < count {
        done += peer.stream(id).read(&mut buf[done..]).expect("bytes");
    }
}

/// DATA on a stream, in an input that is padded to `len` with discarded bytes.
fn in_input_of(len: usize, id: u32, payload: &[u8]) -> Bytes {
    let mut input = peer::data(id, payload);
    if let Some(rest) = len.checked_sub(input.len() + 8) {
        input.extend(peer::data(3, &vec![0; rest]));
    }
    input.into()
}

#[test]
fn s2_one_unread_byte_of_each_input_keeps_no_input() {
    let meter = Meter::start();
    let config = receiving(64);
    let (mut peer, ids) = with_streams(&config, 64);
    let before = meter.held();
    for &id in &ids {
        peer.send_bytes(in_input_of(1 << 20, id, &vec![7; 262_144]));
        read_exactly(&mut peer, id, 262_143);
        let held = (meter.held() - before) as u64;
        assert!(held <= config.max_memory(), "{held} of {}", config.max_memory());
    }
    let held = meter.held() - before;
    println!("a byte each of 64 inputs of 1 MiB: {held} bytes held, {}", config.max_memory());
    for id in ids {
        assert_eq!(peer.read(id).0, [7]);
    }
}

#[test]
fn s2_a_queue_of_chunks_that_was_long_keeps_nothing() {
    let meter = Meter::start();
    let config = receiving(64);
    let (mut peer, ids) = with_streams(&config, 64);
    let before = meter.held();
    for &id in &ids {
        for _ in 0..512 {
            peer.send_bytes(peer::data(id, &[7; 512]).into());
        }
        read_exactly(&mut peer, id, 262_143);
    }
    let held = meter.held() - before;
    println!("64 queues that were long: {held} bytes held");
    assert!(held <= 64 * 4 * KIB + 256 * KIB, "{held}");
}

#[test]
fn s2_honest_windows_fit_whatever_their_inputs_are() {
    let meter = Meter::start();
    for (payload, input) in [
        (262_144, 1 << 20),
        (16_384, 65_536),
        (512, 2048),
        (512, 520),
        (1000, 1008),
        (511, 4096),
        (100, 108),
    ] {
        let config = receiving(40);
        let (mut peer, ids) = with_streams(&config, 40);
        let before = meter.held();
        let mut sent = 0;
        while sent + payload <= 262_144 {
            for &id in &ids {
                let fill = u8::try_from(id % 251).expect("small");
                peer.send_bytes(in_input_of(input, id, &vec![fill; payload]));
            }
            sent += payload;
            let held = (meter.held() - before) as u64;
            assert!(held <= config.max_memory(), "{held}: {payload} in {input}");
        }
        let held = meter.held() - before;
        println!("{payload} of each {input}: {held} held for {}", 40 * sent);
        peer.expect_silence();
        for id in ids {
            let fill = u8::try_from(id % 251).expect("small");
            assert_eq!(peer.read(id).0, vec![fill; sent], "{payload} in {input}");
        }
    }
}

#[test]
fn w10_one_stream_that_stays_keeps_nothing_of_a_crowd() {
    let meter = Meter::start();
    for stays in [0, 999, 1999] {
        let config = Config::builder().max_inbound_streams(2000).overcommit(true);
        let mut peer = Peer::of_server(config.build().expect("valid"));
        let before = meter.held();
        let ids: Vec<u32> = (0..2000).map(|n| 3 + 2 * n).collect();
        for &id in &ids {
            peer.send(peer::syn(id, b"x"));
            peer.accept();
        }
        let most = meter.held() - before;
        for (n, &id) in ids.iter().enumerate() {
            if n != stays {
                peer.stream(id).write(b"y").expect("room");
                peer.send(peer::fin(id));
                peer.read(id).1.expect("the end");
                peer.stream(id).release();
            }
        }
        peer.receive();
        for _ in 0..2 {
            peer.pass(Duration::from_millis(100));
            peer.receive();
        }
        let held = meter.held() - before;
        println!("one of 2000 stays: {held} bytes held, {most} before");
        assert!(held <= 32 * KIB, "{held} bytes held");
        assert_eq!(peer.read(ids[stays]).0, b"x");
    }
}

#[test]
fn the_stream_that_holds_most_pays_if_more_is_promised_than_held() {
    let _meter = Meter::start();
    let config = Config::builder().session_receive_buffer(300_000).overcommit(true);
    let mut peer = Peer::of_server(config.build().expect("valid"));
    // Up to a block of 64 KiB more than promised is tolerated, to avoid constant copying.
    for (id, count) in [(3, 50_000), (5, 200_000), (7, 49_000), (9, 60_000)] {
        peer.send(peer::syn(id, &vec![0; count]));
        peer.accept();
    }
    peer.expect_silence();
    peer.send(peer::data(3, &[0; 8000]));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=5 code=10"));
    assert_eq!(peer.read(3).0.len(), 58_000);
    assert_eq!(peer.read(7).0.len(), 49_000);
    assert_eq!(peer.read(5).0.len(), 0);
}

/// A server under every attack at once, which cannot send; the settings make every term of the
/// formula matter.
fn besiege(config: &Config) -> Peer {
    let mut peer = Peer::of_server(config.clone());
    let inbound = config.max_inbound_streams();
    let mut next = 3;
    let mut fresh = || {
        next += 4;
        next
    };
    // Streams of the peer, each with a little to read, and something to send.
    let ids: Vec<u32> = (0..inbound).map(|_| fresh()).collect();
    for &id in &ids {
        peer.send(peer::syn(id, b"x"));
        peer.accept();
        let _full = peer.stream(id).write(b"y");
    }
    // Our own, too, in small pieces without a copy.
    for _ in 0..config.max_outbound_streams() {
        let id = peer.open();
        while peer.stream(id).write_chunk(&mut Bytes::from(vec![0; 1])).is_ok() {
            if peer.stream(id).stats().send_buffered > 1000 {
                break;
            }
        }
    }
    // As many bytes as can be received, in pieces that keep as much memory alive as possible.
    peer.stream(ids[0]).reset(6.into());
    peer.stream(ids[0]).release();
    peer.receive();
    let rest = peer::data(ids[0], &[0; 2048 - 520 - 8]);
    'full: for _ in 0..1000 {
        for &id in &ids[1..] {
            if peer.stream(id).stats().receive_credit < 512 {
                continue;
            }
            peer.send_bytes([peer::data(id, &[0; 512]), rest.clone()].concat().into());
            let received = peer.session.stats().receive_buffered + 1024;
            if received > config.session_receive_buffer() {
                break 'full;
            }
        }
    }
    // More refusals, tombstones and gaps than fit.
    for _ in 0..4 * config.tombstones().max(config.pending_resets()).max(config.id_gaps()) {
        peer.send(peer::syn(fresh(), b"refused"));
    }
    peer.send(peer::go_away(0x7fff_ffff, 0, &vec![b'x'; 100_000]));
    peer
}

/// A client whose streams each have one byte left to send, the last one of a block of memory.
fn leave_a_byte_each(config: &Config) -> Peer {
    let mut peer = Peer::of_client(config.clone());
    let count = 262_144 + 65_536;
    for _ in 0..config.max_outbound_streams() {
        let id = peer.open();
        peer.write(id, &vec![0; count]);
        peer.receive_bytes();
        peer.send(peer::wnd_inc(id, 65_535));
        peer.receive_bytes();
        assert_eq!(peer.stream(id).stats().send_buffered, 1);
    }
    peer
}

#[test]
fn max_memory_holds_for_the_last_bytes_of_blocks() {
    let meter = Meter::start();
    let config = Config::builder()
        .session_receive_buffer((1 + 1024 + 1) * 262_144)
        .send_buffer(1 << 20)
        .session_send_buffer(1 << 20)
        .max_inbound_streams(1)
        .max_heartbeat_responders(0)
        .build()
        .expect("valid");
    let peer = leave_a_byte_each(&config);
    let (held, most) = (meter.held() as u64, config.max_memory());
    println!("last bytes: {held} bytes held, {most} by the formula ({} %)", held * 100 / most);
    assert!(held <= most, "{held} bytes held, {most} by the formula");
    assert_eq!(peer.session.stats().send_buffered, 1024);
}

#[test]
fn max_memory_holds() {
    let meter = Meter::start();
    let small = Config::builder()
        .receive_window(65_536)
        .max_inbound_streams(16)
        .max_outbound_streams(16)
        .session_receive_buffer(37 * 65_536)
        .session_send_buffer(1 << 20)
        .build()
        .expect("valid");
    let overcommit = Config::builder()
        .receive_window(65_536)
        .session_receive_buffer(1 << 20)
        .overcommit(true)
        .session_send_buffer(1 << 20)
        .build()
        .expect("valid");
    let many = Config::builder()
        .receive_window(1024)
        .session_receive_buffer(8005 * 1024)
        .session_send_buffer(64 << 10)
        .max_inbound_streams(4000)
        .max_outbound_streams(4000)
        .build()
        .expect("valid");
    let tables = Config::builder()
        .receive_window(65_536)
        .session_receive_buffer(37 * 65_536)
        .session_send_buffer(64 << 10)
        .max_inbound_streams(16)
        .max_outbound_streams(16)
        .tombstones(20_000)
        .pending_resets(20_000)
        .id_gaps(20_000)
        .build()
        .expect("valid");
    let all = [
        ("defaults", Config::default()),
        ("small", small),
        ("overcommit", overcommit),
        ("streams", many),
        ("tables", tables),
    ];
    for (name, config) in all {
        let before = meter.held();
        let peer = besiege(&config);
        let held = (meter.held() - before) as u64;
        let most = config.max_memory();
        println!("{name}: {held} bytes held, {most} by the formula ({} %)", held * 100 / most);
        assert!(held <= most, "{name}: {held} bytes held, {most} by the formula");
        drop(peer);
        assert!(
            meter.held() <= before + (64 << 10),
            "{name}: {} bytes left",
            meter.held() - before
        );
    }
}
