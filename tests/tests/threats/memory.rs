//! What a session holds, and what `Config::max_memory` says it can hold.

use core::time::Duration;

use bytes::Bytes;
use muxado_proto::Config;
use muxado_tests::peer::{self, Peer};

use crate::meter::Meter;

const KIB: usize = 1024;

#[test]
fn tiny_data_frames_pin_no_buffers() {
    let meter = Meter::start();
    // 256 Ki frames of one byte, each at the end of a read of its own that is large otherwise.
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
    // What is kept for the next time is given back if there is none soon.
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
        // Filled up with what costs nothing, to the size at which the piece is still kept.
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
        assert!(meter.held() < 70 << 20, "{}", meter.held());
    }
    println!("all windows full: {} bytes held", meter.held());
    let stats = peer.session.stats();
    assert!(stats.receive_buffered <= 64 << 20);
    let resets = peer.hear();
    let codes = resets.iter().filter(|frame| frame.starts_with("RST "));
    assert!(codes.clone().all(|frame| frame.ends_with(" code=10")));
    assert_eq!(codes.count(), 1024 - 256);
    peer.stream(3).release();
    peer.receive();
    peer.expect_alive(9999);
}

#[test]
fn the_stream_that_holds_most_pays() {
    let _meter = Meter::start();
    let config = Config::builder().session_receive_buffer(300_000).build().expect("valid");
    let mut peer = Peer::of_server(config);
    for (id, count) in [(3, 50_000), (5, 200_000), (7, 49_000)] {
        peer.send(peer::syn(id, &vec![0; count]));
        peer.accept();
    }
    peer.expect_silence();
    peer.send(peer::data(3, &[0; 2000]));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=5 code=10"));
    assert_eq!(peer.read(3).0.len(), 52_000);
    assert_eq!(peer.read(7).0.len(), 49_000);
    assert_eq!(peer.read(5).0.len(), 0);
}

/// A server to which everything that can be is done, and which can send nothing; the settings are
/// such that every term of the formula counts.
fn besiege(config: &Config) -> Peer {
    let mut peer = Peer::of_server(config.clone());
    let inbound = config.max_inbound_streams();
    let mut next = 3;
    let mut fresh = || {
        next += 4;
        next
    };
    // Streams of the peer's, each with a little to read, and something to send.
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
    // As much as can be received, in pieces that pin as much as they can.
    let kept = peer::fin(1);
    'full: for _ in 0..1000 {
        for &id in &ids {
            if peer.stream(id).stats().receive_credit < 512 {
                continue;
            }
            let mut read = peer::data(id, &[0; 512]);
            while read.len() < 2040 {
                read.extend(&kept);
            }
            peer.send_bytes(Bytes::from(read));
            if peer.session.stats().receive_buffered + 1024
                > u64::from(config.session_receive_buffer())
            {
                break 'full;
            }
        }
    }
    // As many refusals, tombstones and gaps as fit, and then some.
    for _ in 0..4 * config.tombstones().max(config.pending_resets()).max(config.id_gaps()) {
        peer.send(peer::syn(fresh(), b"refused"));
    }
    peer.send(peer::go_away(0x7fff_ffff, 0, &vec![b'x'; 100_000]));
    peer
}

/// A client whose streams have each a byte left to send, and of a block of memory that was sent
/// otherwise.
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
        .session_receive_buffer(262_144)
        .send_buffer(1 << 20)
        .session_send_buffer(1 << 20)
        .max_inbound_streams(1)
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
        .session_receive_buffer(1 << 20)
        .session_send_buffer(1 << 20)
        .build()
        .expect("valid");
    let many = Config::builder()
        .receive_window(65_536)
        .session_receive_buffer(256 << 10)
        .session_send_buffer(64 << 10)
        .max_inbound_streams(4000)
        .max_outbound_streams(4000)
        .build()
        .expect("valid");
    let tables = Config::builder()
        .receive_window(65_536)
        .session_receive_buffer(64 << 10)
        .session_send_buffer(64 << 10)
        .max_inbound_streams(16)
        .max_outbound_streams(16)
        .tombstones(20_000)
        .pending_resets(20_000)
        .id_gaps(20_000)
        .build()
        .expect("valid");
    for (name, config) in
        [("defaults", Config::default()), ("small", small), ("streams", many), ("tables", tables)]
    {
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
