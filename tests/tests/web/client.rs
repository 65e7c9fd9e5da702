//! The client that stays connected, over pipes and in virtual time.

use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioExecutor;
use muxado_tokio::{
    Client, ClientError, CloseReason, Config, Connector, ErrorCode, Session, Stream, StreamType,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::{Instant, sleep, timeout};

const REQUEST: StreamType = StreamType(7);

/// A server that can be taken down, and the connection to it.
#[derive(Clone, Default)]
struct Network(Arc<State>);

#[derive(Default)]
struct State {
    is_down: Mutex<bool>,
    /// The server's ends, one for each connection.
    sessions: Mutex<Vec<Session>>,
    attempts: AtomicUsize,
    /// Requests that the server has read to their end.
    requests: AtomicUsize,
    /// It reads requests, and answers none.
    is_mute: Mutex<bool>,
}

fn typed() -> Arc<Config> {
    Arc::new(Config::builder().typed(true).build().unwrap())
}

impl Network {
    async fn connect(self, config: Arc<Config>) -> io::Result<DuplexStream> {
        self.0.attempts.fetch_add(1, SeqCst);
        if *self.0.is_down.lock().unwrap() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (near, far) = tokio::io::duplex(4096);
        let session = Session::server(far, config);
        self.0.sessions.lock().unwrap().push(session.clone());
        tokio::spawn(async move {
            while let Ok(stream) = session.accept().await {
                tokio::spawn(self.clone().answer(stream));
            }
        });
        Ok(near)
    }

    async fn answer(self, mut stream: Stream) -> io::Result<()> {
        let mut request = Vec::new();
        stream.read_to_end(&mut request).await?;
        self.0.requests.fetch_add(1, SeqCst);
        if *self.0.is_mute.lock().unwrap() {
            stream.ended().await;
            return Ok(());
        }
        stream.write_all(&request.to_ascii_uppercase()).await?;
        stream.shutdown().await
    }

    /// A client of typed sessions.
    fn client(&self, sessions: usize) -> Client {
        let network = self.clone();
        let connect = move || network.clone().connect(typed());
        Client::builder(connect).config(typed()).sessions(sessions).start().unwrap()
    }

    fn go_down(&self) {
        *self.0.is_down.lock().unwrap() = true;
        for session in self.0.sessions.lock().unwrap().drain(..) {
            session.abort(ErrorCode::INTERNAL, "lost");
        }
    }

    fn come_back(&self) {
        *self.0.is_down.lock().unwrap() = false;
    }

    fn attempts(&self) -> usize {
        self.0.attempts.load(SeqCst)
    }
}

async fn ask(mut stream: Stream) -> io::Result<String> {
    stream.write_all(b"hello").await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_server_was_gone_is_back_soon_after_it() {
    let network = Network::default();
    let client = network.client(1);
    assert_eq!(ask(client.open_typed(REQUEST).await.unwrap()).await.unwrap(), "HELLO");
    assert_eq!(network.attempts(), 1);

    network.go_down();
    client.sessions().first().unwrap().closed().await;
    let gone = Duration::from_secs(600);
    timeout(gone, client.open_typed(REQUEST)).await.unwrap_err();
    assert_eq!(client.last_error().unwrap().kind(), io::ErrorKind::ConnectionRefused);
    // After the back-off at most every 30 s, at least every 60 s.
    let attempts = network.attempts() - 1;
    assert!((10..=29).contains(&attempts), "{attempts} attempts in ten minutes");

    network.come_back();
    let since = Instant::now();
    let stream = client.open_typed(REQUEST).await.unwrap();
    assert!(since.elapsed() <= Duration::from_secs(60), "{:?}", since.elapsed());
    assert_eq!(ask(stream).await.unwrap(), "HELLO");
    assert!(client.last_error().is_none());
}

#[tokio::test(start_paused = true)]
async fn clients_of_a_server_that_comes_back_do_not_come_at_once() {
    let network = Network::default();
    let clients: Vec<Client> = (0..20).map(|_| network.client(1)).collect();
    for client in &clients {
        client.connected().await.unwrap();
    }
    network.go_down();
    sleep(Duration::from_secs(300)).await;
    network.come_back();
    let since = Instant::now();
    let mut times = Vec::new();
    for client in &clients {
        let client = client.clone();
        times.push(tokio::spawn(async move {
            client.connected().await.unwrap();
            since.elapsed()
        }));
    }
    let mut seconds = std::collections::HashSet::new();
    for time in times {
        seconds.insert(time.await.unwrap().as_secs());
    }
    assert!(seconds.len() > 8, "within {seconds:?} seconds");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_lost_is_not_sent_again() {
    let network = Network::default();
    *network.0.is_mute.lock().unwrap() = true;
    let client = network.client(1);
    let lost = tokio::spawn(ask(client.open_typed(REQUEST).await.unwrap()));
    while network.0.requests.load(SeqCst) == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    network.go_down();
    lost.await.unwrap().unwrap_err();

    *network.0.is_mute.lock().unwrap() = false;
    network.come_back();
    let stream = client.open_typed(REQUEST).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(network.0.requests.load(SeqCst), 1);
    assert_eq!(ask(stream).await.unwrap(), "HELLO");
    assert_eq!(network.0.requests.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn streams_go_to_the_session_that_has_the_fewest() {
    let network = Network::default();
    let client = network.client(3);
    while client.sessions().len() < 3 {
        sleep(Duration::from_millis(1)).await;
    }
    let load = || {
        let mut load: Vec<u32> =
            client.sessions().iter().map(|session| session.stats().open_streams).collect();
        load.sort_unstable();
        load
    };
    let mut streams = Vec::new();
    for _ in 0..12 {
        streams.push(client.open_typed(REQUEST).await.unwrap());
    }
    assert_eq!(load(), [4, 4, 4]);
    // One session has no streams again, and gets the next four.
    let first = streams[0].session().number();
    streams.retain(|stream| stream.session().number() != first);
    while load() != [0, 4, 4] {
        sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..4 {
        let stream = client.open_typed(REQUEST).await.unwrap();
        assert_eq!(stream.session().number(), first);
        streams.push(stream);
    }
    assert_eq!(load(), [4, 4, 4]);
}

/// A waiting `open` takes the first stream of any session.
#[tokio::test(start_paused = true)]
async fn a_stream_that_no_session_can_open_now_is_opened_by_the_first_that_can() {
    let network = Network::default();
    let config = Arc::new(Config::builder().typed(true).max_outbound_streams(1).build().unwrap());
    let dial = network.clone();
    let connect = move || dial.clone().connect(typed());
    let client = Client::builder(connect).config(config).sessions(2).start().unwrap();
    let (one, two) =
        (client.open_typed(REQUEST).await.unwrap(), client.open_typed(REQUEST).await.unwrap());
    assert_ne!(one.session().number(), two.session().number());
    let third = tokio::spawn({
        let client = client.clone();
        async move { client.open_typed(REQUEST).await.unwrap() }
    });
    sleep(Duration::from_secs(1)).await;
    assert!(!third.is_finished());
    let freed = two.session().number();
    assert_eq!(ask(two).await.unwrap(), "HELLO");
    assert_eq!(third.await.unwrap().session().number(), freed);
    drop(one);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_goes_away_is_replaced_and_its_streams_run_on() {
    let network = Network::default();
    let client = network.client(1);
    let old = client.open_typed(REQUEST).await.unwrap();
    let number = old.session().number();
    network.0.sessions.lock().unwrap()[0].go_away(ErrorCode::NO_ERROR, "maintenance");
    old.session().going_away().await.unwrap();
    let new = client.open_typed(REQUEST).await.unwrap();
    assert_ne!(new.session().number(), number);
    assert_eq!(ask(old).await.unwrap(), "HELLO");
    assert_eq!(ask(new).await.unwrap(), "HELLO");
    // The old session has closed by itself after its last stream.
    let old = network.0.sessions.lock().unwrap().remove(0);
    assert!(old.closed().await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_the_streams_that_are_open_and_opens_no_more() {
    let network = Network::default();
    let client = network.client(2);
    let (mut one, two) =
        (client.open_typed(REQUEST).await.unwrap(), client.open_typed(REQUEST).await.unwrap());
    one.write_all(b"begun, ").await.unwrap();
    let shutdown = tokio::spawn({
        let client = client.clone();
        async move { client.shutdown().await }
    });
    sleep(Duration::from_secs(1)).await;
    assert!(!shutdown.is_finished());
    assert_eq!(client.open_typed(REQUEST).await.unwrap_err(), ClientError::ShutDown);
    assert_eq!(client.connected().await, Err(ClientError::ShutDown));
    assert_eq!(client.sessions().len(), 0);
    assert_eq!(ask(one).await.unwrap(), "BEGUN, HELLO");
    assert_eq!(ask(two).await.unwrap(), "HELLO");
    let reasons = shutdown.await.unwrap();
    assert_eq!(reasons.len(), 2);
    assert!(reasons.iter().all(CloseReason::is_clean), "{reasons:?}");
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(network.attempts(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_dropped_connects_no_more_and_lets_its_streams_finish() {
    let network = Network::default();
    let client = network.client(1);
    let stream = client.open_typed(REQUEST).await.unwrap();
    drop(client);
    assert_eq!(ask(stream).await.unwrap(), "HELLO");
    let session = network.0.sessions.lock().unwrap().remove(0);
    assert!(session.closed().await.is_clean());
    network.go_down();
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(network.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_end_does_not_answer_the_ping_does_not_count() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = attempts.clone();
    let connect = move || {
        counted.fetch_add(1, SeqCst);
        let (near, mut far) = tokio::io::duplex(4096);
        async move {
            // It reads everything and sends nothing.
            tokio::spawn(async move { tokio::io::copy(&mut far, &mut tokio::io::sink()).await });
            Ok(near)
        }
    };
    let limit = Duration::from_secs(5);
    let client = Client::builder(connect).config(typed()).time_limit(limit).start().unwrap();
    timeout(Duration::from_secs(60), client.connected()).await.unwrap_err();
    let error = client.last_error().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    let attempts = attempts.load(SeqCst);
    assert!((3..=12).contains(&attempts), "{attempts} attempts in a minute");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_every_session_at_once_is_not_asked_all_the_time() {
    let network = Network::default();
    let dial = network.clone();
    let connect = move || dial.clone().connect(typed());
    let client = Client::builder(connect)
        .config(typed())
        .greeting(|session| async move {
            // It passes its check, and then it ends.
            tokio::spawn(async move { session.abort(ErrorCode::INTERNAL, "lost") });
            Ok(())
        })
        .start()
        .unwrap();
    sleep(Duration::from_secs(600)).await;
    let attempts = network.attempts();
    assert!((10..=30).contains(&attempts), "{attempts} attempts in ten minutes");
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn untyped_sessions_count_when_their_greeting_succeeds() {
    let config = Arc::new(Config::default());
    let network = Network::default();
    let dial = |network: &Network| {
        let (network, config) = (network.clone(), config.clone());
        move || network.clone().connect(config.clone())
    };
    let error = Client::builder(dial(&network)).start().unwrap_err();
    assert_eq!(error, ClientError::NoGreeting);

    let word = Arc::new(Mutex::new("FRIEND"));
    let expected = word.clone();
    let client = Client::builder(dial(&network))
        .greeting(move |session| {
            let expected = expected.clone();
            async move {
                let answer = ask(session.open().await?).await?;
                let expected = *expected.lock().unwrap();
                if answer == expected { Ok(()) } else { Err(io::Error::other("not a friend")) }
            }
        })
        .start()
        .unwrap();
    timeout(Duration::from_secs(600), client.open()).await.unwrap_err();
    assert_eq!(client.last_error().unwrap().to_string(), "not a friend");
    assert_eq!(client.sessions().len(), 0);
    // The sessions that failed their check are over.
    for session in network.0.sessions.lock().unwrap().drain(..) {
        assert!(session.close_reason().is_some());
    }

    *word.lock().unwrap() = "HELLO";
    assert_eq!(ask(client.open().await.unwrap()).await.unwrap(), "HELLO");
    assert_eq!(client.open_typed(REQUEST).await.unwrap_err(), ClientError::WrongType);
}

/// hyper over the client: a request after the loss uses the next session.
#[tokio::test(start_paused = true)]
async fn a_connector_of_a_client_outlives_a_session() {
    let sessions = Arc::new(Mutex::new(Vec::new()));
    let kept = sessions.clone();
    let connect = move || {
        let (near, far) = tokio::io::duplex(64 << 10);
        let session = Session::server(far, Config::default());
        kept.lock().unwrap().push(session.clone());
        let app = axum::Router::new().route("/", axum::routing::get(async || "hello"));
        tokio::spawn(axum::serve(session, app).into_future());
        async move { Ok(near) }
    };
    let client = Client::builder(connect).greeting(|_| async { Ok(()) }).start().unwrap();
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build::<_, Empty<Bytes>>(Connector::from(client.clone()));
    for _ in 0..3 {
        let answer = http.get("http://peer/".parse().unwrap()).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
        let session = sessions.lock().unwrap().pop().unwrap();
        session.abort(ErrorCode::INTERNAL, "lost");
        client.sessions().first().unwrap().closed().await;
    }
    client.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_type_is_an_error_before_there_is_a_server() {
    let network = Network::default();
    network.go_down();
    let client = network.client(1);
    for wrong in [None, Some(StreamType::HEARTBEAT)] {
        let opened = async {
            match wrong {
                None => client.open().await,
                Some(reserved) => client.open_typed(reserved).await,
            }
        };
        let opened = timeout(Duration::from_secs(60), opened).await.expect("an answer at once");
        assert_eq!(opened.unwrap_err(), ClientError::WrongType);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_never_ends_is_given_up_and_tried_again() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = attempts.clone();
    let connect = move || {
        counted.fetch_add(1, SeqCst);
        pending::<io::Result<DuplexStream>>()
    };
    let client = Client::builder(connect).config(typed()).start().unwrap();
    timeout(Duration::from_secs(60), client.connected()).await.unwrap_err();
    assert!(attempts.load(SeqCst) > 2);
}
