//! From what a source saw to reports: owns the faces, runs flow and conversation, decides when a verdict stands.

mod certificates;
mod closing;
mod face;
mod facts;
mod fingerprints;
mod hellos;
mod input;
mod limits;
mod report;
mod run;
mod tls_facts;

pub(crate) use facts::without_port;
pub use facts::{Facts, HttpFacts, Orientation};
pub use input::{Closed, Copied, Ending, FaceKey, Input, LossPlace, Lost, Opened, Origin, Role, Tuple};
pub use limits::Limits;
pub use report::Report;
pub use run::Engine;
