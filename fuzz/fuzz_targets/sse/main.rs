//! Any bytes, in any pieces, are the events that the standard says, in memory that grows with them and no more.
//!
//! The first byte says how many bytes after it say where to cut; the rest is the stream.

#![no_main]

#[path = "../record/memory.rs"]
mod memory;
mod standard;

use libfuzzer_sys::fuzz_target;
use thryd::connections::SseParser;

/// The shortest event, `data` and two line ends, is an empty text in a list that doubles as it grows.
const BYTES_PER_BYTE: usize = 32;

/// What a parser takes that was given nothing.
const ROOM: usize = 1 << 10;

fuzz_target!(|data: &[u8]| {
    let Some((count, rest)) = data.split_first() else { return };
    let (places, stream) = rest.split_at(usize::from(count % 16).min(rest.len()));
    let expected = standard::events(stream);
    assert_eq!(parse([stream]), expected, "in one piece");
    assert_eq!(parse(stream.chunks(1)), expected, "byte by byte");
    let mut cuts: Vec<usize> = places.iter().map(|place| usize::from(*place) * (stream.len() + 1) / 256).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    assert_eq!(parse(cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]])), expected, "cut at {cuts:?}");
});

fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut taken = 0;
    let (events, peak) = memory::peak(|| {
        let (mut parser, mut events) = (SseParser::default(), Vec::new());
        for piece in pieces {
            taken += piece.len();
            parser.push(piece, &mut events).expect("it is shorter than an event may be");
        }
        events
    });
    assert!(peak <= BYTES_PER_BYTE * taken + ROOM, "{taken} bytes took {peak} bytes of memory");
    events
}
