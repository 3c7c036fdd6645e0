//! The way of every request: parse → authenticate → authorize → handle → present.
//!
//! What a handler does inside is the same for every resource, too: decode → default → mutate →
//! validate → admit → store. What differs stands in the resource's row. Upstream:
//! `k8s.io/apiserver/pkg/server/config.go`, `DefaultBuildHandlerChain`.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
use kubesmith_common::serve::Peer;
use warp::Filter;
use warp::reply::Response;

use crate::answer::Answer;
use crate::authenticate::{User, authenticate, impersonate};
use crate::authorize::authorize;
use crate::negotiation::{Accepted, negotiate_objects};
use crate::query::{self, Query};
use crate::request::{self, RequestInfo};
use crate::resources::{Resource, SchemaSource};
use crate::server::Server;
use crate::status::Failure;
use crate::warning::Warnings;
use crate::{create, delete, list, patch, protobuf, reviews, root, subresources, update, watch};

/// How large a body may be (upstream: `MaxRequestBodyBytes`).
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// So much of a body that is too large is read and thrown away, so that its sender sees the answer.
const DISCARDED: usize = 8 * BODY_LIMIT;

/// A request about a resource, on its way.
pub struct Call {
    /// The server.
    pub server: Arc<Server>,
    /// What is asked for.
    pub info: RequestInfo,
    /// The method.
    pub method: Method,
    /// The parameters.
    pub query: Query,
    /// The parameters as they came.
    pub raw_query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// Who asks.
    pub user: User,
    /// In which form the answer should be.
    pub accept: Accepted,
    /// The row of the resource.
    pub resource: Arc<Resource>,
    /// The body.
    pub body: Bytes,
    warnings: Mutex<Warnings>,
}

impl Call {
    /// The object's key in the store, below the resource's prefix: `namespace/name`, or `name`.
    pub fn key_of(&self, name: &str) -> String {
        if self.resource.namespaced { format!("{}/{name}", self.info.namespace) } else { name.to_owned() }
    }

    /// A header, if it is text.
    pub fn header(&self, name: http::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body's media type, without parameters.
    pub fn media_type(&self) -> &str {
        self.header(CONTENT_TYPE).split(';').next().unwrap_or_default().trim()
    }

    /// The client's program.
    pub fn user_agent(&self) -> &str {
        self.header(USER_AGENT)
    }

    /// Tells the client something in a `Warning` header.
    pub fn warn(&self, warning: impl Into<String>) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).add(warning.into());
    }

    /// A request that the server makes to itself, as `system:apiserver`: all of the pipeline applies.
    pub fn internal(server: &Arc<Server>, resource: &Arc<Resource>, verb: &str, namespace: &str, name: &str) -> Self {
        let info = RequestInfo {
            is_resource: true,
            verb: verb.to_owned(),
            group: resource.gvk.group.to_string(),
            version: resource.gvk.version.to_string(),
            namespace: namespace.to_owned(),
            resource: resource.plural.to_string(),
            name: name.to_owned(),
            ..RequestInfo::default()
        };
        let user = User { name: "system:apiserver".to_owned(), groups: vec!["system:masters".to_owned()] };
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, http::HeaderValue::from_static("kube-apiserver"));
        Self {
            server: server.clone(),
            info,
            method: Method::POST,
            query: Query::default(),
            raw_query: String::new(),
            headers,
            user,
            accept: Accepted::default(),
            resource: resource.clone(),
            body: Bytes::new(),
            warnings: Mutex::default(),
        }
    }

    /// The same request, about another object.
    pub fn about(&self, info: RequestInfo) -> Self {
        Self {
            server: self.server.clone(),
            info,
            method: self.method.clone(),
            query: self.query.clone(),
            raw_query: self.raw_query.clone(),
            headers: self.headers.clone(),
            user: self.user.clone(),
            accept: self.accept.clone(),
            resource: self.resource.clone(),
            body: self.body.clone(),
            warnings: Mutex::default(),
        }
    }

    /// 404 for the object that is asked for.
    pub fn not_found(&self) -> Failure {
        Failure::not_found(&self.resource.gvk.group, &self.resource.plural, &self.info.name)
    }

    /// 409 for the object that is asked for.
    pub fn conflict(&self, why: &str) -> Failure {
        Failure::conflict(&self.resource.gvk.group, &self.resource.plural, &self.info.name, why)
    }
}

/// All of the server as a warp filter: one for every path, since the table of resources can change.
pub fn routes(
    server: Arc<Server>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    let raw_query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::any()
        .map(move || server.clone())
        .and(warp::method())
        .and(warp::path::full())
        .and(raw_query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Peer>())
        .and(warp::body::stream())
        .then(
            async |server, method, path: warp::path::FullPath, raw_query: String, headers, peer: Option<Peer>, body| {
                let head = Head { method, path: query::decode(path.as_str()), raw_query, headers, peer };
                let head_only = head.method == Method::HEAD;
                let answer = handle(server, head, body).await.unwrap_or_else(Answer::from);
                let mut response = answer.into_response();
                if head_only {
                    *response.body_mut() = Default::default();
                }
                response
            },
        )
        // A request whose body was taken already: there is none.
        .recover(async |_| Ok::<_, Infallible>(Answer::from(Failure::internal("no body")).into_response()))
        .unify()
}

struct Head {
    method: Method,
    path: String,
    raw_query: String,
    headers: HeaderMap,
    peer: Option<Peer>,
}

