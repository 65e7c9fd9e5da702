//! The task layer: two sessions with their drivers and the tasks that use them, over a transport in
//! memory.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use muxado_proto::task::{Driver, Endpoint, Session, Stream, Transport};
use muxado_proto::{Config, Role};

use crate::executor::{Alarm, Executor, Time, VirtualClock};

/// Bytes of a message.
const MESSAGE: usize = 64;
/// Requests at once.
const CROWD: u64 = 64;
/// Repetitions in one round, if an operation is short.
const SERIES: u64 = 16;
/// Bytes of a bulk write.
const BULK: usize = 1 << 20;
/// Bytes a transport holds each way.
const CAPACITY: usize = 256 << 10;

/// Runs a scenario of the task layer; `None` if there is none with this name. Returns the bytes
/// that the transport has carried, each copied in and out.
pub fn run(scenario: &str, rounds: u64) -> Option<u64> {
    let mut world = World::new();
    match scenario {
        "task-ping-pong" => world.ping_pong(rounds * SERIES),
        "task-request" => world.requests(1, rounds * SERIES),
        "task-request-64" => world.requests(CROWD, rounds),
        "task-bulk" => world.bulk(rounds),
        _ => return None,
    }
    world.executor.run();
    assert!(world.done.get(), "the scenario has come to its end");
    Some(world.carried.get())
}

struct World {
    executor: Executor,
    near: Session,
    far: Session,
    pace: Pace,
    carried: Rc<Cell<u64>>,
    /// The last client has finished.
    done: Rc<Cell<bool>>,
}

/// Lets time pass, so that timers take part.
#[derive(Clone)]
struct Pace {
    time: Time,
    alarms: Rc<[Alarm; 2]>,
}

impl Pace {
    fn pass(&self, by: Duration) {
        self.time.pass(by);
        self.alarms.iter().for_each(|alarm| alarm.check(&self.time));
    }
}

impl World {
    fn new() -> Self {
        let mut executor = Executor::default();
        let (time, carried) = (Time::default(), Rc::new(Cell::new(0)));
        let (there, back) = (Rc::<RefCell<Flow>>::default(), Rc::<RefCell<Flow>>::default());
        let config = Arc::new(Config::default());
        let mut side = |role, inward: &Rc<RefCell<Flow>>, outward: &Rc<RefCell<Flow>>| {
            let wire = Wire {
                inward: Rc::clone(inward),
                outward: Rc::clone(outward),
                carried: Rc::clone(&carried),
            };
            let (clock, alarm) = VirtualClock::new(time.clone());
            let config = Arc::clone(&config);
            let (session, driver): (_, Driver<_, _>) =
                Endpoint::new(wire, clock).config(config).start(role);
            executor.spawn(async {
                driver.await;
            });
            (session, alarm)
        };
        let (near, near_alarm) = side(Role::Client, &back, &there);
        let (far, far_alarm) = side(Role::Server, &there, &back);
        let pace = Pace { time, alarms: Rc::new([near_alarm, far_alarm]) };
        Self { executor, near, far, pace, carried, done: Rc::default() }
    }

    /// A message back and forth on one stream, repeatedly.
    fn ping_pong(&mut self, times: u64) {
        let far = self.far.clone();
        self.executor.spawn(async move {
            let mut stream = far.accept().await.expect("the session lives");
            let mut message = [0; MESSAGE];
            loop {
                read(&mut stream, &mut message).await;
                write(&mut stream, &message).await;
            }
        });
        let (near, pace, done) = (self.near.clone(), self.pace.clone(), Rc::clone(&self.done));
        self.executor.spawn(async move {
            let mut stream = near.open().await.expect("the session lives");
            let mut message = [7; MESSAGE];
            for _ in 0..times {
                write(&mut stream, &message).await;
                read(&mut stream, &mut message).await;
                pace.pass(Duration::from_micros(20));
            }
            done.set(true);
            std::future::pending::<()>().await;
        });
    }

