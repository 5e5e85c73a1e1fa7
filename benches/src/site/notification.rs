//! Client notification over TCP: a line is answered with a line, and the server may say something first.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::broadcast::error::RecvError;

use super::connection::secure;
use super::life::Phase;
use super::link::Link;
use super::shared::Shared;
use super::wire::Wire;

const MAX_LINE: usize = 4096;

/// Serves one client until it goes or the server does. `Ping` is answered `Pong NAME Ping`.
pub(crate) async fn serve(shared: Arc<Shared>, link: Arc<Link>, stream: TcpStream) {
    let wire = Wire::new(stream, Arc::clone(&link), Arc::clone(&shared));
    match &shared.terminators.notification {
        None => converse(&shared, &link, wire).await,
        Some(terminator) => {
            if let Some(stream) = secure(&shared, &link, terminator, wire).await {
                converse(&shared, &link, stream).await;
            }
        }
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(shared: &Shared, link: &Link, mut stream: S) {
    let mut phase = link.life.watch();
    let mut pushes = shared.pushes.subscribe();
    // Most clients say a few bytes every few minutes: a buffer is held only while a line is unfinished.
    let mut line = Vec::new();
    loop {
        if *phase.borrow_and_update() != Phase::Running {
            return;
        }
        let said = tokio::select! {
            biased;
            _ = phase.changed() => continue,
            push = pushes.recv() => match push {
                Ok(push) => push,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            },
            heard = hear(&mut stream, &mut line, shared) => match heard {
                Some(answer) => answer,
                None => return,
            },
        };
        // What is written to a secured stream may wait there to be flushed.
        if stream.write_all(&said).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

async fn hear<S: AsyncRead + Unpin>(stream: &mut S, line: &mut Vec<u8>, shared: &Shared) -> Option<Bytes> {
    let mut buffer = [0; 512];
    let heard = read(stream, &mut buffer).await?;
    let mut answer = Vec::new();
    for byte in heard {
        line.push(*byte);
        if *byte == b'\n' || line.len() == MAX_LINE {
            answer.extend_from_slice(b"Pong ");
            answer.extend_from_slice(shared.spec.name.as_bytes());
            answer.push(b' ');
            answer.append(line);
        }
    }
    if line.is_empty() {
        *line = Vec::new();
    }
    Some(answer.into())
}

async fn read<'a, S: AsyncRead + Unpin>(stream: &mut S, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    match stream.read(buffer).await {
        Ok(0) | Err(_) => None,
        Ok(len) => Some(&buffer[..len]),
    }
}
