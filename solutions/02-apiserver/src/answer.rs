//! What goes back: a status code, headers, and a body that is bytes or a stream of them.

use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WARNING};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use warp::Reply;

use crate::Object;
use crate::status::{Failure, PAGE};

/// Pieces of a body that is still being made.
pub type Pieces = BoxStream<'static, Result<Bytes, std::io::Error>>;

/// A body.
pub enum Body {
    /// All of it.
    Bytes(Bytes),
    /// Piece by piece.
    Stream(Pieces),
}

/// An answer.
pub struct Answer {
    /// The HTTP status code.
    pub code: StatusCode,
    /// Headers, `Content-Type` among them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Body,
}

impl Answer {
    /// JSON that is encoded already.
    pub fn json(code: u16, body: impl Into<Bytes>) -> Self {
        Self::bytes(code, "application/json", body)
    }

    /// An object, encoded now.
    pub fn object(code: u16, object: &Object) -> Self {
        Self::json(code, object.to_string())
    }

    /// Text for people.
    pub fn text(code: u16, body: impl Into<Bytes>) -> Self {
        Self::bytes(code, "text/plain; charset=utf-8", body)
    }

    /// Bytes of a media type.
    pub fn bytes(code: u16, media_type: &str, body: impl Into<Bytes>) -> Self {
        Self { code: status_code(code), headers: Vec::new(), body: Body::Bytes(body.into()) }
            .header(CONTENT_TYPE, media_type)
    }

    /// A stream of a media type.
    pub fn stream(media_type: &str, pieces: Pieces) -> Self {
        Self { code: StatusCode::OK, headers: Vec::new(), body: Body::Stream(pieces) }.header(CONTENT_TYPE, media_type)
    }

    /// Nothing but a code.
    pub fn empty(code: u16) -> Self {
        Self { code: status_code(code), headers: Vec::new(), body: Body::Bytes(Bytes::new()) }
    }

    /// With one more header. A value that can't be one is left out.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// With a `Warning` header for each of `warnings`, which `kubectl` prints.
    pub fn warn(self, warnings: &[String]) -> Self {
        warnings.iter().fold(self, |answer, warning| {
            let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"").replace(char::is_control, " ");
            answer.header(WARNING, &format!("299 - \"{quoted}\""))
        })
    }

    /// As warp sends it.
    pub fn into_response(self) -> warp::reply::Response {
        let mut response = match self.body {
            Body::Bytes(bytes) => Response::new(bytes).into_response(),
            Body::Stream(pieces) => warp::reply::stream(Shared(Mutex::new(pieces))).into_response(),
        };
        *response.status_mut() = self.code;
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        if failure.reason == PAGE {
            return Self::text(failure.code, failure.message);
        }
        let answer = Self::object(failure.code, &failure.body());
        match failure.retry_after {
            Some(seconds) => answer.header(RETRY_AFTER, &seconds.to_string()),
            None => answer,
        }
    }
}

fn status_code(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// warp wants its streams `Sync`. Nobody shares this one, so its lock is never taken.
struct Shared(Mutex<Pieces>);

impl Stream for Shared {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.0.get_mut() {
            Ok(pieces) => pieces.as_mut().poll_next(cx),
            Err(_) => Poll::Ready(None),
        }
    }
}
