//! The methods of the adapters' sessions and streams besides reading and writing, as traits, so
//! that the suite calls the methods that users call.
#![allow(missing_docs)]

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use muxado_proto::task::{
    GoAway, OpenError, PingError, ReadError, RelayError, Relayed, WriteError,
};
use muxado_proto::{
    CloseReason, Config, ErrorCode, Priority, Role, SessionStats, StreamEnd, StreamId, StreamStats,
    StreamType, Warning,
};

use super::Io;

/// Methods that are declared here and forwarded to those of the same name in both adapters.
macro_rules! face {
    ($(#[$doc:meta])* $trait:ident for $($name:ident),*; { $($decl:tt)* }) => {
        $(#[$doc])*
        pub trait $trait: Sized { face!(@declare $($decl)*); }
        face!(@both $trait, [$($name),*], { $($decl)* });
    };
    (@both $trait:ident, [$($name:ident),*], $decl:tt) => {
        $(
            impl $trait for muxado_tokio::$name { face!(@forward $decl); }
            impl $trait for muxado_smol::$name { face!(@forward $decl); }
        )*
    };
    (@declare $(
        $kind:ident fn $method:ident($recv:ty $(, $arg:ident: $ty:ty)*) -> $ret:ty;
    )*) => {
        $(face!(@declare_one $kind $method($recv $(, $arg: $ty)*) -> $ret);)*
    };
    (@declare_one awaited $method:ident($recv:ty $(, $arg:ident: $ty:ty)*) -> $ret:ty) => {
        fn $method(self: $recv $(, $arg: $ty)*) -> impl Future<Output = $ret> + Send;
    };
    (@declare_one plain $method:ident($recv:ty $(, $arg:ident: $ty:ty)*) -> $ret:ty) => {
        fn $method(self: $recv $(, $arg: $ty)*) -> $ret;
    };
    (@forward { $(
        $kind:ident fn $method:ident($recv:ty $(, $arg:ident: $ty:ty)*) -> $ret:ty;
    )* }) => {
        $(face!(@forward_one $kind $method($recv $(, $arg: $ty)*) -> $ret);)*
    };
    (@forward_one awaited $method:ident($recv:ty $(, $arg:ident: $ty:ty)*) -> $ret:ty) => {
        fn $method(self: $recv $(, $arg: $ty)*) -> impl Future<Output = $ret> + Send {
            Self::$method(self $(, $arg)*)
        }
    };
    (@forward_one plain $method:ident($recv:ty $(, $arg:ident: $ty:ty)*) -> $ret:ty) => {
        fn $method(self: $recv $(, $arg: $ty)*) -> $ret {
            Self::$method(self $(, $arg)*)
        }
    };
}

face! {
    /// A session, without the methods that create streams.
    SessionFace for Session; {
        awaited fn ping(&Self) -> Result<Duration, PingError>;
        awaited fn closed(&Self) -> CloseReason;
        awaited fn close(&Self) -> CloseReason;
        awaited fn close_with(&Self, code: ErrorCode, text: &'static str) -> CloseReason;
        awaited fn going_away(&Self) -> Result<GoAway, CloseReason>;
        plain fn go_away(&Self, code: ErrorCode, text: &'static str) -> ();
        plain fn abort(&Self, code: ErrorCode, text: &'static str) -> ();
        plain fn close_reason(&Self) -> Option<CloseReason>;
        plain fn warning(&Self) -> Option<Warning>;
        plain fn transport_error(&Self) -> Option<Arc<std::io::Error>>;
        plain fn rtt(&Self) -> Option<Duration>;
        plain fn stats(&Self) -> SessionStats;
        plain fn role(&Self) -> Role;
        plain fn config(&Self) -> Arc<Config>;
        plain fn number(&Self) -> u64;
        plain fn local_addr(&Self) -> Option<SocketAddr>;
        plain fn peer_addr(&Self) -> Option<SocketAddr>;
        plain fn peer_name(&Self) -> Option<Arc<str>>;
        plain fn set_peer_name(&Self, name: &'static str) -> ();
    }
}

/// A session as a source of streams.
pub trait StreamSource: Sized {
    type Stream;
    type Incoming;
    type Heartbeats;
    type Weak;
    fn open(&self) -> impl Future<Output = Result<Self::Stream, OpenError>> + Send;
    fn open_typed(
        &self,
        stream_type: StreamType,
    ) -> impl Future<Output = Result<Self::Stream, OpenError>> + Send;
    fn accept(&self) -> impl Future<Output = Result<Self::Stream, CloseReason>> + Send;
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::Stream, OpenError>>;
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::Stream, CloseReason>>;
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason>;
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason>;
    fn poll_going_away(&mut self, cx: &mut Context<'_>) -> Poll<Result<GoAway, CloseReason>>;
    fn incoming(&self) -> Self::Incoming;
    fn heartbeats(&self) -> Self::Heartbeats;
    fn downgrade(&self) -> Self::Weak;
    fn upgrade(weak: &Self::Weak) -> Option<Self>;
    fn end_of(weak: &Self::Weak) -> impl Future<Output = CloseReason> + Send;
}

macro_rules! source {
    ($($adapter:ident),*) => {$(
        impl StreamSource for $adapter::Session {
            type Stream = $adapter::Stream;
            type Incoming = $adapter::Incoming;
            type Heartbeats = $adapter::Heartbeats;
            type Weak = $adapter::WeakSession;

            fn open(&self) -> impl Future<Output = Result<Self::Stream, OpenError>> + Send {
                Self::open(self)
            }

            fn open_typed(
                &self,
                stream_type: StreamType,
            ) -> impl Future<Output = Result<Self::Stream, OpenError>> + Send {
                Self::open_typed(self, stream_type)
            }

            fn accept(&self) -> impl Future<Output = Result<Self::Stream, CloseReason>> + Send {
                Self::accept(self)
            }

            fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::Stream, OpenError>> {
                Self::poll_open(self, cx)
            }

            fn poll_accept(
                &mut self,
                cx: &mut Context<'_>,
            ) -> Poll<Result<Self::Stream, CloseReason>> {
                Self::poll_accept(self, cx)
            }

            fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
                Self::poll_close(self, cx)
            }

            fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
                Self::poll_closed(self, cx)
            }

            fn poll_going_away(
                &mut self,
                cx: &mut Context<'_>,
            ) -> Poll<Result<GoAway, CloseReason>> {
                Self::poll_going_away(self, cx)
            }

            fn incoming(&self) -> Self::Incoming {
                Self::incoming(self)
            }

            fn heartbeats(&self) -> Self::Heartbeats {
                Self::heartbeats(self)
            }

            fn downgrade(&self) -> Self::Weak {
                Self::downgrade(self)
            }

            fn upgrade(weak: &Self::Weak) -> Option<Self> {
                weak.upgrade()
            }

            fn end_of(weak: &Self::Weak) -> impl Future<Output = CloseReason> + Send {
                weak.closed()
            }
        }
    )*};
}

source!(muxado_tokio, muxado_smol);

face! {
    /// The common methods of a stream and its halves.
    StreamFace for Stream, RecvHalf, SendHalf; {
        plain fn id(&Self) -> StreamId;
        plain fn stream_type(&Self) -> Option<StreamType>;
        plain fn stats(&Self) -> StreamStats;
        plain fn reset(&Self, code: ErrorCode) -> ();
        awaited fn ended(&Self) -> StreamEnd;
        awaited fn stopped(&Self) -> Result<Option<ErrorCode>, CloseReason>;
        plain fn local_addr(&Self) -> Option<SocketAddr>;
        plain fn peer_addr(&Self) -> Option<SocketAddr>;
        plain fn peer_name(&Self) -> Option<Arc<str>>;
    }
}

face! {
    /// Receiving without the runtime's trait.
    ReceiveFace for Stream, RecvHalf; {
        awaited fn read_chunk(&mut Self, max: usize) -> Result<Option<Bytes>, ReadError>;
        plain fn poll_read_chunk(
            &mut Self, cx: &mut Context<'_>, max: usize
        ) -> Poll<Result<Option<Bytes>, ReadError>>;
        plain fn peek(&Self, buf: &mut [u8]) -> usize;
        plain fn stop(&Self) -> ();
    }
}

face! {
    /// Sending without the runtime's trait.
    SendFace for Stream, SendHalf; {
        awaited fn write_chunk(&mut Self, chunk: Bytes) -> Result<(), WriteError>;
        plain fn poll_write_chunk(
            &mut Self, cx: &mut Context<'_>, chunk: &mut Bytes
        ) -> Poll<Result<(), WriteError>>;
        plain fn finish(&mut Self) -> Result<(), WriteError>;
        plain fn announce(&mut Self) -> Result<(), WriteError>;
        plain fn set_reset_on_drop(&Self, reset: bool) -> ();
        plain fn set_priority(&Self, priority: Priority) -> ();
    }
}

/// A stream leads back to its session.
pub trait Belongs<S> {
    fn session(&self) -> S;
}

macro_rules! belongs {
    ($($adapter:ident: $($name:ident),*;)*) => {$($(
        impl Belongs<$adapter::Session> for $adapter::$name {
            fn session(&self) -> $adapter::Session {
                Self::session(self)
            }
        }
    )*)*};
}

belongs! {
    muxado_tokio: Stream, RecvHalf, SendHalf;
    muxado_smol: Stream, RecvHalf, SendHalf;
}

/// A relay under way.
pub type Relaying = Pin<Box<dyn Future<Output = Result<Relayed, RelayError>> + Send>>;

/// Relays of the adapter.
pub trait Relays: StreamSource {
    fn relay(stream: Self::Stream, other: Io) -> Relaying;
    fn relay_streams(stream: Self::Stream, other: Self::Stream) -> Relaying;
    fn relay_tcp(stream: Self::Stream, other: std::net::TcpStream) -> Relaying;
}

macro_rules! relays {
    ($($adapter:ident, $tcp:path;)*) => {$(
        impl Relays for $adapter::Session {
            fn relay(stream: Self::Stream, other: Io) -> Relaying {
                Box::pin($adapter::relay(stream, other))
            }

            fn relay_streams(stream: Self::Stream, other: Self::Stream) -> Relaying {
                Box::pin($adapter::relay(stream, other))
            }

            fn relay_tcp(stream: Self::Stream, other: std::net::TcpStream) -> Relaying {
                other.set_nonblocking(true).expect("a socket");
                Box::pin($adapter::relay(stream, $tcp(other).expect("a socket")))
            }
        }
    )*};
}

relays! {
    muxado_tokio, tokio::net::TcpStream::from_std;
    muxado_smol, smol::net::TcpStream::try_from;
}
