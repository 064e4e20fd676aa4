//! What object does a request name?
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer_core::path::{Kind, Object};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for path in
        [text.as_ref(), &format!("/api/v1/{text}"), &format!("/api/v1/namespaces/a/pods/{text}/proxy")]
    {
        let whole = Object::of_uri(path);
        if let Some(object) = &whole {
            let names = [Some(&object.name), object.namespace.as_ref(), object.port.as_ref()];
            for name in names.into_iter().flatten() {
                let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
                assert!((1..=253).contains(&name.len()) && name.bytes().all(plain), "{name}");
            }
            assert_eq!(object.namespace.is_none(), object.kind == Kind::Node);
            // What is asked of the object changes nothing about it.
            assert_eq!(Object::of_uri(&format!("{path}/x")), whole);
        }
    }
});
