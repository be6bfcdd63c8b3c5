//! OpenAI's HTTP API over routers, without a server: what a method and a path mean, what a body asks for, and what is
//! answered, as text. Whoever has a server, or a `fetch`, turns its requests into these and these into its answers.
//!
//! Nothing here fails: what cannot be answered is an answer in OpenAI's error shape ([`Refusal`]).

mod answer;
mod ask;
mod hidden;
mod place;
mod refusal;
mod respond;
mod response;
mod stream;

pub use place::{Door, Place, models, place};
pub use refusal::Refusal;
pub use respond::{Answering, Responding, respond};
pub use response::{Head, Response};
pub use stream::{Part, ResponseStream};
