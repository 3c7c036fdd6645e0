//! gRPC probes: the health checking protocol, `grpc.health.v1.Health/Check`.
//!
//! One request, one answer, and two fields in all: small enough to be written out. Upstream:
//! `pkg/probe/grpc/grpc.go`.

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

/// `SERVING` in the answer's field `status`.
const SERVING: u8 = 1;

/// gRPC's code for a method that the server doesn't have.
const UNIMPLEMENTED: &str = "12";

/// Asks whether `service` (the whole server, if it is empty) is serving.
///
/// # Errors
/// In words, if it isn't, or doesn't answer.
pub async fn check(stream: TcpStream, authority: &str, service: &str) -> Result<(), String> {
    let words = |error: &dyn std::fmt::Display| format!("error: health rpc probe failed: {error}");
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| words(&error))?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = http::Request::post(format!("http://{authority}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.36")
        .body(Full::new(frame(service)))
        .map_err(|error| words(&error))?;
    let (head, body) = sender.send_request(request).await.map_err(|error| words(&error))?.into_parts();
    let body = body.collect().await.map_err(|error| words(&error))?;
    // An error without an answer comes in the head, everything else after the body.
    let trailers = body.trailers().cloned().unwrap_or_default();
    let code = trailers.get("grpc-status").or_else(|| head.headers.get("grpc-status"));
    let code = code.and_then(|code| code.to_str().ok()).unwrap_or("2").to_owned();
    verdict(&code, &body.to_bytes())
}

/// The request: a message with `service` as its first field, in a gRPC frame.
fn frame(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
            length >>= 7;
        }
        message.put_u8(u8::try_from(length).unwrap_or(0));
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(0));
    frame.put(message);
    frame.freeze()
}

/// What a status code and an answer (five bytes of frame, then field 1, a number) amount to.
fn verdict(code: &str, answer: &[u8]) -> Result<(), String> {
    match (code, answer.get(5..).unwrap_or_default()) {
        ("0", [0x08, SERVING, ..]) => Ok(()),
        ("0", [0x08, status, ..]) => {
            let name = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"].get(usize::from(*status));
            Err(format!("service unhealthy (responded with {:?})", name.unwrap_or(&"UNKNOWN")))
        }
        ("0", _) => Err("service unhealthy (responded with \"UNKNOWN\")".to_owned()),
        (UNIMPLEMENTED, _) => {
            Err("error: this server does not implement the grpc health protocol (grpc.health.v1.Health)".to_owned())
        }
        (code, _) => Err(format!("error: health rpc probe failed: grpc status {code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_as_protobuf_writes_them() {
        assert_eq!(frame("").as_ref(), [0, 0, 0, 0, 0]);
        assert_eq!(frame("ab").as_ref(), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(frame(&"x".repeat(200))[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 0x01]);
    }

    #[test]
    fn only_serving_is_well() {
        assert_eq!(verdict("0", &[0, 0, 0, 0, 2, 8, 1]), Ok(()));
        assert!(verdict("0", &[0, 0, 0, 0, 2, 8, 2]).unwrap_err().contains("NOT_SERVING"));
        assert!(verdict("0", &[0, 0, 0, 0, 0]).unwrap_err().contains("UNKNOWN"));
        assert!(verdict("12", &[]).unwrap_err().contains("does not implement"));
        assert!(verdict("14", &[]).unwrap_err().contains("14"));
    }
}
