//! The memory that written and unsent data keeps alive in the task layer: `Config::max_memory`
//! holds there, too. A separate program, because its allocator counts.

use std::alloc::System;
use std::task::{Context, Poll, Waker};

use muxado_proto::{Config, Role};
use muxado_tests::peer;
use muxado_tests::runtime::manual::{Manual, now};
use muxado_tests::runtime::{Wire, pipe};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn live() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn config() -> Config {
    Config::builder()
        .max_inbound_streams(1)
        .max_outbound_streams(1)
        .max_heartbeat_responders(0)
        .session_receive_buffer(3 * (256 << 10))
        .send_buffer(4 << 20)
        .session_send_buffer(4 << 20)
        .build()
        .unwrap()
}

#[test]
fn writes_of_16_kib_stay_within_the_bound() {
    let _one = ONE.lock().unwrap();
    let (near, _far) = pipe(64 << 10);
    let most = usize::try_from(config().max_memory()).unwrap();
    let before = live();
    let client = Manual::new(near, Role::Client, config());
    let mut stream = now(client.session.open()).unwrap();
    let block = vec![0; 16 << 10];
    while let Poll::Ready(count) = stream.poll_write(&Context::from_waker(Waker::noop()), &block) {
        count.unwrap();
    }
    let held = live() - before;
    println!("{held} held for {} written, max_memory {most}", stream.stats().send_buffered);
    assert!(held <= most);
}

#[test]
fn credit_in_drops_stays_within_the_bound() {
    let _one = ONE.lock().unwrap();
    let (near, mut far) = pipe(64 << 10);
    let most = usize::try_from(config().max_memory()).unwrap();
    let before = live();
    let mut client = Manual::new(near, Role::Client, config());
    let mut stream = now(client.session.open()).unwrap();
    let block = vec![0; 1 << 20];
    let mut cx = Context::from_waker(Waker::noop());
    let mut buf = vec![0; 64 << 10];
    let mut held = 0;
    for round in 0..3000 {
        // The application writes whenever it is woken, like one that copies in both directions.
        while let Poll::Ready(count) = stream.poll_write(&cx, &block) {
            count.unwrap();
        }
        client.settle();
        while let Poll::Ready(Ok(_)) = far.poll_read(&mut cx, &mut buf) {
            client.settle();
        }
        let _sent = far.poll_write(&mut cx, &peer::wnd_inc(3, 600));
        client.settle();
        held = live() - before;
        if round % 1000 == 0 {
            println!("{held} held for {}, max_memory {most}", stream.stats().send_buffered);
        }
    }
    println!("{held} held for {}, max_memory {most}", stream.stats().send_buffered);
    assert!(held <= most);
}