async fn handle<S, B>(server: Arc<Server>, head: Head, body: S) -> Result<Answer, Failure>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf,
{
    let query = Query::parse(&head.raw_query);
    let info = request::parse(head.method.as_str(), &head.path, &query);
    let user = authenticate(head.peer.as_ref(), &head.headers, &server.tokens)?;
    let user = impersonate(user, &head.headers)?;
    authorize(&user, &info)?;
    let accepted = head.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if !info.is_resource {
        return root::answer(&server, &info, &query, &head.headers).await;
    }
    let resource = find(&server, &info)?;
    let many = matches!(info.verb.as_str(), "list" | "watch");
    let accept = negotiate_objects(accepted.unwrap_or_default(), many)?;
    let body = if matches!(head.method, Method::GET | Method::HEAD) { Bytes::new() } else { read_body(body).await? };
    let Head { method, mut headers, raw_query, .. } = head;
    let body = from_protobuf(&resource, &mut headers, body)?;
    let warnings = Mutex::default();
    let call = Call { server, info, method, query, raw_query, headers, user, accept, resource, body, warnings };
    if let Some(warning) = &call.resource.deprecation {
        call.warn(warning.as_ref());
    }
    let answer = Box::pin(dispatch(&call)).await;
    let warnings = call.warnings.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(answer.unwrap_or_else(Answer::from).warn(&warnings.into_lines()))
}

/// A body of protobuf as JSON: from here on nobody sees the difference.
fn from_protobuf(resource: &Resource, headers: &mut HeaderMap, body: Bytes) -> Result<Bytes, Failure> {
    let protobuf = headers.get(CONTENT_TYPE).is_some_and(|value| value == protobuf::MEDIA_TYPE);
    if !protobuf || body.is_empty() || matches!(resource.schema, SchemaSource::Given(_)) {
        return Ok(body);
    }
    let object = protobuf::to_json(&body).map_err(|error| Failure::bad_request(error.to_string()))?;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(object.to_string().into())
}

/// The row that a request is about.
fn find(server: &Server, info: &RequestInfo) -> Result<Arc<Resource>, Failure> {
    let resources = server.resources();
    let row = resources.find(&info.group, &info.version, &info.resource);
    match row {
        Some(row) if fits(row, info) => Ok(row.clone()),
        _ if !resources.iter().any(|row| row.gvk.group == info.group) => Err(Failure::no_page()),
        _ => Err(Failure::no_such_path()),
    }
}

/// Whether a path makes sense for a resource: namespaced or not, and not too long.
fn fits(row: &Resource, info: &RequestInfo) -> bool {
    let scope = row.namespaced || info.namespace.is_empty() || info.resource == "namespaces";
    let named = !row.namespaced || info.name.is_empty() || !info.namespace.is_empty();
    let part = info.subresource.is_empty() || row.has(&info.subresource);
    let length = info.parts <= 3 || info.subresource == "proxy";
    scope && named && part && length
}

async fn read_body<S, B>(body: S) -> Result<Bytes, Failure>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf,
{
    let mut body = std::pin::pin!(body);
    let (mut whole, mut read) = (BytesMut::new(), 0);
    while let Some(piece) = body.next().await {
        let mut piece = piece.map_err(|error| Failure::bad_request(format!("cannot read the body: {error}")))?;
        read += piece.remaining();
        if read > BODY_LIMIT {
            // Not all clients look at an answer before they have sent everything: a little more is read.
            whole = BytesMut::new();
            if read > DISCARDED {
                break;
            }
            continue;
        }
        while piece.has_remaining() {
            let chunk = piece.chunk().len();
            whole.extend_from_slice(&piece.copy_to_bytes(chunk));
        }
    }
    if read > BODY_LIMIT {
        let why = format!("Request entity too large: limit is {BODY_LIMIT}");
        return Err(Failure::new(413, "RequestEntityTooLarge", why));
    }
    Ok(whole.freeze())
}

async fn dispatch(call: &Call) -> Result<Answer, Failure> {
    let info = &call.info;
    if let Some(subresource) = call.resource.subresource(&info.subresource) {
        if !subresource.verbs.iter().any(|verb| *verb == info.verb) {
            return Err(Failure::method_not_allowed());
        }
        return subresources::handle(call).await;
    }
    // One is created where all are, and changed where it is; across all namespaces one can only look.
    let nowhere = call.resource.namespaced && info.namespace.is_empty();
    let misplaced = match info.verb.as_str() {
        "create" => !info.name.is_empty() || nowhere,
        "deletecollection" => nowhere,
        "update" | "patch" => info.name.is_empty(),
        // The old way to watch is in the path, whatever the method.
        "watch" => !matches!(call.method, Method::GET | Method::HEAD),
        _ => false,
    };
    if misplaced || !call.resource.allows(&info.verb) {
        return Err(Failure::method_not_allowed());
    }
    if !call.resource.is_stored() {
        return if info.verb == "create" { reviews::create(call).await } else { Err(subresources::not_served(call)) };
    }
    match info.verb.as_str() {
        "get" => list::get(call).await,
        "list" => list::list(call).await,
        "watch" => watch::watch(call).await,
        "create" => create::create(call).await,
        "update" => update::update(call).await,
        "patch" => patch::patch(call).await,
        "delete" => delete::delete(call).await,
        "deletecollection" => delete::collection(call).await,
        _ => Err(Failure::method_not_allowed()),
    }
}
