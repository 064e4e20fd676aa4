//! How the Kubernetes API is reached.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// How long an answer, or the next piece of one, may take. A watch is told something at least as often (bookmarks and the
/// end of its own time).
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
        Client::try_from(config)
            .map(Some)
            .map_err(|error| format!("no client of the Kubernetes API: {error}"))
    }
}
