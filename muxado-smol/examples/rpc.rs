//! Requests and responses in both directions, on smol. Needs `tests/rpc` of the repository.
//!
//! ```sh
//! cargo run --release -p muxado-smol --example rpc-smol
//! ```
//!
//! runs both ends in one process, connected by TCP. With `--listen ADDR` and `--connect ADDR` they
//! run in two, and the other end may run on Tokio or on the bare core. `--help` lists the rest.
//!
//! `muxado-rpc` has the messages, the figures and the output; this file shows how an application
//! uses sessions and streams.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use muxado_rpc::{End, Ends, MAX_MESSAGE, Options, REPORTS, REQUESTS, Report, Work};
use muxado_smol::{Config, ErrorCode, Session, Stream};
use smol::Timer;
use smol::channel::{Receiver, Sender, bounded};
use smol::future;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::net::{TcpListener, TcpStream};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Interval of measured heartbeats.
const BEAT: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    match smol::block_on(run(&Options::parse())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rpc-smol: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether everything succeeded.
async fn run(options: &Options) -> Result<bool> {
    let config = Arc::new(muxado_rpc::config());
    let both = matches!(options.ends(), Ends::Both);
    let progress = options.output.progress(&options.load, if both { 2 } else { 1 });
    let work = || Work::new(&options.load, "smol").with_progress(progress.clone());
    let (address, end) = match options.ends() {
        Ends::Connect(address) => (address, client(connect(address, config).await?, work()).await?),
        Ends::Listen(address) => {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            muxado_rpc::listening(options.output, address)?;
            (address, server(accept(&listener, config).await?, work()).await?)
        }
        Ends::Both => {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let (server_end, client_end) =
                future::try_zip(accept(&listener, config.clone()), connect(address, config))
                    .await?;
            let server = smol::spawn(server(server_end, work()));
            let client = client(client_end, work()).await?;
            server.await?;
            (address, client)
        }
    };
    progress.finish_and_clear();
    Ok(muxado_rpc::print(options.output, address, end)?)
}

async fn accept(listener: &TcpListener, config: Arc<Config>) -> io::Result<Session> {
    let (tcp, _) = listener.accept().await?;
    tcp.set_nodelay(true)?;
    Ok(Session::server(tcp, config))
}

async fn connect(address: SocketAddr, config: Arc<Config>) -> io::Result<Session> {
    let tcp = TcpStream::connect(address).await?;
    // The session decides when there is enough for a packet; TCP must not wait for more.
    tcp.set_nodelay(true)?;
    Ok(Session::client(tcp, config))
}

/// The client's end: closes the session when both ends have all their answers.
async fn client(session: Session, work: Work) -> Result<End> {
    let reports = converse(&session, &work).await?;
    let closed = session.close().await;
    Ok(End::new(session.role(), reports, &session.stats(), closed))
}

/// The server's end: the client closes the session.
async fn server(session: Session, work: Work) -> Result<End> {
    let reports = converse(&session, &work).await?;
    let closed = session.closed().await;
    Ok(End::new(session.role(), reports, &session.stats(), closed))
}

/// Sends and answers requests until both ends have all their answers; returns the reports of both.
async fn converse(session: &Session, work: &Work) -> Result<[Report; 2]> {
    let (sender, receiver) = bounded(1);
    smol::spawn(serve(session.clone(), work.clone(), sender)).detach();
    // Dropping this task ends the heartbeats, however this function ends.
    let _beats = smol::spawn(beat(session.clone(), work.clone()));

    let askers: Vec<_> =
        (0..work.concurrency()).map(|_| smol::spawn(ask(session.clone(), work.clone()))).collect();
    for asker in askers {
        asker.await;
    }

    let message = serde_json::to_vec(&work.report(session.role()))?;
    exchange(&mut session.open_typed(REPORTS).await?, &message).await?;
    let peer = receive(&receiver, session).await?;
    // Taken again, because this end has answered more requests in the meantime.
    Ok([work.report(session.role()), peer])
}

/// The peer's report, once it is there.
async fn receive(receiver: &Receiver<Report>, session: &Session) -> Result<Report> {
    receiver.recv().await.map_err(|_| match session.close_reason() {
        Some(reason) => format!("no report from the peer: {reason}").into(),
        None => "no report from the peer".into(),
    })
}

/// One of many requesters: takes a request, opens a stream for it, waits for the answer.
async fn ask(session: Session, work: Work) {
    while let Some(mut question) = work.next() {
        // Waits while as many streams are open as the configuration allows.
        match session.open_typed(REQUESTS).await {
            Ok(mut stream) => {
                let request = work.open(&mut question);
                let answer = exchange(&mut stream, &request).await;
                work.settle(question, answer.as_deref());
            }
            Err(error) => {
                work.settle(question, Err(error));
                work.stop();
            }
        }
    }
}

/// Sends a message, half-closes, and reads what comes back up to the end of the stream.
async fn exchange(stream: &mut Stream, message: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(message).await?;
    stream.close().await?;
    read_message(stream).await
}

/// Reads up to the end of the stream, within the limit.
async fn read_message(stream: &mut Stream) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    stream.take(MAX_MESSAGE as u64 + 1).read_to_end(&mut message).await?;
    if message.len() > MAX_MESSAGE {
        stream.reset(ErrorCode::ENHANCE_YOUR_CALM);
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message is too long"));
    }
    Ok(message)
}

/// Accepts streams until the session ends, and answers each in its own task.
async fn serve(session: Session, work: Work, report: Sender<Report>) {
    while let Ok(stream) = session.accept().await {
        match stream.stream_type() {
            Some(REQUESTS) => smol::spawn(watch(work.clone(), answer(stream))).detach(),
            Some(REPORTS) => {
                smol::spawn(watch(work.clone(), receive_report(stream, report.clone()))).detach();
            }
            _ => stream.reset(ErrorCode::STREAM_REFUSED),
        }
    }
}

async fn answer(mut stream: Stream) -> Result<()> {
    let request = read_message(&mut stream).await?;
    let answer =
        muxado_rpc::answer(&request).inspect_err(|_| stream.reset(ErrorCode::STREAM_CANCELLED))?;
    stream.write_all(&answer).await?;
    // Dropping the stream sends what was written, and its end.
    Ok(())
}

async fn receive_report(mut stream: Stream, report: Sender<Report>) -> Result<()> {
    // There is only one report: for a second one there is no room, or no receiver.
    let _ = report.try_send(serde_json::from_slice(&read_message(&mut stream).await?)?);
    Ok(())
}

/// Records the error of a task.
async fn watch(work: Work, task: impl Future<Output = Result<()>>) {
    if let Err(error) = task.await {
        work.fail(error);
    }
}

/// Measures round trips while the requests run.
async fn beat(session: Session, work: Work) {
    while let Ok(rtt) = session.ping().await {
        work.beat(rtt);
        Timer::after(BEAT).await;
    }
}
