//! On both adapters, alone and together with a hostile peer.

use std::time::Duration;

use muxado_proto::{Config, Role};
use muxado_tests::honest::{Leave, Load, Order, call_all, handle, serve};
use muxado_tests::peer;
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{Runtime, Smol, TokioMulti, TokioSingle, pipe, watched};

/// Instantiates workloads for every runtime.
macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        suite!(@on tokio_single, TokioSingle, $($test),*);
        suite!(@on tokio_multi, TokioMulti, $($test),*);
        suite!(@on smol, Smol, $($test),*);
    };
    (@on $module:ident, $runtime:ident, $($test:ident),*) => {
        mod $module {
            use muxado_tests::runtime::{Runtime, $runtime, watched};

            $(
                #[test]
                fn $test() {
                    watched(concat!(module_path!(), "::", stringify!($test)), || {
                        $runtime::run(super::between::<$runtime>(super::$test(), false));
                        $runtime::run(super::between::<$runtime>(super::$test(), true));
                    });
                }
            )*
        }
    };
}

suite! {
    cancelled_downloads,
    cancelled_by_reset_with_all_streams_in_use,
    as_many_streams_as_allowed_with_slow_handlers,
    a_thousand_streams_in_one_burst,
    two_thousand_streams_given_up_at_once,
    ids_opened_and_abandoned,
    ids_written_in_any_order,
    a_thousand_uploads_with_late_readers,
}

fn cancelled_downloads() -> Load {
    let leave = Some((100, Leave::Drop));
    Load { at_once: 64, request: 1, answer: 4000, leave, ..Load::small(10_000) }
}

fn cancelled_by_reset_with_all_streams_in_use() -> Load {
    let leave = Some((100, Leave::Reset));
    Load { at_once: 1024, answer: 20_000, leave, ..Load::small(3000) }
}

fn as_many_streams_as_allowed_with_slow_handlers() -> Load {
    Load { at_once: 1024, hold: Duration::from_millis(5), ..Load::small(5120) }
}

fn a_thousand_streams_in_one_burst() -> Load {
    Load::small(1000)
}

fn two_thousand_streams_given_up_at_once() -> Load {
    let leave = Some((1000, Leave::Drop));
    Load { at_once: 1000, answer: 20_000, leave, ..Load::small(2000) }
}

fn ids_opened_and_abandoned() -> Load {
    Load { order: Order::Abandoning(3), ..Load::small(1000) }
}

fn ids_written_in_any_order() -> Load {
    Load { order: Order::EvenThenOdd, ..Load::small(1000) }
}

fn a_thousand_uploads_with_late_readers() -> Load {
    Load { request: 50_000, late: Duration::from_millis(1), ..Load::small(1000) }
}

/// Runs a load in both directions of one session.
async fn between<R: Runtime>(load: Load, hostile: bool) {
    let attack = hostile.then(attack::<R>);
    let (client, server) = R::pair(64 << 10, Config::default());
    let servers = [&client, &server].map(|session| R::spawn(serve::<R>(session.clone(), load)));
    let opener = server.clone();
    let opener = R::spawn(async move { call_all::<R>(&opener, load).await });
    call_all::<R>(&client, load).await;
    opener.await;
    for session in [&client, &server] {
        assert_eq!(session.close_reason(), None);
        assert_eq!(session.stats().streams_refused, 0);
    }
    drop(attack);
    client.close().await;
    for server in servers {
        server.await;
    }
}

/// Both ends close while all streams are open and nothing was read, and each has its own idea of how
/// long a drain may stand still.
async fn drain<R: Runtime>() {
    let config = Config::builder();
    let hasty = config.clone().drain_timeout(Duration::from_secs(5)).build().expect("valid");
    let patient = config.drain_timeout(Duration::from_secs(60)).build().expect("valid");
    for [first, second] in [[hasty.clone(), patient.clone()], [patient, hasty]] {
        let (near, far) = pipe(4 << 10);
        let client = R::session(near, Role::Client, first.into());
        let server = R::session(far, Role::Server, second.into());
        let load = Load { request: 20_000, answer: 20_000, ..Load::small(200) };
        let opener = client.clone();
        let calls = R::spawn(async move { call_all::<R>(&opener, load).await });
        let mut streams = Vec::new();
        while streams.len() < load.streams as usize {
            streams.push(server.accept().await.expect("an honest stream"));
        }
        let closing =
            [client, server].map(|session| R::spawn(async move { session.close().await }));
        let handlers: Vec<_> =
            streams.into_iter().map(|stream| R::spawn(handle::<R>(stream, load))).collect();
        for handler in handlers {
            assert_eq!(handler.await, Ok(()));
        }
        calls.await;
        for closed in closing {
            let reason = closed.await;
            assert!(reason.is_clean(), "{reason}");
        }
    }
}

#[test]
fn a_drain_at_both_ends_with_different_limits() {
    watched("honest::drain", || {
        TokioSingle::run(drain::<TokioSingle>());
        TokioMulti::run(drain::<TokioMulti>());
        Smol::run(drain::<Smol>());
    });
}

/// A hostile peer on its own session: a flood of streams that are reset, abandoned, and filled; it
/// reconnects as often as possible.
async fn flood<R: Runtime>() {
    for _ in 0..20 {
        let (near, mut far) = pipe(64 << 10);
        let victim = R::session(near, Role::Server, Config::default().into());
        let accepting = victim.clone();
        let handlers = R::spawn(async move {
            let mut held = Vec::new();
            while let Ok(stream) = accepting.accept().await {
                held.push(stream);
            }
        });
        for n in 0..3000 {
            let id = 3 + 2 * n;
            let frames = [peer::syn(id, &[0; 100]), peer::rst(id + (n & 1) * 2, 6)].concat();
            if far.write_all(&frames).await.is_err() {
                break;
            }
        }
        drop((far, victim));
        handlers.await;
    }
}

fn attack<R: Runtime>() -> impl Sized {
    R::spawn(flood::<R>())
}
