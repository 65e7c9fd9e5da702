//! A link of long delay and fixed bandwidth, made of two loopback connections.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, mpsc},
    time::{Instant, sleep_until},
};

use crate::congestion;

/// The one-way delay: half of a round trip of 100 ms.
pub(crate) const DELAY: Duration = Duration::from_millis(50);
/// Bytes a second, each way: 200 Mbit/s.
pub(crate) const BANDWIDTH: u64 = 25_000_000;
/// Bytes of the queue before the link, as the receive buffer of its socket.
const QUEUE: u32 = 256 * 1024;
/// Bytes taken from the queue at once.
const PIECE: usize = 16 * 1024;
/// Maximum bytes in flight, each way: twice a full link. A receiver that does not read stops the
/// link there.
const UNDER_WAY: usize = (2 * BANDWIDTH as usize) / 10;

/// Timers wake up to a millisecond late, and the machine is busy: the link may be early or late by
/// this much.
const GRAIN: Duration = Duration::from_millis(4);

/// Starts a link in its own thread, and returns the address to connect to instead of `to`.
pub(crate) fn start(to: SocketAddr) -> io::Result<SocketAddr> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _entered = runtime.enter();
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(QUEUE)?;
        congestion::apply(&socket)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        socket.listen(1024)?
    };
    let address = listener.local_addr()?;
    thread::spawn(move || {
        runtime.block_on(async {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(async move {
                    if let Err(error) = connect(near, to).await {
                        eprintln!("relay: {error}");
                    }
                });
            }
        });
    });
    Ok(address)
}

async fn connect(near: TcpStream, to: SocketAddr) -> io::Result<()> {
    let far = TcpStream::connect(to).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    congestion::apply(&far)?;
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::spawn(carry(near_read, far_write));
    tokio::spawn(carry(far_read, near_write));
    Ok(())
}

/// Carries one direction until it ends.
async fn carry(mut from: OwnedReadHalf, to: OwnedWriteHalf) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    let (depart, arrive) = mpsc::unbounded_channel();
    tokio::spawn(deliver(to, arrive, Arc::clone(&room)));
    // When the link has sent all that it has taken.
    let mut clear = Instant::now();
    loop {
        let mut piece = vec![0; PIECE];
        let n = from.read(&mut piece).await?;
        if n == 0 {
            return Ok(());
        }
        piece.truncate(n);
        room.acquire_many(n as u32).await.map_err(io::Error::other)?.forget();
        // Time lost by sleeping too long is made up for; time without data to send is lost.
        clear = clear.max(Instant::now() - GRAIN)
            + Duration::from_nanos(n as u64 * 1_000_000_000 / BANDWIDTH);
        if depart.send((clear + DELAY, piece)).is_err() {
            return Ok(());
        }
        if clear > Instant::now() + GRAIN {
            sleep_until(clear).await;
        }
    }
}

async fn deliver(
    mut to: OwnedWriteHalf,
    mut arrive: mpsc::UnboundedReceiver<(Instant, Vec<u8>)>,
    room: Arc<Semaphore>,
) -> io::Result<()> {
    while let Some((at, piece)) = arrive.recv().await {
        sleep_until(at).await;
        to.write_all(&piece).await?;
        room.add_permits(piece.len());
    }
    to.shutdown().await
}
