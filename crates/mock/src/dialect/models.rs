//! The list of models, and any one model: the mock answers to every model name.

use crate::answer::Answer;
use crate::dialect::anthropic;
use crate::json::{Raw, object};

/// The id in `…/models/{id}`; ids may contain slashes.
pub(crate) fn id(path: &str) -> Option<&str> {
    path.find("/models/")
        .map(|at| &path[at + "/models/".len()..])
        .filter(|id| !id.is_empty())
}

/// The answer to `GET …/models` and `GET …/models/{id}`.
pub(crate) fn answer(path: &str, ids: &[String], anthropic_shape: bool) -> Answer {
    match (id(path), anthropic_shape) {
        (Some(id), true) => Answer::json(200, anthropic::model_object(id).0),
        (Some(id), false) => Answer::json(200, openai_model(id).0),
        (None, true) => anthropic::models(ids),
        (None, false) => {
            let data: Vec<Raw> = ids.iter().map(|id| openai_model(id)).collect();
            Answer::json(200, object! { "object": "list", "data": data }.0)
        }
    }
}

fn openai_model(id: &str) -> Raw {
    object! { "id": id, "object": "model", "created": 1_735_689_600_u64, "owned_by": "mock" }
}
