//! One sample: one contestant, one workload, in its own process.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
};

use futures_channel::mpsc;
use futures_util::StreamExt as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use crate::{
    congestion,
    contestants::{
        Acceptor, Contestant, Mux, Muxed, Opener, OverTcp, TUNED_WINDOW, Tuning,
        async_smux::Smux,
        h2::H2,
        muxado_smol::MuxadoSmol,
        muxado_tokio::MuxadoTokio,
        ngrok::Ngrok,
        quic::Quic,
        raw::{self, Raw},
        tls::{Secure, Tls},
        tokio_yamux::TokioYamux,
        yamux::Yamux,
    },
    measure::Outcome,
    relay,
    runtime::{Placement, Runtime, Smol, Tokio},
    workloads::{
        Plan, Workload, beside, bulk, crowd, echo, idle, link, peak, ping_pong, pool, request,
        unread,
    },
};

/// What to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    /// Who.
    pub(crate) contestant: Contestant,
    /// What.
    pub(crate) workload: Workload,
    /// Where.
    pub(crate) placement: Placement,
    /// How.
    pub(crate) plan: Plan,
}

/// Requests of a burst.
const BURST: u32 = 1000;

/// Descriptors of a process that belong to no session.
const DESCRIPTORS: usize = 256;

/// Runs a sample in this process.
pub(crate) fn run(mut task: Task) -> io::Result<Outcome> {
    let limit = raise_descriptors()?;
    let both_ends_have_one = matches!(task.workload, Workload::IdleSessions { tcp: true })
        || (task.contestant.raw() && task.workload == Workload::IdleStreams);
    if both_ends_have_one {
        task.plan.idle = task.plan.idle.min(limit.saturating_sub(DESCRIPTORS) / 2);
    }
    if let Workload::Sessions { count } = task.workload {
        task.plan.idle = count as usize;
    }
    match task.contestant {
        Contestant::Tcp => plain::<Tokio>(task),
        Contestant::TcpSmol => plain::<Smol>(task),
        Contestant::TcpPool => pooled::<Tokio>(task),
        Contestant::MuxadoTokio | Contestant::MuxadoTokio1m => {
            multiplexed::<Tokio, MuxadoTokio>(task)
        }
        Contestant::MuxadoSmol | Contestant::MuxadoSmol1m => multiplexed::<Smol, MuxadoSmol>(task),
        Contestant::NgrokMuxado | Contestant::NgrokMuxado1m => multiplexed::<Tokio, Ngrok>(task),
        Contestant::Yamux => multiplexed::<Tokio, Yamux>(task),
        Contestant::YamuxSmol => multiplexed::<Smol, Yamux>(task),
        Contestant::TokioYamux | Contestant::TokioYamux1m => multiplexed::<Tokio, TokioYamux>(task),
        Contestant::H2 | Contestant::H21m => multiplexed::<Tokio, H2>(task),
        Contestant::AsyncSmux => multiplexed::<Tokio, Smux>(task),
        Contestant::TcpTls => over_tcp::<Tokio, Tls>(task),
        Contestant::MuxadoTokioTls => over_tcp::<Tokio, Secure<MuxadoTokio>>(task),
        Contestant::H2Tls => over_tcp::<Tokio, Secure<H2>>(task),
        Contestant::Quinn => over_tcp::<Tokio, Quic>(task),
        Contestant::GoTcp | Contestant::GoMuxado | Contestant::GoYamux | Contestant::GoSmux => {
            Err(io::Error::other("the Go program takes this sample"))
        }
    }
}

/// Raises the limit on descriptors of this process to the maximum, and returns it.
fn raise_descriptors() -> io::Result<usize> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(usize::try_from(hard).unwrap_or(usize::MAX))
}

/// A listening socket with room for every connection that may come at once.
fn listener() -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    congestion::apply(&socket)?;
    socket.listen(4096)?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn tuning(task: Task) -> Tuning {
    Tuning {
        window: task.contestant.tuned().then_some(TUNED_WINDOW),
        streams: match task.workload {
            // Some are open beside those that are counted.
            Workload::IdleStreams => task.plan.idle + 1,
            Workload::Streams { count } => count as usize + 2,
            _ => 1,
        },
    }
}

fn plain<R>(task: Task) -> io::Result<Outcome>
where
    R: raw::Socket,
    Raw: Mux<R, R::Tcp> + Mux<R, R::Pipe>,
{
    match task.workload {
        Workload::IdleSessions { tcp: true } | Workload::Peak => tcp_sessions::<R, Raw>(task),
        Workload::IdleSessions { tcp: false } | Workload::Sessions { .. } => {
            pipe_sessions::<R, Raw>(task)
        }
        _ => over_tcp::<R, Raw>(task),
    }
}

fn multiplexed<R, M>(task: Task) -> io::Result<Outcome>
where
    R: Runtime,
    M: Mux<R, R::Tcp> + Mux<R, R::Pipe>,
{
    match task.workload {
        Workload::IdleSessions { tcp: true } | Workload::Peak => tcp_sessions::<R, M>(task),
        Workload::IdleSessions { tcp: false } | Workload::Sessions { .. } => {
            pipe_sessions::<R, M>(task)
        }
        _ => over_tcp::<R, Muxed<M>>(task),
    }
}

