//! Runs an interop peer on some implementation.

use core::pin::pin;
use core::time::Duration;
use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use event_listener::Event;
use futures_util::future::{FutureExt as _, Shared, join_all, select};

use super::early::Starts;
use super::endpoint::Endpoint;
use super::options::{App, Options};
use super::report::{End, Line, Report, print_line};
use super::serve::Io;
use super::{control, drive, serve};

/// One session and its application.
pub(super) struct Peer<E> {
    pub(super) options: Arc<Options>,
    pub(super) report: Arc<Report>,
    pub(super) session: E,
    /// The peer has said that its drive is done.
    pub(super) bye: Arc<Flag>,
    /// The session is over.
    pub(super) ended: Arc<Flag>,
    /// Early answers that may begin.
    pub(super) starts: Arc<Starts>,
}

impl<E: Clone> Clone for Peer<E> {
    fn clone(&self) -> Self {
        Self {
            options: self.options.clone(),
            report: self.report.clone(),
            session: self.session.clone(),
            bye: self.bye.clone(),
            ended: self.ended.clone(),
            starts: self.starts.clone(),
        }
    }
}

impl<E> Peer<E> {
    pub(super) fn io(&self) -> Io<'_> {
        Io { options: &self.options, report: &self.report }
    }
}

/// Something that happens once and that tasks wait for.
#[derive(Debug, Default)]
pub(super) struct Flag {
    set: AtomicBool,
    event: Event,
}

impl Flag {
    pub(super) fn notify(&self) {
        self.set.store(true, Ordering::SeqCst);
        self.event.notify(usize::MAX);
    }

    pub(super) async fn wait(&self) {
        loop {
            let listener = self.event.listen();
            if self.set.load(Ordering::SeqCst) {
                return;
            }
            listener.await;
        }
    }
}

/// Runs with the given options. The exit code is 0 for success, 1 if a session failed, 2 on a
/// transport error and 3 when the time limit passed.
pub fn run<E: Endpoint>(options: Options) -> ExitCode {
    match E::block_on(run_async::<E>(Arc::new(options))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

async fn run_async<E: Endpoint>(options: Arc<Options>) -> io::Result<bool> {
    if let Some(address) = options.dial {
        return run_session::<E>(options, E::connect(address).await?).await;
    }
    let address = options.listen.expect("the parser demands --listen or --dial");
    let (listener, addr) = E::listen(address).await?;
    print_line(&Line::Listening { addr });
    let mut running = Vec::new();
    let mut served = 0;
    while options.sessions == 0 || served < options.sessions {
        let transport = E::accept_transport(&listener).await?;
        served += 1;
        let result = spawn::<E, _>(run_session::<E>(options.clone(), transport));
        // A server without an end prints no result.
        if options.sessions != 0 {
            running.push(result);
        }
    }
    let results: Vec<_> = join_all(running).await;
    Ok(results.into_iter().all(|ok| ok == Some(true)))
}

/// Spawns a future and returns its result, `None` if it failed.
fn spawn<E: Endpoint, T: Clone + Send + Sync + 'static>(
    future: impl Future<Output = io::Result<T>> + Send + 'static,
) -> Shared<impl Future<Output = Option<T>>> {
    let (sender, receiver) = futures_channel::oneshot::channel();
    E::spawn(async move {
        match future.await {
            // Nobody waits on a server without end.
            Ok(value) => drop(sender.send(value)),
            Err(error) => eprintln!("{error}"),
        }
    });
    receiver.map(Result::ok).shared()
}

async fn run_session<E: Endpoint>(
    options: Arc<Options>,
    transport: E::Transport,
) -> io::Result<bool> {
    let started = Instant::now();
    let report = Arc::new(Report::new(E::NAME, options.side().name()));
    let limit = Limit::start(&options, &report, started);
    let session = E::start(transport, &options, &report).await?;
    let (bye, ended, starts) = Default::default();
    let peer = Peer::<E> { options, report, session, bye, ended, starts };
    let watch = spawn::<E, End>({
        let peer = peer.clone();
        async move {
            let end = peer.session.ended().await;
            peer.ended.notify();
            Ok(end)
        }
    });
    let mut commands = None;
    match peer.options.app {
        App::Echo | App::Serve => E::spawn(serve::accept_loop(peer.clone())),
        App::Control => {
            let run = control::run(peer.clone());
            commands = Some(spawn::<E, _>(run.map(Ok)));
        }
        App::None => {}
    }
    if peer.options.drive.is_some() {
        drive::drive(&peer).await;
        finish(&peer).await;
    }
    let end = watch.await.unwrap_or_default();
    peer.report.summary().end = end;
    drop(limit);
    let ok = peer.report.print(started.elapsed());
    if let Some(commands) = commands {
        // Calls are accepted and answered even after the end of the session.
        commands.await;
    }
    Ok(ok)
}

/// Ends the session when this side, and with `--mutual` the other side, is done. Only the dialer
/// closes, so that neither side interrupts the other.
async fn finish<E: Endpoint>(peer: &Peer<E>) {
    if peer.options.mutual {
        let dialer = peer.options.dial.is_some();
        // The dialer may close as soon as it has received the listener's bye.
        if let Err(trouble) = drive::say_bye(peer, dialer).await
            && dialer
        {
            peer.report.fail(format!("bye: {trouble}"));
        }
        select(pin!(peer.bye.wait()), pin!(peer.ended.wait())).await;
        if !dialer {
            return;
        }
    }
    peer.session.close().await;
}

/// Ends the process when a session takes too long. Dropping it cancels that.
struct Limit {
    _cancel: mpsc::Sender<()>,
}

impl Limit {
    fn start(options: &Options, report: &Arc<Report>, started: Instant) -> Self {
        let (cancel, cancelled) = mpsc::channel();
        let limit = options.timeout;
        if limit > Duration::ZERO && options.sessions != 0 {
            let report = report.clone();
            std::thread::spawn(move || {
                if cancelled.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                    report.fail(format!("no end after {limit:?}"));
                    report.print(started.elapsed());
                    std::process::exit(3);
                }
            });
        }
        Self { _cancel: cancel }
    }
}
