//! Where the answer to a question is kept. What has to be known for that is asked once, for all who want to know.

use std::sync::Arc;

use futures_util::future::join;

use super::Remote;
use super::bound::Steps;
use crate::cache::{Key, Namespace};
use crate::redis::{Fault, Found};

/// The keys of one question.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub answer: String,
    pub lease: String,
    /// Whether the generation was begun since it was last told what was cleared.
    pub is_news: bool,
}

impl Remote {
    /// Where the answer to a question is kept, and its lease: of one slot.
    pub(super) async fn place(self: &Arc<Self>, key: &Key, namespace: Namespace) -> Result<Place, Fault> {
        self.begin().await?;
        if let Some(generation) = self.generations.known(namespace) {
            return Ok(self.place_in(&generation, key, false));
        }
        let remote = Arc::clone(self);
        let ask = async move { remote.generations.ask(&*remote.values()?, namespace).await };
        let (generation, is_news) = self.asking.answer(namespace, ask).await?;
        Ok(self.place_in(&self.generations.named(namespace, generation), key, is_news))
    }

    /// The same for whoever looks there, and what is there, if that is known by then.
    pub(super) async fn place_and_look(
        self: &Arc<Self>,
        key: &Key,
        namespace: Namespace,
        steps: &Steps,
    ) -> Result<(Place, Option<Found>), Fault> {
        match self.generations.known(namespace) {
            Some(generation) => Ok((self.place_in(&generation, key, false), None)),
            // Boxed, as calls that know it are to take no more room for it.
            None => Box::pin(self.find_and_look(key, namespace, steps)).await,
        }
    }

    /// As most namespaces were never cleared, the answer is asked for together with the generation, and once more if it is another.
    async fn find_and_look(
        self: &Arc<Self>,
        key: &Key,
        namespace: Namespace,
        steps: &Steps,
    ) -> Result<(Place, Option<Found>), Fault> {
        if !self.generations.is_begun() {
            // Which may take a connection, and more than one answer.
            steps.next();
            self.begin().await?;
        }
        let (values, likely) = (self.values()?, self.place_in(&self.generations.named(namespace, 0), key, false));
        let (place, found) = join(self.place(key, namespace), values.get(&likely.answer)).await;
        let place = place?;
        steps.next();
        let found = if place.answer == likely.answer { Some(found?) } else { None };
        Ok((place, found))
    }

    fn place_in(&self, generation: &str, key: &Key, is_news: bool) -> Place {
        let place = blake3::Hash::from_bytes(self.codec.place(key).0).to_hex();
        let answer = format!("{generation}:{{{place}}}");
        Place { lease: format!("{answer}:lease"), answer, is_news }
    }

    /// Asks at first, unless that was done, what was cleared lately.
    pub(super) async fn begin(self: &Arc<Self>) -> Result<(), Fault> {
        if self.generations.is_begun() {
            return Ok(());
        }
        let remote = Arc::clone(self);
        let look = async move { if remote.generations.is_begun() { Ok(()) } else { remote.look().await } };
        self.beginning.answer((), look).await
    }
}
