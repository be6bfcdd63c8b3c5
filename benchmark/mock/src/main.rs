//! A server that costs as little as it can, in a process of its own: HTTP/1.1 over bare sockets on one thread, with answers
//! that are made beforehand. They come on the standard input ([`answers`]); when that ends, so does the server. Its port is
//! the first line that it prints.

mod answers;
mod pace;
mod request;

use std::io::{Read, stdin};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{LocalSet, spawn_local};

use answers::Answers;
use request::{Request, Wish};

/// Connections that wait to be accepted: thousands come in the same moment.
const BACKLOG: u32 = 8192;

/// What is read at once, at least.
const READ_BYTES: usize = 16 * 1024;

fn main() -> std::io::Result<()> {
    let answers = Rc::new(Answers::read(&mut stdin().lock())?);
    std::thread::spawn(|| {
        // Nothing more comes: it is the end of whoever started this.
        let _ = stdin().lock().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(([127, 0, 0, 1], 0).into())?;
        let listener = socket.listen(BACKLOG)?;
        println!("{}", listener.local_addr()?.port());
        accept(&listener, &answers).await
    })
}

async fn accept(listener: &TcpListener, answers: &Rc<Answers>) -> std::io::Result<()> {
    loop {
        // Out of files for a moment: those that are open go on.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        stream.set_nodelay(true)?;
        let answers = Rc::clone(answers);
        // Who goes away is no failure of the server.
        spawn_local(async move { drop(serve(stream, &answers).await) });
    }
}

/// Answers the requests of one connection, one after the other.
async fn serve(mut stream: TcpStream, answers: &Answers) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(READ_BYTES);
    let mut out = Vec::new();
    loop {
        while let Some(request) = Request::parse(&buffer) {
            if let Some(delay) = request.delay {
                tokio::time::sleep(delay).await;
            }
            match request.wish(answers) {
                Wish::Ready(bytes) => stream.write_all(bytes).await?,
                Wish::Numbered(number) => {
                    answers.numbered(number, &mut out);
                    stream.write_all(&out).await?;
                }
                Wish::Paced(every) => pace::stream(&mut stream, answers, every).await?,
            }
            let length = request.length;
            buffer.drain(..length);
        }
        buffer.reserve(request::missing(&buffer).max(READ_BYTES));
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}
