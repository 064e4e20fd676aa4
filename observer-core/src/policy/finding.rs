//! What makes two findings the same.

use sha2::{Digest, Sha256};

use super::Rule;
use crate::path::Scope;

/// The id of a finding: the same for one rule, caller, object and scope, over connections and restarts; 128 bits in hex.
pub(crate) fn finding_id(rule: &Rule, caller: &str, object: &str, scope: Option<Scope>) -> String {
    let mut hash = Sha256::new();
    for part in [rule.id, caller, object] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.update([match scope {
        None => 0,
        Some(Scope::Loopback) => 1,
        Some(Scope::SameNamespace) => 2,
        Some(Scope::SameNode) => 3,
        Some(Scope::OtherNode) => 4,
        Some(Scope::PublicAddress) => 5,
    }]);
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::UNENCRYPTED_PROXY;
    use super::*;

    #[test]
    fn two_findings_are_the_same_only_if_all_is() {
        let id = |caller, object, scope| finding_id(&UNENCRYPTED_PROXY, caller, object, scope);
        let one = id("kube-apiserver", "pod default/web", None);
        assert_eq!(one, id("kube-apiserver", "pod default/web", None));
        assert_eq!(one.len(), 32);
        for other in [
            id("kube-apiserverp", "od default/web", None),
            id("kube-apiserver", "pod default/db", None),
            id("kube-apiserver", "pod default/web", Some(Scope::Loopback)),
        ] {
            assert_ne!(one, other);
        }
    }
}
