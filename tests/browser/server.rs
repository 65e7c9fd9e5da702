//! The server of the page in `page`. Needs the wasm that `.ci/browser` builds, and a browser.
//!
//! It serves the page, calls it over a session on a WebSocket, and answers its calls.
//!
//! ```sh
//! .ci/browser           # builds the page, opens it in headless Chromium, and checks what it says
//! .ci/browser --serve   # serves it for a browser of yours
//! ```

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::Html;
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use muxado_tokio::{Config, Session, tcp};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use bytestream::Bytestream;

#[path = "../../muxado-tokio/examples/websocket/bytestream.rs"]
mod bytestream;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const REQUESTS: usize = 1000;
const AT_ONCE: usize = 64;
/// How long the page may take.
const LIMIT: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(wasm) = arguments.next().filter(|path| path != "--help") else {
        println!("browser WASM [--serve]: serves the page and calls it; see .ci/browser.");
        return Ok(());
    };
    let wasm = std::fs::read(wasm)?;
    let sockets = TcpListener::bind("127.0.0.1:0").await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address =
        format!("http://{}/?socket=ws://{}", listener.local_addr()?, sockets.local_addr()?);
    let (results, mut result) = mpsc::channel(1);
    // Whether the page has answered everything.
    let (answered, is_answered) = watch::channel(false);
    tokio::spawn(axum::serve(listener, site(wasm, results, is_answered)).into_future());
    println!("{address}");

    if arguments.next().as_deref() == Some("--serve") {
        loop {
            let (socket, _) = sockets.accept().await?;
            let answered = answered.clone();
            tokio::spawn(async move {
                match session(socket, &answered).await {
                    Ok(reason) => println!("a page: session {reason}"),
                    Err(error) => eprintln!("a page: {error}"),
                }
            });
        }
    }
    let profile = std::env::temp_dir().join(format!("muxado-browser-{}", std::process::id()));
    let mut chromium = chromium(&address, &profile)?;
    let checked = tokio::time::timeout(LIMIT, async {
        let (socket, _) = sockets.accept().await?;
        let reason = session(socket, &answered).await?;
        let result: Value = result.recv().await.ok_or("no result")?;
        println!("session {reason}; the page says {result}");
        let expected = [("answered", REQUESTS.into()), ("served", REQUESTS.into())];
        let right = expected.iter().all(|(name, value): &(&str, Value)| result[name] == *value);
        if right && result["errors"] == Value::Array(Vec::new()) {
            println!("{REQUESTS} calls of the page and {REQUESTS} of the server were answered");
            Result::Ok(())
        } else {
            Err("that is not what it should say".into())
        }
    });
    let checked = checked.await;
    chromium.kill().await?;
    // Chromium may still be writing to it.
    let _left_over = std::fs::remove_dir_all(profile);
    checked?
}

fn chromium(address: &str, profile: &Path) -> io::Result<Child> {
    let name = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".into());
    Command::new(name)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(["--remote-debugging-port=0", address]) // without a port it ends at once
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
}

/// The page, and where it posts its result.
fn site(wasm: Vec<u8>, results: mpsc::Sender<Value>, answered: watch::Receiver<bool>) -> Router {
    let wasm = bytes::Bytes::from(wasm);
    let page = || async { Html(include_str!("page/index.html")) };
    let script = || async { ([(CONTENT_TYPE, "text/javascript")], include_str!("page/muxado.js")) };
    let core = move || async move { ([(CONTENT_TYPE, "application/wasm")], wasm) };
    let asked = |State(mut answered): State<watch::Receiver<bool>>| async move {
        // Fails only if this program ends.
        let _ended = answered.wait_for(|answered| *answered).await;
    };
    let told = |Json(result): Json<Value>| async move {
        // Only the first is of interest.
        let _more = results.try_send(result);
    };
    Router::new()
        .route("/", get(page))
        .route("/muxado.js", get(script))
        .route("/muxado.wasm", get(core))
        .route("/favicon.ico", get(|| async {}))
        .route("/asked", get(asked))
        .route("/result", post(told))
        .with_state(answered)
}

/// The server's end of a session with the page: calls it, and answers its calls.
async fn session(socket: TcpStream, answered: &watch::Sender<bool>) -> Result<String> {
    tcp::tune(&socket)?;
    let socket = tokio_tungstenite::accept_async(socket).await?;
    let session = Session::server(Bytestream::new(socket), Arc::new(Config::default()));
    tokio::spawn(answer(session.clone()));
    stream::iter(0..REQUESTS)
        .map(|number| ask(&session, number))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    answered.send_replace(true);
    // It is the page that closes.
    Ok(session.closed().await.to_string())
}

async fn ask(session: &Session, number: usize) -> Result<()> {
    // Some need more than the window of a stream.
    let length = if number % 100 == 99 { 300_000 } else { 10 + number * 3 };
    let text: String = format!("the server asks {number} ")
        .chars()
        .chain(('a'..='z').cycle())
        .take(length)
        .collect();
    let (mut recv, mut send) = session.open().await?.into_split();
    let mut answer = String::new();
    let write = async {
        send.write_all(text.as_bytes()).await?;
        send.shutdown().await
    };
    tokio::try_join!(write, recv.read_to_string(&mut answer))?;
    if answer == text.to_uppercase() {
        Ok(())
    } else {
        Err(format!("a wrong answer to {number}").into())
    }
}

/// Answers the calls of the page.
async fn answer(session: Session) {
    while let Ok(mut stream) = session.accept().await {
        tokio::spawn(async move {
            let mut request = String::new();
            stream.read_to_string(&mut request).await?;
            stream.write_all(request.to_uppercase().as_bytes()).await
        });
    }
}