    /// `clients` clients, each of which makes requests one after the other: opens a stream, sends a
    /// request, reads the answer to its end and drops the stream.
    fn requests(&mut self, clients: u64, times: u64) {
        let left = Rc::new(Cell::new(clients));
        for _ in 0..clients {
            let far = self.far.clone();
            self.executor.spawn(async move {
                let mut message = [0; MESSAGE];
                loop {
                    let mut stream = far.accept().await.expect("the session lives");
                    read(&mut stream, &mut message).await;
                    assert_eq!(stream.read_some(&mut [0]).await, Ok(0));
                    write(&mut stream, &message).await;
                }
            });
            let (near, pace, done) = (self.near.clone(), self.pace.clone(), Rc::clone(&self.done));
            let left = Rc::clone(&left);
            self.executor.spawn(async move {
                let mut message = [7; MESSAGE];
                for _ in 0..times {
                    let mut stream = near.open().await.expect("the session lives");
                    write(&mut stream, &message).await;
                    stream.finish().unwrap();
                    read(&mut stream, &mut message).await;
                    assert_eq!(stream.read_some(&mut [0]).await, Ok(0));
                    drop(stream);
                    pace.pass(Duration::from_micros(2));
                }
                left.set(left.get() - 1);
                done.set(left.get() == 0);
                std::future::pending::<()>().await;
            });
        }
    }

    /// Bulk data on one stream, answered with one byte.
    fn bulk(&mut self, times: u64) {
        let far = self.far.clone();
        self.executor.spawn(async move {
            let mut stream = far.accept().await.expect("the session lives");
            let mut buffer = vec![0; 64 << 10];
            loop {
                let mut left = BULK;
                while left > 0 {
                    let count = stream.read_some(&mut buffer).await.expect("the stream lives");
                    left = left.checked_sub(count).expect("no more than was written");
                }
                write(&mut stream, &[1]).await;
            }
        });
        let (near, pace, done) = (self.near.clone(), self.pace.clone(), Rc::clone(&self.done));
        self.executor.spawn(async move {
            let mut stream = near.open().await.expect("the session lives");
            let data = vec![7; BULK];
            for _ in 0..times {
                write(&mut stream, &data).await;
                read(&mut stream, &mut [0]).await;
                pace.pass(Duration::from_millis(1));
            }
            done.set(true);
            std::future::pending::<()>().await;
        });
    }
}

async fn read(stream: &mut Stream, mut into: &mut [u8]) {
    while !into.is_empty() {
        let count = stream.read_some(into).await.expect("the stream lives");
        assert_ne!(count, 0, "the stream goes on");
        into = &mut into[count..];
    }
}

async fn write(stream: &mut Stream, mut data: &[u8]) {
    while !data.is_empty() {
        let count = stream.write_some(data).await.expect("the stream lives");
        data = &data[count..];
    }
}

/// One direction of a transport.
#[derive(Default)]
struct Flow {
    bytes: Vec<u8>,
    /// How much of `bytes` has been read.
    start: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One end of a transport in memory.
struct Wire {
    inward: Rc<RefCell<Flow>>,
    outward: Rc<RefCell<Flow>>,
    carried: Rc<Cell<u64>>,
}

impl Transport for Wire {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut flow = self.inward.borrow_mut();
        let count = buf.len().min(flow.bytes.len() - flow.start);
        if count == 0 {
            flow.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buf[..count].copy_from_slice(&flow.bytes[flow.start..flow.start + count]);
        flow.start += count;
        if flow.start == flow.bytes.len() {
            flow.start = 0;
            flow.bytes.clear();
        }
        let writer = flow.writer.take();
        drop(flow);
        writer.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut flow = self.outward.borrow_mut();
        // Only the space after the bytes counts as room, so that each byte is copied once in and
        // once out.
        let room = CAPACITY - flow.bytes.len();
        if room == 0 {
            flow.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut count = 0;
        for buf in bufs {
            let part = &buf[..buf.len().min(room - count)];
            flow.bytes.extend_from_slice(part);
            count += part.len();
        }
        let reader = flow.reader.take();
        drop(flow);
        reader.into_iter().for_each(Waker::wake);
        self.carried.set(self.carried.get() + count as u64);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
