//! How the Kubernetes API is reached.

use std::path::PathBuf;
use std::time::Duration;

use http_body_util::Limited;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower_http::map_response_body::MapResponseBodyLayer;

/// How long an answer, or the next piece of one, may take. A watch is told something at least as often (bookmarks and the
/// end of its own time).
const PATIENCE: Duration = Duration::from_secs(300);
/// Bytes of one answer, at most. A watch that has told so much begins anew.
const MOST: usize = 64 << 20;
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

    /// A client; `None` if the API is not to be asked.
    ///
    /// # Errors
    /// In words, with the file: it cannot be read, or is not of the form.
    pub async fn client(&self) -> Result<Option<Client>, String> {
        let mut config = match self {
            Self::Off => return Ok(None),
            Self::ServiceAccount => {
                Config::incluster().map_err(|error| format!("the service account cannot be used: {error}"))?
            }
            Self::Kubeconfig(path) => {
                let fail =
                    |error: &dyn std::fmt::Display| format!("--kubeconfig {}: {error}", path.display());
                let file = Kubeconfig::read_from(path).map_err(|error| fail(&error))?;
                Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                    .await
                    .map_err(|error| fail(&error))?
            }
        };
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(PATIENCE);
        config.write_timeout = Some(CONNECT);
        let bound = MapResponseBodyLayer::new(|body| Limited::new(body, MOST));
        ClientBuilder::try_from(config)
            .map(|builder| Some(builder.with_layer(&bound).build()))
            .map_err(|error| format!("no client of the Kubernetes API: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use k8s_openapi::api::core::v1::Pod;
    use kube::Api;

    use super::*;

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
            let client = Access::Kubeconfig(file.clone()).client().await.unwrap().unwrap();
            Api::<Pod>::all(client).list(&kube::api::ListParams::default()).await
        });
        // The connection lives in it, and the sender waits for that.
        drop(runtime);
        std::fs::remove_file(file).unwrap();
        let said = answer.unwrap_err().to_string();
        assert!(said.contains("limit"), "{said}");
        // What was under way in between is not kept.
        assert!(sender.join().unwrap() < 2 * MOST);
    }
}
