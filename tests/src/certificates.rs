//! An authority, a server's and a client's certificate, made anew for each test.

use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

/// The files, in a folder of the test. All keys are P-256.
#[derive(Clone, Debug)]
pub struct Certificates {
    folder: PathBuf,
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client.
    Client,
    /// The server.
    Server,
}

impl Certificates {
    /// Makes them in a folder that exists.
    #[must_use]
    pub fn make(folder: &Path) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "live authority");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
        for (name, names) in [
            ("server", vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()]),
            ("client", vec![]),
        ] {
            let key = KeyPair::generate().unwrap();
            let mut leaf = CertificateParams::new(names).unwrap();
            leaf.distinguished_name.push(DnType::CommonName, format!("live {name}"));
            let leaf = leaf.signed_by(&key, &authority).unwrap();
            std::fs::write(folder.join(format!("{name}.pem")), leaf.pem()).unwrap();
            std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Self { folder: folder.to_owned() }
    }

    /// The authority's certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A certificate.
    #[must_use]
    pub fn cert(&self, end: End) -> PathBuf {
        self.folder.join(if end == End::Client { "client.pem" } else { "server.pem" })
    }

    /// Its key.
    #[must_use]
    pub fn key(&self, end: End) -> PathBuf {
        self.folder.join(if end == End::Client { "client.key" } else { "server.key" })
    }

    /// Certificate and key as PKCS #12 with the password `password`.
    #[must_use]
    pub fn pkcs12(&self, end: End) -> PathBuf {
        let path = self.cert(end).with_extension("p12");
        if !path.exists() {
            let made = Command::new("openssl")
                .args(["pkcs12", "-export", "-passout", "pass:password", "-in"])
                .arg(self.cert(end))
                .arg("-inkey")
                .arg(self.key(end))
                .arg("-out")
                .arg(&path)
                .output()
                .unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        path
    }

    /// What peers are told of it.
    #[must_use]
    pub fn config(&self, end: End) -> Value {
        json!({ "CA": self.ca(), "Cert": self.cert(end), "Key": self.key(end) })
    }

    /// The authority, for rustls.
    #[must_use]
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.ca()).unwrap()).unwrap();
        roots
    }

    /// Certificate and key, for rustls.
    #[must_use]
    pub fn identity(&self, end: End) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (
            vec![CertificateDer::from_pem_file(self.cert(end)).unwrap()],
            PrivateKeyDer::from_pem_file(self.key(end)).unwrap(),
        )
    }
}
