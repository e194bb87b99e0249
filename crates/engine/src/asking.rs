//! A streaming chat request that is made to ask for token counts: what is put into its body, what
//! its head then says, and what is left out of its answer.

use std::sync::Arc;

use api_key_lb_core::plan::Key;
use api_key_lb_core::wire::extra_chunk::ExtraChunk;
use api_key_lb_core::wire::include_usage::{Splice, is_refusal};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HeaderValue};
use http::{Request, StatusCode};

use crate::attempt::Call;
use crate::body::{Frames, RequestBody};
use crate::error::SendError;
use crate::gather::Gathered;
use crate::opening::{self, Opened};

impl Frames {
    /// Puts something in, copying nothing.
    fn put_in(&mut self, splice: Splice) {
        let mut data = Vec::with_capacity(self.data.len() + 2);
        // Bytes that still stand before it.
        let mut left = Some(splice.at);
        for frame in self.data.iter() {
            match left {
                Some(before) if before <= frame.len() => {
                    left = None;
                    let parts = [
                        frame.slice(..before),
                        Bytes::from_static(splice.text),
                        frame.slice(before..),
                    ];
                    data.extend(parts.into_iter().filter(|part| !part.is_empty()));
                }
                Some(before) => {
                    left = Some(before - frame.len());
                    data.push(frame.clone());
                }
                None => data.push(frame.clone()),
            }
        }
        self.bytes += splice.text.len() as u64;
        self.original = Some(std::mem::replace(&mut self.data, Arc::new(data)));
    }

    /// As it was.
    fn take_out(&mut self) {
        if let Some(original) = self.original.take() {
            self.bytes = original.iter().map(|frame| frame.len() as u64).sum();
            self.data = original;
        }
    }
}

impl Gathered {
    /// Puts something into the body that is sent, from now on. Not where trailers follow, which may
    /// hold its digest.
    pub(crate) fn put_in(&mut self, splice: Splice) {
        if let Self::Whole(frames) = self
            && frames.trailers.is_none()
        {
            frames.put_in(splice);
        }
    }

    const fn asks(&self) -> bool {
        matches!(self, Self::Whole(frames) if frames.original.is_some())
    }

    fn take_out(&mut self) {
        if let Self::Whole(frames) = self {
            frames.take_out();
        }
    }
}

impl Call<'_> {
    /// Sends the request with `key`, and reads its answer as far as judging takes. What the provider
    /// refuses for what was put in is sent to it once more as the client sent it.
    pub(crate) async fn ask(&self, key: &Key, body: &mut Gathered) -> Result<Opened, SendError> {
        let mut opened = self.open(key, body).await?;
        if body.asks() {
            if is_refused(&opened) {
                body.take_out();
                drop(opened);
                return self.open(key, body).await;
            }
            if opened.head.status == StatusCode::OK
                && let Some(extra) = ExtraChunk::new(&opened.head.headers)
            {
                opened.head.headers.remove(CONTENT_LENGTH);
                opened.body.without = Some(Box::new(extra));
            }
        }
        Ok(opened)
    }

    async fn open(&self, key: &Key, body: &mut Gathered) -> Result<Opened, SendError> {
        let (head, lease) = self.send(key, body).await?;
        Ok(opening::open(&self.method, head, lease).await)
    }
}

/// Whether the provider does not know what was put in. It has done nothing then. The whole text is
/// searched, because some name it only as `param` or `loc`.
fn is_refused(opened: &Opened) -> bool {
    // 422 is what servers that validate by a schema say.
    matches!(
        opened.head.status,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY
    ) && (is_refusal(opened.signals.message.as_bytes()) || {
        let parts: Vec<&[u8]> = opened.body.read_so_far().map(AsRef::as_ref).collect();
        is_refusal(&parts.concat())
    })
}

/// The head of a request into whose body something was put: another length, and an answer in which
/// an event can be left out.
pub(crate) fn reframe(request: &mut Request<RequestBody>) {
    if let RequestBody::Frames { frames, .. } = request.body()
        && frames.original.is_some()
    {
        let length = HeaderValue::from(frames.bytes);
        let headers = request.headers_mut();
        headers.insert(CONTENT_LENGTH, length);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
}
