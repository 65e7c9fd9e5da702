//! The connection of one case: sends raw bytes, records what arrives.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::case::Stop;
use super::record::{End, GoAway, Record};
use super::settings::{Role, Settings};
use super::trace::Trace;
use super::wire::{self, Decoder, Frame, Header};

/// The type of the streams that the suite opens on typed sessions.
pub const STREAM_TYPE: u32 = 42;
/// The type of heartbeat streams.
pub const HEARTBEAT: u32 = 0xffff_ffff;
/// The receive window of the suite, which is not negotiated.
pub const OUR_WINDOW: u32 = 262_144;

/// One connection to the endpoint, with everything that it has sent.
pub struct Probe {
    /// What is known about the endpoint.
    pub settings: Arc<Settings>,
    /// What came so far.
    pub record: Record,
    /// Whether to grant credit for what the endpoint sends.
    pub granting: bool,
    out: OwnedWriteHalf,
    incoming: mpsc::UnboundedReceiver<Incoming>,
    reader: JoinHandle<()>,
    trace: Trace,
    next_id: u32,
    barriers: u32,
    inside_frame: bool,
    sent: BTreeMap<u32, u64>,
    owed: BTreeMap<u32, u32>,
    beats_answered: BTreeMap<u32, usize>,
}

enum Incoming {
    Frame(Frame),
    End(End),
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Probe {
    /// Starts on a fresh connection.
    pub fn new(transport: TcpStream, settings: Arc<Settings>, trace: Trace) -> Self {
        // Without it the kernel would join separate writes of a case.
        let _ = transport.set_nodelay(true);
        let (read, out) = transport.into_split();
        let (frames, incoming) = mpsc::unbounded_channel();
        let next_id = match settings.role {
            Role::Server => 3,
            Role::Client => 2,
        };
        Self {
            settings,
            record: Record::default(),
            granting: true,
            out,
            incoming,
            reader: tokio::spawn(read_frames(read, frames)),
            trace,
            next_id,
            barriers: 0,
            inside_frame: false,
            sent: BTreeMap::new(),
            owed: BTreeMap::new(),
            beats_answered: BTreeMap::new(),
        }
    }

    // ---- ids ----

    /// The next stream id of the suite's role.
    pub fn new_id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id += 2;
        id
    }

    /// An id of the suite's role that is far from those in use.
    pub fn far_id(&self) -> u32 {
        self.next_id + 20_000
    }

    /// An id that belongs to the endpoint.
    pub fn their_id(&self) -> u32 {
        (self.next_id ^ 1) + 100
    }

    // ---- output ----

    /// The beginning of every stream: its type, or nothing.
    pub fn prefix(&self) -> Vec<u8> {
        if self.settings.typed { STREAM_TYPE.to_be_bytes().to_vec() } else { Vec::new() }
    }

    /// Bytes of a stream's window that its type uses.
    pub fn prefix_len(&self) -> u32 {
        if self.settings.typed { 4 } else { 0 }
    }

    /// One frame that opens stream `id`, with the type in front of the payload.
    pub fn syn(&self, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
        wire::data(wire::SYN | flags, id, &[&self.prefix(), payload].concat())
    }

    /// Sends whole frames.
    pub async fn send(&mut self, frames: impl AsRef<[u8]>) -> Result<(), Stop> {
        self.inside_frame = false;
        let mut rest = frames.as_ref();
        while let Some(header) = rest.first_chunk().map(|bytes| Header::parse(*bytes)) {
            self.trace.add(format!("sent {header}"));
            if header.kind == wire::DATA {
                *self.sent.entry(header.id).or_default() += u64::from(header.length);
            }
            rest = rest.get(wire::HEADER + header.length as usize..).unwrap_or_default();
        }
        self.write(frames.as_ref()).await
    }

