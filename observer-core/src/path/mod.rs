//! Which path of the control plane a connection is, from evidence; and the objects of the requests that it proxied.

mod object;

pub use object::{Kind, Object, Scheme};
