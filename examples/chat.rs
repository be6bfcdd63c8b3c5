//! A completion from Rust, answered by the dummy provider: no network, no key.
//!
//! ```text
//! cargo run --no-default-features --example chat
//! ```

use thryd::kinds::{Completion, CompletionRequest};
use thryd::options::{DeployOptions, InvokeOptions, RouterOptions};
use thryd::provider::ProviderOptions;
use thryd::route::Router;

#[tokio::main]
async fn main() -> thryd::Result<()> {
    let router = Router::<Completion>::new(RouterOptions::default())?;
    router.add_provider(ProviderOptions::new("dummy"))?;
    router.deploy("default", "dummy::echo", DeployOptions::default())?;

    let request = CompletionRequest::message("Hi");
    let answer = router.invoke("default", request, InvokeOptions::default()).await?;
    println!("{} said: {}", answer.deployment, answer.content);
    Ok(())
}
