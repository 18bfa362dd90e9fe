//! The SQLite back end.
