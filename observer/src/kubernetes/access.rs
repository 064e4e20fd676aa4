//! How the Kubernetes API is reached.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use kube::client::{AuthError, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::gate::Gate;

/// How long a connection may be silent. A watch is told something at least as often (bookmarks and the end of its own time).
const PATIENCE: Duration = Duration::from_secs(300);
const CONNECT: Duration = Duration::from_secs(5);

/// Where the credentials are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// The API is not asked.
    #[default]
    Off,
    /// A kubeconfig.
    Kubeconfig(PathBuf),
    /// The service account of the pod that the observer runs in.
    ServiceAccount,
}

impl Access {
    /// The service account, where there is one.
    #[must_use]
    pub fn found() -> Self {
        let token = std::path::Path::new("/var/run/secrets/kubernetes.io/serviceaccount/token");
        if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() && token.exists() {
            Self::ServiceAccount
        } else {
            Self::Off
        }
    }

    /// A client whose requests all pass `gate`. Runs the program that the kubeconfig names for its credentials, if it does.
    ///
    /// # Errors
    /// In words, with the file and never with what is in it: it cannot be read, or is not of the form.
    pub(super) async fn client(&self, gate: &Gate) -> Result<Client, String> {
        let (mut config, of) = match self {
            Self::Off => return Err("the Kubernetes API is not to be asked".into()),
            Self::ServiceAccount => {
                let config = Config::incluster()
                    .map_err(|error| format!("the service account cannot be used: {error}"))?;
                (config, "the service account".to_owned())
            }
            Self::Kubeconfig(path) => {
                let of = format!("--kubeconfig {}", path.display());
                let fail = |error: &KubeconfigError| format!("{of}: {}", wrong(error));
                let file = Kubeconfig::read_from(path).map_err(|error| fail(&error))?;
                let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                    .await
                    .map_err(|error| fail(&error))?;
                (config, of)
            }
        };
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(PATIENCE);
        config.write_timeout = Some(CONNECT);
        // It would ask again up to fifteen times, and nobody would count them.
        config.default_retry = false;
        // The crates take for granted that it is one.
        let user = serde_json::to_value(&config.auth_info).unwrap_or_default();
        if user["token"].as_str().is_some_and(|token| HeaderValue::from_str(token).is_err()) {
            return Err(format!(
                "{of}: its token cannot be sent: it holds line ends or other control characters"
            ));
        }
        ClientBuilder::try_from(config)
            .map(|builder| builder.with_layer(gate).build())
            .map_err(|error| format!("{of}: {}", unusable(&error)))
    }
}

/// What is wrong with a kubeconfig. The crate's own words would hold lines of the file, with the secrets in them.
fn wrong(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(error, _) => error.to_string(),
        KubeconfigError::Parse(error) => match error.location() {
            Some(at) => format!("not a kubeconfig: line {}, column {}", at.line(), at.column()),
            None => "not a kubeconfig".into(),
        },
        KubeconfigError::CurrentContextNotSet => "it has no current context".into(),
        KubeconfigError::LoadContext(_) => "it does not have the context that it calls current".into(),
        KubeconfigError::LoadClusterOfContext(_) => "it does not have the cluster of its context".into(),
        KubeconfigError::MissingClusterUrl | KubeconfigError::ParseClusterUrl(_) => {
            "its cluster has no usable server".into()
        }
        KubeconfigError::ParseProxyUrl(_) => "its proxy-url is not one".into(),
        KubeconfigError::LoadCertificateAuthority(_) | KubeconfigError::ParseCertificates(_) => {
            "its certificate authority cannot be read".into()
        }
        KubeconfigError::LoadClientCertificate(_) => "its client certificate cannot be read".into(),
        KubeconfigError::LoadClientKey(_) => "its client key cannot be read".into(),
        _ => "it cannot be used".into(),
    }
}

