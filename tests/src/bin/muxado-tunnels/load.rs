//! A service of three kinds, and what is asked of it. A connection begins with a byte that says which.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Sends back what it is sent.
const ECHO: u8 = b'e';
/// Sends as many bytes as the following eight say.
const DOWN: u8 = b'd';
/// Takes everything, then says how much that was.
const UP: u8 = b'u';

const CHUNK: usize = 64 << 10;

/// How long one of many connections may take. A tunnel that loses one must not stop the others.
const LIMIT: Duration = Duration::from_secs(10);

/// Starts the service.
pub fn serve() -> io::Result<SocketAddr> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    // Many connections come at once, and one that has no place to wait costs a second.
    let listener = socket.listen(4096)?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(answer(tcp));
        }
    });
    Ok(address)
}

async fn answer(mut tcp: TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    match tcp.read_u8().await? {
        DOWN => {
            let chunk = vec![7; CHUNK];
            let mut left = tcp.read_u64().await?;
            while left > 0 {
                let count = left.min(CHUNK as u64);
                tcp.write_all(&chunk[..usize::try_from(count).unwrap_or(CHUNK)]).await?;
                left -= count;
            }
        }
        UP => {
            let count = tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await?;
            tcp.write_u64(count).await?;
        }
        _ => {
            let (mut reader, mut writer) = tcp.split();
            tokio::io::copy(&mut reader, &mut writer).await?;
        }
    }
    tcp.shutdown().await
}

async fn connect(address: SocketAddr, kind: u8) -> io::Result<TcpStream> {
    let mut tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    tcp.write_u8(kind).await?;
    Ok(tcp)
}

/// Whether the service can be reached.
pub async fn is_there(address: SocketAddr) -> bool {
    let attempt = async { echo(&mut connect(address, ECHO).await?).await };
    matches!(tokio::time::timeout(Duration::from_secs(1), attempt).await, Ok(Ok(_)))
}

/// One message there and back.
async fn echo(tcp: &mut TcpStream) -> io::Result<Duration> {
    let (started, sent, mut back) = (Instant::now(), [5; 64], [0; 64]);
    tcp.write_all(&sent).await?;
    tcp.read_exact(&mut back).await?;
    if back == sent { Ok(started.elapsed()) } else { Err(wrong("an echo is not what was sent")) }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// MB/s from the service.
pub async fn down(address: SocketAddr, bytes: usize) -> io::Result<f64> {
    let mut tcp = connect(address, DOWN).await?;
    tcp.write_u64(bytes as u64).await?;
    let started = Instant::now();
    let count = tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await?;
    if count != bytes as u64 {
        return Err(wrong("bytes are missing"));
    }
    Ok(rate(bytes, started))
}

/// MB/s to the service, until it has said that it has them all.
pub async fn up(address: SocketAddr, bytes: usize) -> io::Result<f64> {
    let mut tcp = connect(address, UP).await?;
    let (chunk, started) = (vec![7; CHUNK], Instant::now());
    for _ in 0..bytes / CHUNK {
        tcp.write_all(&chunk).await?;
    }
    tcp.shutdown().await?;
    let count = tcp.read_u64().await?;
    if count != (bytes / CHUNK * CHUNK) as u64 {
        return Err(wrong("bytes are missing"));
    }
    Ok(rate(bytes, started))
}

fn rate(bytes: usize, started: Instant) -> f64 {
    bytes as f64 / started.elapsed().as_secs_f64() / 1e6
}

/// The median of a new connection and one message there and back, in microseconds.
pub async fn connect_and_echo(address: SocketAddr, count: usize) -> io::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..count {
        let started = Instant::now();
        echo(&mut connect(address, ECHO).await?).await?;
        times.push(started.elapsed());
    }
    Ok(at(50, &mut times))
}

/// What a dialogue beside a transfer gets, and what it leaves to the transfer.
pub struct Beside {
    /// Microseconds for one message there and back.
    pub median: f64,
    /// The same, for the slowest tenth at least.
    pub ninety: f64,
    /// Messages there and back in a second. The more there are, the less is left to the transfer.
    pub rate: f64,
    /// MB/s of the transfer meanwhile.
    pub bulk: f64,
}

/// One message after the other there and back, with a pause between them, while another connection
/// transfers what it can.
pub async fn echo_beside_bulk(
    address: SocketAddr,
    count: usize,
    pause: Duration,
) -> io::Result<Beside> {
    let mut bulk = connect(address, DOWN).await?;
    bulk.write_u64(u64::MAX).await?;
    bulk.read_u8().await?;
    // Dropping the set ends the transfer.
    let (mut transfer, moved) = (JoinSet::new(), Arc::new(AtomicU64::new(0)));
    let counter = Arc::clone(&moved);
    transfer.spawn(async move {
        let mut chunk = vec![0; CHUNK];
        while let Ok(count @ 1..) = bulk.read(&mut chunk).await {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        }
    });
    let mut tcp = connect(address, ECHO).await?;
    let (mut times, started) = (Vec::new(), Instant::now());
    let before = moved.load(Ordering::Relaxed);
    for _ in 0..count {
        times.push(echo(&mut tcp).await?);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    let moved = moved.load(Ordering::Relaxed) - before;
    let bulk = rate(usize::try_from(moved).unwrap_or(usize::MAX), started);
    let rate = count as f64 / started.elapsed().as_secs_f64();
    Ok(Beside { median: at(50, &mut times), ninety: at(90, &mut times), rate, bulk })
}

/// The time in microseconds that so many percent do not exceed.
fn at(percent: usize, times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() * percent / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

/// How many milliseconds it takes until so many connections are there at once and each has had an
/// answer, and how many of them failed.
pub async fn at_once(address: SocketAddr, count: usize) -> io::Result<(f64, f64)> {
    let (mut clients, mut held, started) = (JoinSet::new(), Vec::new(), Instant::now());
    for _ in 0..count {
        clients.spawn(tokio::time::timeout(LIMIT, async move {
            let mut tcp = connect(address, ECHO).await?;
            echo(&mut tcp).await?;
            io::Result::Ok(tcp)
        }));
    }
    while let Some(client) = clients.join_next().await {
        if let Ok(Ok(Ok(tcp))) = client {
            held.push(tcp);
        }
    }
    Ok((started.elapsed().as_secs_f64() * 1e3, (count - held.len()) as f64))
}
