//! A stream that is sent piece by piece, each with the time at which it goes out.

use std::io::{Result, Write};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::answers::Answers;

/// The first piece comes when the head is long gone.
const FIRST: Duration = Duration::from_millis(5);

/// Sends all pieces, `every` so often.
pub async fn stream(socket: &mut TcpStream, answers: &Answers, every: Duration) -> Result<()> {
    socket.write_all(&answers.head).await?;
    let mut next = Instant::now() + FIRST;
    let (mut text, mut out) = (Vec::new(), Vec::new());
    for _ in 0..answers.chunks {
        sleep_until(next).await;
        // From the beginning, so that a late timer delays one piece and not all that follow.
        next += every;
        text.clear();
        text.extend_from_slice(&answers.before);
        write!(text, " {}", now())?;
        text.extend_from_slice(&answers.after);
        chunked(&text, &mut out)?;
        socket.write_all(&out).await?;
    }
    sleep_until(next).await;
    chunked(&answers.end, &mut out)?;
    out.extend_from_slice(b"0\r\n\r\n");
    socket.write_all(&out).await
}

fn chunked(body: &[u8], out: &mut Vec<u8>) -> Result<()> {
    out.clear();
    write!(out, "{:x}\r\n", body.len())?;
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Now, in microseconds, on the one clock that all processes of the machine share.
fn now() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}
