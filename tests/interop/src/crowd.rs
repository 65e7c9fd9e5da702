//! Many streams that begin at the same moment, or wait for their answers at the same time.

use core::time::Duration;

use futures_util::future::join_all;

use super::drive::{echo, echo_rest, note, open, worker};
use super::endpoint::Endpoint;
use super::peer::Peer;
use super::serve::{At as _, Trouble, command, echo_and_finish, read_u32};

/// Writes to `--in-flight` streams at once, waits for all of them, and begins again until there were
/// `--streams` of them.
pub(super) async fn burst<E: Endpoint>(peer: &Peer<E>) {
    let indices: Vec<usize> = (0..peer.options.streams).collect();
    for burst in indices.chunks(peer.options.in_flight) {
        let streams = burst.iter().map(|&index| {
            let peer = peer.clone();
            worker::<E>(async move { note(&peer, index, echo(peer.clone(), index).await) })
        });
        join_all(streams).await;
    }
}

/// Asks for an answer that comes late.
pub(super) async fn late<E: Endpoint>(peer: Peer<E>, index: usize) -> Result<(), Trouble> {
    let mut stream = open(&peer, index).await?;
    let mut request = vec![command::LATE];
    request.extend(peer.options.delay.to_be_bytes());
    peer.io().write_all(&mut stream, &request).await.at("first write")?;
    echo_rest(&peer, stream, index, 0).await
}

/// Waits, then echoes.
pub(super) async fn answer_late<E: Endpoint>(
    peer: &Peer<E>,
    mut stream: E::Stream,
) -> Result<(), Trouble> {
    let delay = read_u32(&mut stream).await.at("late answer")?;
    E::sleep(Duration::from_millis(delay.into())).await;
    echo_and_finish(peer, stream).await
}
