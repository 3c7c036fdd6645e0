//! The controllers: from what is wanted to what is.
