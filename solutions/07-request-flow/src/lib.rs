//! The request flow: a small kubectl, and one request followed through everything.
