//! The plan of the house, held up against its walls (`docs/design.md`, section 2).

use std::fs;
use std::path::{Path, PathBuf};

/// A source file: its path below `src`, with `/` on every platform, and its code without comments.
struct Source {
    path: String,
    lines: usize,
    code: String,
}

impl Source {
    /// The part of the house that it belongs to: `route/strategy`, or else the first folder, or the file's own name.
    fn part(&self) -> &str {
        if self.path.starts_with("route/strategy/") {
            return "route/strategy";
        }
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("src can be read") {
            let path = entry.expect("src can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(read(&root, path));
            }
        }
    }
    assert!(found.len() > 50, "these are not the sources: {}", found.len());
    found
}

fn read(root: &Path, path: PathBuf) -> Source {
    let text = fs::read_to_string(&path).expect("a source is text");
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let below = path.strip_prefix(root).expect("it is below src");
    Source {
        path: below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/"),
        lines: text.lines().count(),
        code: text.lines().filter(is_code).collect::<Vec<_>>().join("\n"),
    }
}

/// Whether the word stands in the code as a word of its own.
fn names(code: &str, word: &str) -> bool {
    let is_in_word = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + word.len()..]);
        !before.ends_with(is_in_word) && !after.starts_with(is_in_word)
    })
}

/// The first words of every `crate::` path, also those of `use crate::{a, b::c}`.
fn imports(code: &str) -> Vec<&str> {
    let is_end = |character: char| !(character.is_alphanumeric() || character == '_');
    let first = |path: &'_ str| path.split(is_end).next().unwrap_or_default().len();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let path = &code[at + "crate::".len()..];
        match path.strip_prefix('{') {
            None => found.push(&path[..first(path)]),
            Some(list) => {
                let mut depth = 1;
                let mut start = 0;
                for (place, character) in list.char_indices() {
                    match character {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        _ => {}
                    }
                    if (character == ',' && depth == 1) || depth == 0 {
                        let item = list[start..place].trim();
                        found.push(&item[..first(item)]);
                        start = place + 1;
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn the_tools_of_this_test_see() {
    assert!(names("use napi::bindgen;", "napi") && !names("snapi napis", "napi"));
    assert_eq!(imports("use crate::{a, b::{c, d}, e};\nuse crate::f::{g};\ncrate::h()"), ["a", "b", "e", "f", "h"]);
}

#[test]
fn nothing_outside_src_node_names_napi() {
    let outside: Vec<_> = sources().into_iter().filter(|source| source.part() != "node").collect();
    for source in &outside {
        for word in ["napi", "napi_derive", "napi_build", "napi_sys"] {
            assert!(!names(&source.code, word), "{} names {word}", source.path);
        }
        // Its module line, and whatever is only there with the feature, stand in lib.rs.
        let is_lib = source.path == "lib.rs";
        assert!(is_lib || !source.code.contains("feature = \"node\""), "{} asks for the feature", source.path);
        assert!(is_lib || !source.code.contains("crate::node"), "{} imports node", source.path);
    }
}

#[test]
fn each_heavy_dependency_has_one_home() {
    // A home that ends in `/` is a file and the folder of its name.
    let homes = [
        ("reqwest", "connections/client/"),
        ("hyper_util", "connections/proxies.rs"),
        ("redb", "cache/store/"),
        ("tiktoken_rs", "tokens.rs"),
        ("imagesize", "kinds/image.rs"),
        ("zstd", "compression.rs"),
        ("lz4_flex", "cache/record/version_1.rs"),
        ("chacha20poly1305", "cache/seal.rs"),
    ];
    for (dependency, home) in homes {
        // A file's own tests may have a file of their own below it.
        let file = home.strip_suffix('/').map_or(home.to_owned(), |name| format!("{name}.rs"));
        let folder = file.replace(".rs", "/");
        let named: Vec<_> = sources().into_iter().filter(|source| names(&source.code, dependency)).collect();
        for source in &named {
            let is_below = source.path.starts_with(&folder);
            let is_at_home = source.path == file || (is_below && (home == folder || source.path.ends_with("tests.rs")));
            assert!(is_at_home, "{} names {dependency}, which is {home}'s", source.path);
        }
        assert!(named.iter().any(|source| source.path == file), "{home} does not name {dependency}");
    }
}

// The folder and the crate have one name, so what is looked for is the crate's paths.
#[test]
fn only_its_own_folder_names_the_redis_crate() {
    let is_own = |code: &str, at: usize| code[..at].ends_with("::") || code[..at].ends_with("mod ");
    let named = |source: &Source| source.code.match_indices("redis::").any(|(at, _)| !is_own(&source.code, at));
    for source in sources().iter().filter(|source| source.part() != "redis") {
        assert!(!named(source), "{} names the crate redis, which is redis/'s", source.path);
    }
    assert!(sources().iter().any(|source| source.part() == "redis" && named(source)));
}

#[test]
fn no_file_is_longer_than_one_can_read() {
    for source in sources() {
        assert!(source.lines <= 400, "{} has {} lines", source.path, source.lines);
    }
}

#[test]
fn providers_open_no_socket() {
    let sockets = ["TcpStream", "TcpListener", "UdpSocket", "UnixStream", "HttpResponse", "Client"];
    for source in sources().iter().filter(|source| source.part() == "provider") {
        for word in sockets {
            assert!(!names(&source.code, word), "{} names {word}", source.path);
        }
        for path in ["tokio::net", "std::net", "hyper::", "rustls"] {
            assert!(!source.code.contains(path), "{} names {path}", source.path);
        }
    }
}

#[test]
fn strategies_see_numbers_and_nothing_else() {
    for source in sources().iter().filter(|source| source.part() == "route/strategy") {
        assert_eq!(imports(&source.code), Vec::<&str>::new(), "{}", source.path);
        for word in ["Deployment", "Tracker", "Provider", "Instant"] {
            assert!(!names(&source.code, word), "{} names {word}", source.path);
        }
    }
}

/// Whatever stands in one row may import the rows above it and its own; `fields` reads options, which `options` puts
/// together for everyone from `deployment` on, so that it knows what they are about.
const ORDER: [&[&str]; 8] = [
    &["error", "constants", "fields", "kinds", "sync", "compression"],
    &["tokens", "tracker", "health", "route/strategy"],
    &["provider", "connections", "redis", "cache"],
    &["options"],
    &["deployment"],
    &["route"],
    &["gateway"],
    &["node"],
];

/// `options` names two types of plain data of the route: `RetryOptions` and `Strategy`.
const EXCEPTIONS: [(&str, &str); 1] = [("options.rs", "route")];

#[test]
fn nobody_imports_what_is_to_the_right() {
    let row = |part: &str| ORDER.iter().position(|row| row.contains(&part));
    for source in sources().iter().filter(|source| source.path != "lib.rs") {
        let own = row(source.part()).unwrap_or_else(|| panic!("{} has no place in the plan", source.path));
        for import in imports(&source.code) {
            // Types at the root are re-exports of the leftmost row.
            let Some(other) = row(import) else { continue };
            let is_exception = EXCEPTIONS.contains(&(source.path.as_str(), import));
            assert!(other <= own || is_exception, "{} imports {import}", source.path);
        }
    }
}
