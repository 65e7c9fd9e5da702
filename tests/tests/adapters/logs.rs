//! What the task layer writes to the log.

use std::cell::RefCell;
use std::fmt;
use std::sync::Once;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use muxado_proto::{Config, Role};
use muxado_tests::peer;
use muxado_tests::runtime::manual::Manual;
use muxado_tests::runtime::{Io, Wire, pipe};
use tracing::field::{Field, Visit};
use tracing::span;

thread_local! {
    /// The lines of the test that runs on this thread, if it collects them.
    static LINES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Passes each line to the test on whose thread it is logged.
///
/// One subscriber serves the whole process. With one subscriber per test, `tracing` may cache that
/// a line is disabled, because another test had no subscriber when that line was first reached.
struct PerThread;

impl tracing::Subscriber for PerThread {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        LINES.with_borrow_mut(|lines| {
            let Some(lines) = lines else { return };
            let mut line = Line(event.metadata().level().to_string());
            event.record(&mut line);
            lines.push(line.0);
        });
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write as _;
        let _infallible = write!(self.0, " {field}={value:?}");
    }
}

/// What was logged while something ran.
struct Log(Vec<String>);

impl Log {
    /// Runs something on this thread and collects what it logs.
    fn of<T>(run: impl FnOnce() -> T) -> (T, Self) {
        static SUBSCRIBED: Once = Once::new();
        SUBSCRIBED.call_once(|| tracing::subscriber::set_global_default(PerThread).unwrap());
        LINES.set(Some(Vec::new()));
        let result = run();
        (result, Self(LINES.take().unwrap()))
    }

    /// The only line that has all of these words.
    fn only(&self, words: &[&str]) -> &str {
        let found: Vec<_> =
            self.0.iter().filter(|line| words.iter().all(|word| line.contains(word))).collect();
        assert_eq!(found.len(), 1, "{words:?} in {:#?}", self.0);
        found[0]
    }
}

/// A server whose peer sends this, driven to its end; returns its number as in the log.
fn serve(inputs: &[Vec<u8>]) -> String {
    let (near, mut far) = pipe(4096);
    let config = Config::builder().accept_backlog(1).max_inbound_streams(1).build().unwrap();
    let mut server = Manual::new(near, Role::Server, config);
    server.session.set_peer_name("agent 7");
    for input in inputs {
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(Wire::poll_write(&mut far, cx, input).is_ready());
        server.settle();
    }
    while server.pass(Duration::from_secs(1)).is_none() {}
    format!("session={} ", server.session.number())
}

#[test]
fn the_log_tells_of_a_life_and_of_refusals() {
    let (number, log) = Log::of(|| {
        let streams = [peer::syn(3, b"hello"), peer::syn(5, b"one too many")].concat();
        serve(&[streams, peer::go_away(0, 0, b"bye")])
    });
    log.only(&["DEBUG", &number, "session started"]);
    log.only(&["WARN", &number, "agent 7", "streams=1", "refused"]);
    log.only(&["DEBUG", &number, "agent 7", "going away", "bye"]);
    log.only(&["WARN", &number, "agent 7", "session ended", "1 stream was cut"]);
    log.only(&["TRACE", &number, "received", "DATA", "stream=5", "length=12"]);
    log.only(&["TRACE", &number, "sent", "RST", "stream=5"]);
}

#[test]
fn the_log_warns_of_a_violation() {
    let (number, log) =
        Log::of(|| serve(&[peer::frame(0, 0, 3, b"an RST of this length is none")]));
    log.only(&["WARN", &number, "agent 7", "session ended", "violated"]);
    log.only(&["TRACE", &number, "received", "malformed", "length=29"]);
}

#[test]
fn t10_the_log_warns_once_of_a_typed_peer() {
    let (number, log) = Log::of(|| {
        let beat = [peer::syn(3, &[0xff; 4]), peer::data(3, b"beat"), peer::data(3, b"beat")];
        serve(&[beat.concat(), peer::go_away(0, 0, b"bye")])
    });
    log.only(&["WARN", &number, "agent 7", "it is typed, and this end is not"]);
}

#[test]
fn t8_the_error_of_a_transport_is_in_the_log() {
    let ((), log) = Log::of(|| {
        let (near, _far) = pipe(4096);
        let near = Io::new(Broken(near));
        let mut client = Manual::new(near, Role::Client, Config::default());
        client.settle();
        let error = client.session.transport_error().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    });
    log.only(&["WARN", "transport failed", "the cable was cut"]);
}

/// A transport that fails.
struct Broken(Io);

impl Wire for Broken {
    fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<std::io::Result<usize>> {
        let kind = std::io::ErrorKind::ConnectionReset;
        Poll::Ready(Err(std::io::Error::new(kind, "the cable was cut")))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<std::io::Result<usize>> {
        Wire::poll_write(&mut self.0, cx, data)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Wire::poll_close(&mut self.0, cx)
    }
}
