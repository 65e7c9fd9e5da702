//! Clocks that go wrong.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use muxado_proto::task::WriteError;
use muxado_proto::{Config, Role};
use muxado_tests::peer;
use muxado_tests::runtime::manual::{Count, Manual, now, settle};
use muxado_tests::runtime::{RawPeer, Runtime, TokioSingle, Wire, pipe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn l14_a_clock_that_goes_back_harms_nobody() {
    let (near, mut far) = pipe(16);
    let mut client = Manual::new(near, Role::Client, Config::default());
    client.clock.advance(Duration::from_secs(3600));
    let mut stream = now(client.session.open()).unwrap();
    now(stream.write_some(&[7; 1000])).unwrap();
    assert_eq!(client.settle(), None);
    // The batch was cut at one hour. The peer takes it while the clock is wrong.
    client.clock.set_back(Duration::from_secs(1800));
    let mut taken = 0;
    let mut buf = [0; 16];
    while taken < 1008 {
        let cx = &mut Context::from_waker(Waker::noop());
        match Wire::poll_read(&mut far, cx, &mut buf) {
            Poll::Ready(count) => taken += count.unwrap(),
            Poll::Pending => assert_eq!(client.settle(), None),
        }
    }
    assert_eq!(client.pass(Duration::from_secs(1900)), None);
    assert_eq!(client.session.close_reason(), None);
}

#[test]
fn l14_a_deadline_beyond_the_clock_never_comes() {
    let config = Config::builder().stream_stall_timeout(Some(Duration::MAX)).send_window(1);
    let config = Arc::new(config.build().unwrap());
    TokioSingle::run(async {
        let (near, far) = pipe(4096);
        let client = muxado_tokio::Session::client(near, Arc::clone(&config));
        let mut peer = RawPeer::new(far);
        let mut stream = client.open().await.unwrap();
        stream.write_all(b"more than the window").await.unwrap();
        assert_eq!(peer.frame().await.unwrap().unwrap().payload, b"m");
        peer.send(peer::data_fin(3, b"fine")).await;
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 4);
    });
    smol::block_on(async {
        let (near, far) = pipe(4096);
        let client = muxado_smol::Session::client(near, config);
        let mut peer = RawPeer::new(far);
        let mut stream = client.open().await.unwrap();
        stream.write_chunk("more than the window".into()).await.unwrap();
        assert_eq!(peer.frame().await.unwrap().unwrap().payload, b"m");
        peer.send(peer::data_fin(3, b"fine")).await;
        assert_eq!(stream.read_chunk(8).await.unwrap().unwrap(), "fine");
    });
}

#[test]
fn l14_a_timer_that_has_fired_is_set_again_if_the_clock_has_gone_back() {
    let limit = Duration::from_secs(100);
    let config = Config::builder().stream_stall_timeout(Some(limit)).send_window(1);
    let (near, far) = pipe(1 << 16);
    let mut client = Manual::new(near, Role::Client, config.build().unwrap());
    let mut server = Manual::new(far, Role::Server, Config::default());
    let mut stalled = now(client.session.open()).unwrap();
    assert_eq!(now(stalled.write_some(b"more than the window")), Ok(20));
    let mut far: Vec<_> = (0..2).map(|_| now(server.session.open()).unwrap()).collect();
    far.iter_mut().for_each(|stream| assert_eq!(now(stream.write_some(b"1")), Ok(1)));
    settle(&mut client, &mut server);
    let mut near: Vec<_> = (0..2).map(|_| now(client.session.accept()).unwrap()).collect();
    for stream in &mut near {
        now(stream.read_some(&mut [0; 8])).unwrap();
        let waker = Waker::from(Arc::new(Count::default()));
        assert!(stream.poll_read(&Context::from_waker(&waker), &mut [0; 8]).is_pending());
    }
    settle(&mut client, &mut server);
    // Spare memory is freed, and no other deadline is left.
    for _ in 0..2 {
        assert_eq!(client.pass(Duration::from_secs(1)), None);
    }
    // The stall ends in the turn that wakes both readers and waits for them.
    far.iter_mut().for_each(|stream| assert_eq!(now(stream.write_some(b"2")), Ok(1)));
    server.settle();
    client.clock.advance(Duration::from_secs(98));
    client.driver.woken.take();
    assert!(client.driver.poll().is_pending());
    assert!(client.driver.woken.take() > 0, "it waits for the readers");
    client.clock.set_back(Duration::from_secs(60));
    assert_eq!(client.settle(), None);
    client.clock.advance(Duration::from_secs(60));
    assert_eq!(client.driver.woken.take(), 1, "the clock has a timer");
    assert_eq!(client.settle(), None);
    assert!(matches!(now(stalled.write_some(b"x")), Err(WriteError::ResetLocally(_))));
}
