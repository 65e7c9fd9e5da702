//! The host's end of a session with a microcontroller. Needs the firmware of `.ci/embedded`, and QEMU.
//!
//! It starts the firmware in QEMU, communicates over the serial line, and prints the memory of a
//! session for each of several settings.
//!
//! ```sh
//! .ci/embedded    # builds the firmware, and runs this with it
//! ```

use std::error::Error;
use std::process::Stdio;
use std::sync::Arc;

use futures_util::future::try_join_all;
use muxado_tokio::{Config, Session, Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, join};
use tokio::process::Command;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The number of requests to the device, and the size of each.
const REQUESTS: (usize, usize) = (32, 2000);

/// The first byte from the device.
const READY: u8 = b'!';

/// The settings that the device and the host share.
#[derive(Clone, Copy)]
struct Settings {
    /// Of a stream, each way.
    window: u32,
    send_buffer: u32,
    /// Of each side, at once.
    streams: u32,
    frame: u32,
}

const SETTINGS: [Settings; 4] = [
    Settings { window: 512, send_buffer: 512, streams: 4, frame: 1024 },
    Settings { window: 1024, send_buffer: 1024, streams: 8, frame: 1024 },
    Settings { window: 2048, send_buffer: 2048, streams: 4, frame: 1024 },
    Settings { window: 512, send_buffer: 512, streams: 16, frame: 1024 },
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Some(firmware) = std::env::args().nth(1).filter(|path| path != "--help") else {
        println!("embedded FIRMWARE: measures sessions on a device in QEMU; see .ci/embedded.");
        return Ok(());
    };
    println!("| window | send buffer | streams each way | session | quiet stream | peak | stack |");
    println!("|---|---|---|---|---|---|---|");
    for settings in SETTINGS {
        measure(&firmware, settings).await?;
    }
    Ok(())
}

async fn measure(firmware: &str, settings: Settings) -> Result<()> {
    let Settings { window, send_buffer, streams, frame } = settings;
    let mut device = Command::new("qemu-system-arm")
        .args(["-machine", "lm3s6965evb", "-display", "none", "-monitor", "none"])
        .args(["-serial", "stdio", "-semihosting-config", "enable=on,target=native"])
        .args(["-kernel", firmware])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (Some(mut output), Some(mut input)) = (device.stdout.take(), device.stdin.take()) else {
        return Err("the device has no line".into());
    };
    // A line that starts drops what has arrived, so the device says when it has.
    if output.read_u8().await? != READY {
        return Err("the device does not say that it is ready".into());
    }
    for setting in [window, send_buffer, streams, frame] {
        input.write_all(&setting.to_le_bytes()).await?;
    }
    let mut key = [0; 16];
    getrandom::fill(&mut key)?;
    input.write_all(&key).await?;

    let config = Config::builder()
        .receive_window(window)
        .send_window(window)
        .auto_tune(false)
        .max_inbound_streams(streams)
        .max_outbound_streams(streams)
        .build()?;
    let session = Session::server(join(output, input), Arc::new(config));
    tokio::spawn(answer(session.clone()));

    let since = std::time::Instant::now();
    let [idle, before, ..] = memory(&session).await?;
    let open: Vec<Stream> = try_join_all((1..streams).map(|_| opened(&session))).await?;
    let [_, with, ..] = memory(&session).await?;
    let of_a_stream = (with - before) / (streams as usize - 1);
    drop(open);

    // Both ends send requests at once, as many as there are streams.
    let (count, length) = REQUESTS;
    let asked = try_join_all((0..count).map(|number| {
        // No payload begins like one of the commands.
        let letters = ('a'..='z').cycle().skip(number).take(length);
        let text: String = std::iter::once('x').chain(letters).collect();
        let session = session.clone();
        async move {
            match ask(&session, &text).await? == text.to_uppercase() {
                true => Result::Ok(()),
                false => Err(format!("request {number} came back wrong").into()),
            }
        }
    }));
    let (_, called) = tokio::try_join!(asked, ask(&session, "c"))?;
    if called != "100" {
        return Err("the device did not get its answers".into());
    }
    let [_, _, peak, stack] = memory(&session).await?;
    println!(
        "| {window} | {send_buffer} | {streams} | {idle} | {of_a_stream} | {peak} | {stack} |"
    );

    let (bytes, seconds) = (session.stats().bytes_sent, since.elapsed().as_secs_f32());
    eprintln!("{bytes} bytes to the device in {seconds:.1} s");
    let reason = session.close().await;
    let status = device.wait().await?;
    if !reason.is_clean() || !status.success() {
        return Err(format!("the session ended: {reason}; the device: {status}").into());
    }
    Ok(())
}

/// A stream that the device knows, and that has carried nothing else.
async fn opened(session: &Session) -> Result<Stream> {
    let mut stream = session.open().await?;
    stream.write_all(b"x").await?;
    let mut answer = [0];
    stream.read_exact(&mut answer).await?;
    Ok(stream)
}

async fn ask(session: &Session, text: &str) -> Result<String> {
    let (mut recv, mut send) = session.open().await?.into_split();
    let mut answer = String::new();
    let write = async {
        send.write_all(text.as_bytes()).await?;
        send.shutdown().await
    };
    tokio::try_join!(write, recv.read_to_string(&mut answer))?;
    Ok(answer)
}

/// The device's report on its memory: the session at its start, now, the maximum, and the stack.
async fn memory(session: &Session) -> Result<[usize; 4]> {
    let report = ask(session, "m").await?;
    let figures: Vec<usize> =
        report.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
    figures.try_into().map_err(|_| format!("a report of {report:?}").into())
}

/// Answers the calls of the device.
async fn answer(session: Session) {
    while let Ok(mut stream) = session.accept().await {
        tokio::spawn(async move {
            let mut words = String::new();
            stream.read_to_string(&mut words).await?;
            stream.write_all(words.to_uppercase().as_bytes()).await
        });
    }
}