/// Why there can be no client. The crate's own words would hold the command that gives credentials, with its environment, and
/// what that said.
fn unusable(error: &kube::Error) -> String {
    match error {
        kube::Error::Auth(AuthError::AuthExecStart(error)) => {
            format!("the program for its credentials cannot be run: {error}")
        }
        kube::Error::Auth(AuthError::AuthExecRun { out, .. }) => {
            format!("the program for its credentials failed: {}", out.status)
        }
        kube::Error::Auth(AuthError::ReadTokenFile(error, _)) => {
            format!("the file of its token cannot be read: {error}")
        }
        kube::Error::Auth(_) => "its credentials cannot be used".into(),
        kube::Error::RustlsTls(_) => "its certificates or its key cannot be used".into(),
        kube::Error::ProxyProtocolUnsupported { .. } | kube::Error::ProxyProtocolDisabled { .. } => {
            "its proxy-url is of a kind that is not supported".into()
        }
        _ => "no client can be made of it".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use std::sync::Arc;

    use k8s_openapi::api::core::v1::Pod;
    use kube::Api;
    use observer_core::event::Refusal;

    use super::super::counts::refusal;
    use super::super::gate::MOST;
    use super::*;

    const SECRET: &str = "p1anted";

    /// What is said of a kubeconfig that cannot be used.
    fn said_of(text: &str) -> String {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (access, gate) = (Access::Kubeconfig(file.path().into()), Gate::new(Arc::default()));
        let said =
            runtime.block_on(access.client(&gate)).err().unwrap_or_else(|| panic!("it was taken: {text}"));
        assert!(said.contains(&file.path().display().to_string()), "{said}");
        said
    }

    fn kubeconfig(server: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers:\n- name: u\n  user: {user}\n"
        )
    }

    #[test]
    fn what_is_said_of_a_wrong_kubeconfig_holds_none_of_its_secrets() {
        let server = "https://10.0.0.1:6443";
        let exec = |command: &str, args: &str| {
            format!(
                "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: {command}, args: [{args}], \
                 interactiveMode: Never, env: [{{name: SECRET, value: {SECRET}-environment}}]}}}}"
            )
        };
        let key = "-----BEGIN PRIVATE KEY-----\np1anted-key\n-----END PRIVATE KEY-----";
        for text in [
            // Of the wrong kind, in the wrong place, cut, and not YAML at all.
            kubeconfig(server, &format!("{{token: [{SECRET}-token]}}")),
            kubeconfig(server, &format!("{{password: {{{SECRET}-password: x}}}}")),
            kubeconfig(server, &format!("{{client-key-data: [{SECRET}], token: {SECRET}")),
            kubeconfig(server, &format!("[{SECRET}-user]")),
            format!("users: [{{name: u, user: {{token: {SECRET}-token\n"),
            format!("token={SECRET}"),
            format!("token: \"{SECRET}\u{7}"),
            // Data that is none.
            kubeconfig(
                server,
                &format!("{{client-certificate-data: {SECRET}%, client-key-data: {SECRET}%}}"),
            ),
            kubeconfig(server, "{client-certificate-data: cDFhbnRlZA==, client-key-data: cDFhbnRlZC1rZXk=}"),
            kubeconfig(server, &format!("{{client-certificate: /dev/null, client-key-data: '{key}'}}")),
            kubeconfig(server, &format!("{{token: \"{SECRET}\\n-token\"}}")),
            // Programs that fail, with the secret in their words, arguments and environment.
            kubeconfig(
                server,
                &exec("sh", &format!("-c, 'echo {SECRET}-out; echo {SECRET}-err >&2; exit 3'")),
            ),
            kubeconfig(server, &exec("/nonexistent", &format!("--token={SECRET}"))),
            kubeconfig(server, &exec("echo", &format!("'{{{SECRET}: ['"))),
            // Addresses with credentials.
            kubeconfig(&format!("https://u:{SECRET}@["), "{}"),
        ] {
            let said = said_of(&text);
            assert!(!said.contains(SECRET), "{said}");
            assert!(!said.contains("cDFhbnRlZ"), "{said}");
            println!("{said}");
        }
    }

    #[test]
    fn an_answer_without_end_is_refused() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let sender = std::thread::spawn(move || {
            let mut stream = server.accept().unwrap().0;
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"items\":[")
                .unwrap();
            let mut sent = 0;
            // Until the client has had enough.
            while stream.write_all(&[b' '; 1 << 16]).is_ok() && sent < 16 * MOST {
                sent += 1 << 16;
            }
            sent
        });
        let file = std::env::temp_dir().join(format!("observer-endless-{}.yaml", std::process::id()));
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{port}'}}}}], \
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}], users: [{{name: u, user: {{}}}}]}}"
        );
        std::fs::write(&file, text).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(async {
            let gate = Gate::new(Arc::default());
            let client = Access::Kubeconfig(file.clone()).client(&gate).await.unwrap();
            Api::<Pod>::all(client).list(&kube::api::ListParams::default()).await
        });
        // The connection lives in it, and the sender waits for that.
        drop(runtime);
        std::fs::remove_file(file).unwrap();
        assert_eq!(refusal(&answer.unwrap_err()), Refusal::TooLarge);
        // What was under way in between is not kept.
        assert!(sender.join().unwrap() < 2 * MOST);
    }
}
