//! The common part of our implementation on every runtime.

use core::time::Duration;
use std::io;
use std::sync::Arc;

use muxado_proto::task::{OpenError, PingError, ReadError, WriteError};
use muxado_proto::{CloseReason, Config, Heartbeat, Role};

use super::endpoint::Endpoint;
use super::options::{Options, Preset, Side};
use super::report::{End, Report};
use muxado_tests::runtime::SessionFace;

/// The settings the options ask for.
///
/// # Errors
///
/// Where they contradict each other.
pub(super) fn config(options: &Options) -> io::Result<Arc<Config>> {
    let mut config = match options.preset {
        None => Config::builder(),
        Some(Preset::Go) => Config::for_go(),
        Some(Preset::Ngrok) => Config::for_ngrok(),
    };
    config = config.typed(options.is_typed());
    if let Some(times) = options.heartbeat {
        config = config.heartbeat(Some(
            Heartbeat::new().with_interval(times.interval).with_tolerance(times.tolerance),
        ));
    }
    if options.window > 0 {
        // Few streams are open at once, so not every possible stream needs to be promised such a
        // window.
        config = config.receive_window(options.window).overcommit(true);
    }
    if options.send_window > 0 {
        config = config.send_window(options.send_window);
    }
    if options.backlog > 0 {
        config = config.accept_backlog(options.backlog);
    }
    if options.max_open > 0 {
        config = config.max_outbound_streams(options.max_open);
    }
    if options.max_unanswered > 0 {
        config = config.max_unanswered_streams(Some(options.max_unanswered));
    }
    config.build().map(Arc::new).map_err(io::Error::other)
}

impl From<Side> for Role {
    fn from(side: Side) -> Self {
        match side {
            Side::Client => Self::Client,
            Side::Server => Self::Server,
        }
    }
}

/// The muxado code in an error of ours.
pub(super) fn error_code(error: &io::Error) -> Option<u32> {
    let error = error.get_ref()?;
    if let Some(ReadError::Reset(code) | ReadError::ResetLocally(code)) = error.downcast_ref() {
        return Some(code.0);
    }
    if let Some(WriteError::Reset(code) | WriteError::ResetLocally(code)) = error.downcast_ref() {
        return Some(code.0);
    }
    match error.downcast_ref()? {
        OpenError::GoingAway => Some(11),
        OpenError::StreamsExhausted => Some(12),
        _ => None,
    }
}

/// The end of our session in the form of the report.
pub(super) fn end(reason: &CloseReason) -> End {
    let mut end = End {
        cause: Some(reason.to_string()),
        cause_code: Some(reason.code().0.to_string()),
        ..End::default()
    };
    if let CloseReason::Remote { code, text } = reason {
        end.remote_code = Some(code.0.to_string());
        end.remote_text = Some(String::from_utf8_lossy(text).into_owned());
    }
    end
}

/// Adds every returned heartbeat to the report, and requests one if none was due.
pub(super) async fn watch_heartbeat<E: Endpoint>(
    session: impl SessionFace + Send + Sync,
    interval: Duration,
    report: Arc<Report>,
) {
    loop {
        match session.ping().await {
            Ok(rtt) => report.beat(Some(rtt)),
            Err(PingError::Missed) => report.beat(None),
            Err(_) => return,
        }
        E::sleep(interval).await;
    }
}

/// The methods of [`Endpoint`] that are the same for both adapters. `$wrap` converts the adapter's
/// stream.
macro_rules! session_methods {
    ($adapter:ident, $wrap:expr) => {
        async fn start(
            transport: Self::Transport,
            options: &Options,
            report: &Arc<Report>,
        ) -> io::Result<Self> {
            transport.set_nodelay(true)?;
            let config = ours::config(options)?;
            let session = match options.side() {
                Side::Client => $adapter::Session::client(transport, config),
                Side::Server => $adapter::Session::server(transport, config),
            };
            if let Some(times) = options.heartbeat {
                let (session, report) = (session.clone(), report.clone());
                Self::spawn(ours::watch_heartbeat::<Self>(session, times.interval, report));
            }
            Ok(Self(session))
        }

        async fn open(&self, stream_type: Option<u32>) -> io::Result<Self::Stream> {
            let opened = match stream_type {
                None => self.0.open().await,
                Some(stream_type) => self.0.open_typed($adapter::StreamType(stream_type)).await,
            };
            Ok($wrap(opened?))
        }

        async fn accept(&self) -> Accepted<Self::Stream> {
            match self.0.accept().await {
                Ok(stream) => {
                    let stream_type = stream.stream_type().map_or(0, |typ| typ.0);
                    Accepted::Stream($wrap(stream), stream_type)
                }
                Err(_) => Accepted::SessionOver,
            }
        }

        async fn go_away(&self, code: u32, text: String) -> io::Result<()> {
            self.0.go_away($adapter::ErrorCode(code), text);
            Ok(())
        }

        async fn close(&self) {
            self.0.close().await;
        }

        async fn ended(&self) -> End {
            let reason = self.0.closed().await;
            // Pending output is sent before the process ends.
            self.0.close().await;
            ours::end(&reason)
        }

        fn error_code(error: &io::Error) -> Option<u32> {
            ours::error_code(error)
        }
    };
}
pub(super) use session_methods;