fn pooled<R: raw::Socket>(task: Task) -> io::Result<Outcome> {
    let Workload::Request { inflight } = task.workload else {
        return Err(io::Error::other("a pool is for requests"));
    };
    let (socket, to) = listener()?;
    R::run(
        task.placement,
        move |rt| pool::client(rt, to, inflight, task.plan),
        move |rt| async move {
            let accepted = async {
                let listener = Arc::new(rt.listen(socket)?);
                <Raw as OverTcp<R>>::accept(rt, listener, Tuning::default()).await
            };
            if let Some(acceptor) = reported(accepted.await) {
                ping_pong::server(rt, acceptor).await;
            }
        },
    )
}

fn over_tcp<R: Runtime, C: OverTcp<R>>(task: Task) -> io::Result<Outcome> {
    let (socket, mut to) = listener()?;
    if task.workload == Workload::Link {
        to = relay::start(to)?;
    }
    let tuning = tuning(task);
    R::run(
        task.placement,
        move |rt| async move { client(rt, C::connect(rt, to, tuning).await?, task).await },
        move |rt| async move {
            let accepted = async { C::accept(rt, Arc::new(rt.listen(socket)?), tuning).await };
            if let Some(acceptor) = reported(accepted.await) {
                server(rt, acceptor, task).await;
            }
        },
    )
}

async fn client<R: Runtime, O: Opener>(rt: R, opener: O, task: Task) -> io::Result<Outcome> {
    let plan = task.plan;
    let whole = |len, apart| echo::Payload { len, apart, thoroughness: plan.thoroughness };
    match task.workload {
        Workload::Echo { streams, payload } => {
            echo::client(rt, opener, streams, whole(payload, false), plan.budget).await
        }
        Workload::EchoWhileReading { streams, payload } => {
            echo::client(rt, opener, streams, whole(payload, true), plan.budget).await
        }
        Workload::Burst => {
            echo::client(rt, opener, BURST, whole(request::SIZE as u64, false), plan.budget).await
        }
        Workload::Streams { count } => crowd::client(rt, opener, count, plan).await,
        Workload::Request { inflight } => request::client(rt, opener, inflight, plan).await,
        Workload::PingPong => ping_pong::client(opener, plan).await,
        Workload::Bulk { streams, write } => bulk::client(rt, opener, streams, write, plan).await,
        Workload::IdleStreams => idle::streams(opener, plan).await,
        Workload::Unread => unread::client(rt, opener, plan).await,
        Workload::Beside(beside) => beside::client(rt, opener, beside, plan).await,
        Workload::Link => link::client(rt, opener, plan).await,
        Workload::IdleSessions { .. } | Workload::Sessions { .. } | Workload::Peak => {
            Err(io::Error::other("this takes many sessions"))
        }
    }
}

async fn server<R: Runtime, A: Acceptor>(rt: R, acceptor: A, task: Task) {
    let plan = task.plan;
    match task.workload {
        Workload::Echo { payload, .. } | Workload::EchoWhileReading { payload, .. } => {
            echo::server(rt, acceptor, payload).await;
        }
        Workload::Burst => request::server(rt, acceptor).await,
        Workload::Streams { count } => crowd::server(rt, acceptor, count, plan).await,
        Workload::Request { .. } => request::server(rt, acceptor).await,
        Workload::PingPong => ping_pong::server(rt, acceptor).await,
        Workload::Bulk { .. } => bulk::server(rt, acceptor, plan).await,
        Workload::IdleStreams => idle::server(rt, acceptor, plan).await,
        Workload::Unread => unread::server(rt, acceptor, plan).await,
        Workload::Beside(beside) => beside::server(rt, acceptor, beside.both_ways, plan).await,
        Workload::Link => link::server(rt, acceptor, plan).await,
        Workload::IdleSessions { .. } | Workload::Sessions { .. } | Workload::Peak => {}
    }
}

fn tcp_sessions<R: Runtime, M: Mux<R, R::Tcp>>(task: Task) -> io::Result<Outcome> {
    let (socket, to) = listener()?;
    R::run(
        task.placement,
        move |rt| async move {
            let connect = move || rt.connect(to);
            match task.workload {
                Workload::Peak => peak::client::<R, M, R::Tcp, _, _>(rt, connect).await,
                _ => idle::sessions::<R, M, R::Tcp, _, _>(rt, connect, task.plan).await,
            }
        },
        move |rt| async move {
            let Some(listener) = reported(rt.listen(socket)) else { return };
            while let Some(io) = reported(rt.accept(&listener).await) {
                rt.detach(async move {
                    reported(match task.workload {
                        Workload::Peak => {
                            peak::session_server::<R, M, R::Tcp>(rt, io, task.plan).await
                        }
                        _ => idle::session_server::<R, M, R::Tcp>(rt, io).await,
                    });
                });
            }
        },
    )
}

fn pipe_sessions<R: Runtime, M: Mux<R, R::Pipe>>(task: Task) -> io::Result<Outcome> {
    let (dial, mut accept) = mpsc::unbounded();
    R::run(
        task.placement,
        move |rt| {
            let connect = move || {
                let (near, far) = R::pipe();
                let sent = dial.unbounded_send(far).map_err(|_| io::ErrorKind::BrokenPipe.into());
                async move { sent.map(|()| near) }
            };
            idle::sessions::<R, M, R::Pipe, _, _>(rt, connect, task.plan)
        },
        move |rt| async move {
            while let Some(io) = accept.next().await {
                rt.detach(async move {
                    reported(idle::session_server::<R, M, R::Pipe>(rt, io).await);
                });
            }
        },
    )
}

/// Prints an error of the server: the parent shows the output of a failed sample.
fn reported<T>(result: io::Result<T>) -> Option<T> {
    result.inspect_err(|error| eprintln!("server: {error}")).ok()
}
