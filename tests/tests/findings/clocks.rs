//! Clocks that step back, the end of time, and settings of time that make no sense: L14.

use std::sync::Arc;
use std::time::Duration;

use muxado_proto::{
    Config, ConfigBuilder, Heartbeat, RateLimit, Role, Session, StreamType, Timestamp, Transmit,
};
use muxado_tests::peer;

fn heartbeat() -> ConfigBuilder {
    Config::builder().typed(true).heartbeat(Some(Heartbeat::default()))
}

#[test]
fn l14_build_refuses_settings_that_make_no_sense() {
    let never = RateLimit::new(0, 1);
    for (builder, setting) in [
        (Config::builder().write_stall_timeout(Duration::ZERO), "write_stall_timeout"),
        (Config::builder().frame_stall_timeout(Duration::ZERO), "frame_stall_timeout"),
        (Config::builder().stream_stall_timeout(Some(Duration::ZERO)), "stream_stall_timeout"),
        (Config::builder().typed_timeout(Duration::ZERO), "typed_timeout"),
        (Config::builder().pending_resets(0), "pending_resets"),
        (Config::builder().update_delay(Duration::MAX), "update_delay"),
        (Config::builder().stray_data_limit(never), "stray_data_limit"),
        (Config::builder().reset_limit(never), "reset_limit"),
        (Config::builder().empty_data_limit(never), "empty_data_limit"),
        (Config::builder().unknown_bytes_limit(never), "unknown_bytes_limit"),
    ] {
        assert_eq!(builder.build().expect_err(setting).setting(), setting);
    }
    Config::builder().update_delay(Duration::from_secs(1)).build().expect("the longest");
}

#[test]
fn l14_a_clock_that_steps_back_ends_nothing() {
    let start = Timestamp::from_millis(1_000_000);
    let back = Timestamp::from_millis(100_000);
    let config = heartbeat().idle_timeout(Some(Duration::from_secs(20)));
    let config = Arc::new(config.build().expect("valid"));
    let mut session = Session::new(Role::Client, config, start, [1; 16].into());
    let id = session.open_typed(StreamType(1)).expect("open");
    session.stream(id).expect("opened").write(b"hello").expect("room");
    let mut out = Transmit::new();
    assert!(session.poll_transmit(back, &mut out, usize::MAX) > 0);
    session.transmitted(back, out.len());
    session.handle_slice(back, b"\0\0\x04");
    session.handle_timeout(back);
    session.handle_timeout(start);
    assert_eq!(session.close_reason(), None);
    assert!(session.poll_timeout().is_some_and(|due| due >= start));
    assert_eq!(session.audit(), Ok(()));
}

#[test]
fn l14_the_end_of_time_is_no_loop() {
    for early in 0..3 {
        let now = Timestamp::from_nanos(u64::MAX - early);
        let config = heartbeat().idle_timeout(Some(Duration::from_secs(1)));
        let config = config.stream_stall_timeout(Some(Duration::from_nanos(1)));
        let config = Arc::new(config.build().expect("valid"));
        let mut session = Session::new(Role::Client, config, now, [1; 16].into());
        let id = session.open_typed(StreamType(1)).expect("open");
        session.stream(id).expect("opened").write(&[0; 1000]).expect("room");
        session.ping(now).expect("typed");
        session.handle_slice(now, &peer::syn(2, &[0; 100]));
        let mut turns = 0;
        loop {
            let mut out = Transmit::new();
            let grown = session.poll_transmit(now, &mut out, usize::MAX);
            let due = session.poll_timeout().is_some_and(|due| due <= now);
            if due {
                session.handle_timeout(now);
            }
            if grown == 0 && !due {
                break;
            }
            turns += 1;
            assert!(turns < 20, "{early} before the end");
        }
        assert!(!session.wants_transmit(), "{early} before the end");
        assert_eq!(session.close_reason(), None);
    }
}
