//! Server-sent events as the HTML standard writes them, section 9.2.6, step by step and without a thought for speed.

/// The data of every event that a stream dispatches.
pub fn events(stream: &[u8]) -> Vec<String> {
    // "Streams must be decoded using the UTF-8 decode algorithm", which also strips one byte order mark.
    let text = String::from_utf8_lossy(stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream)).into_owned();
    let mut events = Vec::new();
    let mut data_buffer = String::new();
    for line in lines(&text) {
        match line.find(':') {
            _ if line.is_empty() => dispatch(&mut data_buffer, &mut events),
            Some(0) => {}
            Some(colon) => {
                let value = &line[colon + 1..];
                process_field(&line[..colon], value.strip_prefix(' ').unwrap_or(value), &mut data_buffer);
            }
            None => process_field(&line, "", &mut data_buffer),
        }
    }
    // "Once the end of the file is reached, any pending data must be discarded."
    events
}

/// The lines that have an end: CRLF, LF or CR.
fn lines(text: &str) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\r' => {
                letters.next_if_eq(&'\n');
                lines.push(std::mem::take(&mut line));
            }
            '\n' => lines.push(std::mem::take(&mut line)),
            _ => line.push(letter),
        }
    }
    lines
}

fn process_field(name: &str, value: &str, data_buffer: &mut String) {
    // "Field names must be compared literally, with no case folding performed."
    if name == "data" {
        data_buffer.push_str(value);
        data_buffer.push('\n');
    }
}

fn dispatch(data_buffer: &mut String, events: &mut Vec<String>) {
    // "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty string and return."
    if data_buffer.is_empty() {
        return;
    }
    // "If the data buffer's last character is a U+000A LINE FEED (LF) character, then remove the last character."
    if data_buffer.ends_with('\n') {
        data_buffer.pop();
    }
    events.push(std::mem::take(data_buffer));
}
