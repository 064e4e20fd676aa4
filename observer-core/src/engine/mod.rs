//! From what a source saw to reports: owns the faces, runs flow and conversation, decides when a verdict stands.

mod facts;
mod input;
mod report;

pub use facts::{Facts, Orientation};
pub use input::{Closed, Copied, Ending, FaceKey, Input, LossPlace, Lost, Opened, Origin, Role, Tuple};
pub use report::Report;