    /// Sends bytes that need not be frames; they do not count as sent on any stream. Until the next
    /// whole frame the suite sends nothing by itself, because that could end up inside a frame.
    pub async fn send_raw(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Stop> {
        self.inside_frame = true;
        let bytes = bytes.as_ref();
        let shown: String = bytes.iter().take(24).map(|byte| format!("{byte:02x}")).collect();
        self.trace.add(format!("sent {} bytes: {shown}", bytes.len()));
        self.write(bytes).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        match timeout(self.settings.patience, self.out.write_all(bytes)).await {
            // An endpoint that closed its transport is judged by what it has sent.
            Ok(_) => Ok(()),
            Err(_) => Err(Stop::failed(
                format!("the endpoint to read {} bytes", bytes.len()),
                format!("it stopped reading; {}", self.record.state()),
            )),
        }
    }

    /// Sends frames in two parts, the second one after the endpoint has read the first: the first
    /// write begins with another frame, which is answered.
    pub async fn send_cut(&mut self, frames: &[u8], at: usize) -> Result<(), Stop> {
        let (begin, end) = frames.split_at(at);
        let (id, barrier) = self.barrier();
        self.send_raw([&barrier, begin].concat()).await?;
        self.passed(id).await?;
        self.send_raw(end).await
    }

    /// Ends the suite's direction of the transport.
    pub async fn shut_down(&mut self) {
        self.trace.add("shut down the transport".into());
        let _ = self.out.shutdown().await;
    }

    /// Opens a stream and sends `payload` on it. The type of a typed stream is sent first in its
    /// own frame, which every peer understands.
    pub async fn open(&mut self, payload: &[u8]) -> Result<u32, Stop> {
        self.open_with(0, payload).await
    }

    /// Opens a stream, sends `payload` and half-closes it with a separate frame, which every peer
    /// understands.
    pub async fn request(&mut self, payload: &[u8]) -> Result<u32, Stop> {
        self.open_with(wire::FIN, payload).await
    }

    async fn open_with(&mut self, flags: u8, payload: &[u8]) -> Result<u32, Stop> {
        let id = self.new_id();
        let frames = self.opening(id, flags, payload);
        self.send(frames).await?;
        Ok(id)
    }

    /// The frames of [`open`](Self::open) and [`request`](Self::request).
    pub fn opening(&self, id: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frames = if self.settings.typed && !payload.is_empty() {
            [self.syn(0, id, &[]), wire::data(0, id, payload)].concat()
        } else {
            self.syn(0, id, payload)
        };
        if flags & wire::FIN != 0 {
            frames.extend(wire::data(wire::FIN, id, &[]));
        }
        frames
    }

    /// Bytes that may still be sent on a stream.
    pub fn credit(&self, id: u32) -> u64 {
        let (allowed, sent) = self.account(id);
        allowed.saturating_sub(sent)
    }

    /// Whether more was sent on a stream than the known credit allows; more credit may be in
    /// flight.
    pub fn is_overdrawn(&self, id: u32) -> bool {
        let (allowed, sent) = self.account(id);
        sent > allowed
    }

    fn account(&self, id: u32) -> (u64, u64) {
        let allowed = u64::from(self.settings.window) + self.record.stream(id).granted();
        (allowed, self.sent.get(&id).copied().unwrap_or(0))
    }

    /// Sends `payload` as the stream's credit allows, in frames of at most
    /// 16 KiB.
    pub async fn send_within_credit(&mut self, id: u32, payload: &[u8]) -> Result<(), Stop> {
        let mut rest = payload;
        while !rest.is_empty() {
            let window = u64::from(self.settings.window);
            let sent = self.sent.get(&id).copied().unwrap_or(0);
            self.until("credit on the stream", |record| {
                window + record.stream(id).granted() > sent
            })
            .await?;
            let credit = usize::try_from(self.credit(id)).unwrap_or(usize::MAX);
            let (piece, after) = rest.split_at(rest.len().min(credit).min(16_384));
            self.send(wire::data(0, id, piece)).await?;
            rest = after;
        }
        Ok(())
    }

    // ---- input ----

    /// Waits until `done` holds for the received frames. Fails when the transport ends or the
    /// endpoint stays silent.
    pub async fn until(
        &mut self,
        wanted: &str,
        mut done: impl FnMut(&Record) -> bool,
    ) -> Result<(), Stop> {
        while !done(&self.record) {
            if self.record.end.is_some() {
                return Err(Stop::failed(wanted, self.record.state()));
            }
            match timeout(self.settings.patience, self.incoming.recv()).await {
                Ok(event) => self.take_in(event.unwrap_or(Incoming::End(End::Eof))).await?,
                Err(_) => {
                    let seen = format!(
                        "nothing for {:?}; {}; {}",
                        self.settings.patience,
                        self.record.last_frame(),
                        self.record.state()
                    );
                    return Err(Stop::failed(wanted, seen));
                }
            }
        }
        Ok(())
    }

    async fn take_in(&mut self, event: Incoming) -> Result<(), Stop> {
        match event {
            Incoming::End(end) => {
                self.trace.add(format!("seen {end}"));
                self.record.end = Some(end);
                Ok(())
            }
            Incoming::Frame(frame) => {
                let header = frame.header;
                match frame.u32_at(0) {
                    Some(value) if header.kind != wire::DATA => {
                        self.trace.add(format!("seen {header} ({value})"));
                    }
                    _ => self.trace.add(format!("seen {header}")),
                }
                self.record.absorb(frame);
                if header.kind == wire::DATA && !self.inside_frame {
                    self.answer(header).await?;
                }
                Ok(())
            }
        }
    }

    /// Behaves like a peer that has read the DATA: grants the credit and echoes the endpoint's own
    /// heartbeats.
    async fn answer(&mut self, header: Header) -> Result<(), Stop> {
        let id = header.id;
        if header.is_data_with(wire::FIN) {
            self.owed.remove(&id);
        } else if self.granting {
            let owed = self.owed.entry(id).or_default();
            *owed += header.length;
            if *owed >= OUR_WINDOW / 4 {
                let increment = std::mem::take(owed);
                self.send(wire::wndinc(id, increment)).await?;
            }
        }
        let data = &self.record.stream(id).data;
        if id % 2 == self.next_id % 2 || !data.starts_with(&HEARTBEAT.to_be_bytes()) {
            return Ok(());
        }
        let answered = self.beats_answered.entry(id).or_insert(4);
        let whole = data.len() - data.len() % 4;
        if whole > *answered {
            let beats = wire::data(0, id, &data[*answered..whole]);
            *answered = whole;
            self.send(beats).await?;
        }
        Ok(())
    }

    /// Waits for `expected` on a stream and no other byte.
    pub async fn echo(&mut self, id: u32, expected: &[u8]) -> Result<(), Stop> {
        let wanted = format!("the echo of {} bytes on stream {id}", expected.len());
        let result = self
            .until(&wanted, |record| {
                let stream = record.stream(id);
                stream.data.len() >= expected.len() || !stream.resets.is_empty() || stream.fins > 0
            })
            .await;
        let stream = self.record.stream(id);
        match result {
            Err(Stop::Failed { wanted, seen }) => {
                Err(Stop::failed(wanted, format!("{stream}; {seen}")))
            }
            Err(other) => Err(other),
            Ok(()) if stream.data == expected => Ok(()),
            Ok(()) => {
                let same =
                    stream.data.iter().zip(expected).take_while(|(got, sent)| got == sent).count();
                Err(Stop::failed(wanted, format!("{stream}; the same up to byte {same}")))
            }
        }
    }

    /// Waits for `expected` on a stream, no other byte, and FIN.
    pub async fn echo_and_fin(&mut self, id: u32, expected: &[u8]) -> Result<(), Stop> {
        self.echo(id, expected).await?;
        self.until(&format!("FIN on stream {id}"), |record| {
            let stream = record.stream(id);
            stream.fins > 0 || !stream.resets.is_empty()
        })
        .await?;
        let stream = self.record.stream(id);
        if stream.fins > 0 && stream.data == expected {
            Ok(())
        } else {
            Err(Stop::failed(format!("FIN on stream {id}"), stream.to_string()))
        }
    }

    /// Proves that the session is alive: a request on a new stream is answered. This also proves
    /// that the endpoint has handled everything that was sent before, so an answer that has not
    /// arrived by then does not come.
    pub async fn alive(&mut self) -> Result<(), Stop> {
        let id = self.request(b"alive?").await?;
        self.echo_and_fin(id, b"alive?").await.map_err(|stop| match stop {
            Stop::Failed { seen, .. } => {
                Stop::failed("the session to live: an echo on a new stream", seen)
            }
            skipped @ Stop::Skipped(_) => skipped,
        })
    }

    /// Waits until the endpoint has read everything sent so far, independent of its application.
    /// Then it waits a second time: so the endpoint's tasks have had a round trip of time to handle
    /// what was read.
    pub async fn received(&mut self) -> Result<(), Stop> {
        for _ in 0..2 {
            let (id, barrier) = self.barrier();
            self.send(barrier).await?;
            self.passed(id).await?;
        }
        Ok(())
    }

    /// DATA on a stream that never existed, which is answered below the application.
    fn barrier(&mut self) -> (u32, Vec<u8>) {
        let id = self.next_id + 40_000 + 2 * self.barriers;
        self.barriers += 1;
        (id, wire::data(0, id, b"?"))
    }

    /// Waits until the endpoint has answered a barrier.
    async fn passed(&mut self, id: u32) -> Result<(), Stop> {
        self.reset(id).await.map(drop)
    }

    /// Waits for an RST on a stream and returns its code.
    pub async fn reset(&mut self, id: u32) -> Result<u32, Stop> {
        self.until(&format!("RST on stream {id}"), |record| !record.stream(id).resets.is_empty())
            .await?;
        Ok(self.record.stream(id).resets[0])
    }

    /// Waits for an RST with this very code.
    pub async fn reset_with(&mut self, id: u32, code: u32) -> Result<(), Stop> {
        let wanted = format!("RST({code}) on stream {id}");
        let seen = self.reset(id).await.map_err(|stop| match stop {
            Stop::Failed { seen, .. } => Stop::failed(&wanted, seen),
            skipped @ Stop::Skipped(_) => skipped,
        })?;
        if seen == code { Ok(()) } else { Err(Stop::failed(wanted, format!("RST({seen})"))) }
    }

    /// Waits for a GOAWAY.
    pub async fn goaway(&mut self) -> Result<GoAway, Stop> {
        self.until("GOAWAY", |record| !record.goaways.is_empty()).await?;
        Ok(self.record.goaways[0].clone())
    }

    /// Waits for a GOAWAY with one of these codes and the end of the
    /// transport.
    pub async fn session_error(&mut self, codes: &[u32]) -> Result<GoAway, Stop> {
        let goaway = self.goaway().await?;
        if !codes.contains(&goaway.code) {
            return Err(Stop::failed(
                format!("GOAWAY with a code of {codes:?}"),
                goaway.to_string(),
            ));
        }
        self.over().await?;
        Ok(goaway)
    }

    /// Waits for the end of the transport.
    pub async fn over(&mut self) -> Result<End, Stop> {
        self.until("the end of the transport", |record| record.end.is_some()).await?;
        Ok(self.record.end.unwrap_or(End::Eof))
    }
}

/// Reads frames as long as there are any, so that the endpoint can always write while a case sends.
async fn read_frames(mut read: OwnedReadHalf, frames: mpsc::UnboundedSender<Incoming>) {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 64 * 1024];
    let end = loop {
        match read.read(&mut buffer).await {
            Ok(0) if decoder.partial() == 0 => break End::Eof,
            Ok(0) => break End::Truncated(decoder.partial()),
            Ok(n) => decoder.push(&buffer[..n]),
            Err(_) => break End::Reset,
        }
        while let Some(frame) = decoder.next_frame() {
            if frames.send(Incoming::Frame(frame)).is_err() {
                return;
            }
        }
    };
    let _ = frames.send(Incoming::End(end));
}

/// `len` bytes that depend on the stream and the position.
pub fn pattern(id: u32, len: usize) -> Vec<u8> {
    let mut state = id.wrapping_mul(0x9e37_79b9) | 1;
    let mut bytes = Vec::with_capacity(len + 4);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes.extend_from_slice(&state.to_be_bytes());
    }
    bytes.truncate(len);
    bytes
}
